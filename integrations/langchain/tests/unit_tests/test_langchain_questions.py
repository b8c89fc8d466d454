"""What is asked: blank questions, what is no question, and questions whose vectors have to be waited for."""

from __future__ import annotations

import asyncio
import threading
from operator import itemgetter
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.prompt_values import StringPromptValue
from langchain_core.tools import create_retriever_tool

from dpr_rag.errors import PassageError
from langchain_dpr_rag import DPRRetriever, DPRVectorStore

QUESTION = "a tragedy by Goethe"
OLD = {"year": {"$exists": True}}
SEARCH_TYPES: list[tuple[str, dict[str, Any]]] = [
    ("similarity", {}),
    ("mmr", {"fetch_k": 4}),
    ("similarity_score_threshold", {"score_threshold": 0.99}),
]


def ids_of(documents: list[Document]) -> list[str | None]:
    return [document.id for document in documents]


def retrievers_of(store: DPRVectorStore) -> list[Any]:
    own = [store.as_retriever(search_type=name, search_kwargs=options) for name, options in SEARCH_TYPES]
    modes = [DPRRetriever.from_store(store, mode=mode) for mode in ("dense", "bm25", "hybrid")]
    return [*own, *modes, DPRRetriever.from_store(store, search_type="mmr", score_threshold=0.99)]


@pytest.mark.parametrize("blank", ["", "  \n", "\u200b\ufeff", "\0"])
def test_a_blank_question_finds_nothing_or_what_the_filter_keeps(plays: DPRVectorStore, blank: str) -> None:
    for retriever in retrievers_of(plays):
        assert retriever.invoke(blank) == []
        assert retriever.invoke(blank, filter={}) == [] if isinstance(retriever, DPRRetriever) else True
        assert ids_of(retriever.invoke(blank, filter=OLD)) == ["hamlet", "errors", "faust"]
        assert ids_of(retriever.invoke(blank, filter=OLD, k=2)) == ["hamlet", "errors"]
        assert ids_of(asyncio.run(retriever.ainvoke(blank, filter=lambda one: one.id != "hamlet", k=2))) == [
            "errors",
            "faust",
        ]
        assert [ids_of(found) for found in retriever.batch([blank, QUESTION, blank], filter=OLD, k=1)] == [
            ["hamlet"],
            ids_of(retriever.invoke(QUESTION, filter=OLD, k=1)),
            ["hamlet"],
        ]


def test_blank_questions_of_every_search_of_the_store(plays: DPRVectorStore) -> None:
    assert plays.similarity_search("") == plays.max_marginal_relevance_search(" ") == []
    hamlet = plays.get_by_ids(["hamlet"])[0]
    assert plays.similarity_search_with_score("", 1, OLD) == [(hamlet, 0.0)]
    relevant = plays.similarity_search_with_relevance_scores("", 1, filter=OLD, score_threshold=0.9)
    assert relevant == [(hamlet, 1.0)]
    awaited = plays.asimilarity_search_with_relevance_scores("", 1, filter=OLD, score_threshold=0.9)
    assert asyncio.run(awaited) == relevant
    assert asyncio.run(plays.amax_marginal_relevance_search("", 1, filter=OLD)) == [hamlet]
    assert asyncio.run(plays.asimilarity_search("", 1, OLD)) == [hamlet]


def test_scores_of_what_only_the_filter_kept(plays: DPRVectorStore) -> None:
    retriever = DPRRetriever.from_store(plays, include_scores=True, score_threshold=0.2, filter=OLD)
    told = [
        {key: one.metadata[key] for key in ("dpr_score", "dpr_rank", "dpr_relevance")} for one in retriever.invoke("")
    ]
    assert told == [{"dpr_score": 0.0, "dpr_rank": rank, "dpr_relevance": 1.0} for rank in (1, 2, 3)]


def test_a_blank_question_goes_through_embeddings_of_others(foreign: Any, documents: list[Document]) -> None:
    with DPRVectorStore.from_documents(documents, foreign) as store:
        for retriever in retrievers_of(store):
            assert asyncio.run(retriever.ainvoke(" ")) == []
            assert asyncio.run(retriever.abatch(["", QUESTION]))[1] == retriever.invoke(QUESTION)


