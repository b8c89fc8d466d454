"""Recovery: copies the undamaged passages of a damaged store into a new one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np

from dpr_rag.derived import Rows
from dpr_rag.encoder import Encoder, Vectors, check_encoded
from dpr_rag.errors import EncoderMismatchError, StoreCorrupted, StoreError, StoreNotFoundError
from dpr_rag.faces import ByFace
from dpr_rag.passages import Passage
from dpr_rag.storage import entries
from dpr_rag.storage.locking import FolderLock
from dpr_rag.storage.place import WRITER_FILE, refuse_foreign_log, refuse_links
from dpr_rag.storage.recovering import Remains, opened
from dpr_rag.storage.schema import FILE_NAME
from dpr_rag.storage.state import Model, State
from dpr_rag.store import background_compaction
from dpr_rag.store.copying import claimed
from dpr_rag.store.engine import Engine
from dpr_rag.store.opening import Settings, open_engine
from dpr_rag.store.reports import RecoverReport

_BATCH = 512


def fingerprint_of(source: Path) -> str | None:
    """The encoder's fingerprint in a store that may be damaged; empty for none, None where it cannot be read."""
    with _held(source), opened(_file(source)) as remains:
        state = remains.state
        return None if state is None else state.model.fingerprint if state.model else ""


def recover(source: Path, target: Path, encoder: Encoder | None) -> RecoverReport:
    """Copy the undamaged passages into a new store, then rename it to its final path; see ``PassageStore.recover``."""
    if target.exists():
        raise StoreError(f"{target} exists already; recover to a new path")
    if source.resolve() in target.resolve().parents:
        raise StoreError(f"{target} lies inside the store {source}; recover to a path outside")
    refuse_links(source)
    refuse_foreign_log(_file(source))
    with _held(source), opened(_file(source)) as remains:
        with claimed(target.parent, f"{target.name}.partial-") as place:
            settings = _settings(source, remains.state, encoder)
            with closing(open_engine(place / "copy", encoder, settings)) as engine:
                report = _Recovery(source, remains, engine).run()
            (place / "copy" / WRITER_FILE).unlink(missing_ok=True)
            (place / "copy").rename(target)
    return report


@contextmanager
def _held(source: Path) -> Iterator[None]:
    """Hold a shared lock on the folder, so that the store is not replaced meanwhile."""
    lock = FolderLock(source, alone=False, wait=30)
    try:
        yield
    finally:
        lock.release()


def _file(source: Path) -> Path:
    if not (source / FILE_NAME).is_file():
        raise StoreNotFoundError(f"there is no store at {source}; give the folder that holds {FILE_NAME}")
    return source / FILE_NAME


def _settings(source: Path, state: State | None, encoder: Encoder | None) -> Settings:
    """The settings of the damaged store, or defaults if its state cannot be read."""
    if state is None and encoder is None:
        raise StoreCorrupted(
            f"{source}: the store's own record is damaged, so that it cannot be told what its vectors are; "
            + ByFace("pass encoder=, the encoder that filled it,", cli="name the encoder that filled it with --model")
            + " to encode the passages anew"
        )
    if state is None:
        return Settings()
    its = state.model
    if encoder is not None and its is not None and its.fingerprint != encoder.fingerprint:
        raise EncoderMismatchError(
            f"{source} was filled with the encoder {its.fingerprint or 'of vectors that came without one'!r}, not with "
            f"{encoder.fingerprint!r}; "
            + ByFace("recover it with that encoder, or with none,", cli="name that encoder with --model, or none,")
            + " and passages with damaged vectors stay out"
        )
    return Settings(index=state.index, dtype=state.dtype, language=state.language)


@dataclass(slots=True)
class _Recovery:
    """One recovery: passages in batches, then the records of adapters."""

    source: Path
    remains: Remains
    engine: Engine
    encoded: int = 0
    without: list[str] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)

    def run(self) -> RecoverReport:
        self._begin()
        passages = self.remains.passages()
        while batch := list(islice(passages, _BATCH)):
            self._take(batch)
        kept = self._take_entries()
        background_compaction.catch_up(self.engine)
        self.engine.background.wait()
        return self._report(kept)

    def _begin(self) -> None:
        state = self.remains.state
        with self.engine.writing() as writer:
            writer.now = replace(writer.now, model=self._model(), tuned=None if state is None else state.tuned)
            writer.commit_state()

    def _model(self) -> Model | None:
        if self.remains.state is not None:
            return self.remains.state.model
        return None if self.engine.encoder is None else self.engine.model_of(self.engine.encoder)

    def _take(self, batch: Sequence[tuple[int, Passage]]) -> None:
        vectors = self.remains.vectors([row for row, _ in batch])
        self.seen += [row for row, _ in batch]
        missing = [(row, passage) for row, passage in batch if row not in vectors]
        vectors |= self._encoded(missing)
        self.without += [passage.id for row, passage in missing if row not in vectors]
        # of two versions of one passage, the one that was added last
        kept = {passage.id: (passage, vectors[row]) for row, passage in batch if row in vectors}
        if not kept:
            return
        with self.engine.writing() as writer:
            older = writer.by_ids(kept)
            if older:
                writer.remove([row for row, _ in older.values()])
            writer.insert([passage for passage, _ in kept.values()], np.stack([vector for _, vector in kept.values()]))
            writer.commit_state()

    def _encoded(self, missing: Sequence[tuple[int, Passage]]) -> dict[int, Vectors]:
        encoder = self.engine.encoder
        if encoder is None or not missing:
            return {}
        passages = [passage for _, passage in missing]
        names = [passage.id for passage in passages]
        vectors = check_encoded(
            encoder,
            "encode_passages",
            encoder.encode_passages(passages),
            rows=len(passages),
            dim=int(encoder.dim),
            names=names,
        )
        self.encoded += len(passages)
        return {row: vector for (row, _), vector in zip(missing, vectors, strict=True)}

    def _take_entries(self) -> int:
        records, kept = self.remains.entries(), 0
        while batch := list(islice(records, _BATCH)):
            with self.engine.writing() as writer:
                kept += entries.write(writer, _by_collection(batch))
        return kept

    def _report(self, kept: int) -> RecoverReport:
        state, seen = self.remains.state, np.array(self.seen, np.int64)
        lost = _once(self.remains.names(lambda row: not _is_in(seen, row)))
        return RecoverReport(
            passages=self.engine.state().passages,
            encoded=self.encoded,
            lost=lost,
            without_vectors=_once(self.without),
            nameless=None if state is None else max(0, state.passages - len(seen) - len(lost)),
            entries=kept,
            lost_entries=None if state is None else max(0, state.entries - kept),
            may_be_deleted=_once(self.remains.may_be_deleted()),
        )


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _is_in(ascending: Rows, row: int) -> bool:
    at = int(np.searchsorted(ascending, row))
    return at < len(ascending) and int(ascending[at]) == row


def _by_collection(batch: Iterable[tuple[str, str, str]]) -> dict[str, dict[str, str | None]]:
    records: dict[str, dict[str, str | None]] = {}
    for collection, key, value in batch:
        records.setdefault(collection, {})[key] = value
    return records
