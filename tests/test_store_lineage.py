"""Copies that go their own ways, damage after opening, and what a restore leaves to those who use the store."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import HashEncoder, make_passages

from dpr_rag import Passage, PassageStore, Retriever
from dpr_rag.errors import StoreCorrupted, StoreError, StoreLocked, StoreReplacedError
from dpr_rag.storage.state import State

QUESTION = np.ones((1, 16), np.float32)
USES: tuple[Callable[[PassageStore], object], ...] = (
    lambda store: store.search(QUESTION, 5),
    lambda store: store.get(["p0"]),
    lambda store: store.count(),
    lambda store: list(store),
    lambda store: store.delete(["p0"]),
    lambda store: store.add([Passage("more", "more")]),
    lambda store: Retriever(store, mode="bm25").retrieve("text"),
)


def numbered(prefix: str, count: int, **metadata: str) -> list[Passage]:
    return [Passage(f"{prefix}{at}", f"text {at} of {prefix}", metadata=metadata) for at in range(count)]


def fill(path: Path, passages: list[Passage]) -> None:
    with PassageStore.open(path, encoder=HashEncoder()) as store:
        store.add(passages)


def let_go(store: PassageStore) -> None:
    """Close idle connections, as every fork does: none has pages in memory, or a lock."""
    store._engine.database._close_idle()


@pytest.mark.parametrize("further", [0, 1, 3, 80])
@pytest.mark.parametrize("use", range(len(USES)))
def test_a_copy_of_the_same_name_is_another_store_once_it_went_its_own_way(
    tmp_path: Path, use: int, further: int
) -> None:
    """A copy made with cp has the store's name, and after as many commits its generation, too."""
    fill(tmp_path / "store", numbered("p", 5))
    shutil.copytree(tmp_path / "store", tmp_path / "twin")
    with PassageStore.open(tmp_path / "store", encoder=HashEncoder()) as store:
        store.add([Passage("mine", "mine")])
        store.search(QUESTION, 3)
        for at in range(further):
            fill(tmp_path / "twin", [Passage(f"b{at}", f"of the twin {at}")])
        let_go(store)
        shutil.copyfile(tmp_path / "twin/passages.sqlite", tmp_path / "store/passages.sqlite")
        if further < 64:
            with pytest.raises(StoreReplacedError):
                USES[use](store)
        else:  # too far to tell: what is found is the twin's, and nothing of what was known before
            hits = store.search(store.encode_questions(["of the twin 7"]), 100)[0]
            assert {hit.passage.id for hit in hits} == {passage.id for passage in store}
            vectors = HashEncoder().encode_passages([hit.passage for hit in hits])
            question = HashEncoder().encode_questions(["of the twin 7"])[0]
            assert [hit.score for hit in hits] == pytest.approx(list(vectors @ question), rel=1e-5, abs=1e-5)


def test_what_became_of_a_state_is_told_from_what_did_not() -> None:
    first = State(store="a").committed(1)
    second = first.committed(2)
    assert second.follows(first) is True
    assert second.follows(second) is True
    assert first.follows(second) is False
    assert first.committed(2).follows(second) is False
    assert second.follows(State(store="b").committed(1)) is False
    assert State(store="a").committed(2).follows(State()) is None
    late = first
    for generation in range(2, 66):
        late = late.committed(generation)
    assert late.follows(first) is None
    assert late.follows(second) is False, "another second commit"


def test_records_of_adapters_change_beside_searches(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "store", encoder=HashEncoder()) as store:
        store.add(make_passages(3))
        before = store.search(QUESTION, 3)
        store.private.write({"nodes": {"key": [1]}})
        assert store.search(QUESTION, 3) == before
        assert store.private.read("nodes") == {"key": [1]}


def kill_while_writing(path: Path) -> None:
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[2]); from conftest import HashEncoder; from dpr_rag import *\n"
        "store = PassageStore.open(sys.argv[1], encoder=HashEncoder())\n"
        "store.add([Passage(f'bad{at}', f'bad {at}') for at in range(20)]); store.delete(['p1', 'p2']); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(path), str(Path(__file__).parent)])
    assert (path / "passages.sqlite-wal").stat().st_size > 0


