"""``RemoteStore``: the client of a service, with the interface of a store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, NoReturn, Self

from dpr_rag.arguments import check_count, check_seconds, iterated, kind, names_known
from dpr_rag.encoder import check_given
from dpr_rag.errors import ArgumentError, StoreError, StoreReadOnlyError, VectorError
from dpr_rag.filters import Where
from dpr_rag.fusion import Diversity, Ranking, SearchRequest
from dpr_rag.handed_over import ids_of, passages_of, refuse_single
from dpr_rag.passages import Hit, Passage, check_questions
from dpr_rag.remote.access import token_of
from dpr_rag.remote.requests import (
    IDS_AT_ONCE,
    check_text,
    filter_record,
    refuse_repeated,
    request_parts,
    spans,
    split_address,
)
from dpr_rag.remote.settings import Settings
from dpr_rag.remote.wire import hits_of, of_type, passage_of, passage_record, understood, vectors_record
from dpr_rag.sharing import Shared

_SHORTEST = 0.001  # with 0, no connection would ever be made


class RemoteStore(Shared, Settings):
    """A store behind ``dpr-rag serve``, with the methods of a ``PassageStore`` that retrieve, add and delete.

    The service encodes, so ``encoder`` is None. Methods raise the same classes of errors as ``PassageStore``. Threads, event
    loops and forked children may share one.

    Args:
        address: Address of the service, such as ``http://127.0.0.1:8000``; ``?store=NAME`` at its end names the store.
        store: Name of the store, if the service has several.
        token: The service's token; None takes the environment variable ``DPR_RAG_TOKEN``.
        timeout: Seconds per attempt, at least 0.001.
        retries: How often a request is sent again after a failed connection, or while the service is busy.
        uds: Path of a Unix socket to connect to instead of the address's host.
        private: Whether passages include the private data of adapters, see ``Passage.visible_metadata``.

    Raises:
        PathError: The address is not valid.
        AccessError: The token is empty or holds characters that a header cannot.
        ArgumentError: Another argument has the wrong type or is out of range.
        MissingExtraError: httpx is not installed.
    """

    encoder = None

    @names_known()
    def __init__(
        self,
        address: str,
        store: str | None = None,
        *,
        token: str | None = None,
        timeout: float = 30.0,
        retries: int = 4,
        uds: str | None = None,
        private: bool = False,
    ) -> None:
        from dpr_rag.remote.channel import Channel  # the adapters know this class without httpx

        base, name_in_address = split_address(address)
        for name, value in (("store", store), ("uds", uds)):
            if value is not None:
                check_text(name, value)
        timeout = check_seconds("timeout", timeout, ArgumentError, low=_SHORTEST)
        retries = check_count("retries", retries, ArgumentError, least=0)
        self.name = store if store is not None else name_in_address
        self._channel = Channel(base, token=token_of(token), timeout=timeout, retries=retries, uds=uds)
        self._store_field = {} if self.name is None else {"store": self.name}
        self._private = {"private": True} if private else {}

    def with_private(self) -> Self:
        """The same client, on the same connections, with ``private`` set."""
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__, _private={"private": True})
        return copied

    @property
    def path(self) -> str:
        """The address, with the store's name if it was given."""
        return self._channel.address if self.name is None else f"{self._channel.address}?store={self.name}"

    @names_known()
    def rank(
        self,
        questions: Sequence[str],
        k: int,
        filter: Where = None,
        *,
        ranking: Ranking | None = None,
        vectors: Any = None,
        diversity: Diversity | None = None,
        min_relevance: float | None = None,
    ) -> list[list[Hit]]:
        """Search for questions in words, see ``PassageStore.rank``."""
        options: Any = {"ranking": ranking, "diversity": diversity, "min_relevance": min_relevance}
        return self.execute(SearchRequest(check_questions(questions), k, filter, vectors, **options))

    @names_known()
    async def arank(
        self,
        questions: Sequence[str],
        k: int,
        filter: Where = None,
        *,
        ranking: Ranking | None = None,
        vectors: Any = None,
        diversity: Diversity | None = None,
        min_relevance: float | None = None,
    ) -> list[list[Hit]]:
        """Like :meth:`rank`, without blocking the event loop."""
        options: Any = {"ranking": ranking, "diversity": diversity, "min_relevance": min_relevance}
        return await self.aexecute(SearchRequest(check_questions(questions), k, filter, vectors, **options))

    @names_known()
    def search(
        self,
        vectors: Any,
        k: int,
        filter: Where = None,
        *,
        exact: bool = False,
        diversity: Diversity | None = None,
        min_relevance: float | None = None,
    ) -> list[list[Hit]]:
        """Maximum inner product search, see ``PassageStore.search``."""
        if vectors is None:
            raise VectorError("vectors is NoneType None, expected float [n, dim]; rank() takes questions in words")
        request = SearchRequest(None, k, filter, vectors, exact=exact, diversity=diversity, min_relevance=min_relevance)
        return self.execute(request)

    def execute(self, request: SearchRequest) -> list[list[Hit]]:
        """Hits for each question, or each vector, of a request with ``k``.

        Raises:
            ServiceError: The service cannot be reached, is busy or slow.
            DprRagError: The error that the service reports, of the class that was raised there.
        """
        found = []
        for body, count in request_parts(request):
            found += hits_of(self._post("/v1/retrieve", {**body, **self._private}), count)
        return found

    async def aexecute(self, request: SearchRequest) -> list[list[Hit]]:
        """Like :meth:`execute`, without blocking the event loop."""
        found, fields = [], {**self._private, **self._store_field}
        for body, count in request_parts(request):
            found += hits_of(await self._channel.apost("/v1/retrieve", {**body, **fields}), count)
        return found

    @names_known()
    def select(self, filter: Where = None, k: int | None = None) -> list[Passage]:
        """Passages that match a filter, in order of insertion, see ``PassageStore.select``.

        Raises:
            RequestError: There are more than the service sends in one answer; give ``k``.
        """
        first = {} if k is None else {"k": check_count("k", k, VectorError, more=", or None for all")}
        body = {"filter": filter_record(filter) or {}, **first, **self._private}
        return self._passages(body)

    def get(self, ids: Iterable[str]) -> list[Passage]:
        """Passages by id, in the order of ``ids``; unknown ids are left out."""
        wanted = ids_of(ids)
        parts = (wanted[start : start + IDS_AT_ONCE] for start in range(0, len(wanted) or 1, IDS_AT_ONCE))
        return [passage for part in parts for passage in self._passages({"ids": part, **self._private})]

    @names_known()
    def count(self, filter: Where = None) -> int:
        """The number of passages, or of those that match a filter."""
        where = filter_record(filter)
        answer = self._post("/v1/passages/count", {} if where is None else {"filter": where})
        with understood("count"):
            return of_type(int, answer["count"])

    def __len__(self) -> int:
        return self.count()

    def __contains__(self, passage_id: object) -> bool:
        return isinstance(passage_id, str) and bool(self.get([passage_id]))

    @names_known()
    def add(self, passages: Iterable[Passage], *, vectors: Iterable[Any] | None = None) -> dict[str, int]:
        """Add passages, or replace those with the same id; the service must have been started with ``--writable``.

        More than a service takes at once go in several requests; where one fails, what those before it brought is stored.
        What an adapter keeps in a passage, and the file that it was read from, are not sent.

        Returns:
            Counts under the keys ``added``, ``replaced`` and ``unchanged``.

        Raises:
            StoreReadOnlyError: The service was started without ``--writable``.
            VectorError: The vectors are not one row of finite numbers for each passage.
        """
        refuse_single(passages)
        checked = list(passages_of(passages))
        lists: dict[str, list[Any]] = {"passages": [passage_record(passage) for passage in checked]}
        if vectors is not None:
            rows = iterated("vectors", vectors, "one vector for each passage", error=VectorError, advice="give a list")
            lists["vectors"] = vectors_record(check_given(rows, [passage.id for passage in checked]))
        parts = list(spans(lists))
        if len(parts) > 1:  # of one request, the service finds out
            refuse_repeated(lists)
        counts = dict.fromkeys(("added", "replaced", "unchanged"), 0)
        for part in parts:
            answer = self._post("/v1/passages", {name: values[part] for name, values in lists.items()})
            with understood("counts"):
                counts = {name: counts[name] + of_type(int, answer[name]) for name in counts}
        return counts

    @names_known()
    def delete(self, ids: Iterable[str] | None = None, *, filter: Where = None) -> int:
        """Delete passages like ``PassageStore.delete``, in one commit; the service must have been started with ``--writable``.

        The request is not sent again if the connection breaks: a second one could not count what the first had deleted.

        Returns:
            How many passages were deleted; unknown ids are ignored.
        """
        if ids is None and filter is None:
            raise StoreError(
                "delete() got neither ids nor a filter; give one of them, or both for the passages that fit both"
            )
        if isinstance(ids, Mapping):
            raise StoreError(f"ids is {kind(ids)}, expected a list of ids; to delete what a filter keeps, pass filter=")
        body: dict[str, Any] = {} if ids is None else {"ids": ids_of(ids)}
        where = filter_record(filter)
        body |= {} if where is None else {"filter": where}
        answer = self._post("/v1/passages/delete", body, repeatable=False)
        with understood("count"):
            return of_type(int, answer["deleted"])

    @property
    def private(self) -> NoReturn:
        """Not available: a service keeps no data for adapters.

        Raises:
            StoreReadOnlyError: Always.
        """
        raise StoreReadOnlyError(
            f"{self.path} is a service, which keeps nothing for adapters; change the store where it lies"
        )

    def close(self) -> None:
        """Close the connections."""
        self._channel.close()

    async def aclose(self) -> None:
        """Close the connections, including those of this event loop."""
        await self._channel.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _passages(self, body: Mapping[str, Any]) -> list[Passage]:
        answer = self._post("/v1/passages/get", body)
        with understood("passages"):
            return [passage_of(record) for record in answer["passages"]]

    def _post(self, path: str, body: Mapping[str, Any], *, repeatable: bool = True) -> dict[str, Any]:
        return self._channel.post(path, {**body, **self._store_field}, repeatable=repeatable)

    def _instead_of_pickling(self) -> str:
        return f"{self!r} holds connections and cannot be pickled; make it where it is used, from its address"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r})"
