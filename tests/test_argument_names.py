"""Whoever calls the core with another library's words for things is told the right ones, and Python's own errors stay."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import HashEncoder, make_passages

from dpr_rag import DualEncoder, MilvusStore, Passage, PassageStore, Retriever
from dpr_rag.corpora import Question
from dpr_rag.errors import ArgumentError, DprRagError
from dpr_rag.evaluation import evaluate, tune


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PassageStore]:
    with PassageStore.open(tmp_path_factory.mktemp("names") / "store", encoder=HashEncoder()) as opened:
        opened.add(make_passages(3))
        yield opened


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda store: Retriever(store).retrieve("q", top_k=3), "retrieve() has no argument 'top_k'*here it is 'k'"),
        (lambda store: Retriever(store).retrieve("q", filters={}), "here it is 'filter'"),
        (lambda store: Retriever(store).retrieve(query="q"), "here it is 'question'"),
        (lambda store: Retriever(store).retrieve_batch(["q"], score_threshold=0.5), "here it is 'min_relevance'"),
        (lambda store: Retriever(store, min_relevance=0.5), "min_relevance, an argument of retrieve()"),
        (lambda store: Retriever(store, alpha=0.5), "here it is 'weight'"),
        (lambda store: Retriever(store, top_n=5), "here it is 'k'"),
        (lambda store: PassageStore.open(store.path, embedding=None), "PassageStore.open() has*here it is 'encoder'"),
        (lambda store: PassageStore.open(persist_directory="x"), "here it is 'path'"),
        (lambda store: PassageStore.open(store.path, readonly=True), "here it is 'read_only'"),
        (lambda store: PassageStore.temporary(embed_model=None), "here it is 'encoder'"),
        (lambda store: store.add(documents=[]), "here it is 'passages'"),
        (lambda store: store.search([[0.0]], n_results=3), "PassageStore.search() has*here it is 'k'"),
        (lambda store: store.rank(["q"], 1, where={}), "PassageStore.rank() has*here it is 'filter'"),
        (lambda store: MilvusStore.rank(object.__new__(MilvusStore), ["q"], 1, where={}), "MilvusStore.rank() has"),
        (lambda store: DualEncoder.from_pretrained(model_name="x"), "from_pretrained() has*here it is 'question'"),
        (lambda store: DualEncoder.from_pretrained("x", devise="cpu"), "did you mean 'device'?"),
        (lambda store: Passage("1", page_content="x"), "Passage() has no argument 'page_content'*here it is 'text'"),
        (lambda store: Passage("1", "x", metadatas={}), "here it is 'metadata'"),
        (lambda store: evaluate({}, [], top_k=3), "evaluate() has*here it is 'k'"),
        (lambda store: evaluate({}, [], metrics=["MRR"]), "here it is 'measures'"),
        (lambda store: tune(store, [], kandidates=3), "did you mean 'candidates'?"),
    ],
)
def test_anothers_word_is_told_the_word_here(store: PassageStore, call: Callable[[Any], Any], said: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        call(store)
    place = 0
    for part in said.split("*"):
        place = str(caught.value).index(part, place)


def test_other_errors_of_a_call_are_pythons_own(store: PassageStore) -> None:
    with pytest.raises(TypeError, match=r"missing 1 required positional argument: 'question'") as caught:
        Retriever(store).retrieve()  # type: ignore[call-arg]
    assert not isinstance(caught.value, ArgumentError)

    class Broken(HashEncoder):
        def encode_passages(self, passages: Any, **_: Any) -> Any:
            raise TypeError("encode() got an unexpected keyword argument 'top_k'")

    with PassageStore.temporary(encoder=Broken()) as other, pytest.raises(TypeError, match="encode") as caught:
        other.add(make_passages(1))
    assert not isinstance(caught.value, ArgumentError)


def test_signatures_are_those_of_the_functions(tmp_path: Path) -> None:
    assert list(inspect.signature(Passage).parameters) == ["id", "text", "title", "metadata"]
    assert list(inspect.signature(PassageStore.open).parameters)[:2] == ["path", "encoder"]
    assert list(inspect.signature(Retriever.retrieve).parameters)[:3] == ["self", "question", "k"]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda store, asked: evaluate({"s": Retriever(store)}, asked, k="5"), "k is '5', expected an integer"),
        (lambda store, asked: evaluate({"s": Retriever(store)}, asked, batch_size="5"), "batch_size is '5'"),
        (lambda store, asked: evaluate({"s": Retriever(store)}, asked, seed="x"), "seed is 'x', expected an integer"),
        (lambda store, asked: evaluate({"s": Retriever(store)}, asked, regex="no"), "regex is the string 'no'"),
        (lambda store, asked: evaluate([Retriever(store)], asked), "systems is list"),
        (lambda store, asked: evaluate({}, asked), "systems is dict {}, expected a dict of at least one"),
        (lambda store, asked: evaluate({"s": Retriever(store)}, ["who?"]), "one of questions is the string 'who?'"),
        (lambda store, asked: evaluate({"s": Retriever(store)}, "who?"), "questions is the string 'who?'"),
        (lambda store, asked: evaluate({"s": Retriever(store)}, asked, judgements=[1]), "one of judgements is int 1"),
        (lambda store, asked: evaluate({"s": store}, asked), "system 's' is PassageStore"),
        (lambda store, asked: tune(store, asked, progress=5), "progress is int 5, expected a function"),
        (lambda store, asked: tune(store, asked, k="5"), "k is '5', expected an integer"),
        (lambda store, asked: tune(store, asked, keep="no"), "keep is the string 'no'"),
        (lambda store, asked: tune(store, asked, bm25=0.9), "bm25 is float 0.9, expected a BM25"),
        (
            lambda store, asked: tune("store", asked),
            "store is str 'store', expected an open PassageStore or MilvusStore",
        ),
    ],
)
def test_values_that_nothing_can_be_measured_with_are_refused_first(
    store: PassageStore, call: Callable[[Any, Any], Any], said: str
) -> None:
    with pytest.raises(DprRagError) as caught:
        call(store, [Question("1", "who?", ("a",))])
    assert said in str(caught.value)
