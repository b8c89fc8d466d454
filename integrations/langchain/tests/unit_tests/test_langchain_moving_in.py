"""Moving in from the folders of LangChain's FAISS store."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document

from dpr_rag.errors import CorpusError, UnsafeFileError, VectorError
from langchain_dpr_rag import DPRVectorStore

QUESTION = "a tragedy by Goethe"


def test_ids_texts_metadata_and_vectors_move_in(
    save: Any, tmp_path: Path, foreign: Any, documents: list[Document]
) -> None:
    vectors = foreign.embed_documents([document.page_content for document in documents])
    vectors[0] = [value + 0.5 for value in vectors[0]]  # only a vector that is not encoded again keeps this
    folder = save(tmp_path / "old", documents, vectors)
    before = len(foreign.encoder.calls)
    with DPRVectorStore.from_langchain_faiss(folder, foreign, path=tmp_path / "new") as store:
        assert [call for call in foreign.encoder.calls[before:] if call != ["dimension"]] == []
        assert store.get_by_ids([document.id for document in documents]) == documents
        stored = store.store.get_vectors([document.id for document in documents])
        assert np.array_equal([stored[document.id] for document in documents], np.float32(vectors))
        question = np.array(foreign.embed_query(QUESTION))
        best = np.argsort(-(np.array(vectors) @ question))
        assert [one.id for one in store.similarity_search(QUESTION)] == [documents[at].id for at in best]


def test_another_name_of_the_index(save: Any, tmp_path: Path, foreign: Any, documents: list[Document]) -> None:
    folder = save(tmp_path, documents[:1], [[1.0] * 12], name="mine")
    with DPRVectorStore.from_langchain_faiss(folder, foreign, index_name="mine") as store:
        assert [one.id for one in store.store] == ["hamlet"]
    with pytest.raises(CorpusError, match=r"index\.faiss: there is no such file"):
        DPRVectorStore.from_langchain_faiss(folder, foreign)


def test_blank_documents_stay_behind(save: Any, tmp_path: Path, foreign: Any, documents: list[Document]) -> None:
    blank = Document(id="blank", page_content=" ")
    folder = save(tmp_path, [documents[0], blank, documents[1]], np.eye(3, 12))
    with DPRVectorStore.from_langchain_faiss(folder, foreign) as store:
        stored = store.store.get_vectors(["hamlet", "errors", "blank"])
        assert {name: int(vector.argmax()) for name, vector in stored.items()} == {"hamlet": 0, "errors": 2}
    with pytest.raises(ValueError, match="'blank'"):
        DPRVectorStore.from_langchain_faiss(folder, foreign, on_blank="error")


@pytest.mark.parametrize(
    ("metric", "lengths", "warned"),
    [("L2", (3, 4), True), ("L2", (3, 3), False), ("INNER_PRODUCT", (3, 4), False), ("L1", (1, 1), True)],
)
def test_distances_that_would_rank_otherwise_are_said(
    save: Any,
    tmp_path: Path,
    foreign: Any,
    caplog: pytest.LogCaptureFixture,
    metric: str,
    lengths: tuple[int, int],
    warned: bool,
) -> None:
    documents = [Document(id=name, page_content=name) for name in "ab"]
    folder = save(tmp_path, documents, np.diag(lengths) @ np.eye(2, 12), metric=metric)
    with caplog.at_level(logging.WARNING):
        DPRVectorStore.from_langchain_faiss(folder, foreign).close()
    assert ("ranked by inner product" in caplog.text) is warned


def test_files_that_do_not_belong_together_are_named(
    save: Any, tmp_path: Path, foreign: Any, documents: list[Document]
) -> None:
    folder = save(tmp_path / "a", documents, np.eye(4, 12))
    other = save(tmp_path / "b", documents[:3], np.eye(3, 12))
    (folder / "index.faiss").write_bytes((other / "index.faiss").read_bytes())
    with pytest.raises(CorpusError, match="the index has 3 vectors, the document store 4"):
        DPRVectorStore.from_langchain_faiss(folder, foreign)
    with pytest.raises(VectorError, match="4 dimensions"):
        DPRVectorStore.from_langchain_faiss(save(tmp_path / "c", documents, np.eye(4)), foreign)


def test_a_pickle_that_would_run_something_is_refused(
    save: Any, tmp_path: Path, foreign: Any, documents: list[Document]
) -> None:
    folder = save(tmp_path / "a", documents, np.eye(4, 12))

    class Evil:
        def __reduce__(self) -> Any:
            return (os_system, (f"touch {tmp_path / 'sentinel'}",))

    from os import system as os_system

    (folder / "index.pkl").write_bytes(pickle.dumps((Evil(), {})))
    with pytest.raises(UnsafeFileError, match="system"):
        DPRVectorStore.from_langchain_faiss(folder, foreign)
    assert not (tmp_path / "sentinel").exists()
