"""`index` on stores of other libraries: says what it found, and takes vectors over where that is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from chroma_folders import ADD, Collection, write_chroma
from tiny import TinyEncoder
from typer.testing import CliRunner, Result

from dpr_rag import PassageStore
from dpr_rag.cli import models
from dpr_rag.cli.app import app

TEXTS = ["alpha", "beta", "gamma"]
OWN = TinyEncoder("tiny")
VECTORS = np.eye(3, OWN.dim, dtype=np.float32)
ALIEN = "the vectors are not alike to what the model makes of the same passages (cosine 0.00 in the median of 3)"


@pytest.fixture(autouse=True)
def _tiny_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: TinyEncoder(choice.question or "tiny"))


@pytest.fixture
def chroma(tmp_path: Path) -> Path:
    documents = {text: {"chroma:document": text, "title": text.title()} for text in TEXTS}
    queue = [(ADD, text, vector.tolist()) for text, vector in zip(TEXTS, VECTORS, strict=True)]
    return write_chroma(tmp_path / "chroma", Collection("c", documents, queue=queue, space="ip"), dim=OWN.dim)


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], prog_name="dpr-rag")


def stored(store: Path) -> np.ndarray:
    with PassageStore.open(store, read_only=True) as opened:
        return np.stack([opened.search(VECTORS[[at]], 1)[0][0].dense or 0 for at in range(3)])


def test_what_was_found_is_said_and_encoded_anew(tmp_path: Path, chroma: Path) -> None:
    done = run("index", chroma, "--store", tmp_path / "s")
    assert done.exit_code == 0, done.output
    assert done.stderr == (
        f"found the collection c of a Chroma folder: 3 documents with vectors of {OWN.dim} dimensions, ranked by inner product\n"
    )
    with PassageStore.open(tmp_path / "s", read_only=True) as opened:
        assert [(one.id, one.title, one.text) for one in opened] == [(text, text.title(), text) for text in TEXTS]
        assert opened.info().fingerprint == OWN.fingerprint


def test_vectors_are_taken_over_and_bound_to_the_model_that_is_named(tmp_path: Path, chroma: Path) -> None:
    done = run("index", chroma, "--store", tmp_path / "s", "--keep-vectors", "--model", "tiny")
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(stored(tmp_path / "s"), np.ones(3))
    assert ALIEN in done.stderr
    with PassageStore.open(tmp_path / "s", read_only=True) as opened:
        assert opened.info().fingerprint == OWN.fingerprint


def test_vectors_of_the_model_that_is_named_are_taken_in_silence(tmp_path: Path) -> None:
    documents = {text: {"chroma:document": text, "title": text.title()} for text in TEXTS}
    queue = [(ADD, text, OWN.encode_questions([f"{text} {text}"])[0].tolist()) for text in TEXTS]
    folder = write_chroma(tmp_path / "c", Collection("c", documents, queue=queue, space="ip"), dim=OWN.dim)
    done = run("index", folder, "--store", tmp_path / "s", "--keep-vectors", "--model", "tiny")
    assert (done.exit_code, done.stderr.count("\n"), "not alike" in done.stderr) == (0, 1, False)


def test_vectors_without_a_model_bind_nothing(tmp_path: Path, chroma: Path) -> None:
    assert run("index", chroma, "--store", tmp_path / "s", "--keep-vectors").exit_code == 0
    with PassageStore.open(tmp_path / "s", read_only=True) as opened:
        assert (opened.info().fingerprint, opened.count()) == ("", 3)


def test_vectors_of_another_dimension_are_refused(tmp_path: Path) -> None:
    folder = write_chroma(tmp_path / "c", Collection("c", {"a": {"chroma:document": "x"}}, queue=[(ADD, "a", [1, 2])]))
    done = run("index", folder, "--store", tmp_path / "s", "--keep-vectors", "--model", "tiny")
    assert done.exit_code == 1
    assert "dimension" in done.stderr


def test_a_passage_without_a_vector_is_named(tmp_path: Path) -> None:
    (tmp_path / "li").mkdir()
    nodes = {"a": {"__data__": {"text": "x", "metadata": {}}}}
    (tmp_path / "li" / "docstore.json").write_text(json.dumps({"docstore/data": nodes}), "utf-8")
    done = run("index", tmp_path / "li", "--store", tmp_path / "s", "--keep-vectors")
    assert done.exit_code == 1
    assert "document 'a': has no vector; leave out --keep-vectors, so that all are encoded anew" in done.stderr


def test_the_remedies_are_said_as_options(tmp_path: Path, chroma: Path) -> None:
    write_chroma(tmp_path / "two", Collection("books", {}), Collection("plays", {"a": {"chroma:document": "x"}}))
    done = run("index", tmp_path / "two", "--store", tmp_path / "s")
    assert (done.exit_code, "it holds books, plays; name the collection with --collection NAME" in done.stderr) == (
        1,
        True,
    )
    assert run("index", tmp_path / "two", "--store", tmp_path / "s", "--collection", "plays").exit_code == 0
    done = run("index", tmp_path / "two", "--store", tmp_path / "t", "--collection", "plays", "--keep-vectors")
    assert "the id 'a' has no vector; leave out --keep-vectors" in done.stderr
    shard = tmp_path / "v.npy"
    done = run("index", chroma, "--store", tmp_path / "s", "--keep-vectors", "--vectors", shard)
    assert (done.exit_code, "the vectors come from the corpus itself" in done.stderr) == (2, True)
