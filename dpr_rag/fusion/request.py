"""``SearchRequest``: one search, from the keyword arguments of a retriever to the store, the service or the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dpr_rag.arguments import check_count, check_instance, check_number
from dpr_rag.errors import VectorError
from dpr_rag.filters import Where
from dpr_rag.fusion.diversity import Diversity, depth_of
from dpr_rag.fusion.options import RankingOptions
from dpr_rag.fusion.ranking import Ranking
from dpr_rag.passages import check_questions, plain


@dataclass(frozen=True, slots=True, eq=False)
class SearchRequest:
    """What to search for and how; values are checked when a request is made, filter and vectors by what executes it.

    Attributes:
        questions: Questions in words; None to search by vectors alone.
        k: Hits per question, at least 1; None for the retriever's own number.
        filter: Selects passages before the top k, see ``PassageStore.search``; None selects all.
        vectors: Question vectors, float [n, dim]; None to have the questions encoded.
        ranking: How to rank passages, in full or in part; None for the retriever's own ranking, or as the store was tuned.
        exact: Search exactly even where the index is approximate; for vectors alone.
        diversity: Choose among the best by maximal marginal relevance; None keeps the order of the scores.
        min_relevance: Leave out hits of lower relevance, in [0, 1]; None keeps all.

    Raises:
        PassageError: The questions are no list, or one of them is blank or no string.
        VectorError: Another value is out of range or of another type.
    """

    questions: Sequence[str] | None = None
    k: int | None = None
    filter: Where = None
    vectors: Any = None
    ranking: Ranking | RankingOptions | None = None
    exact: bool = False
    diversity: Diversity | None = None
    min_relevance: float | None = None

    def __post_init__(self) -> None:
        if self.questions is not None:
            object.__setattr__(self, "questions", check_questions(self.questions))
        if self.k is not None:
            object.__setattr__(self, "k", check_count("k", self.k, VectorError))
        if self.ranking is not None and not isinstance(self.ranking, RankingOptions):
            check_instance("ranking", self.ranking, Ranking, VectorError, advice="; make one as Ranking(mode)")
        exact = check_instance("exact", plain(self.exact), bool, VectorError, advice=": True or False")
        object.__setattr__(self, "exact", exact)
        if self.diversity is not None:
            advice = "; make one as Diversity(candidates)"
            check_instance("diversity", self.diversity, Diversity, VectorError, advice=advice)
        if self.min_relevance is not None:
            least = check_number("min_relevance", self.min_relevance, VectorError, high=1.0)
            object.__setattr__(self, "min_relevance", least)

    @property
    def depth(self) -> int:
        """How many of the best passages are needed before ``diversity`` chooses among them; 0 while ``k`` is open."""
        return depth_of(self.k or 0, self.diversity)
