"""What is done with ranked passages: fusion of two lists, maximal marginal relevance, and calibration of their scores."""

from __future__ import annotations

from dpr_rag.fusion.calibration import Calibration
from dpr_rag.fusion.diversity import Diversity, diversified, diversified_by
from dpr_rag.fusion.ranking import Fusion, Legs, Mode, Ranked, Ranking, spread_of
from dpr_rag.fusion.tuned import Tuned
from dpr_rag.fusion.wishes import Wishes

__all__ = [
    "Calibration",
    "Diversity",
    "Fusion",
    "Legs",
    "Mode",
    "Ranked",
    "Ranking",
    "Tuned",
    "Wishes",
    "diversified",
    "diversified_by",
    "spread_of",
]
