"""What is said of modes and settings that do not fit: in the words of the caller, and alike wherever they are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode
from llama_index.postprocessor.dpr_rag import DPRReranker
from llama_index.retrievers.dpr_rag import DPRRetriever
from llama_index.vector_stores.dpr_rag import DPRVectorStore
from pydantic import ValidationError

from dpr_rag import Ranking
from dpr_rag.errors import ArgumentError, VectorError


class Crossed:
    """What sentence-transformers' CrossEncoder is to a caller."""

    def predict(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        return [0.0 for _ in pairs]


@pytest.mark.parametrize("mode", ["sparse", VectorStoreQueryMode.SPARSE])
def test_a_mode_is_named_by_its_word(filled: DPRVectorStore, mode: Any) -> None:
    vector = filled.client.encode_questions(["a pact"])[0].tolist()
    with pytest.raises(ArgumentError, match=r"^the mode 'sparse' looks for words; give query_str$"):
        filled.query(VectorStoreQuery(query_embedding=vector, mode=mode))
    with pytest.raises(ArgumentError, match=r"^mode='sparse' and ranking= were both given"):
        DPRRetriever(filled, mode=mode, ranking=Ranking("bm25"))


@pytest.mark.parametrize(
    ("name", "value"), [("top_n", True), ("top_n", "2"), ("rerank_weight", True), ("rerank_weight", "1")]
)
def test_a_setting_of_a_reranker_is_no_other_type_later_either(name: str, value: Any) -> None:
    with pytest.raises(VectorError, match=f"{name} is"):
        DPRReranker(Crossed(), **{name: value})
    made = DPRReranker(Crossed())
    with pytest.raises(ValidationError, match=name):
        setattr(made, name, value)
    assert (made.top_n, made.rerank_weight) == (2, None)
    made.top_n, made.rerank_weight = 3, 1
    assert (made.top_n, made.rerank_weight) == (3, 1.0)
    made.top_n, made.rerank_weight = np.int64(4), np.float32(0.5)
    assert (made.top_n, made.rerank_weight) == (4, 0.5)
