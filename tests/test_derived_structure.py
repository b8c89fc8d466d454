"""Derived files whose checksums hold and whose parts do not fit together: set aside, never an IndexError or another answer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import HashEncoder, make_passages

from dpr_rag import Passage, PassageStore, Retriever
from dpr_rag.derived import file_checksum
from dpr_rag.errors import StoreCorrupted
from dpr_rag.store import lexicon

QUESTION = np.ones((1, 16), np.float32)
WHERE = {"rare": {"$lt": 7}}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filled") / "store"
    with PassageStore.open(path, encoder=HashEncoder()) as store:
        store.add(make_passages(300))
        store.add([Passage("long", "number number title")])
        store.optimize("flat")
        lexicon.write_postings(store._engine)
        store.delete(["7"])
    return path


def resealed(store: PassageStore, kind: str) -> None:
    """Record the checksums that the files of a segment have now."""
    with store._engine.writing() as writer:
        old = dict((writer.now.base if kind == "base" else writer.now.lexical) or {})
        folder = store.path / "index" / old["directory"]
        new = {**old, "files": {name: file_checksum(folder / name) for name in old["files"]}}
        if kind == "base":
            writer.set_base(new, built_from=-1, index="flat")
        else:
            writer.now = replace(writer.now, lexical=new)
        writer.commit_state()


def answers(store: PassageStore) -> list[object]:
    found = [store.search(QUESTION, 9, WHERE)[0], Retriever(store, mode="bm25", k=9).retrieve("number 17 title")]
    found.append(Retriever(store, mode="hybrid", k=9).retrieve("number 17", filter=WHERE))
    seen: list[object] = [[(hit.passage.id, round(hit.score, 6)) for hit in hits] for hits in found]
    return [*seen, store.count(WHERE), store.count({"title": "title 3"}), store.count({"nowhere": 1})]


def changed(name: str, kind: str, change: Callable[[np.ndarray], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        values = np.fromfile(folder / name, kind)
        change(values)
        values.tofile(folder / name)

    return apply


def exchanged(one: int, other: int) -> Callable[[np.ndarray], object]:
    def change(values: np.ndarray) -> None:
        assert values[one] != values[other]
        values[[one, other]] = values[[other, one]]

    return change


def longer(name: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes() + bytes(8))

    return apply


POSTINGS = {
    "rows": changed("rows", "<i8", exchanged(3, 200)),
    "terms": changed("terms", "<u8", exchanged(3, 200)),
    "starts": changed("starts", "<i8", exchanged(3, 200)),
    "first start": changed("starts", "<i8", lambda values: values.__setitem__(0, 1)),
    "last start": changed("starts", "<i8", lambda values: values.__setitem__(-1, values[-1] + 5)),
    "places beyond": changed("places", "<i4", lambda values: values.__setitem__(4, 10**6)),
    "places below": changed("places", "<i4", lambda values: values.__setitem__(4, -3)),
    "begins": changed("begins", "<i8", exchanged(3, 200)),
    "lengths": changed("lengths", "<i4", lambda values: values.__setitem__(4, 900)),
    "more counts": longer("counts"),
    "more sequence": longer("sequence"),
    "more rows": longer("rows"),
}


@pytest.mark.parametrize("name", POSTINGS)
def test_postings_that_do_not_fit_together_are_not_used(
    filled: Path, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with PassageStore.open(shutil.copytree(filled, tmp_path / "s"), encoder=HashEncoder()) as store:
        right = answers(store)
        POSTINGS[name](next(store.path.glob("index/words-*")))
        resealed(store, "words")
        with pytest.raises(StoreCorrupted, match=r"optimize\(\) builds the BM25 postings anew"):
            store.check()
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder()) as store:
        assert answers(store) == right
        assert "reading what is stored instead" in caplog.text
        store.optimize()
        assert store.check().passages == 300


@pytest.mark.parametrize("name", ["places", "counts", "sequence"])
def test_check_sees_words_of_other_passages(filled: Path, tmp_path: Path, name: str) -> None:
    kind = {"places": "<i4", "counts": "<u2", "sequence": "<u4"}[name]
    with PassageStore.open(shutil.copytree(filled, tmp_path / "s"), encoder=HashEncoder()) as store:
        values = np.fromfile(next(store.path.glob(f"index/words-*/{name}")), kind)
        other = int(np.flatnonzero(values != values[40])[0])
        changed(name, kind, exchanged(40, other))(next(store.path.glob("index/words-*")))
        resealed(store, "words")
        with pytest.raises(StoreCorrupted, match=r"BM25 postings (hold other words|.*fit together)"):
            store.check()


class Columns:
    """The file of fields, to be changed by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.contents = json.loads((folder / "fields.json").read_text())
        self.data = bytearray((folder / "fields").read_bytes())

    def of(self, name: str) -> tuple[np.ndarray, np.ndarray, slice]:
        """Codes, starts and where the texts stand."""
        column = self.contents["columns"][name]
        size = self.contents["count"] * column["width"]
        starts = column["at"] + -(-size // 8) * 8
        texts = starts + 8 * (column["values"] + 1)
        whole = np.frombuffer(self.data, np.uint8)
        codes = whole[column["at"] : column["at"] + size].view(f"<u{column['width']}")
        return codes, whole[starts:texts].view("<i8"), slice(texts, texts + column["size"])

    def write(self) -> None:
        (self.folder / "fields.json").write_text(json.dumps(self.contents))
        (self.folder / "fields").write_bytes(self.data)


def code_beyond(columns: Columns) -> None:
    columns.of("rare")[0][5] = 200


def starts_exchanged(columns: Columns) -> None:
    exchanged(3, 9)(columns.of("rare")[1])


def starts_beyond(columns: Columns) -> None:
    columns.of("rare")[1][-1] += 3


def another_count(columns: Columns) -> None:
    for column in columns.contents["columns"].values():
        column["width"] = 1
    columns.contents["count"] = 8


def no_columns(columns: Columns) -> None:
    columns.contents["columns"] = [1]


def not_there(columns: Columns) -> None:
    columns.contents["columns"]["rare"]["at"] = -8


@pytest.mark.parametrize("damage", [code_beyond, starts_exchanged, starts_beyond, another_count, no_columns, not_there])
def test_fields_that_do_not_fit_together_are_not_used(
    filled: Path, tmp_path: Path, damage: Callable[[Columns], None], caplog: pytest.LogCaptureFixture
) -> None:
    with PassageStore.open(shutil.copytree(filled, tmp_path / "s"), encoder=HashEncoder()) as store:
        right = answers(store)
        columns = Columns(next(store.path.glob("index/base-*")))
        damage(columns)
        columns.write()
        resealed(store, "base")
        with pytest.raises(StoreCorrupted, match=r"optimize\(\) builds a new index"):
            store.check()
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder()) as store:
        assert answers(store) == right
        assert "filters ask the passages instead" in caplog.text
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder()) as store:
        assert store.delete(filter=WHERE) == right[3]


