"""Records that adapters keep in a store file under a collection and a key, each under a checksum."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from dpr_rag.errors import CONVERTING, DATES, RESTORE, PassageError, StoreCorrupted
from dpr_rag.faces import message_of
from dpr_rag.storage.reader import StoreReader
from dpr_rag.storage.state import added, taken
from dpr_rag.storage.writer import StoreWriter

TABLE = """
CREATE TABLE IF NOT EXISTS entry (
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    crc INTEGER NOT NULL,
    UNIQUE (collection, key)
)
"""
KNOWN_SINCE = 5
"""The format that gave adapters a place in the file."""
Changes = Mapping[str, Mapping[str, str | None]]


def entry_crc(collection: str, key: str, value: str, salt: int) -> int:
    """CRC-32 over all that is stored of an entry, XOR the store's salt."""
    parts = [collection.encode(), key.encode(), value.encode()]
    return zlib.crc32(b"".join([struct.pack("<3I", *map(len, parts)), *parts])) ^ salt


def dump(collection: str, key: str, value: Any) -> str:
    """A value as JSON in ASCII.

    Raises:
        PassageError: It is no JSON value.
    """
    try:
        return json.dumps(value, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise PassageError(
            f"{collection!r:.60}, key {key!r:.120}: the value is not JSON ({error}); convert it" + DATES + CONVERTING
        ) from error


def read(reader: StoreReader, collection: str, keys: Iterable[str] | None = None) -> dict[str, str]:
    """JSON texts of a collection by key, in order of insertion, or those of some keys; unknown keys are left out.

    Raises:
        StoreCorrupted: One is damaged.
    """
    if reader.format() < KNOWN_SINCE:
        return {}
    every = "SELECT key, value, crc FROM entry WHERE collection = ?"
    if keys is None:
        records = reader.connection.execute(f"{every} ORDER BY rowid", (collection,)).fetchall()
    else:
        cursors = (reader.connection.execute(f"{every} AND key = ?", (collection, key)) for key in dict.fromkeys(keys))
        records = [record for cursor in cursors for record in cursor]
    salt = reader.state().salt
    for key, value, crc in records:
        if not isinstance(key, str) or not isinstance(value, str) or entry_crc(collection, key, value, salt) != crc:
            raise StoreCorrupted(f"{reader.path}: the entry {key!r:.100} is damaged; " + RESTORE)
    return {key: value for key, value, _ in records}


def write(writer: StoreWriter, changes: Changes) -> int:
    """Write JSON texts by collection and key, or delete keys whose value is None; returns the number of changes.

    The generation stays: what searches read does not change.
    """
    changed, count, total, salt = 0, writer.now.entries, writer.now.entry_sum, writer.now.salt
    for collection, values in changes.items():
        known = read(writer, collection, values)
        for key, value in values.items():
            old = known.get(key)
            if old == value:
                continue
            changed += 1
            if old is not None:
                count, total = count - 1, taken(total, entry_crc(collection, key, old, salt))
            if value is not None:
                count, total = count + 1, added(total, entry_crc(collection, key, value, salt))
            _put(writer, collection, key, value)
    if changed:
        writer.now = replace(writer.now, entries=count, entry_sum=total)
        writer.put_state()
    return changed


def _put(writer: StoreWriter, collection: str, key: str, value: str | None) -> None:
    if value is None:
        writer.connection.execute("DELETE FROM entry WHERE collection = ? AND key = ?", (collection, key))
        return
    writer.connection.execute(
        "INSERT INTO entry VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value, crc = excluded.crc",
        (collection, key, value, entry_crc(collection, key, value, writer.now.salt)),
    )


def prove(reader: StoreReader) -> None:
    """Prove that every entry is there and intact, and that the index by which they are found is whole.

    Raises:
        StoreCorrupted: Naming the first thing that is wrong.
    """
    if reader.format() >= KNOWN_SINCE:
        reader.refuse_problems("entry")
    if wrong := problems(reader):
        raise StoreCorrupted(f"{reader.path}: {wrong[0]}")


def problems(reader: StoreReader) -> list[str]:
    """What is wrong with the entries."""
    if reader.format() < KNOWN_SINCE:
        return []
    state = reader.state()
    try:
        names = [record[0] for record in reader.connection.execute("SELECT DISTINCT collection FROM entry")]
        count = sum(len(read(reader, name)) for name in names)
    except StoreCorrupted as error:
        return [message_of(error)]
    total = added(0, reader.connection.execute("SELECT sum(crc) FROM entry").fetchone()[0] or 0)
    if (count, total) != (state.entries, state.entry_sum):
        return [f"{count} entries where {state.entries} were committed, or others; " + RESTORE]
    return []
