"""What embeddings are called: a store tells models apart through wrappers, and takes none that nothing names.

``CacheBackedEmbeddings`` is rebuilt here as far as it matters, since its package (langchain-classic) is not among the tests'
needs.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.stores import InMemoryStore
from pydantic import BaseModel, PrivateAttr

from dpr_rag import DualEncoder, Passage, PassageStore
from dpr_rag.errors import EncoderMismatchError
from langchain_dpr_rag import DPREmbeddings, DPRRetriever, DPRVectorStore
from langchain_dpr_rag.embeddings import TitledText
from langchain_dpr_rag.foreign import EmbeddingsEncoder, encoder_of

TITLED = [
    Document(id="1", page_content="a tragedy", metadata={"title": "Hamlet"}),
    Document(id="2", page_content="a tragedy", metadata={"title": "Faust"}),
    Document(id="3", page_content="a tragedy"),
]


class CacheBackedEmbeddings(Embeddings):
    """A cache of vectors by text, with the attributes and the rules of LangChain's."""

    def __init__(self, underlying: Embeddings, queries: InMemoryStore | None = None) -> None:
        self.underlying_embeddings = underlying
        self.document_embedding_store = InMemoryStore()
        self.query_embedding_store = queries

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        missing = [
            text for text, known in zip(texts, self.document_embedding_store.mget(texts), strict=True) if not known
        ]
        vectors = self.underlying_embeddings.embed_documents(missing)
        self.document_embedding_store.mset(list(zip(missing, vectors, strict=True)))
        return list(self.document_embedding_store.mget(texts))

    def embed_query(self, text: str) -> list[float]:
        return self.underlying_embeddings.embed_query(text)


class Wrapper(Embeddings):
    """One of a user's own, around anything, under any attribute."""

    def __init__(self, **held: Any) -> None:
        vars(self).update(held)

    def _inner(self) -> Embeddings:
        held = next(iter(vars(self).values()))
        return next(iter(held.values() if isinstance(held, dict) else held)) if isinstance(held, dict | list) else held

    def embed_query(self, text: str) -> list[float]:
        return self._inner().embed_query(text)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._inner().embed_documents(texts)


