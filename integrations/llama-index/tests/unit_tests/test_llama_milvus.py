"""``DPRRetriever("milvus…")``: the nodes of a store that was copied to a Milvus."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import HashEncoder
from llama_index.core.schema import QueryBundle, TextNode
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters
from llama_index.retrievers.dpr_rag import DPRRetriever
from llama_index.vector_stores.dpr_rag import DPRVectorStore

from dpr_rag import MilvusStore
from dpr_rag.errors import ArgumentError, StoreNotFoundError

pytest.importorskip("milvus_lite")
QUESTIONS = ["a tragic prince", "comedy of the forest", " "]
YEARS = MetadataFilters(filters=[MetadataFilter(key="year", operator=">", value=1607)])


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DPRVectorStore, str]]:
    words, address = "tragic prince comedy forest play king".split(), ""
    with DPRVectorStore(tmp_path_factory.mktemp("s") / "plays", encoder=HashEncoder(32)) as store:
        store.add(
            [
                TextNode(
                    id_=f"n{at}", text=f"{' '.join(words[at % 5 : at % 5 + 3])} {at}", metadata={"year": 1600 + at}
                )
                for at in range(20)
            ]
        )
        address = f"milvus+lite:{tmp_path_factory.mktemp('m') / 'plays.db'}"
        with MilvusStore.open(address, encoder=HashEncoder(32)) as target:
            for passages, vectors in store.client.batches():
                target.add(passages, vectors=vectors)
        yield store, address


@pytest.mark.parametrize(
    "options",
    [
        {"similarity_top_k": 5},
        {"mode": "mmr", "similarity_top_k": 4},
        {"filters": YEARS, "similarity_top_k": 9},
        {"node_ids": ["n3", "n9"]},
        {"doc_ids": []},
    ],
)
def test_nodes_equal_those_of_the_folder(both: tuple[DPRVectorStore, str], options: dict) -> None:
    here = DPRRetriever(both[0], **options)
    with DPRRetriever(both[1], encoder=HashEncoder(32), **options) as there:
        for question in [*QUESTIONS, QueryBundle("a play", custom_embedding_strs=["forest", "king"])]:
            found = there.retrieve(question)
            assert [(one.node.to_dict(), one.score) for one in found] == [
                (one.node.to_dict(), one.score) for one in here.retrieve(question)
            ]


async def test_words_and_both_are_asked_of_the_engine(both: tuple[DPRVectorStore, str]) -> None:
    for mode in ("text_search", "hybrid"):
        with DPRRetriever(both[1], encoder=HashEncoder(32), mode=mode) as there:
            assert (await there.aretrieve("prince 11"))[0].node.node_id == "n11"


def test_what_does_not_go_with_an_address_is_refused(both: tuple[DPRVectorStore, str], tmp_path: Path) -> None:
    with MilvusStore.open(both[1], encoder=HashEncoder(32), create=False) as opened:
        assert len(DPRRetriever(opened).retrieve("a prince")) == 2
        with pytest.raises(ArgumentError, match="the store was opened with its own"):
            DPRRetriever(opened, encoder=HashEncoder(32))
        assert DPRRetriever(opened).vector_store.client is opened
    with pytest.raises(StoreNotFoundError):
        DPRRetriever(f"milvus+lite:{tmp_path / 'none.db'}", encoder=HashEncoder(32))
