"""The second stage in LlamaIndex: a postprocessor behind any retriever, and the retriever's own."""

from __future__ import annotations

import asyncio
import copy
import math
import pickle
from collections.abc import Sequence
from pathlib import Path

import pytest
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload, LlamaDebugHandler
from llama_index.core.llms import MockLLM
from llama_index.core.postprocessor import LongContextReorder
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import ImageNode, MetadataMode, NodeWithScore, QueryBundle, TextNode
from llama_index.postprocessor.dpr_rag import ANSWER_KEY, DPRReranker
from llama_index.retrievers.dpr_rag import DPRRetriever
from pydantic import ValidationError
from readers import trained_reader
from serving import service_on
from tiny import TinyEncoder

from dpr_rag import Hit, Passage, PassageStore, Reader, RemoteStore, Retriever
from dpr_rag.errors import ArgumentError, VectorError

QUESTION = "who is king"


def node(name: str, text: str, score: float | None = None, **metadata: object) -> NodeWithScore:
    return NodeWithScore(node=TextNode(id_=name, text=text, metadata=metadata), score=score)


def nothing() -> NodeWithScore:
    return node("n", "the a is it", title="denmark", page=3)


def king() -> NodeWithScore:
    return node("k", "is a king of the hamlet", title="king")


class Crossed:
    """What sentence-transformers' CrossEncoder is to a caller: longer texts are better."""

    def predict(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        return [float(len(text)) for _, text in pairs]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_reader(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def reader(folder: Path) -> Reader:
    return Reader.from_pretrained(folder)


def test_a_reader_orders_nodes_and_points_out_the_answer(reader: Reader) -> None:
    given = [nothing(), king()]
    made = DPRReranker(reader, rerank_weight=1)
    found = made.postprocess_nodes(given, query_str=QUESTION)
    hits = reader.rerank(
        QUESTION, [Hit(Passage(one.node.node_id, one.node.text, one.node.metadata["title"]), 0.0, 1) for one in given]
    )
    assert [one.node.node_id for one in found] == [hit.passage.id for hit in hits] == ["k", "n"]
    assert [one.score for one in found] == pytest.approx([hit.score for hit in hits], abs=1e-5)
    answer = found[0].node.metadata[ANSWER_KEY]
    assert answer == {"text": "king", "start": 5, "end": 9, "probability": pytest.approx(hits[0].answer.probability)}
    assert ANSWER_KEY not in found[1].node.metadata
    for mode in (MetadataMode.LLM, MetadataMode.EMBED):
        assert found[0].node.get_content(mode) == given[1].node.get_content(mode)
    assert given == [nothing(), king()]  # what was given stays as it was
    assert asyncio.run(made.apostprocess_nodes(given, query_bundle=QueryBundle(QUESTION))) == found
    (again,) = made.postprocess_nodes(found[:1], query_str="who is denmark")
    assert ANSWER_KEY not in again.node.metadata  # it answered another question


def test_in_a_query_engine_and_traced(reader: Reader, tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "s.dpr", encoder=TinyEncoder()) as store:
        store.add([Passage(one.node.node_id, one.node.text, one.node.metadata["title"]) for one in (nothing(), king())])
        reranker = DPRReranker(reader, top_n=1)
        engine = RetrieverQueryEngine.from_args(DPRRetriever(store), llm=MockLLM(), node_postprocessors=[reranker])
        (source,) = engine.query(QUESTION).source_nodes
        assert source.node.metadata[ANSWER_KEY]["text"] == "king"
    traced = LlamaDebugHandler(print_trace_on_end=False)
    reranker = DPRReranker(reader, top_n=1, rerank_weight=1, callback_manager=CallbackManager([traced]))
    reranker.postprocess_nodes([nothing(), king()], query_str=QUESTION)
    ((start, end),) = traced.get_event_pairs(CBEventType.RERANKING)
    assert start.payload[EventPayload.TOP_K] == 1
    assert start.payload[EventPayload.MODEL_NAME] == reader.source
    assert [one.node.node_id for one in end.payload[EventPayload.NODES]] == ["k"]


def test_what_it_is_made_of(reader: Reader, folder: Path) -> None:
    assert DPRReranker(folder).fingerprint == DPRReranker(str(folder)).fingerprint == reader.fingerprint
    found = DPRReranker(Crossed(), rerank_weight=1).postprocess_nodes([nothing(), king()], query_str=QUESTION)
    assert [one.score for one in found] == [28.0, 19.0]
    for wrong in (3, Crossed):
        with pytest.raises(ArgumentError, match="expected a Reader"):
            DPRReranker(wrong)
    for name, right in {"model": "reranker=", "k": "top_n=", "weight": "rerank_weight="}.items():
        with pytest.raises(ArgumentError, match=f"unknown argument '{name}'.*; here it is {right}"):
            DPRReranker(reader, **{name: 1})
    for numbers in ({"top_n": 0}, {"rerank_weight": 2}):
        with pytest.raises(VectorError):
            DPRReranker(reader, **numbers)


def test_fields_copies_and_dicts(reader: Reader) -> None:
    made = DPRReranker(reader, top_n=1, rerank_weight=0.75)
    for copied in (copy.copy(made), copy.deepcopy(made), made.model_copy()):
        assert copied.postprocess_nodes([nothing(), king()], query_str=QUESTION)[0].node.node_id == "k"
        assert (copied.top_n, copied.rerank_weight) == (1, 0.75)
    with pytest.raises(ValidationError):
        made.top_n = 0
    made.top_n = 2
    told = made.to_dict()
    assert told["class_name"] == "DPRReranker"
    again = DPRReranker.from_dict(told, reranker=reader)
    assert (again.top_n, again.rerank_weight, again.model) == (2, 0.75, reader.source)
    with pytest.raises(ArgumentError, match="load it and pass it as reranker="):
        DPRReranker.from_dict(told)
    with pytest.raises(ArgumentError, match="this one is 'Crossed'"):
        DPRReranker.from_dict(told, reranker=Crossed())
    with pytest.raises(TypeError, match="is loaded and cannot be pickled"):
        pickle.dumps(made)
    assert pickle.loads(pickle.dumps(DPRReranker(Crossed()))).model == "Crossed"


def test_the_scores_of_the_search_count_beside_the_reranker() -> None:
    def order(weight: float, scores: Sequence[float | None]) -> list[str]:
        given = [
            node(str(at), "x" * size, score) for at, (size, score) in enumerate(zip((1, 9, 3, 2), scores, strict=True))
        ]
        made = DPRReranker(Crossed(), top_n=4, rerank_weight=weight)
        return [one.node.node_id for one in made.postprocess_nodes(given, query_str=QUESTION)]

    assert order(0, [4, 3, 2, 1]) == order(0, [None, 3, 9, 1]) == ["0", "1", "2", "3"]
    assert order(0, [1, 2, 3, 4]) == ["3", "2", "1", "0"]
    for lost in (math.nan, math.inf, -math.inf):  # which say no more of the order than None
        assert order(0, [1, lost, 3, 4]) == ["0", "1", "2", "3"]
        assert order(1, [1, lost, 3, 4]) == ["1", "2", "3", "0"]
    assert order(1, [1, 2, 3, 4]) == ["1", "2", "3", "0"]
    given = [node(str(at), "x" * size) for at, size in enumerate((1, 9, 3, 2))]
    found = DPRReranker(Crossed(), top_n=4, rerank_weight=0.5).postprocess_nodes(given, query_str=QUESTION)
    lists = [[1.0, 9.0, 3.0, 2.0], [-math.log(rank) for rank in (1, 2, 3, 4)]]
    means = [sum(each) / 4 for each in lists]
    spreads = [(sum((x - mean) ** 2 for x in each) / 4) ** 0.5 for each, mean in zip(lists, means, strict=True)]
    sums = [
        sum((each[at] - mean) / spread / 2 for each, mean, spread in zip(lists, means, spreads, strict=True))
        for at in range(4)
    ]
    assert [one.score for one in found] == pytest.approx(sorted(sums, reverse=True))


def test_nothing_and_what_cannot_be_read(reader: Reader) -> None:
    made = DPRReranker(reader, top_n=5)
    assert made.postprocess_nodes([], query_str=QUESTION) == []
    blank = node("b", " ", 9.0)
    picture = NodeWithScore(node=ImageNode(id_="i", image="aGk="))
    assert made.postprocess_nodes([blank, picture], query_str=QUESTION) == [blank, picture]
    found = made.postprocess_nodes([blank, nothing(), picture, king()], query_str=QUESTION)
    assert [one.node.node_id for one in found] == ["k", "n", "b", "i"]
    assert [one.node for one in found[2:]] == [blank.node, picture.node]
    assert found[0].score > found[1].score == found[2].score == found[3].score  # 9.0 was that of a search
    assert LongContextReorder().postprocess_nodes(found)[-1].node.node_id == "k"  # where it puts the best
    answered = NodeWithScore(node=TextNode(text=" ", metadata={ANSWER_KEY: {"text": "of another question"}}), score=9.0)
    assert made.postprocess_nodes([answered, king()], query_str=QUESTION)[1].node.metadata == {}
    assert ANSWER_KEY in answered.node.metadata
    assert made.postprocess_nodes([nothing(), king()], query_str=" ") == [nothing(), king()]
    with pytest.raises(ArgumentError, match="pass query_str= or query_bundle="):
        made.postprocess_nodes([king()])
    (half,) = made.postprocess_nodes([node("h", "king \ud800")], query_str=QUESTION)
    assert half.node.text == "king \ud800"


def test_the_retriever_has_a_second_stage_of_its_own(reader: Reader, tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "s.dpr", encoder=TinyEncoder()) as store:
        store.add([Passage(str(at), "king " * (at + 1), "it") for at in range(8)])
        options = {"reranker": Crossed(), "rerank": 4, "rerank_weight": 1.0}
        for k in (2, 6):
            wanted = Retriever(store, k=k, **options).retrieve(QUESTION)
            retriever = DPRRetriever(store, similarity_top_k=k, **options)
            found = retriever.retrieve(QUESTION)
            assert [(one.node.node_id, one.score) for one in found] == [(hit.passage.id, hit.score) for hit in wanted]
            assert asyncio.run(retriever.aretrieve(QUESTION)) == found
        assert {one.node.node_id for one in found} != {
            hit.passage.id for hit in Retriever(store, k=2).retrieve(QUESTION)
        }
        by_vector = QueryBundle("", embedding=store.encode_questions([QUESTION])[0].tolist())
        plain = [hit.passage.id for hit in Retriever(store, k=6).retrieve(QUESTION)]
        assert [one.node.node_id for one in retriever.retrieve(by_vector)] == plain  # nothing to read it with
        assert retriever.retrieve(" ") == []
        retriever.reranker = reader
        assert copy.copy(retriever).reranker is reader
        for name, wrong in {"reranker": "name", "rerank": 0, "rerank_weight": 1.5}.items():
            with pytest.raises((ArgumentError, VectorError)):
                setattr(retriever, name, wrong)
        retriever.reranker = None
        assert [one.node.node_id for one in retriever.retrieve(QUESTION)] == plain


def test_the_second_stage_reads_what_a_service_found(tmp_path: Path) -> None:
    options = {"reranker": Crossed(), "rerank": 4, "rerank_weight": 1.0}
    with PassageStore.open(tmp_path / "s.dpr", encoder=TinyEncoder()) as store:
        store.add([Passage(str(at), "king " * (at + 1), "it") for at in range(8)])
        wanted = [hit.passage.id for hit in Retriever(store, k=2, **options).retrieve("the king")]
        with service_on(tmp_path / "u", {"s": store}) as uds, RemoteStore("http://127.0.0.1:8000", uds=uds) as there:
            retriever = DPRRetriever(there, similarity_top_k=2, **options)
            assert [one.node.node_id for one in retriever.retrieve("the king")] == wanted

            async def asked() -> list[NodeWithScore]:
                found = await retriever.aretrieve("the king")
                await there.aclose()
                return found

            assert [one.node.node_id for one in asyncio.run(asked())] == wanted
