"""Saved datasets of Hugging Face's library as corpora, read from their Arrow files and JSON alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from dpr_rag.corpora import Columns, LeftOut, Reading, SkipReport, open_corpus, open_reading
from dpr_rag.errors import CorpusError
from dpr_rag.passages import Passage

pa = pytest.importorskip("pyarrow")


def save(folder: Path, *tables: Any, features: dict[str, Any] | None = None) -> Path:
    """What ``Dataset.save_to_disk`` writes, a shard a table."""
    folder.mkdir(parents=True)
    names = [f"data-{at:05}-of-{len(tables):05}.arrow" for at in range(len(tables))]
    for name, table in zip(names, tables, strict=True):
        with pa.ipc.new_stream(folder / name, table.schema) as stream:
            stream.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}), "utf-8")
    (folder / "dataset_info.json").write_text(json.dumps({"features": features or {}}), "utf-8")
    return folder


def splits(folder: Path, **tables: Any) -> Path:
    for name, table in tables.items():
        save(folder / name, table)
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(tables)}), "utf-8")
    return folder


ONE, TWO = (
    pa.table({"docid": [1], "contents": ["a"], "label": [0]}),
    pa.table({"docid": [2], "contents": ["b"], "label": [1]}),
)


def test_shards_are_read_in_order_with_other_columns_as_metadata(tmp_path: Path) -> None:
    folder = save(tmp_path / "d", ONE, TWO)
    assert list(open_corpus(folder)) == [Passage("1", "a", "", {"label": 0}), Passage("2", "b", "", {"label": 1})]
    assert open_reading(folder, Reading()).what == "a saved dataset"


def test_one_of_several_splits_is_named(tmp_path: Path) -> None:
    folder = splits(tmp_path / "d", train=ONE, test=TWO)
    assert [one.id for one in open_corpus(folder, part="test")] == ["2"]
    with pytest.raises(CorpusError, match=r"its splits are train, test; name the split with part=NAME"):
        open_corpus(folder)
    with pytest.raises(CorpusError, match=r"there is no split 'dev'; its splits are train, test"):
        open_corpus(folder, part="dev")
    with pytest.raises(CorpusError, match=r"is one dataset without splits; leave the split 'train' out"):
        open_corpus(folder / "train", part="train")


def test_a_single_split_needs_no_name(tmp_path: Path) -> None:
    opened = open_reading(splits(tmp_path / "d", train=ONE), Reading())
    assert (opened.what, [one.passage.id for one in opened.found]) == ("the split train of a saved dataset", ["1"])


@pytest.mark.parametrize("form", ["new_stream", "new_file"])
def test_a_file_of_arrow_is_a_corpus_in_either_form(tmp_path: Path, form: str) -> None:
    with getattr(pa.ipc, form)(tmp_path / "p.arrow", ONE.schema) as stream:
        stream.write_table(ONE)
    found = list(open_reading(tmp_path / "p.arrow", Reading()).found)
    assert [(one.passage.id, one.place) for one in found] == [("1", f"{tmp_path / 'p.arrow'}: row 1")]


def test_images_and_vectors_are_left_out_by_name(tmp_path: Path) -> None:
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table(
        {
            "id": ["1"],
            "text": ["a"],
            "photo": pa.array([None], image),
            "emb": pa.array([[1.0, 2.0]], pa.list_(pa.float32())),
        }
    )
    folder, left_out = save(tmp_path / "d", table, table, features={"photo": {"_type": "Image"}}), LeftOut()
    assert next(open_corpus(folder, left_out=left_out)) == Passage("1", "a")
    assert left_out == {"column photo (Image)": 1, "column emb (list<item: float>)": 1}
    found = next(open_reading(folder, Reading(vectors=True)).found)
    assert (found.passage, found.vector) == (Passage("1", "a"), [1.0, 2.0])
    with pytest.raises(CorpusError, match=r"arrow: the column 'photo' is of the type Image, expected text"):
        list(open_corpus(folder, columns=Columns(text="photo")))


def test_bad_rows_are_named(tmp_path: Path) -> None:
    folder = save(tmp_path / "d", ONE, pa.table({"docid": ["x", ""], "contents": ["y", "z"]}))
    report = SkipReport()
    assert [one.id for one in open_corpus(folder, on_bad=report)] == ["1", "x"]
    assert report.examples == [
        f"{folder / 'data-00001-of-00002.arrow'}: row 2: the id is '', expected a non-empty string or an integer"
    ]


def test_columns_without_a_text_are_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "d", pa.table({"id": ["1"], "premise": ["a"]}))
    with pytest.raises(CorpusError, match=r"arrow: no column of id, premise is known for the text"):
        list(open_corpus(folder))


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("state.json", "{", r"state\.json: is not JSON"),
        ("state.json", "[]", r"state\.json: holds \[\], expected a JSON object"),
        ("state.json", "{}", r"state\.json: '_data_files' is missing, expected a list"),
        ("state.json", '{"_data_files": [{"filename": "../x"}]}', r"state\.json: _data_files is .*a file beside it"),
        ("state.json", '{"_data_files": [{"filename": "x"}]}', r"x: is missing, though state\.json names it"),
        ("data-00000-of-00001.arrow", "damaged", r"arrow: is no Arrow file that can be read"),
        ("data-00000-of-00001.arrow", "", r"arrow: is no Arrow file that can be read"),
    ],
)
def test_damage_is_named(tmp_path: Path, name: str, data: str, said: str) -> None:
    folder = save(tmp_path / "d", ONE)
    (folder / name).write_text(data, "utf-8")
    with pytest.raises(CorpusError, match=said):
        list(open_corpus(folder))


def test_an_arrow_file_that_ends_early_is_named(tmp_path: Path) -> None:
    folder = save(tmp_path / "d", pa.table({"id": [str(n) for n in range(999)], "text": ["word " * 20] * 999}))
    file = folder / "data-00000-of-00001.arrow"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(CorpusError, match=r"arrow: is no Arrow file that can be read"):
        list(open_corpus(folder))


def test_offsets_that_lead_outside_are_damage(tmp_path: Path) -> None:
    folder = save(tmp_path / "d", pa.table({"id": ["1", "2"], "text": ["aaaa", "bbbb"]}))
    file = folder / "data-00000-of-00001.arrow"
    data = file.read_bytes()
    offsets = b"".join(n.to_bytes(4, "little") for n in (0, 4, 8))
    assert data.count(offsets) == 1
    file.write_bytes(data.replace(offsets, b"".join(n.to_bytes(4, "little") for n in (0, 4, 1 << 30))))
    with pytest.raises(CorpusError, match=r"arrow: is no Arrow file that can be read"):
        list(open_corpus(folder))


def test_formats_without_parts_or_vectors_say_so(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"id": "1", "text": "a"}\n', "utf-8")
    with pytest.raises(CorpusError, match=r"the format jsonl has no parts; leave 'train' out"):
        open_corpus(tmp_path / "p.jsonl", part="train")
    with pytest.raises(CorpusError, match=r"the format jsonl holds no vectors beside its passages"):
        open_reading(tmp_path / "p.jsonl", Reading(vectors=True))


def test_a_dataset_that_shrinks_while_it_is_read_is_an_error_and_no_end_of_the_process(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    table = pa.table({"id": [str(n) for n in range(20_000)], "text": ["word " * 20] * 20_000})
    with pa.ipc.new_stream(folder / "p.arrow", table.schema) as stream:
        stream.write_table(table, max_chunksize=1000)
    found = open_corpus(folder / "p.arrow")
    assert next(found).id == "0"
    os.truncate(folder / "p.arrow", 200_000)
    with pytest.raises(CorpusError, match=r"p\.arrow: is no Arrow file that can be read"):
        list(found)
