"""One question under several rankings, and the map, beside what the store and numpy say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import HashEncoder, make_passages

from dpr_rag import Passage, PassageStore, Ranking, Retriever
from dpr_rag.errors import FilterError, PassageError
from dpr_rag.fusion import Tuned
from dpr_rag.lexical import Analyzer
from dpr_rag.pages.automatic import automatic, told_automatic
from dpr_rag.pages.columns import comparison_html
from dpr_rag.pages.comparing import MODES, compare, map_of, neighbours


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[PassageStore]:
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder(32)) as store:
        store.add(make_passages(60))
        yield store


def test_every_mode_answers_as_a_retriever_does(filled: PassageStore) -> None:
    question = filled.get(["7"])[0].text
    found = compare(filled, question, 5, None)
    assert [column.mode for column in found.columns] == list(MODES)
    assert found.automatic == "hybrid"
    assert "<h3>Hybrid <small>(automatic)</small></h3>" in comparison_html(found, Analyzer())
    for column in found.columns:
        retriever = Retriever(filled, k=5, mode=column.mode)
        hits = retriever.retrieve(question)
        assert list(column.hits) == hits
        assert list(column.relevances) == [retriever.relevance(hit.score) for hit in hits]
        assert [column.rank_of(hit.passage.id) for hit in hits] == [1, 2, 3, 4, 5]
        assert column.rank_of("none") is None
    assert found.vector is not None
    assert np.allclose(found.vector, HashEncoder(32).encode_questions([question])[0])


def test_a_filter_holds_in_every_mode_and_what_is_wrong_is_told(filled: PassageStore) -> None:
    question = filled.get(["7"])[0].text
    for column in compare(filled, question, 5, {"id": "7"}).columns:
        assert [hit.passage.id for hit in column.hits] == ["7"]
    with pytest.raises(FilterError):
        compare(filled, question, 5, {"id": {"$near": 5}})
    with pytest.raises(PassageError, match="blank"):
        compare(filled, " ", 5, None)


def test_without_an_encoder_words_alone_answer(filled: PassageStore) -> None:
    question = filled.get(["7"])[0].text
    with PassageStore.open(filled.path, read_only=True) as store:
        found = compare(store, question, 3, None)
    assert [(column.error, bool(column.hits)) for column in found.columns] == [
        ("the store has no encoder", False),
        ("", True),
        ("the store has no encoder", False),
    ]
    assert (found.encode_ms, found.vector) == (None, None)


def test_neighbours_are_the_nearest_by_inner_product(filled: PassageStore) -> None:
    vectors = filled.get_vectors([str(at) for at in range(60)])
    scores = {name: float(vectors["7"] @ vector) for name, vector in vectors.items() if name != "7"}
    assert [hit.passage.id for hit in neighbours(filled, "7", 4)] == sorted(scores, key=scores.__getitem__)[::-1][:4]
    assert neighbours(filled, "none", 4) == []


def test_the_map_is_that_of_principal_components(filled: PassageStore) -> None:
    found = map_of(filled)
    assert found is not None
    vectors = np.array([filled.get_vectors([one.id])[one.id] for one in found.passages], np.float64)
    left, sizes, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    expected = left[:, :2] * sizes[:2]
    assert np.allclose(np.abs(found.points), np.abs(expected), atol=1e-4)
    assert np.allclose(found.place(vectors[3].astype(np.float32)), found.points[3], atol=1e-4)


def test_a_store_of_two_has_no_map(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder()) as store:
        store.add(make_passages(2))
        assert map_of(store) is None


def test_where_nobody_chose_a_store_is_searched_as_tuned_or_else_by_both_legs(filled: PassageStore) -> None:
    assert (automatic(filled), told_automatic(filled)) == ("hybrid", "searched in hybrid")
    filled.set_tuned(Tuned(Ranking("bm25"), questions=40))
    assert (automatic(filled), told_automatic(filled)) == (None, "searched as tuned (bm25)")
    assert compare(filled, "anything", 2, None).automatic == "bm25"
    filled.set_tuned(None)
    with PassageStore.open(filled.path, read_only=True) as store:
        assert automatic(store) == "bm25"


def test_the_map_is_that_of_the_store_as_it_is_now(tmp_path: Path) -> None:
    playground = pytest.importorskip("dpr_rag.pages.playground", reason="needs gradio", exc_type=ImportError)
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder(32)) as store:
        store.add([Passage(name, f"about {name}", name) for name in ("Ada", "Bob", "Cyd")])
        page = playground._Handlers(store)
        assert [name in page.draw("", 5, "") for name in ("Ada", "Bob", "Cyd", "Dan")] == [True, True, True, False]
        with PassageStore.open(tmp_path / "s", encoder=HashEncoder(32)) as other:
            other.delete(["Ada"])
            other.add([Passage("Dan", "about Dan", "Dan")])
        drawn = page.draw("", 5, "")
        assert [name in drawn for name in ("Ada", "Bob", "Cyd", "Dan")] == [False, True, True, True]
        assert page.draw("", 5, "") == drawn
        store.reencode(HashEncoder(16))
        assert "Bob" in page.draw("about Bob", 5, "")
        assert page.head() == "### s\n3 passages"
        store.delete(["Bob"])
        assert page.head() == "### s\n2 passages"
