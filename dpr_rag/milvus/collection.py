"""One collection of an engine: its schema, its requests, and its errors as ours."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dpr_rag.encoder import Encoder
from dpr_rag.errors import (
    MissingExtraError,
    NotAStoreError,
    ServiceError,
    ServiceUnavailableError,
    StoreClosedError,
    StoreNotFoundError,
    install,
)
from dpr_rag.milvus.address import Address
from dpr_rag.milvus.kinds import Kind
from dpr_rag.milvus.records import FIELDS, MAX_TERMS, MAX_TEXT, Kept
from dpr_rag.milvus.terms import TERM_LENGTH
from dpr_rag.store.recording import profile_of

MOST = 16_384
"""Hits and rows that Milvus gives at once at most."""
_PAGE, _FEW = 200, 500
_WITH_WORDS = (2, 5)
_MARK, _MADE_BY = "dpr_rag.fingerprint", "dpr_rag.encoder"


class Collection:
    """Asks one collection; every read sees what was written before it (consistency ``Strong``).

    Args:
        address: Where it lies.
        timeout: Seconds that a request may take.

    Raises:
        MissingExtraError: pymilvus, or for a file milvus-lite, is not installed.
        ServiceUnavailableError: Nobody answers there.
    """

    def __init__(self, address: Address, timeout: float) -> None:
        try:
            import pymilvus
        except ImportError as error:
            raise MissingExtraError(f"a store in Milvus needs pymilvus; {install('milvus')}") from error
        self.address, self._library, self._timeout = address, pymilvus, timeout
        self._closed = False
        with self._errors("connect"):
            self._client = pymilvus.MilvusClient(address.uri, token=address.token or "", timeout=timeout)
            self.version = str(self._client.get_server_version(timeout=timeout))
        self.name = address.collection
        self.kind, self.fingerprint, self.has_words = Kind(), "", False
        self.made_by: dict[str, Any] = {}  # what the encoder says of itself: source, profile
        self.dim: int | None = None
        self.exists = self._read()

    @property
    def is_lite(self) -> bool:
        """Whether milvus-lite answers, whose BM25 has the other sign."""
        return "lite" in self.version and not self.version.startswith("v")

    @property
    def knows_words(self) -> bool:
        """Whether the engine has a BM25 of its own."""
        numbers = self.version.removeprefix("v").split("-")[0].split(".")
        return self.is_lite or tuple(int(one) for one in numbers[:2] if one.isdigit()) >= _WITH_WORDS

    def _read(self) -> bool:
        with self._errors("describe"):
            if not self._client.has_collection(self.name, timeout=self._timeout):
                return False
            found = self._client.describe_collection(self.name, timeout=self._timeout)
        fields = {one["name"]: one for one in found["fields"]}
        properties = found.get("properties") or {}
        if not {*FIELDS, "terms", "numbers", "vector"} <= fields.keys() or _MARK not in properties:
            raise NotAStoreError(
                f"{self.address.shown} is a collection that dpr-rag did not make; name another one, which it makes itself"
            )
        self.dim = int(fields["vector"]["params"]["dim"])
        self.fingerprint, self.has_words = str(properties[_MARK]), "words" in fields
        self.made_by = json.loads(properties.get(_MADE_BY, "{}"))
        with self._errors("load"):
            self.kind = Kind.of(self._client.describe_index(self.name, "vector", timeout=self._timeout) or {})
            self._client.load_collection(self.name, timeout=self._timeout)
        return True

    def create(self, dim: int, encoder: Encoder | None, kind: Kind) -> None:
        """Make the collection, with its index; another client that made it meanwhile has made it alike.

        Raises:
            ServiceError: The engine refuses.
        """
        kinds, words = self._library.DataType, self.knows_words
        schema = self._library.MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("key", kinds.VARCHAR, is_primary=True, max_length=32)
        schema.add_field("row", kinds.INT64)
        for name in ("id", "title", "text"):
            schema.add_field(name, kinds.VARCHAR, max_length=MAX_TEXT)
        schema.add_field("metadata", kinds.JSON)
        schema.add_field(
            "terms", kinds.ARRAY, element_type=kinds.VARCHAR, max_length=TERM_LENGTH, max_capacity=MAX_TERMS
        )
        schema.add_field("numbers", kinds.JSON)
        schema.add_field("vector", kinds.FLOAT_VECTOR, dim=dim)
        index = self._client.prepare_index_params()
        index.add_index("vector", index_type=kind.name, metric_type="IP", params=kind.building())
        if words:
            analyzer = {"tokenizer": "standard", "filter": ["lowercase"]}
            schema.add_field(
                "words", kinds.VARCHAR, max_length=MAX_TEXT, enable_analyzer=True, analyzer_params=analyzer
            )
            schema.add_field("sparse", kinds.SPARSE_FLOAT_VECTOR)
            made = self._library.Function("bm25", self._library.FunctionType.BM25, ["words"], ["sparse"])
            schema.add_function(made)
            parameters = {"bm25_k1": 0.9, "bm25_b": 0.4}
            index.add_index("sparse", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25", params=parameters)
        properties = {
            _MARK: "" if encoder is None else encoder.fingerprint,
            _MADE_BY: json.dumps({"source": getattr(encoder, "source", ""), "profile": profile_of(encoder)}),
        }
        options = {"consistency_level": "Strong", "properties": properties, "timeout": self._timeout}
        with self._errors("create"):
            self._client.create_collection(self.name, schema=schema, index_params=index, **options)
        self.exists = self._read()

    def upsert(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Write rows; they are durable when this returns."""
        with self._errors("upsert"):
            self._client.upsert(self.name, list(records), timeout=self._timeout)

    def remove(self, keys: Sequence[str]) -> None:
        """Delete rows by key."""
        for start in range(0, len(keys), _PAGE * 5):
            with self._errors("delete"):
                expression = _among(keys[start : start + _PAGE * 5])
                self._client.delete(self.name, filter=expression, timeout=self._timeout)

    def by_keys(self, keys: Sequence[str], *, vectors: bool = False) -> dict[str, Kept]:
        """Passages by key; unknown ones are left out."""
        found: dict[str, Kept] = {}
        if not self.exists:
            return found
        for start in range(0, len(keys), _PAGE):
            for one in self._query(_among(keys[start : start + _PAGE]), _PAGE, vectors=vectors):
                found[one.key] = one
        return found

    def first(self, expression: str, limit: int) -> list[Kept]:
        """Some passages with their vectors that an expression keeps, in any order."""
        return self._query(expression, min(limit, MOST), vectors=True) if self.exists else []

    def _query(self, expression: str, limit: int, *, vectors: bool) -> list[Kept]:
        fields = [*FIELDS, *(["vector"] if vectors else [])]
        with self._errors("query"):
            options: dict[str, Any] = {"output_fields": fields, "limit": limit, "timeout": self._timeout}
            return [Kept.of(one) for one in self._client.query(self.name, filter=expression, **options)]

    def counted(self, expression: str) -> int:
        """How many passages an expression keeps."""
        if not self.exists:
            return 0
        with self._errors("count"):
            options: dict[str, Any] = {"output_fields": ["count(*)"], "timeout": self._timeout}
            return int(self._client.query(self.name, filter=expression, **options)[0]["count(*)"])

    def scan(self, expression: str, *, vectors: bool = False) -> Iterator[Kept]:
        """All passages that an expression keeps, in any order, a page at a time."""
        for one in self._pages(expression, [*FIELDS, *(["vector"] if vectors else [])]):
            yield Kept.of(one)

    def places(self, expression: str) -> Iterator[tuple[int, str]]:
        """Row number and key of all passages that an expression keeps, in any order."""
        for one in self._pages(expression, ["key", "row"]):
            yield int(one["row"]), one["key"]

    def _pages(self, expression: str, fields: list[str]) -> Iterator[Mapping[str, Any]]:
        if not self.exists:
            return
        options: dict[str, Any] = {"filter": expression, "output_fields": fields, "timeout": self._timeout}
        with self._errors("read"):  # few come with one request, where pages take several that wait for all writers
            few = self._client.query(self.name, limit=_FEW, **options)
        if len(few) < _FEW:
            yield from few
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

    def nearest(self, data: Any, limit: int, expression: str, *, words: bool) -> list[tuple[Kept, float]]:
        """The best passages for one question, [dim] or in words, with what the engine says of them; higher is better."""
        if not self.exists:
            return []
        how: dict[str, Any] = {
            "metric_type": "BM25" if words else "IP",
            "params": {} if words else self.kind.searching(limit),
        }
        with self._errors("search"):
            found = self._client.search(
                self.name,
                data=[data],
                anns_field="sparse" if words else "vector",
                limit=limit,
                filter=expression,
                output_fields=[*FIELDS, "vector"],
                search_params=how,
                timeout=self._timeout,
            )[0]
        sign = -1.0 if words and self.is_lite else 1.0
        return [(Kept.of({**one["entity"], "key": _key(one)}), sign * float(one["distance"])) for one in found]

    def flush(self) -> None:
        """Ask the engine to seal what was written, so that it is indexed."""
        with self._errors("flush"):
            self._client.flush(self.name, timeout=self._timeout)

    def indexing(self) -> tuple[int, int]:
        """Rows that the index holds, and rows that it is to hold yet, as far as the engine tells."""
        with self._errors("describe"):
            found = self._client.describe_index(self.name, "vector", timeout=self._timeout) or {}
        return int(found.get("indexed_rows", 0)), int(found.get("pending_index_rows", 0))

    def refuse_missing(self) -> None:
        """Refuse to go on without the collection.

        Raises:
            StoreNotFoundError: There is none.
        """
        if not self.exists:
            raise StoreNotFoundError(
                f"there is no collection {self.name!r} at {self.address.shown}; open it with create=True"
            )

    def close(self) -> None:
        """Close the connection."""
        if not self._closed:
            self._closed = True
            self._client.close()

    @contextlib.contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        if self._closed:
            raise StoreClosedError(f"{self.address.shown} was closed here; open it again")
        import grpc

        try:
            yield
        except (self._library.exceptions.MilvusUnavailableException, grpc.RpcError) as error:
            raise self._unavailable(what, error) from error
        except self._library.exceptions.MilvusException as error:
            if _is_unreachable(error):
                raise self._unavailable(what, error) from error
            raise ServiceError(f"{self.address.shown}: Milvus refuses to {what} ({error.message!s:.300})") from error

    def _unavailable(self, what: str, error: Exception) -> ServiceUnavailableError:
        said = getattr(error, "message", "") or str(error)
        return ServiceUnavailableError(
            f"{self.address.shown} cannot be asked to {what} ({said:.200}); is Milvus running there?"
        )


def _key(found: Mapping[str, Any]) -> str:
    return str(found["entity"].get("key") or found.get("id") or found.get("key"))


def _is_unreachable(error: Any) -> bool:
    said = str(error.message).lower()
    return any(word in said for word in ("connect", "unavailable", "deadline", "timeout", "unknown collection load"))


def _among(keys: Sequence[str]) -> str:
    quoted = ", ".join(f'"{key}"' for key in keys)
    return f"key in [{quoted}]" if keys else "row < 0"
