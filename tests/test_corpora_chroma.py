"""Chroma's folders as corpora: documents, metadata and vectors as Chroma itself would give them, and nothing run."""

from __future__ import annotations

import os
import pickle
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from chroma_folders import ADD, DELETE, UPDATE, UPSERT, Collection, write_chroma

from dpr_rag.corpora import LeftOut, Reading, open_corpus, open_reading
from dpr_rag.errors import CorpusError, UnsafeFileError
from dpr_rag.passages import Passage

DOCUMENT = "chroma:document"
HAMLET = {DOCUMENT: "A tragedy.", "title": "Hamlet", "year": 1601, "stars": 4.5, "old": True, "tags": ["a", "b"]}
PLAYS = Collection("plays", {"h": HAMLET, "f": {DOCUMENT: "A play."}}, queue=[(ADD, "h", [1, 2]), (ADD, "f", [3, 4])])


def vectors(folder: Path, part: str | None = None) -> dict[str, list[float]]:
    found = open_reading(folder, Reading(part=part, vectors=True)).found
    return {one.passage.id: np.round(np.float64(one.vector), 6).tolist() for one in found}


def test_documents_come_with_title_and_metadata_in_their_types(tmp_path: Path) -> None:
    found = list(open_corpus(write_chroma(tmp_path, PLAYS)))
    metadata = {"year": 1601, "stars": 4.5, "old": True, "tags": ["a", "b"]}
    assert found == [Passage("h", "A tragedy.", "Hamlet", metadata), Passage("f", "A play.")]
    assert found[0].metadata["old"] is True


def test_a_collection_is_asked_for_where_there_are_several(tmp_path: Path) -> None:
    write_chroma(tmp_path, PLAYS, Collection("books", {"b": {DOCUMENT: "x"}}))
    with pytest.raises(CorpusError, match=r"it holds books, plays; name the collection with part=NAME"):
        open_corpus(tmp_path)
    with pytest.raises(CorpusError, match=r"there is no collection 'play'; it holds books, plays"):
        open_corpus(tmp_path, part="play")
    assert list(open_corpus(tmp_path, part="books")) == [Passage("b", "x")]


def test_a_folder_without_a_collection_is_said_to_be_one(tmp_path: Path) -> None:
    write_chroma(tmp_path)
    for part in (None, "plays"):
        with pytest.raises(CorpusError, match=r": it holds no collection; check the path$"):
            open_corpus(tmp_path, part=part)


def test_what_is_found_is_said(tmp_path: Path) -> None:
    opened = open_reading(write_chroma(tmp_path, PLAYS), Reading())
    assert opened.what == (
        "the collection plays of a Chroma folder: 2 documents with vectors of 2 dimensions, ranked by l2"
    )


@pytest.mark.parametrize("old", [False, True])
def test_vectors_come_from_the_index_and_from_the_queue(tmp_path: Path, old: bool) -> None:
    names = {name: {DOCUMENT: name} for name in "abcdefg"}
    queue = [
        (ADD, "a", [9, 9]),  # is there: changes nothing
        (UPDATE, "b", [2, 2]),
        (UPDATE, "c", None),  # of the metadata alone
        (UPSERT, "e", [5, 5]),
        (DELETE, "f", None),
        (ADD, "f", [6, 6]),
        (UPDATE, "x", [9, 9]),  # is not there
        (ADD, "g", [7, 7]),
        (ADD, "g", [9, 9]),
    ]
    indexed = {"a": [1, 0], "b": [9, 9], "c": [3, 0], "d": [4, 0], "e": [9, 9], "f": [9, 9]}
    write_chroma(tmp_path, Collection("c", names, indexed, queue), old=old)
    assert vectors(tmp_path) == {
        "a": [1, 0],
        "b": [2, 2],
        "c": [3, 0],
        "d": [4, 0],
        "e": [5, 5],
        "f": [6, 6],
        "g": [7, 7],
    }


