"""``RemoteRetriever``: the interface of ``Retriever``, answered by a service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

from dpr_rag.arguments import check_count, check_instance
from dpr_rag.errors import VectorError
from dpr_rag.fusion import Calibration, Diversity, Fusion, Mode, Ranking, Wishes
from dpr_rag.passages import Hit, check_questions
from dpr_rag.remote.asking import Where, options_of, said_of
from dpr_rag.remote.store import RemoteStore


class RemoteRetriever:
    """Retrieves passages from a store behind ``dpr-rag serve``: ``Retriever``'s interface, each call one request.

    The hits are those of the store's own retriever: the same passages, order and numbers, to the bit. ``aretrieve`` and
    ``aretrieve_batch`` hold up no event loop and no thread.

    Args:
        address: Where the service listens, such as ``http://127.0.0.1:8000``; or an open ``RemoteStore``.
        store: Name of the store, where the service has several.
        token: What opens the service; None takes the environment variable ``DPR_RAG_TOKEN``.
        k: Hits per question, unless a call asks otherwise.
        mode: As for ``Retriever``, like all that follow up to ``ranking``.
        weight: λ.
        fusion: How both legs are joined.
        candidates: How many passages each leg brings.
        k1: Of BM25.
        b: Of BM25.
        phrases: Weight of words that follow each other.
        ranking: All of that as a ``Ranking``.
        timeout: Seconds that each attempt may take.
        retries: How often a request is repeated that did not get through, or was refused for now.
        uds: Path of a Unix socket to connect to instead of the address's host.

    Raises:
        VectorError: k is below 1, or an option is out of range or goes with another mode.
        PathError: The address is none.
    """

    def __init__(
        self,
        address: str | RemoteStore,
        store: str | None = None,
        *,
        token: str | None = None,
        k: int = 10,
        mode: Mode | None = None,
        weight: float | None = None,
        fusion: Fusion | None = None,
        candidates: int | None = None,
        k1: float | None = None,
        b: float | None = None,
        phrases: float | None = None,
        ranking: Ranking | None = None,
        timeout: float = 30.0,
        retries: int = 4,
        uds: str | None = None,
    ) -> None:
        self.k = check_count("k", k, VectorError)
        if ranking is not None:
            check_instance("ranking", ranking, Ranking, VectorError, advice="; or say mode=")
        wishes = Wishes(mode, weight, fusion, candidates, k1, b, phrases)
        if ranking is not None and wishes:
            raise VectorError(
                "ranking was given together with mode, weight, fusion, candidates, k1, b or phrases; it says all of them already"
            )
        self._said = {"ranking": asdict(ranking)} if ranking is not None else said_of(wishes)
        self._given = ranking
        self._owned = not isinstance(address, RemoteStore)
        self.store = (
            address
            if isinstance(address, RemoteStore)
            else RemoteStore(address, store, token=token, timeout=timeout, retries=retries, uds=uds)
        )

    @property
    def ranking(self) -> Ranking:
        """How passages are ranked; what was not said is as the store was tuned."""
        return self._given or self.store.ranking_for(**self._said)

    @property
    def calibration(self) -> Calibration:
        """What turns this retriever's scores into relevances, see ``PassageStore.calibration_of``."""
        return self.store.calibration_for(self._said)

    def relevance(self, score: float) -> float:
        """How relevant a passage with this score is, in [0, 1]; it asks the service, so take :attr:`calibration` for many."""
        return self.calibration.relevance(score)

    def retrieve(
        self,
        question: str,
        k: int | None = None,
        filter: Where = None,
        *,
        diversity: Diversity | None = None,
        min_relevance: float | None = None,
    ) -> list[Hit]:
        """Passages for one question, best first, see ``Retriever.retrieve``.

        Raises:
            ServiceError: The service cannot be asked, is busy or slow.
            DprRagError: What ``Retriever.retrieve`` raises, of the same classes.
        """
        return self.retrieve_batch([question], k, filter, diversity=diversity, min_relevance=min_relevance)[0]

    def retrieve_batch(
        self,
        questions: Sequence[str],
        k: int | None = None,
        filter: Where = None,
        *,
        vectors: Any = None,
        diversity: Diversity | None = None,
        min_relevance: float | None = None,
    ) -> list[list[Hit]]:
        """Passages for many questions, in one request, see ``Retriever.retrieve_batch``."""
        body = self._asked(questions, k, filter, vectors, diversity, min_relevance)
        return self.store.retrieved(body, len(body["questions"])) if body["questions"] else []

    def retrieve_by_vectors(
        self,
        vectors: Any,
        k: int | None = None,
        filter: Where = None,
        *,
        diversity: Diversity | None = None,
        min_relevance: float | None = None,
    ) -> list[list[Hit]]:
        """Passages for questions that are encoded already, float [n, dim], see ``Retriever.retrieve_by_vectors``."""
        body = options_of(self._k(k), filter, self._said, diversity, min_relevance, vectors)
        return self.store.retrieved(body, len(body["vectors"]))

    async def aretrieve(
        self,
        question: str,
        k: int | None = None,
        filter: Where = None,
        *,
        diversity: Diversity | None = None,
        min_relevance: float | None = None,
    ) -> list[Hit]:
        """Like :meth:`retrieve`, without holding up the event loop."""
        found = await self.aretrieve_batch([question], k, filter, diversity=diversity, min_relevance=min_relevance)
        return found[0]

    async def aretrieve_batch(
        self,
        questions: Sequence[str],
        k: int | None = None,
        filter: Where = None,
        *,
        diversity: Diversity | None = None,
        min_relevance: float | None = None,
    ) -> list[list[Hit]]:
        """Like :meth:`retrieve_batch`, without holding up the event loop."""
        body = self._asked(questions, k, filter, None, diversity, min_relevance)
        return await self.store.aretrieved(body, len(body["questions"])) if body["questions"] else []

    def _asked(
        self,
        questions: Sequence[str],
        k: int | None,
        where: Where,
        vectors: Any,
        diversity: Diversity | None,
        min_relevance: float | None,
    ) -> dict[str, Any]:
        options = options_of(self._k(k), where, self._said, diversity, min_relevance, vectors)
        return {"questions": check_questions(questions), **options}

    def _k(self, k: int | None) -> int:
        return self.k if k is None else check_count("k", k, VectorError)

    def close(self) -> None:
        """Close the connections, unless an open store was given; the service goes on."""
        if self._owned:
            self.store.close()

    async def aclose(self) -> None:
        """Close the connections, those of this event loop among them."""
        if self._owned:
            await self.store.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.store.path!r}, k={self.k})"
