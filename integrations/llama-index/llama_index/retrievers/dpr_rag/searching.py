"""The search of a retriever: by the question's words, by its embedding, or by filters alone if it is blank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.base.embeddings.base import Embedding, mean_agg
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index.retrievers.dpr_rag.queries import strings_of
from llama_index.retrievers.dpr_rag.settings import Settings
from llama_index.vector_stores.dpr_rag.nodes import to_node
from llama_index.vector_stores.dpr_rag.querying import selection_of, tell_if_empty, without_question

from dpr_rag import Hit, Ranking, SearchRequest, Store
from dpr_rag.arguments import is_blank
from dpr_rag.stores import execute


def ranking_for(client: Store, settings: Settings, bundle: QueryBundle) -> Ranking:
    """The ranking for a question; inner product if it is an embedding without words."""
    by_vector = bundle.embedding is not None or bool(bundle.custom_embedding_strs)
    return settings.ranking_in(client, without_words=by_vector and is_blank(bundle.query_str))


def searched(client: Store, settings: Settings, bundle: QueryBundle) -> list[Hit]:
    """The hits of the search, as many as the reranker reads if there is one."""
    if any(ids is not None and not ids for ids in (settings.node_ids, settings.doc_ids)):
        return []  # in a query of LlamaIndex's own, no node_ids restrict nothing
    where = selection_of(node_ids=settings.node_ids, doc_ids=settings.doc_ids, filters=settings.filters)
    words, k = bundle.query_str, settings.searched
    ranking = ranking_for(client, settings, bundle)
    by_vector = bundle.embedding is not None or bool(strings_of(bundle))
    if ranking.needs_words and is_blank(words) and by_vector and ranking.needs_vectors:
        ranking = Ranking()
    if is_blank(words) if ranking.needs_words else not by_vector:
        return without_question(client, where, k)
    request = SearchRequest(
        [words] if ranking.needs_words else None,
        k,
        where,
        [_embedding(client, bundle)] if ranking.needs_vectors else None,
        ranking=ranking,
        diversity=settings.diversity_used(),
        min_relevance=settings.min_relevance,
    )
    (hits,) = execute(client, request)
    tell_if_empty(client, hits)
    return hits


def _embedding(client: Any, bundle: QueryBundle) -> Embedding:
    """The bundle's embedding, or the mean of the embeddings of its strings."""
    if bundle.embedding is not None:
        return bundle.embedding
    return mean_agg(client.encode_questions(strings_of(bundle)).tolist())


def scored(settings: Settings, bundle: QueryBundle, hits: Sequence[Hit]) -> list[NodeWithScore]:
    """The hits as nodes with scores, reranked if there is a reranker and the question is not blank."""
    stage, k = settings.second_stage, settings.similarity_top_k
    ranked = hits[:k] if stage is None or is_blank(bundle.query_str) else stage.ranked(bundle.query_str, hits, k)
    return [NodeWithScore(node=to_node(hit.passage), score=hit.score) for hit in ranked]
