"""``DPREmbedding``: two towers, title pairs, batches, a cache that knows roles, and a free event loop."""

from __future__ import annotations

import asyncio
import pickle
import threading
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.schema import MetadataMode, TextNode
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.embeddings.dpr_rag import DPREmbedding

from dpr_rag import DualEncoder, Passage

QUESTION = "who avenges his father"


def of_passage(towers: Any, text: str, title: str = "") -> list[float]:
    return towers.encode_passages([Passage(id="x", text=text, title=title)])[0].tolist()


def of_question(towers: Any, question: str) -> list[float]:
    return towers.encode_questions([question])[0].tolist()


def test_each_role_has_its_tower(towers: Any, embedding: DPREmbedding) -> None:
    assert embedding.get_query_embedding(QUESTION) == of_question(towers, QUESTION)
    assert embedding.get_text_embedding(QUESTION) == of_passage(towers, QUESTION)
    assert embedding.get_text_embedding_batch([QUESTION, "b"]) == [
        of_passage(towers, QUESTION),
        of_passage(towers, "b"),
    ]
    assert embedding.get_agg_embedding_from_queries(["a", "b"]) == pytest.approx(
        np.mean([of_question(towers, "a"), of_question(towers, "b")], axis=0)
    )


async def test_async_gives_the_same_vectors(towers: Any, embedding: DPREmbedding, plays: list[TextNode]) -> None:
    assert await embedding.aget_query_embedding(QUESTION) == of_question(towers, QUESTION)
    assert await embedding.aget_text_embedding("a") == of_passage(towers, "a")
    assert await embedding.aget_text_embedding_batch(["a", "b"]) == [of_passage(towers, "a"), of_passage(towers, "b")]
    await embedding.acall(plays)
    assert plays[0].embedding == of_passage(towers, plays[0].text, "Hamlet")


def test_vectors_are_plain_floats(embedding: DPREmbedding) -> None:
    vectors = [embedding.get_query_embedding("a"), *embedding.get_text_embedding_batch(["a", "b"])]
    assert {type(value) for vector in vectors for value in vector} == {float}


def test_texts_go_to_the_encoder_in_batches(towers: Any) -> None:
    DPREmbedding(towers, embed_batch_size=2).get_text_embedding_batch(list("abcde"))
    assert towers.calls == [("passages", 2), ("passages", 2), ("passages", 1)]


def test_metadata_are_embedded_only_when_asked_for(towers: Any) -> None:
    node = TextNode(
        text="b c", metadata={"title": "T", "lang": "en", "file": "x"}, excluded_embed_metadata_keys=["file"]
    )
    DPREmbedding(towers)([node])
    assert node.embedding == of_passage(towers, "b c", "T")
    DPREmbedding(towers, embed_metadata=True)([node])
    assert node.embedding == of_passage(towers, "lang: en\n\nb c", "T")
    assert node.get_content(MetadataMode.EMBED) == "title: T\nlang: en\n\nb c"


def test_title_that_is_no_string_is_none(towers: Any) -> None:
    node = TextNode(text="b c", metadata={"title": 7})
    DPREmbedding(towers)([node])
    assert node.embedding == of_passage(towers, "b c")


def test_empty_text_is_embedded_as_a_blank(towers: Any, embedding: DPREmbedding) -> None:
    assert embedding.get_text_embedding("") == of_passage(towers, " ")


@pytest.mark.parametrize(("text", "encoded"), [("a \ud83d\ude00", "a 😀"), ("a \ud800", "a \ufffd")])
def test_surrogates_are_encoded_as_a_store_mends_them(
    towers: Any, embedding: DPREmbedding, text: str, encoded: str
) -> None:
    (node,) = embedding([TextNode(id_="bad", text=text)])
    assert node.embedding == embedding.get_text_embedding(text) == of_passage(towers, encoded)


def test_cache_spares_the_encoder(towers: Any) -> None:
    cache = SimpleKVStore()
    embedding = DPREmbedding(towers, embeddings_cache=cache)
    first = [embedding.get_query_embedding("a"), *embedding.get_text_embedding_batch(["a", "b", "a"])]
    assert towers.calls == [("questions", 1), ("passages", 2)]
    again = DPREmbedding(towers, embeddings_cache=SimpleKVStore(deepcopy(cache.to_dict())))
    assert [again.get_query_embedding("a"), *again.get_text_embedding_batch(["a", "b", "a"])] == first
    assert again.get_text_embedding("c") == embedding.get_text_embedding("c")
    assert towers.calls == [("questions", 1), ("passages", 2), ("passages", 1), ("passages", 1)]


