"""A server of Milvus for the tests, of the PyPI package ``milvus``: no root, no container, no network."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

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
        self._starter.communicate(timeout=60)

    def address(self, collection: str) -> str:
        return f"milvus://127.0.0.1:{self.port}/{collection}"
