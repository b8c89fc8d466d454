"""Dual encoders as LangChain embeddings, and LangChain embeddings as encoders."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from langchain_core.embeddings import Embeddings

from dpr_rag import DualEncoder, Encoder, Passage
from dpr_rag.encoder import Vectors

_NAMES = ("model", "model_name", "model_id", "model_path", "deployment", "azure_deployment", "endpoint_name", "repo_id")


class DPREmbeddings(Embeddings):
    """Embeddings by a dual encoder: queries by the question encoder, documents by the context encoder.

    Setup:
        ``pip install 'dpr-rag[langchain]'``

    Key arguments:
        encoder: A ``DualEncoder``, or anything with its methods; None loads the default one.

    Instantiate:
        .. code-block:: python

            from langchain_dpr_rag import DPREmbeddings

            embeddings = DPREmbeddings()
            embeddings = DPREmbeddings.from_pretrained(
                "facebook/dpr-question_encoder-single-nq-base", "facebook/dpr-ctx_encoder-single-nq-base"
            )

    Embed:
        .. code-block:: python

            embeddings.embed_query("who wrote Hamlet?")
            embeddings.embed_documents(["Hamlet is a tragedy by William Shakespeare."])

    Async:
        .. code-block:: python

            await embeddings.aembed_query("who wrote Hamlet?")

    Compare vectors by their inner product: those of DPR and its like are not of unit length. Texts have no titles here;
    where titles matter, as for DPR, give the encoder to a :class:`DPRVectorStore`, which passes them on.
    """

    def __init__(self, encoder: Encoder | None = None) -> None:
        if encoder is not None and not isinstance(encoder, Encoder):
            raise TypeError(
                f"encoder is {type(encoder).__name__}, expected a dpr_rag encoder; load a model by its name with from_pretrained"
            )
        self.encoder: Encoder = DualEncoder.default() if encoder is None else encoder

    @classmethod
    def from_pretrained(cls, question: str | Path, context: str | Path | None = None, **options: Any) -> Self:
        """Load a model; the arguments are those of ``DualEncoder.from_pretrained``."""
        return cls(DualEncoder.from_pretrained(question, context, **options))

    def embed_query(self, text: str) -> list[float]:
        """The question encoder's vector of one text."""
        return self._listed(self.encoder.encode_questions([text]))[0]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """The context encoder's vectors of texts without titles.

        Raises:
            PassageError: A text is empty.
        """
        if not texts:
            return []
        return self._listed(self.encoder.encode_passages([Passage(str(at), text) for at, text in enumerate(texts)]))

    async def aembed_query(self, text: str) -> list[float]:
        """Like :meth:`embed_query`, in a thread."""
        return await asyncio.to_thread(self.embed_query, text)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Like :meth:`embed_documents`, in a thread."""
        return await asyncio.to_thread(self.embed_documents, texts)

    @staticmethod
    def _listed(vectors: Vectors) -> list[list[float]]:
        rows: list[list[float]] = np.asarray(vectors, dtype=np.float64).tolist()
        return rows


class EmbeddingsEncoder:
    """Any LangChain embeddings as an encoder for a store; titles are not embedded.

    Args:
        embeddings: What embeds. It is asked for one vector at once, to learn the dimension.
        fingerprint: What identifies it; None takes its class, its model's name and the dimension.
    """

    def __init__(self, embeddings: Embeddings, fingerprint: str | None = None) -> None:
        self.embeddings = embeddings
        self._given = fingerprint

    @cached_property
    def dim(self) -> int:
        """Components per vector."""
        return len(self.embeddings.embed_query("dimension"))

    @property
    def source(self) -> str:
        """The class, and the model's name where there is one; of wrappers also what they wrap."""
        return _described(self.embeddings)

    @property
    def fingerprint(self) -> str:
        """The caller's string, or class, model's name and dimension."""
        return self._given or f"{self.source} ({self.dim} dimensions)"

    def encode_questions(self, questions: Sequence[str]) -> Vectors:
        """Embed questions one by one, since LangChain knows no other way; float32 [n, dim]."""
        return self._array([self.embeddings.embed_query(question) for question in questions])

    def encode_passages(self, passages: Sequence[Passage]) -> Vectors:
        """Embed the texts of passages, float32 [n, dim]."""
        return self._array(self.embeddings.embed_documents([passage.text for passage in passages]))

    def _array(self, vectors: list[list[float]]) -> Vectors:
        return np.array(vectors, dtype=np.float32).reshape(len(vectors), -1 if vectors else self.dim)


def _described(embeddings: Embeddings) -> str:
    kind = type(embeddings)
    names = [getattr(embeddings, name, None) for name in _NAMES]
    wrapped = [value for value in vars(embeddings).values() if isinstance(value, Embeddings)]
    parts = [name for name in names if isinstance(name, str) and name][:1] + [f"({_described(one)})" for one in wrapped]
    return " ".join([f"{kind.__module__}.{kind.__qualname__}", *parts])


def encoder_of(given: Embeddings | Encoder | None, fingerprint: str | None) -> Encoder | None:
    """The encoder behind what a user passes as ``embedding``.

    Raises:
        TypeError: It is neither LangChain embeddings nor an encoder.
        ValueError: A fingerprint goes with something that has its own.
    """
    if isinstance(given, Embeddings) and not isinstance(given, DPREmbeddings):
        return EmbeddingsEncoder(given, fingerprint)
    if fingerprint is not None:
        raise ValueError("fingerprint was given, which is for foreign embeddings; an encoder has its own")
    if given is None or isinstance(given, DPREmbeddings):
        return None if given is None else given.encoder
    if isinstance(given, Encoder) and not isinstance(given, type):
        return given
    what = f"the class {given.__name__}, not an instance" if isinstance(given, type) else type(given).__name__
    raise TypeError(f"embedding is {what}, expected LangChain Embeddings or a dpr_rag encoder such as DualEncoder")


def embeddings_of(encoder: Encoder | None) -> Embeddings | None:
    """The reverse: what LangChain calls the embeddings of a store with this encoder."""
    if encoder is None:
        return None
    return encoder.embeddings if isinstance(encoder, EmbeddingsEncoder) else DPREmbeddings(encoder)
