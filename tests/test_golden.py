"""Formats are frozen: what is kept on disk today is what an earlier version wrote, and is read as it was meant.

A change of form needs a new number, a new file beside the old ones (``tests/golden_files.py``), and a reader of the old.
"""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from conftest import HashEncoder, golden_passages
from golden_files import ABOUT, GOLDEN, KINDS, POSITION, TURNS, copied, files_of
from safetensors import safe_open

import dpr_rag
from dpr_rag import DualEncoder, Passage, PassageStore, Retriever
from dpr_rag.corpora import Question
from dpr_rag.corpora.columnar import PART
from dpr_rag.corpora.parts import read_mark, read_part
from dpr_rag.lexical import Analyzer
from dpr_rag.lexical.postings import Postings
from dpr_rag.pages.memory import Memory
from dpr_rag.reading.reader import Reader
from dpr_rag.storage.schema import FILE_NAME, FORMAT
from dpr_rag.training.folder import OutputFolder

STORE = f"format-{FORMAT}"
LEFT = [one for one in golden_passages() if one.id != "id-5"]
QUESTION = "who wrote hamlet?"
HAMLET = Passage("1", "hamlet is a tragedy by the king of denmark .", "hamlet")


def form_of(value: Any) -> Any:
    """The names in a JSON value and the kinds of what stands under them; of a list, those of its first item."""
    if isinstance(value, dict):
        return {name: form_of(one) for name, one in sorted(value.items())}
    if isinstance(value, list):
        return [form_of(one) for one in value[:1]]
    return type(value).__name__


