"""``DPRVectorStore`` by value: scores, selection, diversity, upserts, deletion, blank nodes, other frameworks' passages."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines import place  # noqa: F401  # a folder, and a Milvus
from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.schema import Document, QueryBundle, TextNode
from llama_index.core.vector_stores.types import (
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from llama_index.embeddings.dpr_rag import DPREmbedding
from llama_index.retrievers.dpr_rag import DPRRetriever
from llama_index.vector_stores.dpr_rag import DPRVectorStore

from dpr_rag import Passage, PassageStore, Ranking, Retriever, Tuned, open_store
from dpr_rag.errors import EncoderMismatchError, PassageError, StoreClosedError, VectorError

QUESTION = "which prince avenges his father"


def only(key: str, value: Any) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key=key, value=value)])


def ask(store: DPRVectorStore, question: str = QUESTION, k: int = 10, **options: Any) -> VectorStoreQueryResult:
    return store.query(VectorStoreQuery(query_str=question, similarity_top_k=k, **options))


def expected(towers: Any, nodes: list[TextNode], question: str = QUESTION) -> list[tuple[str, float]]:
    scores = [(one.node_id, towers.score(question, one.text, one.metadata.get("title", ""))) for one in nodes]
    return sorted(scores, key=lambda pair: -pair[1])


def test_scores_are_inner_products_best_first(filled: DPRVectorStore, plays: list[TextNode], towers: Any) -> None:
    result = ask(filled)
    best = expected(towers, plays)
    assert best[0][0] == "hamlet"
    assert result.ids == [node_id for node_id, _ in best]
    assert result.similarities == pytest.approx([score for _, score in best], rel=1e-5)
    assert [node.node_id for node in result.nodes] == result.ids
    assert result.nodes[0] == plays[0]
    assert ask(filled, k=2).ids == result.ids[:2]


async def test_async_methods_do_the_same(store: DPRVectorStore, plays: list[TextNode], towers: Any, bare: Any) -> None:
    assert await store.async_add(plays) == ["hamlet", "macbeth", "faust", "rice"]
    query = VectorStoreQuery(query_str=QUESTION, similarity_top_k=1)
    assert (await store.aquery(query)).ids == ["hamlet"]
    assert bare(await store.aget_nodes(["faust"])) == [plays[2]]
    await store.adelete("d1")
    assert bare(await store.aget_nodes()) == plays[2:]
    await store.adelete_nodes(["rice"])
    assert bare(await store.aget_nodes()) == [plays[2]]
    await store.aclear()
    assert await store.aget_nodes() == []


def test_given_embeddings_are_what_is_searched(tmp_path: Path, node: Any) -> None:
    vectors = {"a": [3.0, 0.0], "b": [1.0, 1.0], "c": [0.0, 2.0]}
    nodes = [node(key, f"text {key}") for key in vectors]
    for one in nodes:
        one.embedding = vectors[one.node_id]
    with DPRVectorStore(tmp_path / "vectors.dpr") as store:
        assert store.add(nodes) == ["a", "b", "c"]
        result = store.query(VectorStoreQuery(query_embedding=[1.0, 2.0], similarity_top_k=3))
        assert (result.ids, result.similarities) == (["c", "a", "b"], [4.0, 3.0, 3.0])
        assert [one.embedding for one in result.nodes] == [None, None, None]
        with pytest.raises(VectorError, match="2"):
            store.query(VectorStoreQuery(query_embedding=[1.0, 2.0, 3.0]))
        with pytest.raises(EncoderMismatchError, match="opened without an encoder"):
            ask(store)
        with pytest.raises(ValueError, match="neither query_embedding nor query_str"):
            store.query(VectorStoreQuery())
        with pytest.raises(ValueError, match="node 'd' has no embedding and the store no encoder"):
            store.add([nodes[0], node("d", "text d")])


def test_nodes_with_and_without_embeddings(store: DPRVectorStore, node: Any, towers: Any) -> None:
    own = node("own", "unrelated words", title="T")
    own.embedding = (10 * towers.encode_questions([QUESTION])[0]).tolist()
    assert store.add([node("a", QUESTION), own]) == ["a", "own"]
    result = ask(store)
    assert result.ids == ["own", "a"]
    question = towers.encode_questions([QUESTION])[0].astype(np.float64)
    assert result.similarities == pytest.approx([10 * question @ question, towers.score(QUESTION, QUESTION)], rel=1e-5)


def test_class_name_is_told(filled: DPRVectorStore) -> None:
    assert filled.to_dict()["class_name"] == "DPRVectorStore"


def test_adding_again_replaces(
    filled: DPRVectorStore, plays: list[TextNode], node: Any, towers: Any, bare: Any
) -> None:
    new = node("hamlet", "Rice boils for ten minutes", "d9", title="Rice", year=2024)
    filled.add([new])
    assert bare(filled.get_nodes(["hamlet"])) == [new]
    assert len(filled.client) == 4
    assert ask(filled, "Rice boils", k=1).ids == ["hamlet"]
    assert ask(filled, "Rice boils", k=1).similarities == pytest.approx([towers.score("Rice boils", new.text, "Rice")])
    filled.delete("d1")
    assert [one.node_id for one in filled.get_nodes()] == ["faust", "rice", "hamlet"]


def test_unchanged_nodes_are_not_encoded_again(filled: DPRVectorStore, plays: list[TextNode], towers: Any) -> None:
    before = list(towers.calls)
    filled.add(plays)
    assert towers.calls == before


def test_restrictions_are_all_honoured(filled: DPRVectorStore) -> None:
    assert ask(filled, node_ids=["rice", "faust", "unknown"]).ids == ["faust", "rice"]
    assert ask(filled, doc_ids=["d2", "d3"]).ids == ["faust", "rice"]
    assert ask(filled, node_ids=["hamlet", "faust"], doc_ids=["d1"]).ids == ["hamlet"]
    assert ask(filled, node_ids=["hamlet", "faust"], filters=only("year", 1808)).ids == ["faust"]
    assert ask(filled, doc_ids=["d1"], filters=only("year", 1606)).ids == ["macbeth"]
    assert ask(filled, node_ids=["unknown"]).ids == []
    assert len(ask(filled, node_ids=[]).ids) == 4  # as an index sends it where nobody asked for nodes


@pytest.mark.parametrize("mode", ["default", "mmr", "sparse", "hybrid"])
def test_who_may_see_no_document_sees_none(filled: DPRVectorStore, mode: Any) -> None:
    assert ask(filled, doc_ids=[], mode=mode).ids == []
    assert ask(filled, doc_ids=[], node_ids=["hamlet"], mode=mode).ids == []
    index = VectorStoreIndex.from_vector_store(filled, embed_model=MockEmbedding(embed_dim=filled.client.dim))
    assert index.as_retriever(doc_ids=[], vector_store_query_mode=mode).retrieve("Shakespeare") == []


def test_restrictions_are_exact_whatever_the_metadata_say(store: DPRVectorStore, node: Any) -> None:
    store.add(
        [
            node("a", "text a", "d1", id="b", doc_id="d2", ref_doc_id="d2", document_id="d2"),
            node("b", "text b", "d2", id="a", doc_id="d1", ref_doc_id="d1", document_id="d1"),
            node("d1", "text of a node that is called as a document is"),
            node("node:a", "text of a node with a curious id", "source:d1"),
        ]
    )
    assert ask(store, node_ids=["a"]).ids == ["a"]
    assert ask(store, doc_ids=["d2"]).ids == ["b"]
    assert ask(store, node_ids=["node:a"]).ids == ["node:a"]
    assert ask(store, doc_ids=["source:d1"]).ids == ["node:a"]
    store.delete("d2")
    store.delete("text")
    assert [one.node_id for one in store.get_nodes()] == ["a", "d1", "node:a"]
    store.delete_nodes(["a"])
    assert [one.node_id for one in store.get_nodes()] == ["d1", "node:a"]


def test_passages_of_other_frameworks_are_found_and_selected(towers: Any, node: Any) -> None:
    with PassageStore.temporary(encoder=towers) as passages:
        passages.add(
            [
                Passage(id="p", title="Hamlet", text="A prince avenges his father", metadata={"id": "q", "year": 1601}),
                Passage(id="q", text="A prince", metadata={"id": "p"}),
            ]
        )
        store = DPRVectorStore(store=passages)
        store.add([node("n", "avenges", "d", id="q")])
        result = ask(store, k=1)
        assert result.nodes == [
            TextNode(id_="p", text="A prince avenges his father", metadata={"title": "Hamlet", "id": "q", "year": 1601})
        ]
        assert ask(store, node_ids=["q"]).ids == ["q"]
        assert sorted(ask(store, node_ids=["q", "n"]).ids) == ["n", "q"]
        assert ask(store, node_ids=["p", "q"], filters=only("year", 1601)).ids == ["p"]
        assert ask(store, node_ids=["q", "n"], doc_ids=["d"]).ids == ["n"]
        store.close()
        assert passages.get(["n"])[0].visible_metadata == {"id": "q"}


def test_mmr_trades_relevance_for_difference(node: Any) -> None:
    vectors = {"best": [1.0, 0.0, 0.0], "twin": [0.99, 0.14, 0.0], "other": [0.6, 0.0, 0.8], "far": [0.0, 0.0, 1.0]}
    nodes = [node(key, key) for key in vectors]
    for one in nodes:
        one.embedding = vectors[one.node_id]
    with DPRVectorStore() as small:
        small.add(nodes)

        def chosen(k: int = 2, *, mmr_threshold: float | None = None, **options: Any) -> list[str]:
            query = VectorStoreQuery(
                query_embedding=[1.0, 0.0, 0.4], similarity_top_k=k, mode="mmr", mmr_threshold=mmr_threshold
            )
            return small.query(query, **options).ids

        assert chosen() == ["best", "far"]
        assert chosen(mmr_threshold=0.7) == ["best", "other"]
        assert chosen(mmr_threshold=1.0) == ["best", "twin"]
        assert chosen(mmr_threshold=0.0) == ["best", "far"]
        assert chosen(mmr_threshold=0.0, mmr_prefetch_k=3) == ["best", "other"]
        assert chosen(mmr_threshold=0.0, mmr_prefetch_factor=1) == ["best", "twin"]
        assert chosen(k=1, mmr_prefetch_k=0) == ["best"]
        query = VectorStoreQuery(query_embedding=[1.0, 0.0, 0.4], similarity_top_k=2, mode="mmr")
        assert small.query(query, mmr_threshold=1.0).ids == ["best", "twin"]
        assert small.query(query).similarities == pytest.approx([1.0, 0.4])
        with pytest.raises(ValueError, match="mmr_prefetch_k and mmr_prefetch_factor were both given"):
            chosen(mmr_prefetch_k=3, mmr_prefetch_factor=2)
        with pytest.raises(VectorError, match=r"mmr_threshold is 1\.5"):
            chosen(mmr_threshold=1.5)
        with pytest.raises(
            TypeError,
            match="it is called mmr_prefetch_k here; there are mmr_threshold",
        ):
            chosen(fetch_k=3)


@pytest.mark.parametrize(
    "mode", sorted(set(VectorStoreQueryMode) - {"default", "mmr", "text_search", "sparse", "hybrid"})
)
def test_other_modes_are_refused_by_name(filled: DPRVectorStore, mode: VectorStoreQueryMode) -> None:
    with pytest.raises(ValueError, match=f"the query mode '{mode.value}' is not supported; there are 'default'"):
        ask(filled, mode=mode)


@pytest.mark.parametrize(
    ("mode", "alpha", "options"),
    [
        ("text_search", None, {"mode": "bm25"}),
        ("sparse", None, {"mode": "bm25"}),
        ("hybrid", None, {"mode": "hybrid"}),
        ("hybrid", 0.0, {"mode": "bm25"}),
        ("hybrid", 0.5, {"mode": "hybrid"}),
        ("hybrid", 0.8, {"ranking": Ranking("hybrid", balance=4.0)}),
        ("hybrid", 1.0, {"mode": "dense"}),
    ],
)
def test_modes_with_words_are_the_cores(
    filled: DPRVectorStore, mode: str, alpha: float | None, options: dict[str, Any]
) -> None:
    core = filled.client
    words = "the prince who makes a pact and the devil"
    expected = [(hit.passage.id, pytest.approx(hit.score)) for hit in Retriever(core, k=3, **options).retrieve(words)]
    assert expected
    found = filled.query(VectorStoreQuery(query_str=words, similarity_top_k=3, mode=mode, alpha=alpha))
    assert list(zip(found.ids, found.similarities, strict=True)) == expected
    retriever = DPRRetriever(filled, similarity_top_k=3, mode=mode, alpha=alpha)
    assert [(one.node.node_id, one.score) for one in retriever.retrieve(words)] == expected


@pytest.mark.parametrize("ranking", [Ranking("bm25"), Ranking("hybrid", 0.5)])
def test_the_default_mode_ranks_as_the_store_was_tuned(filled: DPRVectorStore, ranking: Ranking) -> None:
    core, words = filled.client, "the prince who makes a pact and the devil"
    retriever = DPRRetriever(filled, similarity_top_k=3)
    core.set_tuned(Tuned(ranking))
    expected = [(hit.passage.id, hit.score) for hit in Retriever(core, k=3, ranking=ranking).retrieve(words)]
    assert [(one.node.node_id, one.score) for one in retriever.retrieve(words)] == expected
    vector = core.encode_questions([words])[0].tolist()
    found = filled.query(VectorStoreQuery(query_str=words, query_embedding=vector, similarity_top_k=3))
    assert list(zip(found.ids, found.similarities, strict=True)) == expected
    dense = [hit.passage.id for hit in Retriever(core, k=3, mode="dense").retrieve(words)]
    assert filled.query(VectorStoreQuery(query_embedding=vector, similarity_top_k=3)).ids == dense
    bundle = QueryBundle(" ", embedding=vector)
    assert [one.node.node_id for one in retriever.retrieve(bundle)] == dense


def test_hybrid_takes_the_vector_that_the_query_brings(filled: DPRVectorStore) -> None:
    core, words = filled.client, "the prince who makes a pact and the devil"
    (vector,) = core.encode_questions(["a comedy of errors"])
    ranking = core.settled(Ranking("hybrid"))
    expected = [hit.score for hit in core.rank([words], 3, ranking=ranking, vectors=[vector])[0]]
    assert expected != [hit.score for hit in core.rank([words], 3, ranking=ranking)[0]]
    query = VectorStoreQuery(query_str=words, query_embedding=vector.tolist(), similarity_top_k=3, mode="hybrid")
    assert filled.query(query).similarities == expected
    bundle = QueryBundle(words, custom_embedding_strs=["a comedy of errors"])
    found = DPRRetriever(filled, similarity_top_k=3, mode="hybrid").retrieve(bundle)
    assert [one.score for one in found] == pytest.approx(expected)
    with open_store(core.path) as bare:
        bare.set_tuned(Tuned(ranking))
        default = VectorStoreQuery(query_str=words, query_embedding=vector.tolist(), similarity_top_k=3)
        assert DPRVectorStore(store=bare).query(default).similarities == expected


def test_words_alone_need_no_encoder(filled: DPRVectorStore) -> None:
    with DPRRetriever(filled.client.path, mode="text_search", similarity_top_k=1) as retriever:
        assert retriever.retrieve("a pact with the devil")[0].node.node_id


def test_lambda_follows_what_the_store_holds(plays: list[TextNode], towers: Any) -> None:
    with DPRRetriever.from_defaults(plays, encoder=towers, mode="hybrid", alpha=0.5) as retriever:
        core = retriever.vector_store.client
        expected = Retriever(core, k=2, mode="hybrid").retrieve("a pact with the devil")
        assert [one.score for one in retriever.retrieve("a pact with the devil")] == [hit.score for hit in expected]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"alpha": 0.5}, "alpha goes with mode='hybrid'"),
        ({"mode": "hybrid", "alpha": 0.5, "ranking": Ranking("bm25")}, "alpha goes with mode='hybrid'"),
        ({"mode": "hybrid", "ranking": Ranking("bm25")}, "ranking alone says how to rank"),
        ({"mode": "svm", "ranking": Ranking("bm25")}, "'svm' is not supported"),
        ({"mode": "hybrid", "alpha": 7.0}, "alpha is 7.0"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    filled: DPRVectorStore, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        DPRRetriever(filled, **options)


def test_hybrid_has_its_own_numbers_of_nodes(filled: DPRVectorStore) -> None:
    query = VectorStoreQuery(
        query_str="a pact with the devil", similarity_top_k=1, mode="hybrid", hybrid_top_k=2, sparse_top_k=1, alpha=0.5
    )
    ranking = filled.client.settled(Ranking("hybrid", candidates=1))
    hits = Retriever(filled.client, k=2, ranking=ranking).retrieve("a pact with the devil")
    assert filled.query(query).ids == [hit.passage.id for hit in hits]
    with pytest.raises(ValueError, match="looks for words; give query_str"):
        filled.query(VectorStoreQuery(query_embedding=[0.0], mode="text_search"))
    with pytest.raises(VectorError, match=r"alpha is 1\.5"):
        filled.query(VectorStoreQuery(query_str="x", mode="hybrid", alpha=1.5))


def test_get_nodes_in_the_order_asked_for(filled: DPRVectorStore, plays: list[TextNode], bare: Any) -> None:
    assert bare(filled.get_nodes()) == plays
    assert bare(filled.get_nodes(["faust", "unknown", "hamlet"])) == [plays[2], plays[0]]
    assert filled.get_nodes([]) == []
    assert bare(filled.get_nodes(["faust", "hamlet"], only("year", 1601))) == [plays[0]]
    assert bare(filled.get_nodes(filters=only("title", "Macbeth"))) == [plays[1]]


def test_deletion_by_ids_filters_and_both(filled: DPRVectorStore, plays: list[TextNode], bare: Any) -> None:
    filled.delete_nodes(["hamlet", "faust"], only("year", 1808))
    assert bare(filled.get_nodes()) == [plays[0], plays[1], plays[3]]
    filled.delete_nodes(filters=only("author", "Shakespeare"))
    filled.delete_nodes(["unknown"])
    filled.delete_nodes([])
    assert bare(filled.get_nodes()) == [plays[3]]
    for nothing in (None, MetadataFilters(filters=[])):
        with pytest.raises(ValueError, match="neither node_ids nor filters; use clear"):
            filled.delete_nodes(filters=nothing)
    filled.clear()
    assert filled.get_nodes() == []
    assert ask(filled).ids == []


def test_document_without_a_source_is_its_own(store: DPRVectorStore) -> None:
    store.add([Document(id_="d1", text="one"), Document(id_="d2", text="two")])
    assert ask(store, doc_ids=["d2"]).ids == ["d2"]
    store.delete("d1")
    assert [one.node_id for one in store.get_nodes()] == ["d2"]


def test_blank_nodes_are_skipped_with_one_warning(
    store: DPRVectorStore, node: Any, caplog: pytest.LogCaptureFixture
) -> None:
    pages = [node("p1", " \n"), node("p2", "words"), node("p3", ""), Document(id_="p4")]
    assert store.add(pages) == ["p2"]
    assert [one.node_id for one in store.get_nodes()] == ["p2"]
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == [
        "3 of 4 nodes have no text and were skipped, the first is 'p1'"
    ]
    assert (
        store.add([node(f"p{at}", text) for at, text in enumerate(("", "\u200b", "\ufeff\xad", "\0", "\ufffd"), 5)])
        == []
    )


def test_blank_nodes_can_be_refused(towers: Any, node: Any) -> None:
    with DPRVectorStore(encoder=towers, on_blank="error") as store:
        with pytest.raises(ValueError, match="node 'p2' has no text, and 1 of 2 have none"):
            store.add([node("p1", "words"), node("p2", "\t")])
        assert store.get_nodes() == []
    with pytest.raises(ValueError, match="on_blank is 'keep', expected 'skip' or 'error'"):
        DPRVectorStore(on_blank="keep")  # type: ignore[arg-type]


def test_nothing_is_stored_when_one_node_is_wrong(store: DPRVectorStore, node: Any) -> None:
    with pytest.raises(PassageError, match=r"passage 'b': metadata\['when'\]"):
        store.add([node("a", "words"), node("b", "words", when={1, 2})])
    assert store.get_nodes() == []


def test_path_is_durable_and_bound_to_its_encoder(
    tmp_path: Path, make_towers: Any, plays: list[TextNode], caplog: pytest.LogCaptureFixture, bare: Any
) -> None:
    towers = make_towers("one")
    with DPRVectorStore(tmp_path / "a.dpr", encoder=towers, index="flat") as store:
        store.add(plays)
        with caplog.at_level(logging.INFO):
            store.persist(str(tmp_path / "elsewhere.json"))
        assert "every change is on disk in" in caplog.text
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.dpr"]
    with DPRVectorStore(str(tmp_path / "a.dpr"), encoder=towers) as store:
        assert bare(store.get_nodes()) == plays
        assert store.encoder is towers
        assert store.path == str(tmp_path / "a.dpr")
        assert store.client.check().passages == 4
    with pytest.raises(EncoderMismatchError, match="towers-one"):
        DPRVectorStore(tmp_path / "a.dpr", encoder=make_towers("two"))
    with DPRVectorStore(tmp_path / "a.dpr", read_only=True) as store:
        vector = towers.encode_questions([QUESTION])[0].tolist()
        assert store.query(VectorStoreQuery(query_embedding=vector)).ids == ["hamlet"]


def test_closing_is_for_who_opened(towers: Any) -> None:
    with PassageStore.temporary(encoder=towers) as passages:
        with DPRVectorStore(store=passages) as store:
            assert store.client is passages
        assert len(passages) == 0
        with pytest.raises(ValueError, match="store= is open already"):
            DPRVectorStore(store=passages, encoder=towers)
    with pytest.raises(TypeError, match=r"encoder is str 'minilm', expected a dpr_rag\.Encoder or a DPREmbedding"):
        DPRVectorStore(encoder="minilm")  # type: ignore[arg-type]
    with DPRVectorStore(encoder=DPREmbedding(towers)) as own:
        assert own.encoder is towers
        folder = own.client.path
    assert not folder.exists()
    with pytest.raises(StoreClosedError):
        own.get_nodes()


def test_embedding_and_store_agree_on_titles(
    store: DPRVectorStore, embedding: DPREmbedding, plays: list[TextNode]
) -> None:
    by_store = DPRVectorStore(encoder=embedding.encoder)
    with by_store:
        by_store.add(plays)
        store.add(embedding([one.model_copy() for one in plays]))
        assert ask(store).similarities == pytest.approx(ask(by_store).similarities, rel=1e-6)
        assert ask(store).ids == ask(by_store).ids
