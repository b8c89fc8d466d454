"""Shared by all loaded encoders: checks of questions, counts of truncated passages, and sharing instead of copying."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from dpr_rag.forking import new_lock
from dpr_rag.passages import check_questions
from dpr_rag.sharing import Shared

_log = logging.getLogger(__name__)


class LoadedEncoder(Shared):
    """An encoder whose weights are in memory.

    Args:
        source: Where they came from, for people to read.

    Attributes:
        source: The same.
        truncated: Passages cut to the model's length so far.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.truncated = 0
        self._counting = new_lock()

    def _checked(self, questions: Sequence[str]) -> list[str]:
        """Questions that can be encoded.

        Raises:
            PassageError: One is no string or blank, or a string was given instead of several.
        """
        return check_questions(questions)

    def _count_cut(self, cut: int, *, of: int, longest: int) -> None:
        """Count passages that were cut; the first time, that is logged."""
        with self._counting:
            first = self.truncated == 0
            self.truncated += cut
        if cut and first:
            text = "%d of %d passages were cut to %d tokens; the encoder counts further ones in .truncated"
            _log.warning(text, cut, of, longest)

    def _instead_of_pickling(self) -> str:
        return (
            f"the encoder {str(self.source)!r:.120} is loaded and cannot be pickled; load it where it is used, with "
            f"{type(self).__name__}.from_pretrained"
        )
