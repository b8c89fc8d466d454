"""Copying a whole store to an engine and back: without encoding, in order, gone on with, and proven."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny import TinyEncoder
from typer.testing import CliRunner

from dpr_rag import Passage, PassageStore, RemoteStore, open_store
from dpr_rag.cli.app import app
from dpr_rag.errors import EncoderMismatchError, StoreError
from dpr_rag.scaling import copy, prove, recorded
from dpr_rag.stores import WholeStore, whole

ENCODER = TinyEncoder()
GIVEN = [
    Passage(
        f'p{at} "é"', f"text {at}\n\\ 東京", f"title {at % 3}" if at % 3 else "", {"n": 2**53 + at, "list": [at, None]}
    )
    for at in range(30)
]


def held(store: WholeStore) -> list[tuple[str, str, str, str, bytes]]:
    return [
        (one.id, one.title, one.text, repr(one.metadata), vector.tobytes())
        for page, vectors in store.batches(7)
        for one, vector in zip(page, vectors, strict=True)
    ]


@pytest.fixture
def source(tmp_path: Path) -> Iterator[PassageStore]:
    with PassageStore.open(tmp_path / "source.dpr", encoder=ENCODER) as store:
        store.add(GIVEN)
        yield store


@pytest.fixture
def engine(tmp_path: Path) -> str:
    pytest.importorskip("milvus_lite")
    return f"milvus+lite:{tmp_path / 'engine.db'}"


def run(*args: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(arg) for arg in args], prog_name="dpr-rag")
    return done.exit_code, done.output


def test_a_store_moved_to_an_engine_and_back_is_equal(tmp_path: Path, engine: str, source: PassageStore) -> None:
    before = held(source)
    code, told = run("copy", source.path, engine, "--batch-size", 8)
    assert code == 0, told
    assert "copied 30; 0 were already there; 30 in all, in " in told
    assert run("copy", engine, tmp_path / "back.dpr")[0] == 0
    with PassageStore.open(tmp_path / "back.dpr", encoder=ENCODER) as back:
        assert held(back) == before
        assert back.info().fingerprint == source.info().fingerprint
        assert back.info().source == source.info().source
        assert back.info().profile == source.info().profile
    assert "wrote 30 passages in 1 parts" in run("export", engine, "--out", tmp_path / "parts")[1]
    with open_store(engine, encoder=ENCODER) as served:
        assert served.rank(["text 4"], 1)[0][0].passage.id == source.rank(["text 4"], 1)[0][0].passage.id


def test_a_copy_that_was_interrupted_goes_on(tmp_path: Path, engine: str, source: PassageStore) -> None:
    def stop(done: int) -> None:
        if done == 16:
            raise KeyboardInterrupt

    with open_store(engine, encoder=recorded(source)) as target:
        with pytest.raises(KeyboardInterrupt):
            copy(source, whole(target), batch_size=8, progress=stop)
        assert target.count() == 16
        report = copy(source, whole(target), batch_size=8)
        assert (report.added, report.unchanged) == (14, 16)
        assert held(whole(target)) == held(source)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_copy_between_folders_is_proven_as_their_vectors_are_kept(
    dtype: str, tmp_path: Path, source: PassageStore
) -> None:
    with PassageStore.open(tmp_path / "other.dpr", encoder=recorded(source), dtype=dtype) as target:
        assert copy(source, target).added == 30
        assert list(target) == GIVEN


def test_a_copy_that_is_not_as_the_source_is_told(tmp_path: Path, source: PassageStore) -> None:
    with PassageStore.open(tmp_path / "other.dpr", encoder=recorded(source)) as target:
        copy(source, target)
        vectors = source.get_vectors([GIVEN[4].id])[GIVEN[4].id]
        target.add([GIVEN[4]], vectors=[vectors + np.float32(0.1)])
        with pytest.raises(StoreError, match=r"p4 .* is not the same"):
            prove(source, target)
        assert copy(source, target).replaced == 1
        target.delete([GIVEN[4].id])
        with pytest.raises(StoreError, match=r"holds 29 passages, and .* 30; one changed meanwhile"):
            prove(source, target)


def test_stores_are_not_mixed_by_copying(tmp_path: Path, source: PassageStore) -> None:
    with PassageStore.open(tmp_path / "other.dpr", encoder=ENCODER) as target:
        target.add([Passage("stranger", "text")])
        with pytest.raises(StoreError, match="holds the passage 'stranger', which"):
            copy(source, target)
        assert target.count() == 1
    with PassageStore.open(tmp_path / "third.dpr", encoder=TinyEncoder("other")) as target:
        with pytest.raises(EncoderMismatchError):
            copy(source, target)
        assert target.count() == 0


def test_a_service_gives_out_no_vectors(source: PassageStore) -> None:
    with pytest.raises(StoreError, match="gives out no vectors; name the folder or the collection behind it"):
        whole(RemoteStore("http://127.0.0.1:9"))
    code, told = run("copy", "http://127.0.0.1:9", source.path)
    assert code == 2
    assert "gives out no vectors" in " ".join(told.replace("│", " ").split())
