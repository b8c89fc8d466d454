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
        asked = sorted({rejoined(mark) for mark in wanted if is_text(rejoined(mark))})
        found: dict[str, StoredPassage] = {}
        for start in range(0, len(asked), _AT_ONCE):
            some = asked[start : start + _AT_ONCE]
            # the terms are in a normal form and tell nothing of places in the list
            kept = self._kept(Comparison(PRIVATE_KEY, "any", some))
            found |= {one.key: one for one in kept if not set(some).isdisjoint(marks_of(one.passage))}
        return [one.passage for one in sorted(found.values(), key=lambda one: (one.row, one.key))]

    def add(
        self,
        passages: Sequence[Passage],
        *,
        vectors: Sequence[Any] | None = None,
        instead: Mapping[str, Sequence[str]],
        batch_size: int = 512,
    ) -> AddReport:
        """Add passages, each in place of stored ones that say the same, see ``Private.add``.

        These go when the new ones are acknowledged: where the process ends in between, both are there until the next call.
        """
        report = self._store.add(passages, vectors=vectors, batch_size=batch_size)
        added = {one.id: one for one in passages}
        heirs = {old: added[new] for new, olds in instead.items() if new in added for old in olds if old not in added}
        same = [one.id for one in self._store.get(heirs) if (one.title, one.text) == _said(heirs[one.id])]
        gone = self._store.delete(same) if same else 0
        return replace(report, added=report.added - gone, replaced=report.replaced + gone)

    def delete_marked(self, wanted: Iterable[str]) -> int:
        """Delete the passages that have one of the marks, and say how many there were."""
        return self._store.delete([one.id for one in self.marked(wanted)])

    @staticmethod
    def check_repeats(passages: Iterable[Passage]) -> None:
        """Refuse an id that comes twice with different contents, as ``add`` does.

        Raises:
            RepeatedIdError: One does.
        """
        check_repeats(passages)


def _said(passage: Passage) -> tuple[str, str]:
    return passage.title, passage.text
