"""The protocols ``Store`` and ``WholeStore`` that every kind of store implements, and ``open_store``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from inspect import getattr_static
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeGuard, cast

from dpr_rag.arguments import check_count, kind
from dpr_rag.encoder import Encoder, Vectors
from dpr_rag.errors import ArgumentError, StoreError, VectorError
from dpr_rag.filters import Filter, Where
from dpr_rag.fusion import Calibration, Diversity, Ranking, RankingOptions, SearchRequest, Tuned
from dpr_rag.passages import Hit, Passage
from dpr_rag.paths import is_milvus, is_service

if TYPE_CHECKING:
    from dpr_rag.store.reports import AddReport, Facts, MadeBy
    from dpr_rag.store.sources import Replace


class Store(Protocol):
    """The methods of a store that ``Retriever`` uses, and through it ``evaluate`` and the adapters' retrievers.

    Implemented by ``PassageStore`` and its views (a folder), ``RemoteStore`` (a service) and ``MilvusStore`` (an engine).
    ``PassageStore`` documents the methods; all raise the same classes of errors. To test whether a value is a store, call
    :func:`is_store`.
    """

    @property
    def path(self) -> Path | str:
        """The folder, or the address without its token."""
        ...

    @property
    def encoder(self) -> Encoder | None:
        """The encoder that the store was opened with; None if there is none, or the store is a service, which encodes itself."""
        ...

    @property
    def ranking(self) -> Ranking:
        """The ranking of searches that name none."""
        ...

    def add(self, passages: Iterable[Passage], *, vectors: Iterable[Any] | None = None) -> AddReport | dict[str, int]:
        """Add passages, or replace those with the same id."""
        ...

    def delete(self, ids: Iterable[str] | None = None, *, filter: Where = None) -> int:
        """Delete passages by id or by filter."""
        ...

    def get(self, ids: Iterable[str]) -> list[Passage]:
        """Passages by id, in the order of ``ids``; unknown ids are left out."""
        ...

    def select(self, filter: Where = None, k: int | None = None) -> list[Passage]:
        """Passages that match a filter, in order of insertion."""
        ...

    def count(self, filter: Where = None) -> int:
        """The number of passages, or of those that match a filter."""
        ...

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
        """Maximum inner product search; ``score`` is the exact inner product."""
        ...

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
        """Search for questions in words."""
        ...

    def encode_questions(self, questions: Sequence[str]) -> Vectors:
        """Encode questions, float32 [n, dim]."""
        ...

    def ranking_of(self, options: RankingOptions, /) -> Ranking:
        """The store's ranking with some options replaced."""
        ...

    def settled(self, ranking: Ranking) -> Ranking:
        """The ranking with the store's tuned λ, unless it has a λ of its own."""
        ...

    def calibration_of(self, ranking: Ranking) -> Calibration:
        """The calibration of a ranking's scores."""
        ...

    def close(self) -> None:
        """Close files and connections."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *raised: Any) -> None: ...


class WholeStore(Store, Protocol):
    """A store whose passages and vectors can all be read, as copying and mining need."""

    @property
    def dim(self) -> int | None:
        """Components per vector; None while the store is empty and has no encoder."""
        ...

    def info(self) -> Facts:
        """Counts and settings of the store; not available for a view."""
        ...

    def made_by(self) -> MadeBy:
        """What made the vectors; of a view what made those of its store."""
        ...

    @property
    def tuned(self) -> Tuned | None:
        """The tuned ranking, or None."""
        ...

    def set_tuned(self, choice: Tuned | None) -> None:
        """Save a tuned ranking in the store; None removes it."""
        ...

    def note_filled(self, runs: Mapping[str, str]) -> None:
        """Record the software that made vectors from now on."""
        ...

    def restricted(self, filter: Filter | Mapping[str, Any]) -> Self:
        """A view of the passages that match a filter."""
        ...

    def add(
        self,
        passages: Iterable[Passage],
        *,
        vectors: Iterable[Any] | None = None,
        batch_size: int = ...,
        progress: Callable[[AddReport], None] | None = ...,
        replace: Replace = ...,
    ) -> AddReport:
        """Add passages, or replace those with the same id, in batches."""
        ...

    def __iter__(self) -> Iterator[Passage]:
        """All passages, in order of insertion."""
        ...

    def batches(self, size: int = ...) -> Iterator[tuple[list[Passage], Vectors]]:
        """All passages with their vectors, in order of insertion."""
        ...

    def get_vectors(self, ids: Iterable[str]) -> dict[str, Vectors]:
        """Stored vectors by id, float32 [dim] each; unknown ids are left out."""
        ...

    def sample(self, count: int) -> tuple[list[Passage], Vectors]:
        """A random sample of passages, the same while the store does not change, and their vectors, float32 [n, dim]."""
        ...


_MISSING = object()
_METHODS = (
    *("path", "encoder", "ranking", "add", "delete", "get", "select", "count", "search", "rank"),
    *("encode_questions", "ranking_of", "settled", "calibration_of", "close"),
)


def has_all(value: object, names: Iterable[str]) -> bool:
    """Whether a value has attributes of these names; properties are not evaluated."""
    return all(getattr_static(value, name, _MISSING) is not _MISSING for name in names)


def is_store(value: object) -> TypeGuard[Store]:
    """Whether a value has all methods of a :class:`Store`; properties are not evaluated, and a class is not a store."""
    return not isinstance(value, type) and has_all(value, _METHODS)


def execute(store: Store, request: SearchRequest) -> list[list[Hit]]:
    """Execute a request on a store: ``Store.rank`` for questions, ``Store.search`` for vectors without questions.

    Args:
        store: The store.
        request: The request, with a ``k``.

    Returns:
        Hits for each question, or for each vector.

    Raises:
        VectorError: ``k`` is None.
        DprRagError: The errors of the two methods.
    """
    k, ranking = check_count("k", request.k, VectorError), request.ranking
    options: Any = {"diversity": request.diversity, "min_relevance": request.min_relevance}
    if request.questions is None:
        return store.search(request.vectors, k, request.filter, exact=request.exact, **options)
    if isinstance(ranking, RankingOptions):
        ranking = store.ranking_of(ranking)
    return store.rank(request.questions, k, request.filter, ranking=ranking, vectors=request.vectors, **options)


def whole(store: object) -> WholeStore:
    """Check that a value is a store all passages and vectors of which can be read, and return it.

    Raises:
        ArgumentError: It is no store.
        StoreError: It is a service, which sends no vectors.
    """
    if not isinstance(store, type) and hasattr(store, "batches"):
        return cast(WholeStore, store)
    if not is_store(store):
        raise ArgumentError(f"store is {kind(store)}, expected an open store; open one with open_store(address)")
    raise StoreError(
        f"{store.path} is a service, which gives out no vectors; name the folder or the collection behind it"
    )


def open_store(
    address: str | os.PathLike[str],
    *,
    encoder: Encoder | None = None,
    create: bool = True,
    read_only: bool = False,
    index: str = "auto",
    token: str | None = None,
    timeout: float = 30.0,
    partition_key: str | None = None,
) -> Store:
    """Open the store at an address: a folder, a service or an engine.

    Args:
        address: A folder; ``http://host:port`` or ``https://…`` of ``dpr-rag serve``, with ``?store=NAME`` if it has several
            stores; ``milvus://host:19530/collection`` or ``milvus+tls://…`` of a Milvus server; or ``milvus+lite:file.db``
            for a file of milvus-lite.
        encoder: Encodes passages and questions; a service has its own.
        create: Create a store or a collection if there is none.
        read_only: Refuse every change.
        index: For a new store: see ``PassageStore.open``, or ``MilvusStore.open``.
        token: Token of a service or a Milvus server; None takes the environment variable ``DPR_RAG_TOKEN``, or
            ``MILVUS_TOKEN``.
        timeout: Seconds to wait for another writer, or for an answer.
        partition_key: For a new Milvus collection: see ``MilvusStore.open``.

    Raises:
        ArgumentError: An argument does not apply to this kind of address.
        PathError: It is neither a valid address nor a path.
        DprRagError: The errors of opening that kind of store.
    """
    if partition_key is not None and not is_milvus(address):
        raise ArgumentError("partition_key goes with a new collection of a Milvus; leave it out")
    if is_service(address):
        if encoder is not None or index != "auto" or read_only:
            raise ArgumentError(
                f"{address!r:.200} is a service, which has its own encoder, index and rights; leave out encoder, index and "
                "read_only"
            )
        from dpr_rag.remote import RemoteStore

        return RemoteStore(str(address), token=token, timeout=timeout)
    if is_milvus(address):
        from dpr_rag.milvus import MilvusStore

        options: dict[str, Any] = {"create": create, "read_only": read_only, "index": index, "timeout": timeout}
        return MilvusStore.open(str(address), encoder=encoder, token=token, partition_key=partition_key, **options)
    if token is not None:
        raise ArgumentError(
            "token goes with the address of a service or of a Milvus, and this is a folder; leave it out"
        )
    from dpr_rag.store import PassageStore

    return PassageStore.open(address, encoder=encoder, create=create, read_only=read_only, index=index, timeout=timeout)


if TYPE_CHECKING:
    from dpr_rag.milvus import MilvusStore as _Milvus
    from dpr_rag.remote import RemoteStore as _Remote
    from dpr_rag.store import PassageStore as _Local

    def _proof(local: _Local, remote: _Remote, milvus: _Milvus) -> tuple[Store, WholeStore, WholeStore]:
        """Fails type checking if one of the classes does not implement the protocol."""
        return remote, local, milvus
