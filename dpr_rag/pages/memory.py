"""Saved conversations and labelled questions, in one SQLite file."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from dpr_rag.corpora import Question, write_questions
from dpr_rag.courtesies import courtesy
from dpr_rag.errors import StoreError, StoreFormatError
from dpr_rag.faces import ByFace
from dpr_rag.pages.turns import Turn

_FORMAT = 1
_TITLE = 60
_SCHEMA = (
    "CREATE TABLE conversation (id TEXT PRIMARY KEY, title TEXT NOT NULL, changed REAL NOT NULL, turns TEXT NOT NULL)",
    """CREATE TABLE label (conversation TEXT, turn INTEGER, question TEXT NOT NULL, positive_ids TEXT NOT NULL,
                    PRIMARY KEY (conversation, turn))""",
    f"PRAGMA user_version = {_FORMAT}",
)
# files of earlier versions have none of these
_MARKS = (
    "CREATE TABLE IF NOT EXISTS adding (source TEXT PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS file (source TEXT PRIMARY KEY, checksum TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS file_checksum ON file (checksum)",
)
_TALKS, _MARKED = {"conversation", "label"}, {"adding", "file", "file_checksum"}


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation.

    Attributes:
        id: Its id.
        title: The first question, shortened, or the name that it was given.
        turns: What was said.
    """

    id: str
    title: str
    turns: tuple[Turn, ...]


