"""``Engine``: what the parts of an open store share: database, encoder, current snapshot, caches and locks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np

from dpr_rag.arguments import check_count
from dpr_rag.derived import Rows, SegmentDamagedError, mixed
from dpr_rag.encoder import Encoder, Vectors, check_encoded
from dpr_rag.errors import NAME_ENCODER, OPTIMIZE_BUILDS, OTHER_ENCODER, EncoderMismatchError, VectorError
from dpr_rag.faces import ByFace
from dpr_rag.forking import new_lock, new_rlock
from dpr_rag.fusion import Tuned
from dpr_rag.lexical import Analyzer
from dpr_rag.passages import Passage, check_questions
from dpr_rag.storage import entries
from dpr_rag.storage.database import ChangedMeanwhileError, Database
from dpr_rag.storage.reader import Condition, StoreReader
from dpr_rag.storage.state import Model, State
from dpr_rag.storage.writer import StoreWriter
from dpr_rag.store.background import BackgroundWorker
from dpr_rag.store.snapshot import Snapshot, load
from dpr_rag.store.words import Lexicon, OutdatedError

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")
_PATIENCE = 20
"""How often what was changed while it was read without locks is read anew."""


class Engine:
    """Holds one open store; every search runs on the snapshot of its own read transaction."""

    def __init__(self, folder: Path, database: Database, encoder: Encoder | None) -> None:
        """Join an open database and an encoder."""
        self.folder, self.database, self.encoder = folder, database, encoder
        self._seen: State | None = None  # the newest; what is at hand of it holds for what became of it alone
        self._snapshot: Snapshot | None = None
        self._proved = 0
        self._proved_tail = 0
        self.proved_ids = False
        self._proved_marks = self._proved_entries = False
        self.fitted: dict[object, object] = {}
        self.lexicon: Lexicon | None = None
        self.tuned: tuple[int, Tuned | None] | None = None
        self.analyzer: Analyzer | None = None
        self.unusable: list[str] = []
        self.warned_fields: set[tuple[str, str]] = set()  # by view, see unknown_fields
        self.has_replaced_postings = False  # whether postings that another version made were replaced by this process's
        self.unwritable_generation = -1  # at which postings could not be written; trying again at once would fail again
        self._snapshot_lock, self.lexicon_lock = new_lock(), new_lock()
        self.calibration_lock = new_rlock()  # what is fitted may ask what is drawn, by the thread that holds it
        self.compaction_lock, self.postings_lock = new_rlock(), new_rlock()
        self.background = BackgroundWorker()

    @contextmanager
    def reading(self) -> Iterator[StoreReader]:
        """A read transaction on one generation."""
        known = self._seen
        with self.database.reading() as connection:
            reader = StoreReader(connection, self.database.path, known)
            reader.state()  # refuses another store before anything is believed of it
            yield reader
        self._see(reader)

    @contextmanager
    def writing(self, *, wait: float | None = None) -> Iterator[StoreWriter]:
        """A write transaction; nothing of it stays if the block raises. ``wait`` as for ``Database.writing``."""
        known = self._seen
        with self.database.writing(wait=wait) as connection:
            writer = StoreWriter(connection, self.database.path, known)
            yield writer
        self._see(writer)

    def _see(self, reader: StoreReader) -> None:
        newest = reader.known
        if newest is not None and (self._seen is None or self._seen.generation < newest.generation):
            self._seen = newest

    def prove(self, reader: StoreReader) -> None:
        """Verify, once per process and row, that no passage is damaged or missing.

        What a filter leaves out is never read back by itself: without this, a damaged field would change which passages
        come, in silence.

        Raises:
            StoreCorrupted: One is, or the index on ids does not fit the passages.
        """
        last = reader.state().next_row - 1
        if self._proved < last:
            reader.prove_passages(after=self._proved)
            self._proved = last

    def prove_ids(self, reader: StoreReader) -> None:
        """Prove, once per process, that the index on ids is whole.

        Raises:
            StoreCorrupted: It is not.
        """
        if not self.proved_ids:
            reader.prove_ids()
            self.proved_ids = True

    def known(self, reader: StoreReader, ids: Iterable[str]) -> dict[str, tuple[int, Passage]]:
        """Passages with their row numbers by id; ids that are missing from the result are proven not to be stored.

        Raises:
            StoreCorrupted: One is damaged, or the index on ids is.
        """
        wanted = set(ids)
        stored = reader.by_ids(wanted)
        if len(stored) < len(wanted):
            self.prove_ids(reader)
            reader.prove_absent(wanted - stored.keys())
        return stored

    def prove_marks(self, reader: StoreReader) -> None:
        """Verify, once per process, the indexes on marks against the passages; about 15 s per million passages.

        Raises:
            StoreCorrupted: They do not, or a passage is damaged.
        """
        if not self._proved_marks:
            self.prove(reader)
            reader.refuse_problems("passage")
            self._proved_marks = True

    def prove_entries(self, reader: StoreReader) -> None:
        """Prove, once per process, that no record of an adapter is damaged or missing, and that the index on them is whole.

        Raises:
            StoreCorrupted: One is, or the index is not.
        """
        if not self._proved_entries:
            entries.prove(reader)
            self._proved_entries = True

    def prove_for(self, reader: StoreReader, snapshot: Snapshot, where: Condition) -> None:
        """Verify the passages that a filter is evaluated on, once per process and row; see :meth:`prove`.

        Those whose metadata the base segment knows by field are not: the segment was made of proved passages.

        Raises:
            StoreCorrupted: One is damaged or missing.
        """
        if not snapshot.knows(where):
            self.prove(reader)
            return
        last = snapshot.state.next_row - 1
        known = max(self._proved, self._proved_tail)
        if known < last:
            self._prove_tail(reader, snapshot, known=known)
            self._proved_tail = last

    def _prove_tail(self, reader: StoreReader, snapshot: Snapshot, *, known: int) -> None:
        tail = snapshot.select(reader, None)[1]
        reader.prove_after(snapshot.last_row, count=tail.count, known=known)

    def rows_to_delete(self, reader: StoreReader, where: Condition) -> Rows:
        """Ascending row numbers of the passages that a filter deletes, in a transaction that may be ahead of the snapshot.

        Every passage that the filter is applied to is verified again, so that none is kept because it is damaged. The base
        segment's fields were verified when they were opened.

        Raises:
            StoreCorrupted: Such a passage is damaged or missing.
        """
        snapshot = self._snapshot
        if snapshot is not None and snapshot.state.generation == reader.state().generation and snapshot.knows(where):
            try:
                self._prove_tail(reader, snapshot, known=0)
                return snapshot.kept(reader, where)
            except SegmentDamagedError as error:
                self.set_aside(error)
        reader.prove_passages(after=0)
        return reader.rows_where(where)

    def state(self) -> State:
        """The current state."""
        with self.reading() as reader:
            return reader.state()

    def model_of(self, encoder: Encoder) -> Model:
        """The record of an encoder: dimension, fingerprint and source."""
        return Model(int(encoder.dim), encoder.fingerprint, str(getattr(encoder, "source", "")))

    def check_model(self, state: State) -> None:
        """Refuse an encoder other than the store's.

        Raises:
            EncoderMismatchError: Naming both.
        """
        if self.encoder is None or state.model is None:
            return
        mine, its = self.model_of(self.encoder), state.model
        if (mine.fingerprint, mine.dim) == (its.fingerprint, its.dim):
            return
        if not its.fingerprint:
            it_made = f"to declare that {mine.fingerprint!r} made them, "
            raise EncoderMismatchError(
                f"{self.folder} holds vectors that came without an encoder; "
                + ByFace(f"{it_made}open it once with PassageStore.open(…, bind=True)", cli=f"{it_made}pass --bind")
            )
        raise EncoderMismatchError(
            f"{self.folder} was filled with the encoder {its.fingerprint!r} ({its.source or 'source unknown'}, {its.dim} "
            f"dimensions), not with {mine.fingerprint!r} ({mine.source or 'source unknown'}, {mine.dim} dimensions); "
            + OTHER_ENCODER
        )

    def encode_questions(self, questions: Sequence[str]) -> Vectors:
        """Encode questions with the store's encoder; see ``PassageStore.encode_questions``."""
        if self.encoder is None:
            raise EncoderMismatchError(f"{self.folder} was opened without an encoder; " + NAME_ENCODER)
        texts = check_questions(questions)
        made = self.encoder.encode_questions(texts)
        return check_encoded(self.encoder, "encode_questions", made, rows=len(texts), names=texts)

    def sample(self, count: int, where: Condition | None = None) -> tuple[Rows, list[Passage], Vectors]:
        """A random sample: row numbers, passages and vectors, float32 [n, dim]; drawn by a hash of the row numbers.

        Adding or deleting one passage changes at most one of them, so that values fitted to the sample stay nearly the same.
        """
        count = check_count("count", count, VectorError)

        def drawn(reader: StoreReader, snapshot: Snapshot) -> tuple[Rows, list[Passage], Vectors]:
            if where is not None:
                self.prove_for(reader, snapshot, where)
            rows = snapshot.kept(reader, where)
            if not len(rows):
                return rows, [], np.empty((0, self._dim(snapshot.state)), np.float32)
            chosen = np.sort(rows[np.argsort(mixed(rows), kind="stable")[:count]])
            drawn = chosen.tolist()
            passages, vectors = reader.by_rows(drawn), reader.vectors_of(snapshot.state, drawn)
            return chosen, [passages[row] for row in drawn], np.stack([vectors[row] for row in drawn])

        return self.with_snapshot(drawn)

    def _dim(self, state: State) -> int:
        """Components per vector; 0 while nothing has fixed it."""
        if state.model is not None:
            return state.model.dim
        return 0 if self.encoder is None else int(self.encoder.dim)

    def with_snapshot(self, action: Callable[[StoreReader, Snapshot], _Result]) -> _Result:
        """Run an action on a transaction and its snapshot; run it again where a segment was damaged or the store has changed."""
        patience = _PATIENCE
        while True:
            try:
                with self.reading() as reader:
                    return action(reader, self._current(reader))
            except SegmentDamagedError as error:
                self.set_aside(error)
            except OutdatedError as error:
                _log.debug("%s; reading anew", error)
            except ChangedMeanwhileError as error:
                patience -= 1
                if not patience:
                    raise
                _log.debug("%s; reading anew", error)

    def _current(self, reader: StoreReader) -> Snapshot:
        snapshot = self._snapshot
        if snapshot is not None and snapshot.state == reader.state():
            return snapshot
        with self._snapshot_lock:
            # the transaction starts anew under the lock, so that it cannot be older than the snapshot it extends
            reader.restart()
            known = self._snapshot
            if known is not None and not reader.state().follows(known.state):
                # so much has happened that it cannot be told whether this was what became of it
                known = self.lexicon = None
            self._snapshot = load(reader, self.folder, known, unusable=self.unusable)
            return self._snapshot

    def set_aside(self, error: SegmentDamagedError) -> None:
        """Never use a damaged segment again: its vectors are read from the database until a new one is built."""
        state = self.state()
        current = {record["directory"] for record in (state.base, state.lexical) if record is not None}
        with self._snapshot_lock:
            # a segment that another process has just replaced is missing, not damaged
            if error.directory in current and error.directory not in self.unusable:
                _log.warning("%s; reading what is stored instead, until %s it anew", error, OPTIMIZE_BUILDS)
                self.unusable.append(error.directory)
            self._snapshot = None

    def close(self) -> None:
        """Cancel the background work, and close the database and the segments."""
        self.background.stop()
        self.database.close()
        self._snapshot = None
