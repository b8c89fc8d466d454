"""``writer.json``: a note of the process that writes, for the message to a writer that waits for it."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from pathlib import Path

from dpr_rag.storage.place import WRITER_FILE


def note_holder(folder: Path) -> None:
    """Write this process's id and host to the note; where that fails, messages do without."""
    holder = json.dumps({"pid": os.getpid(), "host": socket.gethostname()})
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    with suppress(OSError), open(os.open(folder / WRITER_FILE, flags, 0o666), "w", encoding="utf-8") as file:
        if os.fstat(file.fileno()).st_nlink > 1:  # under another name it may be somebody else's
            (folder / WRITER_FILE).unlink()
            return
        file.truncate(0)
        file.write(holder)


def was_written(folder: Path) -> bool:
    """Whether the note exists, and so a store was written here before."""
    return (folder / WRITER_FILE).exists()


def holder_of(folder: Path) -> str:
    """The process in the note, in words."""
    try:
        descriptor = os.open(folder / WRITER_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, encoding="utf-8") as file:
            holder = json.loads(file.read(1000))
        return f"process {holder['pid']} on {holder['host']}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "another process"
