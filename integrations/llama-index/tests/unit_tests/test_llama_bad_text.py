"""Nodes with surrogates, as readers of PDF files bring them, and paths that begin with ``~``."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery
from llama_index.vector_stores.dpr_rag import DPRVectorStore

from dpr_rag.errors import BadTextError

PAIR = "\ud83d\ude00"
IDS = [f"{at}😀" for at in range(5)]


def nodes() -> list[TextNode]:
    source = RelatedNodeInfo(node_id=f"doc{PAIR}", metadata={PAIR: PAIR})
    return [
        TextNode(
            id_=f"{at}{PAIR}",
            text=f"page {at} {PAIR}",
            metadata={PAIR: [PAIR], "title": PAIR},
            relationships={NodeRelationship.SOURCE: source},
        )
        for at in range(5)
    ]


def with_bad() -> list[TextNode]:
    return [*nodes()[:2], TextNode(id_="bad", text="page \ud800 bad"), *nodes()[2:]]


def test_surrogate_pairs_are_joined(towers: Any) -> None:
    with DPRVectorStore(encoder=towers) as store:
        assert store.add(nodes()) == IDS
        (found,) = store.get_nodes(node_ids=[f"1{PAIR}"])
        assert (found.get_content(), found.metadata, found.ref_doc_id) == (
            "page 1 😀",
            {"😀": ["😀"], "title": "😀"},
            "doc😀",
        )
        store.delete(f"doc{PAIR}")
        assert store.client.count() == 0


@pytest.mark.parametrize("wait", [False, True])
def test_one_bad_page_is_refused_replaced_or_skipped(towers: Any, caplog: pytest.LogCaptureFixture, wait: bool) -> None:
    def added(store: DPRVectorStore) -> list[str]:
        return asyncio.run(store.async_add(with_bad())) if wait else store.add(with_bad())

    with DPRVectorStore(encoder=towers) as store:
        with pytest.raises(BadTextError, match=r"passage 'bad': text holds the lone surrogate .*on_bad_text='replace'"):
            added(store)
        assert store.client.count() == 0
    with DPRVectorStore(encoder=towers, on_bad_text="skip") as store, caplog.at_level(logging.WARNING):
        assert added(store) == IDS
        assert "1 of 6 nodes hold lone surrogates and were skipped, the first is 'bad'" in caplog.text
        assert store.client.count() == 5
    with DPRVectorStore(encoder=towers, on_bad_text="replace") as store:
        assert added(store) == [*IDS[:2], "bad", *IDS[2:]]
        assert store.get_nodes(node_ids=["bad"])[0].get_content() == "page \ufffd bad"
        assert store.query(VectorStoreQuery(query_str=f"page 1 {PAIR}", similarity_top_k=1)).ids == ["1😀"]
    with pytest.raises(ValueError, match="on_bad_text is 'ignore', expected 'error', 'replace' or 'skip'"):
        DPRVectorStore(encoder=towers, on_bad_text="ignore")  # type: ignore[arg-type]


def test_a_path_may_begin_with_the_home_folder(towers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with DPRVectorStore("~/s.dpr", encoder=towers) as store:
        assert store.client.path == tmp_path / "s.dpr"
