"""``SecondStage``: a reranker, the number of hits that it reads, and its weight in the score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dpr_rag.arguments import check_count, check_number
from dpr_rag.errors import VectorError
from dpr_rag.passages import Hit
from dpr_rag.reading.balance import WEIGHT
from dpr_rag.reading.reranking import first_reranked, reranker_of


class SecondStage:
    """Reranks the hits of a search by reading question and passage together.

    Args:
        reranker: A ``Reader``, an object with ``rerank(question, hits, k)``, or a ``CrossEncoder`` of sentence-transformers.
        rerank: How many of the first hits are reranked; the others follow in their order, with lower scores.
        rerank_weight: Weight of the reranker's score, from 0 to 1; None for the default, 0.5. With 1, hits have the reranker's
            score. Below 1, both scores are standardised over the reranked hits and added, so that a reranker that does not fit
            the texts does little harm.

    Attributes:
        reranker: The reranker.
        first: How many hits it reads.
        weight: Its weight.

    Raises:
        ArgumentError: The reranker is not one.
        VectorError: A number is out of range.
    """

    def __init__(self, reranker: Any, *, rerank: int = 20, rerank_weight: float | None = None) -> None:
        self.reranker = reranker_of(reranker)
        self.first = check_count("rerank", rerank, VectorError)
        weight = WEIGHT if rerank_weight is None else rerank_weight
        self.weight = check_number("rerank_weight", weight, VectorError, high=1.0)

    def wanted(self, k: int) -> int:
        """How many hits the search must return for ``k`` final ones."""
        return max(k, self.first)

    def ranked(self, question: str, hits: Sequence[Hit], k: int) -> list[Hit]:
        """Rerank hits and return the best; ``retrieved`` is the score of the search, ``answer`` the answer of a reader.

        Args:
            question: The question.
            hits: The hits of the search, best first.
            k: The largest number of hits to return.
        """
        return first_reranked(self.reranker, question, hits, first=self.first, k=k, weight=self.weight)
