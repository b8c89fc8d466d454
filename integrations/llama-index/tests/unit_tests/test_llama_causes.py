"""What goes wrong inside a user's own embedding is told as it is, and never as something else."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.embeddings.dpr_rag import DPREmbedding
from llama_index.vector_stores.dpr_rag import DPRVectorStore


class Broken:
    """An encoder whose dimension is asked of a client that it lost."""

    fingerprint = "broken"

    @property
    def dim(self) -> int:
        raise AttributeError("'NoneType' object has no attribute 'post'")

    def encode_questions(self, questions: Any) -> Any:
        return self.dim

    def encode_passages(self, passages: Any) -> Any:
        return self.dim


def test_an_attribute_error_of_the_users_model_is_seen(node: Any) -> None:
    with DPRVectorStore(encoder=Broken()) as opened, pytest.raises(AttributeError, match="no attribute 'post'"):
        opened.add([node("a", "a text")])
    with pytest.raises(AttributeError, match="no attribute 'post'"):
        DPREmbedding(Broken()).get_query_embedding("a question")


def test_a_class_is_no_encoder(make_towers: Any) -> None:
    with pytest.raises(TypeError, match="encoder is type"):
        DPREmbedding(make_towers)
    with pytest.raises(TypeError, match="encoder is type"):
        DPRVectorStore(encoder=make_towers)
