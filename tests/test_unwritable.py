"""Places that cannot be written: one line with the path and the remedy, wherever something is to be written."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny

from dpr_rag import DualEncoder, Passage, PassageStore
from dpr_rag.corpora import write_beir, write_jsonl, write_questions, write_vectors
from dpr_rag.errors import CorpusError, DprRagError
from dpr_rag.legacy.checkpoints import write_checkpoint
from dpr_rag.training.folder import write_text

PASSAGES = [Passage(str(at), "text " * 2000) for at in range(40)]
BLOCKS = [([str(at) for at in range(400)], np.random.default_rng(0).random((400, 64), np.float32))]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> DualEncoder:
    return tiny.load(tiny.contriever(tmp_path_factory.mktemp("bert") / "m"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PassageStore]:
    with PassageStore.open(tmp_path_factory.mktemp("store") / "s") as made:
        made.add(PASSAGES, vectors=np.ones((40, 64), np.float32))
        yield made


def fill(path: Path) -> None:
    with PassageStore.open(path) as store:
        store.add(PASSAGES, vectors=np.ones((40, 64), np.float32))


WRITERS: dict[str, Callable[[Path, Any, Any], object]] = {
    "open": lambda path, *_: fill(path),
    "backup": lambda path, store, _: store.backup(path),
    "restore": lambda path, store, _: PassageStore.restore(store.path, path),
    "recover": lambda path, store, _: PassageStore.recover(store.path, path),
    "save_pretrained": lambda path, _, encoder: encoder.save_pretrained(path),
    "passages": lambda path, *_: write_jsonl(path.with_suffix(".jsonl"), PASSAGES),
    "beir": lambda path, *_: write_beir(path, PASSAGES),
    "questions": lambda path, *_: write_questions(path, []),
    "npy": lambda path, *_: write_vectors(path.with_suffix(".npy"), BLOCKS),
    "parquet": lambda path, *_: write_vectors(path.with_suffix(".parquet"), BLOCKS),
    "checkpoint": lambda path, *_: write_checkpoint(path, {"model_dict": {"a": np.ones(10_000, np.float32)}}),
    "training": lambda path, *_: write_text(path, "x" * 100_000),
}


def refused(name: str, path: Path, store: Any, encoder: Any) -> str:
    with pytest.raises(DprRagError) as raised:
        WRITERS[name](path, store, encoder)
    message = str(raised.value)
    assert "\n" not in message
    assert "[Errno" not in message
    assert str(path.parent) in message
    return message


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_in_place_of_the_folder(name: str, tmp_path: Path, store: Any, encoder: Any) -> None:
    (tmp_path / "file").write_text("")
    assert "choose another path" in refused(name, tmp_path / "file" / "x", store, encoder)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a file system that nobody may write to")
@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_where_nothing_can_be_made(name: str, store: Any, encoder: Any) -> None:
    assert "choose another path" in refused(name, Path("/proc/x"), store, encoder)


@pytest.mark.parametrize("name", sorted(WRITERS.keys() - {"questions", "beir", "recover"}))
def test_a_disk_that_is_full(name: str, tmp_path: Path, store: Any, encoder: Any) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        message = refused(name, tmp_path / "x", store, encoder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "space" in message


def test_a_pipe_is_no_file_to_be_replaced(tmp_path: Path) -> None:
    """As root, /dev/null would be a file from then on."""
    pipe = tmp_path / "p.jsonl"
    os.mkfifo(pipe)
    with pytest.raises(CorpusError, match=r"p\.jsonl: is a device or a pipe, expected a file, .*; name one"):
        write_jsonl(pipe, PASSAGES)
    assert pipe.is_fifo()
    assert os.listdir(tmp_path) == ["p.jsonl"]
