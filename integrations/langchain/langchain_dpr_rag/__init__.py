"""LangChain adapters for dpr-rag: embeddings, a vector store, a retriever and a reranker."""

from __future__ import annotations

from dpr_rag.errors import MissingExtraError, install

try:
    import langchain_core  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "langchain_core":
        raise
    raise MissingExtraError(
        f"langchain-core is not installed, which these adapters are for; {install('langchain')}"
    ) from error

from langchain_dpr_rag.documents import ANSWER_KEY, RANK_KEY, RELEVANCE_KEY, RETRIEVED_KEY, SCORE_KEY, format_documents
from langchain_dpr_rag.embeddings import DPREmbeddings
from langchain_dpr_rag.rerankers import DPRReranker
from langchain_dpr_rag.retrievers import DPRRetriever
from langchain_dpr_rag.self_query import DPRTranslator
from langchain_dpr_rag.vectorstores import DPRVectorStore

__all__ = [
    "ANSWER_KEY",
    "RANK_KEY",
    "RELEVANCE_KEY",
    "RETRIEVED_KEY",
    "SCORE_KEY",
    "DPREmbeddings",
    "DPRReranker",
    "DPRRetriever",
    "DPRTranslator",
    "DPRVectorStore",
    "format_documents",
]
