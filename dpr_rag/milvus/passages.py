"""Reading the passages of a collection: by id, by filter, or all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import nsmallest

import numpy as np

from dpr_rag.arguments import check_count, names_known
from dpr_rag.encoder import Vectors
from dpr_rag.errors import StoreError, VectorError
from dpr_rag.filters import Where
from dpr_rag.milvus.records import StoredPassage, key_of
from dpr_rag.milvus.searches import Searches
from dpr_rag.passages import Passage
from dpr_rag.store.lookup import checked_ids

_PAGE = 200


class Passages(Searches):
    """The reading methods of a collection, or of a view of one."""

    def get(self, ids: Iterable[str]) -> list[Passage]:
        """Passages by id, in the order asked for; unknown ids are left out."""
        wanted_ids = checked_ids(ids)
        by_key = self._collection.by_keys([key_of(passage_id) for passage_id in dict.fromkeys(wanted_ids)])
        passages = (by_key.get(key_of(passage_id)) for passage_id in wanted_ids)
        return [
            passage_id.passage
            for passage_id in passages
            if passage_id is not None and self._scope.holds(passage_id.passage)
        ]

    def get_vectors(self, ids: Iterable[str]) -> dict[str, Vectors]:
        """Stored vectors by id, float32 [dim] each; unknown ids are left out."""
        keys = [key_of(stored) for stored in dict.fromkeys(checked_ids(ids))]
        passages = self._collection.by_keys(keys, vectors=True).values()
        return {stored.passage.id: stored.vector for stored in passages if self._scope.holds(stored.passage)}

    @names_known()
    def count(self, filter: Where = None) -> int:
        """The number of passages, or of those that match a filter."""
        where = self._selection(filter)
        if where.test is None:
            return self._collection.count(where.expression)
        return sum(where.keeps(stored.passage) for stored in self._collection.scan(where.expression))

    def __len__(self) -> int:
        return self.count()

    def __contains__(self, passage_id: object) -> bool:
        return isinstance(passage_id, str) and bool(self.get([passage_id]))

    def __iter__(self) -> Iterator[Passage]:
        """Passages in order of insertion, as of the call; passages deleted meanwhile are left out.

        Row number and key of each passage are held in memory, some 150 bytes.
        """
        return (stored.passage for page in self._pages(_PAGE, vectors=False) for stored in page)

    def batches(self, size: int = _PAGE) -> Iterator[tuple[list[Passage], Vectors]]:
        """Passages with their vectors, see ``PassageStore.batches``; as of the call, like :meth:`__iter__`.

        Args:
            size: Largest number of passages of a batch.

        Yields:
            Passages, and float32 vectors of shape [n, dim].
        """
        for page in self._pages(check_count("size", size, StoreError), vectors=True):
            yield [stored.passage for stored in page], np.stack([stored.vector for stored in page])

    def _pages(self, size: int, *, vectors: bool) -> Iterator[list[StoredPassage]]:
        where = self._selection(None)
        rows = sorted(self._collection.rows_and_keys(where.expression))
        for start in range(0, len(rows), size):
            keys = [key for _, key in rows[start : start + size]]
            by_key = self._collection.by_keys(keys, vectors=vectors)
            page = [by_key[key] for key in keys if key in by_key and where.keeps(by_key[key].passage)]
            if page:
                yield page

    @names_known()
    def select(self, filter: Where = None, k: int | None = None) -> list[Passage]:
        """Passages that match a filter, in order of insertion, see ``PassageStore.select``."""
        matching = self._kept(filter)
        if k is None:
            return [stored.passage for stored in sorted(matching, key=lambda stored: (stored.row, stored.key))]
        best = nsmallest(
            check_count("k", k, VectorError, more=", or None for all"),
            matching,
            key=lambda stored: (stored.row, stored.key),
        )
        return [stored.passage for stored in best]

    def _kept(self, filter: Where) -> Iterator[StoredPassage]:
        where = self._selection(filter)
        return (stored for stored in self._collection.scan(where.expression) if where.keeps(stored.passage))
