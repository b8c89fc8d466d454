"""``MilvusStore``: a store in a Milvus collection, with the interface of ``PassageStore``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace as changed
from pathlib import Path
from typing import Any, Self

from dpr_rag.arguments import check_instance, check_seconds, names_known
from dpr_rag.encoder import Encoder, check_encoder
from dpr_rag.errors import (
    ArgumentError,
    StoreError,
    StoreReadOnlyError,
)
from dpr_rag.filters import Filter, Where
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
from dpr_rag.milvus.passages import Passages
from dpr_rag.milvus.records import Rows, key_of
from dpr_rag.passages import Passage
from dpr_rag.sharing import Shared
from dpr_rag.storage.reader import fits
from dpr_rag.store.lookup import check_deletion
from dpr_rag.store.reports import AddReport, MadeBy
from dpr_rag.store.scope import WHOLE
from dpr_rag.store.sources import Replace


class MilvusStore(Passages, Shared):
    """A store in a Milvus collection that dpr-rag made; open one with :meth:`open` or ``open_store``.

    The data live in the engine. An ``add`` is durable when it returns, and is written batch by batch. Reads have the
    consistency level ``Strong``: they see every write of any client that was acknowledged before they began. There are no
    transactions across requests, so a search during an ``add`` may see a part of it. Scores are exact inner products, also
    with a compressed index. Filters have the same meaning as in a folder: a condition that Milvus' expressions lack is
    evaluated here, passage by passage. BM25 is the engine's (milvus-lite, Milvus 2.5 and later): its standard tokenizer,
    lower case, k1 = 0.9 and b = 0.4.
    """

    is_temporary = False

    def __init__(self, target: adding.Target, *, read_only: bool = False) -> None:
        """Use :meth:`open` instead."""
        check_instance("target", target, adding.Target, ArgumentError, advice="; call MilvusStore.open(address)")
        super().__init__(target.collection, target.encoder, target.scope)
        self._target, self._read_only, self._is_view = target, read_only, False

    @classmethod
    @names_known()
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
        """Open a collection. A new one is created now if there is an encoder, or else when the first passages are added.

        Args:
            address: ``milvus://host:19530/collection``, ``milvus+tls://…``, or ``milvus+lite:file.db``, with ``#collection``
                for another name than ``passages``.
            encoder: Encodes passages and questions; not needed if vectors are given for both.
            create: Create the collection if there is none.
            read_only: Refuse every change.
            index: For a new collection: ``flat`` (``auto``), ``hnsw``, ``ivf-flat`` or ``ivf-sq8``, with parameters after a
                colon: ``hnsw:links=32,efConstruction=200,efSearch=128``, ``ivf-sq8:lists=1024,probes=64``. A file of
                milvus-lite is always ``flat``, and small collections are searched exactly whatever it says.
            token: ``user:password`` or an API key; None takes the environment variable ``MILVUS_TOKEN``.
            timeout: Seconds per request.
            partition_key: For a new collection: a metadata field, such as ``tenant``, whose values determine the partition of
                a passage. Searches whose filter or view fixes its value read that partition only. Needs Milvus 2.4 or
                milvus-lite.

        Raises:
            PathError: The address is not valid.
            StoreNotFoundError: There is no collection, and ``create`` is False.
            NotAStoreError: The collection, or the file, was not made by dpr-rag.
            StoreLocked: Another process uses the milvus-lite file.
            EncoderMismatchError: The collection was filled with another encoder.
            StoreError: The collection has another partition key, or the engine supports none; or the file cannot be written.
            ServiceUnavailableError: The server cannot be reached.
            MissingExtraError: pymilvus is not installed.
        """
        kind, place, key = Kind.parse(index), parse_address(address, token), check_partition_key(partition_key)
        if encoder is not None:
            check_encoder(encoder)
        timeout = check_seconds("timeout", timeout, ArgumentError)
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
        """A view of the passages that match a filter, see ``PassageStore.restricted``; closing it leaves the store open."""
        target = changed(self._target, scope=self._scope.narrowed(filter))
        view = type(self)(target, read_only=self._read_only)
        view._is_view = True
        return view

    def admitted(self, passage: Passage) -> Passage:
        """The passage as :meth:`add` would store it: a view adds the metadata fields that its filter fixes."""
        return self._scope.admitted(passage)

    @property
    def private(self) -> Marks:
        """Finds the passages that an adapter made."""
        return Marks(self, self._kept)

    @property
    def read_only(self) -> bool:
        """Whether the store refuses every change."""
        return self._read_only

    def set_tuned(self, choice: Tuned | None) -> None:
        """Save a tuned ranking in the collection, for all clients that open it from then on; None removes it.

        Raises:
            EncoderMismatchError: It was tuned with another encoder.
            StoreNotFoundError: There is no collection yet.
            StoreReadOnlyError: The store was opened read-only.
        """
        if choice is not None:
            check_instance("choice", choice, Tuned, ArgumentError, advice=", as evaluation.tune finds it, or None")
        self._refuse_read_only()
        self._collection.refuse_missing()
        tuning.save(self._collection, choice)

    @property
    def origin(self) -> Origin:
        """The origin of the passages, as recorded in the collection; ``copy`` gives it to a new store."""
        return origin.origin_of(self._collection)

    def keep_origin(self, origin_record: Origin) -> None:
        """Record the origin of the passages; the record of the software that made the vectors stays.

        Raises:
            StoreNotFoundError: There is no collection yet.
            StoreReadOnlyError: It was opened read-only.
        """
        self._refuse_read_only()
        self._collection.refuse_missing()
        origin.save(self._collection, origin_record)

    def note_filled(self, runs: Mapping[str, str]) -> None:
        """Record software that made vectors, see ``PassageStore.note_filled``.

        Raises:
            StoreReadOnlyError: It was opened read-only.
        """
        self._refuse_read_only()
        if self._collection.exists:
            origin.note_filled(self._collection, runs)

    def made_by(self) -> MadeBy:
        """What made the vectors, see ``PassageStore.made_by``."""
        return MadeBy.of(info_of(self._collection))

    def info(self) -> EngineInfo:
        """Counts and settings of the collection.

        Raises:
            StoreError: This is a view.
        """
        if self._is_view:
            raise StoreError(f"info concerns the whole collection, and {self!r} is a view of it; ask the store itself")
        return info_of(self._collection)

    @names_known()
    def add(
        self,
        passages: Iterable[Passage],
        *,
        vectors: Iterable[Any] | None = None,
        batch_size: int = 512,
        progress: adding.Progress | None = None,
        replace: Replace = "any",
    ) -> AddReport:
        """Add passages, or replace those with the same id, see ``PassageStore.add``.

        Raises:
            NotAcknowledgedError: The engine failed; the error tells which passages may not be stored.
            PassageError: A passage exceeds Milvus' limits: 65,535 bytes each for id, title and text, and 65,536 for the
                metadata; or an id occurs twice with different contents.
            StoreReadOnlyError: It was opened read-only.
        """
        self._refuse_read_only()
        options: Any = {"batch_size": batch_size, "progress": progress, "replace": replace}
        return adding.add(self._target, passages, vectors, **options)

    @names_known()
    def delete(self, ids: Iterable[str] | None = None, *, filter: Where = None) -> int:
        """Delete passages like ``PassageStore.delete``; more than 1,000 are deleted in several requests, not one commit.

        Returns:
            How many passages were deleted; unknown ids are ignored.

        Raises:
            StoreError: Neither ids nor filter was given.
            FilterError: Only a filter was given, and it has no condition.
        """
        wanted_ids, checked_filter = check_deletion(ids, filter)
        self._refuse_read_only()
        where = self._selection(checked_filter)
        if wanted_ids is None:
            keys = [stored.key for stored in self._collection.scan(where.expression) if where.keeps(stored.passage)]
        else:
            condition = self._scope.condition(checked_filter)
            passages = self._collection.by_keys([key_of(stored) for stored in dict.fromkeys(wanted_ids)]).values()
            keys = [stored.key for stored in passages if condition is None or fits(condition, stored.passage)]
        self._collection.remove(keys)
        return len(keys)

    def wait_until_indexed(self, timeout: float = 600.0) -> int:
        """Seal the segments, and wait until all rows are indexed; until then the engine searches the others exactly.

        Milvus reports an index as finished before its last rows are in it, so rows are counted here. For a segment of fewer
        than 1,024 rows it builds none, searches exactly, and counts the rows as indexed.

        Args:
            timeout: Seconds to wait.

        Returns:
            The number of indexed rows; 0 if there is no index to build, as with milvus-lite and ``flat``.

        Raises:
            ServiceTimeoutError: The index was not finished in time; the engine goes on building it.
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
