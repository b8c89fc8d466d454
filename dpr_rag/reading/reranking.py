"""The protocol ``Reranker``, an adapter for cross-encoders of other packages, and the merging of reranked hits."""

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
    """Reranks the hits of one question by reading question and passage together."""

    def rerank(self, question: str, hits: Sequence[Hit], k: int | None = None) -> list[Hit]:
        """The hits ranked by the reranker's scores, best first.

        Args:
            question: The question.
            hits: The hits of the search.
            k: The largest number of hits to return; None for all.

        Returns:
            Hits with new scores and ranks; ``retrieved`` is the score of the search.
        """
        ...


class PairReranker:
    """A reranker around a cross-encoder of another package, such as sentence-transformers' ``CrossEncoder``.

    Args:
        model: An object with ``predict``, which scores pairs of a question and a text; a title is put before the text.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    def rerank(self, question: str, hits: Sequence[Hit], k: int | None = None) -> list[Hit]:
        """See :meth:`Reranker.rerank`.

        Raises:
            VectorError: The model returns a wrong number of scores, or one that is not finite.
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
    """Sort hits by new scores; ties keep their order.

    Args:
        hits: The hits of the search.
        scores: The new score of each.
        k: The largest number of hits to return; None for all.
    """
    order = sorted(range(len(hits)), key=lambda at: -scores[at])[:k]
    return [
        replace(hits[at], score=scores[at], rank=rank, retrieved=_retrieved(hits[at]))
        for rank, at in enumerate(order, 1)
    ]


def first_reranked(
    reranker: Reranker, question: str, hits: Sequence[Hit], *, first: int, k: int, weight: float = WEIGHT
) -> list[Hit]:
    """Rerank the first hits; the others follow them.

    Args:
        reranker: The reranker.
        question: The question.
        hits: The hits of the search, best first.
        first: How many are reranked.
        k: The largest number of hits to return. Those that were not reranked keep their order and score differences, starting
            one below the last reranked score.
        weight: Weight of the reranker's scores, from 0 to 1, see :func:`dpr_rag.reading.balance.balanced`; with 1 they replace
            those of the search. Those of a ``Reader`` count as log-likelihoods, others are standardised.
    """
    rest = hits[first:k]
    if weight == 1:
        reranked = reranker.rerank(question, hits[:first], None if rest else k)
    else:
        scale: Scale = getattr(reranker, "scale", "spread")
        reranked = _balanced(hits[:first], reranker.rerank(question, hits[:first]), weight, scale)[:k]
    if not rest or not reranked:
        return [*reranked, *rest]
    shift = reranked[-1].score - 1 - rest[0].score
    following = (
        replace(hit, score=hit.score + shift, rank=rank, retrieved=_retrieved(hit))
        for rank, hit in enumerate(rest, len(reranked) + 1)
    )
    return [*reranked, *following]


def _balanced(hits: Sequence[Hit], read: Sequence[Hit], weight: float, scale: Scale) -> list[Hit]:
    """Hits ranked by both scores; ties keep the order of the search."""
    by_id = {hit.passage.id: hit for hit in read}
    reranked = [hit for hit in hits if hit.passage.id in by_id]
    second = [by_id[hit.passage.id] for hit in reranked]
    scores = balanced([hit.score for hit in reranked], [hit.score for hit in second], weight, scale)
    whole = [
        replace(new, score=old.score, retrieved=_retrieved(old)) for old, new in zip(reranked, second, strict=True)
    ]
    return ranked_anew(whole, scores)


def _retrieved(hit: Hit) -> float:
    """The score of the search, even if the hit was reranked before."""
    return hit.score if hit.retrieved is None else hit.retrieved


def reranker_of(reranker: object) -> Reranker:
    """Return a reranker as it is, and wrap a cross-encoder with ``predict`` in a :class:`PairReranker`.

    Raises:
        ArgumentError: It is neither.
    """
    if not isinstance(reranker, type):
        if callable(getattr(reranker, "rerank", None)):
            return cast("Reranker", reranker)
        if callable(getattr(reranker, "predict", None)):
            return PairReranker(reranker)
    description = f"the class {reranker.__name__}, not an instance" if isinstance(reranker, type) else kind(reranker)
    raise ArgumentError(
        f"reranker is {description}, expected a Reader, another object with rerank(question, hits, k), or a CrossEncoder of "
        "sentence-transformers; load one with Reader.from_pretrained(folder)"
    )
