"""Whatever the LangChain adapters are given, they answer with an error that says what to give instead, and lose nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from pydantic import ValidationError
from tiny import TinyEncoder

from dpr_rag.errors import ArgumentError, DprRagError
from langchain_dpr_rag import DPREmbeddings, DPRRetriever, DPRVectorStore, format_documents

DOCUMENTS = [Document(id="1", page_content="a tragedy"), Document(id="2", page_content="a comedy")]
VALUES: dict[str, Any] = {
    "None": None,
    "5": 5,
    "0": 0,
    "-1": -1,
    "2.5": 2.5,
    "True": True,
    "text": "text",
    "bytes": b"text",
    "[text]": ["text"],
    "[None]": [None],
    "[5]": [5],
    "[bytes]": [b"text"],
    "{a: 1}": {"a": 1},
    "array": np.zeros((2, 2)),
    "document": DOCUMENTS[0],
    "[document]": [DOCUMENTS[0]],
    "class": Document,
    "object": object(),
}


class Place:
    """A vector store with documents, and a retriever on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = DPRVectorStore(TinyEncoder(), path=folder / "store")
        self.store.add_documents(DOCUMENTS)
        self.retriever = DPRRetriever(store=self.store.store)
        self.embeddings = DPREmbeddings(TinyEncoder())


@pytest.mark.parametrize(("name", "value"), [("lambda_mult", 2), ("lambda_mult", None), ("fetch_k", 0)])
def test_diversity_is_refused_by_the_name_that_was_given(place: Place, name: str, value: Any) -> None:
    told = rf"^{name} is {value}, expected "
    with pytest.raises(DprRagError, match=told):
        place.store.max_marginal_relevance_search("q", **{name: value})
    with pytest.raises(DprRagError, match=told):
        place.store.max_marginal_relevance_search_by_vector([1.0] * 8, **{name: value})
    with pytest.raises(DprRagError, match=told):
        asyncio.run(place.store.amax_marginal_relevance_search("q", **{name: value}))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("place"))
    yield made
    made.store.close()


Call = Callable[[Place, Any], Any]
# What is called, and the values that are none of the wrong ones.
CALLS: dict[str, tuple[Call, str]] = {
    "add_documents": (lambda p, v: p.store.add_documents(v), "[document]"),
    "aadd_documents": (lambda p, v: asyncio.run(p.store.aadd_documents(v)), "[document]"),
    "add_documents ids": (lambda p, v: p.store.add_documents(DOCUMENTS, ids=v), "None"),
    "add_documents batch_size": (lambda p, v: p.store.add_documents(DOCUMENTS, batch_size=v), "5"),
    "add_texts": (lambda p, v: p.store.add_texts(v), "[text]"),
    "aadd_texts": (lambda p, v: asyncio.run(p.store.aadd_texts(v)), "[text]"),
    "add_texts metadatas": (lambda p, v: p.store.add_texts(["a"], v), "None"),
    "add_texts ids": (lambda p, v: p.store.add_texts(["a"], ids=v), "None [None] [text]"),
    "add_embeddings": (lambda p, v: p.store.add_embeddings(v), ""),
    "add_embeddings vector": (lambda p, v: p.store.add_embeddings([("a", v)]), ""),
    "delete": (lambda p, v: p.store.delete(v), "None [text]"),
    "delete filter": (lambda p, v: p.store.delete(filter=v), "None {a: 1} class"),
    "get_by_ids": (lambda p, v: p.store.get_by_ids(v), "[text] {a: 1}"),
    "similarity_search": (lambda p, v: p.store.similarity_search(v), "text"),
    "similarity_search k": (lambda p, v: p.store.similarity_search("q", v), "None 5"),
    "similarity_search filter": (lambda p, v: p.store.similarity_search("q", filter=v), "None {a: 1} class"),
    "asimilarity_search": (lambda p, v: asyncio.run(p.store.asimilarity_search(v)), "text"),
    "by_vector": (lambda p, v: p.store.similarity_search_by_vector(v), ""),
    "mmr": (lambda p, v: p.store.max_marginal_relevance_search(v), "text"),
    "mmr fetch_k": (lambda p, v: p.store.max_marginal_relevance_search("q", fetch_k=v), "5"),
    "mmr lambda_mult": (lambda p, v: p.store.max_marginal_relevance_search("q", lambda_mult=v), "0"),
    "relevances": (lambda p, v: p.store.similarity_search_with_relevance_scores(v), "text"),
    "score_threshold": (
        lambda p, v: p.store.similarity_search_with_relevance_scores("q", score_threshold=v),
        "None 0",
    ),
    "embedding": (lambda p, v: DPRVectorStore(v), "None"),
    "path": (lambda p, v: DPRVectorStore(TinyEncoder(), path=v, create=False), ""),
    "store": (lambda p, v: DPRVectorStore(store=v), "None"),
    "index": (lambda p, v: DPRVectorStore(TinyEncoder(), index=v), ""),
    "on_blank": (lambda p, v: DPRVectorStore(TinyEncoder(), on_blank=v), ""),
    "on_bad_text": (lambda p, v: DPRVectorStore(TinyEncoder(), on_bad_text=v), ""),
    "mode": (lambda p, v: DPRVectorStore(TinyEncoder(), mode=v).close(), "None"),
    "set mode": (lambda p, v: setattr(p.store, "mode", v), "None"),
    "from_texts": (lambda p, v: DPRVectorStore.from_texts(v, TinyEncoder()).close(), "[text]"),
    "from_documents": (lambda p, v: DPRVectorStore.from_documents(v, TinyEncoder()).close(), "[document]"),
    "from_embeddings": (lambda p, v: DPRVectorStore.from_embeddings(v, TinyEncoder()).close(), ""),
    "from_langchain_faiss": (lambda p, v: DPRVectorStore.from_langchain_faiss(v, TinyEncoder()), ""),
    "as_retriever": (lambda p, v: p.store.as_retriever(search_kwargs={"k": v}), "None 5"),
    "retriever store": (lambda p, v: DPRRetriever(store=v), ""),
    "retriever k": (lambda p, v: DPRRetriever(store=p.store.store, k=v), "5"),
    "retriever mode": (lambda p, v: DPRRetriever(store=p.store.store, mode=v), "None"),
    "from_store": (lambda p, v: DPRRetriever.from_store(v, TinyEncoder()), ""),
    "retriever from_documents": (lambda p, v: DPRRetriever.from_documents(v, TinyEncoder()).close(), "[document]"),
    "invoke": (lambda p, v: p.retriever.invoke(v), "text"),
    "invoke k": (lambda p, v: p.retriever.invoke("q", k=v), "None 5"),
    "invoke threshold": (lambda p, v: p.retriever.invoke("q", score_threshold=v), "None 0"),
    "ainvoke": (lambda p, v: asyncio.run(p.retriever.ainvoke(v)), "text"),
    "batch": (lambda p, v: p.retriever.batch(v), "[text]"),
    "abatch": (lambda p, v: asyncio.run(p.retriever.abatch(v)), "[text]"),
    "embeddings": (lambda p, v: DPREmbeddings(v), "None"),
    "embed_query": (lambda p, v: p.embeddings.embed_query(v), "text"),
    "embed_documents": (lambda p, v: p.embeddings.embed_documents(v), "[text]"),
    "format_documents": (lambda p, v: format_documents(v), "[document]"),
}
ADVICE = re.compile(
    r"\b(expected|give|pass|call|choose|wrap|make|fill|drop|ask|name|write|load|check|should be|is no number|use)\b"
)


