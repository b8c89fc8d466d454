"""JSON arrays of objects as streams, for files such as DPR's training sets that are too large to load whole."""

from __future__ import annotations

import codecs
import json
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from dpr_rag.corpora.gzipped import unpacked
from dpr_rag.corpora.lines import OnBad, bad_line, read_json_lines, tell, unopened
from dpr_rag.corpora.magic import refuse_device, refuse_pipe
from dpr_rag.corpora.values import Keys, expect_object, key_twice, refuse_constant
from dpr_rag.errors import CorpusError, PassageError

T = TypeVar("T")
CHUNK = 1 << 20
MAX_ITEM = 64 << 20
_BLANK = re.compile(r"[ \t\r\n]*")


def read_objects(path: Path, build: Callable[[dict[str, Any], int], T], on_bad: OnBad) -> Iterator[T]:
    """Read JSON objects from one array or from JSONL, plain or gzipped; the file's first character decides.

    Args:
        path: The file.
        build: Makes a record of an object and the line where it starts; what it finds wrong it raises as
            CorpusError or PassageError, without a place.
        on_bad: Takes the errors of bad records; None raises the first.

    Raises:
        CorpusError: A bad record, with the file's name and line. An array whose syntax is broken ends the reading
            even where bad records are collected, since nothing tells where the next record starts.
    """
    refuse_pipe(path)
    if not _is_array(path):
        yield from read_json_lines(path, build, on_bad)
        return
    for line, item, twice in read_array(path):
        try:
            if twice is not None:
                raise key_twice(twice)
            record = build(expect_object(item), line)
        except (CorpusError, PassageError) as error:
            tell(on_bad, bad_line(path, line, error))
        else:
            yield record


def numbering() -> Callable[[int], int]:
    """Numbers for the records of a file that have no ids, by the lines where they start; several on a line are counted on."""
    last = 0

    def number(line: int) -> int:
        nonlocal last
        last = max(line, last + 1)
        return last

    return number


def _is_array(path: Path) -> bool:
    with _opened(path) as file:
        try:
            head = file.read(4096)
        except (EOFError, zlib.error, OSError):
            return False  # the line reader names the damage
    return head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    refuse_device(path)
    try:
        raw = path.open("rb")
    except OSError as error:
        raise CorpusError(f"{path}: {unopened(path, error)}") from error
    with raw, unpacked(path, raw) as file:
        yield file


def read_array(path: Path) -> Iterator[tuple[int, Any, str | None]]:
    """Read the items of a JSON array, holding one item and one chunk of the file at a time.

    Yields:
        The line where each object starts, from 1, the object, and a key that stands twice in it or inside it, if any.

    Raises:
        CorpusError: Broken syntax, an item that is no object or larger than 64 MiB, bytes that are not UTF-8.
    """
    with _opened(path) as file:
        window = _Window(path, file)
        window.expect("[")
        if window.next_character() == "]":
            window.expect("]")
        else:
            yield window.item()
            while window.next_character() == ",":
                window.expect(",")
                yield window.item()
            window.expect("]")
        if window.next_character():
            raise window.error("something follows the end of the array; write one array, or JSONL")


class _Window:
    """The part of the file's text that is being parsed."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._decode = codecs.getincrementaldecoder("utf-8-sig")()
        self._keys = Keys()
        self._json = json.JSONDecoder(parse_constant=refuse_constant, object_pairs_hook=self._keys)
        self._text = ""
        self._at = 0
        self._line = 1
        self._ended = False

    def error(self, problem: object) -> CorpusError:
        return bad_line(self._path, self._line, problem)

    def next_character(self) -> str:
        """Return the next character that is not blank without taking it; at the end of the file an empty string."""
        while True:
            self._take(_BLANK.match(self._text, self._at).end())  # type: ignore[union-attr]  # nothing is blank, too
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._grow(CHUNK):
                return ""

    def expect(self, character: str) -> None:
        following = self.next_character()
        if following != character:
            raise self.error(
                f"found {following or 'the end of the file'!r}, expected {character!r} of a JSON array of objects"
            )
        self._take(self._at + 1)

    def item(self) -> tuple[int, Any, str | None]:
        if self.next_character() != "{":
            raise self.error(f"found {self.next_character()!r}, expected the object of one record")
        while True:
            self._keys.twice = None
            try:
                value, end = self._json.raw_decode(self._text, self._at)
            except RecursionError as error:
                raise self.error("the JSON value is nested too deeply; flatten it") from error
            except ValueError as error:
                # an object that is cut off by the window's end cannot be told from broken syntax: read on
                size = len(self._text) - self._at
                if size > MAX_ITEM:
                    raise self.error(
                        f"the record that starts here is longer than {MAX_ITEM >> 20} MiB, or no JSON ({error}); split it"
                    ) from error
                if not self._grow(max(CHUNK, size)):
                    raise self.error(f"the record that starts here is cut off or no JSON ({error})") from error
            else:
                line = self._line
                self._take(end)
                return line, value, self._keys.twice

    def _take(self, end: int) -> None:
        self._line += self._text.count("\n", self._at, end)
        self._at = end

    def _grow(self, size: int) -> bool:
        if self._ended:
            return False
        try:
            data = self._file.read(size)
            more = self._decode.decode(data, final=not data)
        except UnicodeDecodeError as error:
            self._line += self._text.count("\n", self._at) + error.object[: error.start].count(b"\n")
            raise self.error(f"byte 0x{error.object[error.start]:02x} is not UTF-8; convert the file") from error
        except (EOFError, zlib.error, OSError) as error:
            raise self.error(f"the file ends early or is damaged ({error}); fetch it again") from error
        self._text = self._text[self._at :] + more
        self._at = 0
        self._ended = not data
        return not self._ended
