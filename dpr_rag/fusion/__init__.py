"""What is done with candidates once they are found: maximal marginal relevance, and calibration of their scores."""

from __future__ import annotations

from dpr_rag.fusion.calibration import Calibration
from dpr_rag.fusion.diversity import Diversity, diversified

__all__ = ["Calibration", "Diversity", "diversified"]
