"""Engines for the tests, without root, container or network: a file of milvus-lite, a server of the PyPI package ``milvus``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from dpr_rag import MilvusStore

_ALONE = Path(__file__).with_name("milvus_alone.py")
WANTED = "DPR_RAG_TEST_MILVUS"


class Server:
    """A standalone Milvus 2.3 in a folder; it can be killed and started again on the same data and port."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self._pid = folder, 0, 0
        self._starter: subprocess.Popen[str] | None = None

    def start(self) -> None:
        if not os.environ.get(WANTED):
            pytest.skip(f"a server of Milvus takes a minute of tests; set {WANTED}=1 for them")
        if find_spec("milvus") is None:
            pytest.skip("the server of Milvus is in the package milvus, which is not installed")
        command = [sys.executable, str(_ALONE), str(self.folder), str(self.port)]
        # In a process of its own: it leaves this network, and what starts the server leaves sockets behind.
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        self._starter = subprocess.Popen(command, **streams)
        told = self._starter.stdout.readline().split()
        if len(told) != 2:
            self.stop()
            pytest.skip("the server of the package milvus does not start in a network of its own on this machine")
        self.port, self._pid = map(int, told)

    def kill(self) -> None:
        """End it as a power failure does, and no other process."""
        os.kill(self._pid, signal.SIGKILL)

    def stop(self) -> None:
        """End it and what started it."""
        try:
            self._starter.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            self._starter.kill()
            raise

    def address(self, collection: str) -> str:
        return f"milvus://127.0.0.1:{self.port}/{collection}"


@pytest.fixture(scope="session")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """Addresses of new collections in one file of milvus-lite."""
    pytest.importorskip("milvus_lite")
    from pymilvus.client import grpc_handler

    address = f"milvus+lite:{tmp_path_factory.mktemp('lite') / 'engine.db'}"
    numbers = count()
    hasty = SimpleNamespace(time=time.time, sleep=lambda seconds: time.sleep(min(seconds, 0.01)))
    with pytest.MonkeyPatch.context() as patch, MilvusStore.open(address):  # the engine starts once, and stays
        patch.setattr(grpc_handler, "time", hasty)  # which waits half a second for each index of a new collection
        yield lambda: f"{address}#c{next(numbers)}"


@pytest.fixture(params=["folder", "milvus-lite"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store lies: a module that imports this fixture runs over a folder, and over an engine.

    ``@pytest.mark.folder_alone("why")`` leaves a test out of the second.
    """
    if request.param == "folder":
        return str(tmp_path / "store.dpr")
    left_out = request.node.get_closest_marker("folder_alone")
    if left_out:
        pytest.skip(f"in a folder alone: {left_out.args[0]}")
    return request.getfixturevalue("lite")()
