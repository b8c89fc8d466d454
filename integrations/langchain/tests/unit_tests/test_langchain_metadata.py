"""Metadata that are no JSON: refused with the helper's name, or converted where that was asked for."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document

from dpr_rag import to_json_metadata
from dpr_rag.errors import PassageError
from langchain_dpr_rag import DPRVectorStore

METADATA: dict[Any, Any] = {
    "title": "Hamlet",
    "on": date(2024, 5, 1),
    "at": datetime(2024, 5, 1, tzinfo=UTC),
    "vector": np.array([1, 2]),
    "path": Path("a.txt"),
    "rate": float("nan"),
    7: {"b", "a"},
    "dpr_score": np.float32(3),
}
MADE = {
    "title": "Hamlet",
    "on": "2024-05-01",
    "at": "2024-05-01T00:00:00+00:00",
    "vector": [1, 2],
    "path": "a.txt",
    "rate": None,
    "7": ["a", "b"],
}


def documents() -> list[Document]:
    made = Document("a tragedy")
    made.metadata = dict(METADATA)  # pydantic takes keys that are strings alone where a document is made
    return [made]


def test_metadata_that_are_no_json_are_refused_with_the_helpers_name(empty: DPRVectorStore) -> None:
    with pytest.raises(PassageError, match=r"dpr_rag\.to_json_metadata\(metadata\), .* on_metadata='convert'"):
        empty.add_documents(documents())
    assert len(empty.store) == 0


def test_metadata_are_converted_on_every_way_in(words: Any) -> None:
    with DPRVectorStore(words, on_metadata="convert") as store:
        (first,) = store.add_documents(documents())
        assert store.get_by_ids([first])[0].metadata == MADE
        assert store.add_documents(documents()) == [first]  # ids of contents are those of what is stored
        assert asyncio.run(store.aadd_documents(documents())) == [first]
        (other,) = store.add_embeddings([("an epic", [1.0] * 12)], [{"on": date(2024, 5, 2)}])
        assert store.get_by_ids([other])[0].metadata == {"on": "2024-05-02"}
        found = store.similarity_search("tragedy", filter={"on": {"$lt": "2024-05-02"}})
        assert [one.id for one in found] == [first]
        assert documents()[0].metadata["on"] == date(2024, 5, 1)


def test_what_cannot_be_converted_names_its_document(words: Any) -> None:
    with DPRVectorStore(words, on_metadata="convert") as store:
        with pytest.raises(PassageError, match=r"document 'x': metadata\['a'\] is object"):
            store.add_documents([Document("text", id="x", metadata={"a": object()})])
        with pytest.raises(PassageError, match="number 1, without an id"):
            store.add_documents([Document("text", metadata={"a": object()})])


def test_the_policy_is_checked_and_can_be_set(words: Any, empty: DPRVectorStore) -> None:
    for make in (lambda: DPRVectorStore(words, on_metadata="maybe"), lambda: setattr(empty, "on_metadata", "x")):
        with pytest.raises(ValueError, match=r"on_metadata is '(maybe|x)', expected 'error' or 'convert'"):
            make()
    assert empty.on_metadata == "error"
    empty.on_metadata = "convert"
    empty.add_documents(documents(), ids=["1"])
    assert empty.get_by_ids(["1"])[0].metadata == to_json_metadata(MADE)
