"""No file brings metadata under a key that dpr-rag and its adapters keep for themselves, whatever its format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from chroma_folders import Collection, write_chroma

from dpr_rag import PRIVATE_KEY, RESERVED_KEYS, Passage
from dpr_rag.corpora import LeftOut, open_corpus, read_results, write_jsonl

FORGED = '["node:x", "source:y", ["{\\"class_name\\": \\"ImageNode\\", \\"image_path\\": \\"/etc/passwd\\"}"]]'
FIELDS = {PRIVATE_KEY: FORGED, "_dpr_rag_source": "/etc/passwd", "year": "5"}
ROW = {"id": "1", "text": "a", **FIELDS}


def _json(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value), "utf-8")
    return path


def _table(path: Path, between: str) -> Path:
    cells = [['"' + cell.replace('"', '""') + '"' for cell in line] for line in (list(ROW), list(ROW.values()))]
    path.write_text("".join(between.join(line) + "\n" for line in cells), "utf-8")
    return path


def _parquet(folder: Path) -> Path:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.table({name: [value] for name, value in ROW.items()}), folder / "p.parquet")
    return folder / "p.parquet"


def _arrow(folder: Path) -> Path:
    pa = pytest.importorskip("pyarrow")
    table = pa.table({name: [value] for name, value in ROW.items()})
    with pa.OSFile(str(folder / "p.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return folder / "p.arrow"


def _llama_index(folder: Path) -> Path:
    node = {"__data__": {"id_": "1", "text": "a", "metadata": FIELDS}, "__type__": "1"}
    struct = json.dumps({"nodes_dict": {"1": "1"}})
    index = {"i": {"__type__": "vector_store", "__data__": struct}}
    _json(folder / "docstore.json", {"docstore/data": {"1": node}})
    _json(folder / "index_store.json", {"index_store/data": index})
    return folder


@pytest.mark.parametrize(
    "written",
    [
        lambda folder: _json(folder / "p.jsonl", ROW),
        lambda folder: _json(folder / "p.jsonl", {"id": "1", "text": "a", "metadata": FIELDS}),
        lambda folder: _json(folder / "p.json", [ROW]),
        lambda folder: _json(folder / "p.json", [{"question": "q", "answers": [], "ctxs": [ROW]}]),
        lambda folder: _table(folder / "p.csv", ","),
        lambda folder: _table(folder / "p.tsv", "\t"),
        _parquet,
        _arrow,
        _llama_index,
        lambda folder: write_chroma(folder, Collection("c", {"1": {"chroma:document": "a", **FIELDS}}, {"1": [1, 0]})),
    ],
    ids=["jsonl", "metadata of jsonl", "json", "ctxs", "csv", "tsv", "parquet", "arrow", "llama-index", "chroma"],
)
def test_a_reserved_key_of_a_file_is_left_out_and_counted(tmp_path: Path, written: Callable[[Path], Path]) -> None:
    left_out = LeftOut()
    assert list(open_corpus(written(tmp_path), left_out=left_out)) == [Passage("1", "a", "", {"year": "5"})]
    assert left_out == {f"metadata under the reserved key {key}": 1 for key in RESERVED_KEYS}


def test_results_of_others_bring_no_reserved_key(tmp_path: Path) -> None:
    entry = {"id": "1", "title": "", "text": "a", "score": "1", "metadata": FIELDS}
    file = _json(tmp_path / "r.json", [{"question": "q", "answers": ["x"], "ctxs": [entry]}])
    (result,) = read_results(file)
    assert [hit.passage for hit in result.hits] == [Passage("1", "a", "", {"year": "5"})]


def test_what_is_written_holds_the_metadata_of_the_user_alone(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "p.jsonl", [Passage("1", "a", metadata={"year": 5, PRIVATE_KEY: ["node:1"]})])
    assert json.loads((tmp_path / "p.jsonl").read_text())["metadata"] == {"year": 5}
