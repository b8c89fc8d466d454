"""The command `evaluate`: how well a store's passages answer questions whose answers are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from dpr_rag.cli.expanding import expanded
from dpr_rag.cli.figures import circumstances, index_recall_of, settings_of, show
from dpr_rag.cli.labelled import (
    By,
    ByChoice,
    LabelledQuestions,
    Limit,
    Qrels,
    Regex,
    Split,
    describe_questions,
    note_missing,
    read_labelled,
)
from dpr_rag.cli.models import ModelChoice
from dpr_rag.cli.options import AsJson, FusionKind, Quiet, Weight
from dpr_rag.cli.ranking import HybridOptions
from dpr_rag.cli.reranking import SecondStage
from dpr_rag.cli.results import ResultFiles
from dpr_rag.cli.runs import QuestionsOption, Runs, check_named, note_unasked, read_runs, with_texts
from dpr_rag.cli.stores import encoder_at, only_reads, open_existing
from dpr_rag.cli.terminal import progress, say_json
from dpr_rag.cli.usage import parsing, usage
from dpr_rag.paths import is_address, store_of

if TYPE_CHECKING:
    from dpr_rag import Ranking, Reader, Store
    from dpr_rag.evaluation import Run, System
    from dpr_rag.evaluation.results import By as JudgedBy
    from dpr_rag.fusion import RankingOptions

_DEPTH = 100


@expanded
def evaluate(
    choice: ModelChoice,
    legs: HybridOptions,
    files: ResultFiles,
    second: SecondStage,
    store: Annotated[
        str | None,
        typer.Argument(
            metavar="[STORE]", help="Folder of the store, or its address.", show_default=False, parser=parsing(store_of)
        ),
    ] = None,
    questions: LabelledQuestions = None,
    modes: Annotated[
        list[str] | None,
        typer.Option(
            "--mode",
            metavar="MODE",
            help="dense, bm25 or hybrid; repeat it to compare them (default: as tuned, or dense).",
        ),
    ] = None,
    k: Annotated[
        int | None,
        typer.Option("--k", "-k", min=1, help="Passages per question (default: 100, or what the measures look at)."),
    ] = None,
    measures: Annotated[
        list[str] | None,
        typer.Option(
            "--measure",
            metavar="NAME",
            help="nDCG@10, R@100, MAP, MRR@10, P@5, accuracy@20, …, instead of the usual; may be repeated.",
        ),
    ] = None,
    by: ByChoice = By.auto,
    regex: Regex = False,
    split: Split = None,
    qrels: Qrels = None,
    limit: Limit = None,
    runs: Runs = None,
    named: QuestionsOption = None,
    as_json: AsJson = False,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch", metavar="N", min=1, help="Ask N questions at once: faster, and without latencies."),
    ] = None,
    index_recall: Annotated[
        bool, typer.Option("--index-recall", help="Compare the index with exact search too, apart from the figures.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the bootstrap behind the intervals.")] = 0,
    weight: Weight = None,
    fusion: FusionKind = None,
    quiet: Quiet = False,
) -> None:
    """Measure how often the right passages come first: accuracy, ranking measures, latencies, and a page to look at."""
    from dpr_rag import Retriever
    from dpr_rag.evaluation import evaluate as evaluate_systems

    questions = check_named(store, questions or named, runs)
    other_runs = read_runs(runs)
    if index_recall and store is not None and is_address(store):
        raise typer.BadParameter("it goes with the folder of a store", param_hint="--index-recall")
    rankings = _rankings(store, modes, weight, fusion, legs)
    reader = _reader(store, second)
    labelled = read_labelled(questions, split, limit, by, qrels=qrels, zeros=True)
    labelled_questions = labelled.questions
    k = _depth(k, measures, labelled.by)
    asked = [*rankings, *(f"{mode} reranked" for mode in rankings if reader is not None)]
    files.check([questions, *(runs or ()), *([] if qrels is None else [qrels])], [*asked, *other_runs])
    files.check_ids(labelled_questions, other_runs, store)
    note_unasked(other_runs, labelled_questions)
    judge = partial(
        evaluate_systems,
        questions=labelled_questions,
        k=k,
        by=labelled.by,
        regex=regex,
        judgements=labelled.judgements,
        measures=measures or (),
        own_hits=not questions.is_dir(),
        left_out=labelled.left_out,
        batch_size=batch_size,
        seed=seed,
    )
    settings = {}
    if store is None:
        evaluation = judge(other_runs)
    else:
        with _opened(store, rankings, choice, legs.language) as opened:
            if labelled.by == "passage":
                note_missing(opened, labelled_questions)
            own_systems = {mode: Retriever(opened, k=k, ranking=ranking) for mode, ranking in rankings.items()}
            if reader is not None:  # each mode once more, reranked
                own_systems |= {
                    f"{mode} reranked": Retriever(opened, k=k, ranking=ranking, reranker=reader, **second.options)
                    for mode, ranking in rankings.items()
                }
            systems: dict[str, System | Run] = {**own_systems, **with_texts(other_runs, opened)}
            with progress("asking", len(labelled_questions) * len(systems), quiet=quiet) as advance:
                evaluation = judge(systems, progress=advance)
            settings = settings_of(opened, rankings)
            if reader is not None:
                settings["reader"] = second.describe(reader)
            if index_recall:
                settings["index recall"] = index_recall_of(opened, [item.question for item in labelled_questions])
    if other_runs:
        settings["runs"] = ", ".join(map(str, runs or ()))
    settings["questions"] = describe_questions(questions, split, limit) + (f", judged by {qrels}" if qrels else "")
    settings |= circumstances()
    if as_json:
        say_json(evaluation.figures() | {"settings": settings})
    else:
        show(evaluation, settings)
    files.write(evaluation, settings)


def _reader(store: str | None, second: SecondStage) -> Reader | None:
    if store is None and second != SecondStage():
        raise typer.BadParameter("a reader reads what a store finds; name its folder", param_hint="STORE")
    return second.reader()


def _depth(k: int | None, measures: Sequence[str] | None, by: JudgedBy) -> int:
    """The number of passages per question: ``k``, or else as many as the measures need.

    Raises:
        typer.BadParameter: A measure is unknown, needs more than ``k`` passages, or does not fit how hits are judged.
    """
    from dpr_rag.evaluation.named import parse_measure, parse_measures

    with usage("--measure"):
        cutoffs = [measure.cutoff or 0 for measure in map(parse_measure, measures or ())]
        depth = max([_DEPTH, *cutoffs]) if k is None else k
        parse_measures(measures or (), k=depth, by=by)
    return depth


def _opened(store: str, rankings: Mapping[str, Ranking], choice: ModelChoice, language: str | None) -> Store:
    """Open the store, with its encoder where a ranking needs vectors."""
    needed = any(ranking.needs_vectors for ranking in rankings.values())
    encoder = encoder_at(store, choice) if needed else None
    return open_existing(store, encoder, read_only=only_reads(store, rankings.values()), language=language)


def _rankings(
    store: str | None, modes: Sequence[str] | None, weight: float | None, fusion: str | None, legs: HybridOptions
) -> dict[str, Ranking]:
    if store is None:
        if modes or legs != HybridOptions():
            raise typer.BadParameter(
                "--mode asks a store, and so do the options of a ranking; name its folder", param_hint="STORE"
            )
        return {}
    if "hybrid" not in (modes or ()) and not (weight is None and fusion is None):
        raise typer.BadParameter("--weight and --fusion need --mode hybrid", param_hint="--mode")
    with open_existing(store) as opened:
        with usage():
            options = _ranking_options(modes, weight, fusion, legs)
            rankings = [opened.ranking_of(option_set) for option_set in options]
    return {ranking.mode: ranking for ranking in rankings}


def _ranking_options(
    modes: Sequence[str] | None, weight: float | None, fusion: str | None, legs: HybridOptions
) -> Iterator[RankingOptions]:
    """The options of each ranking to evaluate; with several modes, each gets the options that go with it."""
    if modes is None or len(modes) < 2:
        yield legs.ranking_options(modes[0] if modes else None, weight, fusion)
        return
    words = HybridOptions(k1=legs.k1, b=legs.b, phrases=legs.phrases)
    if (legs.candidates is not None and "hybrid" not in modes) or (words.given and set(modes) == {"dense"}):
        yield legs.ranking_options("dense", None, None)  # raises the error about options that no mode uses
    for mode in modes:
        if mode == "hybrid":
            yield legs.ranking_options(mode, weight, fusion)
        else:
            yield (words if mode == "bm25" else HybridOptions()).ranking_options(mode, None, None)
