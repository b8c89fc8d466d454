"""Checks of the arguments of LangChain's methods: lists of documents, texts, metadata and ids."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from langchain_core.documents import Document

from dpr_rag.arguments import check_each, check_number, check_text, iterated, kind, remedy
from dpr_rag.errors import ArgumentError


def documents_given(documents: object) -> list[Document]:
    """Documents as a list.

    Raises:
        ArgumentError: They are no list, or one is no document.
    """
    advice = "wrap it in a list" if isinstance(documents, Document) else "strings go to add_texts, in a list"
    if isinstance(documents, Document):
        raise ArgumentError(f"documents is one Document, expected several; {advice}")
    listed = list(
        iterated("documents", documents, "a list of LangChain's Documents", error=ArgumentError, advice=advice)
    )
    advice = "give Document(page_content=…), or strings to add_texts"
    check_each("document", listed, Document, "a langchain_core Document", advice=advice)
    return listed


def texts_given(texts: object) -> list[str]:
    """Texts as a list.

    Raises:
        ArgumentError: They are one string or no list, or one is no string.
    """
    if isinstance(texts, str):
        raise ArgumentError(f"texts is one string, {texts!r:.60}, expected several; wrap it in a list")
    listed = list(
        iterated("texts", texts, "a list of strings", error=ArgumentError, advice="give the strings in a list")
    )
    for at, text in enumerate(listed, start=1):
        if not isinstance(text, str):
            advice = remedy(text, several="join its parts, or give each as a text of its own")
            advice = "give .page_content, or documents to add_documents" if isinstance(text, Document) else advice
            raise ArgumentError(f"text {at} is {kind(text)}, expected a string; {advice}")
    return listed


def metadatas_given(metadatas: object, count: int) -> list[dict[str, Any]]:
    """One dict for each of so many texts; empty ones where none were given.

    Raises:
        ArgumentError: They are no list of dicts, or more or fewer.
    """
    if metadatas is None:
        return [{} for _ in range(count)]
    advice = "give one dict for each text, in a list"
    listed = list(iterated("metadatas", metadatas, "a list of dicts", error=ArgumentError, advice=advice))
    if len(listed) != count:
        raise ArgumentError(f"{len(listed)} metadatas were given for {count} texts; give one each")
    check_each("metadata", listed, Mapping, "a dict", advice="give {} for none")
    return [dict(metadata) for metadata in listed]


def ids_given(ids: object, count: int) -> list[str | None] | None:
    """One id, or None, for each of so many documents; None where none were given.

    Raises:
        ArgumentError: They are no list of strings, or more or fewer.
    """
    if ids is None:
        return None
    if isinstance(ids, Set):
        raise ArgumentError(f"ids is a {type(ids).__name__}, which has no order; give a list, one for each document")
    wrap = f"wrap it as [{ids!r:.60}]" if isinstance(ids, str) else "give one for each document, in a list"
    listed = list(iterated("ids", ids, "a list of ids", error=ArgumentError, advice=wrap))
    if len(listed) != count:
        raise ArgumentError(f"{len(listed)} ids were given for {count} documents; give one each, or None for some")
    for doc_id in listed:
        if doc_id is not None and not isinstance(doc_id, str):
            raise ArgumentError(
                f"an id is {kind(doc_id)}, expected a string or None; {remedy(doc_id, several='give one string for each')}"
            )
    return listed


def pairs_given(pairs: object) -> tuple[list[str], list[Any]]:
    """Texts and their vectors.

    Raises:
        ArgumentError: They are no list of pairs.
    """
    form = "give [(text, vector), …]"
    if isinstance(pairs, Document):  # whose fields pydantic iterates as pairs
        raise ArgumentError(f"text_embeddings is {kind(pairs)}, expected a list of pairs; {form}")
    listed = list(iterated("text_embeddings", pairs, "a list of pairs", error=ArgumentError, advice=form))
    for at, pair in enumerate(listed, start=1):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ArgumentError(f"pair {at} is {kind(pair)}, expected a text and its vector; {form}")
    return texts_given([text for text, _ in listed]), [vector for _, vector in listed]


def inputs_given(inputs: object) -> list[Any]:
    """The inputs of ``batch`` as a list.

    Raises:
        ArgumentError: It is one question, or no list.
    """
    advice = "give a list of questions; invoke() takes one"
    return list(iterated("inputs", inputs, "a list of questions", error=ArgumentError, advice=advice))


def check_threshold(score_threshold: object) -> None:
    """Refuse a ``score_threshold`` that is no relevance; None is none.

    Raises:
        ArgumentError: It is no number from 0 to 1.
    """
    if score_threshold is not None:
        check_number("score_threshold", score_threshold, ArgumentError, high=1.0, more=", a relevance")


def text_given(text: object) -> str:
    """A text that is embedded.

    Raises:
        ArgumentError: It is no string.
    """
    return check_text(text, several="call embed_documents() for several")
