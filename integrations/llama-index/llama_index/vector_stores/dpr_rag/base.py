"""``DPRVectorStore``: a store of passages, in a folder or a Milvus, as LlamaIndex's vector store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Self

from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import MetadataFilters, VectorStoreQuery, VectorStoreQueryResult
from llama_index.vector_stores.dpr_rag.adding import OnBlank, add_nodes, checked
from llama_index.vector_stores.dpr_rag.awaiting import embedded, with_embedding
from llama_index.vector_stores.dpr_rag.checks import id_given, ids_given, nodes_given, path_given, query_given
from llama_index.vector_stores.dpr_rag.converting import OnMetadata
from llama_index.vector_stores.dpr_rag.docstore import WHOLE
from llama_index.vector_stores.dpr_rag.elsewhere import Elsewhere
from llama_index.vector_stores.dpr_rag.filters import fixed_by, to_filter
from llama_index.vector_stores.dpr_rag.holding import OnPassageStore
from llama_index.vector_stores.dpr_rag.keyvalue import keeping_records
from llama_index.vector_stores.dpr_rag.keywords import check_adding, check_deleting, check_deleting_nodes
from llama_index.vector_stores.dpr_rag.moving_in import OnMissing, read_llama_index
from llama_index.vector_stores.dpr_rag.nodes import OnBadText, marks_of_source, of_sources, to_node
from llama_index.vector_stores.dpr_rag.opening import AnyEncoder, given_or_opened
from llama_index.vector_stores.dpr_rag.querying import check_options, hits_for, tell_if_empty

from dpr_rag import Filter, Passage, Store
from dpr_rag.errors import ArgumentError
from dpr_rag.filters import Comparison


class DPRVectorStore(OnPassageStore, Elsewhere):
    """Nodes with their embeddings in a durable ``PassageStore`` or ``MilvusStore``, searched by inner product.

    Setup:
        In a checkout of the repository: ``pip install -c constraints.txt '.[llama-index]'``

    Key arguments:
        path: The store's folder, or the address of a Milvus (``milvus://host:19530/collection``, ``milvus+lite:file.db``), opened
            or created; None makes a temporary store that is gone on ``close``.
        store: An open ``PassageStore`` or ``MilvusStore`` instead; closing it stays with who opened it.
        encoder: The dual encoder that the embeddings come from, or its ``DPREmbedding``. The store is bound to it, and
            encodes nodes without an embedding, as (title, text) pairs, and questions in words. Any other embedding of
            LlamaIndex will do, which encodes texts. Without one, the first vectors fix the dimension and nothing else.
        fingerprint: What identifies another embedding; None takes its class, its model's name and the dimension.
        index: For a new store: ``auto`` or a kind of index, see ``PassageStore.open`` and ``MilvusStore.open``.
        on_blank: What to do with nodes whose text is blank, as loaders of PDF files emit them: ``skip`` leaves them
            out with one warning in the log per call, ``error`` refuses the call before anything is stored.
        create: Make a store where there is none at the path; False refuses a path that was mistyped. A search in an empty
            store says so in the log.
        read_only: Refuse every change, and create nothing.
        on_bad_text: What to do with lone surrogates, as bad PDF files bring them: ``error``, ``replace`` by U+FFFD, or
            ``skip`` their nodes with one warning. Surrogate pairs are joined in any case.
        on_metadata: What to do with metadata that are no JSON: ``error``, or ``convert`` by ``dpr_rag.to_json_metadata``.
        fixed_filter: ``MetadataFilters``, or a dict of dpr-rag, by which all that this vector store does is restricted, for one
            tenant of many: calls can narrow it alone, and what is added gets its fields. See ``PassageStore.restricted``.
        **options: Further arguments of ``PassageStore.open``; of a Milvus ``timeout``, ``token`` and ``partition_key``.

    Instantiate:
        .. code-block:: python

            from llama_index.embeddings.dpr_rag import DPREmbedding
            from llama_index.vector_stores.dpr_rag import DPRVectorStore

            embedding = DPREmbedding()
            vector_store = DPRVectorStore("notes.dpr", encoder=embedding)

    Add:
        ``add`` is an upsert by node id, and what it returned from is on disk. ``metadata["title"]`` becomes the passage's
        title and comes back with the node. ``storage_context()`` has a document store and an index store in the same folder:
        by them pipelines skip what did not change, and ``load_index_from_storage`` finds its index after a restart. A Milvus
        holds nodes alone, and both are refused.

        .. code-block:: python

            vector_store.add(embedding(nodes))

    Delete:
        .. code-block:: python

            vector_store.delete("a-document")           # every node whose source it is
            vector_store.delete_nodes(["a-node"])
            vector_store.clear()

    Search:
        The query modes are ``default``, ``mmr``, ``text_search`` and ``sparse`` (BM25), and ``hybrid``.

        .. code-block:: python

            vector_store.query(VectorStoreQuery(query_str="Who wrote Hamlet?", similarity_top_k=3))

    Filter:
        Every operator of ``MetadataFilters``, with nested groups, selects before the top k. A field is a key of the metadata;
        ``ref_doc_id``, ``doc_id`` and ``document_id`` are the id of the source document, unless the metadata have such a key.
        A missing field matches ``!=``, ``nin``, ``is_empty`` and ``not`` alone.

        .. code-block:: python

            filters = MetadataFilters(filters=[MetadataFilter(key="year", operator=">", value=1600)])
            vector_store.query(VectorStoreQuery(query_str="a tragedy", filters=filters))

    Score:
        ``similarities`` are exact inner products, higher is better; they are neither cosines nor bounded by 1.

    Async:
        ``async_add``, ``aquery``, ``adelete``, ``adelete_nodes``, ``aget_nodes`` and ``aclear`` work in a thread, so that the
        event loop goes on.

    As retriever:
        .. code-block:: python

            from llama_index.retrievers.dpr_rag import DPRRetriever

            retriever = DPRRetriever(vector_store)

    In a query engine:
        .. code-block:: python

            index = VectorStoreIndex.from_vector_store(vector_store, embed_model=embedding)
            index.as_query_engine(llm=llm).query("Who wrote Hamlet?")

    Raises:
        ValueError: ``store`` and arguments that open one were both given.
        TypeError: ``encoder`` is none.
        EncoderMismatchError: Another encoder filled the store, or nothing names the embedding's model.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        store: Store | None = None,
        encoder: AnyEncoder | None = None,
        fingerprint: str | None = None,
        index: str = "auto",
        on_blank: OnBlank = "skip",
        on_bad_text: OnBadText = "error",
        on_metadata: OnMetadata = "error",
        fixed_filter: MetadataFilters | Mapping[str, Any] | Filter | None = None,
        **options: Any,
    ) -> None:
        fixed = fixed_by(fixed_filter)
        checked_path = None if path is None else path_given(path)
        settings: dict[str, Any] = {"path": checked_path, "fixed_filter": None if fixed is None else fixed.to_dict()}
        super().__init__(stores_text=True, **settings, **checked(on_blank, on_bad_text, on_metadata))
        self._owned = store is None
        self._hold(given_or_opened(store, path, encoder, fingerprint, index, options), fixed)

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex serialises the class."""
        return "DPRVectorStore"

    @classmethod
    def from_llama_index(
        cls,
        persist_dir: str | os.PathLike[str],
        *,
        path: str | os.PathLike[str] | None = None,
        encoder: AnyEncoder | None = None,
        namespace: str = "default",
        on_missing: OnMissing = "error",
        **options: Any,
    ) -> Self:
        """Move in from a folder that LlamaIndex persisted, vectors and all: nothing is encoded again.

        Reads ``docstore.json`` with the vectors of a ``SimpleVectorStore``, a ``FaissVectorStore`` or a
        ``FaissMapVectorStore``. A log warning says so where the inner product may rank otherwise than they did.

        Args:
            persist_dir: What ``StorageContext.persist`` wrote; open only FAISS files that you trust.
            path: The new store's folder; None makes a temporary store.
            encoder: What made the vectors, if it is a dual encoder; the store is bound to it.
            namespace: Of the vector store in the folder.
            on_missing: Whether a node without its vector, or a vector without its node, is an ``error`` or to ``skip``.
            **options: Further arguments of the class.

        Raises:
            CorpusError: A file is missing or malformed, or a vector or a node is; nothing is stored then.
        """
        nodes, vectors = read_llama_index(persist_dir, namespace=namespace, on_missing=on_missing)
        with ExitStack() as on_error:
            vector_store = cls(path, encoder=encoder, **options)
            on_error.callback(vector_store.close)
            vector_store._add(nodes, vectors)
            on_error.pop_all()
        return vector_store

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Add nodes, or replace those whose id exists.

        Ids that LlamaIndex made at random say nothing of a node: where one comes under a new one, the same node under its
        former random id makes room for it, so that a second run adds nothing. The same is what has the same text,
        metadata and templates, the same source document (of the same content, where its id is random too), and the same
        place in it, or another place in another version of it. Equal nodes of one call are all kept.

        Args:
            nodes: Nodes with embeddings; without one where the store has an encoder.
            **kwargs: None are known; what an index gives its transformations too, as ``show_progress``, is none of its business.

        Returns:
            The ids of the nodes that are stored now, in order, without those that were blank.

        Raises:
            ValueError: A node has no embedding and the store no encoder, or it is blank and ``on_blank`` is ``error``.
            PassageError: Metadata that are not JSON, or an id that comes twice with different contents.
            VectorError: An embedding of another dimension, or with NaN or infinite values.
        """
        check_adding("add", kwargs)
        nodes = nodes_given(nodes)
        return self._add(nodes, [node.embedding for node in nodes])

    def _add(self, nodes: Sequence[BaseNode], vectors: Sequence[Any]) -> list[str]:
        ids = add_nodes(self._store, nodes, vectors, self.on_blank, self.on_bad_text, self.on_metadata)
        self._arrivals.note(nodes)
        return ids

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Like :meth:`add`; other embeddings than ``DPREmbedding`` are asked by ``aget_text_embedding_batch``."""
        check_adding("async_add", kwargs)
        nodes = nodes_given(nodes)
        vectors = await embedded(self._store, nodes, self.on_bad_text, self.on_metadata)
        return await asyncio.to_thread(self._add, nodes, vectors)

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Like :meth:`query`; other embeddings than ``DPREmbedding`` are asked by ``aget_query_embedding``."""
        check_options(kwargs)
        query = await with_embedding(self._store, query_given(query))
        return await asyncio.to_thread(self.query, query, **kwargs)

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """The nodes with the largest inner products, or as the store was tuned, best first; with ``mmr`` in the order chosen.

        Args:
            query: ``query_embedding``, or ``query_str`` where the store has an encoder; ``similarity_top_k``,
                ``node_ids``, ``doc_ids``, ``filters``, ``mode`` and ``mmr_threshold``. ``text_search``, ``sparse`` and ``hybrid``
                need ``query_str``; for ``hybrid``, ``alpha`` (see ``ranking_for``), ``sparse_top_k`` (candidates of each
                leg) and ``hybrid_top_k`` (nodes returned) count, and for the two others ``sparse_top_k`` (nodes returned).
                Where nothing is asked for, or something blank, what the filters keep comes in order of insertion, with
                the score 0.
            **kwargs: ``min_relevance``, from 0 to 1; ``mmr_threshold``, which wins over that of the query,
                ``mmr_prefetch_k`` or ``mmr_prefetch_factor``. An index passes them on from ``vector_store_kwargs``.

        Raises:
            ValueError: The mode is not supported, or there is neither embedding nor question nor filter.
            FilterError: A filter cannot be understood.
            EncoderMismatchError: There are only words, and the store has no encoder.
        """
        hits = hits_for(self._store, query_given(query), kwargs)
        tell_if_empty(self._store, hits)
        return VectorStoreQueryResult(
            nodes=[to_node(hit.passage) for hit in hits],
            similarities=[hit.score for hit in hits],
            ids=[hit.passage.id for hit in hits],
        )

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """Nodes by id, in the order asked for, or all of them in order of insertion, with their embeddings.

        Args:
            node_ids: Which; unknown ones are left out. None means all.
            filters: Leaves out what it does not match.
        """
        where = to_filter(filters)
        passages = self._store.select(where) if node_ids is None else self._with_ids(node_ids, where)
        vectors = self._store.get_vectors([passage.id for passage in passages])
        return [to_node(passage, vectors.get(passage.id)) for passage in passages]

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete all nodes of a source document; a node without a source is its own, what no node made has none."""
        check_deleting(delete_kwargs)
        self._arrivals.forget(id_given("ref_doc_id", ref_doc_id))
        if self._store.private.keeps_records:
            keeping_records(self._store).private.write({WHOLE: {ref_doc_id: None}})
        self._store.private.delete_marked(marks_of_source(ref_doc_id))
        if "\0" in ref_doc_id:  # which SQLite's JSON functions cut, so that marks do not say
            self._store.delete(filter=of_sources([ref_doc_id]))

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Delete the nodes that have one of the ids and match the filters; unknown ids are ignored.

        Raises:
            ValueError: Neither ids nor filters were given; ``clear`` deletes everything.
        """
        check_deleting_nodes(delete_kwargs)
        where = to_filter(filters)
        if node_ids is None and where is None:
            raise ArgumentError("delete_nodes() got neither node_ids nor filters; use clear() to delete everything")
        self._store.delete(None if node_ids is None else ids_given("node_ids", node_ids), filter=where)

    def _with_ids(self, node_ids: list[str], where: Filter | None) -> list[Passage]:
        passages = self._store.get(ids_given("node_ids", node_ids))
        return passages if where is None else [passage for passage in passages if where.matches(passage)]

    def clear(self) -> None:
        """Delete everything."""
        self._store.delete(filter=Comparison("id", "exists", True))
