"""LangChain's documents as passages, and hits as documents."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, ItemsView, KeysView, Mapping, Sequence, ValuesView
from dataclasses import asdict, dataclass
from typing import Any, Literal

from langchain_core.documents import Document

from dpr_rag import RESERVED_KEYS, Calibration, Filter, Hit, Passage, format_passages, to_json_metadata
from dpr_rag.arguments import is_blank as is_blank_text
from dpr_rag.errors import ArgumentError, PassageError
from dpr_rag.fillable import FilledStore
from dpr_rag.filters import check_predicate
from langchain_dpr_rag.checks import documents_given, ids_given, metadatas_given

SCORE_KEY = "dpr_score"
RANK_KEY = "dpr_rank"
RELEVANCE_KEY = "dpr_relevance"
RETRIEVED_KEY = "dpr_retrieved"
ANSWER_KEY = "dpr_answer"
_OF_A_SEARCH = (SCORE_KEY, RANK_KEY, RELEVANCE_KEY, RETRIEVED_KEY, ANSWER_KEY)

OnBlank = Literal["skip", "error"]
OnBadText = Literal["error", "replace", "skip"]
OnMetadata = Literal["error", "convert"]
Where = Mapping[str, Any] | Filter | Callable[[Any], bool] | None
_POLICIES = {
    "on_blank": ("skip", "error"),
    "on_bad_text": ("error", "replace", "skip"),
    "on_metadata": ("error", "convert"),
}
_log = logging.getLogger(__name__)


def documents_of(texts: Sequence[str], metadatas: Sequence[dict[str, Any]] | None) -> list[Document]:
    """Texts and their metadata as documents without ids.

    Raises:
        ValueError: There are not as many metadatas as texts.
    """
    checked = metadatas_given(metadatas, len(texts))
    return [Document(page_content=text, metadata=metadata) for text, metadata in zip(texts, checked, strict=True)]


def document_of(passage: Passage) -> Document:
    """A passage as a document; a title stands under ``metadata["title"]``."""
    title = {"title": passage.title} if passage.title else {}
    return Document(id=passage.id, page_content=passage.text, metadata={**title, **passage.visible_metadata})


def scored_document(hit: Hit, calibration: Calibration | None, asked: bool = True) -> Document:
    """A hit as a document with score and rank in its metadata, and its relevance where there is a calibration.

    Where nothing was asked for but a filter, it is wholly relevant. Of a reranked hit also what the search gave it, which its
    relevance follows from, and the answer in it.
    """
    document = document_of(hit.passage)
    document.metadata |= {SCORE_KEY: hit.score, RANK_KEY: hit.rank} | answer_record(hit)
    searched = hit.score if hit.retrieved is None else hit.retrieved
    if hit.retrieved is not None:
        document.metadata[RETRIEVED_KEY] = searched
    if calibration is not None:
        document.metadata[RELEVANCE_KEY] = calibration.relevance(searched) if asked else 1.0
    return document


def answer_record(hit: Hit) -> dict[str, Any]:
    """What a hit's answer puts into the metadata: nothing where there is none."""
    return {} if hit.answer is None else {ANSWER_KEY: asdict(hit.answer)}


@dataclass(frozen=True, slots=True)
class Policies:
    """How documents are handled that cannot be stored as they are.

    Attributes:
        on_blank: ``skip`` leaves blank documents out with one warning, ``error`` refuses them.
        on_bad_text: What becomes of lone surrogates, see ``Passage.made``; ``skip`` leaves out with one warning.
        on_metadata: ``convert`` makes JSON of metadata that are none, see ``dpr_rag.to_json_metadata``; ``error`` refuses them.
    """

    on_blank: OnBlank = "skip"
    on_bad_text: OnBadText = "error"
    on_metadata: OnMetadata = "error"

    def __post_init__(self) -> None:
        for name, choices in _POLICIES.items():
            if not isinstance(value := getattr(self, name), str) or value not in choices:
                *first, last = map(repr, choices)
                raise ArgumentError(f"{name} is {value!r:.80}, expected {', '.join(first)} or {last}")


def passages_of(
    store: FilledStore, documents: Sequence[Document], ids: Sequence[str | None] | None, policies: Policies
) -> list[Passage | None]:
    """Documents as passages of a store, with None for those that are not stored: blank ones, and those with bad text.

    A non-empty string under ``metadata["title"]`` becomes the passage's title. What an earlier search wrote into the
    metadata is left out. Documents without an id get that of their content, see :func:`content_id`.

    Args:
        store: Where they are to go; a view of one puts fields of its own into them.
        documents: What to store; left as they are.
        ids: One id per document, None among them for that of its content; None to take the documents' own.
        policies: What becomes of those that cannot be stored as they are.

    Raises:
        ValueError: There are as many ids as documents, or a document is blank and that is an error.
        PassageError: A document's id, text or metadata cannot be stored, or it uses the key ``_dpr_rag``.
    """
    checked_ids = ids_given(ids, len(documents))
    chosen = [document.id for document in documents] if checked_ids is None else checked_ids
    pairs = list(zip(documents, chosen, strict=True))
    blank = sum(is_blank(document) for document in documents)
    if blank:
        _report_blanks(pairs, blank, policies.on_blank)
    passages = [
        None if is_blank(document) else _passage_of(store, document, document_id, at, policies)
        for at, (document, document_id) in enumerate(pairs, start=1)
    ]
    bad = [at for at, passage in enumerate(passages) if passage is None and not is_blank(documents[at])]
    if bad:
        message = "%d of %d documents hold lone surrogates and were skipped, the first is number %d"
        _log.warning(message, len(bad), len(pairs), bad[0] + 1)
    return passages


