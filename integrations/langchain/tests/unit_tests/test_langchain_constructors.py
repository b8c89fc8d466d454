"""Every constructor takes what its neighbours take, waits where they wait, and tells of words that it does not know."""

from __future__ import annotations

import asyncio
import inspect
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from pydantic import ValidationError

from dpr_rag import DualEncoder, PassageStore
from dpr_rag.errors import ArgumentError, VectorError
from langchain_dpr_rag import DPREmbeddings, DPRRetriever, DPRVectorStore
from langchain_dpr_rag.vectorstores import ARGUMENTS

TEXTS = ["a tragedy by Shakespeare", "a comedy by Shakespeare"]


class Awaited(Embeddings):
    """Documents are embedded by the asynchronous method alone, as by a service whose client is asynchronous."""

    model_name = "awaited"

    def __init__(self, inner: Embeddings) -> None:
        self.inner = inner
        self.loops: list[asyncio.AbstractEventLoop] = []

    def embed_query(self, text: str) -> list[float]:
        return self.inner.embed_query(text)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise AssertionError("embed_documents was called where aembed_documents was to be waited for")

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        self.loops.append(asyncio.get_running_loop())
        return self.inner.embed_documents(texts)


@pytest.mark.parametrize("kind", [DPRVectorStore, DPRRetriever])
@pytest.mark.parametrize("name", ["afrom_texts", "afrom_documents"])
def test_what_is_made_by_waiting_waits_for_the_embeddings(kind: Any, name: str, foreign: Embeddings) -> None:
    given = TEXTS if name == "afrom_texts" else [Document(text) for text in TEXTS]
    waited = Awaited(foreign)

    async def make() -> tuple[Any, asyncio.AbstractEventLoop]:
        return await getattr(kind, name)(given, waited, ids=["1", "2"], batch_size=1), asyncio.get_running_loop()

    made, loop = asyncio.run(make())
    with made:
        passages = made.store
        assert ([one.id for one in passages], waited.loops) == (["1", "2"], [loop, loop])


@pytest.mark.parametrize("kind", [DPRVectorStore, DPRRetriever])
def test_what_fails_while_it_is_waited_for_leaves_nothing_behind(
    kind: Any, foreign: Embeddings, tmp_path: Path
) -> None:
    waited = Awaited(foreign)

    async def fail(texts: list[str]) -> list[list[float]]:
        return [[0.0]]

    waited.aembed_documents = fail  # type: ignore[method-assign]
    with pytest.raises(VectorError, match=r"Awaited\.aembed_documents"):
        asyncio.run(kind.afrom_texts(TEXTS, waited, path=tmp_path / "s"))
    with DPRVectorStore(
        foreign, path=tmp_path / "s", fingerprint=f"{__name__}.Awaited awaited (12 dimensions)"
    ) as store:
        assert len(store.store) == 0


# What a vector store's constructor takes, and what a retriever does with it; store= is refused in words, see below.
OF_A_STORE: dict[str, Any] = {
    "path": "s",
    "index": "flat",
    "on_blank": "error",
    "on_bad_text": "replace",
    "on_metadata": "convert",
    "fingerprint": "words, version 2",
    "mode": "hybrid",
    "weight": 0.5,
    "fusion": "weighted",
    "create": True,
    "read_only": False,
    "fixed_filter": {"tenant": "a"},
}


def test_a_retriever_is_made_with_all_that_its_store_is_made_with(foreign: Embeddings, tmp_path: Path) -> None:
    named = inspect.signature(DPRVectorStore.__init__).parameters.keys() - {"self", "embedding", "store", "options"}
    assert named == OF_A_STORE.keys()
    given = {**OF_A_STORE, "path": tmp_path / "s", "dtype": "float16"}
    metadata = [{"day": date(2024, 5, 31)}, {}]
    with DPRRetriever.from_texts(TEXTS, foreign, metadata, k=1, **given) as retriever:
        assert (retriever.mode, retriever.weight, retriever.fusion, retriever.k) == ("hybrid", 0.5, "weighted", 1)
        assert [one.metadata for one in retriever.store] == [{"day": "2024-05-31", "tenant": "a"}, {"tenant": "a"}]
        assert (retriever.store.path, retriever.store.encoder.fingerprint) == (tmp_path / "s", "words, version 2")
    with DPRVectorStore(foreign, path=tmp_path / "s", fingerprint="words, version 2") as store:  # was closed
        store.add_texts(["of another tenant"], [{"tenant": "b"}])
    options = {"fingerprint": "words, version 2", "fixed_filter": {"tenant": "a"}}
    with DPRRetriever.from_store(tmp_path / "s", foreign, k=9, **options) as retriever:
        assert len(retriever.invoke("of another tenant")) == 2
    with pytest.raises(ArgumentError, match="blank"):
        DPRRetriever.from_documents([Document(" ")], foreign, on_blank="error")


