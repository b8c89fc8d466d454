"""LangChain embeddings of any kind as encoders of a store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np
from langchain_core.embeddings import Embeddings

from dpr_rag import Encoder, Passage
from dpr_rag.encoder import Vectors, check_encoded, is_encoder
from dpr_rag.errors import ArgumentError, EncoderMismatchError
from langchain_dpr_rag.embeddings import DPREmbeddings, TitledText
from langchain_dpr_rag.naming import all_within, class_name, name_of, seen_through, wrapped

_AT_ONCE = 16
_log = logging.getLogger(__name__)


class EmbeddingsEncoder:
    """Any LangChain embeddings as an encoder for a store.

    LangChain's cache around :class:`DPREmbeddings` is the encoder that it caches: titles go through it, and a store opens
    with and without it. Other embeddings embed texts without titles.

    Args:
        embeddings: What embeds. It is asked for one vector, to learn the dimension.
        fingerprint: What identifies it; None takes its class, its model's name and the dimension.

    Raises:
        ValueError: A cache would hand out vectors of passages for questions.
    """

    def __init__(self, embeddings: Embeddings, fingerprint: str | None = None) -> None:
        self.embeddings = embeddings
        self._given = fingerprint
        self._told = False
        self._dim: int | None = None
        if any(isinstance(inner, DPREmbeddings) for inner in all_within(embeddings)):
            for inner in all_within(embeddings):
                _refuse_shared_cache(inner)

    @property
    def dim(self) -> int:
        """Components per vector; asked of the embeddings once, without a lock, so that slow ones keep no others waiting."""
        if self._dim is None:
            core = seen_through(self.embeddings)
            if isinstance(core, DPREmbeddings):
                self._dim = core.encoder.dim
            else:
                self._dim = check_encoded(core, "embed_query", [core.embed_query("dimension")], rows=1).shape[1]
        return self._dim

    @property
    def source(self) -> str:
        """The class, and the model's name where there is one; of wrappers also what they wrap."""
        core = seen_through(self.embeddings)
        if isinstance(core, DPREmbeddings):
            return str(getattr(core.encoder, "source", ""))
        return name_of(core) or class_name(core)

    @property
    def fingerprint(self) -> str:
        """The caller's string, the fingerprint of a cached encoder, or class, model's name and dimension.

        Raises:
            EncoderMismatchError: Nothing names the model.
        """
        if self._given:
            return self._given
        core = seen_through(self.embeddings)
        if isinstance(core, DPREmbeddings):
            return core.encoder.fingerprint
        name = name_of(core)
        if name is None:
            former = f"{class_name(core)} ({self.dim} dimensions)"
            raise EncoderMismatchError(
                f"no attribute of {class_name(core)} names its model, and with another one of {self.dim} dimensions its "
                "vectors would be mixed; pass fingerprint=, a name of your own such as 'my model, version 2' (a store that "
                f"an earlier dpr-rag filled has fingerprint={former!r})"
            )
        return f"{name} ({self.dim} dimensions)"

    @property
    def former(self) -> EmbeddingsEncoder | None:
        """The same under the name that a cache gave it before it was seen through; None where there is no other one."""
        core = seen_through(self.embeddings)
        name = (
            None
            if self._given or core is self.embeddings or isinstance(core, DPREmbeddings)
            else name_of(self.embeddings)
        )
        return None if name is None else EmbeddingsEncoder(self.embeddings, f"{name} ({self.dim} dimensions)")

    @property
    def is_named(self) -> bool:
        """Whether another process can tell it from another model."""
        core = seen_through(self.embeddings)
        return bool(self._given) or isinstance(core, DPREmbeddings) or name_of(core) is not None

    def encode_questions(self, questions: Sequence[str]) -> Vectors:
        """Embed questions one by one, since LangChain knows no other way; float32 [n, dim]."""
        vectors = [self.embeddings.embed_query(question) for question in questions]
        return self._array("embed_query", vectors, len(questions))

    def encode_passages(self, passages: Sequence[Passage]) -> Vectors:
        """Embed passages, float32 [n, dim]: texts, with their titles where an encoder stands behind wrappers."""
        return self._array("embed_documents", self.embeddings.embed_documents(self._texts(passages)), len(passages))

    def _texts(self, passages: Sequence[Passage]) -> list[str]:
        if self._takes_titles:
            return [_text_of(passage) for passage in passages]
        if any(passage.title for passage in passages):
            self._tell_of_titles()
        return [passage.text for passage in passages]

    async def aencode_questions(self, questions: Sequence[str]) -> Vectors:
        """Like :meth:`encode_questions`, by the embeddings' own asynchronous method, a few at a time."""
        vectors: list[list[float]] = []
        for start in range(0, len(questions), _AT_ONCE):
            part = questions[start : start + _AT_ONCE]
            vectors += await asyncio.gather(*(self._awaited("embed_query", question) for question in part))
        return self._array("aembed_query", vectors, len(questions))

    async def aencode_passages(self, passages: Sequence[Passage]) -> Vectors:
        """Like :meth:`encode_passages`, by the embeddings' own asynchronous method."""
        vectors = await self._awaited("embed_documents", self._texts(passages))
        return self._array("aembed_documents", vectors, len(passages))

    async def _awaited(self, method: str, texts: str | list[str]) -> Any:
        """The asynchronous method, or the other one in a thread where a class of the caller's own has none."""
        waiting = getattr(self.embeddings, f"a{method}", None)
        if waiting is None:
            return await asyncio.to_thread(getattr(self.embeddings, method), texts)
        return await waiting(texts)

    @property
    def _takes_titles(self) -> bool:
        within = list(all_within(self.embeddings))
        return isinstance(within[-1], DPREmbeddings) and all(len(wrapped(wrapper)) <= 1 for wrapper in within)

    def _tell_of_titles(self) -> None:
        if not self._told and any(isinstance(inner, DPREmbeddings) for inner in all_within(self.embeddings)):
            self._told = True
            _log.warning(
                "titles do not go through %s; its vectors are those of the texts alone", class_name(self.embeddings)
            )

    def _array(self, method: str, vectors: object, rows: int) -> Vectors:
        """Lists or arrays, as a model's own ``encode`` returns them."""
        if not rows:
            return np.empty((0, self.dim), np.float32)
        return check_encoded(self.embeddings, method, vectors, rows=rows, dim=self._dim)


