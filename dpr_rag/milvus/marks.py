"""Finds the passages that an adapter made in a collection, by the marks that it gave them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from dpr_rag.filters import Comparison, Filter
from dpr_rag.milvus.records import StoredPassage
from dpr_rag.passages import PRIVATE_KEY, Passage, is_text, rejoined
from dpr_rag.storage.marks import marks_of
from dpr_rag.store.repeats import check_repeats
from dpr_rag.store.reports import AddReport

_AT_ONCE = 1_000


class Marked(Protocol):
    """A collection, or a view of one."""

    def add(self, passages: Sequence[Passage], /, *, vectors: Sequence[Any] | None, batch_size: int) -> AddReport:
        """Add passages."""

    def get(self, ids: Iterable[str], /) -> list[Passage]:
        """Passages by id."""

    def delete(self, ids: Iterable[str], /) -> int:
        """Delete passages by id."""


class Marks:
    """``PassageStore.private`` for a collection, without the adapter's records, which an engine has no place for."""

    keeps_records = False

    def __init__(self, store: Marked, kept: Callable[[Filter], Iterable[StoredPassage]]) -> None:
        """Use ``MilvusStore.private`` instead."""
        self._store, self._kept = store, kept

    def marked(self, wanted: Iterable[str]) -> list[Passage]:
        """The passages that have one of the marks, in order of insertion."""
        marks = sorted({rejoined(mark) for mark in wanted if is_text(rejoined(mark))})
        by_key: dict[str, StoredPassage] = {}
        for start in range(0, len(marks), _AT_ONCE):
            part = marks[start : start + _AT_ONCE]
            # the engine's terms are normalised, so that the marks are compared again here
            candidates = self._kept(Comparison(PRIVATE_KEY, "any", part))
            by_key |= {
                stored.key: stored for stored in candidates if not set(part).isdisjoint(marks_of(stored.passage))
            }
        return [stored.passage for stored in sorted(by_key.values(), key=lambda stored: (stored.row, stored.key))]

    def add(
        self,
        passages: Sequence[Passage],
        *,
        vectors: Sequence[Any] | None = None,
        instead: Mapping[str, Sequence[str]],
        batch_size: int = 512,
    ) -> AddReport:
        """Add passages, each in place of stored ones with the same title and text, see ``Private.add``.

        The old ones are deleted after the new ones are acknowledged: if the process ends in between, both stay until the next
        call.
        """
        report = self._store.add(passages, vectors=vectors, batch_size=batch_size)
        added = {passage.id: passage for passage in passages}
        successors = {
            old: added[new] for new, olds in instead.items() if new in added for old in olds if old not in added
        }
        unchanged = [
            passage.id
            for passage in self._store.get(successors)
            if (passage.title, passage.text) == _content(successors[passage.id])
        ]
        deleted = self._store.delete(unchanged) if unchanged else 0
        return replace(report, added=report.added - deleted, replaced=report.replaced + deleted)

    def delete_marked(self, wanted: Iterable[str]) -> int:
        """Delete the passages that have one of the marks, and return their number."""
        return self._store.delete([passage.id for passage in self.marked(wanted)])

    @staticmethod
    def check_repeats(passages: Iterable[Passage]) -> None:
        """Refuse an id that occurs twice with different contents, as ``add`` does.

        Raises:
            RepeatedIdError: One occurs so.
        """
        check_repeats(passages)


def _content(passage: Passage) -> tuple[str, str]:
    return passage.title, passage.text
