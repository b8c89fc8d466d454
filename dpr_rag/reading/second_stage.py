"""`SecondStage`: a reranker, how many hits it reads, and what it counts beside the search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dpr_rag.arguments import check_count, check_number
from dpr_rag.errors import VectorError
from dpr_rag.passages import Hit
from dpr_rag.reading.balance import WEIGHT
from dpr_rag.reading.reranking import first_reranked, reranker_of


class SecondStage:
    """Orders hits anew by reading question and passage together.

    Args:
        reranker: A ``Reader``, anything else with ``rerank(question, hits, k)``, or a ``CrossEncoder`` of
            sentence-transformers.
        rerank: So many of the first hits are read; others follow in their order, with scores below.
        rerank_weight: Share of the reranker in the order, from 0 to 1; None for what it is by default. With 1 a hit's score is
            the reranker's own; below, it joins both, made comparable over the hits that are read, so that a reranker that
            does not know such texts costs little.

    Attributes:
        reranker: What reads.
        first: How many hits it reads.
        weight: Its share.

    Raises:
        ArgumentError: The reranker is none.
        VectorError: A number is out of range.
    """

    def __init__(self, reranker: Any, *, rerank: int = 20, rerank_weight: float | None = None) -> None:
        self.reranker = reranker_of(reranker)
        self.first = check_count("rerank", rerank, VectorError)
        weight = WEIGHT if rerank_weight is None else rerank_weight
        self.weight = check_number("rerank_weight", weight, VectorError, high=1.0)

    def wanted(self, k: int) -> int:
        """How many hits the search has to bring where ``k`` are wanted."""
        return max(k, self.first)

    def ranked(self, question: str, hits: Sequence[Hit], k: int) -> list[Hit]:
        """The best of the hits; ``retrieved`` holds the score of the search, and ``answer`` what a reader found.

        Args:
            question: What was asked, in words.
            hits: What was retrieved, best first.
            k: Most hits that are returned.
        """
        return first_reranked(self.reranker, question, hits, first=self.first, k=k, weight=self.weight)