def _text_of(passage: Passage) -> str:
    return TitledText(passage.title, passage.text) if passage.title else passage.text


def _refuse_shared_cache(embeddings: Embeddings) -> None:
    """A cache knows texts alone: the same words as a question and as a passage would have one vector for both towers."""
    questions, passages = (getattr(embeddings, f"{side}_embedding_store", None) for side in ("query", "document"))
    same = [
        getattr(questions, name, questions) is getattr(passages, name, passages) for name in ("store", "key_encoder")
    ]
    if questions is not None and all(same):
        raise ArgumentError(
            f"{class_name(embeddings)} keeps vectors of questions and of passages in one cache, where a question gets the vector "
            "of a passage with the same words; give query_embedding_cache= a store of its own"
        )


def encoder_of(embedding: Embeddings | Encoder | None, fingerprint: str | None) -> Encoder | None:
    """The encoder behind what a user passes as ``embedding``.

    Raises:
        TypeError: It is neither LangChain embeddings nor an encoder.
        ValueError: A fingerprint goes with something that has its own.
    """
    if _is_foreign(embedding):
        return EmbeddingsEncoder(embedding, fingerprint)
    if not (embedding is None or isinstance(embedding, DPREmbeddings) or is_encoder(embedding)):
        name = (
            f"the class {embedding.__name__}, not an instance"
            if isinstance(embedding, type)
            else type(embedding).__name__
        )
        raise ArgumentError(
            f"embedding is {name}, expected LangChain Embeddings or a dpr_rag encoder such as DualEncoder"
        )
    if fingerprint is not None:
        raise ArgumentError("fingerprint was given, which is for foreign embeddings; an encoder has its own")
    return embedding.encoder if isinstance(embedding, DPREmbeddings) else embedding


def _is_foreign(value: object) -> TypeGuard[Embeddings]:
    """LangChain's embeddings, or what embeds like them without their base class, as its other stores take it."""
    if isinstance(value, Embeddings):
        return not isinstance(value, DPREmbeddings)
    methods = [getattr(value, name, None) for name in ("embed_documents", "embed_query")]
    return not isinstance(value, type) and not is_encoder(value) and all(map(callable, methods))


def embeddings_of(encoder: Encoder | None) -> Embeddings | None:
    """The LangChain embeddings of an encoder, the inverse of :func:`encoder_of`."""
    if encoder is None:
        return None
    return encoder.embeddings if isinstance(encoder, EmbeddingsEncoder) else DPREmbeddings(encoder)
