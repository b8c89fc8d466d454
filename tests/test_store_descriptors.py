"""A process that may open no more files, or not write somewhere, is told so; nothing is left behind."""

from __future__ import annotations

import gc
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
    gc.collect()  # what other tests left behind must not be closed meanwhile
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


def attempt(store: PassageStore, target: Path, *, files: int) -> StoreError | None:
    """Back a store up where so many files may be opened, and return the error that ended it."""
    try:
        with few_left(files):
            store.backup(target)
    except StoreError as error:
        return error
    return None


def test_a_backup_that_fails_for_want_of_files_leaves_nothing_however_far_it_came(tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir()
    failures = 0
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder()) as store:
        store.add([Passage("1", "a")])
        error = attempt(store, tmp_path / "copies" / "c", files=0)
        while error is not None:
            assert "ulimit -n" in str(error)
            assert list((tmp_path / "copies").iterdir()) == []
            failures += 1
            error = attempt(store, tmp_path / "copies" / "c", files=failures)
    assert failures >= 3
    with PassageStore.open(tmp_path / "copies" / "c", encoder=HashEncoder()) as copy:
        assert copy.get(["1"]) == [Passage("1", "a")]


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
