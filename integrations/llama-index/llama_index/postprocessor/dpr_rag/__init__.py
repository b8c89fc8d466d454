"""A LlamaIndex postprocessor on a reader or a cross-encoder: nodes in, the best of them out, with the answers in them."""

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

from llama_index.postprocessor.dpr_rag.base import ANSWER_KEY, DPRReranker

__all__ = ["ANSWER_KEY", "DPRReranker"]
