"""``MilvusStore``: passages and their vectors in a collection of a Milvus, asked like a ``PassageStore``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace as changed
from pathlib import Path
from typing import Any, Self

from dpr_rag.arguments import check_instance, check_number
from dpr_rag.encoder import Encoder, check_encoder
from dpr_rag.errors import (
    ArgumentError,
    StoreError,
    StoreReadOnlyError,
)
from dpr_rag.filters import Filter
from dpr_rag.fusion import Tuned
from dpr_rag.milvus import adding, origin, tuning
from dpr_rag.milvus.address import parse_address
from dpr_rag.milvus.collection import Collection
from dpr_rag.milvus.identity import EngineInfo, info_of, refuse_other, refuse_partition_key
from dpr_rag.milvus.indexing import wait
from dpr_rag.milvus.kinds import Kind
from dpr_rag.milvus.lite import refuse_foreign
from dpr_rag.milvus.marks import Marks
from dpr_rag.milvus.origin import Origin
from dpr_rag.milvus.partitions import check_partition_key
from dpr_rag.milvus.reading import Passages
from dpr_rag.milvus.records import Rows, key_of
from dpr_rag.passages import Passage
from dpr_rag.sharing import Shared
from dpr_rag.storage.reader import fits
from dpr_rag.store.lookup import doomed_by
from dpr_rag.store.reports import AddReport
from dpr_rag.store.scope import WHOLE, Where
from dpr_rag.store.sources import Replace


class MilvusStore(Passages, Shared):
    """Passages in a collection that dpr-rag made; open one with :meth:`open` or ``open_store``.

    The engine is the truth: an ``add`` that returned is durable there, batch by batch. Reads are of the consistency ``Strong``:
    they see every write, of any client, that was acknowledged before they began. There are no transactions across requests: a
    search that runs while a call adds may see a part of it. Scores are exact inner products, of compressed indexes too, and
    filters mean what they mean everywhere here: what an expression of Milvus cannot say is asked passage by passage.
    BM25 is the engine's own (milvus-lite, Milvus 2.5 and later), with its standard tokenizer without case, k1 = 0.9 and b = 0.4.
    """

    is_temporary = False

    def __init__(self, target: adding.Target, *, read_only: bool = False) -> None:
        """Use :meth:`open` instead."""
        check_instance("target", target, adding.Target, ArgumentError, advice="; call MilvusStore.open(address)")
        super().__init__(target.collection, target.encoder, target.scope)
        self._target, self._read_only, self._is_view = target, read_only, False

    @classmethod
    def open(
        cls,
        address: str,
        *,
        encoder: Encoder | None = None,
        create: bool = True,
        read_only: bool = False,
        index: str = "auto",
        token: str | None = None,
        timeout: float = 30.0,
        partition_key: str | None = None,
    ) -> Self:
        """Open a collection; it is made when the first passages are added, or now where an encoder says the dimension.

        Args:
            address: ``milvus://host:19530/collection``, ``milvus+tls://…``, or ``milvus+lite:file.db``, with ``#collection``
                where it is not to be called ``passages``.
            encoder: Encodes passages and questions; needed for neither with vectors.
            create: Make the collection if there is none.
            read_only: Refuse every change.
            index: For a new collection: ``flat`` (``auto``), ``hnsw``, ``ivf-flat`` or ``ivf-sq8``, with parameters after a
                colon: ``hnsw:links=32,efConstruction=200,efSearch=128``, ``ivf-sq8:lists=1024,probes=64``. A file of
                milvus-lite is always ``flat``, and small collections are searched exactly whatever it says.
            token: ``user:password`` or an API key; None takes the environment variable ``MILVUS_TOKEN``.
            timeout: Seconds that a request may take.
            partition_key: For a new collection: a field by whose values passages are spread over partitions, such as
                ``tenant``. Filters and views that say its value ask that one's partition alone. It takes Milvus 2.4, or
                milvus-lite.

        Raises:
            PathError: It is no such address.
            StoreNotFoundError: There is no collection, and none was to be made.
            NotAStoreError: Something else made the collection, or the file.
            StoreLocked: Another process has the file of milvus-lite.
            EncoderMismatchError: Another encoder filled it.
            StoreError: It was made with another partition key, or the engine knows none; or the file cannot be written.
            ServiceUnavailableError: Nobody answers there.
            MissingExtraError: pymilvus is not installed.
        """
        kind, place, key = Kind.parse(index), parse_address(address, token), check_partition_key(partition_key)
        if encoder is not None:
            check_encoder(encoder)
        timeout = check_number("timeout", timeout, ArgumentError, more=" of seconds")
        if place.lite:
            refuse_foreign(Path(place.uri), create=create and not read_only)
        target = adding.Target(Collection(place, timeout, kind=kind), encoder, kind, WHOLE, Rows(), key)
        try:
            if not create or read_only:
                target.collection.refuse_missing()
            refuse_other(target.collection, encoder)
            refuse_partition_key(target.collection, key)
            if not target.collection.exists and encoder is not None:
                target.make(int(encoder.dim))
        except BaseException:
            target.collection.close()
            raise
        return cls(target, read_only=read_only)

    def restricted(self, filter: Filter | Mapping[str, Any]) -> Self:
        """A view of the passages that a filter keeps, see ``PassageStore.restricted``; closing it leaves the store open."""
        seen = changed(self._target, scope=self._scope.narrowed(filter))
        view = type(self)(seen, read_only=self._read_only)
        view._is_view = True
        return view

    def admitted(self, passage: Passage) -> Passage:
        """A passage as :meth:`add` stores it: in a view, with the fields that its filter fixes."""
        return self._scope.admitted(passage)

    @property
    def private(self) -> Marks:
        """How an adapter finds the passages that it made."""
        return Marks(self, self._kept)

    @property
    def read_only(self) -> bool:
        """Whether it refuses every change."""
        return self._read_only

    def set_tuned(self, choice: Tuned | None) -> None:
        """Keep a choice in the collection, for every client that opens it from then on; None removes it.

        Raises:
            EncoderMismatchError: It was made with another encoder.
            StoreNotFoundError: There is no collection yet.
            StoreReadOnlyError: It was opened read-only.
        """
        if choice is not None:
            check_instance("choice", choice, Tuned, ArgumentError, advice=", as evaluation.tune finds it, or None")
        self._refuse_read_only()
        self._collection.refuse_missing()
        tuning.keep(self._collection, choice)

    @property
    def origin(self) -> Origin:
        """What a folder is made as that takes these passages, as far as the collection records it."""
        return origin.origin_of(self._collection)

    def keep_origin(self, told: Origin) -> None:
        """Record it; what the collection records of what filled it stays.

        Raises:
            StoreNotFoundError: There is no collection yet.
            StoreReadOnlyError: It was opened read-only.
        """
        self._refuse_read_only()
        self._collection.refuse_missing()
        origin.keep(self._collection, told)

    def note_filled(self, runs: Mapping[str, str]) -> None:
        """Record what else made vectors, see ``PassageStore.note_filled``.

        Raises:
            StoreReadOnlyError: It was opened read-only.
        """
        self._refuse_read_only()
        if self._collection.exists:
            origin.note_filled(self._collection, runs)

    def info(self) -> EngineInfo:
        """The collection in figures.

        Raises:
            StoreError: This is a view.
        """
        if self._is_view:
            raise StoreError(f"info concerns the whole collection, and {self!r} is a view of it; ask the store itself")
        return info_of(self._collection)

    def add(
        self,
        passages: Iterable[Passage],
        *,
        vectors: Iterable[Any] | None = None,
        batch_size: int = 512,
        progress: adding.Progress | None = None,
        replace: Replace = "any",
    ) -> AddReport:
        """Add passages, or replace those whose id exists, see ``PassageStore.add``.

        Raises:
            NotAcknowledgedError: The engine went away; the error says what is not known to be stored.
            PassageError: A passage is larger than Milvus can hold: 65,535 bytes for the id, the title and the text each, and
                65,536 for the metadata; or an id comes twice with different contents.
            StoreReadOnlyError: It was opened read-only.
        """
        self._refuse_read_only()
        how: Any = {"batch_size": batch_size, "progress": progress, "replace": replace}
        return adding.add(self._target, passages, vectors, **how)

    def delete(self, ids: Iterable[str] | None = None, *, filter: Where = None) -> int:
        """Delete as ``PassageStore.delete`` does; not in one commit, where they are more than 1,000.

        Returns:
            How many there were; unknown ids are ignored.

        Raises:
            StoreError: Neither was given.
            FilterError: A filter alone asks about no field.
        """
        wanted, asked = doomed_by(ids, filter)
        self._refuse_read_only()
        where = self._selection(asked)
        if wanted is None:
            keys = [one.key for one in self._collection.scan(where.expression) if where.keeps(one.passage)]
        else:
            condition = self._scope.condition(asked)
            found = self._collection.by_keys([key_of(one) for one in dict.fromkeys(wanted)]).values()
            keys = [one.key for one in found if condition is None or fits(condition, one.passage)]
        self._collection.remove(keys)
        return len(keys)

    def wait_until_indexed(self, timeout: float = 600.0) -> int:
        """Seal what was added, and wait until the index holds all of it; before, the engine searches the rest exactly.

        Milvus calls an index finished before the last rows are in it, so that rows are counted here. It builds none for a
        segment of less than 1,024 rows, which it searches exactly, and counts its rows as indexed.

        Returns:
            How many rows need no other search; 0 where the engine has no index to build, as milvus-lite and ``flat``.

        Raises:
            ServiceTimeoutError: It was not done in time; it goes on.
        """
        return wait(self._collection, timeout)

    def close(self) -> None:
        """Close the connection; a view leaves it open."""
        if not self._is_view:
            self._collection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: Any) -> None:
        self.close()

    def _refuse_read_only(self) -> None:
        if self._read_only:
            raise StoreReadOnlyError(f"{self.path} was opened read-only; open it with read_only=False")

    def _instead_of_pickling(self) -> str:
        return f"{self!r} holds a connection and cannot be pickled; open it where it is used, by its address"

    def __repr__(self) -> str:
        view = f".restricted({self._scope})" if self._is_view else ""
        return f"{type(self).__name__}({self.path!r}){view}"
