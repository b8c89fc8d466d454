"""Documents with surrogates, as readers of PDF files bring them, and paths that begin with ``~``."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document

from dpr_rag.errors import BadTextError
from langchain_dpr_rag import DPREmbeddings, DPRVectorStore

PAIR = "\ud83d\ude00"
PAGES = [Document(f"page {at} {PAIR}", id=f"{at}{PAIR}", metadata={PAIR: PAIR, "title": PAIR}) for at in range(5)]
BAD = [*PAGES[:2], Document("page \ud800 bad", id="bad"), *PAGES[2:]]
IDS = [f"{at}😀" for at in range(5)]


def test_surrogate_pairs_are_joined(words: Any) -> None:
    with DPRVectorStore(words) as store:
        assert store.add_documents(PAGES) == IDS
        found = store.get_by_ids([f"1{PAIR}"])
        assert found == [Document("page 1 😀", id="1😀", metadata={"title": "😀", "😀": "😀"})]
        assert store.similarity_search(f"page 1 {PAIR}", k=1, filter={PAIR: PAIR})[0].page_content.startswith("page")
        store.delete([f"1{PAIR}"])
        assert store.get_by_ids(IDS) == store.get_by_ids([IDS[0], *IDS[2:]])


@pytest.mark.parametrize("wait", [False, True])
def test_one_bad_page_is_refused_replaced_or_skipped(words: Any, caplog: pytest.LogCaptureFixture, wait: bool) -> None:
    def added(store: DPRVectorStore) -> list[str]:
        return asyncio.run(store.aadd_documents(BAD)) if wait else store.add_documents(BAD)

    with DPRVectorStore(words) as store:
        with pytest.raises(BadTextError, match=r"passage 'bad': text holds the lone surrogate .*on_bad_text='replace'"):
            added(store)
        assert store.store.count() == 0
        store.on_bad_text = "skip"
        with caplog.at_level(logging.WARNING):
            assert added(store) == IDS
        assert "1 of 6 documents hold lone surrogates and were skipped, the first is number 3" in caplog.text
        assert store.get_by_ids(["bad"]) == []
    with DPRVectorStore(words, on_bad_text="replace") as store:
        assert added(store) == [*IDS[:2], "bad", *IDS[2:]]
        assert store.get_by_ids(["bad"])[0].page_content == "page \ufffd bad"
    with pytest.raises(ValueError, match="on_bad_text is 'ignore', expected 'error', 'replace' or 'skip'"):
        DPRVectorStore(words, on_bad_text="ignore")  # type: ignore[arg-type]


def test_vectors_stay_with_their_texts_where_a_page_is_skipped(words: Any) -> None:
    vectors = [[float(at), 1.0] for at in range(3)]
    with DPRVectorStore(words, on_bad_text="skip") as store:
        texts = ["one", "\udfff", "three"]
        dim = len(words.embed_query("x")) if hasattr(words, "embed_query") else words.dim
        rows = [row + [0.0] * (dim - 2) for row in vectors]
        ids = store.add_embeddings(zip(texts, rows, strict=True), ids=["1", "2", "3"])
        assert ids == ["1", "3"]
        kept = store.store.get_vectors(ids)
        assert np.array_equal(kept["3"], np.array(rows[2], np.float32))


def test_embedding_a_bad_page_embeds_its_replacement(words: Any) -> None:
    encoder = getattr(words, "encoder", words)
    embeddings = DPREmbeddings(encoder=encoder)
    assert embeddings.embed_documents(["a \ud800 b"]) == embeddings.embed_documents(["a \ufffd b"])


def test_a_path_may_begin_with_the_home_folder(words: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with DPRVectorStore(words, path="~/s.dpr") as store:
        assert store.store.path == tmp_path / "s.dpr"
