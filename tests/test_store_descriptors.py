"""A process that may open no more files, or not write somewhere, is told so; nothing is left behind."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import HashEncoder

from dpr_rag import Passage, PassageStore
from dpr_rag.errors import StoreError


@contextmanager
def few_left(count: int) -> Iterator[None]:
    """Leave this process so many files that it may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = [os.open(os.devnull, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 40, hard))
    try:
        while True:
            try:
                opened.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                break
        for _ in range(count):
            os.close(opened.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in opened:
            os.close(descriptor)


pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs the list of open files")


def test_a_temporary_store_says_that_too_many_files_are_open() -> None:
    with (
        few_left(0),
        pytest.raises(
            StoreError, match=r"temporary store cannot be made \(Too many open files\); close some files, or raise"
        ),
    ):
        PassageStore.temporary()


@pytest.mark.parametrize("count", [0, 1, 2, 4, 6])
def test_a_backup_that_fails_for_want_of_files_leaves_nothing(tmp_path: Path, count: int) -> None:
    (tmp_path / "copies").mkdir()
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder()) as store:
        store.add([Passage("1", "a")])
        with few_left(count), pytest.raises(StoreError, match=r"ulimit -n"):
            store.backup(tmp_path / "copies" / "c")
        assert list((tmp_path / "copies").iterdir()) == []
        store.backup(tmp_path / "copies" / "c")


def test_an_index_that_cannot_be_built_for_want_of_files_says_so(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder()) as store:
        store.add([Passage("1", "a")])
        with few_left(0), pytest.raises(StoreError, match=r"ulimit -n") as caught:
            store.optimize("hnsw")
        assert "free some space" not in str(caught.value)


def test_a_backup_below_a_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        PassageStore.open(tmp_path / "s", encoder=HashEncoder()) as store,
        pytest.raises(
            StoreError,
            match=r"nothing was copied, as .*file cannot be written \(a file stands where a folder is needed\); choose",
        ),
    ):
        store.backup(tmp_path / "file" / "c")
