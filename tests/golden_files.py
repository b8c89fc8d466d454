"""One small file of every format that is kept on disk: how each was written, and where it lies.

    python tests/golden_files.py

writes those that ``tests/golden/`` does not have yet. What is there stays: a format is frozen by the file that the code of its
time wrote, and a later version has to read it. ``format-1`` to ``format-5`` are stores that earlier versions wrote.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import tiny_models as tiny
import torch
from conftest import HashEncoder, golden_passages

from dpr_rag import PassageStore, Retriever
from dpr_rag.corpora.parts import Mark, chained, write_part
from dpr_rag.fusion import Ranking, Tuned
from dpr_rag.pages.memory import Memory
from dpr_rag.pages.turns import Citation, Turn
from dpr_rag.reading.profiles import OWN
from dpr_rag.storage.schema import FORMAT
from dpr_rag.training.folder import OutputFolder, Position
from dpr_rag.training.reading import reader_from

GOLDEN = Path(__file__).parent / "golden"
SMALL = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
TURNS = (
    Turn(
        "who wrote hamlet?",
        "Hamlet is by William Shakespeare. [1]",
        "who wrote hamlet?",
        (Citation(1, "h", "Hamlet", "Hamlet is by William Shakespeare.", "plays.txt", 0.5, 0.25, None),),
        answered=True,
        quoted=True,
        thumb="up",
    ),
)
ABOUT = {"recipe": "dpr", "seed": 7}
POSITION = Position(step=3, epoch=1, batches=2, best=0.5, best_step=2, start=0.25)


def write_store(place: Path) -> None:
    """With an index, postings, metadata by field, a deletion, a ranking and a record of an adapter."""
    with PassageStore.open(place, encoder=HashEncoder(dim=4), index="hnsw") as store:
        store.add(golden_passages())
        store.optimize()
        Retriever(store, mode="bm25").retrieve("title 7")
        store.optimize("hnsw")
        store.delete(["id-5"])
        store.private.write({"notes": {"one": {"kept": True}}})
        store.set_tuned(Tuned(Ranking(mode="hybrid"), questions=9))
    (place / "writer.json").unlink()  # who wrote last: it names this machine


def write_encoder(place: Path) -> None:
    """DPR's two towers."""
    with tempfile.TemporaryDirectory() as folder:
        towers = [tiny.dpr(Path(folder, role), role, **SMALL) for role in ("question", "context")]
        encoder = tiny.load(*towers)
        encoder.source = "golden"
        encoder.save_pretrained(place)


def write_reader(place: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bert = tiny.load(tiny.bert(Path(folder, "bert"), **SMALL), profile="dpr")
        reader = reader_from(bert, profile=replace(OWN, length=32, overlap=8), seed=2)
        reader.source = "golden"
        reader.save_pretrained(place)


def write_part_of_a_corpus(place: Path) -> None:
    told, chain = golden_passages()[:3], 0
    for passage in told:
        chain = chained(chain, passage)
    mark = Mark(0, 3, 0, chain, True, 4, "hash-4-", "tests", {"pooling": "cls"}, "numpy float32")
    write_part(place, mark, told, HashEncoder(dim=4).encode_passages(told))


def write_conversations(place: Path) -> None:
    memory = Memory(place)
    memory.change(None, lambda _: TURNS)
    memory.begun("begun.txt")
    memory.ended("read.txt", "0123")


def write_training(place: Path) -> None:
    folder = OutputFolder(place)
    folder.begin(ABOUT)
    folder.save(POSITION, {"model": {"weight": torch.arange(6.0).reshape(2, 3)}}, {"seed": 7})


KINDS: dict[str, Callable[[Path], None]] = {
    f"format-{FORMAT}": write_store,
    "encoder-1": write_encoder,
    "reader-1": write_reader,
    "part-1": write_part_of_a_corpus,
    "conversations-1": write_conversations,
    "training-1": write_training,
}
"""The name of each in ``tests/golden/``, with the number of its format, and what writes it."""


def copied(name: str, target: Path) -> Path:
    """A copy that may be written to."""
    source = GOLDEN / name
    return Path(shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target))


def files_of(folder: Path) -> list[str]:
    """The files below a folder, without the random parts of names."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted("/".join(part.rsplit("-", 1)[0] if "-" in part else part for part in one.parts) for one in found)


def main() -> None:
    """Write what is missing."""
    for name, write in KINDS.items():
        if not (GOLDEN / name).exists():
            write(GOLDEN / name)


if __name__ == "__main__":
    main()
