"""LlamaIndex's other embeddings as encoders of a store, and what they are called there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import ValidationError
from llama_index.core.embeddings.mock_embed_model import MockEmbedding
from llama_index.embeddings.dpr_rag.base import DPREmbedding
from llama_index.embeddings.dpr_rag.texts import TitledText

from dpr_rag import Encoder, Passage
from dpr_rag.encoder import check_encoded, is_encoder
from dpr_rag.errors import ArgumentError, EncoderMismatchError, VectorError

Vectors = npt.NDArray[np.float32]
_UNNAMED = "unknown"  # LlamaIndex's default for model_name
_LOOKED_AT = 64  # of a container: it may be a cache of a million vectors


class EmbeddingEncoder:
    """Any LlamaIndex embedding as an encoder for a store: its class and its model's name are the fingerprint.

    Passages are embedded as texts; their titles reach a ``DPREmbedding`` behind wrappers that hand texts on as they are.

    Args:
        embedding: What embeds. It is asked for one vector, to learn the dimension.
        fingerprint: What identifies it; None takes its class, its model's name and the dimension.

    Raises:
        EncoderMismatchError: Nothing names the model.
    """

    def __init__(self, embedding: BaseEmbedding, fingerprint: str | None = None) -> None:
        self.embedding = embedding
        self.source = name_of(embedding) or _class_name(embedding)
        self._dim: int | None = None
        self.fingerprint = fingerprint or self._named()

    @property
    def dim(self) -> int:
        """Components per vector; asked of the embedding once, without a lock, so that a slow one keeps no other waiting."""
        if self._dim is None:
            with self._refusing("get_query_embedding"):
                vector = self.embedding.get_query_embedding("dimension")
            self._dim = check_encoded(self.embedding, "get_query_embedding", [vector], rows=1).shape[1]
        return self._dim

    def encode_questions(self, questions: Sequence[str]) -> Vectors:
        """Embed questions one by one, since LlamaIndex knows no other way; float32 [n, dim]."""
        with self._refusing("get_query_embedding"):
            vectors = [self.embedding.get_query_embedding(question) for question in questions]
        return self._array("get_query_embedding", vectors, len(questions))

    def encode_passages(self, passages: Sequence[Passage]) -> Vectors:
        """Embed passages; float32 [n, dim]."""
        texts = [TitledText.from_passage(passage) for passage in passages]
        with self._refusing("get_text_embedding_batch"):
            vectors = self.embedding.get_text_embedding_batch(texts)
        return self._array("get_text_embedding_batch", vectors, len(passages))

    async def aencode_questions(self, questions: Sequence[str]) -> Vectors:
        """Like :meth:`encode_questions`, by the embedding's own asynchronous method."""
        with self._refusing("aget_query_embedding"):
            vectors = [await self.embedding.aget_query_embedding(question) for question in questions]
        return self._array("aget_query_embedding", vectors, len(questions))

    async def aencode_passages(self, passages: Sequence[Passage]) -> Vectors:
        """Like :meth:`encode_passages`, by the embedding's own asynchronous method."""
        texts = [TitledText.from_passage(passage) for passage in passages]
        with self._refusing("aget_text_embedding_batch"):
            vectors = await self.embedding.aget_text_embedding_batch(texts)
        return self._array("aget_text_embedding_batch", vectors, len(passages))

    @contextmanager
    def _refusing(self, method: str) -> Iterator[None]:
        """LlamaIndex puts what an embedding returned into an event, which takes lists of numbers alone, and says so."""
        try:
            yield
        except ValidationError as error:
            raise VectorError(
                f"{type(self.embedding).__name__}.{method}() returned what LlamaIndex refuses, expected numbers for each "
                f"text: {error!s:.300}"
            ) from error

    def _array(self, method: str, vectors: object, rows: int) -> Vectors:
        """Lists or arrays, as a model's own ``encode`` returns them."""
        if not rows:
            return np.empty((0, self.dim), np.float32)
        return check_encoded(self.embedding, method, vectors, rows=rows, dim=self._dim)

    def _named(self) -> str:
        name = name_of(self.embedding)
        if name is None:
            raise EncoderMismatchError(
                f"nothing in {_class_name(self.embedding)} names its model, and with another one of {self.dim} dimensions "
                "its vectors would be mixed; pass fingerprint=, a name of your own such as 'my model, version 2'"
            )
        return f"{name} ({self.dim} dimensions)"


def name_of(embedding: BaseEmbedding, above: tuple[BaseEmbedding, ...] = ()) -> str | None:
    """The class and the model's name, of a wrapper also what it wraps; None where nothing names the model.

    What this returned for a model once it has to return for ever: stores remember it.

    Args:
        embedding: What is to be named.
        above: The wrappers around it, which end a circle.
    """
    if isinstance(embedding, DPREmbedding):
        return f"{_class_name(embedding)} {embedding.fingerprint}"
    own_name = None if embedding.model_name in ("", _UNNAMED) else embedding.model_name
    above = (*above, embedding)
    parts = [_name_within(inner, above) for inner in _within(embedding)]
    names = [part for part in parts if part is not None]
    if own_name is None and not isinstance(embedding, MockEmbedding) and (not parts or len(names) < len(parts)):
        return None
    return " ".join([_class_name(embedding), *([own_name] if own_name else []), *(f"({part})" for part in names)])


def _name_within(inner: BaseEmbedding | Encoder, above: tuple[BaseEmbedding, ...]) -> str | None:
    if not isinstance(inner, BaseEmbedding):
        return inner.fingerprint
    return None if any(inner is outer for outer in above) else name_of(inner, above)


def _within(embedding: BaseEmbedding) -> Iterator[BaseEmbedding | Encoder]:
    """Embeddings and encoders that an embedding holds: in fields, private ones too, and in lists and dicts among them."""
    private = getattr(embedding, "__pydantic_private__", None) or {}
    for value in (*vars(embedding).values(), *private.values()):
        items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
        for item in (value, *islice(items, _LOOKED_AT)):
            if isinstance(item, BaseEmbedding) or is_encoder(item):
                yield item


def _class_name(embedding: BaseEmbedding) -> str:
    kind = type(embedding)
    return f"{kind.__module__}.{kind.__qualname__}"


def encoder_of(embedding: Any, fingerprint: str | None = None) -> Encoder | None:
    """The encoder behind what a user passes as ``encoder``.

    Raises:
        TypeError: It is neither an embedding nor an encoder.
        ValueError: A fingerprint goes with something that has its own.
        EncoderMismatchError: Nothing names the embedding's model.
    """
    if isinstance(embedding, BaseEmbedding) and not isinstance(embedding, DPREmbedding):
        return EmbeddingEncoder(embedding, fingerprint)
    if fingerprint is not None:
        raise ArgumentError(
            "fingerprint was given, which is for other embeddings than DPREmbedding; an encoder has its own"
        )
    bound = embedding.encoder if isinstance(embedding, DPREmbedding) else embedding
    if bound is not None and not is_encoder(bound):
        raise ArgumentError(
            f"encoder is {type(bound).__name__} {bound!r:.60}, expected a dpr_rag.Encoder or a DPREmbedding, or another "
            "embedding of LlamaIndex; leave it out where the nodes bring their vectors"
        )
    return bound
