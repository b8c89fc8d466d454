"""Repeated ids in one call of ``add``: equal passages count once, different ones are refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from dpr_rag.encoder import Vectors
from dpr_rag.handed_over import contents, repeated
from dpr_rag.passages import Passage
from dpr_rag.store.reports import AddReport
from dpr_rag.store.sources import Replace, source_of, with_private

_Hashes = npt.NDArray[np.uint64]


class SeenIds:
    """The ids that a stream has brought, as 8-byte hashes in sorted runs, which are merged once they are of similar size."""

    def __init__(self) -> None:
        self._runs: list[_Hashes] = []

    def again(self, ids: Sequence[str]) -> list[str]:
        """The ids that came before, and record all; an error has a probability of 10⁻⁵ at 20 million ids."""
        hashes = np.array([_hash(passage_id) for passage_id in ids], dtype=np.uint64)
        before = np.zeros(len(ids), dtype=bool)
        for run in self._runs:
            places = np.minimum(np.searchsorted(run, hashes), len(run) - 1)
            before |= run[places] == hashes
        self._runs.append(np.unique(hashes))
        while len(self._runs) > 1 and len(self._runs[-2]) <= 2 * len(self._runs[-1]):
            self._runs.append(np.union1d(self._runs.pop(), self._runs.pop()))
        return [passage_id for passage_id, seen in zip(ids, before, strict=True) if seen]


def _hash(passage_id: str) -> int:
    return int.from_bytes(blake2b(passage_id.encode(), digest_size=8).digest(), "little")


def check_repeats(passages: Iterable[Passage]) -> None:
    """Refuse different passages with one id; between sources, ``replace`` decides instead.

    Raises:
        RepeatedIdError: Two do; the message names the id.
    """
    first: dict[str, Passage] = {}
    for passage in passages:
        if isinstance(passage, Passage) and _differ(first.setdefault(passage.id, passage), passage):
            raise repeated(passage.id, "nothing was stored")


def check_against(stored: Mapping[str, tuple[int, Passage]], passages: Sequence[Passage], again: Iterable[str]) -> None:
    """Refuse a passage that differs from the one that an earlier batch stored under its id.

    Args:
        stored: What the earlier batches left, with row numbers.
        passages: The batch.
        again: The ids that came before.

    Raises:
        RepeatedIdError: One did.
    """
    wanted = set(again)
    for passage in passages:
        if passage.id in wanted and passage.id in stored:
            old = stored[passage.id][1]
            if _differ(with_private(passage, old), old):
                raise repeated(passage.id, "the batches before it are stored")


def without_twins(
    passages: Sequence[Passage], vectors: Vectors | None, replace: Replace
) -> tuple[list[int], AddReport]:
    """Deduplicate a batch by id: positions of the passages to keep, and the counts of the others.

    Equal ones are one passage. Between sources the policy decides: ``own`` leaves it to the first, ``any`` to the last.

    Raises:
        RepeatedIdError: Two of one source differ, or their vectors do.
    """
    places: dict[str, int] = {}
    report = AddReport()
    for at, passage in enumerate(passages):
        before = places.setdefault(passage.id, at)
        if before == at:
            continue
        owner = source_of(passages[before])
        if owner == source_of(passage):
            _check_twins(passages, vectors, before, at)
            report += AddReport(unchanged=1)
        elif replace == "own" and owner:
            report += AddReport(owners={owner: 1})
        else:
            places[passage.id] = at
            report += AddReport(replaced=1)
    return sorted(places.values()), report


def _check_twins(passages: Sequence[Passage], vectors: Vectors | None, before: int, at: int) -> None:
    done = "nothing of this batch was stored"
    if _differ(passages[before], passages[at]):
        raise repeated(passages[at].id, done)
    if vectors is not None and not np.array_equal(vectors[before], vectors[at]):
        raise repeated(passages[at].id, done, "vectors")


def _differ(first: Passage, second: Passage) -> bool:
    if first is second or source_of(first) != source_of(second):
        return False
    return contents(first) != contents(second)
