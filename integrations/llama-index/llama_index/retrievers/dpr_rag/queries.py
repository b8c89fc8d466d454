"""Checks of the questions of a retriever: strings and query bundles."""

from __future__ import annotations

from collections.abc import Mapping

from llama_index.core.schema import NodeWithScore, QueryBundle, QueryType

from dpr_rag.arguments import is_blank
from dpr_rag.errors import ArgumentError

_USUAL = ("question", "query", "input")


class CheckedQuestions:
    """Checks a question before ``retrieve``; in a base class, so that LlamaIndex does not trace the check as a call."""

    def retrieve(self, str_or_query_bundle: QueryType) -> list[NodeWithScore]:
        """Nodes for a question, best first.

        Raises:
            TypeError: It is neither a string nor a ``QueryBundle``.
        """
        return super().retrieve(checked(str_or_query_bundle))  # type: ignore[misc,no-any-return]

    async def aretrieve(self, str_or_query_bundle: QueryType) -> list[NodeWithScore]:
        """Like :meth:`retrieve`; other embeddings than ``DPREmbedding`` are asked by ``aget_query_embedding``."""
        return await super().aretrieve(checked(str_or_query_bundle))  # type: ignore[misc,no-any-return]


def checked(query: object) -> str | QueryBundle:
    """What LlamaIndex can retrieve for.

    Raises:
        TypeError: It is neither a string nor a ``QueryBundle``; the message says how to get one of it.
    """
    if isinstance(query, str):
        return query
    if isinstance(query, QueryBundle) and isinstance(query.query_str, str):
        return query
    inner = query.query_str if isinstance(query, QueryBundle) else query
    name = "query_str" if isinstance(query, QueryBundle) else "the question"
    raise ArgumentError(
        f"{name} is {type(inner).__name__} {inner!r:.80}, expected a string or a QueryBundle; {_remedy(inner)}"
    )


def _remedy(query: object) -> str:
    if isinstance(query, Mapping):
        keys = [key for key in query if isinstance(key, str)]
        key = next((name for name in (*_USUAL, *keys) if name in keys), "question")
        return f"pass given[{key!r}]"
    if hasattr(query, "content"):
        return "pass message.content"
    if hasattr(query, "get_content"):
        return "pass node.get_content()"
    if hasattr(query, "response"):
        return "pass str(response)"
    if isinstance(query, list | tuple):
        return "retrieve for one question after the other; QueryBundle(custom_embedding_strs=...) embeds several as one"
    return "pass the text that is asked for"


def strings_of(bundle: QueryBundle) -> list[str]:
    """The strings whose embeddings stand for the question, without blank ones."""
    return [text for text in bundle.embedding_strs if not is_blank(text)]
