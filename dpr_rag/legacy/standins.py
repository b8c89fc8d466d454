"""Inert stand-ins for what a pickle names, and the table of the names that have one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dpr_rag.errors import UnsafeFileError


class Sealed(type):
    """Metaclass of the stand-ins: BUILD reaches instances of such a class, never the class itself."""

    def __getattribute__(cls, name: str) -> Any:
        """Refuse the method that BUILD asks a class for, so that it cannot fall back to ``setattr``."""
        if name == "__setstate__":
            raise UnsafeFileError("the file tries to change a class; use a file from a trusted source")
        return super().__getattribute__(name)


class Skipped(metaclass=Sealed):
    """What stands where a file holds an object that is never built; ``name`` says which.

    Construction arguments, state and items given by the file are thrown away.
    """

    __slots__ = ()
    name = ""

    def __new__(cls, *args: object, **kwargs: object) -> Skipped:
        """Ignore every argument."""
        return object.__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        """Ignore every argument."""

    def __setstate__(self, state: object) -> None: ...

    def __setitem__(self, key: object, value: object) -> None: ...

    def append(self, item: object) -> None:
        """Ignore the item."""

    def extend(self, items: object) -> None:
        """Ignore the items."""

    def add(self, item: object) -> None:
        """Ignore the item."""

    def __repr__(self) -> str:
        return f"Skipped({self.name!r})"


class Kept(metaclass=Sealed):
    """Stand-in for an object of which only the state matters, such as a LangChain document."""

    __slots__ = ("state",)
    state: object

    def __new__(cls, *args: object, **kwargs: object) -> Kept:
        """Ignore every argument."""
        kept = object.__new__(cls)
        kept.state = None
        return kept

    def __init__(self, *args: object, **kwargs: object) -> None:
        """Ignore every argument."""

    def __setstate__(self, state: object) -> None:
        self.state = state


class Maker(metaclass=Sealed):
    """A callable that a pickle may reach under some global name; ``make`` is code of this package only."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[..., object]) -> None:
        self.make = make

    def __call__(self, *args: object) -> object:
        """Make the stand-in."""
        return self.make(*args)

    def __setstate__(self, state: object) -> None:
        raise UnsafeFileError("the file tries to change a function; use a file from a trusted source")


class Ordered(dict[Any, Any]):
    """An ``OrderedDict`` of the file; torch hangs ``_metadata`` on it, which is thrown away."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None: ...


class Dtype:
    """A numpy dtype of the file, kept as the two strings that name it."""

    __slots__ = ("code", "order")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, code: str, *_: object) -> None:
        self.code = code
        self.order = "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]

    def resolve(self) -> np.dtype[Any]:
        """Return the dtype.

        Raises:
            UnsafeFileError: It is none of plain numbers.
        """
        code = self.code.lstrip("<>|=") if isinstance(self.code, str) else "O"
        if code[:1] not in {"f", "i", "u", "b", "?"} or len(code) > 2 or self.order not in {"<", ">", "=", "|"}:
            raise UnsafeFileError(f"an array of dtype {code!r:.20} (only plain numbers are read)")
        return np.dtype(f"{self.order}{code}")


class Array:
    """A numpy array or scalar of the file, until ``resolve`` checks and builds it."""

    __slots__ = ("data", "dtype", "fortran", "scalar", "shape")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, *state: Any, scalar: bool = False) -> None:
        self.scalar = scalar
        self.dtype, self.data, self.shape, self.fortran = state or (None, b"", (), False)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.shape, self.dtype, self.fortran, self.data = state[-4:]

    def resolve(self) -> Any:
        """Return the array, writable, or the Python number of a scalar.

        Raises:
            UnsafeFileError: It holds objects or anything else but plain numbers.
            ValueError: Shape and data contradict each other.
        """
        if not isinstance(self.dtype, Dtype) or not isinstance(self.data, bytes | bytearray):
            raise UnsafeFileError("an array that is no block of plain numbers (object dtype?)")
        values = np.frombuffer(bytearray(self.data), dtype=self.dtype.resolve())
        array = values.reshape(sizes(self.shape), order="F" if self.fortran else "C")
        return array.item() if self.scalar else array


def sizes(value: object) -> tuple[int, ...]:
    """Return a tuple of non-negative integers out of a file.

    Raises:
        ValueError: It is anything else.
    """
    if not isinstance(value, tuple) or any(type(item) is not int or item < 0 for item in value):
        raise ValueError("a shape, stride or offset that is no tuple of non-negative integers")
    return value


def _encode(text: str, encoding: str) -> bytes:
    """How protocol 2 writes bytes: ``_codecs.encode(text, "latin1")``."""
    if encoding not in {"latin1", "latin-1"}:
        raise UnsafeFileError(f"a call of _codecs.encode with {encoding!r:.20}")
    return text.encode("latin-1")


def _no_bytes() -> bytes:
    """How protocol 2 writes empty bytes."""
    return b""


def _pending_array(_kind: object, _shape: object, _code: object) -> Array:
    return Array()


def _buffer_array(data: object, dtype: object, shape: object, order: object, *_: object) -> Array:
    return Array(dtype, data, shape, order == "F")


def _scalar(dtype: object, data: object = b"") -> Array:
    return Array(dtype, data, (), False, scalar=True)


def plain_table() -> dict[str, Callable[..., object]]:
    """Return what stands for each global name that any file may hold: containers, bytes and numpy's own."""
    table: dict[str, Callable[..., object]] = {
        "_codecs.encode": _encode,
        "collections.OrderedDict": Ordered,
        "numpy.dtype": Dtype,
        "numpy.ndarray": Skipped,
    }
    for core in ("numpy.core", "numpy._core"):
        table[f"{core}.multiarray._reconstruct"] = _pending_array
        table[f"{core}.multiarray.scalar"] = _scalar
        table[f"{core}.numeric._frombuffer"] = _buffer_array
    for builtins in ("builtins", "__builtin__"):
        table[f"{builtins}.bytes"] = _no_bytes
        table[f"{builtins}.set"] = set
        table[f"{builtins}.frozenset"] = frozenset
    return table