def is_blank(document: Document) -> bool:
    """Whether a document holds only white space and invisible characters, as PDF loaders make of empty pages."""
    return is_blank_text(document.page_content)


def _report_blanks(pairs: Sequence[tuple[Document, str | None]], count: int, on_blank: OnBlank) -> None:
    at, name = next((at, document_id) for at, (document, document_id) in enumerate(pairs) if is_blank(document))
    if on_blank == "error":
        raise ArgumentError(
            f"document {at + 1} (id {name!r}) is blank, as {count} of {len(pairs)} are; drop them, or pass on_blank='skip'"
        )
    _log.warning("%d of %d documents are blank and were skipped, the first is number %d", count, len(pairs), at + 1)


def _passage_of(
    store: FilledStore, document: Document, passage_id: str | None, at: int, policies: Policies
) -> Passage | None:
    name = f"number {at}, without an id" if passage_id is None else passage_id
    for key in RESERVED_KEYS:
        if key in document.metadata:
            raise PassageError(f"document {name!r:.120}: the metadata key {key!r} is reserved; rename it")
    known_metadata = document.metadata if policies.on_metadata == "error" else _converted(document.metadata, name)
    title = _title_of(known_metadata)
    reserved = {*_OF_A_SEARCH, "title"} if title else {*_OF_A_SEARCH}
    metadata = {key: value for key, value in known_metadata.items() if key not in reserved}
    parsed = Passage.made(name, document.page_content, title, metadata, on_bad_text=policies.on_bad_text)
    passage = None if parsed is None or is_blank_text(parsed.text) else store.admitted(parsed)
    if passage is None or passage_id is not None:
        return passage
    return Passage.checked_before(content_id(passage), passage.text, passage.title, passage.metadata)


def content_id(passage: Passage) -> str:
    """The id of a document without one: 128 bits of a hash over title, text and all metadata.

    The same document gets the same id in every run, so that a script that is run again adds nothing; equal texts from
    different places stay apart. The order of keys does not count.
    """
    content = json.dumps([passage.title, passage.text, passage.metadata], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _converted(metadata: Mapping[Any, Any], name: str) -> dict[str, Any]:
    try:
        return to_json_metadata(metadata)
    except PassageError as error:
        raise PassageError(f"document {name!r:.120}: {error}") from error


def _title_of(metadata: Mapping[str, Any]) -> str:
    title = metadata.get("title")
    return title if isinstance(title, str) else ""


class Judged(Document):
    """A document that a filter judges, which is its metadata too: ``one["year"]`` where others hand over a dict alone."""

    def __getitem__(self, key: str) -> Any:
        return self.metadata[key]

    def __contains__(self, key: object) -> bool:
        return key in self.metadata

    def __len__(self) -> int:
        return len(self.metadata)

    def __bool__(self) -> bool:
        return True

    def get(self, key: str, default: Any = None) -> Any:
        """The metadata's value under a key, or the default."""
        return self.metadata.get(key, default)

    def keys(self) -> KeysView[str]:
        """The metadata's keys."""
        return self.metadata.keys()

    def values(self) -> ValuesView[Any]:
        """The metadata's values."""
        return self.metadata.values()

    def items(self) -> ItemsView[str, Any]:
        """The metadata's keys and values."""
        return self.metadata.items()


def where_of(where: Where) -> Mapping[str, Any] | Filter | Callable[[Passage], bool] | None:
    """A filter as the core takes it: a callable on documents, or on their metadata, becomes one on passages.

    Raises:
        FilterError: The callable never answers with True or False, such as a coroutine function.
    """
    check_predicate(where)
    if callable(where):
        return lambda passage: where(_judged(passage))
    return where


def _judged(passage: Passage) -> Judged:
    judged = document_of(passage)
    return Judged(id=judged.id, page_content=judged.page_content, metadata=judged.metadata)


def format_documents(documents: Sequence[Document]) -> str:
    """Documents as one block for a prompt, inside delimiters that no document can forge; see ``format_passages``.

    Each is numbered from 1, so that a model can cite its sources. Title and text go in, metadata and blank documents
    do not.
    """
    filled = [document for document in documents_given(documents) if not is_blank(document)]
    return format_passages(
        Passage(document.id or str(at), document.page_content, _title_of(document.metadata))
        for at, document in enumerate(filled, start=1)
    )
