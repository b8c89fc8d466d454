"""What is done with ranked passages: fusion of two lists, maximal marginal relevance, and calibration of their scores."""

from __future__ import annotations

from dpr_rag.fusion.calibration import Calibration
from dpr_rag.fusion.diversity import Diversity, diversified, diversified_by
from dpr_rag.fusion.ranking import Fusion, Mode, Ranked, Ranking, fused, fused_matrix
from dpr_rag.fusion.tuned import Tuned

__all__ = [
    "Calibration",
    "Diversity",
    "Fusion",
    "Mode",
    "Ranked",
    "Ranking",
    "Tuned",
    "diversified",
    "diversified_by",
    "fused",
    "fused_matrix",
]
