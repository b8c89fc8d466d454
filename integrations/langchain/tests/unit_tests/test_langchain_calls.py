"""Arguments of single calls: every way of calling checks them alike, and names them as the caller did."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from dpr_rag.errors import StoreError
from langchain_dpr_rag import DPRVectorStore


@pytest.mark.parametrize("size", [0, -1, True, "5", 1.5, None])
def test_a_batch_size_is_checked_alike_by_both_ways_of_adding(foreign: Embeddings, size: Any) -> None:
    documents = [Document(page_content="a tragedy", id="1")]
    with DPRVectorStore(foreign) as store:
        with pytest.raises(StoreError, match=r"batch_size is .*, expected an integer of at least 1") as told:
            store.add_documents(documents, batch_size=size)
        with pytest.raises(StoreError) as awaited:
            asyncio.run(store.aadd_documents(documents, batch_size=size))
        assert str(awaited.value) == str(told.value)
        assert store.store.count() == 0
