"""``RemoteRetriever``: ``Retriever``'s interface for a store behind a service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from dpr_rag.arguments import check_count, names_known
from dpr_rag.errors import ArgumentError, VectorError
from dpr_rag.filters import Where
from dpr_rag.fusion import Calibration, Diversity, Fusion, Mode, Ranking, RankingOptions, SearchRequest, ranking_given
from dpr_rag.fusion.options import OF_RETRIEVE
from dpr_rag.passages import Hit
from dpr_rag.remote.requests import ranking_record
from dpr_rag.remote.store import RemoteStore

_OTHER_PLACES = {
    **OF_RETRIEVE,
    **dict.fromkeys(("url", "uri", "base_url", "host", "endpoint", "path"), "address"),
    **dict.fromkeys(("reranker", "rerank", "rerank_weight"), "dpr-rag serve, by its option --rerank"),
}


class RemoteRetriever:
    """Retrieves passages from a store behind ``dpr-rag serve``; every call is one request.

    The hits equal those of a ``Retriever`` on the store itself: the same passages, order and scores, to the bit.
    ``aretrieve`` and ``aretrieve_batch`` block neither the event loop nor a thread.

    Args:
        address: Address of the service, such as ``http://127.0.0.1:8000``; or an open ``RemoteStore``.
        store: Name of the store, if the service has several.
        token: The service's token; None takes the environment variable ``DPR_RAG_TOKEN``.
        k: Hits per question, the default of all methods.
        mode: See ``Retriever``; so for the arguments up to ``ranking``.
        weight: λ.
        fusion: How the two lists are joined.
        candidates: How many passages each list has.
        k1: Parameter of BM25.
        b: Parameter of BM25.
        phrases: Weight of adjacent words.
        ranking: A complete ``Ranking`` instead of these options.
        timeout: Seconds per attempt, by default 30.
        retries: How often a request is sent again after a failed connection, or while the service is busy, by default 4.
        uds: Path of a Unix socket to connect to instead of the address's host.

    Raises:
        VectorError: k is below 1, or an option is out of range or goes with another mode.
        PathError: The address is not valid.
        ArgumentError: An open store was given with what opens one.
    """

    @names_known(**_OTHER_PLACES)
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
        timeout: float | None = None,
        retries: int | None = None,
        uds: str | None = None,
    ) -> None:
        self.k = check_count("k", k, VectorError)
        self._ranking = ranking_given(ranking, RankingOptions(mode, weight, fusion, candidates, k1, b, phrases))
        self._owned = not isinstance(address, RemoteStore)
        options = {"store": store, "token": token, "timeout": timeout, "retries": retries, "uds": uds}
        given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        if isinstance(address, RemoteStore) and given:
            raise ArgumentError(
                f"{next(iter(given))} goes with an address, and this RemoteStore is open already; leave it out, or give it "
                "to RemoteStore"
            )
        self.store = address if isinstance(address, RemoteStore) else RemoteStore(address, **given)

    @property
    def ranking(self) -> Ranking:
        """The ranking; options that were left out are as the store was tuned."""
        ranking = self._ranking
        return ranking if isinstance(ranking, Ranking) else self.store.ranking_of(ranking or RankingOptions())

    @property
    def calibration(self) -> Calibration:
        """The calibration of this retriever's scores, see ``PassageStore.calibration_of``."""
        return self.store.calibration_for(ranking_record(self._ranking))

    def relevance(self, score: float) -> float:
        """The relevance of a score, in [0, 1]. Each call is a request; for many scores use :attr:`calibration`."""
        return self.calibration.relevance(score)

    @names_known()
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
            ServiceError: The service cannot be reached, is busy or slow.
            DprRagError: The errors of ``Retriever.retrieve``, of the same classes.
        """
        request = SearchRequest([question], k, filter, diversity=diversity, min_relevance=min_relevance)
        return self.execute(request)[0]

    @names_known()
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
        """Passages for many questions, 256 in a request, see ``Retriever.retrieve_batch``."""
        request = SearchRequest(questions, k, filter, vectors, diversity=diversity, min_relevance=min_relevance)
        return self.execute(request)

    @names_known()
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
        request = SearchRequest(None, k, filter, vectors, diversity=diversity, min_relevance=min_relevance)
        return self.execute(request)

    @names_known()
    async def aretrieve(
        self,
        question: str,
        k: int | None = None,
        filter: Where = None,
        *,
        diversity: Diversity | None = None,
        min_relevance: float | None = None,
    ) -> list[Hit]:
        """Like :meth:`retrieve`, without blocking the event loop."""
        request = SearchRequest([question], k, filter, diversity=diversity, min_relevance=min_relevance)
        return (await self.aexecute(request))[0]

    @names_known()
    async def aretrieve_batch(
        self,
        questions: Sequence[str],
        k: int | None = None,
        filter: Where = None,
        *,
        diversity: Diversity | None = None,
        min_relevance: float | None = None,
    ) -> list[list[Hit]]:
        """Like :meth:`retrieve_batch`, without blocking the event loop."""
        request = SearchRequest(questions, k, filter, diversity=diversity, min_relevance=min_relevance)
        return await self.aexecute(request)

    def execute(self, request: SearchRequest) -> list[list[Hit]]:
        """Hits for each question, or each vector, of one request, see ``Retriever.execute``."""
        return [] if request.questions == [] else self.store.execute(self._completed(request))

    async def aexecute(self, request: SearchRequest) -> list[list[Hit]]:
        """Like :meth:`execute`, without blocking the event loop."""
        return [] if request.questions == [] else await self.store.aexecute(self._completed(request))

    def _completed(self, request: SearchRequest) -> SearchRequest:
        """The request with the retriever's ``k`` and ranking where its own are None."""
        k, ranking = request.k, request.ranking
        return replace(request, k=self.k if k is None else k, ranking=self._ranking if ranking is None else ranking)

    def close(self) -> None:
        """Close the connections, unless the retriever was made from an open store."""
        if self._owned:
            self.store.close()

    async def aclose(self) -> None:
        """Close the connections, including those of this event loop."""
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
