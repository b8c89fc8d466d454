"""The vector store beyond LangChain's standard suite: scores, filters, diversity, thresholds, indexing, persistence."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines import place  # noqa: F401  # a folder, and a Milvus
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, aindex, index

from dpr_rag import RESERVED_KEYS, Filter, Passage, PassageStore
from dpr_rag.errors import EncoderMismatchError, FilterError, PassageError, VectorError
from langchain_dpr_rag import DPREmbeddings, DPRVectorStore
from langchain_dpr_rag.elsewhere import Elsewhere

QUESTION = "a tragedy by Goethe"
FILTERS: list[tuple[Any, set[str]]] = [
    ({"year": 1601}, {"hamlet"}),
    ({"year": {"$ne": 1601}}, {"errors", "faust", "iliad"}),
    ({"year": {"$lt": 1601}}, {"errors"}),
    ({"year": {"$lte": 1601}}, {"errors", "hamlet"}),
    ({"year": {"$gt": 1601}}, {"faust"}),
    ({"year": {"$gte": 1601}}, {"hamlet", "faust"}),
    ({"year": {"$in": [1601, 1808]}}, {"hamlet", "faust"}),
    ({"year": {"$nin": [1601, 1808]}}, {"errors", "iliad"}),
    ({"year": {"$between": [1590, 1605]}}, {"errors", "hamlet"}),
    ({"title": {"$like": "%am%"}}, {"hamlet"}),
    ({"$and": [{"year": {"$gt": 1500}}, {"title": "Errors"}]}, {"errors"}),
    ({"$or": [{"title": "Iliad"}, {"tags": {"$contains": "devil"}}]}, {"iliad", "faust"}),
    ({"$not": {"$or": [{"title": "Iliad"}, {"year": {"$lt": 1700}}]}}, {"faust"}),
    (Filter.from_dict({"id": "iliad"}), {"iliad"}),
    (lambda document: "Shakespeare" in document.page_content, {"hamlet", "errors"}),
    (lambda document: document.metadata.get("title") == "Iliad", {"iliad"}),
    (lambda document: document.id == "faust", {"faust"}),
]


def ids_of(documents: list[Document]) -> list[str | None]:
    return [document.id for document in documents]


def expected_scores(store: DPRVectorStore, question: str) -> list[tuple[str, float]]:
    """Brute force: ids by inner product with the question, best first."""
    encoder = store.store.encoder
    passages = list(store.store)
    scores = encoder.encode_passages(passages).astype(float) @ encoder.encode_questions([question])[0].astype(float)
    return sorted(((one.id, float(score)) for one, score in zip(passages, scores, strict=True)), key=lambda it: -it[1])


def test_scores_are_inner_products_and_documents_come_back_whole(
    plays: DPRVectorStore, documents: list[Document]
) -> None:
    found = plays.similarity_search_with_score(QUESTION, k=4)
    assert [(document.id, score) for document, score in found] == [
        (name, pytest.approx(score)) for name, score in expected_scores(plays, QUESTION)
    ]
    assert found[0][1] > 10  # nothing like a cosine
    assert sorted((document for document, _ in found), key=lambda it: it.id) == sorted(documents, key=lambda it: it.id)
    assert plays.similarity_search(QUESTION, k=4) == [document for document, _ in found]
    vector = plays.embeddings.embed_query(QUESTION)
    assert plays.similarity_search_by_vector(vector, k=2) == [document for document, _ in found[:2]]
    assert plays.similarity_search_with_score_by_vector(vector, k=2) == found[:2]


@pytest.mark.parametrize(("where", "kept"), FILTERS)
def test_filters_select_before_the_top_k(plays: DPRVectorStore, where: Any, kept: set[str]) -> None:
    best = [name for name, _ in expected_scores(plays, QUESTION) if name in kept]
    assert ids_of(plays.similarity_search(QUESTION, k=4, filter=where)) == best
    assert ids_of(plays.similarity_search(QUESTION, k=1, filter=where)) == best[:1]
    vector = plays.embeddings.embed_query(QUESTION)
    assert ids_of(plays.similarity_search_by_vector(vector, k=4, filter=where)) == best
    assert set(ids_of(plays.max_marginal_relevance_search(QUESTION, k=4, filter=where))) == kept
    assert ids_of(asyncio.run(plays.asimilarity_search(QUESTION, 4, where))) == best


def test_a_filter_that_means_nothing_is_refused(plays: DPRVectorStore) -> None:
    with pytest.raises(FilterError, match="between"):
        plays.similarity_search(QUESTION, filter={"year": {"$bteween": [1, 2]}})


def test_titles_reach_the_context_encoder_as_titles(plays: DPRVectorStore) -> None:
    encoder = plays.store.encoder
    assert "Hamlet | a tragedy by Shakespeare" in encoder.calls[0]
    assert [(one.title, one.metadata) for one in plays.store.get(["hamlet", "faust"])] == [
        ("Hamlet", {"year": 1601}),
        ("", {"year": 1808, "tags": ["devil"]}),
    ]


@pytest.mark.parametrize("title", ["", 7, None, ["a"]])
def test_a_title_that_is_none_stays_metadata(empty: DPRVectorStore, title: Any) -> None:
    document = Document(id="1", page_content="text", metadata={"title": title})
    empty.add_documents([document])
    assert empty.get_by_ids(["1"]) == [document]


def test_ids_given_win_over_the_documents_own_and_none_makes_one(
    empty: DPRVectorStore, documents: list[Document]
) -> None:
    before = [document.model_copy(deep=True) for document in documents]
    ids = empty.add_documents(documents[:3], ids=["given", None, "also given"])
    assert ids[0::2] == ["given", "also given"]
    assert ids[1] not in (None, "errors")
    assert [document.page_content for document in empty.get_by_ids(ids)] == [
        document.page_content for document in documents[:3]
    ]
    assert empty.get_by_ids(["hamlet", "errors"]) == []
    assert documents == before
    with pytest.raises(ValueError, match="2 ids were given for 1 documents"):
        empty.add_documents(documents[:1], ids=["a", "b"])
    with pytest.raises(ValueError, match="1 metadatas were given for 2 texts"):
        empty.add_texts(["a", "b"], [{}])


def test_metadata_that_is_no_json_is_refused_by_name(empty: DPRVectorStore) -> None:
    with pytest.raises(PassageError, match=r"'x'.*metadata\['when'\]"):
        empty.add_documents([Document(id="x", page_content="text", metadata={"when": object()})])
    assert len(empty.store) == 0


def test_delete_by_id_by_metadata_and_all(plays: DPRVectorStore) -> None:
    assert plays.delete(["hamlet", "nowhere"]) is True
    assert plays.delete(filter={"year": {"$lt": 1600}}) is True
    assert sorted(one.id for one in plays.store) == ["faust", "iliad"]
    assert plays.delete([]) is True
    assert len(plays.store) == 2
    assert plays.delete(filter=lambda document: "Goethe" in document.page_content) is True
    assert [one.id for one in plays.store] == ["iliad"]
    assert asyncio.run(plays.adelete()) is True
    assert len(plays.store) == 0


def test_of_ids_and_a_filter_both_have_to_fit(plays: DPRVectorStore) -> None:
    everyone = {one.id for one in plays.store}
    assert plays.delete(["hamlet", "faust"], filter={"year": {"$gte": 1700}}) is True
    assert asyncio.run(plays.adelete(["hamlet", "iliad"], filter=lambda document: "Troy" in document.page_content))
    assert {one.id for one in plays.store} == everyone - {"faust", "iliad"}


def test_all_are_deleted_also_where_metadata_has_an_id_of_its_own(empty: DPRVectorStore) -> None:
    empty.add_texts(["a", "b"], [{"id": None}, {"id": [1]}])
    assert empty.delete()
    assert len(empty.store) == 0


@pytest.mark.parametrize("name", ["similarity_search", "similarity_search_with_score", "max_marginal_relevance_search"])
def test_unknown_arguments_are_refused(plays: DPRVectorStore, name: str) -> None:
    with pytest.raises(TypeError, match="unknown argument 'top_k'"):
        getattr(plays, name)(QUESTION, top_k=3)


def test_more_asked_for_than_there_is(plays: DPRVectorStore) -> None:
    everything = [name for name, _ in expected_scores(plays, QUESTION)]
    assert ids_of(plays.similarity_search(QUESTION, k=100)) == everything
    assert sorted(ids_of(plays.max_marginal_relevance_search(QUESTION, k=100))) == sorted(everything)
    for k in (0, -1):
        with pytest.raises(VectorError, match=f"k is {k}"):
            plays.similarity_search(QUESTION, k=k)


def test_relevance_scores_rise_with_the_score_and_cut_where_asked(plays: DPRVectorStore) -> None:
    plays.add_texts([f"filler number {at} about nothing" for at in range(40)])
    found = plays.similarity_search_with_relevance_scores(QUESTION, k=44)
    relevances = [relevance for _, relevance in found]
    assert relevances == sorted(relevances, reverse=True)
    assert 1 >= relevances[0] > relevances[-1] >= 0
    assert ids_of([document for document, _ in found]) == [name for name, _ in expected_scores(plays, QUESTION)]
    kept = plays.similarity_search_with_relevance_scores(QUESTION, k=44, score_threshold=relevances[2])
    assert kept == found[:3]
    retriever = plays.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": relevances[2], "k": 44}
    )
    assert retriever.invoke(QUESTION) == [document for document, _ in found[:3]]
    assert asyncio.run(plays.asimilarity_search_with_relevance_scores(QUESTION, k=44)) == found


def test_a_subclass_may_say_what_relevance_a_score_means(words: Any, documents: list[Document]) -> None:
    class Halving(DPRVectorStore):
        def _select_relevance_score_fn(self) -> Callable[[float], float]:
            return lambda score: 0.5 if score > 0 else 0.25

    with Halving.from_documents(documents, words) as store:
        found = store.similarity_search_with_relevance_scores(QUESTION)
        assert [relevance for _, relevance in found] == [
            0.5 if score > 0 else 0.25 for _, score in store.similarity_search_with_score(QUESTION)
        ]
        assert asyncio.run(store.asimilarity_search_with_relevance_scores(QUESTION)) == found


def test_index_with_every_cleanup_mode(empty: DPRVectorStore) -> None:
    def source(*texts: str) -> list[Document]:
        return [Document(page_content=text, metadata={"source": text[0]}) for text in texts]

    def run(cleanup: Any, *texts: str) -> tuple[int, int, int]:
        done = index(source(*texts), manager, empty, cleanup=cleanup, source_id_key="source", key_encoder="sha256")
        return done["num_added"], done["num_skipped"], done["num_deleted"]

    manager = InMemoryRecordManager("tests")
    manager.create_schema()
    assert run(None, "a1", "a2", "b1") == (3, 0, 0)
    assert run("incremental", "a1", "a3") == (1, 1, 1)
    assert sorted(one.text for one in empty.store) == ["a1", "a3", "b1"]
    assert run("scoped_full", "b2") == (1, 0, 1)
    assert sorted(one.text for one in empty.store) == ["a1", "a3", "b2"]
    assert run("full", "c1") == (1, 0, 3)
    assert [one.text for one in empty.store] == ["c1"]
    done = asyncio.run(
        aindex(source("d1"), manager, empty, cleanup="full", source_id_key="source", key_encoder="sha256")
    )
    assert (done["num_added"], done["num_deleted"]) == (1, 1)
    assert [one.text for one in empty.store] == ["d1"]


def test_blank_documents_are_skipped_with_one_warning(
    empty: DPRVectorStore, documents: list[Document], caplog: pytest.LogCaptureFixture
) -> None:
    pages = [Document(page_content=""), documents[0], Document(page_content=" \n\t\u2003"), documents[1]]
    with caplog.at_level(logging.WARNING):
        assert empty.add_documents(pages) == ["hamlet", "errors"]
    assert [record.getMessage() for record in caplog.records] == [
        "2 of 4 documents are blank and were skipped, the first is number 1"
    ]
    assert (
        empty.add_documents([Document(page_content=one) for one in (" ", "\u200b", "\ufeff\xad", "\0", "\ufffd")]) == []
    )
    assert [one.id for one in empty.store] == ["hamlet", "errors"]


def test_blank_documents_can_be_an_error(words: Any, documents: list[Document]) -> None:
    with DPRVectorStore(words, on_blank="error") as store:
        with pytest.raises(ValueError, match=r"document 2 \(id None\) is blank, as 1 of 2 are"):
            store.add_documents([documents[0], Document(page_content=" ")])
        assert len(store.store) == 0
    with pytest.raises(ValueError, match="on_blank is 'drop'"):
        DPRVectorStore(words, on_blank="drop")


def test_a_store_outlives_the_process_and_remembers_its_embeddings(
    tmp_path: Path, foreign: Any, words: Any, documents: list[Document]
) -> None:
    with DPRVectorStore.from_documents(documents, foreign, path=tmp_path / "s") as store:
        found = store.similarity_search_with_score(QUESTION, k=4)
    with DPRVectorStore(foreign, path=tmp_path / "s") as store:
        assert store.similarity_search_with_score(QUESTION, k=4) == found
        assert store.embeddings is foreign
        calls = len(foreign.encoder.calls)
        store.add_documents(documents)  # unchanged ones are not embedded again
        assert len(foreign.encoder.calls) == calls
    with pytest.raises(EncoderMismatchError, match=r"WordEmbeddings words \(12 dimensions\)"):
        DPRVectorStore(words, path=tmp_path / "s")
    with DPRVectorStore(foreign, path=tmp_path / "own", fingerprint="mine") as store:
        assert store.store.encoder.fingerprint == "mine"


def test_foreign_embeddings_give_their_own_vectors(foreign: Any, documents: list[Document]) -> None:
    with DPRVectorStore.from_documents(documents, foreign) as store:
        vectors = store.store.get_vectors(["hamlet", "iliad"])
        texts = [documents[0].page_content, documents[3].page_content]
        assert np.array_equal([vectors["hamlet"], vectors["iliad"]], np.float32(foreign.embed_documents(texts)))
        assert store.get_by_ids(["hamlet"]) == [documents[0]]


def test_asynchronous_searches_equal_the_synchronous_ones(plays: DPRVectorStore) -> None:
    async def all_of_them() -> list[Any]:
        vector = await plays.embeddings.aembed_query(QUESTION)
        return [
            await plays.asimilarity_search(QUESTION, 3),
            await plays.asimilarity_search_with_score(QUESTION, 3),
            await plays.asimilarity_search_by_vector(vector, 3),
            await plays.asimilarity_search_with_score_by_vector(vector, 3),
            await plays.amax_marginal_relevance_search(QUESTION, 3, 4, 0.2),
            await plays.amax_marginal_relevance_search_by_vector(vector, 3, 4, 0.2),
            await plays.amax_marginal_relevance_search_with_score_by_vector(vector, 3, 4, 0.2),
            await plays.aget_by_ids(["faust"]),
            await plays.asearch(QUESTION, search_type="mmr", k=2),
        ]

    vector = plays.embeddings.embed_query(QUESTION)
    assert asyncio.run(all_of_them()) == [
        plays.similarity_search(QUESTION, 3),
        plays.similarity_search_with_score(QUESTION, 3),
        plays.similarity_search_by_vector(vector, 3),
        plays.similarity_search_with_score_by_vector(vector, 3),
        plays.max_marginal_relevance_search(QUESTION, 3, 4, 0.2),
        plays.max_marginal_relevance_search_by_vector(vector, 3, 4, 0.2),
        plays.max_marginal_relevance_search_with_score_by_vector(vector, 3, 4, 0.2),
        plays.get_by_ids(["faust"]),
        plays.search(QUESTION, search_type="mmr", k=2),
    ]


def test_whatever_searches_or_changes_can_be_awaited() -> None:
    doing = re.compile(r"(similarity|max_marginal|search|add|delete|get_by|from)(_|$)")
    plain = {name for name in dir(DPRVectorStore) if doing.match(name)} - {"from_langchain_faiss", *vars(Elsewhere)}
    assert len(plain) > 12
    assert sorted(name for name in plain if not hasattr(DPRVectorStore, f"a{name}")) == []
    assert {name for name in plain if not inspect.iscoroutinefunction(getattr(DPRVectorStore, f"a{name}"))} == set()


def test_embeddings_made_elsewhere_are_awaited_too(foreign: Any) -> None:
    pairs = [(text, foreign.embed_documents([text])[0]) for text in ("a tragedy", "a comedy")]

    async def both() -> tuple[list[Document], list[Document]]:
        with await DPRVectorStore.afrom_embeddings(pairs[:1], foreign, ids=["t"]) as store:
            alone = store.get_by_ids(["t", "c"])
            assert await store.aadd_embeddings(pairs[1:], ids=["c"]) == ["c"]
            return alone, await store.aget_by_ids(ids=["t", "c"])

    alone, together = asyncio.run(both())
    assert [[one.page_content for one in found] for found in (alone, together)] == [
        ["a tragedy"],
        ["a tragedy", "a comedy"],
    ]


def test_foreign_embeddings_are_asked_asynchronously(foreign: Any, documents: list[Document]) -> None:
    asked = []

    async def aembed_query(text: str) -> list[float]:
        asked.append(text)
        return foreign.embed_query(text)

    foreign.aembed_query = aembed_query
    with DPRVectorStore.from_documents(documents, foreign) as store:
        found = asyncio.run(store.asimilarity_search(QUESTION))
        assert found == store.similarity_search(QUESTION)
    assert asked == [QUESTION]


def test_vectors_made_elsewhere_are_stored_as_they_are(foreign: Any, documents: list[Document]) -> None:
    texts = [document.page_content for document in documents]
    pairs = list(zip([*texts, " "], [*foreign.embed_documents(texts), [0.0] * 12], strict=True))
    with DPRVectorStore.from_embeddings(pairs, foreign, ids=["a", "b", "c", "d", "blank"]) as store:
        assert sorted(one.id for one in store.store) == ["a", "b", "c", "d"]
        assert np.array_equal(store.store.get_vectors(["c"])["c"], np.float32(pairs[2][1]))
        with pytest.raises(VectorError, match="3 dimensions"):
            store.add_embeddings([("text", [1.0, 2.0, 3.0])])


def test_a_core_store_is_shared(words: Any, tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "s", encoder=words) as core:
        core.add([Passage("1", "a text", "a title", {"n": 1})])
        shared = DPRVectorStore(store=core)
        assert shared.get_by_ids(["1"]) == [
            Document(id="1", page_content="a text", metadata={"title": "a title", "n": 1})
        ]
        shared.add_texts(["another text"], [{"title": "T"}], ids=["2"])
        assert core.get(["2"]) == [Passage("2", "another text", "T")]
        assert isinstance(shared.embeddings, DPREmbeddings)
        with pytest.raises(ValueError, match="store was given together with"):
            DPRVectorStore(words, store=core)


@pytest.mark.parametrize("key", RESERVED_KEYS)
def test_a_reserved_key_is_refused(empty: DPRVectorStore, key: str) -> None:
    with pytest.raises(PassageError, match=f"document 'x': the metadata key '{key}' is reserved"):
        empty.add_documents([Document(id="x", page_content="text", metadata={key: ["node:x"]})])


def test_arguments_that_would_be_ignored_are_refused(words: Any, plays: DPRVectorStore) -> None:
    with pytest.raises(ValueError, match="store was given together with"):
        DPRVectorStore(store=plays.store, index="hnsw")
    with pytest.raises(ValueError, match="fingerprint was given, which is for foreign embeddings"):
        DPRVectorStore(words, fingerprint="mine")
    with pytest.raises(TypeError, match="from_pretrained"):
        DPREmbeddings("facebook/dpr-ctx_encoder-single-nq-base")


def test_only_embeddings_and_encoders_embed() -> None:
    with pytest.raises(TypeError, match="embedding is str, expected LangChain Embeddings"):
        DPRVectorStore("all-MiniLM-L6-v2")
    with pytest.raises(TypeError, match="embedding is the class DPREmbeddings, not an instance"):
        DPRVectorStore(DPREmbeddings)


def test_one_of_them_is_not_several(empty: DPRVectorStore, documents: list[Document]) -> None:
    with pytest.raises(TypeError, match="documents is one Document"):
        empty.add_documents(documents[0])
    with pytest.raises(TypeError, match="texts is one string"):
        empty.add_texts("abc")


def test_what_a_search_wrote_into_metadata_is_not_stored(plays: DPRVectorStore, documents: list[Document]) -> None:
    from langchain_dpr_rag import DPRRetriever

    found = DPRRetriever.from_store(plays, include_scores=True).invoke(QUESTION, score_threshold=0.0)
    plays.add_documents(found)
    assert sorted(plays.get_by_ids(["hamlet", "errors", "faust", "iliad"]), key=lambda it: it.id) == sorted(
        documents, key=lambda it: it.id
    )
