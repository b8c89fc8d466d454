"""Measuring retrieval: answers in passages, top-k accuracy, ranking measures, and a page that shows them."""

from __future__ import annotations

from dpr_rag.evaluation.answers import has_answer
from dpr_rag.evaluation.files import check_run_ids, write_dpr_results, write_per_question, write_run
from dpr_rag.evaluation.judging import judge_for
from dpr_rag.evaluation.report import write_report
from dpr_rag.evaluation.results import Comparison, Estimate, Evaluation, Latency, QuestionResult, SystemResult
from dpr_rag.evaluation.running import System, evaluate
from dpr_rag.evaluation.runs import Run, read_run
from dpr_rag.evaluation.tuning import Candidate, Tuning, tune

Asked = QuestionResult
"""The former name of ``QuestionResult``."""

__all__ = [
    "Asked",
    "Candidate",
    "Comparison",
    "Estimate",
    "Evaluation",
    "Latency",
    "QuestionResult",
    "Run",
    "System",
    "SystemResult",
    "Tuning",
    "check_run_ids",
    "evaluate",
    "has_answer",
    "judge_for",
    "read_run",
    "tune",
    "write_dpr_results",
    "write_per_question",
    "write_report",
    "write_run",
]
