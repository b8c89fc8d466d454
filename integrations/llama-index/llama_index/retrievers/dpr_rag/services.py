"""A retriever on a service: the client in place of a vector store, and questions that take a single request."""

from __future__ import annotations

import asyncio
from typing import NoReturn

from llama_index.core.schema import QueryBundle
from llama_index.retrievers.dpr_rag.settings import Settings
from llama_index.vector_stores.dpr_rag.querying import LEFT_TO_THE_STORE, selection_of, tell_if_empty

from dpr_rag import Encoder, Hit, RemoteStore, SearchRequest, Store
from dpr_rag.arguments import is_blank
from dpr_rag.errors import ArgumentError


class Service:
    """The client of a store that cannot be filled from here, such as a service; takes the place of a vector store.

    Attributes:
        client: The store.
    """

    def __init__(self, client: Store) -> None:
        self.client = client

    @property
    def encoder(self) -> Encoder | None:
        """The encoder of questions; None if the service encodes."""
        return self.client.encoder

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def refuse(self) -> NoReturn:
        """Refuse to be used as a vector store.

        Raises:
            ArgumentError: Always.
        """
        raise ArgumentError(
            f"{self.client.path} can be searched but has no vector store here; add nodes where they are stored"
        )


def hits_at_once(client: Store, settings: Settings, bundle: QueryBundle) -> list[Hit] | None:
    """Hits of a service for a question in words, with one request; None for other questions and other stores."""
    if not isinstance(client, RemoteStore):
        return None
    request = _request(client, settings, bundle)
    if request is None:
        return None
    (hits,) = client.execute(request)
    tell_if_empty(client, hits)
    return hits


async def ahits_at_once(client: Store, settings: Settings, bundle: QueryBundle) -> list[Hit] | None:
    """Like :func:`hits_at_once`, without blocking the event loop or a thread."""
    if not isinstance(client, RemoteStore):
        return None
    request = await asyncio.to_thread(_request, client, settings, bundle)
    if request is None:
        return None
    (hits,) = await client.aexecute(request)
    await asyncio.to_thread(tell_if_empty, client, hits)
    return hits


def _request(client: RemoteStore, settings: Settings, bundle: QueryBundle) -> SearchRequest | None:
    none_wanted = any(ids is not None and not ids for ids in (settings.node_ids, settings.doc_ids))
    if none_wanted or bundle.embedding is not None or bundle.custom_embedding_strs or is_blank(bundle.query_str):
        return None
    is_default = settings.ranking is None and settings.mode in LEFT_TO_THE_STORE
    return SearchRequest(
        [bundle.query_str],
        settings.searched,
        selection_of(node_ids=settings.node_ids, doc_ids=settings.doc_ids, filters=settings.filters),
        ranking=None if is_default else settings.ranking_in(client, without_words=False),
        diversity=settings.diversity_used(),
        min_relevance=settings.min_relevance,
    )
