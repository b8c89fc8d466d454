"""``Retriever``: dense retrieval of passages, with diversity and a relevance threshold where they are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict, Unpack

import numpy as np

from dpr_rag.encoder import Vectors
from dpr_rag.errors import PassageError, VectorError
from dpr_rag.fusion import Calibration, Diversity, diversified
from dpr_rag.passages import Hit, check_question
from dpr_rag.retriever.self_sampling import self_sampled
from dpr_rag.store import PassageStore
from dpr_rag.store.lookup import Where


class Options(TypedDict, total=False):
    """How to choose among the passages that a filter keeps.

    Attributes:
        diversity: Choose by maximal marginal relevance; None keeps the order of the scores.
        min_relevance: Leave out hits of less relevance, in [0, 1]; see ``Retriever.relevance``.
    """

    diversity: Diversity | None
    min_relevance: float | None


@dataclass(frozen=True, slots=True)
class _Fitted:
    calibration: Calibration
    passages: int
    model: str


class Retriever:
    """Retrieves passages from a store for questions.

    Args:
        store: An open store; it needs an encoder for questions in words, not for vectors.
        k: Hits per question, unless a call asks otherwise.
    """

    def __init__(self, store: PassageStore, *, k: int = 10) -> None:
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise VectorError(f"k is {k!r}, expected an integer of at least 1")
        self.store, self.k = store, k
        self._fitted: _Fitted | None = None

    def retrieve(
        self, question: str, k: int | None = None, filter: Where = None, **options: Unpack[Options]
    ) -> list[Hit]:
        """Passages for one question, best first.

        Args:
            question: What to look for, in words.
            k: Hits, or None for the retriever's own number.
            filter: Selects passages before the top k, see ``PassageStore.search``.
            **options: See :class:`Options`.

        Raises:
            PassageError: The question is no string, or blank.
            EncoderMismatchError: The store has no encoder, or another one filled it.
            FilterError: The filter cannot be understood.
            VectorError: k is below 1, or an option is out of range.
        """
        return self.retrieve_batch([question], k, filter, **options)[0]

    def retrieve_batch(
        self, questions: Sequence[str], k: int | None = None, filter: Where = None, **options: Unpack[Options]
    ) -> list[list[Hit]]:
        """Passages for many questions, with one encoding pass and one search."""
        if isinstance(questions, str):
            raise PassageError(
                f"questions is the string {questions!r:.80}, expected a list of them; call retrieve() for one"
            )
        checked = [check_question(question) for question in questions]
        if not checked:
            return []
        return self.retrieve_by_vectors(self.store.encode_questions(checked), k, filter, **options)

    def retrieve_by_vectors(
        self, vectors: Any, k: int | None = None, filter: Where = None, **options: Unpack[Options]
    ) -> list[list[Hit]]:
        """Passages for questions that are encoded already, float [n, dim]; otherwise like :meth:`retrieve_batch`."""
        wanted = self.k if k is None else k
        diversity, least = options.get("diversity"), _checked(options.get("min_relevance"))
        found = self.store.search(vectors, max(wanted, diversity.candidates) if diversity else wanted, filter)
        if least is not None:
            relevance = self.calibration.relevance
            found = [[hit for hit in hits if relevance(hit.score) >= least] for hits in found]
        if diversity is None:
            return found
        questions = np.asarray(vectors, dtype=np.float32)
        return [self._diverse(*pair, wanted, diversity.balance) for pair in zip(questions, found, strict=True)]

    def _diverse(self, question: Vectors, hits: list[Hit], k: int, balance: float) -> list[Hit]:
        vectors = self.store.get_vectors(hit.passage.id for hit in hits)
        there = [hit for hit in hits if hit.passage.id in vectors]  # one may have been deleted since the search
        if not there:
            return []
        chosen = diversified(question, np.stack([vectors[hit.passage.id] for hit in there]), k, balance)
        return [replace(there[at], rank=rank) for rank, at in enumerate(chosen, start=1)]

    def relevance(self, score: float) -> float:
        """How relevant a passage with this score is, in [0, 1]; it rises with the score. See :attr:`calibration`."""
        return self.calibration.relevance(score)

    @property
    def calibration(self) -> Calibration:
        """What turns scores into relevances in [0, 1].

        One half lies where the scores of stretches of text with the passages that they were taken from part from those
        with the nearest other passage. It is fitted at first use, and again when the store has doubled, halved or
        changed its encoder.
        """
        count, encoder = len(self.store), self.store.encoder
        model = "" if encoder is None else encoder.fingerprint
        known = self._fitted
        if known is None or known.model != model or not known.passages / 2 <= count <= 2 * known.passages:
            known = self._fitted = _Fitted(self_sampled(self.store), count, model)
        return known.calibration

    async def aretrieve(
        self, question: str, k: int | None = None, filter: Where = None, **options: Unpack[Options]
    ) -> list[Hit]:
        """Like :meth:`retrieve`, in a thread, so that the event loop goes on."""
        return await asyncio.to_thread(self.retrieve, question, k, filter, **options)

    async def aretrieve_batch(
        self, questions: Sequence[str], k: int | None = None, filter: Where = None, **options: Unpack[Options]
    ) -> list[list[Hit]]:
        """Like :meth:`retrieve_batch`, in a thread, so that the event loop goes on."""
        return await asyncio.to_thread(self.retrieve_batch, questions, k, filter, **options)


def _checked(least: float | None) -> float | None:
    if least is not None and (isinstance(least, bool) or not 0 <= least <= 1):
        raise VectorError(f"min_relevance is {least!r}, expected a number from 0 to 1")
    return least
