"""A LlamaIndex vector store on a folder or a Milvus: nodes in, nodes out, searched by inner product."""

from __future__ import annotations

from dpr_rag.errors import MissingExtraError, install

try:
    import llama_index.core  # noqa: F401
except ModuleNotFoundError as error:
    if not (error.name or "").startswith("llama_index"):
        raise
    raise MissingExtraError(
        f"llama-index-core is not installed, which these adapters are for; {install('llama-index')}"
    ) from error

from llama_index.vector_stores.dpr_rag.base import DPRVectorStore
from llama_index.vector_stores.dpr_rag.docstore import DPRDocumentStore, DPRIndexStore
from llama_index.vector_stores.dpr_rag.keyvalue import DPRKeyValueStore

__all__ = ["DPRDocumentStore", "DPRIndexStore", "DPRKeyValueStore", "DPRVectorStore"]
