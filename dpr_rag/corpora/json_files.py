"""Reads JSON files into memory as a whole, as other libraries write them beside their data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from dpr_rag.corpora.magic import refuse_device
from dpr_rag.corpora.values import parsed, refuse_constant
from dpr_rag.errors import CorpusError, UnreadableError
from dpr_rag.faces import message_of

T = TypeVar("T")
Constant = Callable[[str], None]
_KINDS = {dict: "an object", list: "a list", str: "a string", int: "an integer"}


def read_json(path: Path, constant: Constant = refuse_constant) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Args:
        path: The file.
        constant: What becomes of NaN and Infinity.

    Raises:
        UnreadableError: It cannot be read.
        CorpusError: It holds no JSON object.
    """
    value = read_value(path, constant)
    if not isinstance(value, dict):
        raise CorpusError(f"{path}: holds {value!r:.60}, expected a JSON object; write it anew")
    return value


def read_value(path: Path, constant: Constant = refuse_constant) -> Any:
    """Read a file that holds one JSON value; the arguments are those of :func:`read_json`.

    Raises:
        UnreadableError: It cannot be read.
        CorpusError: It holds none.
    """
    refuse_device(path)
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: is not UTF-8 ({error.reason} at byte {error.start + 1}); write it anew") from error
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    return parsed_of(f"{path}:", text, constant)


def parsed_of(place: str, text: str, constant: Constant = refuse_constant) -> Any:
    """Parse one JSON value that does not stand on a line of its own.

    Args:
        place: Where it stands, as errors begin.
        text: The JSON.
        constant: What becomes of NaN and Infinity.

    Raises:
        CorpusError: It is none.
    """
    try:
        return parsed(text, remedy="write it anew", constant=constant)
    except CorpusError as error:
        raise CorpusError(f"{place} " + message_of(error)) from error


def member(path: Path, owner: Any, key: str, kind: type[T]) -> T:
    """The value under a key of a JSON object, of the expected type.

    Raises:
        CorpusError: Nothing does, or something of another type.
    """
    value = owner.get(key) if isinstance(owner, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        there = "missing" if value is None else f"{value!r:.60}"
        raise CorpusError(f"{path}: {key!r:.120} is {there}, expected {_KINDS[kind]}; write it anew")
    return value
