"""A LlamaIndex retriever on a ``PassageStore``: questions in, nodes with inner products out."""

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

from llama_index.retrievers.dpr_rag.base import DPRRetriever
from llama_index.retrievers.dpr_rag.prompts import DelimitPassages

__all__ = ["DPRRetriever", "DelimitPassages"]
