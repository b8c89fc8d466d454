"""Whether a store has changed since the pages looked at all of it; other processes may write to it, too."""

from __future__ import annotations

from dpr_rag.store import PassageStore
from dpr_rag.stores import WholeStore


def moment_of(store: WholeStore) -> object:
    """What is another one as soon as the passages of a store are.

    A folder counts its commits. An engine does not: what is known of a collection is how many passages it has, and of what
    kind, so that one passage that takes the place of another goes unseen.

    Args:
        store: An open ``PassageStore``, or a collection of a Milvus.
    """
    return store.info().generation if isinstance(store, PassageStore) else store.info()
