"""The protocol of stores that adapters fill: ``WholeStore`` with views and a way to find the adapter's own passages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

from dpr_rag.errors import StoreError
from dpr_rag.passages import Passage
from dpr_rag.stores import Store, WholeStore, has_all

if TYPE_CHECKING:
    from dpr_rag.store.reports import AddReport

_METHODS = ("admitted", "restricted", "get_vectors")


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


if TYPE_CHECKING:
    from dpr_rag.milvus import MilvusStore as _Milvus
    from dpr_rag.store import PassageStore as _Local

    def _proof(local: _Local, milvus: _Milvus) -> tuple[FilledStore, FilledStore]:
        """Fails type checking if one of the classes does not implement the protocol."""
        return local, milvus