class Memory:
    """All conversations of one chatbot, and what people said of its answers."""

    def __init__(self, path: Path) -> None:
        """Open the file, or begin it.

        Raises:
            StoreFormatError: The file is of a later version.
            StoreError: It is none of conversations, or cannot be read or written.
        """
        self.path = path
        with self._open(mode="rwc") as database:
            if self._there(database) >= _MARKED:
                return
            database.execute("BEGIN IMMEDIATE")  # of two that begin one file, the later one finds what the other made
            for statement in _MARKS if self._there(database) else (*_SCHEMA, *_MARKS):
                database.execute(statement)

    def _there(self, database: sqlite3.Connection) -> set[str]:
        """The names of tables and indexes in a file of conversations, or in an empty one."""
        # by one statement, as another process may begin the file between two
        rows = database.execute("SELECT user_version, name FROM pragma_user_version LEFT JOIN sqlite_master").fetchall()
        version, there = rows[0][0], {name for _, name in rows if name is not None}
        if version > _FORMAT:
            raise StoreFormatError(
                f"{self.path} has format {version}, this dpr-rag reads conversations up to {_FORMAT}; upgrade dpr-rag, or name "
                "another file"
            )
        if version != (_FORMAT if there else 0) or (there and not there >= _TALKS):
            raise StoreError(f"{self.path} holds something else than conversations; name another file")
        return there

    @contextmanager
    def _open(self, mode: str = "rw") -> Iterator[sqlite3.Connection]:
        """Open the file, which does not come back by that where somebody removed it.

        Raises:
            StoreError: It cannot be read, or written.
        """
        place = f"file:{quote(os.path.abspath(self.path))}?mode={mode}"
        try:
            with closing(sqlite3.connect(place, timeout=30, isolation_level=None, uri=True)) as database, database:
                yield database
        except sqlite3.Error as error:
            raise StoreError(
                f"{self.path} cannot "
                + ByFace(
                    f"be used for conversations ({error}); name a file that can be written",
                    page=f"keep conversations any longer ({error})",
                )
            ) from error

    def listed(self) -> list[tuple[str, str]]:
        """Ids and titles, the last changed first."""
        with self._open() as database:
            return database.execute("SELECT id, title FROM conversation ORDER BY changed DESC, rowid DESC").fetchall()

    def get(self, conversation: str) -> Conversation | None:
        """A conversation, or None where it is gone."""
        with self._open() as database:
            row = database.execute("SELECT id, title, turns FROM conversation WHERE id = ?", [conversation]).fetchone()
        if row is None:
            return None
        return Conversation(row[0], row[1], _read(row[2]))

    def change(
        self, conversation: str | None, changed: Callable[[tuple[Turn, ...]], tuple[Turn, ...]]
    ) -> Conversation | None:
        """Change what was said in a conversation, in one transaction: nothing that was said meanwhile is lost.

        Args:
            conversation: Its id; None begins a new one.
            changed: Makes the new turns of those that are there.

        Returns:
            The conversation as it is now, or None where it is gone; it does not come back.
        """
        kept = conversation or uuid4().hex
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            row = database.execute("SELECT turns, title FROM conversation WHERE id = ?", [kept]).fetchone()
            if row is None and conversation is not None:
                return None
            before = () if row is None else _read(row[0])
            turns = changed(before)
            named = row is not None and row[1] != _title(before)
            title = row[1] if named else _title(turns)
            written = json.dumps([turn.to_dict() for turn in turns], ensure_ascii=False)
            database.execute(
                "INSERT INTO conversation VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE "
                "SET title = excluded.title, changed = excluded.changed, turns = excluded.turns",
                [kept, title, time.time(), written],
            )
            database.execute("DELETE FROM label WHERE conversation = ?", [kept])
            database.executemany("INSERT INTO label VALUES (?, ?, ?, ?)", _labels(kept, turns))
        return Conversation(kept, title, turns)

    def rename(self, conversation: str, title: str) -> None:
        """Give a conversation a name of its own; a blank one gives back that of its first question."""
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            row = database.execute("SELECT turns FROM conversation WHERE id = ?", [conversation]).fetchone()
            if row is not None:
                named = _short(title) or _title(_read(row[0]))
                database.execute("UPDATE conversation SET title = ? WHERE id = ?", [named, conversation])

    def forget(self, conversation: str) -> None:
        """Remove a conversation; what it taught stays."""
        with self._open() as database:
            database.execute("DELETE FROM conversation WHERE id = ?", [conversation])

    def begun(self, source: str) -> None:
        """Note that a file is about to be added to the store."""
        with self._open() as database:
            database.execute("INSERT OR REPLACE INTO adding VALUES (?)", [source])
            database.execute("DELETE FROM file WHERE source = ?", [source])

    def ended(self, source: str, checksum: str = "") -> None:
        """Note that a file was read to its end, all of it where a checksum is given, or removed."""
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("DELETE FROM adding WHERE source = ?", [source])
            database.execute("DELETE FROM file WHERE source = ?", [source])
            if checksum:
                database.execute("INSERT INTO file VALUES (?, ?)", [source, checksum])

    def with_checksum(self, checksum: str) -> list[str]:
        """The files that were read to their ends with this checksum, in the order of their names."""
        with self._open() as database:
            rows = database.execute("SELECT source FROM file WHERE checksum = ? ORDER BY source", [checksum])
            return [source for (source,) in rows]

    def unfinished(self) -> list[str]:
        """The files that were begun and did not end, in the order of their names."""
        with self._open() as database:
            return [source for (source,) in database.execute("SELECT source FROM adding ORDER BY source")]

    def labelled(self) -> list[Question]:
        """Questions with the passages that answer them; of equal questions, what was said last."""
        with self._open() as database:
            rows = database.execute("SELECT question, positive_ids FROM label ORDER BY rowid").fetchall()
        latest = {question: tuple(json.loads(ids)) for question, ids in rows}
        return [Question(str(at), question, (), ids) for at, (question, ids) in enumerate(latest.items(), 1)]

    def write_labelled(self, path: Path) -> int:
        """Write the labelled questions in the form that ``tune``, ``mine``, ``train`` and ``evaluate`` read; return how many."""
        return write_questions(path, self.labelled())


def _short(title: str) -> str:
    return " ".join(title.split())[:_TITLE]


def _title(turns: tuple[Turn, ...]) -> str:
    named = [turn.question for turn in turns if courtesy(turn.question) is None] or [turn.question for turn in turns]
    return _short(named[0]) if named else "New conversation"


def _read(turns: str) -> tuple[Turn, ...]:
    return tuple(Turn.from_dict(turn) for turn in json.loads(turns))


def _labels(conversation: str, turns: Iterable[Turn]) -> list[tuple[str, int, str, str]]:
    return [
        (conversation, at, turn.searched, json.dumps(turn.positive_ids, ensure_ascii=False))
        for at, turn in enumerate(turns)
        if turn.positive_ids and turn.searched
    ]
