"""``PassageStore``: passages and their vectors in one folder, searched by inner product."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dpr_rag.arguments import check_count, names_known
from dpr_rag.encoder import Encoder, Vectors
from dpr_rag.errors import ArgumentError, StoreError
from dpr_rag.filters import Filter, Where
from dpr_rag.passages import Passage
from dpr_rag.paths import place_of
from dpr_rag.sharing import Shared
from dpr_rag.store import adding, background_compaction, checking, lookup, opening
from dpr_rag.store.engine import Engine
from dpr_rag.store.private import Private
from dpr_rag.store.reports import AddReport
from dpr_rag.store.searches import Searches
from dpr_rag.store.sources import Replace
from dpr_rag.store.unknown_fields import warn_unknown
from dpr_rag.store.upkeep import Upkeep

_PAGE = 500


class PassageStore(Shared, Searches, Upkeep):
    """Passages, their vectors and an index over them; durable, consistent, usable from threads and processes.

    What ``add`` and ``delete`` have returned for, or reported as progress, survives a killed process. Open a store
    with :meth:`open` or :meth:`temporary`, and close it or use it as a context manager.
    """

    def __init__(self, engine: Engine) -> None:
        """Use :meth:`open` or :meth:`temporary` instead."""
        if not isinstance(engine, Engine):
            raise ArgumentError(
                f"PassageStore({engine!r:.60}) opens nothing; call PassageStore.open(path), or temporary()"
            )
        self._engine = engine
        self._remove: Callable[[], object] | None = None
        self._restricted: Self | None = None

    @classmethod
    @names_known()
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        encoder: Encoder | None = None,
        create: bool = True,
        read_only: bool = False,
        index: str = "auto",
        dtype: str = "float32",
        bind: bool = False,
        timeout: float = 30.0,
        language: str | None = None,
    ) -> Self:
        """Open a store, or create one.

        Args:
            path: The store's folder.
            encoder: Encodes passages that are added and questions that are asked; needed for neither with vectors.
            create: Create the store if there is none.
            read_only: Refuse every change; several processes may read while one writes.
            index: For a new store: ``auto``, a plain name (``flat``, ``hnsw``, ``ivf-sq8`` …), or a FAISS factory
                string, with parameters after a colon (``hnsw:links=64,efSearch=256``). Later: :meth:`optimize`.
            dtype: For a new store: ``float32`` or ``float16`` vectors.
            bind: Attach ``encoder`` to a store whose vectors came without one.
            timeout: Seconds to wait for another writer.
            language: For a new store: whose words BM25 stems (``LANGUAGES``), or ``none``; None is ``english``. A store that
                exists keeps its own, which a warning says where another one is asked for. Later: :meth:`optimize`.

        Raises:
            StoreNotFoundError: There is none, and none was to be created.
            NotAStoreError: Something else is at the path.
            StoreFormatError: A newer dpr-rag wrote it.
            EncoderMismatchError: It was filled with another encoder.
            StoreCorrupted: It is damaged.
            IndexKindError: ``index`` cannot be used.
        """
        settings = opening.Settings(create, read_only, index, dtype, bind, timeout, language)
        return cls(opening.open_engine(place_of(path).absolute(), encoder, settings))

    @classmethod
    @names_known()
    def temporary(cls, *, encoder: Encoder | None = None, index: str = "auto", dtype: str = "float32") -> Self:
        """A new store in a temporary folder that is gone on close, for notebooks and tests."""
        engine, remove = opening.open_temporary(encoder, opening.Settings(index=index, dtype=dtype))
        store = cls(engine)
        store._remove = weakref.finalize(store, _end, engine, remove)
        return store

    def restricted(self, filter: Filter | Mapping[str, Any]) -> Self:
        """A view that is restricted to the passages that a filter keeps, such as those of one tenant.

        Whatever is asked of it, filters, ids and predicates of calls narrow the view, and none widens it. What is added
        through it gets the fields that the filter fixes to one value (``{"tenant": "a"}``), and is refused where it says
        otherwise, or where its id belongs to a passage outside. An adapter's records are kept apart for each filter. What
        concerns the whole store (``check``, ``optimize``, ``info``, ``backup``, ``reencode``, ``set_tuned`` and what tunes)
        is refused. The statistics behind scores (BM25's counts, λ, relevances) remain those of the whole store.

        Args:
            filter: A dict or a ``Filter`` that asks about at least one field. A view can be restricted further.

        Returns:
            A store on the same open folder; closing it leaves that open.

        Raises:
            FilterError: The filter cannot be understood, or asks about no field.
        """
        view = type(self)(self._engine)
        view._scope, view._restricted = self._scope.narrowed(filter), self
        return view

    def admitted(self, passage: Passage) -> Passage:
        """A passage as :meth:`add` stores it: in a view, with the fields that its filter fixes.

        Raises:
            PassageError: The view refuses it.
        """
        return self._scope.admitted(passage)

    @property
    def path(self) -> Path:
        """The store's folder."""
        return self._engine.folder

    @property
    def is_temporary(self) -> bool:
        """Whether the store was made by :meth:`temporary`, and its folder is removed when it is closed."""
        return self._remove is not None if self._restricted is None else self._restricted.is_temporary

    @property
    def encoder(self) -> Encoder | None:
        """The encoder it was opened with."""
        return self._engine.encoder

    @property
    def private(self) -> Private:
        """Records of an adapter beside the passages, and search for passages by its marks."""
        return Private(self._engine, self._scope)

    @property
    def dim(self) -> int | None:
        """Components per vector, or None while neither a passage nor an encoder has fixed it."""
        model = self._engine.state().model
        if model is not None:
            return model.dim
        return None if self.encoder is None else self.encoder.dim

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
        """Add passages, or replace those whose id exists.

        Streams: each batch is encoded and committed before the next is read. A passage whose title and text are
        stored already is not encoded again, so that an interrupted call can simply be repeated. A replaced passage
        takes its place at the end of the order, unless only its metadata changed; what an adapter keeps under
        ``PRIVATE_KEY``, and its source, stay, unless the new passage brings its own. Equal passages that share an id are
        one; different ones are refused, those in a list before anything is stored.

        Index and postings are brought up in the background. Where the index falls far behind, a call waits for it, half as long
        as it works or 0.5 ms a passage up to 1.5 s, whichever is more. No error of theirs fails the call: what is stored is
        reported, the log and ``info().compaction`` tell of the error.

        Args:
            passages: Any iterable.
            vectors: One vector per passage, in order; these always replace what is stored.
            batch_size: Passages per commit.
            progress: Called after each commit with the totals so far.
            replace: Passages of ``any`` source are replaced, or none but those of their ``own`` and those without one
                (see :func:`~dpr_rag.store.with_source`); what another source has is left out and counted.

        Returns:
            How many passages were added, replaced, unchanged and left out.

        Raises:
            EncoderMismatchError: There is neither an encoder nor vectors.
            PassageError: An item is no passage, or an id comes twice with different contents.
            VectorError: A vector has the wrong dimension, or is NaN or infinite.
            StoreLocked: Another writer kept the store too long.
        """
        options: dict[str, Any] = {
            "batch_size": batch_size,
            "progress": progress,
            "replace": replace,
            "scope": self._scope,
        }
        return adding.add(self._engine, passages, vectors, **options)

    @names_known()
    def delete(self, ids: Iterable[str] | None = None, *, filter: Where = None) -> int:
        """Delete passages by id, by filter, or those of the ids that the filter keeps, in one commit.

        Returns:
            How many there were; unknown ids are ignored.

        Raises:
            StoreError: Neither was given.
        """
        gone = lookup.delete(self._engine, ids, filter, self._scope)
        if not gone and filter is not None:
            warn_unknown(self._engine, self._scope, filter, self._scope.condition(filter))
        background_compaction.catch_up(self._engine)
        return gone

    def get(self, ids: Iterable[str]) -> list[Passage]:
        """Passages by id, in the order asked for; unknown ids are left out."""
        return lookup.get(self._engine, ids, self._scope)

    def get_vectors(self, ids: Iterable[str]) -> dict[str, Vectors]:
        """Stored vectors by id, float32 [dim] each; unknown ids are left out."""
        return lookup.get_vectors(self._engine, ids, self._scope)

    def sample(self, count: int) -> tuple[list[Passage], Vectors]:
        """Passages drawn at random, the same ones while the store does not change, and their vectors, float32 [n, dim]."""
        return self._engine.sample(count, self._scope.where)[1:]

    @names_known()
    def count(self, filter: Where = None) -> int:
        """How many passages there are, or how many a filter keeps."""
        where = self._scope.condition(filter)
        if not (number := lookup.count(self._engine, where)):
            warn_unknown(self._engine, self._scope, filter, where)
        return number

    def __len__(self) -> int:
        return self.count()

    def __contains__(self, passage_id: object) -> bool:
        return isinstance(passage_id, str) and bool(self.get([passage_id]))

    def __iter__(self) -> Iterator[Passage]:
        """Passages in order of insertion; changes made meanwhile may or may not be seen.

        Raises:
            StoreCorrupted: One is damaged, or one is missing though nothing changed meanwhile.
        """
        # holds this object too, as a temporary store that nothing holds is removed
        return (passage for passage in checking.iterate(self._engine, page=_PAGE) if self._scope.holds(passage))

    def batches(self, size: int = _PAGE) -> Iterator[tuple[list[Passage], Vectors]]:
        """Passages with their vectors, in order of insertion: to copy a store to where nothing is encoded.

        Args:
            size: Largest number of passages of a batch; each is of one commit.

        Yields:
            Passages, and float32 vectors of shape [n, dim]. Changes made meanwhile may or may not be seen.

        Raises:
            StoreCorrupted: One is damaged, or one is missing though nothing changed meanwhile.
            StoreError: The store was re-encoded meanwhile.
        """
        for passages, vectors in checking.pages(self._engine, page=check_count("size", size, StoreError)):
            seen = [at for at, passage in enumerate(passages) if self._scope.holds(passage)]
            if seen:
                yield [passages[at] for at in seen], vectors[seen]

    def close(self) -> None:
        """Close the store; a temporary one is gone then. A view leaves it open."""
        if self._restricted is not None:
            return
        self._engine.close()
        if self._remove is not None:
            self._remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _instead_of_pickling(self) -> str:
        return f"{self!r} is open and cannot be pickled; open it where it is used: PassageStore.open({str(self.path)!r}, ...)"

    def __repr__(self) -> str:
        view = "" if self._restricted is None else f".restricted({self._scope})"
        return f"{type(self).__name__}({str(self.path)!r}){view}"


def _end(engine: Engine, remove: Callable[[], None]) -> None:
    """Remove the folder of a temporary store, in which nothing is built any more."""
    engine.background.stop()
    remove()
