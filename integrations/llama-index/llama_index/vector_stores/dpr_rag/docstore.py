"""LlamaIndex's document store and index store in the file of a ``DPRVectorStore``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.data_structs.data_structs import IndexDict, IndexStruct
from llama_index.core.storage.docstore.keyval_docstore import KVDocumentStore
from llama_index.core.storage.index_store.keyval_index_store import KVIndexStore
from llama_index.vector_stores.dpr_rag.arrivals import Arrivals
from llama_index.vector_stores.dpr_rag.converting import ConvertingKeyValueStore
from llama_index.vector_stores.dpr_rag.keyvalue import DPRKeyValueStore, keeping_records
from llama_index.vector_stores.dpr_rag.nodes import hash_of, marks_of_source, to_node
from llama_index.vector_stores.dpr_rag.persisting import persist
from llama_index.vector_stores.dpr_rag.twins import is_random

from dpr_rag import Passage
from dpr_rag.fillable import FilledStore

WHOLE = "docstore/whole"
"""Collection of the documents that were seen to be stored whole, with the hash of what was stored."""
INCOMPLETE = "incomplete"
"""Stands for the hash of a document of which only a part is stored; no document has this one."""


class DPRDocumentStore(KVDocumentStore):
    """Documents and their hashes, in the file of the vector store that holds their nodes.

    A document counts as known while its nodes are in the vector store, and as that version from which they were made.
    LlamaIndex writes some hashes before the nodes, and a process may die in between: such a document is unknown, or has
    the hash ``incomplete`` where some of its nodes are there, so that pipelines and ``refresh_ref_docs`` make it anew.
    ``DPRVectorStore.docstore`` is one.

    Args:
        store: The vector store's ``PassageStore``.
        arrivals: What was added to the vector store lately.
        convert: Make JSON of the documents' metadata, see ``dpr_rag.to_json_metadata``.
    """

    def __init__(self, store: FilledStore, arrivals: Arrivals, *, convert: bool = False) -> None:
        super().__init__(ConvertingKeyValueStore(store) if convert else DPRKeyValueStore(store))
        self._store, self._arrivals = keeping_records(store), arrivals
        arrivals.watch()

    def persist(self, persist_path: str = "", fs: Any = None) -> None:
        """Write nothing, as everything is on disk already.

        Raises:
            StoreError: The store is temporary.
        """
        persist(self._store, persist_path, asked_for=False)

    def get_document_hash(self, doc_id: str) -> str | None:
        """The hash of the version that is stored whole, ``incomplete`` where it is not, None where nothing is."""
        record = self._kvstore.get(doc_id, collection=self._metadata_collection) or {}
        return self._known(doc_id, record.get("doc_hash"))

    def get_all_document_hashes(self) -> dict[str, str]:
        """From hashes to documents; those that are not stored whole come under a hash that no document has."""
        records = self._kvstore.get_all(collection=self._metadata_collection)
        hashes = {doc_id: str(record["doc_hash"]) for doc_id, record in records.items() if record.get("doc_hash")}
        nodes = {doc_id for doc_id, record in records.items() if record.get("ref_doc_id")}
        sure = nodes | self._seen_whole(hashes)
        known_hashes = {
            doc_id: noted if doc_id in sure else self._known(doc_id, noted) for doc_id, noted in hashes.items()
        }
        return {
            noted if known_hashes[doc_id] == noted else f"{INCOMPLETE} {doc_id}": doc_id
            for doc_id, noted in hashes.items()
        }

    def set_document_hash(self, doc_id: str, doc_hash: str) -> None:
        """Note a document's hash; it counts once the nodes are there."""
        self.set_document_hashes({doc_id: doc_hash})

    def set_document_hashes(self, doc_hashes: Mapping[str, str]) -> None:
        """Note hashes of documents in one commit."""
        arrived = [doc_id for doc_id in doc_hashes if self._arrivals.forget(doc_id)]
        sure = self._seen_whole(doc_hashes) | self._with_nodes(arrived)
        records = {doc_id: {"doc_hash": doc_hash} for doc_id, doc_hash in doc_hashes.items()}
        flags = {doc_id: record if doc_id in sure else None for doc_id, record in records.items()}
        self._store.private.write({self._metadata_collection: records, WHOLE: flags})

    def delete_document(self, doc_id: str, raise_error: bool = True) -> None:
        """Remove a document, also one of which only the hash is noted.

        Raises:
            ValueError: There is none, and ``raise_error`` is set.
        """
        exists = self._kvstore.get(doc_id, collection=self._metadata_collection) or self.document_exists(doc_id)
        super().delete_document(doc_id, raise_error=False)
        self._store.private.write({WHOLE: {doc_id: None}})
        if not exists and raise_error:
            raise ValueError(f"document {doc_id!r} is not in the document store; raise_error=False passes over it")

    async def aget_document_hash(self, doc_id: str) -> str | None:
        """Like ``get_document_hash``, in a thread."""
        return await asyncio.to_thread(self.get_document_hash, doc_id)

    async def aget_all_document_hashes(self) -> dict[str, str]:
        """Like ``get_all_document_hashes``, in a thread."""
        return await asyncio.to_thread(self.get_all_document_hashes)

    async def aset_document_hash(self, doc_id: str, doc_hash: str) -> None:
        """Like ``set_document_hash``, in a thread."""
        await asyncio.to_thread(self.set_document_hash, doc_id, doc_hash)

    async def aset_document_hashes(self, doc_hashes: Mapping[str, str]) -> None:
        """Like ``set_document_hashes``, in a thread."""
        await asyncio.to_thread(self.set_document_hashes, doc_hashes)

    async def adelete_document(self, doc_id: str, raise_error: bool = True) -> None:
        """Like ``delete_document``, in a thread."""
        await asyncio.to_thread(self.delete_document, doc_id, raise_error)

    async def adelete_ref_doc(self, ref_doc_id: str, raise_error: bool = True) -> None:
        """Like ``delete_ref_doc``, in a thread."""
        await asyncio.to_thread(self.delete_ref_doc, ref_doc_id, raise_error)

    def _seen_whole(self, hashes: Mapping[str, str]) -> set[str]:
        """Those of the documents that were seen to be whole in this version, and still have nodes."""
        flags = self._store.private.read(WHOLE, hashes)
        candidates = [doc_id for doc_id, doc_hash in hashes.items() if flags.get(doc_id) == {"doc_hash": doc_hash}]
        return self._with_nodes(candidates)

    def _with_nodes(self, doc_ids: Sequence[str]) -> set[str]:
        present = self._store.private.present(mark for doc_id in doc_ids for mark in marks_of_source(doc_id))
        return {doc_id for doc_id in doc_ids if not present.isdisjoint(marks_of_source(doc_id))}

    def _known(self, doc_id: str, noted: str | None) -> str | None:
        if noted is not None and self._seen_whole({doc_id: noted}):
            return noted
        passages = self._store.private.marked(marks_of_source(doc_id))
        if not passages:  # an index of another kind may have its nodes here
            return noted if self.ref_doc_exists(doc_id) else None
        return _version_of(passages) or INCOMPLETE


