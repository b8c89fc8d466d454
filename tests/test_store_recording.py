"""What a store says it was filled with: the encoder's profile, its runtime and precision, and since when."""

from __future__ import annotations

import json
import sqlite3
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import tiny_models as tiny
from tiny import TinyEncoder
from typer.testing import CliRunner

from dpr_rag import DualEncoder, Passage, PassageStore
from dpr_rag.cli.app import app

PASSAGES = [
    Passage("1", "hamlet is a tragedy ."),
    Passage("2", "who is the king ?"),
    Passage("3", "the king of denmark"),
]
PROFILE = {
    **{"profile": "e5", "pooling": "mean", "similarity": "cosine", "title": "prefix", "question_prompt": "query: "},
    **{"passage_prompt": "passage: ", "question_length": 64, "passage_length": 64, "truncate_dim": None},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.modules(tiny.bert(tmp_path_factory.mktemp("models") / "e5-base"), pooling="mean", names=("Normalize",))


def encoder(folder: Path, runtime: str = "openvino", dtype: str = "float32", **options: str) -> DualEncoder:
    return DualEncoder.from_pretrained(folder, device="cpu", runtime=runtime, dtype=dtype, **options)  # type: ignore[arg-type]


def shown(store: Path) -> str:
    done = CliRunner().invoke(app, ["info", str(store)], env={"COLUMNS": "400"})
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_store_says_what_filled_it_and_when(folder: Path, tmp_path: Path) -> None:
    start = datetime.now(UTC) - timedelta(seconds=1)
    with PassageStore.open(tmp_path / "s", encoder=encoder(folder)) as store:
        assert (store.info().profile, store.info().filled) == (None, None)
        store.add(PASSAGES[:1])
        once = store.info()
        store.add(PASSAGES[:2])
        assert store.info().filled == once.filled  # the moment is the first one
    assert once.profile == PROFILE
    assert once.filled is not None
    ((how, when),) = once.filled.items()
    assert how == "OpenVINO in float32"
    assert start <= datetime.fromisoformat(when) <= datetime.now(UTC)
    with PassageStore.open(tmp_path / "s", encoder=encoder(folder, "torch", "bfloat16")) as store:
        store.add(PASSAGES[:2])
        assert store.info().filled == once.filled  # nothing was encoded
        store.add(PASSAGES)
        both = store.info()
    assert set(both.filled or ()) == {"OpenVINO in float32", "PyTorch in bfloat16 on cpu"}
    assert both.profile == PROFILE
    with PassageStore.open(tmp_path / "s", read_only=True) as store:
        assert (store.info().profile, store.info().filled) == (both.profile, both.filled)


def test_the_command_tells_it(folder: Path, tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "s", encoder=encoder(folder)) as store:
        store.add(PASSAGES)
        when = (store.info().filled or {})["OpenVINO in float32"]
    lines = [line.split(None, 1) for line in shown(tmp_path / "s").splitlines()]
    told = {line[0]: line[1].strip() for line in lines}
    assert told["source"] == str(folder)
    assert told["dim"] == "32"
    assert told["profile"] == (
        "e5, mean pooling, compared by cosine, titles before the text, question prompt 'query: ', passage prompt 'passage: ', "
        "questions of 64 and passages of 64 tokens at most"
    )
    assert told["filled"] == f"OpenVINO in float32 since {when}"
    facts = json.loads(CliRunner().invoke(app, ["info", str(tmp_path / "s"), "--json"]).stdout)
    assert (facts["profile"], facts["filled"]) == (PROFILE, {"OpenVINO in float32": when})


def test_a_store_of_an_earlier_version_says_that_it_does_not_know(folder: Path, tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "s", encoder=encoder(folder)) as store:
        store.add(PASSAGES[:1])
    forget(tmp_path / "s")
    told = dict(line.split(None, 1) for line in shown(tmp_path / "s").splitlines())
    assert (told["profile"].strip(), told["filled"].strip()) == ("not recorded", "not recorded")
    with PassageStore.open(tmp_path / "s", encoder=encoder(folder)) as store:
        assert (store.info().profile, store.info().filled) == (None, None)
        store.add(PASSAGES)
        filled = store.info().filled or {}
        assert list(filled) == ["not recorded", "OpenVINO in float32"]
        assert (filled["not recorded"], store.info().profile) == ("", PROFILE)
        store.check()
    assert "not recorded before, OpenVINO in float32 since 2" in shown(tmp_path / "s")


def forget(folder: Path) -> None:
    """Put the record into the form that it had before."""
    with sqlite3.connect(folder / "passages.sqlite") as connection:
        fields = json.loads(connection.execute("SELECT value FROM state").fetchone()[0])
        del fields["model"]["about"]
        value = json.dumps(fields, sort_keys=True)
        connection.execute("UPDATE state SET value = ?, crc = ?", (value, zlib.crc32(value.encode())))
    connection.close()


def test_another_encoder_brings_its_own_record(folder: Path, tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "s", encoder=encoder(folder)) as store:
        store.add(PASSAGES)
        store.reencode(encoder(folder, "torch", profile="contriever"))
        info = store.info()
        assert info.profile is not None
        assert (info.profile["profile"], info.profile["question_prompt"]) == ("contriever", "")
        assert list(info.filled or ()) == ["PyTorch in float32 on cpu"]


def test_an_interrupted_reencoding_that_goes_on_elsewhere_names_both(folder: Path, tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Stopped

    with PassageStore.open(tmp_path / "s", encoder=encoder(folder)) as store:
        store.add(PASSAGES)
        with pytest.raises(Stopped):
            store.reencode(encoder(folder, "torch", profile="contriever"), batch_size=1, progress=stop)
        assert store.reencode(encoder(folder, "openvino", profile="contriever"), batch_size=1) == 2
        assert set(store.info().filled or ()) == {"PyTorch in float32 on cpu", "OpenVINO in float32"}


def test_vectors_that_were_given_are_called_so(folder: Path, tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "s") as store:
        store.add(PASSAGES[:1], vectors=[np.ones(32, np.float32)])
        assert (store.info().profile, list(store.info().filled or ())) == (None, ["vectors that were given"])
    with PassageStore.open(tmp_path / "s", encoder=encoder(folder), bind=True) as store:
        assert store.info().profile == PROFILE
        store.add(PASSAGES)
        assert set(store.info().filled or ()) == {"vectors that were given", "OpenVINO in float32"}


def test_an_encoder_of_another_maker_may_say_nothing_or_what_it_likes(tmp_path: Path) -> None:
    class Talking(TinyEncoder):
        description = {"kind": "hashed", "words": 64, "secret": object()}  # noqa: RUF012
        runtime = "numpy"

    for name, one, profile, how in (
        ("plain", TinyEncoder(), None, "a runtime that the encoder does not name"),
        ("talking", Talking(), {"kind": "hashed", "words": 64}, "numpy"),
    ):
        with PassageStore.open(tmp_path / name, encoder=one) as store:
            store.add(PASSAGES)
            assert store.info().profile == profile
            assert list(store.info().filled or ()) == [how]
    assert "kind=hashed, words=64" in shown(tmp_path / "talking")


def test_a_copy_keeps_the_record(folder: Path, tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "s", encoder=encoder(folder)) as store:
        store.add(PASSAGES)
        store.backup(tmp_path / "copy")
        before = store.info()
    with PassageStore.open(tmp_path / "copy", encoder=encoder(folder, "torch")) as copied:  # whatever runs it
        assert (copied.info().profile, copied.info().filled) == (before.profile, before.filled)
