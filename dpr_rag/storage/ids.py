"""The index on ids, which SQLite keeps without a checksum: proofs that it is whole, and of what is not in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from itertools import pairwise

from dpr_rag.derived import checksum
from dpr_rag.errors import RESTORE, StoreCorrupted
from dpr_rag.storage.state import State, added

_INDEX = "passage INDEXED BY sqlite_autoindex_passage_1"
_BEFORE = f"SELECT id, row, 0 AS behind FROM {_INDEX} WHERE id < ? ORDER BY id DESC LIMIT 1"
_BEHIND = f"SELECT id, row, 1 AS behind FROM {_INDEX} WHERE id > ? ORDER BY id LIMIT 1"
_NEIGHBOURS = (
    f"SELECT i.row, i.id, i.behind, p.id FROM (SELECT * FROM ({_BEFORE}) UNION ALL SELECT * FROM ({_BEHIND})) i "
    "LEFT JOIN passage p NOT INDEXED ON p.row = i.row"
)
_BLOCK = 4096


def mark_of(row: int, passage_id: str) -> int:
    """The 64-bit hash that a passage adds to the sum over the index on ids."""
    return checksum(passage_id.encode(), seed=row)


def prove_whole(connection: sqlite3.Connection, state: State, path: object) -> None:
    """Prove that the index holds the ids of all passages with their rows, in order, and nothing else.

    It is read from end to end, and nothing but it: some 1.5 s a million ids. A page of it that was lost, exchanged or written
    by an earlier commit is noticed here, while its entries, each by itself, are right.

    Raises:
        StoreCorrupted: It does not.
    """
    total = count = 0
    last: str = ""
    cursor = connection.execute(f"SELECT id, row FROM {_INDEX} ORDER BY id")
    while block := cursor.fetchmany(_BLOCK):
        keys = [key for key, _ in block]
        if not all(isinstance(key, str) and isinstance(row, int) for key, row in block):
            raise StoreCorrupted(f"{path}: the index on ids holds something else than ids; " + RESTORE)
        if (count and keys[0] <= last) or not all(before < following for before, following in pairwise(keys)):
            raise StoreCorrupted(f"{path}: the index on ids is out of order near {keys[0]!r:.100}; " + RESTORE)
        total += sum(mark_of(row, key) for key, row in block)
        count, last = count + len(block), keys[-1]
    if (count, added(0, total)) != (state.passages, state.id_sum):
        raise StoreCorrupted(
            f"{path}: the index on ids holds {count} of {state.passages} passages, or others; " + RESTORE
        )


def prove_absent(connection: sqlite3.Connection, ids: Iterable[str], path: object) -> None:
    """Prove that ids which the index did not find are not stored, even if single entries of the index are damaged.

    A damaged key stands where its true value would be looked for, so that it is the entry before that place or the one
    behind it: both have to be what the table holds at their rows. That takes two searches an id, however large the store,
    and nothing for one between the same two entries as the id before it.

    Raises:
        StoreCorrupted: They are not.
    """
    until: str | None = ""  # the entry behind the ids proven so far; None where there is none
    for wanted in sorted(ids):
        if until is None or wanted < until:
            continue
        until = None
        for row, key, behind, stored in connection.execute(_NEIGHBOURS, (wanted, wanted)):
            if not isinstance(key, str) or key != stored or not (key > wanted if behind else key < wanted):
                raise StoreCorrupted(
                    f"{path}: the index on ids is damaged near {wanted!r:.100} (row {row}), so that it cannot be said "
                    f"whether that is stored; " + RESTORE
                )
            until = key if behind else until
