"""``DPRRetriever.from_store("http://…")``: the documents of the store behind a service, sync and async."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from conftest import HashEncoder
from serving import TOKEN, service_on

from dpr_rag import Passage, PassageStore, RemoteStore
from dpr_rag.errors import AccessError, FilterError, PathError
from langchain_dpr_rag import DPRRetriever, DPRVectorStore

HERE = "http://127.0.0.1:8000"
QUESTIONS = ["a tragic prince", "comedy of the forest", "a play"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PassageStore, str]]:
    with PassageStore.open(tmp_path_factory.mktemp("s") / "plays", encoder=HashEncoder(32)) as store:
        words = "tragic prince comedy forest play king".split()
        store.add(
            [
                Passage(
                    str(at), " ".join(words[at % 5 : at % 5 + 3]), f"t{at % 3}" if at % 2 else "", {"year": 1600 + at}
                )
                for at in range(20)
            ]
        )
        with service_on(tmp_path_factory.mktemp("u") / "s", {"plays": store}, token=TOKEN) as uds:
            yield store, uds


@pytest.fixture
def local(folder: tuple[PassageStore, str]) -> PassageStore:
    return folder[0]


@pytest.fixture
def address(folder: tuple[PassageStore, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """An address that leads to the Unix socket, as tests have no other network."""
    sync, awaited = httpx.HTTPTransport, httpx.AsyncHTTPTransport
    monkeypatch.setattr(httpx.Client, "_init_transport", lambda self, **_: sync(uds=folder[1]))
    monkeypatch.setattr(httpx.AsyncClient, "_init_transport", lambda self, **_: awaited(uds=folder[1]))
    return HERE


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mode": "bm25"},
        {"mode": "hybrid", "k": 7},
        {"filter": {"year": {"$gt": 1608}}},
        {"search_type": "mmr", "fetch_k": 9, "lambda_mult": 0.2},
        {"include_scores": True, "score_threshold": 0.0},
    ],
)
def test_documents_equal_those_of_the_folder(local: PassageStore, address: str, options: dict) -> None:
    here = DPRRetriever.from_store(local, **options)
    expected = [here.invoke(question) for question in QUESTIONS]
    assert any(expected)
    with DPRRetriever.from_store(address, token=TOKEN, **options) as there:
        assert [there.invoke(question) for question in QUESTIONS] == expected
        assert there.batch(QUESTIONS) == expected
        assert there.invoke(QUESTIONS[0], k=1) == here.invoke(QUESTIONS[0], k=1)
        assert there.invoke("  ", filter={"year": 1603}) == here.invoke("  ", filter={"year": 1603})

        async def awaited() -> None:
            assert await asyncio.gather(*map(there.ainvoke, QUESTIONS)) == expected
            assert await there.abatch(QUESTIONS) == expected
            assert await there.ainvoke(" ") == here.invoke(" ")
            await there.store.aclose()

        asyncio.run(awaited())


def test_an_open_remote_store_will_do_and_stays_open(local: PassageStore, address: str) -> None:
    with RemoteStore(address, token=TOKEN) as store:
        with DPRRetriever.from_store(store, k=2) as retriever:
            assert retriever.invoke("a play") == DPRRetriever.from_store(local, k=2).invoke("a play")
        assert store.count() == 20


def test_errors_are_those_of_the_folder(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with DPRRetriever.from_store(address, token=TOKEN) as retriever:
        with pytest.raises(FilterError):
            retriever.invoke("a play", filter={"year": {"$near": 1}})
        with pytest.raises(FilterError, match="predicate"):
            retriever.invoke("a play", filter=lambda document: True)
    with DPRRetriever.from_store(address, token="another") as retriever, pytest.raises(AccessError):
        retriever.invoke("a play")
    monkeypatch.setenv("DPR_RAG_TOKEN", TOKEN)
    with DPRRetriever.from_store(f"{address}/?store=plays", k=1) as retriever:
        assert len(retriever.invoke("a play")) == 1


def test_what_goes_with_a_folder_is_refused(local: PassageStore, address: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="embedding goes with a folder"):
        DPRRetriever.from_store(address, read_only=True)
    with pytest.raises(ValueError, match="token goes with the address"):
        DPRRetriever.from_store(local, token=TOKEN)
    with pytest.raises(PathError, match="is an address"):
        DPRVectorStore(HashEncoder(32), path=address)
