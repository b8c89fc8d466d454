"""Reading files line by line, plain or gzipped, with errors that name the line; and atomic writing."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TextIO, TypeVar
from uuid import UUID

from dpr_rag.arguments import check_callable
from dpr_rag.corpora.gzipped import unpacked
from dpr_rag.corpora.magic import LENGTH, refuse_device, refuse_foreign
from dpr_rag.corpora.values import expect_object, parsed
from dpr_rag.errors import CorpusError, PassageError, UnreadableError
from dpr_rag.faces import ByFace, message_of
from dpr_rag.paths import replacing

OnBad = Callable[[CorpusError], None] | None
LeftOut = Counter[str]
"""How much a reader left out, by reason."""
BAD_TEXT = "passage with lone surrogates"
"""What a skipped passage is counted by."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_QUOTED = re.compile(rb'"[^"]*"')
BARE_RETURNS = (
    "lines end by a carriage return alone, as those of old Macs; convert the file, for example with: tr '\\r' '\\n'"
)
"""What is said of a table all of whose lines would be one."""
LONGEST = 64 << 20
"""Most bytes of a line."""
T = TypeVar("T")


class SkipReport:
    """Counts bad lines and keeps the first messages; pass one as ``on_bad`` to read on behind them.

    Args:
        keep: How many messages to keep.

    Attributes:
        count: How many lines were skipped.
        examples: The first of their messages.
    """

    __slots__ = ("count", "examples", "keep")

    def __init__(self, *, keep: int = 10) -> None:
        self.count = 0
        self.keep = keep
        self.examples: list[str] = []

    def __call__(self, error: CorpusError) -> None:
        """Count one bad line."""
        self.count += 1
        if len(self.examples) < self.keep:
            self.examples.append(message_of(error))


def told(left_out: Mapping[str, int]) -> str:
    """Counts in words, such as ``2 hidden, 1 empty``."""
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(left_out.items()))


def bad_line(path: Path, line: int, problem: object) -> CorpusError:
    """Return the error for a bad record.

    Args:
        path: The file.
        line: Physical line where the record starts, from 1.
        problem: What is wrong with it, and what to do.
    """
    return CorpusError(f"{path}:{line}: " + message_of(problem))


def tell(on_bad: OnBad, error: CorpusError) -> None:
    """Report a bad record to ``on_bad``, or raise it where there is none.

    Raises:
        CorpusError: ``on_bad`` is None.
        ArgumentError: It cannot be called, or does nothing when it is.
    """
    check_callable("on_bad", on_bad)
    if on_bad is None:
        raise error
    on_bad(error)


def read_lines(path: Path, *, ends: bool = False) -> Iterator[tuple[int, bytes]]:
    r"""Read a plain or gzipped file (by its first bytes) line by line.

    Only ``\n`` ends a line. A byte order mark that begins one is dropped: joined files have theirs in the middle.

    Args:
        path: The file.
        ends: Whether lines keep their ``\n`` or ``\r\n``, and a mark that begins another than the first, which may stand
            inside a quoted field.

    Yields:
        The line's number, from 1, and its bytes.

    Raises:
        UnreadableError: The file cannot be read, or is no text.
        CorpusError: Its compressed data are damaged, or unpack to far more than text does; a line is longer than 64 MiB.
    """
    number = 0
    refuse_device(path)
    try:
        with path.open("rb") as raw:
            refuse_foreign(path, raw.peek(LENGTH))
            with unpacked(path, raw) as file:
                for number, line in enumerate(iter(partial(file.readline, LONGEST + 1), b""), 1):
                    if len(line) > LONGEST:
                        raise _too_long(path, number)
                    if number == 1 or not ends:
                        line = line.removeprefix(BYTE_ORDER_MARK)
                    yield number, line if ends else without_end(line)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise bad_line(
            path, number + 1, f"the gzip data are damaged or end early ({error}); fetch the file again"
        ) from error
    except OSError as error:
        raise UnreadableError(f"{path}: {unopened(path, error)}") from error


def unopened(path: Path, error: OSError) -> str:
    """What is said of a file that the system does not open or read."""
    if error.errno in {errno.ENOENT, errno.ELOOP} and path.is_symlink():
        return broken_link(path)
    return f"cannot be read ({error.strerror or error}); check the path"


