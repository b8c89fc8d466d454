"""JSON that no parser of Python's takes - nested without end, integers without end - gets each reader's own error."""

from __future__ import annotations

import json
import shutil
import sqlite3
import zlib
from pathlib import Path

import numpy as np
import pytest

from dpr_rag import DprRagError, DualEncoder, Passage, PassageStore
from dpr_rag.corpora import read_jsonl, read_training
from dpr_rag.errors import CorpusError, ModelError, StoreCorrupted, TrainingError
from dpr_rag.legacy import read_state_dict
from dpr_rag.storage import holding, records
from dpr_rag.storage.state import State
from dpr_rag.training.folder import OutputFolder
from dpr_rag.training.log import Log

DEEP = '{"a":' * 100_000 + "1" + "}" * 100_000
BOMBS = {"deep": DEEP, "deep lists": "[" * 100_000, "digits": '{"a": ' + "9" * 100_000 + "}"}


@pytest.fixture(params=BOMBS)
def bomb(request: pytest.FixtureRequest) -> str:
    return BOMBS[request.param]


def test_index_of_shards(tmp_path: Path, bomb: str) -> None:
    path = tmp_path / "pytorch_model.bin.index.json"
    path.write_text(bomb)
    with pytest.raises(ModelError, match=r"index\.json: cannot be read as JSON"):
        read_state_dict(path)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"])
def test_file_of_a_model(tmp_path: Path, bomb: str, name: str) -> None:
    import dpr_rag.encoders

    folder = tmp_path / "model"
    shutil.copytree(Path(dpr_rag.encoders.__file__).parent / "default" / "question", folder)
    (folder / name).write_text(bomb)
    with pytest.raises(ModelError, match=name):
        DualEncoder.from_pretrained(str(folder), profile="minilm").encode_questions(["who?"])


@pytest.mark.parametrize("name", ["corpus.jsonl", "corpus.json"])
def test_file_of_a_corpus(tmp_path: Path, bomb: str, name: str) -> None:
    path = tmp_path / name
    path.write_text(f"[{bomb}]" if name.endswith(".json") and bomb.startswith("{") else bomb + "\n")
    for read in (read_jsonl, read_training):
        with pytest.raises(CorpusError, match=name):
            list(read(path))


def test_record_of_a_training(tmp_path: Path, bomb: str) -> None:
    folder = OutputFolder(tmp_path / "out")
    folder.begin({"a": 1})
    (tmp_path / "out" / "training" / "training.json").write_text(bomb)
    with pytest.raises(TrainingError, match=r"training\.json"):
        OutputFolder(tmp_path / "out").begin({"a": 1})


def test_log_of_a_training_ends_there(tmp_path: Path, bomb: str) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n' + bomb + "\n")
    assert Log(tmp_path / "log.jsonl").lines() == [{"step": 1}]


def test_state_of_a_store_with_a_checksum_that_fits(bomb: str) -> None:
    with pytest.raises(StoreCorrupted, match=r"x\.sqlite"):
        State.decode(bomb, zlib.crc32(bomb.encode()), "x.sqlite")


@pytest.mark.parametrize("value", ["{}", "[]", '{"model": {"a": 1}, "pending": null}', '{"model": 1, "pending": 1}'])
def test_state_of_another_form_with_a_checksum_that_fits(value: str) -> None:
    with pytest.raises(StoreCorrupted, match=r"x\.sqlite"):
        State.decode(value, zlib.crc32(value.encode()), "x.sqlite")


def test_metadata_of_a_passage_with_a_checksum_that_fits(tmp_path: Path, bomb: str) -> None:
    path = tmp_path / "store.dpr"
    with PassageStore.open(path) as store:
        store.add([Passage("a", "text", metadata={"n": 1})], vectors=np.eye(1, 4, dtype=np.float32))
    with sqlite3.connect(path / "passages.sqlite") as connection:
        row, name, title, _, text, _ = connection.execute(
            "SELECT row, id, title, metadata, text, crc FROM passage"
        ).fetchone()
        (state,) = connection.execute("SELECT value FROM state").fetchone()
        crc = records.passage_crc(row, name, title, bomb, text, json.loads(state)["salt"])
        connection.execute("UPDATE passage SET metadata = ?, crc = ?", (bomb, crc))
    connection.close()
    with PassageStore.open(path, create=False, read_only=True) as store:
        with pytest.raises(StoreCorrupted, match=r"store\.dpr"):
            store.get(["a"])
        with pytest.raises(DprRagError, match=r"store\.dpr"):
            store.check()


def test_holder_of_a_store_is_then_another_process(tmp_path: Path) -> None:
    (tmp_path / "writer.json").write_text("[" * 1000)
    assert holding.holder_of(tmp_path) == "another process"
    (tmp_path / "writer.json").write_text(json.dumps({"pid": 7, "host": "h"}))
    assert holding.holder_of(tmp_path) == "process 7 on h"