def test_cache_can_be_given_later_and_taken_away(towers: Any) -> None:
    cache = SimpleKVStore()
    embedding = DPREmbedding(towers)
    embedding.embeddings_cache = cache
    for _ in range(2):
        embedding.get_query_embedding("a")
        embedding.get_text_embedding("a")
    assert towers.calls == [("questions", 1), ("passages", 1)]
    embedding.embeddings_cache = None
    embedding.get_query_embedding("a")
    assert towers.calls[2:] == [("questions", 1)]


def test_cache_of_another_encoder_is_not_believed(make_towers: Any) -> None:
    cache = SimpleKVStore()
    for salt in ("one", "two"):
        towers = make_towers(salt)
        embedding = DPREmbedding(towers, embeddings_cache=cache)
        assert embedding.get_text_embedding("a") == of_passage(towers, "a")


def test_cache_must_be_one(towers: Any) -> None:
    with pytest.raises(TypeError, match="embeddings_cache must be of type BaseKVStore"):
        DPREmbedding(towers, embeddings_cache={})  # type: ignore[arg-type]


def test_pipeline_cache_tells_encoders_apart(make_towers: Any) -> None:
    cache = IngestionCache()
    for salt in ("one", "two"):
        towers = make_towers(salt)
        pipeline = IngestionPipeline(transformations=[DPREmbedding(towers)], cache=cache)
        (node,) = pipeline.run(nodes=[TextNode(id_="n", text="a")])
        assert node.embedding == of_passage(towers, "a")


def test_events_are_announced(towers: Any, plays: list[TextNode]) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    DPREmbedding(towers, callback_manager=CallbackManager([debug]))(plays)
    (_, end) = debug.get_event_pairs(CBEventType.EMBEDDING)[0]
    assert end.payload["chunks"] == [node.text for node in plays]
    assert end.payload["embeddings"] == [node.embedding for node in plays]


def test_settings_are_told(towers: Any) -> None:
    embedding = DPREmbedding(towers, embed_metadata=True)
    assert embedding.encoder is towers
    assert embedding.to_payload() == {"class_name": "DPREmbedding", "model_name": "two towers", "embed_batch_size": 256}
    told = embedding.to_dict()
    assert (told["fingerprint"], told["embed_metadata"]) == ("towers-", True)


def test_wrong_arguments_are_refused(towers: Any) -> None:
    with pytest.raises(TypeError, match=r"encoder is str .* expected a dpr_rag.Encoder; load models with DPREmbedding"):
        DPREmbedding("bert-base-uncased")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="normalize"):
        DPREmbedding(towers, normalize=True)  # type: ignore[call-arg]


def test_encoder_that_cannot_go_to_another_process_is_refused(towers: Any) -> None:
    towers.lock = threading.Lock()
    with pytest.raises(TypeError, match=r"the encoder 'two towers' cannot be pickled .* without num_workers"):
        pickle.dumps(DPREmbedding(towers))


def test_from_pretrained_and_the_default(monkeypatch: pytest.MonkeyPatch, towers: Any) -> None:
    asked: dict[str, Any] = {}

    def load(*models: str, **options: str) -> Any:
        asked.update(models=models, **options)
        return towers

    monkeypatch.setattr(DualEncoder, "from_pretrained", load)
    monkeypatch.setattr(DualEncoder, "default", lambda: towers)
    prompts: dict[str, Any] = {"question_prompt_name": None, "passage_prompt_name": "p"}
    given: dict[str, Any] = {"profile": "dpr", "device": "cpu", "runtime": "torch"}
    made = DPREmbedding.from_pretrained("q", "c", embed_batch_size=7, **given, **prompts)
    assert made.encoder is towers
    assert made.embed_batch_size == 7
    assert asked == {"models": ("q", "c"), "dtype": None, **given, **prompts}
    assert DPREmbedding().encoder is towers


async def test_many_at_once(towers: Any) -> None:
    embedding = DPREmbedding(towers, num_workers=4, embed_batch_size=3)
    texts = [f"word{at} other{at}" for at in range(20)]
    batches = await asyncio.gather(*(embedding.aget_text_embedding_batch(texts) for _ in range(4)))
    assert batches == [[of_passage(towers, text) for text in texts]] * 4
