"""Questions in, ranked passages out."""

from __future__ import annotations

from dpr_rag.fusion import Calibration, Diversity
from dpr_rag.retriever.retriever import Retriever

__all__ = ["Calibration", "Diversity", "Retriever"]
