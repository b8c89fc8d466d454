"""What LangChain's FAISS store gets wrong, each defect as a test of ours."""

from __future__ import annotations

import os
import pickle
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines import place  # noqa: F401  # a folder, and a Milvus
from langchain_core.documents import Document

from langchain_dpr_rag import DPRRetriever, DPRVectorStore

QUESTION = "text number 7"


def numbered(count: int, start: int = 0) -> list[Document]:
    return [
        Document(id=str(at), page_content=f"text number {at}", metadata={"rare": at % 20 == 0, "n": at})
        for at in range(start, start + count)
    ]


@pytest.fixture
def hundred(empty: DPRVectorStore) -> DPRVectorStore:
    empty.add_documents(numbered(100))
    return empty


def test_a_filter_that_matches_5_of_100_returns_4_of_them(hundred: DPRVectorStore) -> None:
    """It filters only the best 20, and finds one."""
    rare = {"0", "20", "40", "60", "80"}
    for where in ({"rare": True}, lambda document: document.metadata["rare"]):
        found = hundred.similarity_search(QUESTION, k=4, filter=where)
        assert len(found) == 4
        assert {document.id for document in found} < rare


def test_mmr_under_a_filter_gives_every_document_its_own_score(hundred: DPRVectorStore) -> None:
    """It gives the scores of other documents."""
    encoder = hundred.store.encoder
    vector = hundred.embeddings.embed_query(QUESTION)
    found = hundred.max_marginal_relevance_search_with_score_by_vector(vector, k=4, filter={"rare": True})
    assert len(found) == 4
    stored = hundred.store.get_vectors([str(document.id) for document, _ in found])
    question = encoder.encode_questions([QUESTION])[0]
    assert [score for _, score in found] == pytest.approx(
        [float(question @ stored[str(document.id)]) for document, _ in found], rel=1e-5
    )
    retriever = DPRRetriever.from_store(hundred, k=4, search_type="mmr", filter={"rare": True})
    asked = retriever.invoke(QUESTION, include_scores=True)
    assert [one.metadata["dpr_score"] for one in asked] == [score for _, score in found]


def test_the_metric_is_the_same_after_reopening(tmp_path: Path, words: Any) -> None:
    """It forgets the metric, and ranks by distance what was ranked by inner product."""
    with DPRVectorStore.from_documents(numbered(50), words, path=tmp_path / "s") as store:
        before = store.similarity_search_with_score(QUESTION, k=50)
    with DPRVectorStore(words, path=tmp_path / "s") as store:
        assert store.similarity_search_with_score(QUESTION, k=50) == before
    assert [score for _, score in before] == sorted((score for _, score in before), reverse=True)


def test_a_threshold_means_something_for_raw_inner_products(empty: DPRVectorStore) -> None:
    """It makes a relevance of -76 out of an inner product of 77, and a threshold leaves nothing."""
    words = np.random.default_rng(5).integers(0, 3000, (60, 12))
    texts = [" ".join(f"w{word}" for word in row) for row in words]
    empty.add_texts(texts, ids=[str(at) for at in range(60)])
    best, score = empty.similarity_search_with_score(texts[7], k=1)[0]
    assert (best.id, score > 100) == ("7", True)
    found = empty.similarity_search_with_relevance_scores(texts[7], k=60)
    assert all(0 <= relevance <= 1 for _, relevance in found)
    between = (found[0][1] + found[1][1]) / 2
    retriever = empty.as_retriever(search_type="similarity_score_threshold", search_kwargs={"score_threshold": between})
    assert retriever.invoke(texts[7]) == [best]


@pytest.mark.parametrize("kind", ["hnsw", "ivf", "flat"])
def test_deletion_works_on_every_kind_of_index(words: Any, tmp_path: Path, kind: str) -> None:
    """It raises on HNSW."""
    with DPRVectorStore.from_documents(numbered(100), words, path=tmp_path / kind, index=kind) as store:
        store.store.optimize()
        best = [document.id for document in store.similarity_search(QUESTION, k=100)]
        assert store.delete(best[:30]) is True
        assert [document.id for document in store.similarity_search(QUESTION, k=100)] == best[30:]


def test_nothing_in_a_store_is_a_pickle(words: Any, tmp_path: Path) -> None:
    """It keeps documents in a pickle, which runs what it says when it is loaded."""
    with DPRVectorStore.from_documents(numbered(100), words, path=tmp_path / "s") as store:
        store.store.optimize("hnsw")
    files = [path for path in (tmp_path / "s").rglob("*") if path.is_file()]
    assert len(files) >= 2
    for path in files:
        with (
            pytest.raises((pickle.UnpicklingError, ValueError, EOFError, KeyError, IndexError)),
            path.open("rb") as file,
        ):
            pickle.load(file)


def test_a_name_of_an_index_cannot_leave_its_folder(words: Any, tmp_path: Path) -> None:
    """It writes to ``index_name="../x"``, outside the folder."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "secret.faiss").write_bytes(b"")
    for name in ("../secret", str(tmp_path / "secret")):
        with pytest.raises(ValueError, match="index_name"):
            DPRVectorStore.from_langchain_faiss(tmp_path / "folder", words, index_name=name)


def add_in_a_child(path: Path, words: Any, start: int) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            with DPRVectorStore(words, path=path) as store:
                for at in range(start, start + 60, 6):
                    store.add_documents(numbered(6, at))
        finally:
            os._exit(0)
    return pid


def test_two_processes_adding_lose_nothing(words: Any, tmp_path: Path) -> None:
    """It writes the whole file at the end, so that the last process wins."""
    DPRVectorStore(words, path=tmp_path / "s").close()
    children = [add_in_a_child(tmp_path / "s", words, start) for start in (0, 60)]
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    with DPRVectorStore(words, path=tmp_path / "s") as store:
        assert sorted(int(one.id) for one in store.store) == list(range(120))
        assert store.store.check().passages == 120


@pytest.mark.parametrize("seconds", np.linspace(0.02, 0.3, 8).round(3).tolist())
def test_a_killed_process_leaves_all_that_was_acknowledged(words: Any, tmp_path: Path, seconds: float) -> None:
    """177 of 200 of its stores could not be read after a kill while saving."""
    DPRVectorStore(words, path=tmp_path / "s").close()
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with DPRVectorStore(words, path=tmp_path / "s") as store:
                for at in range(0, 10**6, 5):
                    store.add_documents(numbered(5, at))
                    os.write(tell, f"{at + 5}\n".encode())
        finally:
            os._exit(0)
    os.close(tell)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(told) as lines:
        acknowledged = max((int(line) for line in lines), default=0)
    with DPRVectorStore(words, path=tmp_path / "s") as store:
        kept = sorted(int(one.id) for one in store.store)
        assert kept == list(range(len(kept)))
        assert len(kept) in (acknowledged, acknowledged + 5)
        assert store.store.check().passages == len(kept)