def test_an_older_copy_put_by_hand_over_a_killed_store_is_not_mixed_with_its_log(tmp_path: Path) -> None:
    fill(tmp_path / "store", numbered("p", 300))
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    fill(tmp_path / "store", numbered("q", 200))
    kill_while_writing(tmp_path / "store")
    shutil.copyfile(tmp_path / "copy/passages.sqlite", tmp_path / "store/passages.sqlite")
    for read_only in (False, True):
        with pytest.raises(StoreCorrupted, match="dpr-rag restore COPY"):
            PassageStore.open(tmp_path / "store", encoder=HashEncoder(), read_only=read_only)
    PassageStore.restore(tmp_path / "copy", tmp_path / "store")
    with PassageStore.open(tmp_path / "store") as store:
        assert [passage.id for passage in store] == [f"p{at}" for at in range(300)]


def test_optimize_builds_no_index_of_passages_of_an_earlier_commit(tmp_path: Path) -> None:
    """Filters and deletions trust the fields beside an index."""
    path, file = tmp_path / "store", tmp_path / "store/passages.sqlite"
    passages = [Passage(f"p{at}", f"text {at} " + "x" * 300, metadata={"acl": "public"}) for at in range(200)]
    fill(path, passages)
    old = file.read_bytes()
    fill(path, [Passage("p77", passages[77].text, metadata={"acl": "secret"})])
    new = bytearray(file.read_bytes())
    for at in range(0, len(old), 4096):
        if b'"acl":"secret"' in new[at : at + 4096]:
            new[at : at + 4096] = old[at : at + 4096]
    file.write_bytes(new)
    with PassageStore.open(path, encoder=HashEncoder()) as store, pytest.raises(StoreCorrupted, match="earlier commit"):
        store.optimize()


def test_a_deletion_by_filter_proves_what_it_leaves_each_time(tmp_path: Path) -> None:
    path = tmp_path / "store"
    fill(path, [Passage(f"p{at}", f"t {at}", metadata={"user": f"user-{at:04}"}) for at in range(300)])
    with PassageStore.open(path, encoder=HashEncoder()) as store:
        assert store.delete(filter={"user": "user-0001"}) == 1
        let_go(store)
        damage(path, rb"user-0123")
        with pytest.raises(StoreCorrupted):
            store.delete(filter={"user": "user-0123"})


@pytest.mark.parametrize("at", [8, 12, 19])
@pytest.mark.parametrize("bit", [1, 8, 64])
def test_a_deletion_by_mark_proves_the_index_each_time(tmp_path: Path, at: int, bit: int) -> None:
    path = tmp_path / "store"
    fill(
        path,
        [
            Passage(f"p{n}", f"t {n}", metadata={"_dpr_rag": ["node", f"source:document-{n:04}", []]})
            for n in range(300)
        ],
    )
    with PassageStore.open(path, encoder=HashEncoder()) as store:
        assert store.private.delete_marked(["source:document-0001"]) == 1
        let_go(store)
        damage(path, rb'(?<!")source:document-0123', at, bit)
        wanted = ["source:document-0123"]
        for ask in (store.private.delete_marked, store.private.marked, store.private.present):
            with pytest.raises(StoreCorrupted):
                ask(wanted)


def damage(path: Path, pattern: bytes, at: int = 8, bit: int = 8) -> None:
    file = path / "passages.sqlite"
    data = bytearray(file.read_bytes())
    places = [match.start() for match in re.finditer(pattern, bytes(data))]
    assert places
    for place in places:
        data[place + at] ^= bit
    file.write_bytes(data)


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o644])
def test_a_restored_store_can_be_used_by_those_who_used_it(tmp_path: Path, mode: int) -> None:
    fill(tmp_path / "store", numbered("p", 5))
    with PassageStore.open(tmp_path / "store", encoder=HashEncoder()) as store:
        store.optimize()
        store.backup(tmp_path / "copy")
    file = tmp_path / "store/passages.sqlite"
    file.chmod(mode)
    if os.geteuid() == 0:
        os.chown(file, 65534, 65534)
    owner = file.stat().st_uid
    PassageStore.restore(tmp_path / "copy", tmp_path / "store")
    for part in (file, *(tmp_path / "store/index").rglob("*")):
        assert part.stat().st_uid == owner
        assert part.is_dir() or stat.S_IMODE(part.stat().st_mode) == mode
        assert not part.is_dir() or stat.S_IMODE(part.stat().st_mode) & 0o700 == 0o700


