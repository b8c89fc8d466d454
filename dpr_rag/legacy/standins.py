"""Inert stand-ins for what a pickle names, and the table of the names that have one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dpr_rag.errors import UnsafeFileError
from dpr_rag.legacy.allowance import Allowance


class Sealed(type):
    """Metaclass of the stand-ins: what a file may instantiate."""


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
        raise UnsafeFileError("the file tries to change a function")


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

    def __setstate__(self, state: object) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if not isinstance(order, str):
            raise TypeError("a dtype without an order of bytes")
        self.order = order

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

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) not in {4, 5}:
            raise ValueError("an array in another form than numpy writes")
        self.shape, self.dtype, self.fortran, self.data = state[-4:]

    def resolve(self, allowance: Allowance) -> Any:
        """Return the array, writable, or the Python number of a scalar.

        Raises:
            UnsafeFileError: It holds objects or anything else but plain numbers, or more than the file may make.
            ValueError: Shape and data contradict each other.
        """
        if not isinstance(self.dtype, Dtype) or not isinstance(self.data, bytes | bytearray):
            raise UnsafeFileError("an array that is no block of plain numbers (object dtype?)")
        allowance.take(len(self.data))
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


_KEY_BITS = 64


def refuse_key(value: object) -> None:
    """Refuse keys and members but those whose hashes are quick and cannot be made to collide without end.

    Raises:
        UnsafeFileError: It is no string, bytes, number or None.
    """
    if type(value) is int and value.bit_length() > _KEY_BITS:
        raise UnsafeFileError(f"a key or member of a set that is an integer of {value.bit_length()} bits")
    if value is not None and not isinstance(value, str | int | float | bytes):
        raise UnsafeFileError(
            f"a key or member of a set that is a {type(value).__name__} (only strings, bytes, numbers and None are read)"
        )


def _members(items: object) -> list[Any]:
    if not isinstance(items, list | tuple | set | frozenset):
        raise TypeError("members that are no list")
    for item in items:
        refuse_key(item)
    return list(items)


def _set(items: object = ()) -> set[Any]:
    return set(_members(items))


def _frozenset(items: object = ()) -> frozenset[Any]:
    return frozenset(_members(items))


def _ordered(pairs: object = ()) -> Ordered:
    """``OrderedDict()``, or how Python 2 wrote one: with a list of pairs."""
    if not isinstance(pairs, list | tuple) or any(not isinstance(it, list | tuple) or len(it) != 2 for it in pairs):
        raise TypeError("an OrderedDict of something else than pairs")
    for key, _ in pairs:
        refuse_key(key)
    return Ordered(pairs)


def _encode(text: str, encoding: str) -> bytes:
    """How protocol 2 writes bytes: ``_codecs.encode(text, "latin1")``."""
    if not isinstance(text, str) or not isinstance(encoding, str) or encoding not in {"latin1", "latin-1"}:
        raise UnsafeFileError("a call of _codecs.encode with something else than text and latin-1")
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
        "collections.OrderedDict": _ordered,
        "numpy.dtype": Dtype,
        "numpy.ndarray": Skipped,
    }
    for core in ("numpy.core", "numpy._core"):
        table[f"{core}.multiarray._reconstruct"] = _pending_array
        table[f"{core}.multiarray.scalar"] = _scalar
        table[f"{core}.numeric._frombuffer"] = _buffer_array
    for builtins in ("builtins", "__builtin__"):
        table[f"{builtins}.bytes"] = _no_bytes
        table[f"{builtins}.set"] = _set
        table[f"{builtins}.frozenset"] = _frozenset
    return table
