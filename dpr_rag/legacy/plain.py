"""What a pickle described, as numpy arrays and plain containers: made after the pickle has ended, every size checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dpr_rag.errors import UnsafeFileError
from dpr_rag.legacy.allowance import Allowance
from dpr_rag.legacy.refusals import DAMAGE, TRUSTED, damaged, named
from dpr_rag.legacy.standins import Array, Kept, Maker, Skipped
from dpr_rag.legacy.times import Time

MAX_DEPTH = 200


def plain(
    value: Any,
    path: Path,
    allowance: Allowance,
    *,
    tensor: Callable[[Any], Any] | None = None,
    remedy: str = TRUSTED,
) -> Any:
    """Return a copy with numpy arrays and plain containers in place of stand-ins.

    Args:
        value: What ``read_pickle`` returned.
        path: The file's name, for messages.
        allowance: What the file may still make. A container that is referred to twice counts twice, since whoever walks
            or prints the copy meets it twice.
        tensor: Turns a stand-in that is not known here into an array.
        remedy: What to do about a file that is unsafe, for messages.

    Raises:
        UnsafeFileError: Object arrays, functions as values, containers inside themselves or nested too deeply, or more
            values than the file may make.
        CorpusError: Sizes that contradict each other.
    """
    try:
        return _Plainer(allowance, tensor).copy(value, 0)
    except UnsafeFileError as error:
        raise named(error, path, remedy) from error
    except DAMAGE as error:
        raise damaged(path, error) from error


class _Plainer:
    """Copies each object once, so that a container used a million times costs no more than one."""

    def __init__(self, allowance: Allowance, tensor: Callable[[Any], Any] | None) -> None:
        self._allowance = allowance
        self._tensor = tensor
        self._done: dict[int, tuple[Any, int]] = {}
        self._open: set[int] = set()
        self._met = 0

    def copy(self, value: Any, depth: int) -> Any:
        self._met += 1
        if value is None or isinstance(value, bool | int | float | str | bytes | bytearray | Time):
            return value
        key = id(value)
        if key in self._done:
            copy, met = self._done[key]
            self._allowance.take(met)
            self._met += met
            return copy
        if key in self._open or depth > MAX_DEPTH:
            raise UnsafeFileError(f"a container that holds itself or is nested deeper than {MAX_DEPTH} levels")
        before = self._met
        self._open.add(key)
        copy = self._build(value, depth + 1)
        self._open.discard(key)
        self._done[key] = copy, self._met - before
        return copy

    def _build(self, value: Any, depth: int) -> Any:
        if isinstance(value, dict):
            return {name: self.copy(item, depth) for name, item in value.items()}
        if isinstance(value, list | tuple):
            kind: Callable[[Any], Any] = list if isinstance(value, list) else tuple
            return kind(self.copy(item, depth) for item in value)
        if isinstance(value, set | frozenset):
            self._met += len(value)
            return value.copy()
        if isinstance(value, Array):
            return value.resolve(self._allowance)
        if isinstance(value, Kept):
            return self.copy(value.state, depth)
        return self._inert(value)

    def _inert(self, value: Any) -> Any:
        if isinstance(value, Skipped):
            return value
        if isinstance(value, type) and issubclass(value, Skipped):
            return value()
        if self._tensor is not None and not isinstance(value, Maker | type):
            return self._tensor(value)
        raise UnsafeFileError("a function, class, dtype or time zone where a value was expected")
