"""Compatibility normalisation of ligatures, full-width letters and the like, where a tokenizer lacks them."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from dpr_rag.forking import cached
from dpr_rag.lexical.characters import RAISED_DIGITS, letters_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_WORD_MARKS = "▁Ġ"
"""What SentencePiece and byte-level vocabularies write for the space before a word."""
_SPACES = re.compile(" {2,}")
_TYPESETTING = frozenset("\u00ad" + "".join(map(chr, (*range(0xFB00, 0xFB07), *range(0xFB13, 0xFB18)))))
"""Characters inside words that are a matter of typesetting alone: the soft hyphen, ligatures of Latin and Armenian letters."""


class PlainLetters(dict[int, str]):
    """A table from characters that a tokenizer cannot read to plain ones, filled as characters are met.

    A character stays as it is where the tokenizer's own normaliser has a form for it, or where the vocabulary holds it as a
    token of its own, as BERT's does ``²``, ``½`` and ``…``: there vectors are those of the model as published. Any other that
    Unicode knows as a form of plain ones (NFKC) is read as these, and format characters, such as joiners, are dropped:
    ``coﬀee`` is read as ``coffee`` where it would be an unknown word. Ligatures of letters and soft hyphens are so even where
    the vocabulary holds them, as BERT's does ``ﬁ``: to such a model ``ofﬁce`` has nothing of an office (a cosine of 0.1), and
    texts from PDF are full of them. Accents are left to the model.

    This is no part of an encoder's fingerprint: vectors change for texts alone that were unreadable in part.

    Args:
        tokenizer: What reads the texts, without truncation or padding; one object serves all threads.
        unknown: Its unknown token; None where it has none.
    """

    def __init__(self, tokenizer: Tokenizer, unknown: str | None) -> None:
        super().__init__()
        self._tokenizer, self._unknown = tokenizer, unknown
        self._added = frozenset("".join(token.content for token in tokenizer.get_added_tokens_decoder().values()))

    def read(self, text: str) -> str:
        """The text as the tokenizer should read it; a raised digit after a digit (``10²``) is set apart by a space."""
        if text.isascii():
            return text
        if self._behind_digit is not None:
            text = self._behind_digit.sub(r" \g<0>", text)
        plain = text.translate(self)
        if plain == text:
            return text
        return (plain if "  " in text else _SPACES.sub(" ", plain)).strip()

    @cached
    def _behind_digit(self) -> re.Pattern[str] | None:
        raised = "".join(char for char in RAISED_DIGITS if not self._is_read(char))
        return re.compile(rf"(?<=\d)[{raised}]") if raised else None

    def __missing__(self, code: int) -> str:
        char = chr(code)
        plain = letters_of(char) if _is_form(char) else char
        self[code] = char if plain == char or self._is_read(char) else plain
        return self[code]

    def _is_read(self, char: str) -> bool:
        """Whether the tokenizer's normaliser has a form of the character, or its vocabulary one token for it alone."""
        if char in self._added:
            return True
        normaliser = self._tokenizer.normalizer
        normal = normaliser.normalize_str(char) if normaliser is not None else char
        if not any(map(_is_form, normal)):
            return True
        if char in _TYPESETTING:
            return False
        tokens = [token.lstrip(_WORD_MARKS) for token in self._tokenizer.encode(char, add_special_tokens=False).tokens]
        pieces = [token for token in tokens if token]
        return len(pieces) == 1 and pieces[0] != self._unknown


def _is_form(char: str) -> bool:
    return unicodedata.decomposition(char).startswith("<") or unicodedata.category(char) == "Cf"
