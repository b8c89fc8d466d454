"""The command `ask`: one answer to a question, in the words of a passage."""

from __future__ import annotations

import dataclasses
import shlex
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
from dpr_rag.cli.searching import BATCH, hit_record, read_questions
from dpr_rag.cli.stores import encoder_at, only_reads, open_existing, ranking_at
from dpr_rag.cli.terminal import first_lines, note, output, say_json
from dpr_rag.errors import ModelError
from dpr_rag.passages import Hit
from dpr_rag.paths import is_service
from dpr_rag.reading.answering import LEAST, likeliest
from dpr_rag.reading.balance import WEIGHT

if TYPE_CHECKING:
    from dpr_rag import Reader

_AROUND = 200
"""Characters that are shown of a passage before and behind an answer."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What reads the passages, and what counts as an answer."""

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
            ModelError: It is none, or none was named and none comes with the package.
        """
        return None if self.reader is None and is_service(store) else load_reader(self.reader)


@expanded
def ask(
    store: StoreAddress,
    choice: ModelChoice,
    how: RankingChoice,
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
    chosen = read_filter(filter_text)
    questions = read_questions(question or [], file)
    from dpr_rag import Retriever

    ranking, reader = ranking_at(store, how), reading.load(store)
    encoder = encoder_at(store, choice) if ranking.needs_vectors else None
    with open_existing(store, encoder, read_only=only_reads(store, [ranking]), language=how.language) as opened:
        retriever = Retriever(
            opened,
            k=max(k, reading.rerank),
            ranking=ranking,
            reranker=reader,
            rerank=reading.rerank,
            rerank_weight=reading.weight,
        )
        while batch := list(islice(questions, BATCH)):
            for asked, hits in zip(batch, retriever.retrieve_batch(batch, filter=chosen), strict=True):
                _check_read(store, hits)
                found = likeliest(hits, reading.least)
                if as_json:
                    say_json(_record(asked, found, hits[:k]))
                else:
                    _show(asked, found, hits[:k])
        if not opened.count():
            note(f"the store {store} is empty; fill it with: dpr-rag index CORPUS --store {shlex.quote(str(store))}")


def _check_read(store: str, hits: Sequence[Hit]) -> None:
    """Refuse hits that nothing has read, which would look like those without an answer.

    Raises:
        ModelError: A service has no reader.
    """
    if hits and all(hit.retrieved is None for hit in hits):
        raise ModelError(f"the service {store} reads no passages; name a reader with --reader, or serve with --rerank")


def _record(question: str, found: Hit | None, hits: Sequence[Hit]) -> dict[str, Any]:
    answer = None if found is None or found.answer is None else dataclasses.asdict(found.answer)
    return {
        "question": question,
        "answer": answer,
        "passage": None if found is None else hit_record(found),
        "hits": [hit_record(hit) for hit in hits],
    }


def _show(question: str, found: Hit | None, hits: Sequence[Hit]) -> None:
    console = output()
    console.print(printable(question), style="bold")
    if found is None or found.answer is None:
        console.print(f"  The passages hold no answer to “{printable(question)}”." + (" The nearest:" if hits else ""))
        for hit in hits:
            console.print(_named(hit))
            for part in first_lines(hit.passage.text, console.width):
                console.print(f"       {part}")
    else:
        console.print(f"  {printable(found.answer.text)}  ({found.answer.probability:.0%})", style="green")
        console.print(_named(found))
        console.print(_around(found.passage.text, found.answer.start, found.answer.end))
    console.print()


def _named(hit: Hit) -> Text:
    line = Text("     ")
    line.append(printable(hit.passage.title or "(no title)"), style="cyan")
    line.append(f"  [{printable(hit.passage.id)}]", style="dim")
    return line


def _around(text: str, start: int, end: int) -> Text:
    """What stands around an answer, cut at words."""
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
    """A part of a text on one line, whose outer white space stays."""
    left, right = part[:1].isspace(), part[-1:].isspace()
    return f"{' ' * left}{printable(part)}{' ' * (right and bool(part.strip()))}"
