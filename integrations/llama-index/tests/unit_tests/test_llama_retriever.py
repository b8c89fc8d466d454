"""``DPRRetriever`` by value: scores, bundles, filters, diversity, relevance, and how its store is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines import place  # noqa: F401  # a folder, and a Milvus
from llama_index.core.schema import IndexNode, QueryBundle, TextNode
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters
from llama_index.retrievers.dpr_rag import DPRRetriever
from llama_index.vector_stores.dpr_rag import DPRVectorStore

from dpr_rag import Diversity, DualEncoder, Passage, PassageStore, Retriever
from dpr_rag.errors import EncoderMismatchError, FilterError, StoreNotFoundError, VectorError

QUESTION = "which prince avenges his father"


def ids(found: list[Any]) -> list[str]:
    return [one.node.node_id for one in found]


def test_nodes_with_inner_products(filled: DPRVectorStore, plays: list[TextNode], towers: Any) -> None:
    found = DPRRetriever(filled, similarity_top_k=2).retrieve(QUESTION)
    assert found[0].node == plays[0]
    scores = {one.node_id: towers.score(QUESTION, one.text, one.metadata.get("title", "")) for one in plays}
    assert ids(found) == sorted(scores, key=lambda key: -scores[key])[:2]
    assert [one.score for one in found] == pytest.approx([scores[key] for key in ids(found)], rel=1e-5)


async def test_async_finds_the_same(filled: DPRVectorStore) -> None:
    retriever = DPRRetriever(filled)
    assert await retriever.aretrieve(QUESTION) == retriever.retrieve(QUESTION)


def test_embedding_of_the_bundle_is_honoured(filled: DPRVectorStore, towers: Any) -> None:
    before = list(towers.calls)
    vector = (2 * towers.encode_questions(["devil"])[0]).tolist()
    bundle = QueryBundle("a prince", embedding=vector)
    (best, *_) = DPRRetriever(filled).retrieve(bundle)
    assert best.node.node_id == "faust"
    assert best.score == pytest.approx(2 * towers.score("devil", "A scholar makes a pact with the devil", "Faust"))
    assert [call for call in towers.calls[len(before) + 1 :] if call[0] == "questions"] == [("questions", 1)]


def test_custom_strings_are_averaged(filled: DPRVectorStore, towers: Any) -> None:
    strings = ["rice boils", "ten minutes", "boils"]
    bundle = QueryBundle("a prince", custom_embedding_strs=strings)
    (best, *_) = DPRRetriever(filled).retrieve(bundle)
    mean = np.mean([towers.score(string, "Rice boils for ten minutes") for string in strings])
    assert best.node.node_id == "rice"
    assert best.score == pytest.approx(float(mean), rel=1e-5)
    assert bundle.embedding is None


def test_filters_and_ids_narrow_what_is_retrieved(filled: DPRVectorStore) -> None:
    filters = MetadataFilters(filters=[MetadataFilter(key="author", value="Shakespeare")])
    assert ids(DPRRetriever(filled, filters=filters).retrieve("a general with a scholar's pact")) == [
        "macbeth",
        "hamlet",
    ]
    assert ids(DPRRetriever(filled, doc_ids=["d2"]).retrieve(QUESTION)) == ["faust"]
    assert ids(DPRRetriever(filled, node_ids=["rice"]).retrieve(QUESTION)) == ["rice"]


def test_diversity_and_mode(node: Any) -> None:
    vectors = {"best": [1.0, 0.0, 0.0], "twin": [0.99, 0.14, 0.0], "other": [0.6, 0.0, 0.8], "far": [0.0, 0.0, 1.0]}
    nodes = [node(key, key) for key in vectors]
    for one in nodes:
        one.embedding = vectors[one.node_id]
    bundle = QueryBundle("x", embedding=[1.0, 0.0, 0.4])
    with DPRVectorStore() as store:
        store.add(nodes)
        assert ids(DPRRetriever(store, similarity_top_k=2).retrieve(bundle)) == ["best", "twin"]
        assert ids(DPRRetriever(store, similarity_top_k=2, mode="mmr").retrieve(bundle)) == ["best", "far"]
        chosen = DPRRetriever(store, similarity_top_k=2, diversity=Diversity(candidates=3, balance=0.5))
        found = chosen.retrieve(bundle)
        assert (ids(found), [one.score for one in found]) == (["best", "other"], pytest.approx([1.0, 0.92]))
        with pytest.raises(ValueError, match="mode='mmr' and diversity= were both given"):
            DPRRetriever(store, mode="mmr", diversity=Diversity())
        with pytest.raises(ValueError, match="the query mode 'svm' is not supported"):
            DPRRetriever(store, mode="svm")


def test_threshold_of_relevance(filled: DPRVectorStore) -> None:
    everything = DPRRetriever(filled, similarity_top_k=4).retrieve(QUESTION)
    relevance = Retriever(filled.client).relevance
    least = relevance(everything[1].score)
    assert 0 < relevance(everything[-1].score) < least < relevance(everything[0].score) <= 1
    assert DPRRetriever(filled, min_relevance=least).retrieve(QUESTION) == everything[:2]
    with pytest.raises(VectorError, match=r"min_relevance is 1\.5"):
        DPRRetriever(filled, min_relevance=1.5).retrieve(QUESTION)


def test_store_by_path_is_closed_with_the_retriever(filled: DPRVectorStore, towers: Any, make_towers: Any) -> None:
    path = filled.client.path
    filled.close()
    retriever = DPRRetriever(path, encoder=towers, similarity_top_k=1)
    assert ids(retriever.retrieve(QUESTION)) == ["hamlet"]
    retriever.close()
    with pytest.raises(EncoderMismatchError):
        DPRRetriever(path, encoder=make_towers("two"))
    with pytest.raises(StoreNotFoundError):
        DPRRetriever(f"{path}x", encoder=towers)


def test_passage_store_of_others_is_left_open(towers: Any) -> None:
    with PassageStore.temporary(encoder=towers) as passages:
        passages.add([Passage(id="1", title="Hamlet", text="A prince avenges his father")])
        retriever = DPRRetriever(passages)
        assert ids(retriever.retrieve(QUESTION)) == ["1"]
        retriever.close()
        assert retriever.retrieve(QUESTION)[0].node.metadata == {"title": "Hamlet"}
        with pytest.raises(ValueError, match="encoder= and read_only= go with a path"):
            DPRRetriever(passages, encoder=towers)


def test_from_defaults(
    plays: list[TextNode],
    towers: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    filled: DPRVectorStore,
    bare: Any,
) -> None:
    temporary = DPRRetriever.from_defaults(plays, encoder=towers, similarity_top_k=1)
    assert ids(temporary.retrieve(QUESTION)) == ["hamlet"]
    folder = temporary.vector_store.client.path
    temporary.close()
    assert not folder.exists()

    monkeypatch.setattr(DualEncoder, "default", lambda: towers)
    at_path = DPRRetriever.from_defaults(plays[:1], path=tmp_path / "new.dpr")
    at_path.close()
    again = DPRRetriever.from_defaults(plays[2:3], path=tmp_path / "new.dpr")
    assert bare(again.vector_store.get_nodes()) == [plays[0], plays[2]]
    again.close()

    of_store = DPRRetriever.from_defaults(vector_store=filled)
    assert of_store.vector_store is filled
    of_store.close()
    assert ids(DPRRetriever.from_defaults(store=filled.client, similarity_top_k=1).retrieve(QUESTION)) == ["hamlet"]
    with pytest.raises(ValueError, match="path, vector_store and store were given together"):
        DPRRetriever.from_defaults(path=tmp_path, vector_store=filled)


def test_unknown_arguments_are_refused(filled: DPRVectorStore) -> None:
    with pytest.raises(TypeError, match="top_k"):
        DPRRetriever(filled, top_k=3)  # type: ignore[call-arg]


def test_settings_can_change(filled: DPRVectorStore) -> None:
    retriever = DPRRetriever(filled)
    retriever.similarity_top_k, retriever.doc_ids = 1, ["d1"]
    assert ids(retriever.retrieve("a general murders his king")) == ["macbeth"]


def test_index_nodes_lead_on(store: DPRVectorStore, towers: Any, node: Any) -> None:
    store.add([IndexNode(id_="pointer", text="everything about cooking", index_id="cook-book")])
    with DPRVectorStore(encoder=towers) as cook_book:
        cook_book.add([node("rice", "Rice boils for ten minutes")])
        retriever = DPRRetriever(store, object_map={"cook-book": DPRRetriever(cook_book)})
        assert ids(retriever.retrieve("cooking")) == ["rice"]


def test_two_nodes_as_everywhere_in_llama_index(filled: DPRVectorStore) -> None:
    expected = DPRRetriever(filled, similarity_top_k=4).retrieve(QUESTION)
    assert DPRRetriever(filled).retrieve(QUESTION) == expected[:2]


def test_empty_lists_of_ids_select_nothing(filled: DPRVectorStore) -> None:
    assert DPRRetriever(filled, node_ids=[]).retrieve(QUESTION) == []
    assert DPRRetriever(filled, doc_ids=[]).retrieve(QUESTION) == []


def test_what_is_given_is_named_where_it_does_not_fit(filled: DPRVectorStore) -> None:
    with pytest.raises(FilterError, match=r"filters is dict .*expected llama_index's MetadataFilters"):
        DPRRetriever(filled, filters={"lang": "en"})
    with pytest.raises(TypeError, match=r"store is object, expected a path.*under \.store"):
        DPRRetriever(object())


def test_stores_given_open_stay_open(filled: DPRVectorStore) -> None:
    with DPRRetriever(filled) as first, DPRRetriever(filled.client) as second:
        assert first.retrieve(QUESTION) == second.retrieve(QUESTION)
    assert len(filled.get_nodes()) == 4


def test_what_fails_halfway_leaves_nothing_open(
    make_towers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    undated = TextNode(text="x", metadata={"when": {1, 2}})
    for options in ({"similarity_top_k": 0}, {"nodes": [undated]}, {"min_relevence": 1}):
        with pytest.raises((ValueError, TypeError)):
            DPRRetriever.from_defaults(encoder=make_towers(), **options)
    assert list(tmp_path.iterdir()) == []
