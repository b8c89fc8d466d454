"""Commands that read: `search` and `info`."""

from __future__ import annotations

import dataclasses
import io
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpr_rag.arguments import is_blank
from dpr_rag.cli.describing import describe_record
from dpr_rag.cli.expanding import expanded
from dpr_rag.cli.models import ModelChoice
from dpr_rag.cli.options import (
    AsJson,
    AskedQuestions,
    Bind,
    FileOfQuestions,
    FilterText,
    StoreAddress,
    read_filter,
)
from dpr_rag.cli.ranking import RankingChoice
from dpr_rag.cli.reranking import SecondStage
from dpr_rag.cli.stores import encoder_at, note_empty, only_reads, open_existing, ranking_at
from dpr_rag.cli.terminal import say_json, show_facts, show_hits
from dpr_rag.encoders.precision_choice import describe_choice as precision_here
from dpr_rag.errors import CorpusError
from dpr_rag.faces import ByFace, on_face
from dpr_rag.passages import Hit

if TYPE_CHECKING:
    from dpr_rag import Store

BATCH = 64


@expanded
def search(
    store: StoreAddress,
    choice: ModelChoice,
    ranking_choice: RankingChoice,
    second: SecondStage,
    question: AskedQuestions = None,
    file: FileOfQuestions = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Hits per question.")] = 5,
    as_json: AsJson = False,
    filter_text: FilterText = None,
    bind: Bind = False,
) -> None:
    """Ask a store questions; scores are exact inner products, BM25 scores, both fused or a reranker's: higher is better."""
    filter = read_filter(filter_text)
    questions = read_questions(question or [], file)
    from dpr_rag import Retriever

    ranking, reader = ranking_at(store, ranking_choice), second.reader()
    encoder = encoder_at(store, choice) if ranking.needs_vectors else None
    read_only = not bind and only_reads(store, [ranking])
    with open_existing(store, encoder, read_only=read_only, bind=bind, language=ranking_choice.language) as opened:
        retriever = Retriever(opened, k=k, ranking=ranking, reranker=reader, **second.options)
        while batch := list(islice(questions, BATCH)):
            for one_question, hits in zip(batch, retriever.retrieve_batch(batch, filter=filter), strict=True):
                if as_json:
                    say_json(question_record(one_question, hits))
                else:
                    show_hits(one_question, hits)
        note_empty(store, opened)


def read_questions(arguments: Sequence[str], file: Path | None) -> Iterator[str]:
    """Questions from the arguments, then from a file, then from standard input; blank lines are skipped.

    Raises:
        typer.BadParameter: No question was given, or a blank one.
        UnreadableError: The file cannot be read, or does not exist.
        CorpusError: The questions are not UTF-8; raised at once for a file, for standard input when the line is reached.
    """
    if not arguments and file is None:
        raise typer.BadParameter("ask at least one question, or read them with --file FILE or -", param_hint="QUESTION")
    if any(is_blank(text) for text in arguments):
        raise typer.BadParameter("a question is blank; ask with at least one word", param_hint="QUESTION")
    arguments = [_as_text(text) for text in arguments]
    stdin = "-" in arguments or str(file) == "-"
    lines = [] if file is None or str(file) == "-" else _lines_of(file)
    return chain((text for text in arguments if text != "-"), _nonblank(lines), _nonblank(_stdin() if stdin else ()))


def _as_text(argument: str) -> str:
    """An argument whose bytes the locale could not decode, as the C locale cannot beyond ASCII, decoded as UTF-8.

    Raises:
        typer.BadParameter: It is not UTF-8 either.
    """
    if argument.isascii() or not any("\udc80" <= char <= "\udcff" for char in argument):
        return argument
    try:
        return os.fsencode(argument).decode()
    except UnicodeDecodeError:
        raise typer.BadParameter(
            f"the question {argument!r:.80} is not UTF-8; ask in a terminal of UTF-8, or write it to a file "
            "in UTF-8, and give that with --file",
            param_hint="QUESTION",
        ) from None


def _lines_of(file: Path) -> list[str]:
    from dpr_rag.corpora.lines import read_lines

    read = b"\n".join(line for _, line in read_lines(file))
    try:
        return list(io.StringIO(read.decode(), newline=None))  # the ends of lines that standard input has
    except UnicodeDecodeError as error:
        raise _not_utf8(str(file), error) from error


def _stdin() -> Iterator[str]:
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="strict")  # in the C locale Python lets anything pass
    try:
        for line in sys.stdin:
            yield line.removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise _not_utf8("standard input", error) from error


def _not_utf8(source: str, error: UnicodeDecodeError) -> CorpusError:
    byte = error.object[error.start]
    return CorpusError(f"{source}: the questions are not UTF-8 (byte {byte:#04x}: {error.reason}); convert them first")


def _nonblank(lines: Iterable[str]) -> Iterator[str]:
    return (line.strip() for line in lines if not is_blank(line))


def question_record(question: str, hits: Sequence[Hit]) -> dict[str, Any]:
    """One question and its hits as a JSON object."""
    from dpr_rag.remote.wire import hit_record

    return {"question": question, "hits": [hit_record(hit) for hit in hits]}


def info(
    store: StoreAddress,
    recall: Annotated[
        bool, typer.Option("--recall", help="Measure the index recall at 20 with 100 stored vectors as questions.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what a store holds, which encoder filled it, and how its index answers."""
    from dpr_rag import PassageStore

    with open_existing(store) as opened:
        facts = _facts_of(opened)
        if recall:
            if not isinstance(opened, PassageStore):
                raise typer.BadParameter("it goes with the folder of a store", param_hint="--recall")
            facts["index_recall"] = opened.measure_index_recall(100, k=20)
    if as_json:
        say_json(facts)
    else:
        show_facts([(name.replace("_", " "), readable(name, value)) for name, value in facts.items()])


def _facts_of(store: Store) -> dict[str, Any]:
    """The information of a store; of a service only the number of passages and the ranking."""
    info_method = getattr(store, "info", None)
    if info_method is None:
        return {"path": str(store.path), "passages": store.count(), "ranking": str(store.ranking)}
    facts = {
        name: on_face(value, "cli") if isinstance(value, ByFace) else value
        for name, value in dataclasses.asdict(info_method()).items()
    }
    precision = precision_here(facts["fingerprint"]) if facts.get("fingerprint") else None
    return {**facts, "precision_on_this_cpu": precision}


def readable(name: str, value: object) -> str:
    """Format a value for people: grouped digits, units, a dash for an empty one."""
    if name in ("profile", "filled"):
        return describe_record(name, value)
    if value is None or value == "":
        return "-"
    if name == "bytes_on_disk" and isinstance(value, int):
        return f"{value / 1e6:,.1f} MB"
    if isinstance(value, dict):
        return ", ".join(f"{key}={item}" for key, item in value.items()) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
