"""How the pages search where nobody chose: as the store was tuned, or else by vectors and words together."""

from __future__ import annotations

from typing import Any

from dpr_rag.fusion import Mode
from dpr_rag.store import PassageStore

AUTOMATIC = "automatic"


def automatic(store: Any) -> Mode | None:
    """The mode of a store that was not tuned; None where it was, which says more than a mode.

    Without labelled questions ``hybrid`` found more than either leg on every set that was measured.

    Args:
        store: An open ``PassageStore``, or a collection of a Milvus, which may know no words.
    """
    if store.tuned is not None:
        return None
    if store.encoder is None:
        return "bm25"
    return "hybrid" if isinstance(store, PassageStore) or store.info().words else "dense"


def told_automatic(store: Any) -> str:
    """The same for people to read."""
    mode = automatic(store)
    return f"searched in {mode}" if mode else f"searched as tuned ({store.tuned.ranking.mode})"
