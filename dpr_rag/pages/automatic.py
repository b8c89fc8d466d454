"""The default ranking of the pages: as the store was tuned, or else hybrid."""

from __future__ import annotations

from collections.abc import Sequence

from dpr_rag.fusion import Mode, RankingOptions
from dpr_rag.passages import Hit
from dpr_rag.retriever import Retriever
from dpr_rag.store import PassageStore
from dpr_rag.stores import WholeStore

AUTOMATIC = "automatic"


def automatic(store: WholeStore) -> Mode | None:
    """The mode of a store that was not tuned; None where it was, which says more than a mode.

    Without labelled questions ``hybrid`` found more than either leg on every set that was measured.

    Args:
        store: An open ``PassageStore``, or a collection of a Milvus, which may know no words.
    """
    if store.tuned is not None:
        return None
    if store.encoder is None:
        return "bm25"
    return "hybrid" if isinstance(store, PassageStore) or getattr(store.info(), "words", True) else "dense"


def relevances_of(store: WholeStore, retriever: Retriever, hits: Sequence[Hit]) -> list[float]:
    """How relevant hits are, in [0, 1]; in hybrid, without labels, what the score says or the inner product, whichever is more.

    A store asks itself in its own words, which BM25 finds so well that questions of people seem to find nothing, the more so
    the fewer passages there are.
    """
    relevances = [retriever.relevance(hit.score) for hit in hits]
    if store.tuned is not None or retriever.ranking.mode != "hybrid":
        return relevances
    dense = store.calibration_of(store.ranking_of(RankingOptions("dense")))
    return [
        known if hit.dense is None else max(known, dense.relevance(hit.dense))
        for known, hit in zip(relevances, hits, strict=True)
    ]


def told_automatic(store: WholeStore) -> str:
    """The same for people to read."""
    tuned = store.tuned
    return f"searched in {automatic(store)}" if tuned is None else f"searched as tuned ({tuned.ranking.mode})"