def no_json(columns: Columns) -> None:
    texts = columns.of("rare")[2]
    columns.data[texts] = b"x" * (texts.stop - texts.start)


def out_of_order(columns: Columns) -> None:
    texts = columns.of("rare")[2]
    values = bytes(columns.data[texts])
    columns.data[texts] = values.replace(b"2", b"#").replace(b"7", b"2").replace(b"#", b"7")


@pytest.mark.parametrize("use", [answers, lambda store: store.delete(filter=WHERE)], ids=["search", "delete"])
def test_a_value_that_is_no_json_sets_the_index_aside(
    filled: Path, tmp_path: Path, use: Callable[[PassageStore], object], caplog: pytest.LogCaptureFixture
) -> None:
    with PassageStore.open(shutil.copytree(filled, tmp_path / "right"), encoder=HashEncoder()) as store:
        right = use(store)
    with PassageStore.open(shutil.copytree(filled, tmp_path / "s"), encoder=HashEncoder()) as store:
        columns = Columns(next(store.path.glob("index/base-*")))
        no_json(columns)
        columns.write()
        resealed(store, "base")
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder()) as store:
        assert use(store) == right
        assert "holds a value that is no JSON" in caplog.text
        with pytest.raises(StoreCorrupted, match=r"no JSON.*optimize\(\) builds a new index"):
            store.check()


def test_check_sees_values_out_of_order_and_fields_that_are_not_there(filled: Path, tmp_path: Path) -> None:
    for number, damage in enumerate([out_of_order, lambda columns: columns.contents["columns"].pop("rare")]):
        with PassageStore.open(shutil.copytree(filled, tmp_path / str(number)), encoder=HashEncoder()) as store:
            columns = Columns(next(store.path.glob("index/base-*")))
            damage(columns)
            columns.write()
            resealed(store, "base")
            with pytest.raises(StoreCorrupted, match="holds other metadata than the store"):
                store.check()
