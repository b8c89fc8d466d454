"""The state of uploaded files: which are being added, and the checksums of those that were read completely."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol


class UploadLog(Protocol):
    """Remembers over a restart, and a crash, which files are being added, and what those held that were."""

    def begun(self, source: str) -> None:
        """A file is about to be added."""
        ...

    def ended(self, source: str, checksum: str = "") -> None:
        """It was read to its end, all of it where a checksum is given, or removed."""
        ...

    def unfinished(self) -> list[str]:
        """The files that were begun and did not end."""
        ...

    def with_checksum(self, checksum: str) -> list[str]:
        """The files with this checksum."""
        ...


class Forgetful:
    """A log that ends with the process."""

    def __init__(self) -> None:
        self._adding, self._checksums = set[str](), dict[str, str]()

    def begun(self, source: str) -> None:
        """A file is about to be added."""
        self._adding.add(source)
        self._checksums.pop(source, None)

    def ended(self, source: str, checksum: str = "") -> None:
        """It was read to its end, or removed."""
        self._adding.discard(source)
        self._checksums.pop(source, None)
        if checksum:
            self._checksums[source] = checksum

    def unfinished(self) -> list[str]:
        """The files that were begun and did not end."""
        return sorted(self._adding)

    def with_checksum(self, checksum: str) -> list[str]:
        """The files with this checksum."""
        return sorted(source for source, known in self._checksums.items() if known == checksum)


def checksum_of(path: Path) -> str:
    """A checksum that files of equal contents share; an empty string for folders and what cannot be read."""
    if not path.is_file():
        return ""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:  # which reading it tells in words
        return ""
