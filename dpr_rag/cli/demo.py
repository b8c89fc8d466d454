"""The command `demo`: the main job on text that every machine has, its own Python standard library."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Annotated

import typer

from dpr_rag.cli.expanding import expanded
from dpr_rag.cli.indexing import add_corpus, encode_anew
from dpr_rag.cli.models import ModelChoice, folder_info, is_outdated
from dpr_rag.cli.options import Quiet
from dpr_rag.cli.ranking import RankingChoice
from dpr_rag.cli.running import Running
from dpr_rag.cli.terminal import note, say, show_hits
from dpr_rag.cli.usage import parsing, usage
from dpr_rag.paths import place_of

QUESTIONS = (
    "how do I compress bytes with gzip?",
    "run a function when the program ends",
    "how do I count hashable items?",
    "how can I read options from the command line?",
    "how do I make a temporary folder that deletes itself?",
    "which day of the week is a date?",
)


@expanded
def demo(
    running: Running,
    ranking_choice: RankingChoice,
    store: Annotated[
        Path, typer.Option("--store", metavar="DIR", help="Folder of the demo's store.", parser=parsing(place_of))
    ] = Path("demo.dpr"),
    quiet: Quiet = False,
) -> None:
    """Index the docstrings of this Python's standard library and ask them a handful of questions."""
    _ = ranking_choice.options  # raises errors before the work
    note("loading the default encoder")
    encoder = ModelChoice(running.device, running.runtime, running.precision).load()
    from dpr_rag import PassageStore, Retriever
    from dpr_rag.corpora import open_corpus

    if is_outdated(folder_info(store), encoder):
        note(f"an earlier version's default encoder made the vectors in {store}: encoding them anew")
        encode_anew(store, encoder, batch_size=512, quiet=quiet)
    with PassageStore.open(store, encoder=encoder, language=ranking_choice.language) as opened:
        note(f"indexing the standard library's docstrings into {store} (what is already there is not encoded again)")
        passages = list(open_corpus("python:"))
        add_corpus(opened, passages, len(passages), batch_size=512, quiet=quiet)
        say()
        with usage():
            ranking = opened.ranking_of(ranking_choice.options)
        retriever = Retriever(opened, k=3, ranking=ranking)
        for question, hits in zip(QUESTIONS, retriever.retrieve_batch(QUESTIONS), strict=True):
            show_hits(question, hits)
    say(f"Ask your own:\n  {command()} search {shlex.quote(str(store))} 'how do I …?'")


def command() -> str:
    """How to call dpr-rag from this shell."""
    return "dpr-rag" if shutil.which("dpr-rag") else ".venv/bin/dpr-rag"
