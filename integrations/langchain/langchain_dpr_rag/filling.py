"""Constructors of retrievers that fill a store first, with all arguments of a ``DPRVectorStore``."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from dpr_rag import Encoder
from dpr_rag.errors import ArgumentError
from langchain_dpr_rag.argument_names import refuse_unknown
from langchain_dpr_rag.checks import documents_given, texts_given
from langchain_dpr_rag.closing import closed_on_error
from langchain_dpr_rag.documents import documents_of
from langchain_dpr_rag.vectorstores import ARGUMENTS, DPRVectorStore

_OF_A_STORE = frozenset(ARGUMENTS.split(", ")) - {"embedding", "store"}


class Filling:
    """The constructors of a :class:`DPRRetriever` that fill a store, each with its asynchronous twin."""

    if TYPE_CHECKING:
        model_fields: dict[str, Any]

        @classmethod
        def _over(cls, opened: Any, store: Any, **kwargs: Any) -> Self: ...

    @classmethod
    def from_documents(
        cls,
        documents: Iterable[Document],
        embedding: Embeddings | Encoder | None = None,
        *,
        path: str | os.PathLike[str] | None = None,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> Self:
        """A retriever on a store with these documents in it, temporary without a path.

        Args:
            documents: What to retrieve.
            embedding: What embeds; None for the default encoder.
            path: Folder of the store, which may exist.
            ids: See ``DPRVectorStore.add_documents``; without them a second run adds nothing.
            **kwargs: Those of the constructor; those of :class:`DPRVectorStore`, such as ``on_metadata``, ``fixed_filter`` and
                ``fingerprint``; and ``batch_size``. ``mode``, ``weight`` and ``fusion`` are the retriever's.

        Raises:
            ArgumentError: An argument is unknown, or ``store``, which is open and may be filled by itself.
        """
        of_store, of_retriever, adding = cls._parted(kwargs)
        with closed_on_error(DPRVectorStore(embedding, path=path, **of_store)) as vector_store:
            retriever = cls._over(vector_store, vector_store.store, **of_retriever)
            vector_store.add_documents(documents, ids=ids, **adding)
        return retriever

    @classmethod
    async def afrom_documents(
        cls,
        documents: Iterable[Document],
        embedding: Embeddings | Encoder | None = None,
        *,
        path: str | os.PathLike[str] | None = None,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Like :meth:`from_documents`; embeddings other than ``DPREmbeddings`` are asked by ``aembed_documents``."""
        of_store, of_retriever, adding = cls._parted(kwargs)
        opening = asyncio.to_thread(DPRVectorStore, embedding, path=path, **of_store)
        with closed_on_error(await opening) as vector_store:
            retriever = await asyncio.to_thread(cls._over, vector_store, vector_store.store, **of_retriever)
            await vector_store.aadd_documents(await asyncio.to_thread(documents_given, documents), ids=ids, **adding)
        return retriever

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        embedding: Embeddings | Encoder | None = None,
        metadatas: Sequence[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Like :meth:`from_documents`, with texts and metadata apart."""
        return cls.from_documents(documents_of(texts_given(texts), metadatas), embedding, **kwargs)

    @classmethod
    async def afrom_texts(
        cls,
        texts: Iterable[str],
        embedding: Embeddings | Encoder | None = None,
        metadatas: Sequence[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Like :meth:`afrom_documents`, with texts and metadata apart."""
        documents = await asyncio.to_thread(lambda: documents_of(texts_given(texts), metadatas))
        return await cls.afrom_documents(documents, embedding, **kwargs)

    @classmethod
    def _parted(cls, kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """What goes to the store, to the retriever, and to the adding of documents."""
        if "store" in kwargs:
            raise ArgumentError(
                "store= is open already; use from_store(store), and fill it by DPRVectorStore(store=store).add_documents()"
            )
        fields = cls.model_fields.keys() - {"store"}
        known = {*_OF_A_STORE, *fields, "ids", "batch_size"}
        refuse_unknown({name: None for name in kwargs if name not in known}, ", ".join(sorted(known)))
        adding = {name: value for name, value in kwargs.items() if name == "batch_size"}
        of_retriever = {name: value for name, value in kwargs.items() if name in fields}
        return (
            {name: value for name, value in kwargs.items() if name not in {*of_retriever, *adding}},
            of_retriever,
            adding,
        )
