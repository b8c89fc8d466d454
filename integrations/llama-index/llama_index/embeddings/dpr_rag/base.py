"""``DPREmbedding``: a dual encoder in the two roles that LlamaIndex knows, query and text."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

from llama_index.core.base.embeddings.base import BaseEmbedding, Embedding
from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr
from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.schema import BaseNode
from llama_index.core.storage.kvstore.types import BaseKVStore
from llama_index.embeddings.dpr_rag.argument_names import refuse_unknown
from llama_index.embeddings.dpr_rag.cache import RoleCache
from llama_index.embeddings.dpr_rag.texts import TitledText, as_passages, text_given

from dpr_rag import DualEncoder, Encoder, load_encoder
from dpr_rag.arguments import is_blank
from dpr_rag.encoder import is_encoder
from dpr_rag.errors import ArgumentError, EncoderMismatchError


class DPREmbedding(BaseEmbedding):
    """Embeds queries with the question encoder and texts with the context encoder of a dual encoder.

    Setup:
        In a checkout of the repository: ``pip install -c constraints.txt '.[llama-index]'``

    Key arguments:
        encoder: A ``DualEncoder``, or any object that fits ``dpr_rag.Encoder``; None loads ``DualEncoder.default()``.
        embed_metadata: Embed metadata with the text, as the node's templates and excluded keys say. DPR was trained on
            titles and texts alone, so the default is not to.
        embed_batch_size: Texts per call of the encoder, which cuts them into batches of its own.
        callback_manager: As in every LlamaIndex component.
        num_workers: Batches that are encoded side by side in async calls.
        embeddings_cache: A LlamaIndex key-value store for vectors. Keys hold encoder, role and title, so that a
            question never gets the vector of a passage.
        rate_limiter: As in every LlamaIndex embedding.

    Instantiate:
        .. code-block:: python

            from llama_index.embeddings.dpr_rag import DPREmbedding

            embedding = DPREmbedding()
            embedding = DPREmbedding.from_pretrained(
                "facebook/dpr-question_encoder-single-nq-base", "facebook/dpr-ctx_encoder-single-nq-base"
            )

    Add:
        As a transformation it encodes nodes as passages: ``metadata["title"]`` and the text as a pair. Put it last
        among the ``transformations`` of an ``IngestionPipeline`` or of ``VectorStoreIndex.from_documents``. An index that
        embeds by itself hands over plain strings, in which LlamaIndex has flattened titles and metadata.

        .. code-block:: python

            nodes = embedding(nodes)

    Search:
        .. code-block:: python

            embedding.get_query_embedding("Who wrote Hamlet?")
            embedding.get_text_embedding("Hamlet is a tragedy by Shakespeare.")

    Score:
        The inner product of a query embedding and a text embedding. Nothing is normalised beyond what the encoder's
        profile says.

    Async:
        ``aget_query_embedding``, ``aget_text_embedding``, ``aget_text_embedding_batch`` and ``acall`` encode in a thread,
        so that the event loop goes on.

    Raises:
        TypeError: ``encoder`` does not fit ``dpr_rag.Encoder``.
        MissingExtraError: What runs it is not installed.
    """

    model_config = ConfigDict(validate_assignment=True)

    embed_batch_size: int = Field(default=256, description="Texts per call of the encoder.", gt=0, le=2048)
    # IngestionPipeline keys its cache by these fields: another encoder must not get the vectors of this one
    fingerprint: str = Field(
        default="", frozen=True, description="Identifies weights, tokenizer and profile of the encoder."
    )
    embed_metadata: bool = Field(default=False, description="Whether metadata is embedded with the text.")
    _encoder: Encoder = PrivateAttr()
    _cache: RoleCache | None = PrivateAttr(default=None)

    def __init__(
        self,
        encoder: Encoder | None = None,
        *,
        embed_metadata: bool = False,
        embed_batch_size: int = 256,
        callback_manager: CallbackManager | None = None,
        num_workers: int | None = None,
        embeddings_cache: BaseKVStore | None = None,
        rate_limiter: Any = None,
        **unknown: Any,
    ) -> None:
        refuse_unknown(unknown)
        chosen = DualEncoder.default() if encoder is None else encoder
        if not is_encoder(chosen):
            raise ArgumentError(
                f"encoder is {type(encoder).__name__} {encoder!r:.60}, expected a dpr_rag.Encoder; load models with "
                "DPREmbedding.from_pretrained"
            )
        fields: dict[str, Any] = {"fingerprint": chosen.fingerprint, "embed_metadata": embed_metadata}
        super().__init__(
            model_name=str(getattr(chosen, "source", "") or type(chosen).__name__),
            embed_batch_size=embed_batch_size,
            callback_manager=callback_manager or CallbackManager([]),
            num_workers=num_workers,
            embeddings_cache=embeddings_cache,
            rate_limiter=rate_limiter,
            **fields,
        )
        self._encoder = chosen
        self.embeddings_cache = embeddings_cache

    @classmethod
    def from_pretrained(
        cls,
        question: str | Path,
        context: str | Path | None = None,
        *,
        profile: str | None = None,
        question_prompt_name: str | None = None,
        passage_prompt_name: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        runtime: Literal["torch", "openvino", "sentence-transformers"] | None = None,
        **kwargs: Any,
    ) -> DPREmbedding:
        """Load the encoder from folders or hub names; see ``dpr_rag.load_encoder``.

        Args:
            question: The question encoder, or the only model.
            context: The context encoder, where it is a model of its own.
            profile: Name of a profile, where the files do not tell.
            question_prompt_name: Which of the prompts that the model's files name goes before questions.
            passage_prompt_name: The same before passages.
            device: ``"cpu"``, ``"cuda"``, ...; None takes a GPU where there is one.
            dtype: ``"int8"``, ``"float32"``, ``"bfloat16"`` or ``"float16"``.
            runtime: ``"torch"``, ``"openvino"`` or ``"sentence-transformers"``.
            **kwargs: Arguments of the class.

        Raises:
            ModelError: No model, missing weights, swapped roles, or no prompt of that name.
        """
        encoder = load_encoder(
            question,
            context,
            profile=profile,
            question_prompt_name=question_prompt_name,
            passage_prompt_name=passage_prompt_name,
            device=device,
            dtype=dtype,
            runtime=runtime,
        )
        return cls(encoder, **kwargs)

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex serialises the class."""
        return "DPREmbedding"

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> DPREmbedding:
        """The embedding of a dict that ``to_dict`` made.

        Args:
            data: The dict; it names its model, and nothing that a dict names is loaded.
            **kwargs: Arguments of the class; ``encoder`` unless it was the default one.

        Raises:
            EncoderMismatchError: The encoder is another one than that of the dict.
        """
        names = (
            "embed_metadata",
            "embed_batch_size",
            "num_workers",
            "callback_manager",
            "embeddings_cache",
            "rate_limiter",
        )
        embedding = cls(**{**{name: data[name] for name in names if data.get(name) is not None}, **kwargs})
        if data.get("fingerprint", embedding.fingerprint) != embedding.fingerprint:
            raise EncoderMismatchError(
                f"the dict is of the encoder {data.get('model_name')!r:.120} with the fingerprint {data['fingerprint']!r:.80}, "
                f"this one is {embedding.model_name!r:.120}; load that encoder and pass it as encoder="
            )
        return embedding

    @property
    def encoder(self) -> Encoder:
        """The encoder; a ``DPRVectorStore`` opened with it is bound to its fingerprint."""
        return self._encoder

    def __setattr__(self, name: str, value: Any) -> None:
        """Keep a cache out of reach of ``BaseEmbedding``, whose keys are the texts alone, whatever their role."""
        if name == "embeddings_cache":
            self._cache = None if value is None else RoleCache(value, self.fingerprint)
            value = None
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        """Refuse to go to another process without the encoder, which LlamaIndex would drop with a warning in the log."""
        state = super().__getstate__()
        if "_encoder" not in (state.get("__pydantic_private__") or {}):
            raise TypeError(
                f"the encoder {self.model_name!r} cannot be pickled for another process; run the pipeline without num_workers"
            )
        return state

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """Set the embedding of every node, encoding its title and text as a pair."""
        for node, vector in zip(nodes, self.get_text_embedding_batch(self._texts(nodes), **kwargs), strict=True):
            node.embedding = vector
        return nodes

    async def acall(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """Like calling, in a thread, so that the event loop goes on."""
        vectors = await self.aget_text_embedding_batch(self._texts(nodes), **kwargs)
        for node, vector in zip(nodes, vectors, strict=True):
            node.embedding = vector
        return nodes

    def _texts(self, nodes: Sequence[BaseNode]) -> list[str]:
        return [TitledText.of(node, embed_metadata=self.embed_metadata) for node in nodes]

    def _get_query_embedding(self, query: str) -> Embedding:
        if self._cache is None:
            return self._encode_questions([query])[0]
        return self._cache.through("question", [query], self._encode_questions)[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        if self._cache is None:
            return self._encode_passages(texts)
        return self._cache.through("passage", texts, self._encode_passages)

    def _encode_questions(self, questions: Sequence[str]) -> list[Embedding]:
        """Vectors of questions; of a blank one, which LlamaIndex may ask for and no encoder encodes, one of zeros."""
        filled = [question for question in questions if not is_blank(text_given(question))]
        vectors = iter(self._encoder.encode_questions(filled).tolist() if filled else [])
        return [[0.0] * self._encoder.dim if is_blank(question) else next(vectors) for question in questions]

    def _encode_passages(self, texts: Sequence[str]) -> list[Embedding]:
        return cast(list[Embedding], self._encoder.encode_passages(as_passages(texts)).tolist())

    def _get_text_embedding(self, text: str) -> Embedding:
        return self._get_text_embeddings([text])[0]

    async def _aget_query_embedding(self, query: str) -> Embedding:
        return await asyncio.to_thread(self._get_query_embedding, query)

    async def _aget_text_embedding(self, text: str) -> Embedding:
        return await asyncio.to_thread(self._get_text_embedding, text)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)
