"""What scores of a collection mean, and how its two legs compare: measured on a sample of its own passages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from dpr_rag.encoder import Encoder, Vectors
from dpr_rag.fusion import Calibration, Ranking
from dpr_rag.milvus.collection import Collection
from dpr_rag.milvus.records import Kept
from dpr_rag.milvus.searching import words_of
from dpr_rag.passages import Hit, Passage
from dpr_rag.store.calibrating import by_vectors, self_sampled, stretch_of

_ASKED_FOR, _SPREAD, _DEPTH, _FEWEST = 128, 32, 20, 3
_KEYS = 1 << 128


class Questions(Protocol):
    """A store that is asked."""

    @property
    def encoder(self) -> Encoder | None:
        """What encodes."""

    def sample(self, count: int, /) -> tuple[list[Passage], Vectors]:
        """Passages and their vectors."""

    def encode_questions(self, questions: Sequence[str], /) -> Vectors:
        """Vectors of questions."""

    def rank(
        self, questions: Sequence[str], k: int, /, *, ranking: Ranking | None = None, vectors: Any = None
    ) -> list[list[Hit]]:
        """Hits of questions."""


def sampled(collection: Collection, count: int, expression: str) -> list[Kept]:
    """Passages with the lowest keys, which are hashes: drawn by chance, and the same while the collection does not change."""
    share = min(1.0, 2 * count / max(1, collection.counted(expression)))
    while True:
        bound = "" if share >= 1 else f' and key < "{int(share * _KEYS):032x}"'
        found = sorted(collection.scan(f"({expression}){bound}", vectors=True), key=lambda one: one.key)
        if share >= 1 or len(found) >= count:
            return found[:count]
        share = min(1.0, 2 * share)


def calibration(store: Questions, ranking: Ranking) -> Calibration:
    """The calibration of a ranking, as ``PassageStore.calibration_of`` lays it."""
    passages, vectors = store.sample(_ASKED_FOR)
    if not passages:
        return Calibration()
    if store.encoder is None and not ranking.needs_words:
        return by_vectors(vectors)

    def ask(stretches: Sequence[str], words: Sequence[str]) -> list[list[Hit]]:
        encoded = store.encode_questions(stretches) if ranking.needs_vectors else None
        return store.rank(words, _DEPTH, ranking=ranking, vectors=encoded)

    return self_sampled(passages, ask)


def suggested_weight(store: Questions, kept: Sequence[Kept], collection: Collection) -> float:
    """λ: the ratio of the spreads of both legs' scores over passages that the question was not taken from."""
    if len(kept) < _FEWEST:
        return 1.0
    texts, own = [stretch_of(one.passage) for one in kept], np.eye(len(kept), dtype=bool)
    vectors = np.stack([one.vector for one in kept])
    questions = vectors if store.encoder is None else store.encode_questions(texts)
    legs = words_of(collection, texts, kept), questions.astype(np.float64) @ vectors.T
    words, dense = (float(leg[~own].reshape(len(leg), -1).std(axis=1).mean()) for leg in legs)
    return words / dense if words > 0 and dense > 0 else 1.0


def settled(store: Questions, ranking: Ranking, collection: Collection) -> Ranking:
    """A ranking with the suggested λ, where it leaves that to the store."""
    kept = sampled(collection, _SPREAD, "row >= 0")
    return replace(ranking, weight=suggested_weight(store, kept, collection))
