"""What tuning asks of a store: what its legs bring, and a place for the choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

from dpr_rag.fusion import Ranking, Tuned
from dpr_rag.store.ranking import Candidates
from dpr_rag.stores import WholeStore, has_all, is_store


class TunableStore(WholeStore, Protocol):
    """A store that keeps how it is to rank, as ``evaluation.tune`` asks it."""

    @property
    def read_only(self) -> bool:
        """Whether it refuses every change."""
        ...

    def candidates(self, questions: Sequence[str], ranking: Ranking, *, vectors: Any = None) -> Candidates:
        """What a hybrid ranking chooses from."""
        ...

    def set_tuned(self, choice: Tuned | None) -> None:
        """Keep a choice in the store; None removes it."""
        ...


def tunable(store: object) -> TypeGuard[TunableStore]:
    """Whether a value is a store that keeps how it is to rank."""
    return is_store(store) and has_all(store, ("candidates", "set_tuned"))


if TYPE_CHECKING:
    from dpr_rag.milvus import MilvusStore as _Milvus
    from dpr_rag.store import PassageStore as _Local

    def _proof(local: _Local, milvus: _Milvus) -> tuple[TunableStore, TunableStore]:
        """The type checker refuses this where one of them does not keep the protocol."""
        return local, milvus
