"""The tests' own server of Milvus ends with what started it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from engines import Server

pytest.importorskip("pymilvus")

from dpr_rag import MilvusStore


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_ends_with_the_program_that_started_it(tmp_path: Path, number: signal.Signals) -> None:
    server = Server(tmp_path)
    server.start()
    try:
        with MilvusStore.open(server.address("held"), timeout=60):  # a connection that is open does not hold it up
            server._starter.send_signal(number)
            assert server._starter.wait(120) == 0
        with pytest.raises(ProcessLookupError):
            os.kill(server._pid, 0)
    finally:
        server.stop()
