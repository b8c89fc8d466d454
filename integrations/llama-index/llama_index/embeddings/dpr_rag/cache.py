"""Caches vectors in a LlamaIndex key-value store, with separate keys for roles, titles and encoders."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Literal, cast

from llama_index.core.base.embeddings.base import Embedding
from llama_index.core.storage.kvstore.types import BaseKVStore
from llama_index.embeddings.dpr_rag.texts import title_of

Role = Literal["question", "passage"]
COLLECTION = "embeddings"


class RoleCache:
    """Vectors by encoder, role, title and text.

    LlamaIndex's own use of an ``embeddings_cache`` knows the text alone, by which the question "Hamlet" would get the
    vector of the passage "Hamlet".

    Args:
        store: Where the vectors are kept, in the collection ``embeddings``.
        fingerprint: Identifies the encoder; vectors of another one are never returned.
    """

    def __init__(self, store: BaseKVStore, fingerprint: str) -> None:
        self.store, self.fingerprint = store, fingerprint

    def through(
        self, role: Role, texts: Sequence[str], encode: Callable[[Sequence[str]], list[Embedding]]
    ) -> list[Embedding]:
        """Look texts up, encode those that are not there in one call, and keep their vectors.

        Returns:
            One vector per text, in order.
        """
        keys = [self._key(role, text) for text in texts]
        cached = {key: self.store.get(key, collection=COLLECTION) for key in keys}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if cached[key] is None}
        if missing:
            for key, vector in zip(missing, encode(list(missing.values())), strict=True):
                cached[key] = {"vector": vector}
                self.store.put(key, {"vector": vector}, collection=COLLECTION)
        return [cast(dict[str, Embedding], cached[key])["vector"] for key in keys]

    def _key(self, role: Role, text: str) -> str:
        return json.dumps([self.fingerprint, role, title_of(text), text])
