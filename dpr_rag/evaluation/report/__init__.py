"""The report: one HTML page with the curve, the ranks, the lost questions and the settings of an evaluation."""

from __future__ import annotations

from dpr_rag.evaluation.report.page import page, write_report

__all__ = ["page", "write_report"]
