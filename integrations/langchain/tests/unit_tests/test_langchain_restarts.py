"""A script that runs twice against one folder leaves the store as it was after the first run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document

from dpr_rag.errors import PassageError
from langchain_dpr_rag import DPRRetriever, DPRVectorStore

TEXTS = ["a tragedy by Shakespeare", "a comedy by Shakespeare"]
METADATAS = [{"title": "Hamlet", "source": "a"}, {"source": "b", "tags": ["x", {"y": 1}]}]
DOCUMENTS = [Document(page_content=text, metadata=one) for text, one in zip(TEXTS, METADATAS, strict=True)]


def stored(words: Any, path: Path) -> dict[str, str]:
    with DPRVectorStore(words, path=path) as store:
        return {passage.id: passage.text for passage in store.store}


@pytest.mark.parametrize(
    "script",
    [
        lambda words, path: DPRVectorStore.from_texts(TEXTS, words, METADATAS, path=path).close(),
        lambda words, path: DPRVectorStore.from_documents(DOCUMENTS, words, path=path).close(),
        lambda words, path: DPRRetriever.from_texts(TEXTS, words, METADATAS, path=path).close(),
        lambda words, path: DPRRetriever.from_documents(DOCUMENTS, words, path=path).close(),
        lambda words, path: DPRVectorStore.from_texts(TEXTS, words, METADATAS, ids=[None, None], path=path).close(),
        lambda words, path: asyncio.run(DPRVectorStore.afrom_texts(TEXTS, words, METADATAS, path=path)).close(),
        lambda words, path: DPRVectorStore.from_embeddings(
            [(text, [float(at)] * 12) for at, text in enumerate(TEXTS, 1)], words, METADATAS, path=path
        ).close(),
        lambda words, path: DPRVectorStore(words, path=path).as_retriever().add_documents(DOCUMENTS),
    ],
)
def test_a_second_run_adds_nothing(tmp_path: Path, words: Any, script: Any) -> None:
    script(words, tmp_path / "s")
    first = stored(words, tmp_path / "s")
    assert sorted(first.values()) == sorted(TEXTS)
    for _ in range(2):
        script(words, tmp_path / "s")
        assert stored(words, tmp_path / "s") == first


def test_a_second_run_encodes_nothing(tmp_path: Path, words: Any) -> None:
    DPRRetriever.from_texts(TEXTS, words, METADATAS, path=tmp_path / "s").close()
    again = type(words)()
    DPRRetriever.from_texts(TEXTS, again, METADATAS, path=tmp_path / "s").close()
    assert again.calls == []


def test_ids_of_content_are_the_same_in_every_version(empty: DPRVectorStore) -> None:
    """A change of these values doubles the stores that exist."""
    assert empty.add_documents([*DOCUMENTS, Document(page_content="Ünïcode 🎭")]) == [
        "ae6cc282039b03303415907d2717eab7",
        "bc53a77e71c63e1c6e9fe1b48e6ec9c4",
        "d6d22b98dd657cf593e49031237830d2",
    ]


def test_the_order_of_keys_does_not_count_but_every_value_does(empty: DPRVectorStore) -> None:
    def id_of(**metadata: Any) -> str:
        return empty.add_texts(["text"], [metadata])[0]

    assert id_of(a=1, b={"c": 1, "d": 2}) == id_of(b={"d": 2, "c": 1}, a=1)
    different = [
        id_of(),
        id_of(a=1),
        id_of(a=2),
        id_of(a="1"),
        id_of(a=True),
        id_of(a=[1]),
        id_of(title="a"),
        id_of(b=1),
    ]
    assert len(set(different)) == len(different)
    assert empty.add_texts(["a title", "text"]) != empty.add_texts(["text"], [{"title": "a title"}])


def test_equal_texts_from_different_places_stay_apart(empty: DPRVectorStore) -> None:
    ids = empty.add_texts(["left blank", "left blank"], [{"page": 1}, {"page": 7}])
    assert len(set(ids)) == 2
    assert [document.metadata for document in empty.get_by_ids(ids)] == [{"page": 1}, {"page": 7}]


def test_equal_documents_in_one_call_are_one_passage_with_an_id_for_each(empty: DPRVectorStore) -> None:
    ids = empty.add_texts(["same", "other", "same"])
    assert len(ids) == 3
    assert ids[0] == ids[2] != ids[1]
    assert [document.page_content for document in empty.get_by_ids(ids)] == ["same", "other", "same"]
    assert len(empty.store) == 2


def test_what_a_search_wrote_does_not_change_the_id(empty: DPRVectorStore) -> None:
    (name,) = empty.add_documents([DOCUMENTS[0]])
    (found,) = DPRRetriever.from_store(empty, include_scores=True).invoke("a tragedy", score_threshold=0.0)
    found.id = None
    assert empty.add_documents([found]) == [name]


def test_a_document_without_id_that_cannot_be_stored_is_told_by_its_place(empty: DPRVectorStore) -> None:
    with pytest.raises(PassageError, match=r"number 2.*metadata\['when'\]"):
        empty.add_texts(["a", "b"], [{}, {"when": object()}])
    with pytest.raises(PassageError, match=r"number 1.*reserved"):
        empty.add_texts(["a"], [{"_dpr_rag": 1}])
    assert len(empty.store) == 0


def test_an_edited_document_without_id_is_a_new_one_beside_the_old(tmp_path: Path, foreign: Any) -> None:
    """As the README says; ``langchain_core.indexing.index`` removes the old one."""
    for text in ("the first wording", "the second wording"):
        DPRVectorStore.from_texts([text], foreign, path=tmp_path / "s").close()
    with DPRVectorStore(foreign, path=tmp_path / "s") as store:
        assert sorted(one.text for one in store.store) == ["the first wording", "the second wording"]