def form_of_database(path: Path) -> dict[str, Any]:
    """All that decides how an SQLite file is read, and the form of the JSON in it."""
    with closing(sqlite3.connect(path)) as database:
        numbers = [database.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")]
        schema = database.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {name: database.execute(f"SELECT * FROM {name}").fetchall() for name in sorted(tables)}  # noqa: S608
    forms = {name: [tuple(map(_form_of_column, row)) for row in found] for name, found in rows.items()}
    return {"numbers": numbers, "schema": schema, "rows": forms}


def _form_of_column(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in "[{":
        return json.dumps(form_of(json.loads(value)))
    return type(value).__name__


def form_of_file(path: Path) -> Any:
    """How a file is laid out, without its numbers and texts."""
    if path.name == FILE_NAME or (not path.suffix and path.read_bytes()[:6] == b"SQLite"):
        return form_of_database(path)
    if path.name == "config.json":
        return "the model's own, with the keys of the transformers of its day"
    if path.suffix == ".json":
        return form_of(json.loads(path.read_text("utf-8")))
    if path.suffix == ".safetensors":
        with safe_open(path, "np") as tensors:
            return {
                name: (one := tensors.get_slice(name)).get_dtype() + str(one.get_shape()) for name in tensors.keys()
            }
    if path.suffix == ".parquet":
        schema = pyarrow.parquet.read_schema(path)
        return schema.remove_metadata().to_string(), form_of(json.loads(schema.metadata[PART]))
    return path.stat().st_size


def forms(place: Path) -> list[Any]:
    """The forms of one file, or of all files of a folder in the order of their names."""
    files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
    return [form_of_file(path) for path in files]


@pytest.mark.parametrize("name", KINDS)
def test_today_writes_what_the_frozen_files_hold(name: str, tmp_path: Path) -> None:
    KINDS[name](tmp_path / name)
    assert files_of(tmp_path / name) == files_of(GOLDEN / name)
    frozen, written = forms(copied(name, tmp_path / "frozen")), forms(tmp_path / name)
    assert len(frozen) == len(written)
    for one, other in zip(frozen, written, strict=True):
        assert one == other


def test_the_page_of_versions_names_what_is_frozen() -> None:
    page = (GOLDEN.parents[1] / "docs" / "reference" / "versions.md").read_text("utf-8")
    assert re.findall(r"^\| .+? \| (\d+) \| `(\S+)` \|", page, re.MULTILINE) == [
        (name.rpartition("-")[2], name) for name in KINDS
    ]
    assert f"This is {dpr_rag.__version__}," in page


def test_a_change_of_form_is_seen(tmp_path: Path) -> None:
    """What the test above is for: a key more, a column more, another number of the format."""
    assert form_of({"a": [1, 2], "b": None}) == form_of({"b": None, "a": [3]})
    assert form_of({"a": 1}) != form_of({"a": 1, "b": 1})
    assert form_of({"a": 1}) != form_of({"a": "1"})
    before = forms(copied("conversations-1", tmp_path / "chat"))
    for change in ("ALTER TABLE label ADD COLUMN more", "PRAGMA user_version = 2"):
        with closing(sqlite3.connect(copied("conversations-1", tmp_path / "chat"))) as database, database:
            database.execute(change)
        assert forms(tmp_path / "chat") != before


def test_a_store_is_read_with_its_index_postings_ranking_and_records(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vectors = HashEncoder(dim=4).encode_passages(LEFT)
    scores = vectors @ np.array([1.0, 2.0, 3.0, 4.0], np.float32)
    with PassageStore.open(copied(STORE, tmp_path / "store"), encoder=HashEncoder(dim=4), read_only=True) as store:
        assert list(store) == LEFT
        hits = store.search([[1.0, 2.0, 3.0, 4.0]], 11)[0]
        order = np.argsort(-scores, kind="stable")
        assert [hit.passage.id for hit in hits] == [LEFT[at].id for at in order]
        assert [hit.score for hit in hits] == pytest.approx(scores[order].tolist(), rel=1e-5)
        assert Retriever(store, mode="bm25").retrieve("title 7")[0].passage.id == "id-7"
        assert store.count({"n": {"$gte": 4}}) == 7
        report = store.check()
        assert (report.passages, report.indexed) == (11, 11)
        assert store.tuned is not None
        assert (store.tuned.questions, store.tuned.ranking.mode) == (9, "hybrid")
        assert store.private.read("notes") == {"one": {"kept": True}}
        assert store.info().index == "hnsw"
    assert "damaged" not in caplog.text


def test_postings_are_those_of_the_frozen_files(tmp_path: Path) -> None:
    """By value, so that a change of the analysis or of the columns is seen whatever library versions are here."""
    with closing(sqlite3.connect(copied(STORE, tmp_path / "store") / FILE_NAME)) as database:
        (value,) = database.execute("SELECT value FROM state").fetchone()
    manifest = json.loads(value)["lexical"]
    frozen = Postings.open(tmp_path / "store" / "index" / manifest["directory"], manifest["files"])
    made = Postings.of(enumerate(golden_passages(), 1), Analyzer("english"))
    for column in ("rows", "lengths", "terms", "starts", "places", "counts", "begins", "sequence"):
        assert np.array_equal(getattr(frozen, column), getattr(made, column)), column


@pytest.mark.parametrize("runtime", ["openvino", "torch"])
def test_an_encoder_gives_the_same_vectors_under_the_same_fingerprint(runtime: Any) -> None:
    """The fingerprint counts as much as the numbers: a store that this encoder filled knows it by that."""
    encoder = DualEncoder.from_pretrained(GOLDEN / "encoder-1", runtime=runtime, dtype="float32", device="cpu")
    assert encoder.fingerprint == "5cc44b3d1a03de52ac06861772a4421cba36bdb4c2bdb1004d4b7e23b0b1dac7"
    question = [-1.624409, 0.429996, -0.207236, -0.422538, 0.048692, 1.010466, -0.299381, 2.059105]
    passage = [0.820749, -1.657050, 1.363061, 0.215067, -1.154153, 0.174532, 1.399791, -0.948017]
    assert encoder.encode_questions([QUESTION])[0] == pytest.approx(question, abs=1e-5)
    assert encoder.encode_passages([HAMLET])[0] == pytest.approx(passage, abs=1e-5)


@pytest.mark.parametrize("runtime", ["openvino", "torch"])
def test_a_reader_reads_the_same_under_the_same_fingerprint(runtime: Any) -> None:
    reader = Reader.from_pretrained(GOLDEN / "reader-1", runtime=runtime, dtype="float32", device="cpu")
    assert reader.fingerprint == "dccd1b1434c1d683a0e413b12e4dd736328b8019c2820cc84d297ffb9da79429"
    (reading,) = reader.read(QUESTION, [HAMLET])
    assert reading.selection == pytest.approx(0.0079411, abs=1e-5)
    assert (reading.answer.text, reading.answer.start, reading.answer.end) == ("king of denmark", 27, 42)
    assert reading.answer.probability == pytest.approx(0.0074772, rel=1e-3)
    assert reading.none == pytest.approx(0.0067229, rel=1e-3)


def test_a_part_of_an_encoded_corpus_is_read() -> None:
    file = GOLDEN / "part-1" / "part-00000000.parquet"
    mark = read_mark(file)
    assert (mark.form, mark.passages, mark.last, mark.dim, mark.fingerprint) == (1, 3, True, 4, "hash-4-")
    found, vectors = read_part(file)
    assert found == golden_passages()[:3]
    assert np.array_equal(vectors, HashEncoder(dim=4).encode_passages(golden_passages()[:3]))


def test_conversations_are_read(tmp_path: Path) -> None:
    memory = Memory(copied("conversations-1", tmp_path / "chat"))
    ((number, title),) = memory.listed()
    conversation = memory.get(number)
    assert conversation is not None
    assert (title, conversation.turns) == (QUESTION, TURNS)
    assert memory.labelled() == [Question("1", QUESTION, (), ("h",))]
    assert (memory.unfinished(), memory.with_checksum("0123")) == (["begun.txt"], ["read.txt"])


def test_a_training_goes_on_where_it_stood(tmp_path: Path) -> None:
    folder = OutputFolder(copied("training-1", tmp_path / "out"))
    assert folder.begin(ABOUT) == "unfinished"
    newest = folder.newest()
    assert newest is not None
    position, tensors, extra = newest
    assert (position, extra) == (POSITION, {"seed": 7})
    assert tensors["model"]["weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
