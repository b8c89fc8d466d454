"""How passages are ranked: search requests, fusion of two lists, maximal marginal relevance, calibration of scores."""

from __future__ import annotations

from dpr_rag.fusion.calibration import Calibration
from dpr_rag.fusion.diversity import Diversity, diversified, diversified_by
from dpr_rag.fusion.options import HasRanking, RankingOptions, ranking_given
from dpr_rag.fusion.ranking import Fusion, Legs, Mode, Ranked, Ranking, spread_of
from dpr_rag.fusion.request import SearchRequest
from dpr_rag.fusion.tuned import Tuned

Wishes = RankingOptions
"""The former name of ``RankingOptions``."""

__all__ = [
    "Calibration",
    "Diversity",
    "Fusion",
    "HasRanking",
    "Legs",
    "Mode",
    "Ranked",
    "Ranking",
    "RankingOptions",
    "SearchRequest",
    "Tuned",
    "Wishes",
    "diversified",
    "diversified_by",
    "ranking_given",
    "spread_of",
]
