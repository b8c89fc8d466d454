"""LlamaIndex embeddings by a dual encoder: queries by the question encoder, texts by the context encoder."""

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

from llama_index.embeddings.dpr_rag.base import DPREmbedding

__all__ = ["DPREmbedding"]
