"""What goes wrong inside a user's own embeddings is told as it is, and never as something else."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from dpr_rag import PassageStore
from dpr_rag.encoder import is_encoder
from dpr_rag.errors import EncoderMismatchError
from langchain_dpr_rag import DPREmbeddings, DPRRetriever, DPRVectorStore


class Broken:
    """An encoder whose dimension is asked of a client that it lost."""

    fingerprint = "broken"
    asked = 0

    @property
    def dim(self) -> int:
        type(self).asked += 1
        raise AttributeError("'NoneType' object has no attribute 'post'")

    def encode_questions(self, questions: Any) -> Any: ...

    def encode_passages(self, passages: Any) -> Any: ...


class Handing:
    """Hands on everything to another encoder."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.mark.parametrize("opened", [DPRVectorStore, lambda given: DPRRetriever.from_texts(["x"], given)])
def test_an_attribute_error_of_the_users_model_is_seen(foreign: Any, opened: Any) -> None:
    def embed_query(text: str) -> list[float]:
        raise AttributeError("'NoneType' object has no attribute 'post'")

    foreign.embed_query = embed_query
    with pytest.raises(AttributeError, match="no attribute 'post'"):
        opened(foreign)


def test_the_cause_is_seen_where_an_encoder_is_given(tmp_path: Path) -> None:
    Broken.asked = 0
    assert is_encoder(Broken())
    assert Broken.asked == 0
    for opened in (DPRVectorStore(Broken()), DPRVectorStore(Broken(), path=tmp_path / "s")):
        with opened, pytest.raises(AttributeError, match="no attribute 'post'"):
            opened.add_texts(["x"])


def test_what_hands_on_to_an_encoder_is_one_and_a_class_is_none(words: Any) -> None:
    assert is_encoder(Handing(words))
    assert not is_encoder(Handing(object()))
    assert not is_encoder(type(words))
    assert DPREmbeddings(Handing(words)).embed_query("a play") == DPREmbeddings(words).embed_query("a play")
    with pytest.raises(EncoderMismatchError, match="the class WordEncoder, not an instance"):
        PassageStore.temporary(encoder=type(words))


def test_a_slow_model_keeps_no_other_waiting_for_its_dimension(foreign: Any) -> None:
    from langchain_dpr_rag.foreign import EmbeddingsEncoder

    entered, release = threading.Event(), threading.Event()

    class Slow(type(foreign)):  # type: ignore[misc]
        def embed_query(self, text: str) -> list[float]:
            entered.set()
            assert release.wait(20), "nobody else got through"
            return super().embed_query(text)

    slow = threading.Thread(target=lambda: EmbeddingsEncoder(Slow()).dim)
    slow.start()
    try:
        assert entered.wait(20)
        done = threading.Thread(target=lambda: EmbeddingsEncoder(foreign).dim, daemon=True)
        done.start()
        done.join(10)
        assert not done.is_alive()
    finally:
        release.set()
        slow.join()
