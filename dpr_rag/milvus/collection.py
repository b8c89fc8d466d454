"""``Collection``: the requests to one collection of a Milvus server or a milvus-lite file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dpr_rag.encoder import Encoder
from dpr_rag.errors import ServiceError, ServiceUnavailableError, StoreNotFoundError
from dpr_rag.milvus import schema
from dpr_rag.milvus.address import FILL_ONE, Address
from dpr_rag.milvus.conditions import ALL
from dpr_rag.milvus.connection import Connection
from dpr_rag.milvus.fitted import Fitted
from dpr_rag.milvus.kinds import Kind
from dpr_rag.milvus.records import FIELDS, StoredPassage

MAX_LIMIT = 16_384
"""The largest number of hits or rows in one answer of Milvus."""
_PAGE, _SMALL_RESULT, _HITS_AT_ONCE = 200, 500, 1_000
Scored = list[tuple[StoredPassage, float]]


class Collection:
    """A client of one collection; every read sees all earlier writes (consistency level ``Strong``).

    Args:
        address: Address of the collection.
        timeout: Seconds per request.
        kind: Index to build if the collection lacks one because its creation was interrupted.

    Raises:
        NotAStoreError: The collection was not made by dpr-rag.
        DprRagError: See :class:`Connection`.
    """

    def __init__(self, address: Address, timeout: float, *, kind: Kind | None = None) -> None:
        self.address, self._connection = address, Connection(address, timeout)
        self._client, self._timeout, self._errors = self._connection.client, timeout, self._connection.errors
        self.version, self.is_lite = self._connection.version, self._connection.is_lite
        self.kind = (kind or Kind()).built_by(lite=self.is_lite)
        self.name, self.knows_words = address.collection, self._connection.knows_words
        self.is_at_least = self._connection.is_at_least
        self.description, self.exists = schema.Description(), False
        self.fitted = Fitted(lambda: self.count(ALL))
        try:
            self.refresh()
        except BaseException:
            self.close()
            raise

    @property
    def dim(self) -> int | None:
        """Components per vector; None while the collection does not exist."""
        return self.description.dim

    @property
    def has_words(self) -> bool:
        """Whether the collection has a BM25 index."""
        return self.description.words

    def refresh(self) -> None:
        """Read whether the collection exists, and its schema, properties and index; load it, and build a missing index.

        Raises:
            NotAStoreError: The collection was not made by dpr-rag.
        """
        with self._errors("describe"):
            if not self._client.has_collection(self.name, timeout=self._timeout):
                return
            description = self._client.describe_collection(self.name, timeout=self._timeout)
        self.description = schema.read_description(self.address.shown, description)
        with self._errors("load"):
            index = self._client.describe_index(self.name, "vector", timeout=self._timeout)
            if not index:
                indexes = schema.indexes_of(self._connection.library, self.kind, words=self.has_words)
                self._client.create_index(self.name, indexes, timeout=self._timeout)
            self.kind = replace(Kind.of(index), asked=self.description.asked_kind) if index else self.kind
            self._client.load_collection(self.name, timeout=self._timeout)
        self.exists = True

    def create(self, dim: int, encoder: Encoder | None, kind: Kind, parted_by: str | None) -> None:
        """Create the collection with its indexes; if another client has just created it, use that one.

        Raises:
            ServiceError: The engine refuses.
        """
        library, words, self.kind = self._connection.library, self.knows_words, kind.built_by(lite=self.is_lite)
        fields = schema.schema_of(library, dim, words=words, parted=parted_by is not None)
        options: dict[str, Any] = {"consistency_level": "Strong", "timeout": self._timeout}
        if parted_by is not None and not self.is_lite:  # milvus-lite has its own number
            options["num_partitions"] = schema.PARTITIONS
        options["properties"] = schema.properties_of(encoder, parted_by, self.kind.asked)
        indexes = schema.indexes_of(library, self.kind, words=words)
        try:
            with self._errors("create"), self._connection.writing():
                self._client.create_collection(self.name, schema=fields, index_params=indexes, **options)
        except ServiceError:
            self.refresh()
            if not self.exists:
                raise
            return
        self.refresh()

    def note(self, **values: str) -> None:
        """Save properties of the collection: the tuned ranking, or its origin, under their names in ``description``."""
        properties = {schema.NOTED[name]: value for name, value in values.items()}
        with self._errors("note"), self._connection.writing():
            self._client.alter_collection_properties(self.name, properties=properties, timeout=self._timeout)
        changes: Any = values
        self.description = replace(self.description, **changes)

    def upsert(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Insert or replace rows; they are durable when this returns."""
        with self._errors("upsert"), self._connection.writing():
            self._client.upsert(self.name, list(records), timeout=self._timeout)
        self.fitted.changed()

    def remove(self, keys: Sequence[str]) -> None:
        """Delete rows by key."""
        for start in range(0, len(keys), _PAGE * 5):
            with self._errors("delete"), self._connection.writing():
                expression = key_in(keys[start : start + _PAGE * 5])
                self._client.delete(self.name, filter=expression, timeout=self._timeout)
        self.fitted.changed()

    def by_keys(self, keys: Sequence[str], *, vectors: bool = False) -> dict[str, StoredPassage]:
        """Passages by key; unknown ones are left out."""
        passages: dict[str, StoredPassage] = {}
        if not self.exists:
            return passages
        for start in range(0, len(keys), _PAGE):
            for stored in self._query(key_in(keys[start : start + _PAGE]), _PAGE, vectors=vectors):
                passages[stored.key] = stored
        return passages

    def _query(self, expression: str, limit: int, *, vectors: bool) -> list[StoredPassage]:
        fields = [*FIELDS, *(["vector"] if vectors else [])]
        with self._errors("query"):
            options: dict[str, Any] = {"output_fields": fields, "limit": limit, "timeout": self._timeout}
            return [StoredPassage.of(row) for row in self._client.query(self.name, filter=expression, **options)]

    def count(self, expression: str) -> int:
        """The number of passages that match an expression."""
        if not self.exists:
            return 0
        with self._errors("count"):
            options: dict[str, Any] = {"output_fields": ["count(*)"], "timeout": self._timeout}
            return int(self._client.query(self.name, filter=_sent_expression(expression), **options)[0]["count(*)"])

    def scan(self, expression: str, *, vectors: bool = False) -> Iterator[StoredPassage]:
        """All passages that match an expression, in any order, read page by page."""
        for row in self._pages(expression, [*FIELDS, *(["vector"] if vectors else [])]):
            yield StoredPassage.of(row)

    def rows_and_keys(self, expression: str) -> Iterator[tuple[int, str]]:
        """Row number and key of all passages that match an expression, in any order."""
        for row in self._pages(expression, ["key", "row"]):
            yield int(row["row"]), row["key"]

    def _pages(self, expression: str, fields: list[str]) -> Iterator[Mapping[str, Any]]:
        if not self.exists:
            return
        options: dict[str, Any] = {"filter": expression, "output_fields": fields, "timeout": self._timeout}
        with self._errors(
            "read"
        ):  # one request for a small result; a page iterator takes several, each waits for writers
            rows = self._client.query(self.name, limit=_SMALL_RESULT, **options)
        if len(rows) < _SMALL_RESULT:
            yield from rows
            return
        with self._errors("read"):
            pages = self._client.query_iterator(self.name, batch_size=500, **options)
        try:
            while True:
                with self._errors("read"):
                    page = pages.next()
                if not page:
                    return
                yield from page
        finally:
            pages.close()

    def nearest(self, questions: Sequence[Any], limit: int, expression: str, *, words: bool) -> list[Scored]:
        """The best passages for each question, a vector [dim] or words, with the engine's scores; higher is better."""
        if not self.exists:
            return [[] for _ in questions]
        results: list[Scored] = []
        at_once = max(1, _HITS_AT_ONCE // limit)
        for start in range(0, len(questions), at_once):
            part = questions[start : start + at_once]
            try:
                hits = self._search(part, limit, expression, [*FIELDS, "vector"], words=words)
                results += [
                    [(StoredPassage.of({**fields, "key": key}), score) for key, score, fields in row] for row in hits
                ]
            except ServiceUnavailableError:
                raise
            except ServiceError:  # perhaps too large for one answer: fetch the keys, then the passages in pages
                if limit <= _PAGE:
                    raise
                results += self._fetch_in_pages(self._search(part, limit, expression, ["key"], words=words))
        return results

    def _fetch_in_pages(self, hits: Sequence[Sequence[tuple[str, float, Any]]]) -> list[Scored]:
        passages = self.by_keys(list(dict.fromkeys(key for row in hits for key, _, _ in row)), vectors=True)
        return [[(passages[key], score) for key, score, _ in row if key in passages] for row in hits]

    def scores_by_words(self, questions: Sequence[str], keys: Sequence[str]) -> list[dict[str, float]]:
        """The engine's BM25 scores of some passages, by key, for each question; those without a word of it are left out."""
        scores: list[dict[str, float]] = [{} for _ in questions]
        for start in range(0, len(keys), _HITS_AT_ONCE):
            part = keys[start : start + _HITS_AT_ONCE]
            for number, hits in enumerate(self._search(questions, len(part), key_in(part), ["key"], words=True)):
                scores[number].update((key, score) for key, score, _ in hits)
        return scores

    def _search(
        self, questions: Sequence[Any], limit: int, expression: str, fields: list[str], *, words: bool
    ) -> list[list[tuple[str, float, Mapping[str, Any]]]]:
        """Key, score and fields of the best passages for each question, in one request."""
        parameters = {"metric_type": "BM25", "params": {}}
        if not words:
            parameters = {"metric_type": "IP", "params": self.kind.search_parameters(limit)}
        options: dict[str, Any] = {"anns_field": "sparse" if words else "vector", "search_params": parameters}
        options |= {
            "filter": _sent_expression(expression),
            "output_fields": fields,
            "limit": limit,
            "timeout": self._timeout,
        }
        with self._errors("search"):
            results = self._client.search(self.name, data=list(questions), **options)
        sign = -1.0 if words and self.is_lite else 1.0
        return [[(_key(hit), sign * float(hit["distance"]), hit["entity"]) for hit in row] for row in results]

    def flush(self) -> None:
        """Seal the growing segments, so that the engine indexes them."""
        with self._errors("flush"):
            self._client.flush(self.name, timeout=self._timeout)

    def indexing(self) -> tuple[int, int]:
        """The number of rows in the index, and of rows still to be indexed, as the engine reports them."""
        with self._errors("describe"):
            index = self._client.describe_index(self.name, "vector", timeout=self._timeout) or {}
        return int(index.get("indexed_rows", 0)), int(index.get("pending_index_rows", 0))

    def refuse_missing(self) -> None:
        """Check that the collection exists.

        Raises:
            StoreNotFoundError: It does not.
        """
        if not self.exists:
            raise StoreNotFoundError(f"there is no collection {self.name!r} at {self.address.shown}; " + FILL_ONE)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _key(hit: Mapping[str, Any]) -> str:
    return str(hit["entity"].get("key") or hit.get("id") or hit.get("key"))


def _sent_expression(expression: str) -> str:
    """The expression to send: none for all passages, since milvus-lite would evaluate it row by row."""
    return "" if expression == ALL else expression


def key_in(keys: Sequence[str]) -> str:
    """The expression that matches passages by key."""
    quoted = ", ".join(f'"{key}"' for key in keys)
    return f"key in [{quoted}]" if keys else "row < 0"
