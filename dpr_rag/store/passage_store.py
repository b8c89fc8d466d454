"""``PassageStore``: passages and their vectors in one folder, searched by inner product."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dpr_rag.encoder import Encoder, Vectors
from dpr_rag.lexical import Analyzer
from dpr_rag.passages import Passage
from dpr_rag.paths import place_of
from dpr_rag.sharing import Shared
from dpr_rag.store import adding, checking, copying, folding, lexicon, lookup, opening, reencoding
from dpr_rag.store.engine import Engine
from dpr_rag.store.lookup import Where
from dpr_rag.store.private import Private
from dpr_rag.store.reports import AddReport, CheckReport, StoreInfo
from dpr_rag.store.searches import Searches
from dpr_rag.store.sources import Replace

_PAGE = 500


class PassageStore(Shared, Searches):
    """Passages, their vectors and an index over them; durable, consistent, usable from threads and processes.

    What ``add`` and ``delete`` have returned for, or reported as progress, survives a killed process. Open a store
    with :meth:`open` or :meth:`temporary`, and close it or use it as a context manager.
    """

    def __init__(self, engine: Engine) -> None:
        """Use :meth:`open` or :meth:`temporary` instead."""
        self._engine = engine
        self._remove: Callable[[], object] | None = None

    @classmethod
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
        language: str = "english",
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
            language: For a new store: whose words BM25 stems (``LANGUAGES``), or ``none``. Later: :meth:`optimize`.

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
    def temporary(cls, *, encoder: Encoder | None = None, index: str = "auto", dtype: str = "float32") -> Self:
        """A new store in a temporary folder that is gone on close, for notebooks and tests."""
        engine, remove = opening.open_temporary(encoder, opening.Settings(index=index, dtype=dtype))
        store = cls(engine)
        store._remove = weakref.finalize(store, remove)
        return store

    @property
    def path(self) -> Path:
        """The store's folder."""
        return self._engine.folder

    @property
    def encoder(self) -> Encoder | None:
        """The encoder it was opened with."""
        return self._engine.encoder

    @property
    def private(self) -> Private:
        """What an adapter keeps in the store beside the passages, and how it finds its own again."""
        return Private(self._engine)

    @property
    def dim(self) -> int | None:
        """Components per vector, or None while neither a passage nor an encoder has fixed it."""
        model = self._engine.state().model
        if model is not None:
            return model.dim
        return None if self.encoder is None else self.encoder.dim

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
        report = adding.add(self._engine, passages, vectors, batch_size=batch_size, progress=progress, replace=replace)
        folding.fold_if_due(self._engine)
        lexicon.keep_if_due(self._engine)
        return report

    def delete(self, ids: Iterable[str] | None = None, *, filter: Where = None) -> int:
        """Delete passages by id or by filter, in one commit.

        Returns:
            How many there were; unknown ids are ignored.

        Raises:
            StoreError: Neither or both were given.
        """
        gone = lookup.delete(self._engine, ids, filter)
        lexicon.keep_if_due(self._engine)
        return gone

    def get(self, ids: Iterable[str]) -> list[Passage]:
        """Passages by id, in the order asked for; unknown ids are left out."""
        return lookup.get(self._engine, ids)

    def get_vectors(self, ids: Iterable[str]) -> dict[str, Vectors]:
        """Stored vectors by id, float32 [dim] each; unknown ids are left out."""
        return lookup.get_vectors(self._engine, ids)

    def sample(self, count: int) -> tuple[list[Passage], Vectors]:
        """Passages drawn at random, the same ones while the store does not change, and their vectors, float32 [n, dim]."""
        return self._engine.sample(count)[1:]

    def count(self, filter: Where = None) -> int:
        """How many passages there are, or how many a filter keeps."""
        return lookup.count(self._engine, filter)

    def __len__(self) -> int:
        return self.count()

    def __contains__(self, passage_id: object) -> bool:
        return isinstance(passage_id, str) and bool(self.get([passage_id]))

    def __iter__(self) -> Iterator[Passage]:
        """Passages in order of insertion; changes made meanwhile may or may not be seen.

        Raises:
            StoreCorrupted: One is damaged, or one is missing though nothing changed meanwhile.
        """
        return checking.iterate(self._engine, page=_PAGE)

    def check(self) -> CheckReport:
        """Read and verify everything: every text, vector, checksum and count, and the base segment against them.

        Raises:
            StoreCorrupted: Naming all that is wrong.
        """
        return checking.check(self._engine)

    def optimize(self, index: str | None = None, *, language: str | None = None) -> None:
        """Fold the tail and the deletions into a new base segment, with another index if one is named.

        Searches and writes go on meanwhile. The postings of BM25 are written anew too, where words were ever asked for; and
        what is empty of the file, if that is much, goes back to the disk.

        Args:
            index: Another kind of index, or None to keep it.
            language: Another language for BM25, or None to keep it.

        Raises:
            IndexKindError: ``index`` or ``language`` is unknown, or the index cannot be built.
            StoreError: The index or the postings cannot be written; what they were stays.
        """
        if language is not None:
            Analyzer(language)  # what is unknown is refused before any work
        folding.fold(self._engine, index)
        lexicon.renew(self._engine, language)
        folding.shrink(self._engine)

    def info(self) -> StoreInfo:
        """The store in figures."""
        return checking.info(self._engine)

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Copy the store to a new folder, consistently, while it is in use.

        Raises:
            StoreError: There is something at ``path`` already.
        """
        copying.backup(self._engine, place_of(path))

    @staticmethod
    def restore(copy: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
        """Put a copy in the place of a store, whatever is left of that one: all of it, or nothing where this fails.

        The copy is verified first and stays as it is. Copying its files by hand instead would leave the write-ahead log of a
        killed process, which SQLite would play back over them.

        Args:
            copy: What :meth:`backup` made, or another store.
            path: The store to replace, or a path where there is nothing.

        Raises:
            StoreLocked: A process has the store open.
            StoreNotFoundError: There is no store at ``copy``.
            NotAStoreError: There is something else at ``path``.
            StoreCorrupted: The copy is damaged.
        """
        copying.restore(place_of(copy).absolute(), place_of(path).absolute())

    def reencode(self, encoder: Encoder, *, batch_size: int = 512, progress: reencoding.Progress | None = None) -> int:
        """Encode all stored passages with another encoder and switch over to it.

        The old vectors serve until the switch, which is one commit. Interrupted, the next call with the same encoder
        goes on where this one stopped.

        Args:
            encoder: The new encoder; this store uses it from the switch on.
            batch_size: Passages per commit.
            progress: Called after each commit with (passages done, passages in all).

        Returns:
            How many passages this call encoded.
        """
        done = reencoding.reencode(self._engine, encoder, batch_size=batch_size, progress=progress)
        folding.fold_if_due(self._engine)
        return done

    def close(self) -> None:
        """Close the store; a temporary one is gone then."""
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
        return f"{type(self).__name__}({str(self.path)!r})"
