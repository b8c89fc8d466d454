"""``Retriever``: questions in, ranked passages out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from dpr_rag.errors import PassageError, VectorError
from dpr_rag.filters import Filter
from dpr_rag.passages import Hit, check_question
from dpr_rag.store import PassageStore


class Retriever:
    """Retrieves passages from a store for questions in words.

    Args:
        store: An open store with an encoder.
        k: Hits per question, unless a call asks otherwise.
    """

    def __init__(self, store: PassageStore, *, k: int = 10) -> None:
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise VectorError(f"k is {k!r}, expected an integer of at least 1")
        self.store, self.k = store, k

    def retrieve(
        self, question: str, k: int | None = None, filter: Filter | Mapping[str, Any] | None = None
    ) -> list[Hit]:
        """Passages for one question, best first.

        Args:
            question: What to look for, in words.
            k: Hits, or None for the retriever's own number.
            filter: Selects passages before the top k.

        Raises:
            PassageError: The question is no string, or blank.
            EncoderMismatchError: The store has no encoder, or another one filled it.
            FilterError: The filter cannot be understood.
        """
        return self.retrieve_batch([question], k, filter)[0]

    def retrieve_batch(
        self, questions: Sequence[str], k: int | None = None, filter: Filter | Mapping[str, Any] | None = None
    ) -> list[list[Hit]]:
        """Passages for many questions, with one encoding pass and one search."""
        if isinstance(questions, str):
            raise PassageError(
                f"questions is the string {questions!r:.80}, expected a list of them; call retrieve() for one"
            )
        checked = [check_question(question) for question in questions]
        if not checked:
            return []
        return self.store.search(self.store.encode_questions(checked), self.k if k is None else k, filter)

    async def aretrieve(
        self, question: str, k: int | None = None, filter: Filter | Mapping[str, Any] | None = None
    ) -> list[Hit]:
        """Like :meth:`retrieve`, in a thread, so that the event loop goes on."""
        return await asyncio.to_thread(self.retrieve, question, k, filter)

    async def aretrieve_batch(
        self, questions: Sequence[str], k: int | None = None, filter: Filter | Mapping[str, Any] | None = None
    ) -> list[list[Hit]]:
        """Like :meth:`retrieve_batch`, in a thread, so that the event loop goes on."""
        return await asyncio.to_thread(self.retrieve_batch, questions, k, filter)
