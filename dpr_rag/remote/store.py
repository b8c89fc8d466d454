"""``RemoteStore``: what a ``PassageStore`` can be asked, asked of a service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any, NoReturn, Self

from dpr_rag.arguments import check_count, check_instance, check_number, iterated, kind
from dpr_rag.encoder import Vectors, check_vectors
from dpr_rag.errors import ArgumentError, PassageError, ServiceError, StoreError, StoreReadOnlyError, VectorError
from dpr_rag.fusion import Calibration, Diversity, Fusion, Mode, Ranking, Wishes
from dpr_rag.passages import Hit, Passage, check_questions
from dpr_rag.remote.access import token_of
from dpr_rag.remote.asking import Where, check_text, options_of, parted, said_of, where_record
from dpr_rag.remote.wire import hits_of, passage_of, passage_record, ranking_of, vectors_record
from dpr_rag.sharing import Shared


class RemoteStore(Shared):
    """A store behind ``dpr-rag serve``, with the methods of a ``PassageStore`` that retrieve, and those that change passages.

    The service encodes; ``encoder`` is None. Errors are of the classes that the store raises where it lies. Usable from
    threads, event loops and forked children.

    Args:
        address: Where the service listens, such as ``http://127.0.0.1:8000``; ``?store=NAME`` at its end names the store.
        store: Name of the store, where the service has several.
        token: What opens the service; None takes the environment variable ``DPR_RAG_TOKEN``.
        timeout: Seconds that each attempt may take.
        retries: How often a request is repeated that did not get through, or was refused for now.
        uds: Path of a Unix socket to connect to instead of the address's host.
        private: Whether passages come with what an adapter keeps in them, see ``Passage.visible_metadata``.

    Raises:
        PathError: The address is none.
        AccessError: The token cannot be one.
        ArgumentError: Another argument is of another type, or out of range.
        MissingExtraError: httpx is not installed.
    """

    encoder = None

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

        plain, named = parted(address)
        for name, value in (("store", store), ("uds", uds)):
            if value is not None:
                check_text(name, value)
        timeout = check_number("timeout", timeout, ArgumentError, more=" of seconds")
        retries = check_count("retries", retries, ArgumentError, least=0)
        self.name = store if store is not None else named
        self._channel = Channel(plain, token=token_of(token), timeout=timeout, retries=retries, uds=uds)
        self._always = {} if self.name is None else {"store": self.name}
        self._private = {"private": True} if private else {}

    @property
    def path(self) -> str:
        """The address, and the store's name where it has one."""
        return self._channel.address if self.name is None else f"{self._channel.address}?store={self.name}"

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
        body = _ranked(questions, ranking, options_of(k, filter, {}, diversity, min_relevance, vectors))
        return self.retrieved(body, len(body["questions"]))

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
        """Like :meth:`rank`, without holding up the event loop."""
        body = _ranked(questions, ranking, options_of(k, filter, {}, diversity, min_relevance, vectors))
        return await self.aretrieved(body, len(body["questions"]))

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
        options = options_of(k, filter, {"exact": exact}, diversity, min_relevance, vectors)
        return self.retrieved(options, len(options["vectors"]))

    def retrieved(self, asked: Mapping[str, Any], questions: int) -> list[list[Hit]]:
        """The hits for what is asked in the service's own words."""
        return hits_of(self._ask("/v1/retrieve", {**asked, **self._private}), questions)

    async def aretrieved(self, asked: Mapping[str, Any], questions: int) -> list[list[Hit]]:
        """Like :meth:`retrieved`, without holding up the event loop."""
        body = {**asked, **self._private, **self._always}
        return hits_of(await self._channel.aask("/v1/retrieve", body), questions)

    def select(self, filter: Where = None, k: int | None = None) -> list[Passage]:
        """Passages that a filter keeps, in order of insertion, see ``PassageStore.select``.

        Raises:
            RequestError: They are more than the service gives at once; give ``k``.
        """
        body = {"filter": where_record(filter) or {}, **({} if k is None else {"k": k}), **self._private}
        return [passage_of(one) for one in self._ask("/v1/passages/get", body)["passages"]]

    def get(self, ids: Iterable[str]) -> list[Passage]:
        """Passages by id, in the order asked for; unknown ids are left out."""
        body = {"ids": _ids(ids), **self._private}
        return [passage_of(one) for one in self._ask("/v1/passages/get", body)["passages"]]

    def count(self, filter: Where = None) -> int:
        """How many passages there are, or how many a filter keeps."""
        where = where_record(filter)
        return int(self._ask("/v1/passages/count", {} if where is None else {"filter": where})["count"])

    def __len__(self) -> int:
        return self.count()

    def add(self, passages: Iterable[Passage], *, vectors: Iterable[Any] | None = None) -> dict[str, int]:
        """Add passages, or replace those whose id exists; the service has to be ``--writable``.

        Returns:
            How many were ``added``, ``replaced`` and ``unchanged``.

        Raises:
            StoreReadOnlyError: The service only reads.
        """
        given = iterated("passages", passages, "a list of passages", error=PassageError, one="wrap it in a list")
        checked = (check_instance("a passage", one, Passage, PassageError) for one in given)
        body: dict[str, Any] = {"passages": [passage_record(one) for one in checked]}
        if vectors is not None:
            body["vectors"] = vectors_record(vectors)
        return {name: int(number) for name, number in self._ask("/v1/passages", body).items()}

    def delete(self, ids: Iterable[str] | None = None, *, filter: Where = None) -> int:
        """Delete as ``PassageStore.delete`` does, in one commit; the service has to be ``--writable``.

        A connection that breaks meanwhile is an error, not tried again: what was deleted could not be counted.

        Returns:
            How many there were; unknown ids are ignored.
        """
        if isinstance(ids, Mapping):
            raise StoreError(f"ids is {kind(ids)}, expected a list of ids; to delete what a filter keeps, pass filter=")
        body: dict[str, Any] = {} if ids is None else {"ids": _ids(ids)}
        where = where_record(filter)
        body |= {} if where is None else {"filter": where}
        return int(self._ask("/v1/passages/delete", body, repeatable=False)["deleted"])

    def encode_questions(self, questions: Sequence[str]) -> Vectors:
        """Encode questions with the service's encoder, float32 [n, dim]."""
        asked = check_questions(questions)
        return check_vectors(self._ask("/v1/encode", {"questions": asked}).get("vectors"), rows=len(asked))

    @property
    def ranking(self) -> Ranking:
        """How passages are ranked where a call does not say."""
        return self.ranking_for()

    def ranking_for(
        self,
        mode: Mode | None = None,
        weight: float | None = None,
        fusion: Fusion | None = None,
        *,
        candidates: int | None = None,
        k1: float | None = None,
        b: float | None = None,
        phrases: float | None = None,
    ) -> Ranking:
        """How passages are ranked where a call says so much, see ``PassageStore.ranking_for``."""
        return self.ranking_of(Wishes(mode, weight, fusion, candidates, k1, b, phrases))

    def ranking_of(self, wishes: Wishes) -> Ranking:
        """The same for options that were put together."""
        return self._ranking(said_of(wishes))

    def settled(self, ranking: Ranking) -> Ranking:
        """A ranking with its λ, see ``PassageStore.settled``."""
        return self._ranking({"ranking": asdict(ranking), "settle": True})

    def calibration_of(self, ranking: Ranking) -> Calibration:
        """What turns the scores of a ranking into relevances, see ``PassageStore.calibration_of``."""
        return self.calibration_for({"ranking": asdict(ranking)})

    @property
    def calibration(self) -> Calibration:
        """What turns inner products into relevances, see ``PassageStore.calibration``."""
        return self.calibration_of(Ranking())

    def calibration_for(self, said: Mapping[str, Any]) -> Calibration:
        """The same for a ranking in the service's own words."""
        answer = self._ask("/v1/calibration", said)
        return Calibration(float(answer["slope"]), float(answer["offset"]))

    @property
    def private(self) -> NoReturn:
        """What adapters keep beside the passages stays where the store lies.

        Raises:
            StoreReadOnlyError: Always.
        """
        raise StoreReadOnlyError(
            f"{self.path} is a service, which keeps nothing for adapters; change the store where it lies"
        )

    def close(self) -> None:
        """Close the connections; the service goes on."""
        self._channel.close()

    async def aclose(self) -> None:
        """Close the connections, those of this event loop among them."""
        await self._channel.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ranking(self, said: Mapping[str, Any]) -> Ranking:
        try:
            return ranking_of(self._ask("/v1/ranking", said)["ranking"])
        except (KeyError, TypeError) as error:
            raise ServiceError(f"{self.path} answered no ranking; is another version of dpr-rag there?") from error

    def _ask(self, path: str, body: Mapping[str, Any], *, repeatable: bool = True) -> dict[str, Any]:
        return self._channel.ask(path, {**body, **self._always}, repeatable=repeatable)

    def _instead_of_pickling(self) -> str:
        return f"{self!r} holds connections and cannot be pickled; make it where it is used, from its address"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r})"


def _ids(ids: Iterable[str]) -> list[str]:
    """Ids as a list; a lone string is a mistake, not a list of characters."""
    return list(iterated("ids", ids, "a list of ids", error=StoreError, one=f"wrap it as [{ids!r:.80}]"))


def _ranked(questions: Sequence[str], ranking: Ranking | None, options: Mapping[str, Any]) -> dict[str, Any]:
    if ranking is not None:
        check_instance("ranking", ranking, Ranking, VectorError)
    said = {} if ranking is None else {"ranking": asdict(ranking)}
    return {"questions": check_questions(questions), **said, **options}
