"""The same chain and the same query engine over a folder, a service and a Milvus: only the address differs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import HashEncoder
from engines import lite  # noqa: F401
from langchain_core.documents import Document
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableParallel, RunnablePassthrough
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.retrievers.dpr_rag import DPRRetriever as NodeRetriever
from llama_index.vector_stores.dpr_rag import DPRVectorStore as NodeStore
from serving import TOKEN, service_on

from dpr_rag import DualEncoder, PassageStore
from langchain_dpr_rag import DPRRetriever, DPRVectorStore, format_documents

HERE = "http://127.0.0.1:8000"
QUESTIONS = ["a tragic prince", "comedy of the forest", "a king in the forest"]
WORDS = "tragic prince comedy forest play king".split()
TEXTS = [(f"p{at}", f"{' '.join(WORDS[at % 5 : at % 5 + 3])} {at}", {"year": 1600 + at}) for at in range(20)]
TITLES = {"p3": "Hamlet", "p7": "Macbeth"}


def fill(address: str) -> None:
    """Half of the passages by each framework."""
    metadata = [{**more, **({"title": TITLES[name]} if name in TITLES else {})} for name, _, more in TEXTS]
    records = [(name, text, more) for (name, text, _), more in zip(TEXTS, metadata, strict=True)]
    with DPRVectorStore(path=address) as documents:
        documents.add_documents([Document(text, id=name, metadata=more) for name, text, more in records[:10]])
    source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id="book")}
    with NodeStore(address, encoder=HashEncoder(32)) as nodes:
        nodes.add([TextNode(id_=n, text=text, metadata=more, relationships=source) for n, text, more in records[10:]])


def by_chain(address: str) -> Any:
    with DPRRetriever.from_store(address, k=3, filter={"year": {"$gt": 1602}}) as retriever:
        prompt = ChatPromptTemplate.from_template("Answer from these passages:\n{context}\n\n{question}")
        asked = {"context": retriever | format_documents, "question": RunnablePassthrough()} | prompt
        chain = RunnableParallel(prompt=asked, documents=retriever)

        async def awaited() -> list[Any]:
            found = await asyncio.gather(*map(chain.ainvoke, QUESTIONS))
            if hasattr(retriever.store, "aclose"):
                await retriever.store.aclose()
            return found

        found = chain.batch(QUESTIONS)
        assert found == [chain.invoke(question) for question in QUESTIONS] == asyncio.run(awaited())
        return found


def by_query_engine(address: str) -> Any:
    with NodeRetriever(address, similarity_top_k=3) as retriever:
        engine = RetrieverQueryEngine.from_args(retriever, llm=MockLLM())
        return [
            (str(answer), [(one.node.to_dict(), one.score) for one in answer.source_nodes])
            for answer in map(engine.query, QUESTIONS)
        ]


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory, lite: Any) -> Iterator[dict[str, str]]:  # noqa: F811
    folder, sync, awaited = (
        str(tmp_path_factory.mktemp("s") / "plays.dpr"),
        httpx.HTTPTransport,
        httpx.AsyncHTTPTransport,
    )
    found = {"folder": folder, "service": HERE, "milvus": lite()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DualEncoder, "default", lambda: HashEncoder(32))
        patch.setenv("DPR_RAG_TOKEN", TOKEN)
        for name in ("folder", "milvus"):
            fill(found[name])
        with (
            PassageStore.open(folder, encoder=HashEncoder(32), read_only=True) as store,
            service_on(tmp_path_factory.mktemp("u") / "s", {"plays": store}, token=TOKEN) as uds,
        ):  # the address leads to a Unix socket, as tests have no other network
            patch.setattr(httpx.Client, "_init_transport", lambda self, **_: sync(uds=uds))
            patch.setattr(httpx.AsyncClient, "_init_transport", lambda self, **_: awaited(uds=uds))
            yield found


@pytest.mark.parametrize("run", [by_chain, by_query_engine])
@pytest.mark.parametrize("place", ["service", "milvus"])
def test_only_the_address_differs(addresses: dict[str, str], run: Any, place: str) -> None:
    expected = run(addresses["folder"])
    assert run(addresses[place]) == expected
    assert "Hamlet" in str(expected)
    assert len({str(one) for one in expected}) == len(QUESTIONS)


def test_what_one_address_gives_comes_whole(addresses: dict[str, str]) -> None:
    for address in addresses.values():
        with NodeRetriever(address, similarity_top_k=20) as retriever:
            nodes = {one.node.node_id: one.node for one in retriever.retrieve("a play")}
        assert {name: node.get_content() for name, node in nodes.items()} == {name: text for name, text, _ in TEXTS}
        assert {nodes[f"p{at}"].ref_doc_id for at in range(10, 20)} == {"book"}
        assert nodes["p3"].metadata == {"title": "Hamlet", "year": 1603}


def test_vector_stores_say_that_a_service_is_searched_and_not_filled(addresses: dict[str, str], tmp_path: Path) -> None:
    from dpr_rag import RemoteStore
    from dpr_rag.errors import PathError, StoreError

    for kind in (DPRVectorStore, NodeStore):
        with pytest.raises(PathError, match=r"searched but not filled from here.*DPRRetriever.*searches it"):
            kind(path=HERE)
        with pytest.raises(StoreError, match="searched but not filled from here"):
            kind(store=RemoteStore(HERE))


@pytest.mark.parametrize("kind", [DPRRetriever.from_store, NodeRetriever])
def test_of_an_empty_service_adapters_say_to_fill_it_where_it_is(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sync, awaited = httpx.HTTPTransport, httpx.AsyncHTTPTransport
    with (
        PassageStore.open(tmp_path / "empty", encoder=HashEncoder(32)) as empty,
        service_on(tmp_path / "u", {"empty": empty}) as uds,
    ):
        monkeypatch.setattr(httpx.Client, "_init_transport", lambda self, **_: sync(uds=uds))
        monkeypatch.setattr(httpx.AsyncClient, "_init_transport", lambda self, **_: awaited(uds=uds))
        with kind("http://127.0.0.1:8001") as retriever, caplog.at_level(logging.WARNING):
            of_langchain = isinstance(retriever, DPRRetriever)
            assert (retriever.invoke("a play") if of_langchain else retriever.retrieve("a play")) == []
            assert asyncio.run((retriever.ainvoke if of_langchain else retriever.aretrieve)("a play")) == []
    remedy = "where it should not be, fill it where its folder or collection is"
    said = f"http://127.0.0.1:8001 is empty, so nothing is found; {remedy}"
    assert [record.getMessage() for record in caplog.records] == [said, said]
