"""An id that comes twice in one call: no text is lost without a word, in lists, in streams, and between files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from dpr_rag import Passage, PassageStore
from dpr_rag.cli.app import app
from dpr_rag.errors import PassageError
from dpr_rag.store import AddReport, with_source
from dpr_rag.store.repeats import SeenIds

OTHER = [Passage("a", "first"), Passage("b", "between"), Passage("a", "second")]


def vectors(count: int) -> np.ndarray:
    return np.eye(count, 8, dtype=np.float32)


@pytest.fixture
def store() -> Iterator[PassageStore]:
    with PassageStore.temporary() as made:
        yield made


@pytest.mark.parametrize("batch_size", [1, 2, 512])
def test_an_id_with_two_texts_is_refused_before_anything_is_stored(store: PassageStore, batch_size: int) -> None:
    with pytest.raises(PassageError, match="the id 'a' comes twice"):
        store.add(OTHER, vectors=vectors(3), batch_size=batch_size)
    assert list(store) == []


@pytest.mark.parametrize(
    "second",
    [Passage("a", "x", title="T"), Passage("a", "x", metadata={"n": 1}), Passage("a", "x", metadata={"n": True})],
)
def test_titles_and_metadata_count_like_texts(store: PassageStore, second: Passage) -> None:
    first = Passage("a", "x", metadata={"n": 1.0} if second.metadata else {})
    with pytest.raises(PassageError, match="with different contents"):
        store.add([first, second], vectors=vectors(2))


@pytest.mark.parametrize(("batch_size", "stored"), [(1, ["first", "between"]), (2, ["first", "between"]), (3, [])])
def test_a_stream_is_stopped_where_the_id_comes_again(store: PassageStore, batch_size: int, stored: list[str]) -> None:
    with pytest.raises(PassageError, match="the id 'a' comes twice"):
        store.add(iter(OTHER), vectors=iter(vectors(3)), batch_size=batch_size)
    assert [passage.text for passage in store] == stored


def test_a_stream_over_what_is_stored_already_is_stopped_too(store: PassageStore) -> None:
    store.add(OTHER[:2], vectors=vectors(2))
    with pytest.raises(PassageError, match="the id 'a' comes twice"):
        store.add(iter(OTHER), vectors=iter(vectors(3)), batch_size=1)
    assert {passage.text for passage in store} == {"first", "between"}


@pytest.mark.parametrize("batch_size", [1, 512])
@pytest.mark.parametrize("form", [list, iter])
def test_equal_passages_are_one(store: PassageStore, batch_size: int, form: type) -> None:
    twice = [Passage("a", "x", metadata={"n": 1, "m": 2}), Passage("a", "x", metadata={"n": 1, "m": 2})]
    report = store.add(form(twice), vectors=np.ones((2, 4)), batch_size=batch_size)
    assert report == AddReport(added=1, unchanged=1)
    assert list(store) == [twice[0]]


def test_the_order_of_keys_makes_no_other_passage(store: PassageStore) -> None:
    one, two = ({"a": {"x": 1, "y": 2}, "b": 3}, {"b": 3, "a": {"y": 2, "x": 1}})
    report = store.add([Passage("p", "text", "", one), Passage("p", "text", "", two)], vectors=vectors(2)[[0, 0]])
    assert report == AddReport(added=1, unchanged=1)


def test_equal_passages_with_two_vectors_are_refused(store: PassageStore) -> None:
    with pytest.raises(PassageError, match="with different vectors"):
        store.add([Passage("a", "x")] * 2, vectors=vectors(2))
    assert len(store) == 0


def test_a_second_call_replaces(store: PassageStore) -> None:
    store.add(OTHER[:1], vectors=vectors(1))
    assert store.add(OTHER[2:], vectors=vectors(1)) == AddReport(replaced=1)
    assert [passage.text for passage in store] == ["second"]


@pytest.mark.parametrize("batch_size", [1, 512])
@pytest.mark.parametrize(("policy", "text"), [("own", "of x"), ("any", "of y")])
def test_between_files_the_policy_decides_whatever_the_batch(
    store: PassageStore, batch_size: int, policy: str, text: str
) -> None:
    files = [with_source(Passage("a", "of x"), "/x"), with_source(Passage("a", "of y"), "/y")]
    report = store.add(files, vectors=vectors(2), batch_size=batch_size, replace=policy)
    assert [passage.text for passage in store] == [text]
    expected = AddReport(added=1, owners={"/x": 1}) if policy == "own" else AddReport(added=1, replaced=1)
    assert report == expected


def test_many_ids_are_remembered_in_few_bytes() -> None:
    seen, ids = SeenIds(), [f"passage {number}" for number in range(20_000)]
    for start in range(0, 20_000, 100):
        assert seen.again(ids[start : start + 100]) == []
    assert sum(run.nbytes for run in seen._runs) == 8 * 20_000
    assert len(seen._runs) < 16
    assert seen.again(["passage 0", "new", "passage 19999"]) == ["passage 0", "passage 19999"]


def test_the_command_line_names_the_id_and_says_what_to_do(tmp_path: Path) -> None:
    corpus = tmp_path / "twice.jsonl"
    corpus.write_text('{"id": "a", "text": "first"}\n{"id": "a", "text": "second"}\n')
    done = CliRunner().invoke(app, ["index", str(corpus), "--store", str(tmp_path / "s")])
    assert done.exit_code == 1
    told = " ".join(done.output.split())
    assert "the id 'a' comes twice in one run" in told
    assert "index them in two runs" in told
