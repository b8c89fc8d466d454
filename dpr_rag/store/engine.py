"""What the parts of a store share: the database, the encoder and the current snapshot."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from dpr_rag.encoder import Encoder, Vectors, check_vectors
from dpr_rag.errors import EncoderMismatchError, VectorError
from dpr_rag.fusion import Diversity, diversified
from dpr_rag.index.matrix import Rows, SegmentDamagedError
from dpr_rag.index.search import Scores, leave_threads_to_parent
from dpr_rag.passages import Hit, Passage
from dpr_rag.storage.database import Database
from dpr_rag.storage.reader import Condition, Reader
from dpr_rag.storage.state import Model, State
from dpr_rag.storage.writer import Writer
from dpr_rag.store.snapshot import Snapshot, load

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Choice:
    """What becomes of the best passages that were found.

    Attributes:
        exact: Whether they are to be found by exact search.
        diversity: Choose among them by maximal marginal relevance, or None.
        keep: Which scores are high enough, or None for all.
    """

    exact: bool = False
    diversity: Diversity | None = None
    keep: Callable[[float], bool] | None = None

    def apply(
        self, reader: Reader, state: State, question: Vectors, rows: Rows, scores: Scores, k: int
    ) -> tuple[Rows, Scores]:
        """The rows and scores that stay, in their final order; vectors are read in the transaction of the search."""
        if self.keep is not None:
            kept = np.array([self.keep(float(score)) for score in scores], dtype=bool)
            rows, scores = rows[kept], scores[kept]
        if self.diversity is None or not len(rows):
            return rows[:k], scores[:k]
        stored = reader.vectors_of(state, rows.tolist())
        candidates = np.stack([stored[int(row)] for row in rows])
        chosen = diversified(question, candidates, k, self.diversity.balance)
        return rows[chosen], scores[chosen]


class Engine:
    """Holds one open store; every search runs on the snapshot of its own read transaction."""

    def __init__(self, folder: Path, database: Database, encoder: Encoder | None) -> None:
        """Join an open database and an encoder."""
        self.folder, self.database, self.encoder = folder, database, encoder
        self._snapshot: Snapshot | None = None
        self._proved = 0
        self.fitted: object = None
        self.unusable: list[str] = []
        self._after_fork()

    def _after_fork(self) -> None:
        """A forked child inherits locks in an unknown state and none of the threads that FAISS works with."""
        forked = getattr(self, "_pid", os.getpid()) != os.getpid()
        self._pid = os.getpid()
        self._refreshing = threading.Lock()
        self.calibrating = threading.Lock()
        self.folding = threading.RLock()
        if forked:
            leave_threads_to_parent()

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """A read transaction on one generation."""
        if self._pid != os.getpid():
            self._after_fork()
        with self.database.reading() as connection:
            yield Reader(connection, self.database.path)

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """A write transaction; nothing of it stays if the block raises."""
        if self._pid != os.getpid():
            self._after_fork()
        with self.database.writing() as connection:
            yield Writer(connection, self.database.path)

    def prove(self, reader: Reader) -> None:
        """Prove, once per process and row, that no passage is damaged or missing.

        What a filter leaves out and an id that is not found are never read back by themselves: without this, a
        damaged field would change which passages come, in silence.

        Raises:
            StoreCorrupted: One is, or the index on ids does not fit the passages.
        """
        last = reader.state().next_row - 1
        if self._proved < last:
            reader.prove_passages(after=self._proved)
            self._proved = last

    def state(self) -> State:
        """The current state."""
        with self.reading() as reader:
            return reader.state()

    def model_of(self, encoder: Encoder) -> Model:
        """What the store records of an encoder."""
        return Model(int(encoder.dim), encoder.fingerprint, str(getattr(encoder, "source", "")))

    def check_model(self, state: State) -> None:
        """Refuse to go on with another encoder than the store's.

        Raises:
            EncoderMismatchError: Naming both.
        """
        if self.encoder is None or state.model is None:
            return
        mine, its = self.model_of(self.encoder), state.model
        if (mine.fingerprint, mine.dim) == (its.fingerprint, its.dim):
            return
        if not its.fingerprint:
            raise EncoderMismatchError(
                f"{self.folder} holds vectors that came without an encoder; to declare that {mine.fingerprint!r} made "
                "them, open it once with PassageStore.open(…, bind=True)"
            )
        raise EncoderMismatchError(
            f"{self.folder} was filled with the encoder {its.fingerprint!r} ({its.source or 'source unknown'}, {its.dim} "
            f"dimensions), not with {mine.fingerprint!r} ({mine.source or 'source unknown'}, {mine.dim} dimensions); open "
            "it with that encoder, or reencode() it"
        )

    def search(self, vectors: object, k: int, where: Condition | None, choice: Choice) -> list[list[Hit]]:
        """Hits for each question vector, see ``PassageStore.search``."""
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise VectorError(f"k is {k!r}, expected an integer of at least 1")

        def found(reader: Reader, snapshot: Snapshot) -> list[list[Hit]]:
            self.check_model(snapshot.state)
            model = snapshot.state.model
            questions = check_vectors(vectors, dim=None if model is None else model.dim)
            if where is not None:
                self.prove(reader)
            wanted = int(k) if choice.diversity is None else max(int(k), choice.diversity.candidates)
            ranked = snapshot.search(reader, questions, wanted, where=where, exact=choice.exact)
            ranked = [
                choice.apply(reader, snapshot.state, question, *pair, int(k))
                for question, pair in zip(questions, ranked, strict=True)
            ]
            passages = reader.by_rows({int(row) for rows, _ in ranked for row in rows})
            return [
                [
                    Hit(passages[int(row)], float(score), rank, dense=float(score))
                    for rank, (row, score) in enumerate(zip(rows, scores, strict=True), start=1)
                ]
                for rows, scores in ranked
            ]

        return self.with_snapshot(found)

    def encode_questions(self, questions: Sequence[str]) -> Vectors:
        """Encode questions with the store's encoder; see ``PassageStore.encode_questions``."""
        if self.encoder is None:
            raise EncoderMismatchError(
                f"{self.folder} was opened without an encoder; pass encoder= to PassageStore.open, or search with vectors"
            )
        return check_vectors(self.encoder.encode_questions(list(questions)), rows=len(questions), names=questions)

    def sample(self, count: int) -> tuple[list[Passage], Vectors]:
        """Passages drawn at random with seed 0, and their vectors, float32 [n, dim]."""
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
            raise VectorError(f"a sample of {count!r} was asked for, expected an integer of at least 1")

        def drawn(reader: Reader, snapshot: Snapshot) -> tuple[list[Passage], Vectors]:
            rows = snapshot.alive(reader)
            if not len(rows):
                return [], np.empty((0, 1), np.float32)
            chosen = np.sort(np.random.default_rng(0).choice(rows, min(count, len(rows)), replace=False)).tolist()
            passages, vectors = reader.by_rows(chosen), reader.vectors_of(snapshot.state, chosen)
            return [passages[row] for row in chosen], np.stack([vectors[row] for row in chosen])

        return self.with_snapshot(drawn)

    def with_snapshot(self, action: Callable[[Reader, Snapshot], _Result]) -> _Result:
        """Run an action on a transaction and its snapshot; a damaged base segment is set aside and the action repeated."""
        while True:
            try:
                with self.reading() as reader:
                    return action(reader, self._current(reader))
            except SegmentDamagedError as error:
                self._set_aside(error)

    def _current(self, reader: Reader) -> Snapshot:
        snapshot = self._snapshot
        if snapshot is not None and snapshot.state.generation == reader.state().generation:
            return snapshot
        with self._refreshing:
            # the transaction starts anew under the lock, so that it cannot be older than the snapshot it extends
            reader.restart()
            self._snapshot = load(reader, self.folder, self._snapshot, unusable=self.unusable)
            return self._snapshot

    def _set_aside(self, error: SegmentDamagedError) -> None:
        """Never use a damaged segment again: its vectors are read from the database until a new one is built."""
        base = self.state().base
        with self._refreshing:
            # a segment that another process has just replaced is missing, not damaged
            if base is not None and base["directory"] == error.directory and error.directory not in self.unusable:
                _log.warning("%s; searching the stored vectors instead until optimize() builds a new index", error)
                self.unusable.append(error.directory)
            self._snapshot = None

    def close(self) -> None:
        """Close the database and let go of the segments."""
        self.database.close()
        self._snapshot = None
