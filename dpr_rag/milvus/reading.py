"""Reading the passages of a collection: by id, by filter, or all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import nsmallest

import numpy as np

from dpr_rag.arguments import check_count
from dpr_rag.encoder import Vectors
from dpr_rag.errors import StoreError, VectorError
from dpr_rag.milvus.records import StoredPassage, key_of
from dpr_rag.milvus.searches import Searches
from dpr_rag.passages import Passage
from dpr_rag.store.lookup import checked_ids
from dpr_rag.store.scope import Where

_PAGE = 200


class Passages(Searches):
    """The reading methods of a collection, or of a view of one."""

    def get(self, ids: Iterable[str]) -> list[Passage]:
        """Passages by id, in the order asked for; unknown ids are left out."""
        asked = checked_ids(ids)
        found = self._collection.by_keys([key_of(one) for one in dict.fromkeys(asked)])
        kept = (found.get(key_of(one)) for one in asked)
        return [one.passage for one in kept if one is not None and self._scope.holds(one.passage)]

    def get_vectors(self, ids: Iterable[str]) -> dict[str, Vectors]:
        """Stored vectors by id, float32 [dim] each; unknown ids are left out."""
        keys = [key_of(one) for one in dict.fromkeys(checked_ids(ids))]
        found = self._collection.by_keys(keys, vectors=True).values()
        return {one.passage.id: one.vector for one in found if self._scope.holds(one.passage)}

    def count(self, filter: Where = None) -> int:
        """How many passages there are, or how many a filter keeps."""
        where = self._selection(filter)
        if where.test is None:
            return self._collection.counted(where.expression)
        return sum(where.keeps(one.passage) for one in self._collection.scan(where.expression))

    def __len__(self) -> int:
        return self.count()

    def __contains__(self, passage_id: object) -> bool:
        return isinstance(passage_id, str) and bool(self.get([passage_id]))

    def __iter__(self) -> Iterator[Passage]:
        """Passages in order of insertion, as they were when this began; what is deleted meanwhile is left out.

        It holds a number and a key for each passage, some 150 bytes.
        """
        return (one.passage for page in self._pages(_PAGE, vectors=False) for one in page)

    def batches(self, size: int = _PAGE) -> Iterator[tuple[list[Passage], Vectors]]:
        """Passages with their vectors, see ``PassageStore.batches``; as :meth:`__iter__`, as they were when this began.

        Args:
            size: Largest number of passages of a batch.

        Yields:
            Passages, and float32 vectors of shape [n, dim].
        """
        for page in self._pages(check_count("size", size, StoreError), vectors=True):
            yield [one.passage for one in page], np.stack([one.vector for one in page])

    def _pages(self, size: int, *, vectors: bool) -> Iterator[list[StoredPassage]]:
        where = self._selection(None)
        places = sorted(self._collection.places(where.expression))
        for start in range(0, len(places), size):
            keys = [key for _, key in places[start : start + size]]
            found = self._collection.by_keys(keys, vectors=vectors)
            page = [found[key] for key in keys if key in found and where.keeps(found[key].passage)]
            if page:
                yield page

    def select(self, filter: Where = None, k: int | None = None) -> list[Passage]:
        """Passages that a filter keeps, in order of insertion, see ``PassageStore.select``."""
        kept = self._kept(filter)
        if k is None:
            return [one.passage for one in sorted(kept, key=lambda one: (one.row, one.key))]
        first = nsmallest(check_count("k", k, VectorError), kept, key=lambda one: (one.row, one.key))
        return [one.passage for one in first]

    def _kept(self, filter: Where) -> Iterator[StoredPassage]:
        where = self._selection(filter)
        return (one for one in self._collection.scan(where.expression) if where.keeps(one.passage))
