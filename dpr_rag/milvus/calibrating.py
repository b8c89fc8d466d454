"""What scores of a collection mean: measured on a sample of its own passages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from dpr_rag.encoder import Encoder, Vectors
from dpr_rag.fusion import Calibration, Ranking
from dpr_rag.milvus.collection import Collection
from dpr_rag.milvus.records import Kept
from dpr_rag.passages import Hit, Passage
from dpr_rag.store.calibrating import by_vectors, self_sampled

_ASKED_FOR, _DEPTH = 128, 20
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
