"""Starts the server of the package ``milvus`` where nobody but this machine reaches it: ``milvus_alone.py FOLDER PORT``.

The server binds all its ports on every interface, whatever its settings say. Here it runs in a network of its own, which has
but a loopback, and this program passes on what comes to one port of the machine's own loopback. It prints that port and the
server's process; it ends the server when its standard input ends, or on SIGTERM and SIGINT.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import signal
import socket
import struct
import sys
import threading
from contextlib import suppress
from pathlib import Path

NEW_USER, NEW_NETWORK = 0x1000_0000, 0x4000_0000
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1
_QUICK = {"common.session.ttl": 10, "proxy.timeTickInterval": 50}
"""A killed server's place is free after so many seconds; and a read waits so many milliseconds for all writers."""


def leave_network() -> None:
    """Move this process to a new network, which has a loopback; sockets that are open stay where they are.

    Raises:
        OSError: The system does not let users make one.
    """
    user, group = os.getuid(), os.getgid()
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_USER | NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "this system lets nobody make a network of their own")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        told = fcntl.ioctl(asked, _GET_FLAGS, struct.pack("16sh14x", b"lo", 0))
        flags = struct.unpack("16sh14x", told)[1]
        fcntl.ioctl(asked, _SET_FLAGS, struct.pack("16sh14x", b"lo", flags | _UP))


async def pass_on(outside: socket.socket, port: int) -> None:
    """Connect everybody who comes to a socket with a port of this network, until standard input ends."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while part := await reader.read(1 << 16):
                writer.write(part)
                await writer.drain()
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(copy(reader, inner[1]), copy(inner[0], writer))

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)

    def read() -> None:  # in a thread that holds up no exit, and holds no lock of Python's on the stream
        while os.read(0, 1 << 16):
            continue
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=read, daemon=True).start()
    served = await asyncio.start_server(connect, sock=outside)
    await ended.wait()
    served.close()


def main(folder: str, port: int) -> None:
    """Start the server, and wait."""
    outside = socket.create_server(("127.0.0.1", port))
    leave_network()
    from milvus import MilvusServer, MilvusServerConfig

    config = MilvusServerConfig(data_dir=folder)
    for name, value in _QUICK.items():
        config.set(name, value)
    server = MilvusServer(config)
    signal.signal(signal.SIGTERM, _leave)  # until there is a loop that hears it
    try:
        server.start()
        sys.stdout.write(f"{outside.getsockname()[1]} {server.server_proc.pid}\n")
        sys.stdout.flush()
        asyncio.run(pass_on(outside, server.listen_port))
    finally:
        server.stop()


def _leave(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