def test_a_temporary_store_is_gone_with_its_retriever_behind_a_view_too(foreign: Embeddings) -> None:
    with DPRRetriever.from_texts(TEXTS, foreign, fixed_filter={"tenant": "a"}) as retriever:
        folder = retriever.store.path
        assert folder.exists()
    assert not folder.exists()


def test_an_open_store_is_not_filled_by_a_retriever(plays: DPRVectorStore) -> None:
    for fill in (DPRRetriever.from_texts, DPRRetriever.from_documents):
        with pytest.raises(ArgumentError, match=r"store= is open already; use from_store\(store\)"):
            fill([], store=plays.store)
    with pytest.raises(ArgumentError, match="fixed_filter; the store was opened with its own"):
        DPRRetriever.from_store(plays, fixed_filter={"year": 1601})


@pytest.mark.parametrize(
    ("call", "right"),
    [
        (lambda _: DPREmbeddings(model_name="x"), r"'model_name'.* here it is DPREmbeddings.from_pretrained\("),
        (lambda _: DPREmbeddings(model_kwargs={}), r"'model_kwargs'.* here it is DPREmbeddings.from_pretrained\("),
        (lambda _: DPREmbeddings(embedding=None), "'embedding'.* here it is encoder="),
        (lambda _: DPREmbeddings(encodr=None), "'encodr'.* did you mean 'encoder'"),
        (lambda p: DPRRetriever(vectorstore=p), r"vectorstore.*here it is store= .*from_store\(\)"),
        (lambda p: DPRRetriever(store=p.store, top_k=3), "top_k.*here it is k"),
        (lambda p: DPRRetriever.from_store(p, search_type="hybrid"), "here it is search_type='similarity' with mode='hybrid'"),
        (lambda p: DPRRetriever.from_store(p, search_type="similarity_score_threshold"), "here it is score_threshold="),
        (lambda p: DPRRetriever.from_store(p, search_type="similar"), "did you mean 'similarity'"),
        (lambda p: p.as_retriever(search_type="bm25"), "here it is search_type='similarity' with mode='bm25'"),
        (lambda p: p.search("q", "hybrid"), "here it is search_type='similarity' with mode='hybrid'"),
        (lambda p: asyncio.run(p.asearch("q", "mmmr")), "did you mean 'mmr'"),
        (lambda _: DPRRetriever.from_texts(TEXTS, top_k=3), "'top_k'.* here it is k$"),
        (lambda _: DPRRetriever.from_documents([], persist_directory="x"), "here it is path="),
        (lambda _: DPRVectorStore(client=1), "here it is store="),
        (lambda _: DPRVectorStore(fixed_filters={}), "did you mean 'fixed_filter'"),
        (lambda p: p.add_embeddings([], batch_sizes=3), "'batch_sizes'.*expected one of"),
        (lambda p: asyncio.run(p.aadd_embeddings([], metadata=[])), "here it is metadatas"),
    ],
)  # fmt: skip
def test_words_of_others_are_told_the_right_one(call: Any, right: str, plays: DPRVectorStore) -> None:
    with pytest.raises((ArgumentError, ValidationError), match=right):
        call(plays)


def test_a_store_takes_all_that_a_passage_store_is_opened_with(tmp_path: Path) -> None:
    encoder = DualEncoder.default()
    options = set(inspect.signature(PassageStore.open).parameters) - {"path", "encoder"}
    assert options <= set(re.findall(r"\w+", ARGUMENTS))
    given: dict[str, Any] = {"dtype": "float16", "language": "german", "timeout": 5.0, "bind": False}
    with DPRVectorStore(encoder, path=tmp_path / "store", **given) as opened:
        assert (opened.store.info().dtype, opened.store.info().language) == ("float16", "german")
        assert repr(opened) == f"DPRVectorStore({opened.store!r})"
        with pytest.raises(ArgumentError, match="language, token or partition_key; an open store has its own"):
            DPRVectorStore(store=opened.store, language="german")
    with DPRVectorStore(encoder, dtype="float16") as temporary:
        assert temporary.store.info().dtype == "float16"
    with pytest.raises(ArgumentError, match=r"temporary.*has no argument 'language'"):
        DPRVectorStore(encoder, language="german")
    assert repr(DPREmbeddings(encoder)) == f"DPREmbeddings({encoder!r})"
