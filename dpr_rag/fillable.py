"""The stores that adapters fill: their protocol, ``WholeStore`` with a way to find the adapter's own passages; opening one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

from dpr_rag.encoder import Encoder
from dpr_rag.errors import ArgumentError, PathError, StoreError
from dpr_rag.passages import Passage
from dpr_rag.paths import is_address, is_service
from dpr_rag.stores import Store, WholeStore, has_all

if TYPE_CHECKING:
    from dpr_rag.store.reports import AddReport

_METHODS = ("admitted", "restricted", "get_vectors")
_OF_A_FOLDER = ("dtype", "bind", "language")
_OF_A_MILVUS = ("token", "partition_key")


class Marks(Protocol):
    """Finds the passages that an adapter made by their marks, see ``dpr_rag.store.private.Private``.

    Attributes:
        keeps_records: Whether the store keeps records of an adapter beside the passages, as a folder does.
    """

    keeps_records: bool

    def marked(self, wanted: Iterable[str]) -> list[Passage]:
        """Passages with at least one of the marks, in order of insertion."""

    def add(
        self, passages: Sequence[Passage], *, vectors: Sequence[Any] | None = None, instead: Mapping[str, Sequence[str]]
    ) -> AddReport:
        """Add passages; ``instead`` maps the id of one to the ids of stored passages with the same text that it replaces."""

    def delete_marked(self, wanted: Iterable[str]) -> int:
        """Delete the passages with at least one of the marks, and return how many there were."""

    def check_repeats(self, passages: Iterable[Passage]) -> None:
        """Refuse an id that occurs twice with different contents."""


class FilledStore(WholeStore, Protocol):
    """A store that adapters can fill: a folder, or a collection of an engine."""

    @property
    def read_only(self) -> bool:
        """Whether the store refuses every change."""

    @property
    def is_temporary(self) -> bool:
        """Whether closing the store deletes it."""

    @property
    def private(self) -> Marks:
        """Finds the passages that an adapter made."""

    def admitted(self, passage: Passage) -> Passage:
        """The passage as ``add`` would store it: a view adds the metadata fields that its filter fixes."""


def is_fillable(store: Store) -> TypeGuard[FilledStore]:
    """Whether adapters can fill a store: yes for a folder or an engine, no for a service."""
    return has_all(store, _METHODS)


def filled(store: Store) -> FilledStore:
    """Check that adapters can fill a store, and return it.

    Raises:
        StoreError: It is a service.
    """
    if is_fillable(store):
        return store
    raise StoreError(
        f"{store.path} can be searched but not filled from here; add passages where they are stored, and use a retriever"
    )


def open_fillable(
    path: str | os.PathLike[str] | None,
    encoder: Encoder | None,
    *,
    create: bool,
    read_only: bool,
    advice: str,
    **options: Any,
) -> FilledStore:
    """Open or create a store that adapters can fill: in a folder, in a Milvus, or temporary without a path.

    Args:
        path: The store's folder, the address of a Milvus, or None.
        encoder: What the store is bound to, if anything.
        create: Make a store where there is none.
        read_only: Refuse every change, and create nothing.
        advice: How the adapter searches a service instead, for the error.
        **options: Further arguments of ``PassageStore.open``, of ``PassageStore.temporary`` or of ``MilvusStore.open``.

    Raises:
        ArgumentError: An argument does not go with this kind of store.
        PathError: It is the address of a service.
        DprRagError: The errors of opening that kind of store.
    """
    if is_service(path):
        raise PathError(
            f"{path!r:.200} is an address of a service, which can be searched but not filled from here; {advice}"
        )
    if isinstance(path, str) and is_address(path):
        from dpr_rag.milvus import MilvusStore

        for name in _OF_A_FOLDER:
            if name in options:
                raise ArgumentError(f"{name} goes with a folder, and {path!r:.200} is a Milvus; leave it out")
        return MilvusStore.open(path, encoder=encoder, create=create, read_only=read_only, **options)
    from dpr_rag.store import PassageStore

    for name in _OF_A_MILVUS:
        if options.pop(name, None) is not None:
            raise ArgumentError(f"{name} goes with the address of a Milvus, and this is none; leave it out")
    if path is not None:
        return PassageStore.open(path, encoder=encoder, create=create, read_only=read_only, **options)
    if read_only or not create:
        raise ArgumentError("create=False and read_only=True are for a store that exists; give its path")
    return PassageStore.temporary(encoder=encoder, **options)


if TYPE_CHECKING:
    from dpr_rag.milvus import MilvusStore as _Milvus
    from dpr_rag.store import PassageStore as _Local

    def _proof(local: _Local, milvus: _Milvus) -> tuple[FilledStore, FilledStore]:
        """Fails type checking if one of the classes does not implement the protocol."""
        return local, milvus
