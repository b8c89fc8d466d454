"""What is asked: blank questions, filters alone, what is no question, and questions whose vectors have to be waited for."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.llms import ChatMessage, MockLLM
from llama_index.core.schema import QueryBundle
from llama_index.core.tools import RetrieverTool
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters, VectorStoreQuery, VectorStoreQueryMode
from llama_index.embeddings.dpr_rag import DPREmbedding
from llama_index.retrievers.dpr_rag import DPRRetriever
from llama_index.vector_stores.dpr_rag import DPRVectorStore

from dpr_rag.errors import VectorError

QUESTION = "a prince of Denmark"
OLD = MetadataFilters(filters=[MetadataFilter(key="year", value=0, operator=">")])
MODES = ["default", "mmr", "text_search", "sparse", "hybrid"]


def found_by(retriever: Any, given: Any) -> list[str]:
    found = [one.node.node_id for one in retriever.retrieve(given)]
    assert [one.node.node_id for one in asyncio.run(retriever.aretrieve(given))] == found
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("blank", ["", " \n", "\u200b\ufeff", QueryBundle("\0", custom_embedding_strs=["\xad"])])
def test_a_blank_question_finds_nothing_or_what_the_filter_keeps(filled: Any, mode: str, blank: Any) -> None:
    assert found_by(DPRRetriever(filled, mode=mode), blank) == []
    retriever = DPRRetriever(filled, mode=mode, filters=OLD, min_relevance=0.99)
    assert found_by(retriever, blank) == ["hamlet", "macbeth"]
    assert [one.score for one in retriever.retrieve(blank)] == [0.0, 0.0]
    assert found_by(DPRRetriever(filled, mode=mode, doc_ids=["d2"]), blank) == ["faust"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("words", ["", " ", None])
def test_a_query_of_filters_alone_gives_what_they_keep(filled: Any, mode: str, words: str | None) -> None:
    query = VectorStoreQuery(query_str=words, filters=OLD, similarity_top_k=2, mode=VectorStoreQueryMode(mode))
    result = filled.query(query)
    assert (result.ids, result.similarities) == (["hamlet", "macbeth"], [0.0, 0.0])
    assert asyncio.run(filled.aquery(query)).ids == result.ids
    bare = VectorStoreQuery(query_str=words, mode=VectorStoreQueryMode(mode))
    if words is None:
        with pytest.raises(ValueError, match="neither query_embedding nor query_str nor filters"):
            filled.query(bare)
    else:
        assert filled.query(bare).ids == []


@pytest.mark.parametrize("mode", MODES)
def test_no_nodes_wanted_are_no_nodes(filled: Any, mode: str) -> None:
    query = VectorStoreQuery(query_str=QUESTION, similarity_top_k=0, mode=VectorStoreQueryMode(mode))
    assert filled.query(query).ids == []
    with pytest.raises(VectorError, match="k is -1"):
        filled.query(VectorStoreQuery(query_str=QUESTION, similarity_top_k=-1, mode=VectorStoreQueryMode(mode)))


def test_an_index_and_its_tool_answer_blank_questions(filled: Any, embedding: DPREmbedding) -> None:
    index = VectorStoreIndex.from_vector_store(filled, embed_model=embedding)
    for blank in ("", "  "):
        assert found_by(index.as_retriever(), blank) == []
        assert found_by(index.as_retriever(filters=OLD), blank) == ["hamlet", "macbeth"]
    assert RetrieverTool.from_defaults(DPRRetriever(filled)).call("").content == ""
    assert str(index.as_query_engine(llm=MockLLM()).query(" ")) == "Empty Response"


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ({"question": QUESTION, "history": []}, r"given\['question'\]"),
        ({"history": [], "input": QUESTION}, r"given\['input'\]"),
        (ChatMessage(QUESTION), "message.content"),
        ([QUESTION], "one question after the other"),
        (None, "pass the text"),
        (QueryBundle({"question": QUESTION}), "query_str is dict"),
    ],
)
def test_what_is_no_question_is_told_with_what_to_write(filled: Any, given: Any, remedy: str) -> None:
    retriever = DPRRetriever(filled)
    with pytest.raises(TypeError, match=remedy):
        retriever.retrieve(given)
    with pytest.raises(TypeError, match=remedy):
        asyncio.run(retriever.aretrieve(given))


def test_a_query_whose_words_are_no_string_is_told_so(filled: Any) -> None:
    with pytest.raises(TypeError, match="query_str is dict"):
        filled.query(VectorStoreQuery(query_str={"question": QUESTION}))


@pytest.mark.parametrize("mode", ["sparse", "text_search"])
def test_sparse_top_k_counts_where_words_alone_rank(store: Any, node: Any, mode: str) -> None:
    store.add([node(f"n{at}", f"a prince number {at}") for at in range(8)])
    query = VectorStoreQuery(query_str="prince", similarity_top_k=2, mode=VectorStoreQueryMode(mode))
    assert len(store.query(query).ids) == 2
    query.sparse_top_k = 8
    assert len(store.query(query).ids) == 8
    query.sparse_top_k = 0
    assert store.query(query).ids == []


def test_the_threshold_of_the_call_wins_over_that_of_the_query(filled: Any) -> None:
    def asked(own: float | None, **kwargs: Any) -> list[str]:
        query = VectorStoreQuery(query_str="king of Scotland", similarity_top_k=3, mode=VectorStoreQueryMode.MMR)
        query.mmr_threshold = own
        return filled.query(query, mmr_prefetch_k=4, **kwargs).ids

    relevant, different = asked(1.0), asked(0.0)
    assert relevant != different
    assert asked(1.0, mmr_threshold=0.0) == different
    assert asked(0.0, mmr_threshold=1.0) == relevant
    assert asked(1.0, mmr_threshold=None) == asked(0.0, mmr_threshold=None) == asked(None)  # as LlamaIndex reads it


def test_nodes_bring_their_embeddings(filled: Any, towers: Any, plays: list[Any]) -> None:
    expected = {
        one: vector.tolist() for one, vector in filled.client.get_vectors([one.node_id for one in plays]).items()
    }
    every, old = filled.get_nodes(), filled.get_nodes(filters=OLD)
    assert [one.node_id for one in every] == list(expected)
    assert [one.node_id for one in old] == ["hamlet", "macbeth", "faust"]
    for one in [*every, *old, *filled.get_nodes(["faust"]), *asyncio.run(filled.aget_nodes(["rice"]))]:
        assert one.embedding == expected[one.node_id]
    calls = len(towers.calls)
    filled.add(every)
    assert len(towers.calls) == calls


def test_the_least_relevance_is_reached_through_an_index(filled: Any, embedding: DPREmbedding) -> None:
    index = VectorStoreIndex.from_vector_store(filled, embed_model=embedding)
    every = found_by(index.as_retriever(similarity_top_k=4), QUESTION)
    assert len(every) == 4
    assert found_by(index.as_retriever(similarity_top_k=4, vector_store_kwargs={"min_relevance": 1.0}), QUESTION) == []
    direct = DPRRetriever(filled, similarity_top_k=4, min_relevance=0.5)
    through = index.as_retriever(similarity_top_k=4, vector_store_kwargs={"min_relevance": 0.5})
    assert 0 < len(found_by(through, QUESTION)) < 4
    assert found_by(through, QUESTION) == found_by(direct, QUESTION)
    engine = index.as_query_engine(llm=MockLLM(), vector_store_kwargs={"min_relevance": 1.0})
    assert engine.query(QUESTION).source_nodes == []


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("top_k", "similarity_top_k"),
        ("score_threshold", "min_relevance"),
        ("similarity_cutoff", "min_relevance"),
        ("lambda_mult", "mmr_threshold"),
        ("fetch_k", "mmr_prefetch_k"),
        ("filter", "VectorStoreQuery.filters"),
        ("mode", "vector_store_query_mode"),
    ],
)
def test_an_option_of_another_name_is_told_the_right_one(filled: Any, wrong: str, right: str) -> None:
    with pytest.raises(TypeError, match=f"'{wrong}' is no option of a query; it is called .*{right}"):
        filled.query(VectorStoreQuery(query_str=QUESTION), **{wrong: 1})


class Client(BaseEmbedding):
    """An embedding with an asynchronous side, which notes what it is asked, and may not be asked otherwise."""

    model_name: str = "client"
    calls: list[Any] = []  # noqa: RUF012 - pydantic copies it
    loop_thread: int = 0
    in_threads: bool = True
    towers: Any = None

    def _get_query_embedding(self, query: str) -> list[float]:
        return self.towers.encode_questions([query])[0].tolist()

    def _get_text_embedding(self, text: str) -> list[float]:
        assert self.in_threads, "embedded in a thread"
        return self.towers.encode_questions([text])[0].tolist()

    async def _aget_query_embedding(self, query: str) -> list[float]:
        assert threading.get_ident() == self.loop_thread
        self.calls.append(query)
        return self._get_query_embedding(query)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        assert threading.get_ident() == self.loop_thread
        self.calls.append(text)
        return self.towers.encode_questions([text])[0].tolist()


def test_nodes_and_questions_are_embedded_by_the_asynchronous_methods(towers: Any, plays: Any, tmp_path: Path) -> None:
    client = Client(towers=towers, loop_thread=threading.get_ident())
    plain = DPRVectorStore(encoder=Client(towers=towers))
    plain.add(plays)
    with DPRVectorStore(tmp_path / "s", encoder=client) as store, plain:
        client.in_threads = False
        assert asyncio.run(store.async_add(plays)) == [one.node_id for one in plays]
        assert client.calls == [one.text for one in plays]
        assert list(store.client) == list(plain.client)
        asyncio.run(store.async_add(plays))
        assert len(client.calls) == 4
        for mode in MODES:
            client.calls.clear()
            retriever, other = DPRRetriever(store, mode=mode), DPRRetriever(plain, mode=mode)
            expected = [] if mode in ("sparse", "text_search") else [QUESTION]
            assert asyncio.run(retriever.aretrieve(QUESTION)) == other.retrieve(QUESTION)
            assert client.calls == expected
            query = VectorStoreQuery(query_str=QUESTION, mode=VectorStoreQueryMode(mode))
            assert asyncio.run(store.aquery(query)).ids == plain.query(query).ids
            assert client.calls == expected * 2
            assert query.query_embedding is None


@pytest.mark.parametrize("embedded", [(False, False), (True, False), (True, True)])
def test_an_id_with_two_contents_is_refused_before_anything_is_stored(
    store: Any, node: Any, towers: Any, embedded: tuple[bool, bool]
) -> None:
    twins = [node("a", "first"), node("a", "second")]
    for one, given in zip(twins, embedded, strict=True):
        one.embedding = [1.0] * towers.dim if given else None
    for add in (store.add, lambda nodes: asyncio.run(store.async_add(nodes))):
        with pytest.raises(ValueError, match="the id 'a' comes twice in one call"):
            add([node("b", "another"), *twins])
    assert store.get_nodes() == []


def test_equal_nodes_with_one_id_are_one(store: Any, node: Any) -> None:
    assert store.add([node("a", "first"), node("a", "first")]) == ["a", "a"]
    assert [one.text for one in store.get_nodes()] == ["first"]