@pytest.mark.parametrize("name", CALLS)
def test_wrong_arguments_are_told_what_fits_and_nothing_is_lost(name: str, place: Place) -> None:
    """Fields of a retriever are checked by pydantic, whose error is a ValueError and says the same."""
    call, right = CALLS[name]
    fitting = {one for one in VALUES if re.search(rf"(^| ){re.escape(one)}( |$)", right)}
    told = {}
    for wrong in VALUES.keys() - fitting:
        with pytest.raises((DprRagError, ValidationError)) as raised:
            call(place, VALUES[wrong])
        told[wrong] = str(raised.value)
        assert len(place.store.store) == 2, wrong
    assert [wrong for wrong, text in told.items() if not ADVICE.search(text)] == []


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda p: p.store.add_documents(["s"]), "document 1 is str 's', expected a langchain_core Document; give Document("),
        (lambda p: p.store.add_texts("one string"), "texts is one string, 'one string', expected several; wrap it in a list"),
        (lambda p: p.store.add_texts([None]), "text 1 is NoneType None, expected a string; fill it in, or leave it out"),
        (lambda p: p.store.add_texts(["a"], [None]), "metadata 1 is NoneType None, expected a dict; give {} for none"),
        (lambda p: p.store.add_texts(["a"], {"year": 1}), "expected a list of dicts; give one dict for each text"),
        (lambda p: p.store.add_documents(DOCUMENTS, ids={"1", "2"}), "ids is a set, which has no order; give a list"),
        (lambda p: p.retriever.batch("who"), "inputs is the string 'who', expected a list of questions; give a list"),
        (lambda p: p.embeddings.embed_documents("who"), "texts is one string, 'who', expected several; wrap it in a list"),
        (lambda p: p.embeddings.embed_query(["who"]), "expected a string; call embed_documents() for several"),
        (lambda p: p.store.similarity_search("q", filter={"a": {"$contain": 1}}), "; did you mean '$contains'?"),
        (lambda p: DPRVectorStore(TinyEncoder(), mode="sparse"), "mode is 'sparse', .*; here it is 'bm25'"),
        (lambda p: DPRRetriever(store=p.store.store, mode="sparse"), "mode is 'sparse', .*; here it is 'bm25'"),
        (lambda p: DPRRetriever(store=p.store.store, mode="hybrid", fusion="ranks"), "; here it is 'rrf'"),
    ],
)  # fmt: skip
def test_what_is_said(call: Callable[[Place], Any], said: str, place: Place) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the message is compared below
        call(place)
    for part in said.split(".*"):
        assert part in str(raised.value)
    assert isinstance(raised.value, DprRagError | ValidationError)


def test_an_error_about_an_argument_is_a_type_error_and_a_value_error(place: Place) -> None:
    for kind in (DprRagError, TypeError, ValueError):
        with pytest.raises(kind, match="documents is one Document") as raised:
            place.store.add_documents(DOCUMENTS[0])  # type: ignore[arg-type]
        assert type(raised.value) is ArgumentError