def refuse_unopened(path: Path, error: Exception) -> None:
    """Refuse a file that a library could not read because the system did not let it, which is no damage to be mended.

    Raises:
        UnreadableError: The system refused, and said why by a number.
    """
    if isinstance(error, OSError) and error.errno:
        plain = OSError(error.errno, os.strerror(error.errno))  # a library's own words name the file again
        raise UnreadableError(f"{path}: {unopened(path, plain)}") from error


def broken_link(path: Path) -> str:
    """What is said of a link that leads nowhere, or in a circle."""
    where = "is not there"
    try:
        path.stat()
    except OSError as error:
        where = "leads in a circle" if error.errno == errno.ELOOP else where
    return f"is a link to {os.readlink(path)}, which {where}; mend or remove it"


def _too_long(path: Path, number: int) -> CorpusError:
    return bad_line(
        path,
        number,
        f"the line is longer than {LONGEST >> 20} MiB, expected a record, or a paragraph, a line; put line breaks between them",
    )


def without_end(line: bytes) -> bytes:
    r"""Return a line without its ``\n`` or ``\r\n``."""
    return line.removesuffix(b"\n").removesuffix(b"\r")


def has_bare_returns(line: bytes) -> bool:
    r"""Whether a carriage return stands in a line of a table, neither inside quotes nor as part of the line's end."""
    return b"\r" in _QUOTED.sub(b"", without_end(line))


def decoded(line: bytes) -> str:
    """Decode a line.

    Raises:
        CorpusError: It is not UTF-8.
    """
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"byte {error.start + 1}"
            + ByFace(
                f" (0x{line[error.start]:02x}) is not UTF-8; convert the file, for example with iconv",
                page=" is neither UTF-8 nor Windows-1252; save it as UTF-8",
            )
        ) from error


def read_json_lines(path: Path, build: Callable[[dict[str, Any], int], T], on_bad: OnBad) -> Iterator[T]:
    """Read JSONL: ``build(object, line number)`` for every line that is not blank.

    Args:
        path: The file, possibly gzipped.
        build: Makes the record; what it finds wrong it raises as CorpusError or PassageError, without a place.
        on_bad: Takes the errors of bad lines; None raises the first.

    Raises:
        CorpusError: A bad line, with the file's name and the line's number.
    """
    for number, line in read_lines(path):
        if not line.strip():
            continue
        try:
            record = build(expect_object(parsed(decoded(line))), number)
        except (CorpusError, PassageError) as error:
            tell(on_bad, bad_line(path, number, error))
        else:
            yield record


def id_of(value: object, name: str = "id") -> str:
    """Return an id as a string; integers and UUIDs are accepted.

    Raises:
        CorpusError: It is anything else, or empty.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | UUID) or value == "":
        raise CorpusError(f"the {name} is {value!r:.60}, expected a non-empty string or an integer")
    return str(value)


@contextmanager
def writing(path: Path) -> Iterator[TextIO]:
    """Open a file for UTF-8 text, gzipped when its name ends in ``.gz``; it appears only once it is complete.

    Raises:
        CorpusError: The file cannot be written, or what is written is no text.
    """
    try:
        with replacing(path, CorpusError) as partial, partial.open("wb") as raw:
            if path.suffix == ".gz":
                # without name and time, equal content gives equal bytes
                with gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed, _text(packed) as text:
                    yield text
            else:
                with _text(raw) as text:
                    yield text
    except UnicodeEncodeError as error:
        bad = error.object[max(0, error.start - 20) : error.end]
        raise CorpusError(
            f"{path}: is not written, as {bad!r} holds a lone surrogate, which is not text; decode the source with its right "
            "encoding"
        ) from error


def _text(file: Any) -> TextIO:
    return io.TextIOWrapper(file, encoding="utf-8", newline="")


def write_objects(path: Path, items: Iterable[Mapping[str, Any]]) -> int:
    """Write JSON objects one a line, and return how many.

    Raises:
        CorpusError: The file cannot be written.
    """
    count = 0
    with writing(path) as file:
        for item in items:
            file.write(json.dumps(item, ensure_ascii=False) + "\n")
            count += 1
    return count


def write_array(path: Path, items: Iterable[Mapping[str, Any]]) -> int:
    """Write JSON objects as one array, an object a line, and return how many.

    Raises:
        CorpusError: The file cannot be written.
    """
    count = 0
    with writing(path) as file:
        for item in items:
            file.write((",\n" if count else "[\n") + json.dumps(item, ensure_ascii=False))
            count += 1
        file.write("\n]\n" if count else "[]\n")
    return count
