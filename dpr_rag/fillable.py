"""What adapters ask of a store that they fill, beyond what is asked of any: to find again what they made, and views."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

from dpr_rag.errors import StoreError
from dpr_rag.passages import Passage
from dpr_rag.stores import Store, WholeStore, has_all

if TYPE_CHECKING:
    from dpr_rag.store.reports import AddReport

_PARTS = ("admitted", "restricted", "get_vectors")


class Marks(Protocol):
    """How an adapter finds the passages that it made: by marks, see ``dpr_rag.store.private.Private``.

    Attributes:
        keeps_records: Whether there is room for an adapter's records beside the passages, as in a folder.
    """

    keeps_records: bool

    def marked(self, wanted: Iterable[str]) -> list[Passage]:
        """The passages that have one of the marks, in order of insertion."""

    def add(
        self, passages: Sequence[Passage], *, vectors: Sequence[Any] | None = None, instead: Mapping[str, Sequence[str]]
    ) -> AddReport:
        """Add passages, each in place of stored ones that say the same."""

    def delete_marked(self, wanted: Iterable[str]) -> int:
        """Delete the passages that have one of the marks."""

    def check_repeats(self, passages: Iterable[Passage]) -> None:
        """Refuse an id that comes twice with different contents."""


class FilledStore(WholeStore, Protocol):
    """A store that adapters fill: a folder, or a collection of an engine."""

    @property
    def read_only(self) -> bool:
        """Whether every change is refused."""

    @property
    def is_temporary(self) -> bool:
        """Whether what it holds is gone once it is closed."""

    @property
    def private(self) -> Marks:
        """How an adapter finds its own passages again."""

    def admitted(self, passage: Passage) -> Passage:
        """A passage as ``add`` stores it: in a view, with the fields that its filter fixes."""


def is_fillable(store: Store) -> TypeGuard[FilledStore]:
    """Whether adapters can fill a store: one in a folder or an engine, and none behind a service."""
    return has_all(store, _PARTS)


def filled(store: Store) -> FilledStore:
    """A store that an adapter can fill.

    Raises:
        StoreError: It is a service, which keeps nothing for adapters.
    """
    if is_fillable(store):
        return store
    raise StoreError(f"{store.path} is asked, not filled from here; add where its passages lie, and ask by a retriever")


if TYPE_CHECKING:
    from dpr_rag.milvus import MilvusStore as _Milvus
    from dpr_rag.store import PassageStore as _Local

    def _proof(local: _Local, milvus: _Milvus) -> tuple[FilledStore, FilledStore]:
        """The type checker refuses this where one of them does not keep the protocol."""
        return local, milvus
