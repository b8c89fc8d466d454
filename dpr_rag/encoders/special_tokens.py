"""Refuses tokenizers that put other tokens around a text than its first and its separator, or that cut its beginning."""

from __future__ import annotations

from dpr_rag.encoders.profiles import PASS_PROFILE, Profile
from dpr_rag.encoders.tokenizer_files import TokenizerFiles
from dpr_rag.encoders.tokens import Tokens
from dpr_rag.encoders.towers import Tower
from dpr_rag.errors import UnsupportedModelError

_GENERIC = ("PreTrainedTokenizer", "TokenizersBackend")
"""Classes of transformers that do what ``tokenizer.json`` says; the others put their own special tokens."""
_REMEDY = "; let sentence-transformers run it, or " + PASS_PROFILE + " to have it read as other models are"


def refuse_other_readings(tower: Tower, profile: Profile) -> None:
    """Refuse a tokenizer whose texts would get other tokens here than in transformers.

    Args:
        tower: The model with its tokenizer's files.
        profile: What its texts are read by.

    Raises:
        UnsupportedModelError: It adds other special tokens, or cuts what is too long at its beginning.
    """
    files = tower.tokenizer
    settings, described = (files.json(name) for name in ("tokenizer_config.json", "tokenizer.json"))
    truncation = described.get("truncation") or {}
    side = settings.get("truncation_side") or (truncation.get("direction") if isinstance(truncation, dict) else None)
    if str(side).lower() == "left":
        raise UnsupportedModelError(
            f"{files.name}: its tokenizer cuts a long text at its beginning (truncation_side is 'left'), dpr-rag at its end"
            + _REMEDY
        )
    if described and str(settings.get("tokenizer_class")).removesuffix("Fast") in _GENERIC:
        _refuse_other_specials(Tokens(tower, profile), files)


def _refuse_other_specials(tokens: Tokens, files: TokenizerFiles) -> None:
    tokenizer = tokens.tokenizer
    added, expected = tokenizer.encode("a").ids, tokens.bodies(["a"])[0]
    if added != tokens.around(expected):
        shown = " ".join(str(tokenizer.id_to_token(number)) for number in added)
        wanted = " ".join(str(tokenizer.id_to_token(number)) for number in tokens.around(expected))
        raise UnsupportedModelError(
            f"{files.name}: its tokenizer.json makes {shown!r:.80} of the text 'a', dpr-rag {wanted!r:.80}" + _REMEDY
        )
