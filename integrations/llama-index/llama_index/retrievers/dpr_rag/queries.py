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


def checked(given: object) -> str | QueryBundle:
    """What LlamaIndex can retrieve for.

    Raises:
        TypeError: It is neither a string nor a ``QueryBundle``; the message says how to get one of it.
    """
    if isinstance(given, str):
        return given
    if isinstance(given, QueryBundle) and isinstance(given.query_str, str):
        return given
    inner = given.query_str if isinstance(given, QueryBundle) else given
    name = "query_str" if isinstance(given, QueryBundle) else "the question"
    raise ArgumentError(
        f"{name} is {type(inner).__name__} {inner!r:.80}, expected a string or a QueryBundle; {_remedy(inner)}"
    )


def _remedy(given: object) -> str:
    if isinstance(given, Mapping):
        keys = [key for key in given if isinstance(key, str)]
        key = next((one for one in (*_USUAL, *keys) if one in keys), "question")
        return f"pass given[{key!r}]"
    if hasattr(given, "content"):
        return "pass message.content"
    if hasattr(given, "get_content"):
        return "pass node.get_content()"
    if hasattr(given, "response"):
        return "pass str(response)"
    if isinstance(given, list | tuple):
        return "retrieve for one question after the other; QueryBundle(custom_embedding_strs=...) embeds several as one"
    return "pass the text that is asked for"


def strings_of(bundle: QueryBundle) -> list[str]:
    """The strings whose embeddings stand for the question, without blank ones."""
    return [one for one in bundle.embedding_strs if not is_blank(one)]