def test_a_tool_that_is_called_without_words_answers(plays: DPRVectorStore) -> None:
    assert create_retriever_tool(plays.as_retriever(), "plays", "Finds plays.").invoke({"query": ""}) == ""


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ({"question": QUESTION, "chat_history": []}, "itemgetter('question') | retriever"),
        ({"chat_history": [], "input": QUESTION}, "itemgetter('input') | retriever"),
        ({"topic": QUESTION}, "itemgetter('topic') | retriever"),
        (StringPromptValue(text=QUESTION), "to_string"),
        (AIMessage(QUESTION), "StrOutputParser"),
        ([HumanMessage(QUESTION)], r"messages\[-1\].content"),
        ([QUESTION], r"batch\(\)"),
        (Document(page_content=QUESTION), "page_content"),
        (None, "pass the text"),
    ],
)
def test_what_is_no_question_is_told_with_what_to_write(plays: DPRVectorStore, given: Any, remedy: str) -> None:
    for retriever in retrievers_of(plays):
        for ask in (
            retriever.invoke,
            lambda one, of=retriever: of.batch([one]),
            lambda one, of=retriever: asyncio.run(of.ainvoke(one)),
        ):
            with pytest.raises(PassageError, match=remedy) as caught:
                ask(given)
            assert "str()" not in str(caught.value)


def test_the_remedy_works(plays: DPRVectorStore) -> None:
    retriever = plays.as_retriever()
    assert (itemgetter("question") | retriever).invoke({"question": QUESTION}) == retriever.invoke(QUESTION)


class Awaited:
    """Notes which methods were called, and that none of them was called from a thread of its own."""

    def __init__(self, kind: type) -> None:
        loop_thread = threading.get_ident()
        calls = self.calls = list[tuple[str, int]]()

        class Client(kind):  # type: ignore[misc,valid-type]
            async def aembed_query(self, text: str) -> list[float]:
                assert threading.get_ident() == loop_thread
                calls.append(("query", 1))
                await asyncio.sleep(0)
                return kind.embed_query(self, text)

            async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
                assert threading.get_ident() == loop_thread
                calls.append(("documents", len(texts)))
                return kind.embed_documents(self, texts)

            def embed_documents(self, texts: list[str]) -> list[list[float]]:
                raise AssertionError("embedded in a thread")

        self.client = Client()


def test_documents_are_embedded_by_the_asynchronous_method(foreign: Any, documents: list[Document]) -> None:
    awaited = Awaited(type(foreign))
    with DPRVectorStore(awaited.client) as store, DPRVectorStore.from_documents(documents, foreign) as plain:
        assert asyncio.run(store.aadd_documents(documents, batch_size=3)) == ids_of(documents)
        assert awaited.calls == [("documents", 3), ("documents", 1)]
        assert list(store.store) == list(plain.store)
        changed = [*documents[:3], Document(id="iliad", page_content="other"), Document(id="new", page_content="new")]
        again = asyncio.run(store.aadd_documents(changed))
        assert again == ids_of(changed)
        assert awaited.calls[2:] == [("documents", 2)]
        assert [one.id for one in store.store] == ["hamlet", "errors", "faust", "iliad", "new"]
        assert (
            asyncio.run(store.aadd_texts(["x", "x"], [{"n": 1}, {"n": 1}]))
            == [store.add_texts(["x"], [{"n": 1}])[0]] * 2
        )
        plain.add_documents(changed)
        assert all(
            (store.store.get_vectors([one]).get(one) == plain.store.get_vectors([one]).get(one)).all() for one in again
        )


def test_questions_are_embedded_by_the_asynchronous_method(foreign: Any, documents: list[Document]) -> None:
    awaited = Awaited(type(foreign))
    with DPRVectorStore.from_documents(documents, foreign) as plain:
        with DPRVectorStore(awaited.client, path=None) as store:
            asyncio.run(store.aadd_documents(documents))
            for retriever, other in zip(retrievers_of(store), retrievers_of(plain), strict=True):
                awaited.calls.clear()
                mode = getattr(retriever, "mode", None)
                assert asyncio.run(retriever.ainvoke(QUESTION)) == other.invoke(QUESTION)
                assert awaited.calls == ([] if mode == "bm25" else [("query", 1)])
                assert asyncio.run(retriever.abatch([QUESTION, "Troy"])) == other.batch([QUESTION, "Troy"])
                assert awaited.calls == ([] if mode == "bm25" else [("query", 1)] * 3)


def test_many_documents_at_once_do_not_wait_for_each_other(foreign: Any) -> None:
    class Default(type(foreign)):  # type: ignore[misc]
        """Its asynchronous side needs a thread, as LangChain's default does."""

    async def many(store: DPRVectorStore) -> int:
        adding = (store.aadd_texts([f"text {at}"], ids=[str(at)]) for at in range(40))
        await asyncio.wait_for(asyncio.gather(*adding), 60)
        retriever = store.as_retriever()
        found = await asyncio.wait_for(asyncio.gather(*(retriever.ainvoke(f"text {at}") for at in range(40))), 60)
        return sum(bool(one) for one in found)

    with DPRVectorStore(Default()) as store:
        assert asyncio.run(many(store)) == 40
        assert len(store.store) == 40
