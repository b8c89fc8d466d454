"""Two who write one file at once: it is wholly of one of them, and nothing else stays beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpr_rag import Passage
from dpr_rag.corpora import Question, read_vectors, write_jsonl, write_questions, write_tsv, write_vectors
from dpr_rag.encoders import machine_cache
from dpr_rag.errors import CorpusError
from dpr_rag.legacy.checkpoints import read_checkpoint, write_checkpoint

MANY = 1_000


def passages(text: str, meanwhile: Callable[[], object] = bool) -> Iterator[Passage]:
    for number in range(MANY):
        if number == MANY // 2:
            meanwhile()
        yield Passage(str(number), text)


def questions(text: str, meanwhile: Callable[[], object] = bool) -> Iterator[Question]:
    for passage in passages(text, meanwhile):
        yield Question(passage.id, text, (), (passage.id,))


def blocks(value: float, meanwhile: Callable[[], object] = bool) -> Iterator[tuple[Sequence[str], Any]]:
    for passage in passages("a", meanwhile):
        yield [passage.id], np.full((1, 4), value, np.float32)


WRITERS: dict[str, tuple[str, Callable[[Path, str, Callable[[], object]], object]]] = {
    "JSONL": ("w.jsonl", lambda path, text, meanwhile: write_jsonl(path, passages(text, meanwhile))),
    "gzip": ("w.jsonl.gz", lambda path, text, meanwhile: write_jsonl(path, passages(text, meanwhile))),
    "TSV": ("w.tsv", lambda path, text, meanwhile: write_tsv(path, passages(text, meanwhile))),
    "questions": ("w.jsonl", lambda path, text, meanwhile: write_questions(path, questions(text, meanwhile))),
    "vectors": ("w.npy", lambda path, text, meanwhile: write_vectors(path, blocks(float(len(text)), meanwhile))),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_is_wholly_of_the_one_who_ends_last(kind: str, tmp_path: Path) -> None:
    name, write = WRITERS[kind]
    for folder in ("alone", "both"):
        (tmp_path / folder).mkdir()
    write(tmp_path / "alone" / name, "first " * 20, bool)
    path = tmp_path / "both" / name
    seen: list[bytes] = []

    def another() -> None:
        write(path, "second", bool)
        seen.append(path.read_bytes())

    write(path, "first " * 20, another)
    assert path.read_bytes() == (tmp_path / "alone" / name).read_bytes()
    assert seen[0] != path.read_bytes()
    assert sorted(one.name for one in path.parent.iterdir()) == sorted(
        one.name for one in (tmp_path / "alone").iterdir()
    )


def test_who_fails_takes_nothing_from_the_other(tmp_path: Path) -> None:
    path = tmp_path / "w.npy"

    def failing() -> None:
        with pytest.raises(CorpusError, match="does not fit on one line"):
            write_vectors(path, [(["1"], [[1.0]]), (["a\nb"], [[1.0]])])

    write_vectors(path, blocks(2.0, failing))
    assert sum(len(names) for names, _ in read_vectors(path)) == MANY
    assert sorted(one.name for one in tmp_path.iterdir()) == ["w.ids.txt", "w.npy"]


def test_a_checkpoint_is_wholly_of_the_one_who_ends_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    path, save = tmp_path / "w.cp", torch.save

    def saving(state: Any, file: Any) -> None:
        monkeypatch.setattr(torch, "save", save)
        write_checkpoint(path, {"model_dict": {"a": np.zeros(3, np.float32)}})
        save(state, file)

    monkeypatch.setattr(torch, "save", saving)
    write_checkpoint(path, {"model_dict": {"a": np.ones(1000, np.float32)}})
    assert read_checkpoint(path)["model_dict"]["a"].tolist() == [1.0] * 1000
    assert [one.name for one in tmp_path.iterdir()] == ["w.cp"]


def test_what_two_containers_measure_at_once_is_remembered_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("os.getpid", lambda: 1)  # of the first process of either
    replace = os.replace

    def another_first(source: Path, target: Path) -> None:
        monkeypatch.setattr("os.replace", replace)
        machine_cache.remember("test", ["a"], {"by": "second"})
        assert machine_cache.recall("test", ["a"]) == {"by": "second"}
        replace(source, target)

    monkeypatch.setattr("os.replace", another_first)
    machine_cache.remember("test", ["a"], {"by": "first"})
    assert machine_cache.recall("test", ["a"]) == {"by": "first"}
    assert len(list((tmp_path / "dpr-rag" / "test").iterdir())) == 1
