"""The command `ask`: one answer to a question, in the words of a passage."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from dpr_rag.cli.escaping import printable
from dpr_rag.cli.expanding import expanded
from dpr_rag.cli.models import ModelChoice
from dpr_rag.cli.options import AsJson, AskedQuestions, FileOfQuestions, FilterText, StoreAddress, read_filter
from dpr_rag.cli.ranking import RankingChoice
from dpr_rag.cli.reranking import Share, load_reader
from dpr_rag.cli.searching import BATCH, read_questions
from dpr_rag.cli.stores import encoder_at, note_empty, only_reads, open_existing, ranking_at
from dpr_rag.cli.terminal import first_lines, output, say_json
from dpr_rag.errors import ModelError
from dpr_rag.passages import Hit
from dpr_rag.paths import is_service
from dpr_rag.reading.answering import LEAST, likeliest
from dpr_rag.reading.balance import WEIGHT

if TYPE_CHECKING:
    from dpr_rag import Reader

_AROUND = 200
"""Characters of a passage that are shown before and after an answer."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The reader, and how probable an answer must be."""

    reader: Annotated[
        str | None,
        typer.Option(
            "--reader",
            metavar="MODEL",
            help="Folder or hub name of the reader (default: the built-in one, or that of a service).",
        ),
    ] = None
    rerank: Annotated[int, typer.Option("--rerank", metavar="N", min=1, help="Passages that it reads.")] = 20
    weight: Share = WEIGHT
    least: Annotated[
        float,
        typer.Option(
            "--certainty", metavar="P", min=0, max=1, help="Least probability of an answer; below, there is none."
        ),
    ] = LEAST

    def load(self, store: str) -> Reader | None:
        """The reader, or None where a service has its own.

        Raises:
            ModelError: It is not a reader, or none was named and the package has none.
        """
        return None if self.reader is None and is_service(store) else load_reader(self.reader)


@expanded
def ask(
    store: StoreAddress,
    choice: ModelChoice,
    ranking_choice: RankingChoice,
    reading: Reading,
    question: AskedQuestions = None,
    file: FileOfQuestions = None,
    k: Annotated[
        int, typer.Option("--k", "-k", min=1, help="Nearest passages that are named where none holds an answer.")
    ] = 3,
    as_json: AsJson = False,
    filter_text: FilterText = None,
) -> None:
    """Answer questions in the words of a passage: a reader finds them, says how sure it is, or that there is no answer."""
    filter = read_filter(filter_text)
    questions = read_questions(question or [], file)
    from dpr_rag import Retriever

    ranking, reader = ranking_at(store, ranking_choice), reading.load(store)
    encoder = encoder_at(store, choice) if ranking.needs_vectors else None
    with open_existing(
        store, encoder, read_only=only_reads(store, [ranking]), language=ranking_choice.language
    ) as opened:
        retriever = Retriever(
            opened,
            k=max(k, reading.rerank),
            ranking=ranking,
            reranker=reader,
            rerank=reading.rerank,
            rerank_weight=reading.weight,
        )
        while batch := list(islice(questions, BATCH)):
            for one_question, hits in zip(batch, retriever.retrieve_batch(batch, filter=filter), strict=True):
                _check_read(store, hits)
                best = likeliest(hits, reading.least)
                if as_json:
                    say_json(_record(one_question, best, hits[:k]))
                else:
                    _show(one_question, best, hits[:k])
        note_empty(store, opened)


def _check_read(store: str, hits: Sequence[Hit]) -> None:
    """Refuse hits that no reader has read, which would look like hits without an answer.

    Raises:
        ModelError: A service has no reader.
    """
    if hits and all(hit.retrieved is None for hit in hits):
        raise ModelError(f"the service {store} reads no passages; name a reader with --reader, or serve with --rerank")


def _record(question: str, best: Hit | None, hits: Sequence[Hit]) -> dict[str, Any]:
    from dpr_rag.remote.wire import hit_record

    answer = None if best is None or best.answer is None else dataclasses.asdict(best.answer)
    return {
        "question": question,
        "answer": answer,
        "passage": None if best is None else hit_record(best),
        "hits": [hit_record(hit) for hit in hits],
    }


def _show(question: str, best: Hit | None, hits: Sequence[Hit]) -> None:
    console = output()
    console.print(printable(question), style="bold")
    if best is None or best.answer is None:
        console.print(f"  The passages hold no answer to “{printable(question)}”." + (" The nearest:" if hits else ""))
        for hit in hits:
            console.print(_named(hit))
            for part in first_lines(hit.passage.text, console.width):
                console.print(f"       {part}")
    else:
        console.print(f"  {printable(best.answer.text)}  ({best.answer.probability:.0%})", style="green")
        console.print(_named(best))
        console.print(_around(best.passage.text, best.answer.start, best.answer.end))
    console.print()


def _named(hit: Hit) -> Text:
    line = Text("     ")
    line.append(printable(hit.passage.title or "(no title)"), style="cyan")
    line.append(f"  [{printable(hit.passage.id)}]", style="dim")
    return line


def _around(text: str, start: int, end: int) -> Text:
    """The answer with the text around it, cut between words."""
    before, after = text[max(0, start - _AROUND) : start], text[end : end + _AROUND]
    if start > _AROUND:
        before = f"… {before.partition(' ')[2] or before}"
    if end + _AROUND < len(text):
        after = f"{after.rpartition(' ')[0] or after} …"
    line = Text("       ")
    for part, style in ((before, ""), (text[start:end], "bold green"), (after, "")):
        line.append(_spaced(part), style=style)
    return line


def _spaced(part: str) -> str:
    """A part of a text on one line, with a space for white space at its ends."""
    left, right = part[:1].isspace(), part[-1:].isspace()
    return f"{' ' * left}{printable(part)}{' ' * (right and bool(part.strip()))}"