def test_a_rollback_journal_beside_a_store_is_not_played_back_over_the_copy(tmp_path: Path) -> None:
    fill(tmp_path / "store", numbered("p", 5))
    with PassageStore.open(tmp_path / "store") as store:
        store.backup(tmp_path / "copy")
    (tmp_path / "store/passages.sqlite-journal").write_bytes(bytes.fromhex("d9d505f920a163d7") + bytes(5000))
    PassageStore.restore(tmp_path / "copy", tmp_path / "store")
    assert not (tmp_path / "store/passages.sqlite-journal").exists()
    with PassageStore.open(tmp_path / "store") as store:
        assert store.check().passages == 5


def test_a_store_is_not_replaced_while_a_process_has_it_open_and_forks(tmp_path: Path) -> None:
    fill(tmp_path / "store", numbered("p", 5))
    with PassageStore.open(tmp_path / "store") as store:
        store.backup(tmp_path / "copy")
    code = (
        "import os, sys; from dpr_rag import PassageStore; store = PassageStore.open(sys.argv[1]); store.count()\n"
        "child = os.fork() or os._exit(0); os.waitpid(child, 0); print(store.count(), flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "store")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "5\n"
        with pytest.raises(StoreLocked, match="open in another process; close it there"):
            PassageStore.restore(tmp_path / "copy", tmp_path / "store")
    PassageStore.restore(tmp_path / "copy", tmp_path / "store")


def test_a_copy_that_is_damaged_is_named_and_changes_nothing(tmp_path: Path) -> None:
    fill(tmp_path / "copy", numbered("p", 50))
    damage(tmp_path / "copy", rb"text 7 of p")
    fill(tmp_path / "store", numbered("q", 3))
    for target in ("store", "new"):
        with pytest.raises(
            StoreCorrupted, match=f"copy {tmp_path / 'copy'} is damaged, and nothing was restored"
        ) as told:
            PassageStore.restore(tmp_path / "copy", tmp_path / target)
        assert "restoring-" not in str(told.value)
    assert not (tmp_path / "new").exists()
    with PassageStore.open(tmp_path / "store") as store:
        assert [passage.id for passage in store] == ["q0", "q1", "q2"]


def test_a_copy_is_not_restored_into_itself(tmp_path: Path) -> None:
    fill(tmp_path / "copy", numbered("p", 5))
    before = sorted(path.name for path in (tmp_path / "copy").rglob("*"))
    with pytest.raises(StoreError, match="lies inside the copy"):
        PassageStore.restore(tmp_path / "copy", tmp_path / "copy/deep/store")
    assert sorted(path.name for path in (tmp_path / "copy").rglob("*")) == before


def test_a_store_that_has_lost_its_file_is_called_so(tmp_path: Path) -> None:
    fill(tmp_path / "store", numbered("p", 5))
    (tmp_path / "store/passages.sqlite").unlink()
    with pytest.raises(StoreCorrupted, match=r"has lost its passages\.sqlite; restore a backup"):
        PassageStore.open(tmp_path / "store")


def test_a_segment_that_is_a_link_is_not_read_and_the_link_alone_goes(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "store", encoder=HashEncoder()) as store:
        store.add(numbered("p", 50))
        store.optimize()
        right = store.search(QUESTION, 5)
    (segment,) = (tmp_path / "store/index").iterdir()
    segment.rename(tmp_path / "elsewhere")
    segment.symlink_to(tmp_path / "elsewhere")
    with PassageStore.open(tmp_path / "store", encoder=HashEncoder()) as store:
        assert store.search(QUESTION, 5) == right
        with pytest.raises(StoreCorrupted, match="is a link"):
            store.check()
        store.optimize()
        assert store.check().indexed == 50
    assert not segment.is_symlink()
    assert (tmp_path / "elsewhere/vectors").is_file()


def test_the_note_of_the_writer_goes_into_no_file_of_another_name(tmp_path: Path) -> None:
    fill(tmp_path / "store", numbered("p", 5))
    note, other = tmp_path / "store/writer.json", tmp_path / "victim"
    other.write_text("precious")
    note.unlink()
    os.link(other, note)
    fill(tmp_path / "store", numbered("q", 5))
    assert other.read_text() == "precious"
