"""Public names that were changed are still known under their former name."""

from __future__ import annotations

from dpr_rag import evaluation, fusion
from dpr_rag.corpora import Question
from dpr_rag.evaluation import QuestionResult, SystemResult
from dpr_rag.fusion import RankingOptions


def test_classes_keep_their_former_names() -> None:
    assert fusion.Wishes is RankingOptions
    assert evaluation.Asked is QuestionResult


def test_the_results_of_a_system_keep_their_former_name() -> None:
    result = QuestionResult(Question("q", "who?"), (), ())
    assert SystemResult("s", (result,), {}, {}, None).asked == (result,)
