"""What is asked of any store, wherever its passages lie; and the one place that opens a store by its address."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from inspect import getattr_static
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeGuard, cast

from dpr_rag.encoder import Encoder, Vectors
from dpr_rag.errors import ArgumentError, StoreError
from dpr_rag.filters import Filter
from dpr_rag.fusion import Calibration, Diversity, Ranking, Tuned, Wishes
from dpr_rag.passages import Hit, Passage
from dpr_rag.paths import is_engine, is_service

if TYPE_CHECKING:
    from dpr_rag.store.reports import AddReport, Facts
    from dpr_rag.store.sources import Replace

Where = Filter | Mapping[str, Any] | Callable[[Passage], bool] | None


class Store(Protocol):
    """What ``Retriever``, and with it ``evaluate`` and the adapters' retrievers, ask of a store.

    ``PassageStore`` and its views keep it, ``RemoteStore`` over HTTP, ``MilvusStore`` over an engine. What the methods mean
    is said by those of ``PassageStore``; errors are of the same classes. Ask :func:`is_store` whether something is one.
    """

    @property
    def path(self) -> Path | str:
        """The folder, or the address without secrets."""
        ...

    @property
    def encoder(self) -> Encoder | None:
        """The encoder it was opened with; None where there is none, or where a service encodes."""
        ...

    @property
    def ranking(self) -> Ranking:
        """How passages are ranked where a call does not say."""
        ...

    def add(self, passages: Iterable[Passage], *, vectors: Iterable[Any] | None = None) -> AddReport | dict[str, int]:
        """Add passages, or replace those whose id exists."""
        ...

    def delete(self, ids: Iterable[str] | None = None, *, filter: Where = None) -> int:
        """Delete passages by id or by filter."""
        ...

    def get(self, ids: Iterable[str]) -> list[Passage]:
        """Passages by id, in the order asked for; unknown ids are left out."""
        ...

    def select(self, filter: Where = None, k: int | None = None) -> list[Passage]:
        """Passages that a filter keeps, in order of insertion."""
        ...

    def count(self, filter: Where = None) -> int:
        """How many passages there are, or how many a filter keeps."""
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

    def ranking_of(self, wishes: Wishes) -> Ranking:
        """How passages are ranked where a call says so much."""
        ...

    def settled(self, ranking: Ranking) -> Ranking:
        """A ranking with its λ, where it leaves that to the store."""
        ...

    def calibration_of(self, ranking: Ranking) -> Calibration:
        """What turns the scores of a ranking into relevances."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *raised: Any) -> None: ...


class WholeStore(Store, Protocol):
    """A store all of whose passages and vectors can be read, as copying, mining and maps ask it."""

    @property
    def dim(self) -> int | None:
        """Components per vector, or None while nothing has fixed it."""
        ...

    def info(self) -> Facts:
        """The store in figures; a view has none."""
        ...

    @property
    def tuned(self) -> Tuned | None:
        """What it was tuned to, or None."""
        ...

    def set_tuned(self, choice: Tuned | None) -> None:
        """Keep a choice in the store."""
        ...

    def note_filled(self, runs: Mapping[str, str]) -> None:
        """Record what else made vectors, and since when."""
        ...

    def restricted(self, filter: Filter | Mapping[str, Any]) -> Self:
        """A view of the passages that a filter keeps."""
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
        """Add passages, or replace those whose id exists; so many at once."""
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
        """Passages drawn at random, the same ones while the store does not change, and their vectors."""
        ...


_LACKING = object()
_PARTS = (
    *("path", "encoder", "ranking", "add", "delete", "get", "select", "count", "search", "rank"),
    *("encode_questions", "ranking_of", "settled", "calibration_of", "close"),
)


def has_all(value: object, names: Iterable[str]) -> bool:
    """Whether a value has attributes of these names, none of which is evaluated."""
    return all(getattr_static(value, name, _LACKING) is not _LACKING for name in names)


def is_store(value: object) -> TypeGuard[Store]:
    """Whether a value has all that a :class:`Store` has; nothing of it is evaluated, and a class is none."""
    return not isinstance(value, type) and has_all(value, _PARTS)


def whole(store: Store) -> WholeStore:
    """A store all of which can be read.

    Raises:
        StoreError: It is a service, which gives out no vectors.
    """
    if not has_all(store, ["batches"]):
        raise StoreError(
            f"{store.path} is a service, which gives out no vectors; name the folder or the collection behind it"
        )
    return cast(WholeStore, store)


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
    """Open the store at an address, so that those who outgrow a machine change an address and not their code.

    Args:
        address: A folder; ``http://host:port`` or ``https://…`` of a ``dpr-rag serve``, where
            ``?store=NAME`` names one of several; ``milvus://host:19530/collection`` or ``milvus+tls://…`` of a Milvus;
            ``milvus+lite:file.db`` of a file of milvus-lite.
        encoder: Encodes passages and questions; a service encodes by itself.
        create: Create a store or a collection if there is none.
        read_only: Refuse every change.
        index: For a new store: see ``PassageStore.open``, or ``MilvusStore.open``.
        token: What opens a service or a Milvus; None takes the environment variable ``DPR_RAG_TOKEN``, or ``MILVUS_TOKEN``.
        timeout: Seconds to wait for another writer, or for an answer.
        partition_key: For a new collection of a Milvus: see ``MilvusStore.open``.

    Raises:
        ArgumentError: An argument goes with another kind of address.
        PathError: It is no address and no path.
        DprRagError: What opening it there raises.
    """
    if partition_key is not None and not is_engine(address):
        raise ArgumentError("partition_key goes with a new collection of a Milvus; leave it out")
    if is_service(address):
        if encoder is not None or index != "auto" or read_only:
            raise ArgumentError(
                f"{address!r:.200} is a service, which has its own encoder, index and rights; leave out encoder, index and "
                "read_only"
            )
        from dpr_rag.remote import RemoteStore

        return RemoteStore(str(address), token=token, timeout=timeout)
    if is_engine(address):
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
        """The type checker refuses this where one of them does not keep the protocol."""
        return remote, local, milvus
