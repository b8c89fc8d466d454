"""LlamaIndex's key-value store inside a store's own file: every change is on disk when the call returns."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from llama_index.core.storage.kvstore.types import DEFAULT_BATCH_SIZE, DEFAULT_COLLECTION, BaseKVStore

from dpr_rag import PassageStore
from dpr_rag.errors import StoreError
from dpr_rag.fillable import FilledStore

Value = dict[str, Any]


def keeping_records(store: FilledStore) -> PassageStore:
    """The store, if it can hold LlamaIndex's records besides the nodes.

    Raises:
        StoreError: There is none, as in a Milvus.
    """
    if not store.private.keeps_records:
        raise StoreError(
            f"{store.path} holds nodes alone, and no document store, index store or key-value store of LlamaIndex; keep those in "
            "StorageContext.from_defaults(vector_store=..., docstore=...), or the nodes in a folder"
        )
    return cast(PassageStore, store)


class DPRKeyValueStore(BaseKVStore):
    """Values by collection and key, durable like the passages beside which they lie.

    Values have to be JSON. Asynchronous methods work in a thread, so that the event loop goes on.

    Args:
        store: Where; ``DPRVectorStore.client`` for example.

    Raises:
        StoreError: The store holds passages alone, as a Milvus.
    """

    def __init__(self, store: FilledStore) -> None:
        self._store = keeping_records(store)

    def put(self, key: str, val: Value, collection: str = DEFAULT_COLLECTION) -> None:
        """Put a value under a key; one that is there already is not written again."""
        self._store.private.write({collection: {key: val}})

    def put_all(
        self,
        kv_pairs: list[tuple[str, Value]],
        collection: str = DEFAULT_COLLECTION,
        batch_size: int = DEFAULT_BATCH_SIZE,
    ) -> None:
        """Put values under keys in one commit, whatever ``batch_size`` says."""
        self._store.private.write({collection: dict(kv_pairs)})

    def get(self, key: str, collection: str = DEFAULT_COLLECTION) -> Value | None:
        """The value under a key, or None."""
        return self._store.private.read(collection, [key]).get(key)

    def get_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, Value]:
        """All values of a collection by key, in order of insertion."""
        return self._store.private.read(collection)

    def delete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """Remove a key, and tell whether it was there."""
        return self._store.private.write({collection: {key: None}}) > 0

    async def aput(self, key: str, val: Value, collection: str = DEFAULT_COLLECTION) -> None:
        """Like ``put``, in a thread."""
        await asyncio.to_thread(self.put, key, val, collection)

    async def aput_all(
        self,
        kv_pairs: list[tuple[str, Value]],
        collection: str = DEFAULT_COLLECTION,
        batch_size: int = DEFAULT_BATCH_SIZE,
    ) -> None:
        """Like ``put_all``, in a thread."""
        await asyncio.to_thread(self.put_all, kv_pairs, collection, batch_size)

    async def aget(self, key: str, collection: str = DEFAULT_COLLECTION) -> Value | None:
        """Like ``get``, in a thread."""
        return await asyncio.to_thread(self.get, key, collection)

    async def aget_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, Value]:
        """Like ``get_all``, in a thread."""
        return await asyncio.to_thread(self.get_all, collection)

    async def adelete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """Like ``delete``, in a thread."""
        return await asyncio.to_thread(self.delete, key, collection)
