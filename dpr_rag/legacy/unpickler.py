"""The only unpickler of the house: builds numbers, strings and plain containers, everything else as inert stand-ins.

Nothing that a file names is ever imported or called. A global is looked up by its exact name in a table of
stand-ins written here; OmegaConf objects and type references become ``Skipped``; every other name is refused. The
stand-ins turn into numpy arrays in ``plain``, after the pickle has ended, with every size checked.
"""

from __future__ import annotations

import pickle
import pickletools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from dpr_rag.errors import CorpusError, UnsafeFileError
from dpr_rag.legacy.standins import Array, Kept, Maker, Sealed, Skipped, plain_table

MAX_DEPTH = 200
_SKIPPED_MODULES = ("omegaconf.", "collections.", "typing.")
_TYPES = ("bool", "complex", "dict", "float", "int", "list", "long", "object", "str", "tuple", "unicode")
_DAMAGE = (
    *(pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, KeyError),
    *(TypeError, ValueError, OverflowError, MemoryError, RecursionError),
)


class PlainUnpickler(pickle.Unpickler):
    """Reads one pickle of numbers, strings, arrays and plain containers.

    Args:
        file: Where the pickle starts.
        path: The file's name, for messages.
        allowed: Further global names: functions of this package to call, or classes (``Skipped``, ``Kept`` or
            anything else made here) to instantiate.
        skip: Whether OmegaConf objects and type references may stand in the file, as ``Skipped``.
    """

    def __init__(
        self, file: BinaryIO, path: Path, *, allowed: Mapping[str, Callable[..., object]], skip: bool = False
    ) -> None:
        super().__init__(file)
        self._path = path
        self._skip = skip
        self._table = {**plain_table(), **allowed}

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of a global name.

        Raises:
            UnsafeFileError: The name is on no list.
        """
        full = f"{module}.{name}"
        known = self._table.get(full)
        if isinstance(known, Sealed):
            return known
        if known is not None:
            return Maker(known)
        if self._skip and (full.startswith(_SKIPPED_MODULES) or _is_type(module, name)):
            return Sealed("Skipped", (Skipped,), {"__slots__": (), "name": full})
        raise UnsafeFileError(
            f"{self._path}: the file asks for {full!r:.120}, and only numbers, arrays and plain containers are read; "
            "nothing was run. Use a file from a trusted source, converted to safetensors or JSON there"
        )

    def persistent_load(self, pid: Any) -> Any:
        """Refuse persistent ids.

        Raises:
            UnsafeFileError: Always; only torch's files use them.
        """
        raise UnsafeFileError(f"{self._path}: holds a persistent id, which only torch checkpoints may; nothing was run")


def _is_type(module: str, name: str) -> bool:
    return module in {"builtins", "__builtin__"} and name in _TYPES


def read_pickle(file: BinaryIO, path: Path, reader: Callable[[BinaryIO], PlainUnpickler] | None = None) -> Any:
    """Read the one pickle that starts at the file's position, and stop behind it.

    Args:
        file: A seekable binary file.
        path: Its name, for messages.
        reader: Makes the unpickler; without it nothing but plain containers and arrays is allowed.

    Returns:
        The object, still with stand-ins inside; ``plain`` turns those into arrays.

    Raises:
        UnsafeFileError: The pickle asks for anything else than the reader allows.
        CorpusError: The pickle is truncated or damaged.
    """
    try:
        _check_memo(file, path)
        return (reader or (lambda it: PlainUnpickler(it, path, allowed={})))(file).load()
    except UnsafeFileError as error:
        raise _named(error, path) from error
    except _DAMAGE as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: object) -> CorpusError:
    """Return the error for a file that is truncated, damaged or of another kind."""
    return CorpusError(f"{path}: truncated, damaged or not a file of this kind ({error!s:.120}); fetch it again")


def _named(error: UnsafeFileError, path: Path) -> UnsafeFileError:
    return error if str(error).startswith(str(path)) else UnsafeFileError(f"{path}: {error}")


def _check_memo(file: BinaryIO, path: Path) -> None:
    """Refuse memo numbers beyond the number of opcodes: the unpickler would allocate memory for all below."""
    start = file.tell()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if opcode.name in {"PUT", "BINPUT", "LONG_BINPUT"} and int(argument or 0) > count:
            raise UnsafeFileError(f"{path}: a memo number of {argument} after {count} opcodes, which no pickler writes")
    file.seek(start)


def plain(value: Any, path: Path, *, tensor: Callable[[Any], Any] | None = None) -> Any:
    """Return a copy with numpy arrays and plain containers in place of stand-ins.

    Args:
        value: What ``read_pickle`` returned.
        path: The file's name, for messages.
        tensor: Turns a stand-in that is not known here into an array.

    Raises:
        UnsafeFileError: Object arrays, functions as values, containers inside themselves or nested too deeply.
        CorpusError: Sizes that contradict each other.
    """
    try:
        return _Plainer(tensor).copy(value, 0)
    except UnsafeFileError as error:
        raise _named(error, path) from error
    except _DAMAGE as error:
        raise damaged(path, error) from error


class _Plainer:
    """Copies each object once, so that a container used a million times costs no more than one."""

    def __init__(self, tensor: Callable[[Any], Any] | None) -> None:
        self._tensor = tensor
        self._done: dict[int, Any] = {}
        self._open: set[int] = set()

    def copy(self, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, bool | int | float | complex | str | bytes | bytearray):
            return value
        key = id(value)
        if key not in self._done:
            if key in self._open or depth > MAX_DEPTH:
                raise UnsafeFileError(f"a container that holds itself or is nested deeper than {MAX_DEPTH} levels")
            self._open.add(key)
            self._done[key] = self._build(value, depth + 1)
            self._open.discard(key)
        return self._done[key]

    def _build(self, value: Any, depth: int) -> Any:
        if isinstance(value, dict):
            return {self.copy(name, depth): self.copy(item, depth) for name, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            kind: Callable[[Any], Any] = next(it for it in (list, tuple, set, frozenset) if isinstance(value, it))
            return kind(self.copy(item, depth) for item in value)
        if isinstance(value, Array):
            return value.resolve()
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
        raise UnsafeFileError("a function, class or dtype where a value was expected")
