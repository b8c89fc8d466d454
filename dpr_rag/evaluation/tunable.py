"""The protocol of stores that can be tuned: they return candidates of both legs, and save the tuned ranking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

from dpr_rag.fusion import Ranking
from dpr_rag.store.ranking import Candidates
from dpr_rag.stores import WholeStore, has_all, is_store


class TunableStore(WholeStore, Protocol):
    """A store that ``evaluation.tune`` can tune."""

    @property
    def read_only(self) -> bool:
        """Whether the store refuses every change."""
        ...

    def candidates(self, questions: Sequence[str], ranking: Ranking, *, vectors: Any = None) -> Candidates:
        """The candidates of a hybrid ranking."""
        ...


def tunable(store: object) -> TypeGuard[TunableStore]:
    """Whether a value is a store that can be tuned."""
    return is_store(store) and has_all(store, ("candidates", "set_tuned"))


if TYPE_CHECKING:
    from dpr_rag.milvus import MilvusStore as _Milvus
    from dpr_rag.store import PassageStore as _Local

    def _proof(local: _Local, milvus: _Milvus) -> tuple[TunableStore, TunableStore]:
        """Fails type checking if one of the classes does not implement the protocol."""
        return local, milvus
