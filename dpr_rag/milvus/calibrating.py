"""Calibration of a collection's scores on a sample of its passages."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any, Protocol

import numpy as np

from dpr_rag.encoder import Encoder, Vectors
from dpr_rag.fusion import Calibration, Ranking
from dpr_rag.fusion.ranking import Scores
from dpr_rag.milvus.collection import Collection
from dpr_rag.milvus.conditions import ALL
from dpr_rag.milvus.records import StoredPassage
from dpr_rag.passages import Hit, Passage
from dpr_rag.store.calibrating import self_calibration, vector_calibration
from dpr_rag.store.fitted import SAMPLE_SIZE
from dpr_rag.store.sampling import POOL_SIZE, choose_prose

_SAMPLE, _DEPTH = 128, 20
_KEYS = 1 << 128


class Questions(Protocol):
    """The methods of a store that a calibration needs."""

    @property
    def encoder(self) -> Encoder | None:
        """The store's encoder."""

    def encode_questions(self, questions: Sequence[str], /) -> Vectors:
        """Vectors of questions."""

    def rank(
        self, questions: Sequence[str], k: int, /, *, ranking: Ranking | None = None, vectors: Any = None
    ) -> list[list[Hit]]:
        """Hits of questions."""


def sampled(collection: Collection, count: int, expression: str, *, vectors: bool = True) -> list[StoredPassage]:
    """Passages with the lowest keys, which are hashes: a random sample, the same while the collection does not change."""
    share = min(
        1.0, (count + 4 * sqrt(count)) / max(1, collection.count(expression))
    )  # four standard deviations more, so that too few are hardly ever found
    while True:
        bound = "" if share >= 1 else f' and key < "{int(share * _KEYS):032x}"'
        passages = sorted(collection.scan(f"({expression}){bound}", vectors=vectors), key=lambda stored: stored.key)
        if share >= 1 or len(passages) >= count:
            return passages[:count]
        share = min(1.0, 2 * share)


def sample_prose(collection: Collection, count: int) -> tuple[list[Passage], Vectors]:
    """A sample of up to ``count`` passages that are prose and no copies, with their vectors; see ``dpr_rag.store.sampling``."""
    sample = sampled(collection, max(count, POOL_SIZE), ALL, vectors=False)
    chosen = [sample[at] for at in choose_prose([stored.passage for stored in sample], count)]
    by_key = collection.by_keys([stored.key for stored in chosen], vectors=True)
    present = [by_key[stored.key] for stored in chosen if stored.key in by_key]
    vectors = (
        np.stack([stored.vector for stored in present]) if present else np.empty((0, collection.dim or 0), np.float32)
    )
    return [stored.passage for stored in present], vectors


def sampled_vectors(collection: Collection) -> Scores:
    """Vectors of up to 256 passages drawn at random, [n, dim]; see ``dpr_rag.store.fitted.sampled_vectors``."""
    return collection.fitted.of("drawn", lambda: sample_prose(collection, SAMPLE_SIZE)[1].astype(np.float64))


def calibration(store: Questions, collection: Collection, ranking: Ranking) -> Calibration:
    """The calibration of a ranking, see ``PassageStore.calibration_of``."""
    passages, vectors = sample_prose(collection, _SAMPLE)
    if not passages:
        return Calibration()
    if store.encoder is None and not ranking.needs_words:
        return vector_calibration(vectors)

    def ask(stretches: Sequence[str], words: Sequence[str]) -> list[list[Hit]]:
        encoded = store.encode_questions(stretches) if ranking.needs_vectors else None
        return store.rank(words, _DEPTH, ranking=ranking, vectors=encoded)

    return self_calibration(passages, ask)
