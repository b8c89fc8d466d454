"""``DPRVectorStore``: a store of passages, in a folder or a Milvus, as a LangChain vector store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from dpr_rag import Encoder, Filter
from dpr_rag.errors import ArgumentError
from dpr_rag.fillable import FilledStore
from langchain_dpr_rag.argument_names import refuse_unknown
from langchain_dpr_rag.batches import DPRVectorStoreRetriever
from langchain_dpr_rag.checks import documents_given
from langchain_dpr_rag.closing import Closing, closed_on_error
from langchain_dpr_rag.documents import OnBadText, OnBlank, OnMetadata, Policies
from langchain_dpr_rag.elsewhere import Elsewhere
from langchain_dpr_rag.foreign import embeddings_of, encoder_of
from langchain_dpr_rag.moving_in import folder_of, read_folder
from langchain_dpr_rag.opening import open_store
from langchain_dpr_rag.settings import Fusion, Mode
from langchain_dpr_rag.writing import WritableStore

ARGUMENTS = (
    "embedding, path, store, index, on_blank, on_bad_text, on_metadata, fingerprint, mode, weight, fusion, create, read_only, "
    "fixed_filter, dtype, bind, timeout, language, token, partition_key"
)
OPTIONS = ("dtype", "bind", "timeout", "language", "token", "partition_key")


class DPRVectorStore(Closing, WritableStore, Elsewhere):
    """A durable vector store: SQLite is the truth and FAISS finds, or a Milvus is and does; scores are exact inner products.

    Setup:
        In a checkout of the repository: ``pip install -c constraints.txt '.[langchain]'``

    Key arguments:
        embedding: LangChain embeddings; or a ``DualEncoder``, which gets ``metadata["title"]`` as the title of a passage;
            None for the default encoder.
        path: Folder of the store, or the address of a Milvus (``milvus://host:19530/collection``, ``milvus+lite:file.db``); None
            makes a temporary one, which is gone on ``close()``.
        store: An open ``PassageStore`` or ``MilvusStore`` instead of a path and an embedding.
        index: For a new store: ``auto``, ``flat``, ``hnsw``, ``ivf`` …; see ``PassageStore.open`` and ``MilvusStore.open``.
        on_blank: ``skip`` leaves out blank documents with one warning, ``error`` refuses them.
        on_bad_text: What becomes of lone surrogates, as bad PDF files bring them: ``error``, ``replace`` by U+FFFD, or
            ``skip`` their documents with one warning. Surrogate pairs are joined in any case.
        on_metadata: What becomes of metadata that are no JSON: ``error``, or ``convert`` by ``dpr_rag.to_json_metadata``.
        fingerprint: What identifies foreign embeddings; None takes class, model's name and dimension, and is refused with
            a path where nothing names the model.
        mode: Of searches in words: ``dense``, ``bm25``, or ``hybrid`` of both; None for what the store was tuned to, or else
            ``dense``. By vector they are always dense.
        weight: With ``hybrid``: λ of BM25 + λ · inner product; None for the one that the store was tuned to or suggests.
        fusion: With ``hybrid``: ``weighted``, or ``rrf`` for reciprocal rank fusion.
        create: Make a store where there is none at the path; False refuses a path that was mistyped. A search in an empty
            store says so in the log.
        read_only: Refuse every change, and create nothing.
        fixed_filter: A dict by which everything this vector store does is restricted, for one tenant of many: filters and ids
            of calls narrow it, and what is added gets its fields. See ``PassageStore.restricted``.
        **options: Further arguments of ``PassageStore.open``: ``dtype`` (``float16`` halves the vectors), ``language`` (of BM25),
            ``timeout`` and ``bind``; without a path ``dtype`` alone, and of a Milvus ``timeout``, ``token``
            and ``partition_key``.

    Instantiate:
        .. code-block:: python

            from dpr_rag import DualEncoder
            from langchain_dpr_rag import DPRVectorStore

            vector_store = DPRVectorStore(DualEncoder.default(), path="plays.dpr")

    Add documents:
        .. code-block:: python

            from langchain_core.documents import Document

            hamlet = Document("Hamlet is a tragedy by Shakespeare.", metadata={"title": "Hamlet", "year": 1601})
            vector_store.add_documents([hamlet], ids=["1"])  # an id that exists is replaced

    Delete documents:
        .. code-block:: python

            vector_store.delete(ids=["1"])
            vector_store.delete(filter={"year": {"$lt": 1500}})

    Search:
        .. code-block:: python

            vector_store.similarity_search("a tragedy", k=4)

    Search with filter:
        .. code-block:: python

            vector_store.similarity_search("a tragedy", filter={"year": {"$gte": 1700}})  # selects before the top k
            vector_store.similarity_search("a tragedy", filter=lambda document: "Goethe" in document.page_content)
            vector_store.similarity_search("a tragedy", filter=lambda metadata: metadata.get("year", 0) > 1700)

    Search with score:
        .. code-block:: python

            vector_store.similarity_search_with_score("a tragedy")  # exact inner products, higher is better
            vector_store.similarity_search_with_relevance_scores("a tragedy", score_threshold=0.5)  # in [0, 1]

    Async:
        .. code-block:: python

            await vector_store.asimilarity_search("a tragedy")

    Use as retriever:
        .. code-block:: python

            vector_store.as_retriever(search_type="mmr", search_kwargs={"k": 4, "fetch_k": 20}).invoke("a tragedy")
    """

    def __init__(
        self,
        embedding: Embeddings | Encoder | None = None,
        *,
        path: str | os.PathLike[str] | None = None,
        store: FilledStore | None = None,
        index: str = "auto",
        on_blank: OnBlank = "skip",
        on_bad_text: OnBadText = "error",
        on_metadata: OnMetadata = "error",
        fingerprint: str | None = None,
        mode: Mode | None = None,
        weight: float | None = None,
        fusion: Fusion | None = None,
        create: bool = True,
        read_only: bool = False,
        fixed_filter: Mapping[str, Any] | Filter | None = None,
        **options: Any,
    ) -> None:
        refuse_unknown({name: value for name, value in options.items() if name not in OPTIONS}, ARGUMENTS)
        self._rank_by(mode, weight, fusion)  # refuses what does not fit before anything is opened
        self._policies = Policies(on_blank, on_bad_text, on_metadata)
        if store is not None and (
            path is not None
            or embedding is not None
            or fingerprint is not None
            or index != "auto"
            or read_only
            or not create
            or options
        ):
            raise ArgumentError(
                "store was given together with path, embedding, fingerprint, index, create, read_only, dtype, bind, timeout, "
                "language, token or partition_key; an open store has its own"
            )
        self._opened = None
        if store is None:
            self._opened = store = open_store(
                path, encoder_of(embedding, fingerprint), index=index, create=create, read_only=read_only, **options
            )
        with closed_on_error(self):
            self._fixed, self.store = fixed_filter, store

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.store!r})"

    def __copy__(self) -> Self:
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__, _opened=None)
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.__copy__()  # what is open cannot be opened twice

    @property
    def embeddings(self) -> Embeddings | None:
        """What embeds; None where the store was opened without an encoder."""
        return embeddings_of(self.store.encoder)

    def as_retriever(self, **kwargs: Any) -> DPRVectorStoreRetriever:
        """A retriever on this store; ``search_type`` is similarity, mmr or similarity_score_threshold.

        Its ``batch`` and ``abatch`` encode all questions in one pass and search once.
        """
        tags = [*(kwargs.pop("tags", None) or []), *self._get_retriever_tags()]
        return DPRVectorStoreRetriever(vectorstore=self, tags=tags, **kwargs)

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        embedding: Embeddings | Encoder | None = None,
        metadatas: Sequence[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> Self:
        """A store with these texts in it; ``kwargs`` are those of the constructor, and ``batch_size``."""
        adding = {"batch_size": kwargs.pop("batch_size")} if "batch_size" in kwargs else {}
        with closed_on_error(cls(embedding, **kwargs)) as opened:
            opened.add_texts(texts, metadatas, ids=ids, **adding)
        return opened

    @classmethod
    async def afrom_texts(
        cls,
        texts: Iterable[str],
        embedding: Embeddings | Encoder | None = None,
        metadatas: Sequence[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Like :meth:`from_texts` and ``aadd_texts``: other embeddings are asked by ``aembed_documents``."""
        adding = {"batch_size": kwargs.pop("batch_size")} if "batch_size" in kwargs else {}
        with closed_on_error(await asyncio.to_thread(cls, embedding, **kwargs)) as opened:
            await opened.aadd_texts(texts, metadatas, ids=ids, **adding)
        return opened

    @classmethod
    def from_documents(
        cls, documents: Iterable[Document], embedding: Embeddings | Encoder | None = None, **kwargs: Any
    ) -> Self:
        """A store with these documents in it; ``kwargs`` are those of :meth:`from_texts`."""
        return super().from_documents(documents_given(documents), embedding, **kwargs)  # type: ignore[arg-type]

    @classmethod
    async def afrom_documents(
        cls, documents: Iterable[Document], embedding: Embeddings | Encoder | None = None, **kwargs: Any
    ) -> Self:
        """Like :meth:`from_documents` and :meth:`afrom_texts`."""
        listed = await asyncio.to_thread(documents_given, documents)
        return await super().afrom_documents(listed, embedding, **kwargs)  # type: ignore[arg-type]

    @classmethod
    def from_embeddings(
        cls,
        text_embeddings: Iterable[tuple[str, Sequence[float]]],
        embedding: Embeddings | Encoder | None = None,
        metadatas: Sequence[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> Self:
        """A store with these texts and the vectors that ``embedding`` made of them before."""
        with closed_on_error(cls(embedding, **kwargs)) as opened:
            opened.add_embeddings(text_embeddings, metadatas, ids=ids)
        return opened

    @classmethod
    async def afrom_embeddings(
        cls, text_embeddings: Iterable[tuple[str, Sequence[float]]], *args: Any, **kwargs: Any
    ) -> Self:
        """Like :meth:`from_embeddings`, in a thread."""
        return await asyncio.to_thread(cls.from_embeddings, text_embeddings, *args, **kwargs)

    @classmethod
    def from_langchain_faiss(
        cls,
        folder: str | os.PathLike[str],
        embedding: Embeddings | Encoder | None = None,
        *,
        index_name: str = "index",
        **kwargs: Any,
    ) -> Self:
        """Move in with what LangChain's FAISS store saved: ids, texts, metadata and vectors, without encoding again.

        The folder's pickle is read by allow-list; nothing in it is run.

        Args:
            folder: What ``FAISS.save_local`` wrote.
            embedding: The embeddings that made the vectors.
            index_name: As it was given to ``save_local``.
            **kwargs: Those of the constructor.

        Raises:
            UnsafeFileError: The pickle asks for more than documents with plain metadata.
            CorpusError: A file is missing or damaged, or they do not belong together.
            VectorError: The vectors have another dimension than ``embedding`` makes.
        """
        documents, vectors = read_folder(folder_of(folder), index_name)
        with closed_on_error(cls(embedding, **kwargs)) as opened:
            opened._add_with_vectors(documents, vectors, None)
        return opened
