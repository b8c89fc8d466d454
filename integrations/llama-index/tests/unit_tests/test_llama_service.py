"""``DPRRetriever("http://…")``: the nodes of the store behind a service, sync and async."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from conftest import HashEncoder
from llama_index.core.schema import NodeRelationship, QueryBundle, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters
from llama_index.retrievers.dpr_rag import DPRRetriever
from llama_index.vector_stores.dpr_rag import DPRVectorStore
from serving import TOKEN, service_on

from dpr_rag import Diversity, Ranking, RemoteStore
from dpr_rag.errors import AccessError, ArgumentError, PathError, StoreNotFoundError

HERE = "http://127.0.0.1:8000"
QUESTIONS = ["a tragic prince", "comedy of the forest", "a play"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DPRVectorStore, str]]:
    words = "tragic prince comedy forest play king".split()
    with DPRVectorStore(tmp_path_factory.mktemp("s") / "plays", encoder=HashEncoder(32)) as store:
        nodes = []
        for at in range(20):
            node = TextNode(id_=f"n{at}", text=" ".join(words[at % 5 : at % 5 + 3]), metadata={"year": 1600 + at})
            node.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=f"doc{at % 4}", metadata={"a": at})
            node.excluded_llm_metadata_keys = ["year"]
            nodes.append(node)
        store.add(nodes)
        with service_on(tmp_path_factory.mktemp("u") / "s", {"plays": store.client}, token=TOKEN) as uds:
            yield store, uds


@pytest.fixture
def local(served: tuple[DPRVectorStore, str]) -> DPRVectorStore:
    return served[0]


@pytest.fixture
def address(served: tuple[DPRVectorStore, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """An address that leads to the Unix socket, as tests have no other network."""
    sync, awaited = httpx.HTTPTransport, httpx.AsyncHTTPTransport
    monkeypatch.setattr(httpx.Client, "_init_transport", lambda self, **_: sync(uds=served[1]))
    monkeypatch.setattr(httpx.AsyncClient, "_init_transport", lambda self, **_: awaited(uds=served[1]))
    return HERE


YEARS = MetadataFilters(filters=[MetadataFilter(key="year", operator=">", value=1607)])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mode": "text_search", "similarity_top_k": 5},
        {"mode": "hybrid", "similarity_top_k": 5},
        {"mode": "hybrid", "alpha": 0.3},
        {"mode": "hybrid", "alpha": 1.0},
        {"mode": "mmr", "similarity_top_k": 4},
        {"filters": YEARS, "doc_ids": ["doc1", "doc3"], "similarity_top_k": 9},
        {"node_ids": ["n3", "n9"]},
        {"doc_ids": []},
        {"ranking": Ranking("hybrid", fusion="rrf"), "diversity": Diversity(8, 0.1), "min_relevance": 0.0},
    ],
)
def test_nodes_equal_those_of_the_folder(local: DPRVectorStore, address: str, options: dict) -> None:
    here = DPRRetriever(local, **options)
    expected = [here.retrieve(question) for question in QUESTIONS]
    assert any(expected) or options == {"doc_ids": []}
    vector = local.client.encode_questions(["prince"])[0].tolist()
    bundles = [
        QueryBundle("a play", custom_embedding_strs=["forest", "king"]),
        QueryBundle("a play", embedding=vector),
        QueryBundle(" "),
    ]
    with DPRRetriever(address, token=TOKEN, **options) as there:
        assert [there.retrieve(question) for question in QUESTIONS] == expected
        assert [there.retrieve(bundle) for bundle in bundles] == [here.retrieve(bundle) for bundle in bundles]

        async def awaited() -> None:
            assert await asyncio.gather(*map(there.aretrieve, QUESTIONS)) == expected
            assert await there.aretrieve(bundles[0]) == here.retrieve(bundles[0])
            await there._vector_store.client.aclose()

        asyncio.run(awaited())
    for found in expected:
        assert all(node.node.ref_doc_id in {f"doc{at}" for at in range(4)} for node in found)


def test_a_question_takes_one_request(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    send = httpx.Client.send
    monkeypatch.setattr(
        httpx.Client, "send", lambda self, request, **more: asked.append(1) or send(self, request, **more)
    )
    with DPRRetriever(address, token=TOKEN) as there:
        there.retrieve("a play")
    assert len(asked) == 1


def test_what_a_service_is_not_is_told(local: DPRVectorStore, address: str) -> None:
    with (
        DPRRetriever(address, token=TOKEN) as there,
        pytest.raises(ArgumentError, match="add nodes where they are stored"),
    ):
        there.vector_store.add([])
    with pytest.raises(ArgumentError, match="token= goes with the address"):
        DPRRetriever(local, token=TOKEN)
    with pytest.raises(ArgumentError, match="go with a path"):
        DPRRetriever(address, encoder=HashEncoder(32))
    with pytest.raises(PathError, match="is an address"):
        DPRVectorStore(address)
    with DPRRetriever(address, token="another") as there, pytest.raises(AccessError):
        there.retrieve("a play")
    with RemoteStore(address, "none", token=TOKEN) as store, pytest.raises(StoreNotFoundError):
        DPRRetriever(store).retrieve("a play")


def test_nodes_of_a_client_that_is_given_are_whole(local: DPRVectorStore, address: str) -> None:
    expected = DPRRetriever(local).retrieve(QUESTIONS[0])
    assert expected[0].node.source_node is not None
    with RemoteStore(address, token=TOKEN) as client:
        retriever = DPRRetriever(client)
        assert retriever.retrieve(QUESTIONS[0]) == asyncio.run(retriever.aretrieve(QUESTIONS[0])) == expected
        assert retriever.retrieve(QueryBundle("", custom_embedding_strs=[QUESTIONS[0]])) == expected
        assert all("_dpr_rag" not in one.metadata for one in client.get(["n1"]))  # as the caller opened it
        retriever.close()
        assert client.count() == 20
