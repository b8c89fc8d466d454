"""The methods of a LangChain vector store that add, delete and get documents."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.documents import Document

from dpr_rag import Passage
from langchain_dpr_rag.argument_names import refuse_unknown
from langchain_dpr_rag.awaiting import add_awaited
from langchain_dpr_rag.checks import documents_given, pairs_given, texts_given
from langchain_dpr_rag.documents import Where, document_of, documents_of, passages_of, where_of
from langchain_dpr_rag.foreign import EmbeddingsEncoder
from langchain_dpr_rag.searching import SearchableStore


class WritableStore(SearchableStore):
    """How documents get into a :class:`DPRVectorStore`, and out of it."""

    def add_documents(
        self,
        documents: Iterable[Document],
        *,
        ids: Sequence[str | None] | None = None,
        batch_size: int = 512,
        **kwargs: Any,
    ) -> list[str]:
        """Add documents, or replace those whose id exists; durable when it returns.

        Args:
            documents: What to add; left as they are. Unchanged ones are not embedded again.
            ids: One per document, None among them for that of the content; without ``ids`` the documents' own count, and
                those that have none get that of their content, so that a second run adds nothing.
            batch_size: Documents per commit.
            **kwargs: None are known.

        Returns:
            An id for each document that is stored, which blank ones are not; equal documents without ids are one passage.

        Raises:
            ValueError: The ids do not fit the documents, or one is blank and ``on_blank`` is ``error``.
            PassageError: A document cannot be stored, for example because its metadata is not JSON.
        """
        refuse_unknown(kwargs, "ids, batch_size")
        passages = self._passages(documents, ids)
        self.store.add(passages, batch_size=batch_size)
        return [passage.id for passage in passages]

    async def aadd_documents(
        self,
        documents: Iterable[Document],
        *,
        ids: Sequence[str | None] | None = None,
        batch_size: int = 512,
        **kwargs: Any,
    ) -> list[str]:
        """Like :meth:`add_documents`; embeddings other than :class:`DPREmbeddings` are asked by ``aembed_documents``."""
        refuse_unknown(kwargs, "ids, batch_size")
        encoder = self.store.encoder
        is_own_method = type(self).add_documents is WritableStore.add_documents  # where it is not, it knows more
        if not isinstance(encoder, EmbeddingsEncoder) or not is_own_method:
            return await asyncio.to_thread(self.add_documents, documents, ids=ids, batch_size=batch_size)
        passages = await asyncio.to_thread(self._passages, documents, ids)
        await add_awaited(self.store, encoder, passages, batch_size)
        return [passage.id for passage in passages]

    def _passages(self, documents: Iterable[Document], ids: Sequence[str | None] | None) -> list[Passage]:
        passages = passages_of(self.store, documents_given(documents), ids, self._policies)
        return [passage for passage in passages if passage is not None]

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Like :meth:`add_documents`, with texts and metadata apart."""
        return self.add_documents(_documents(texts, metadatas), ids=ids, **kwargs)

    async def aadd_texts(
        self, texts: Iterable[str], metadatas: Sequence[dict[str, Any]] | None = None, **kwargs: Any
    ) -> list[str]:
        """Like :meth:`add_texts` and :meth:`aadd_documents`."""
        return await self.aadd_documents(await asyncio.to_thread(_documents, texts, metadatas), **kwargs)

    def add_embeddings(
        self,
        text_embeddings: Iterable[tuple[str, Sequence[float]]],
        metadatas: Sequence[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add texts with vectors that were made elsewhere by the same model."""
        refuse_unknown(kwargs, "text_embeddings, metadatas, ids")
        texts, vectors = pairs_given(text_embeddings)
        return self._add_with_vectors(documents_of(texts, metadatas), vectors, ids)

    async def aadd_embeddings(
        self,
        text_embeddings: Iterable[tuple[str, Sequence[float]]],
        metadatas: Sequence[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Like :meth:`add_embeddings`, in a thread."""
        return await asyncio.to_thread(self.add_embeddings, text_embeddings, metadatas, ids=ids, **kwargs)

    def _add_with_vectors(
        self, documents: Sequence[Document], vectors: Iterable[Any], ids: Sequence[str | None] | None
    ) -> list[str]:
        all_passages = passages_of(self.store, documents, ids, self._policies)
        passages = [passage for passage in all_passages if passage is not None]
        kept_vectors = (vector for passage, vector in zip(all_passages, vectors, strict=True) if passage is not None)
        self.store.add(passages, vectors=kept_vectors)
        return [passage.id for passage in passages]

    def delete(self, ids: Sequence[str] | None = None, *, filter: Where = None, **kwargs: Any) -> bool:
        """Delete documents by id, by metadata, those of the ids that the filter keeps, or, with neither, all of them.

        Returns:
            True, also when an id is unknown.
        """
        refuse_unknown(kwargs, "ids, filter")
        if ids is not None or filter is not None:
            self.store.delete(ids, filter=where_of(filter))
        else:
            self.store.delete(filter={"id": {"$exists": True}})
        return True

    async def adelete(self, ids: Sequence[str] | None = None, **kwargs: Any) -> bool:
        """Like :meth:`delete`, in a thread."""
        return await asyncio.to_thread(self.delete, ids, **kwargs)

    def get_by_ids(self, ids: Sequence[str]) -> list[Document]:
        """Documents by id, in the order asked for; unknown ids are left out."""
        return [document_of(passage) for passage in self.store.get(ids)]

    async def aget_by_ids(self, ids: Sequence[str]) -> list[Document]:
        """Like :meth:`get_by_ids`, in a thread."""
        return await asyncio.to_thread(self.get_by_ids, ids)


def _documents(texts: Iterable[str], metadatas: Sequence[dict[str, Any]] | None) -> list[Document]:
    return documents_of(texts_given(texts), metadatas)
