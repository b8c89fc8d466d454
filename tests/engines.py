"""A server of Milvus for the tests, of the PyPI package ``milvus``: no root, no container, a folder of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import pytest_socket


class Server:
    """A standalone Milvus 2.3 in a folder; it can be killed and started again on the same data and port."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, 0

    def start(self) -> None:
        milvus = pytest.importorskip(
            "milvus", reason="the server is in the package milvus, of which there is none here"
        )
        config = milvus.MilvusServerConfig(data_dir=str(self.folder))
        if self.port:
            config.update(proxy_port=self.port)
        self._server = milvus.MilvusServer(config)
        pytest_socket.enable_socket()  # it looks for free ports, and asks the server whether it is well
        try:
            self._server.start()
        except (OSError, RuntimeError, TimeoutError) as error:
            self._server.stop()
            pytest.skip(f"the server of the package milvus does not start here: {error}")
        finally:
            pytest_socket.disable_socket(allow_unix_socket=True)
        self.port = self._server.listen_port

    @property
    def _process(self) -> subprocess.Popen[bytes]:
        return self._server.server_proc

    def kill(self) -> None:
        """End it as a power failure does, and no other process."""
        self._process.kill()
        self._process.wait(timeout=30)
        self._server.server_proc = None

    def stop(self) -> None:
        self._server.stop()

    def address(self, collection: str) -> str:
        return f"milvus://127.0.0.1:{self.port}/{collection}"
