"""Logs that lost their end, as where a machine loses its power: the store is what one of its commits left."""

from __future__ import annotations

import os
import random
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from conftest import HashEncoder, make_passages
from test_store_crash import in_child, reap

from dpr_rag import PassageStore
from dpr_rag.errors import StoreCorrupted

COMMITS = 12
LOG = "passages.sqlite-wal"


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose process was killed after twelve commits, all of them in its log."""
    path = tmp_path_factory.mktemp("killed") / "store"
    with PassageStore.open(path, encoder=HashEncoder()) as store:
        store.add(make_passages(20))
        store.optimize()

    def work() -> None:
        store = PassageStore.open(path, encoder=HashEncoder())
        for at in range(COMMITS):
            store.add(make_passages(2, 100 + 2 * at))
        os.kill(os.getpid(), signal.SIGKILL)

    assert reap(in_child(work)) == signal.SIGKILL
    return path


def commits_in(path: Path) -> int:
    """How many of the commits a store holds, after every proof that it is whole."""
    with PassageStore.open(path, encoder=HashEncoder()) as store:
        held = [int(passage.id) for passage in store]
        assert held == [*range(20), *range(100, 100 + len(held) - 20)]
        assert store.check().passages == len(held)
        found = store.search(np.ones((1, 16)), 100)[0]
        assert sorted(int(hit.passage.id) for hit in found) == held
        assert len(held) % 2 == 0
        return (len(held) - 20) // 2


@pytest.mark.parametrize("filled", ["", "zeros", "noise"])
def test_a_log_that_lost_its_end_leaves_whole_commits(killed: Path, tmp_path: Path, filled: str) -> None:
    choose = random.Random(filled)
    whole = (killed / LOG).read_bytes()
    frame = int.from_bytes(whole[8:12], "big") + 24
    ends = [0, 10, 32, *(32 + frame * at for at in (1, 2, 7)), *choose.sample(range(len(whole)), 10), len(whole)]
    found = []
    for end in sorted(ends):
        path = shutil.copytree(killed, tmp_path / str(end))
        rest = {"": b"", "zeros": bytes(len(whole) - end), "noise": choose.randbytes(len(whole) - end)}[filled]
        (path / LOG).write_bytes(whole[:end] + rest)
        found.append(commits_in(path))
    assert found == sorted(found), "what lost less holds less"
    assert (found[0], found[-1]) == (0, COMMITS)
    assert len(set(found)) > 3


def test_a_damaged_log_is_noticed_or_leaves_whole_commits(killed: Path, tmp_path: Path) -> None:
    choose = random.Random(5)
    for trial in range(25):
        path = shutil.copytree(killed, tmp_path / str(trial))
        data = bytearray((path / LOG).read_bytes())
        data[choose.randrange(len(data))] ^= 1 << choose.randrange(8)
        (path / LOG).write_bytes(data)
        try:
            assert commits_in(path) <= COMMITS
        except StoreCorrupted:
            pass
