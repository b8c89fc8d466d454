"""Dual encoders as LangChain embeddings."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Self

import numpy as np
from langchain_core.embeddings import Embeddings

from dpr_rag import DualEncoder, Encoder, Passage, load_encoder
from dpr_rag.encoder import Vectors, is_encoder
from dpr_rag.errors import ArgumentError
from langchain_dpr_rag.argument_names import refuse_unknown
from langchain_dpr_rag.checks import text_given, texts_given

_PRETRAINED = "DPREmbeddings.from_pretrained(name or folder)"
_OTHER_WORDS = {
    **dict.fromkeys(("model", "model_name", "model_id", "model_path", "question_model", "context_model"), _PRETRAINED),
    **dict.fromkeys(("repo_id", "model_kwargs", "encode_kwargs", "device", "dtype", "runtime", "profile"), _PRETRAINED),
    **dict.fromkeys(("embedding", "embeddings", "embed_model"), "encoder="),
}


class TitledText(str):
    """Title and text as one string, which passes through wrappers and their caches, and can be split again behind them.

    A wrapper that makes a new string of it hands on a plain text that begins with the title.
    """

    parts: tuple[str, str]

    def __new__(cls, title: str, text: str) -> Self:
        """Join them by U+2029, which texts hardly hold, so that a cache keeps a titled text apart from a plain one."""
        joined = super().__new__(cls, f"{title}\u2029{text}")
        joined.parts = title, text
        return joined

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return self.parts


class DPREmbeddings(Embeddings):
    """Embeddings by a dual encoder: queries by the question encoder, documents by the context encoder.

    Setup:
        In a checkout of the repository: ``pip install -c constraints.txt '.[langchain]'``

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
    where titles matter, as for DPR, give the encoder or these embeddings to a :class:`DPRVectorStore`, which passes them
    on, through wrappers such as caches too.
    """

    def __init__(self, encoder: Encoder | None = None, **unknown: Any) -> None:
        refuse_unknown(unknown, "encoder", _OTHER_WORDS)
        self.encoder = DualEncoder.default() if encoder is None else encoder

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._encoder!r})"

    @property
    def encoder(self) -> Encoder:
        """The encoder; setting another one takes effect at the next call."""
        return self._encoder

    @encoder.setter
    def encoder(self, encoder: Encoder) -> None:
        if not is_encoder(encoder):
            raise ArgumentError(
                f"encoder is {type(encoder).__name__}, expected a dpr_rag encoder; load a model by its name with from_pretrained"
            )
        self._encoder = encoder

    @classmethod
    def from_pretrained(cls, question: str | Path, context: str | Path | None = None, **options: Any) -> Self:
        """Load a model from folders or hub names, by sentence-transformers where dpr-rag does not run it.

        Args:
            question: The question encoder, or the only model.
            context: The context encoder, where it is a model of its own.
            **options: Those of ``dpr_rag.load_encoder``: ``profile``; ``question_prompt_name`` and ``passage_prompt_name``;
                ``device``, ``dtype`` (the precision) and ``runtime``.

        Raises:
            ModelError: Nothing runs it, or an option is unknown to it.
            MissingExtraError: What would run it is not installed.
        """
        return cls(load_encoder(question, context, **options))

    def embed_query(self, text: str) -> list[float]:
        """The question encoder's vector of one text."""
        return self._listed(self.encoder.encode_questions([text_given(text)]))[0]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """The context encoder's vectors of texts without titles.

        Raises:
            PassageError: A text is empty.
        """
        passages = [_passage_of(at, text) for at, text in enumerate(texts_given(texts))]
        return self._listed(self.encoder.encode_passages(passages)) if passages else []

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


def _passage_of(at: int, text: str) -> Passage:
    title, plain = text.parts if isinstance(text, TitledText) else ("", text)
    # a store says what becomes of bad text; a vector says nothing of it
    return Passage.made(str(at), plain, title, on_bad_text="replace") or Passage(str(at), plain, title)
