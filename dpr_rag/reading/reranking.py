"""The protocol of everything that ranks hits anew, and cross-encoders of other packages behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol, cast

import numpy as np

from dpr_rag.arguments import kind
from dpr_rag.errors import ArgumentError, VectorError
from dpr_rag.passages import Hit
from dpr_rag.reading.balance import WEIGHT, Scale, balanced


class Reranker(Protocol):
    """Ranks the hits of one question anew, by reading question and passage together."""

    def rerank(self, question: str, hits: Sequence[Hit], k: int | None = None) -> list[Hit]:
        """The best of the hits by its own scores, best first.

        Args:
            question: What was asked.
            hits: What was retrieved, each with the score of the search.
            k: Most hits that are returned; None returns all.

        Returns:
            Hits with new scores and ranks; ``retrieved`` holds the score of the search.
        """
        ...


class PairReranker:
    """A cross-encoder of another package, such as sentence-transformers' ``CrossEncoder``, as a reranker.

    Args:
        model: Has ``predict``, which takes pairs of a question and a text and gives one score each. A title stands before
            the text.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    def rerank(self, question: str, hits: Sequence[Hit], k: int | None = None) -> list[Hit]:
        """See :meth:`Reranker.rerank`.

        Raises:
            VectorError: The model gives another number of scores, or one that is not finite.
        """
        if not hits:
            return []
        texts = [f"{hit.passage.title} {hit.passage.text}".strip() for hit in hits]
        scores = np.asarray(self.model.predict([(question, text) for text in texts]), np.float64)
        if scores.shape != (len(hits),) or not np.isfinite(scores).all():
            raise VectorError(
                f"the reranker gave scores of shape {list(scores.shape)} for {len(hits)} passages; expected one finite number "
                "each, as a cross-encoder with one output gives them"
            )
        return ranked_anew(hits, scores.tolist(), k)


def ranked_anew(hits: Sequence[Hit], scores: Sequence[float], k: int | None = None) -> list[Hit]:
    """Hits in the order of new scores; of equal ones the order stays.

    Args:
        hits: What was retrieved.
        scores: A score for each.
        k: Most hits that are returned; None returns all.
    """
    order = sorted(range(len(hits)), key=lambda at: -scores[at])[:k]
    return [
        replace(hits[at], score=scores[at], rank=rank, retrieved=_retrieved(hits[at]))
        for rank, at in enumerate(order, 1)
    ]


def first_reranked(
    reranker: Reranker, question: str, hits: Sequence[Hit], *, first: int, k: int, weight: float = WEIGHT
) -> list[Hit]:
    """The first hits reranked, the others behind them.

    Args:
        reranker: What ranks anew.
        question: What was asked.
        hits: What was retrieved, best first.
        first: So many are reranked.
        k: Most hits that are returned. Those that were not reranked keep their order; their scores begin one below the last of
            the reranked ones, and fall as those of the search do.
        weight: Share of the reranker in the scores, from 0 to 1, see :func:`dpr_rag.reading.balance.balanced`; with 1 they are
            its own. Of those of a ``Reader`` the likelihood counts, of others' the spread.
    """
    rest = hits[first:k]
    if weight == 1:
        found = reranker.rerank(question, hits[:first], None if rest else k)
    else:
        scale: Scale = getattr(reranker, "scale", "spread")
        found = _balanced(hits[:first], reranker.rerank(question, hits[:first]), weight, scale)[:k]
    if not rest or not found:
        return [*found, *rest]
    below = found[-1].score - 1 - rest[0].score
    others = (
        replace(hit, score=hit.score + below, rank=rank, retrieved=_retrieved(hit))
        for rank, hit in enumerate(rest, len(found) + 1)
    )
    return [*found, *others]


def _balanced(hits: Sequence[Hit], read: Sequence[Hit], weight: float, scale: Scale) -> list[Hit]:
    """Hits by both scores; of equal ones, and with weight 0, the order of the search stays."""
    again = {hit.passage.id: hit for hit in read}
    kept = [hit for hit in hits if hit.passage.id in again]
    second = [again[hit.passage.id] for hit in kept]
    scores = balanced([hit.score for hit in kept], [hit.score for hit in second], weight, scale)
    whole = [replace(new, score=old.score, retrieved=_retrieved(old)) for old, new in zip(kept, second, strict=True)]
    return ranked_anew(whole, scores)


def _retrieved(hit: Hit) -> float:
    """The score of the search, also of a hit that was reranked before."""
    return hit.score if hit.retrieved is None else hit.retrieved


def reranker_of(given: object) -> Reranker:
    """A reranker as itself, and a cross-encoder with ``predict`` behind :class:`PairReranker`.

    Raises:
        ArgumentError: It is neither.
    """
    if not isinstance(given, type):
        if callable(getattr(given, "rerank", None)):
            return cast("Reranker", given)
        if callable(getattr(given, "predict", None)):
            return PairReranker(given)
    what = f"the class {given.__name__}, not an instance" if isinstance(given, type) else kind(given)
    raise ArgumentError(
        f"reranker is {what}, expected a Reader, another object with rerank(question, hits, k), or a CrossEncoder of "
        "sentence-transformers; load one with Reader.from_pretrained(folder)"
    )