def test_vectors_ranked_by_cosine_have_one_length_as_in_the_index_of_chroma(tmp_path: Path) -> None:
    documents = {name: {DOCUMENT: name} for name in "ab"}
    write_chroma(tmp_path, Collection("c", documents, {"a": [0.6, 0.8]}, [(ADD, "b", [30, 40])], space="cosine"))
    assert vectors(tmp_path) == {"a": [0.6, 0.8], "b": [0.6, 0.8]}


def test_a_change_of_ranking_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    vectors(write_chroma(tmp_path, PLAYS))
    assert "ranked by l2 so far, and by inner product from now on, which differs" in caplog.text


def test_what_llama_index_keeps_twice_stays_behind(tmp_path: Path) -> None:
    node = {DOCUMENT: "x", "n": 1, "_node_content": "{}", "_node_type": "TextNode"}
    write_chroma(tmp_path, Collection("c", {"a": node}))
    assert list(open_corpus(tmp_path)) == [Passage("a", "x", "", {"n": 1})]


def test_documents_without_text_are_counted_and_bad_ones_named(tmp_path: Path) -> None:
    write_chroma(tmp_path, Collection("c", {"a": {"n": 1}, "": {DOCUMENT: "x"}, "b": {DOCUMENT: "y"}}))
    left_out, bad = LeftOut(), []
    assert list(open_corpus(tmp_path, left_out=left_out, on_bad=bad.append)) == [Passage("b", "y")]
    assert left_out == {"passage without text and title": 1}
    assert [str(one).partition(": ")[0] for one in bad] == [str(tmp_path / "chroma.sqlite3")]
    assert "document '': the id is ''" in str(bad[0])


def test_the_folder_is_only_read(tmp_path: Path) -> None:
    write_chroma(tmp_path, Collection("c", {"a": {DOCUMENT: "x"}}, {"a": [1, 2]}))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    vectors(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_operations_that_wait_are_no_silent_loss(tmp_path: Path) -> None:
    write_chroma(tmp_path, PLAYS)
    with sqlite3.connect(tmp_path / "chroma.sqlite3") as database:
        database.execute("UPDATE max_seq_id SET seq_id = 100")
    with pytest.raises(CorpusError, match=r"operations on the collection 'plays' wait in the queue.*open it once"):
        open_corpus(tmp_path)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("chroma.sqlite3", b"SQLite format 3\0 and no more", r"chroma\.sqlite3: cannot be read as Chroma's database"),
        ("c-vectors/header.bin", b"short", r"header\.bin: cannot be read"),
        ("c-vectors/header.bin", bytes(100), r"header\.bin: describes 0 vectors in a form that is not known"),
        ("c-vectors/data_level0.bin", b"short", r"header\.bin: describes 1 vectors .*5 bytes in data_level0\.bin"),
        ("c-vectors/index_metadata.pickle", b"\x80\x02}", r"index_metadata\.pickle: truncated"),
        ("c-vectors/index_metadata.pickle", b"\x80\x02}.", r"index_metadata\.pickle: holds no labels"),
    ],
)
def test_damage_is_named(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    write_chroma(tmp_path, Collection("c", {"a": {DOCUMENT: "x"}}, {"a": [1, 2]}))
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CorpusError, match=said):
        vectors(tmp_path)


def test_another_database_is_told_apart(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "chroma.sqlite3") as database:
        database.execute("CREATE VIEW collections AS SELECT 1")
    with pytest.raises(CorpusError, match=r"has no tables collections, .*migrates it"):
        open_corpus(tmp_path)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "run"),)

    write_chroma(tmp_path, Collection("c", {"a": {DOCUMENT: "x"}}, {"a": [1, 2]}))
    (tmp_path / "c-vectors" / "index_metadata.pickle").write_bytes(pickle.dumps({"id_to_label": Bomb()}))
    with pytest.raises(UnsafeFileError, match=r"index_metadata\.pickle"):
        vectors(tmp_path)
    assert not (tmp_path / "run").exists()


def test_an_id_without_a_vector_is_named(tmp_path: Path) -> None:
    write_chroma(tmp_path, Collection("c", {"a": {DOCUMENT: "x"}}))
    with pytest.raises(CorpusError, match="the id 'a' has no vector; move in without vectors"):
        vectors(tmp_path)
