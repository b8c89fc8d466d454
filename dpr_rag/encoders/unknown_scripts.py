"""Warns once if the tokenizer does not know the script of the texts, and encodes them as unknown tokens or single letters."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dpr_rag.faces import ByFace

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_log = logging.getLogger(__name__)
_SHORTEST = 4
_MOST_UNKNOWN, _MOST_LETTERS, _LEAST_SHARE = 0.1, 0.5, 0.1
_BYTE = re.compile("<0x[89A-F][0-9A-F]>")


class ScriptMonitor:
    """Checks the tokens of texts in scripts other than Latin, and warns once, at the first call with many unreadable ones.

    A text counts as unread when a tenth of its tokens are unknown, or half are unknown or single letters inside words; a
    tenth of a call's texts are many. Scripts in which single characters are words, such as Han, have no such letters.

    Args:
        tokenizer: The tokenizer that made the tokens.
        unknown: Its unknown token; None where it has none.
    """

    def __init__(self, tokenizer: Tokenizer, unknown: str | None) -> None:
        self._tokenizer, self._unknown_token = tokenizer, unknown
        self._unknown: int | None = None
        self._letters: frozenset[int] = frozenset()
        self._done = False

    def check(self, texts: Sequence[str], tokens: Sequence[Sequence[int]]) -> None:
        """Check texts by their token ids."""
        self.check_lazily(texts, lambda chosen: [tokens[at] for at in chosen])

    def check_lazily(self, texts: Sequence[str], tokens_of: Callable[[Sequence[int]], Sequence[Sequence[int]]]) -> None:
        """Check texts whose token ids are not at hand: ``tokens_of`` gives those of the texts with these numbers."""
        if self._done:
            return
        foreign = [at for at, text in enumerate(texts) if not text.isascii() and _is_foreign(text)]
        if not foreign or len(foreign) < _LEAST_SHARE * len(texts):
            return
        if not self._letters:
            self._learn()
        unread = [at for at, ids in zip(foreign, tokens_of(foreign), strict=True) if self._is_unread(ids)]
        if unread and len(unread) >= _LEAST_SHARE * len(texts):
            self._done = True
            message = (
                "%d of %d texts are in a script that the model hardly reads, such as %r: to it they are unknown tokens or single "
                "letters, and their vectors mean little; take a multilingual model, such as intfloat/multilingual-e5-small%s, "
                "or rank by words alone, in the mode bm25"
            )
            _log.warning(
                message, len(unread), len(texts), texts[unread[0]][:40], ByFace("", cli=", by --model", page="")
            )

    def _learn(self) -> None:
        vocabulary = self._tokenizer.get_vocab(with_added_tokens=True)
        self._unknown = None if self._unknown_token is None else vocabulary.get(self._unknown_token)
        of_bytes = "Ġ" in vocabulary  # pieces of characters, in letters that stand for bytes
        inside = (number for token, number in vocabulary.items() if _is_letter_inside(token, of_bytes))
        self._letters = frozenset([*inside, *([] if self._unknown is None else [self._unknown])]) or frozenset([-1])

    def _is_unread(self, ids: Sequence[int]) -> bool:
        letters = sum(number in self._letters for number in ids)
        return letters > _MOST_LETTERS * len(ids) or (
            self._unknown is not None and ids.count(self._unknown) > _MOST_UNKNOWN * len(ids)
        )


def _is_foreign(text: str) -> bool:
    """Whether most letters are of no Latin alphabet; some three letters, such as a title, are too few to say."""
    if len(text) < _SHORTEST or len(text.encode()) < 1.3 * len(text):  # quicker than to look at each letter
        return False
    letters = [char for char in text if char.isalpha()]
    latin = sum(char < "\u0370" or "\u1e00" <= char < "\u1f00" for char in letters)
    return latin < len(letters) / 2


def _is_letter_inside(token: str, of_bytes: bool) -> bool:
    if _BYTE.fullmatch(token):  # what SentencePiece falls back to
        return True
    if of_bytes:
        return len(token) == 1 and not token.isascii()
    return len(token) == 3 and token.startswith("##") and not token.isascii() and not "\u3000" <= token[2] <= "\uffff"