def _version_of(passages: Sequence[Passage]) -> str | None:
    """The hash of the document from which all nodes were made, as they say themselves; None where they may not be all."""
    nodes = [to_node(passage) for passage in passages]
    following = [node.next_node.node_id for node in nodes if node.next_node is not None]
    if not {node.node_id for node in nodes}.issuperset(following) or (len(nodes) > 1 and not following):
        return None
    versions = {
        hash_of(passage) if node.source_node is None else node.source_node.hash
        for passage, node in zip(passages, nodes, strict=True)
    }
    return versions.pop() if len(versions) == 1 else None


class DPRIndexStore(KVIndexStore):
    """The structs of indexes, in the file of the vector store.

    An index over a vector store that keeps texts knows nothing itself. Of such ones the newest is kept, beside those
    with an id of your own, so that ``load_index_from_storage`` finds one after any number of runs.

    Args:
        store: The vector store's ``PassageStore``.
    """

    def __init__(self, store: FilledStore) -> None:
        super().__init__(DPRKeyValueStore(store))
        self._store = store

    def persist(self, persist_path: str = "", fs: Any = None) -> None:
        """Write nothing, as everything is on disk already.

        Raises:
            StoreError: The store is temporary.
        """
        persist(self._store, persist_path, asked_for=False)

    def add_index_struct(self, index_struct: IndexStruct) -> None:
        """Save the struct of an index."""
        older = [struct for struct in self.index_structs() if _is_nothing(struct)] if _is_nothing(index_struct) else []
        super().add_index_struct(index_struct)
        for struct in older:
            if struct.index_id != index_struct.index_id:
                self.delete_index_struct(struct.index_id)

    async def async_add_index_struct(self, index_struct: IndexStruct) -> None:
        """Like ``add_index_struct``, in a thread."""
        await asyncio.to_thread(self.add_index_struct, index_struct)


def _is_nothing(struct: IndexStruct) -> bool:
    if not isinstance(struct, IndexDict) or struct.nodes_dict or struct.summary is not None:
        return False
    return is_random(struct.index_id)
