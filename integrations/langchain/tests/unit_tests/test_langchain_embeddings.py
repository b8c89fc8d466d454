"""Embeddings: which tower embeds what, and how foreign ones become an encoder."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

from dpr_rag import DualEncoder, Encoder, Passage
from dpr_rag.errors import PassageError
from langchain_dpr_rag import DPREmbeddings
from langchain_dpr_rag.foreign import EmbeddingsEncoder, embeddings_of, encoder_of


def test_queries_and_documents_go_through_their_own_towers(words: Any) -> None:
    embeddings = DPREmbeddings(words)
    query, (document,) = embeddings.embed_query("Hamlet"), embeddings.embed_documents(["Hamlet"])
    assert query == words.encode_questions(["Hamlet"])[0].tolist()
    assert document == words.encode_passages([Passage("1", "Hamlet")])[0].tolist()
    assert query != document
    assert {type(value) for value in query + document} == {float}
    assert embeddings.embed_documents([]) == []
    assert asyncio.run(embeddings.aembed_query("Hamlet")) == query
    assert asyncio.run(embeddings.aembed_documents(["Hamlet"])) == [document]


def test_documents_are_embedded_in_one_pass(words: Any) -> None:
    DPREmbeddings(words).embed_documents(["a", "b", "c"])
    assert words.calls == [["a", "b", "c"]]


def test_empty_texts_are_refused(words: Any) -> None:
    with pytest.raises(PassageError, match="passage '1': text is empty"):
        DPREmbeddings(words).embed_documents(["a", ""])


def test_foreign_embeddings_are_an_encoder(foreign: Any) -> None:
    encoder = EmbeddingsEncoder(foreign)
    assert isinstance(encoder, Encoder)
    assert encoder.dim == 12
    assert encoder.fingerprint.endswith("WordEmbeddings words (12 dimensions)")
    assert EmbeddingsEncoder(foreign, "mine").fingerprint == "mine"
    questions = encoder.encode_questions(["a", "b c"])
    assert np.array_equal(questions, np.float32([foreign.embed_query("a"), foreign.embed_query("b c")]))
    passages = encoder.encode_passages([Passage("1", "text", "a title that is not embedded")])
    assert np.array_equal(passages, np.float32(foreign.embed_documents(["text"])))
    assert encoder.encode_questions([]).shape == (0, 12)


def test_two_models_of_one_class_have_two_fingerprints() -> None:
    six, seven = (EmbeddingsEncoder(DeterministicFakeEmbedding(size=size)).fingerprint for size in (6, 7))
    assert six != seven


def test_a_wrapper_is_named_with_what_it_wraps(foreign: Any) -> None:
    class Cached(Embeddings):
        def __init__(self, inner: Embeddings) -> None:
            self.underlying = inner

        def embed_query(self, text: str) -> list[float]:
            return self.underlying.embed_query(text)

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return self.underlying.embed_documents(texts)

    before = EmbeddingsEncoder(Cached(foreign)).fingerprint
    assert "WordEmbeddings words" in before
    foreign.model_name = "other words"
    assert EmbeddingsEncoder(Cached(foreign)).fingerprint != before


def test_wrapping_and_unwrapping(words: Any, foreign: Any) -> None:
    assert encoder_of(DPREmbeddings(words), None) is words
    assert encoder_of(words, None) is words
    assert encoder_of(None, None) is None
    assert embeddings_of(encoder_of(foreign, None)) is foreign
    assert embeddings_of(words).encoder is words
    assert embeddings_of(None) is None


def test_without_langchain_core_the_error_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['langchain_core'] = None\n"
        "try:\n    import langchain_dpr_rag\n"
        "except ImportError as error:\n    sys.stdout.write(str(error))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install -c constraints.txt '.[langchain]'" in done.stdout


def test_a_model_by_name_runs_where_the_options_say(words: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def load(*models: Any, **options: Any) -> Any:
        asked.update(models=models, **options)
        return words

    monkeypatch.setattr(DualEncoder, "from_pretrained", load)
    options = {"device": "cpu", "dtype": "bfloat16", "runtime": "torch"}
    prompts = {"question_prompt_name": "fact", "passage_prompt_name": "plain"}
    made = DPREmbeddings.from_pretrained("q", "c", profile="e5", **options, **prompts)
    assert made.encoder is words
    assert asked == {"models": ("q", "c"), "profile": "e5", **options, **prompts}
    with pytest.raises(TypeError, match="precision"):
        DPREmbeddings.from_pretrained("q", precision="int8")
