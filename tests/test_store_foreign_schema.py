"""A store from a stranger runs nothing of the stranger's: its schema is exactly ours, or it is refused before it is used."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from dpr_rag import Passage, PassageStore
from dpr_rag.errors import StoreCorrupted

GOLDEN = Path(__file__).parent / "golden"
CHANGES = {
    "a trigger": (
        "CREATE TRIGGER steal AFTER INSERT ON passage BEGIN DELETE FROM vector_a; END",
        "holds the trigger 'steal'",
    ),
    "an endless trigger": (
        "CREATE TRIGGER hang BEFORE DELETE ON passage BEGIN SELECT count(*) FROM passage a, passage b, passage c; END",
        "holds the trigger 'hang'",
    ),
    "a view for a table": (
        "ALTER TABLE state RENAME TO other; CREATE VIEW state AS WITH RECURSIVE r(n) AS "
        "(SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT 1 AS one, max(n) AS value, 1 AS crc FROM r",
        "'(other|state)'",
    ),
    "a view": ("CREATE VIEW more AS SELECT 1", "holds the view 'more'"),
    "a generated column": ("ALTER TABLE passage ADD COLUMN more AS (hex(zeroblob(9)))", "table 'passage' is another"),
    "another index": ("CREATE INDEX more ON passage (length(text)) WHERE text <> ''", "holds the index 'more'"),
    "an index less": ("DROP INDEX removed_generation", "has lost its index 'removed_generation'"),
    "another table": ("CREATE TABLE more (a CHECK (length(a) < 9))", "holds the table 'more'.*DROP TABLE"),
    "a virtual table": ("CREATE VIRTUAL TABLE more USING fts5(a)", "holds the table 'more"),
    "a column less": (
        "DROP TABLE vector_b; CREATE TABLE vector_b (row INTEGER PRIMARY KEY, vector BLOB)",
        "'vector_b' is another",
    ),
    "a schema that is no SQL": (
        "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = 'CREATE TABLE passage (' WHERE name = 'passage'",
        "malformed",
    ),
}


def made(folder: Path) -> Path:
    with PassageStore.open(folder) as store:
        store.add([Passage(str(at), f"text {at}") for at in range(3)], vectors=np.eye(3, 4, dtype=np.float32))
    return folder / "passages.sqlite"


def change(file: Path, statements: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(statements)


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("what", CHANGES)
def test_a_schema_with_anything_of_a_strangers_is_refused(tmp_path: Path, what: str, read_only: bool) -> None:
    statements, said = CHANGES[what]
    change(made(tmp_path / "s"), statements)
    with pytest.raises(StoreCorrupted, match=said):
        PassageStore.open(tmp_path / "s", create=False, read_only=read_only)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_trigger_in_an_older_format_does_not_run_as_it_is_migrated(tmp_path: Path, number: int) -> None:
    shutil.copytree(GOLDEN / f"format-{number}", tmp_path / "s")
    change(
        tmp_path / "s" / "passages.sqlite",
        "CREATE TRIGGER steal AFTER UPDATE ON state BEGIN DELETE FROM passage; END;"
        "CREATE TRIGGER steal_2 AFTER DELETE ON removed BEGIN DELETE FROM passage; END",
    )
    with closing(sqlite3.connect(tmp_path / "s" / "passages.sqlite")) as connection:
        before = connection.execute("SELECT count(*) FROM passage").fetchone()
    with pytest.raises(StoreCorrupted, match="holds the trigger 'steal'"):
        PassageStore.open(tmp_path / "s", create=False)
    with closing(sqlite3.connect(tmp_path / "s" / "passages.sqlite")) as connection:
        assert connection.execute("SELECT count(*) FROM passage").fetchone() == before
        assert connection.execute("PRAGMA user_version").fetchone() == (number,)


def test_a_view_beside_a_log_does_not_run_before_it_is_refused(tmp_path: Path) -> None:
    file = made(tmp_path / "s")
    code = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
        "c.executescript(sys.argv[2]); c.execute('PRAGMA user_version'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(file), CHANGES["a view for a table"][0]], check=True, timeout=60)
    assert (tmp_path / "s" / "passages.sqlite-wal").stat().st_size
    opening = "import sys; from dpr_rag import PassageStore; PassageStore.open(sys.argv[1], create=False)"
    done = subprocess.run(
        [sys.executable, "-c", opening, str(tmp_path / "s")], capture_output=True, text=True, timeout=60
    )
    assert "StoreCorrupted" in done.stderr


def test_what_sqlite_gathers_for_its_planner_is_no_strangers(tmp_path: Path) -> None:
    change(made(tmp_path / "s"), "ANALYZE")
    with PassageStore.open(tmp_path / "s", create=False) as store:
        assert store.check().passages == 3
        assert store.delete(["1"]) == 1
