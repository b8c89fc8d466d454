"""Names of arguments in other embeddings of LlamaIndex, and their names here, for error messages."""

from __future__ import annotations

from collections.abc import Iterable

from dpr_rag.errors import ArgumentError, nearest

_ARGUMENTS = (
    "encoder",
    "embed_metadata",
    "embed_batch_size",
    "callback_manager",
    "num_workers",
    "embeddings_cache",
    "rate_limiter",
)
_PRETRAINED = "DPREmbedding.from_pretrained(name or folder)"
_OTHER_WORDS = {
    **dict.fromkeys(("model", "model_name", "model_path", "model_id", "tokenizer", "tokenizer_name"), _PRETRAINED),
    **dict.fromkeys(("device", "dtype", "runtime", "profile", "model_kwargs", "max_length"), _PRETRAINED),
    **dict.fromkeys(("query_instruction", "text_instruction"), f"{_PRETRAINED}, whose files name the prompts"),
    **dict.fromkeys(("embed_model", "embedding", "embeddings"), "encoder="),
    "batch_size": "embed_batch_size=",
}


def refuse_unknown(names: Iterable[str]) -> None:
    """Refuse arguments that a ``DPREmbedding`` does not know.

    Raises:
        ArgumentError: There is one; the message has the right word where one is known.
    """
    for name in names:
        right = f"; here it is {_OTHER_WORDS[name]}" if name in _OTHER_WORDS else nearest(name, _ARGUMENTS)
        raise ArgumentError(f"unknown argument {name!r:.80}, expected one of {', '.join(_ARGUMENTS)}{right}")