class Shouting(Wrapper):
    """Makes new strings of the texts."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._inner().embed_documents([text.upper() for text in texts])


class Private(BaseModel, Embeddings):
    """Keeps what it wraps where pydantic keeps private things."""

    _inner: Any = PrivateAttr(default=None)

    def embed_query(self, text: str) -> list[float]:
        return self._inner.embed_query(text)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._inner.embed_documents(texts)


@dataclass(slots=True)
class Slotted(Embeddings):
    """Keeps what it wraps in a slot."""

    inner: Any

    def embed_query(self, text: str) -> list[float]:
        return self.inner.embed_query(text)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.inner.embed_documents(texts)


def private(inner: Embeddings) -> Private:
    made = Private()
    made._inner = inner
    return made


WRAPPERS = [
    CacheBackedEmbeddings,
    lambda inner: CacheBackedEmbeddings(CacheBackedEmbeddings(inner)),
    lambda inner: Wrapper(client=inner),
    lambda inner: Wrapper(models=[inner]),
    lambda inner: Wrapper(models={"first": inner}),
    lambda inner: Wrapper(base_embeddings=CacheBackedEmbeddings(inner)),
    lambda inner: CacheBackedEmbeddings(Wrapper(embeddings=inner)),
    private,
    Slotted,
    lambda inner: Wrapper(models=[inner], model_name="a name that hides what is inside"),
]


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_another_model_behind_a_wrapper_is_refused(tmp_path: Path, words: Any, wrapper: Any) -> None:
    first, second = (wrapper(DPREmbeddings(type(words)(name))) for name in ("first", "second"))
    DPRVectorStore.from_documents(TITLED, first, path=tmp_path / "s").close()
    with pytest.raises(EncoderMismatchError, match=r"first.*second"):
        DPRVectorStore(second, path=tmp_path / "s")
    with pytest.raises(EncoderMismatchError, match=r"first.*second"):
        DPRRetriever.from_store(tmp_path / "s", second)
    with DPRRetriever.from_store(tmp_path / "s", first) as retriever:
        assert len(retriever.invoke("a tragedy")) == 3


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_titles_go_through_wrappers_as_titles(words: Any, wrapper: Any) -> None:
    with DPRVectorStore.from_documents(TITLED, wrapper(DPREmbeddings(words))) as store:
        vectors = store.store.get_vectors(["1", "2", "3"])
    passages = [Passage("1", "a tragedy", "Hamlet"), Passage("2", "a tragedy", "Faust"), Passage("3", "a tragedy")]
    assert np.array_equal([vectors[one.id] for one in passages], words.encode_passages(passages))


def test_a_cache_is_the_encoder_that_it_caches(tmp_path: Path, words: Any) -> None:
    cached = CacheBackedEmbeddings(DPREmbeddings(words))
    assert encoder_of(cached, None).fingerprint == words.fingerprint
    assert encoder_of(cached, None).source == "tests"
    DPRVectorStore.from_documents(TITLED, cached, path=tmp_path / "s").close()
    with DPRVectorStore(words, path=tmp_path / "s") as store:
        found = store.similarity_search_with_score("a tragedy")
        assert store.store.add(store.store.get(["1", "2", "3"])).unchanged == 3
    with DPRVectorStore(cached, path=tmp_path / "s") as store:
        assert store.similarity_search_with_score("a tragedy") == found
        assert asyncio.run(store.asimilarity_search_with_score("a tragedy")) == found
        assert store.embeddings is cached


def test_the_default_encoder_behind_a_cache_opens_its_own_stores(tmp_path: Path) -> None:
    DPRRetriever.from_documents(TITLED, path=tmp_path / "s").close()
    cached = CacheBackedEmbeddings(DPREmbeddings(DualEncoder.default()))
    with DPRVectorStore(cached, path=tmp_path / "s") as store:
        before = store.store.get_vectors(["1"])["1"]
        store.add_documents([Document(id="4", page_content="a tragedy", metadata={"title": "Hamlet"})])
        assert np.allclose(store.store.get_vectors(["4"])["4"], before, atol=1e-6)


def test_a_wrapper_that_makes_new_strings_still_gets_the_title(words: Any) -> None:
    DPRVectorStore.from_documents(TITLED[:1], Shouting(embeddings=DPREmbeddings(words))).close()
    assert words.calls[-1] == ["HAMLET\u2029A TRAGEDY"]


def test_titles_that_cannot_go_through_are_told_once(
    words: Any, foreign: Any, caplog: pytest.LogCaptureFixture
) -> None:
    both = Wrapper(first=DPREmbeddings(words), second=foreign)
    with caplog.at_level(logging.WARNING), DPRVectorStore.from_documents(TITLED, both) as store:
        store.add_documents(TITLED)
        store.add_texts(["more"], [{"title": "T"}])
    assert [record.getMessage().split(";")[0] for record in caplog.records] == [
        f"titles do not go through {__name__}.Wrapper"
    ]


def test_titles_and_texts_travel_as_one_string() -> None:
    text = TitledText("Hamlet", "a tragedy")
    assert text == "Hamlet\u2029a tragedy"
    for copied in (pickle.loads(pickle.dumps(text)), *[text]):
        assert copied.parts == ("Hamlet", "a tragedy")


def test_questions_and_passages_do_not_share_a_cache(words: Any, foreign: Any) -> None:
    def sharing(inner: Embeddings) -> CacheBackedEmbeddings:
        made = CacheBackedEmbeddings(inner)
        made.query_embedding_store = made.document_embedding_store
        return made

    for cache in (sharing(DPREmbeddings(words)), Wrapper(inner=sharing(DPREmbeddings(words)))):
        with pytest.raises(ValueError, match="query_embedding_cache= a store of its own"):
            DPRVectorStore(cache)
    DPRVectorStore(sharing(foreign)).close()
    DPRVectorStore(CacheBackedEmbeddings(DPREmbeddings(words), InMemoryStore())).close()


def test_a_cache_around_foreign_embeddings_has_their_name(foreign: Any) -> None:
    cached = encoder_of(CacheBackedEmbeddings(foreign), None)
    assert cached.fingerprint == encoder_of(foreign, None).fingerprint
    titled = cached.encode_passages([Passage("1", "a tragedy", "Hamlet")])
    assert np.array_equal(titled, np.float32(foreign.embed_documents(["a tragedy"])))


def test_a_store_opens_under_the_name_that_a_cache_gave_it_before(tmp_path: Path, foreign: Any) -> None:
    cached = CacheBackedEmbeddings(foreign)
    kind = type(foreign)
    former = f"{__name__}.CacheBackedEmbeddings ({kind.__module__}.{kind.__qualname__} words) (12 dimensions)"
    with PassageStore.open(tmp_path / "s", encoder=EmbeddingsEncoder(cached, former)) as store:
        store.add([Passage("1", "a tragedy")])
    for _ in range(2):
        with DPRVectorStore(cached, path=tmp_path / "s") as opened:
            assert opened.similarity_search("a tragedy", k=1)[0].id == "1"
            opened.add_texts(["a comedy"], ids=["2"])
    foreign.model_name = "other words"
    with pytest.raises(EncoderMismatchError, match="CacheBackedEmbeddings"):
        DPRVectorStore(cached, path=tmp_path / "s")


@pytest.mark.parametrize(
    ("held", "named"),
    [
        ({"model": "m"}, " m"),
        ({"model": ..., "model_name": "m"}, " m"),
        ({"model": "", "repo_id": "m"}, " m"),
        ({"model": Path("models/m"), "model_id": "m"}, " m"),
        ({"model_path": Path("models/m")}, " models/m"),
        ({"model_name_or_path": "m"}, " m"),
        ({"endpoint_url": "https://e"}, " https://e"),
        ({"model": "m", "endpoint_url": "https://e"}, " m"),
    ],
    ids=str,
)
def test_a_name_is_found_where_integrations_keep_it(held: dict[str, Any], named: str) -> None:
    made = Wrapper(**held)
    made.embed_query = lambda text: [1.0, 2.0]  # type: ignore[method-assign]
    assert EmbeddingsEncoder(made).fingerprint == f"{__name__}.Wrapper{named} (2 dimensions)"


class Nameless(Embeddings):
    def embed_query(self, text: str) -> list[float]:
        return [1.0, float(len(text))]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


class Configured(BaseModel, Nameless):
    batch_size: int = 16
    model: Any = None


@pytest.mark.parametrize(
    "embeddings",
    [
        Nameless(),
        Configured(batch_size=8),
        Configured(model=object()),
        CacheBackedEmbeddings(Nameless()),
        Wrapper(inner=Nameless()),
        Wrapper(first=Nameless(), second=DeterministicFakeEmbedding(size=2)),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_nothing_names_needs_a_name_where_others_may_open_the_store(tmp_path: Path, embeddings: Any) -> None:
    for opening in (
        lambda: DPRVectorStore(embeddings, path=tmp_path / "s"),
        lambda: DPRRetriever.from_texts(["a"], embeddings, path=tmp_path / "s"),
        lambda: DPRRetriever.from_documents([Document("a")], embeddings, path=tmp_path / "s"),
        lambda: PassageStore.open(tmp_path / "s", encoder=encoder_of(embeddings, None)),
    ):
        with pytest.raises(EncoderMismatchError, match=r"pass fingerprint=.* such as 'my model, version 2'"):
            opening()
    assert not (tmp_path / "s").exists()
    DPRRetriever.from_texts(["a"], embeddings, path=tmp_path / "s", fingerprint="mine").close()
    with DPRRetriever.from_store(tmp_path / "s", embeddings, fingerprint="mine") as retriever:
        assert len(retriever.invoke("a")) == 1
    with pytest.raises(EncoderMismatchError, match="'mine'"):
        DPRVectorStore(embeddings, path=tmp_path / "s", fingerprint="another")


def test_a_temporary_store_takes_embeddings_without_a_name() -> None:
    with DPRVectorStore.from_texts(["a", "bc"], Nameless()) as store:
        assert store.similarity_search("abc", k=1)[0].page_content == "bc"


def test_a_store_from_before_opens_with_the_name_that_the_error_tells(tmp_path: Path) -> None:
    former = f"{__name__}.Nameless (2 dimensions)"
    PassageStore.open(tmp_path / "s", encoder=EmbeddingsEncoder(Nameless(), former)).close()
    with pytest.raises(EncoderMismatchError) as told:
        DPRVectorStore(Nameless(), path=tmp_path / "s")
    assert f"fingerprint={former!r}" in str(told.value)
    DPRVectorStore(Nameless(), path=tmp_path / "s", fingerprint=former).close()


def test_the_same_model_under_another_name_can_be_declared(tmp_path: Path, foreign: Any) -> None:
    DPRVectorStore.from_texts(["a"], foreign, path=tmp_path / "s", fingerprint="mine").close()
    with pytest.raises(EncoderMismatchError, match=r"'mine'.*pass fingerprint="):
        DPRVectorStore(foreign, path=tmp_path / "s")


def test_fakes_are_named_by_class_and_dimension(tmp_path: Path) -> None:
    named = "langchain_core.embeddings.fake.DeterministicFakeEmbedding (6 dimensions)"
    assert EmbeddingsEncoder(DeterministicFakeEmbedding(size=6)).fingerprint == named
    DPRVectorStore(DeterministicFakeEmbedding(size=6), path=tmp_path / "s").close()


def test_a_circle_of_wrappers_has_an_end() -> None:
    first, second = Wrapper(), Wrapper()
    first.inner, second.inner = second, first  # type: ignore[attr-defined]
    first.embed_query = lambda text: [1.0]  # type: ignore[method-assign]
    with pytest.raises(EncoderMismatchError, match="pass fingerprint="):
        _ = EmbeddingsEncoder(first).fingerprint
