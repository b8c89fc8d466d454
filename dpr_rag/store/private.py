"""Private data of adapters in a store: records by collection and key, and passages found by marks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dpr_rag.errors import RESTORE, PassageError, StoreCorrupted
from dpr_rag.passages import Passage, is_text, rejoined
from dpr_rag.storage import entries, marks
from dpr_rag.storage.reader import StoreReader
from dpr_rag.store import adding, background_compaction
from dpr_rag.store.engine import Engine
from dpr_rag.store.repeats import check_repeats
from dpr_rag.store.reports import AddReport
from dpr_rag.store.scope import WHOLE, Scope


class Private:
    """Records of adapters by collection and key, and passages by mark.

    Records are as durable as passages, lie in the same file, and go where a backup goes; searches do not see them. A
    mark is a string at place 1 or 3 of the list that a passage has under ``PRIVATE_KEY``.
    """

    keeps_records = True

    def __init__(self, engine: Engine, scope: Scope = WHOLE) -> None:
        """Use ``PassageStore.private`` instead."""
        self._engine, self._scope = engine, scope

    def read(self, collection: str, keys: Iterable[str] | None = None) -> dict[str, Any]:
        """Records of a collection by key, in order of insertion, or those of some keys; unknown keys are left out.

        Raises:
            StoreCorrupted: One is damaged.
        """
        by_key = None if keys is None else {_joined(key): key for key in keys}
        wanted = None if by_key is None else [key for key in by_key if _is_text(key)]
        with self._engine.reading() as reader:
            records = self._read(reader, self._scope.collection(collection), wanted)
        try:
            return {key if by_key is None else by_key[key]: json.loads(value) for key, value in records.items()}
        except (ValueError, RecursionError) as error:
            raise StoreCorrupted(f"{self._engine.folder}: a record of {collection!r} is no JSON; " + RESTORE) from error

    def _read(self, reader: StoreReader, collection: str, keys: Sequence[str] | None) -> dict[str, str]:
        """Records by key; keys that are missing from the result are proven not to be stored."""
        records = entries.read(reader, collection, keys)
        if keys is None or len(records) < len(set(keys)):
            self._engine.prove_entries(reader)
        return records

    def write(self, changes: Mapping[str, Mapping[str, Any]]) -> int:
        """Put values under keys, by collection, in one commit; None removes what is there.

        Returns:
            How many records that changed; nothing is written where none does.

        Raises:
            PassageError: A value is not JSON, or a collection or a key is no text.
            StoreReadOnlyError: Something would change, and the store was opened read-only.
        """
        dumped = {
            self._scope.collection(name): {
                _joined(key): _dumped(name, _joined(key), value) for key, value in of.items()
            }
            for name, of in changes.items()
        }
        with self._engine.reading() as reader:
            known = {name: self._read(reader, name, list(of)) for name, of in dumped.items()}
        if all(known[name].get(key) == value for name, of in dumped.items() for key, value in of.items()):
            return 0
        with self._engine.writing() as writer:
            return entries.write(writer, dumped)

    def marked(self, wanted: Iterable[str]) -> list[Passage]:
        """The passages that have one of the marks, in order of insertion.

        Raises:
            StoreCorrupted: One is damaged.
        """
        texts = list(map(rejoined, wanted))
        with self._engine.reading() as reader:
            if texts:
                self._engine.prove_marks(reader)
            return [passage for passage in marks.marked(reader, texts).values() if self._scope.holds(passage)]

    def present(self, wanted: Iterable[str]) -> set[str]:
        """Those of the marks that some passage has."""
        by_mark = {rejoined(mark): mark for mark in wanted}
        with self._engine.reading() as reader:
            if by_mark:
                self._engine.prove_marks(reader)
            if self._scope.where is None:
                return {by_mark[mark] for mark in marks.present(reader, by_mark)}
            seen = [passage for passage in marks.marked(reader, by_mark).values() if self._scope.holds(passage)]
            return {by_mark[mark] for passage in seen for mark in marks.marks_of(passage) if mark in by_mark}

    def add(
        self,
        passages: Sequence[Passage],
        *,
        vectors: Sequence[Any] | None = None,
        instead: Mapping[str, Sequence[str]],
        batch_size: int = 512,
    ) -> AddReport:
        """Add passages as ``PassageStore.add`` does, replacing stored passages of the same text under other ids.

        Args:
            passages: What to add.
            vectors: One vector per passage.
            instead: From the id of a passage to those that go in the same commit, if their title and text are its own, the
                view holds them, and they are not added here themselves.
            batch_size: Passages per commit.
        """
        options: dict[str, Any] = {"batch_size": batch_size, "instead": instead, "scope": self._scope}
        return adding.add(self._engine, passages, vectors, **options)

    @staticmethod
    def check_repeats(passages: Iterable[Passage]) -> None:
        """Refuse an id that comes twice with different contents, as ``add`` does; for what one call adds in several steps.

        Raises:
            PassageError: One does.
        """
        check_repeats(passages)

    def delete_marked(self, wanted: Iterable[str]) -> int:
        """Delete the passages that have one of the marks, in one commit.

        Returns:
            How many there were.

        Raises:
            StoreCorrupted: One is damaged.
        """
        self._engine.database.refuse_read_only()
        wanted = list(wanted)
        if not wanted:
            return 0
        with self._engine.reading() as reader:
            self._engine.prove_marks(reader)  # while others may still write
        with self._engine.writing() as writer:
            rows = [
                row
                for row, passage in marks.marked(writer, map(rejoined, wanted)).items()
                if self._scope.holds(passage)
            ]
            if rows:
                writer.remove(rows)
                writer.commit_state()
        background_compaction.catch_up(self._engine)
        return len(rows)


def _dumped(collection: str, key: str, value: Any) -> str | None:
    if not _is_text(collection) or not _is_text(key):
        raise PassageError(f"{collection!r:.60}, key {key!r:.120}: expected strings that can be stored as UTF-8")
    return None if value is None else entries.dump(collection, key, value)


def _joined(key: str) -> str:
    return rejoined(key) if isinstance(key, str) else key


def _is_text(key: object) -> bool:
    return isinstance(key, str) and is_text(key)
