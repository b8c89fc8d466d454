"""The only unpickler of the package: builds numbers, strings and plain containers, everything else as inert stand-ins.

Nothing that a file names is ever imported or called. A global is looked up by its exact name in a table of
stand-ins written here; OmegaConf objects and type references become ``Skipped``; every other name is refused. The
stand-ins turn into numpy arrays in ``plain``, after the pickle has ended. Python's own ``pickle`` takes no part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from dpr_rag.errors import CorpusError, UnsafeFileError
from dpr_rag.legacy.allowance import Allowance
from dpr_rag.legacy.opcodes import steps
from dpr_rag.legacy.refusals import DAMAGE, TRUSTED, damaged, named
from dpr_rag.legacy.standins import Maker, Sealed, Skipped, plain_table

_SKIPPED_MODULES = ("omegaconf.", "collections.", "typing.")
_TYPES = ("bool", "complex", "dict", "float", "int", "list", "long", "object", "str", "tuple", "unicode")
_COST_OF_CLASS = 1000
_STOP = b"."
_KNOWN = steps()


class PickleReader:
    """Reads one pickle of numbers, strings, arrays and plain containers.

    Args:
        file: Where the pickle starts.
        allowance: What the file may make.
        allowed: Further global names: functions of this package to call, or classes (``Skipped``, ``Kept`` or
            anything else made here) to instantiate.
        skip: Whether OmegaConf objects and type references may stand in the file, as ``Skipped``.

    Attributes:
        stack: What has been read and not yet put into something.
        marks: Places in it where a container begins.
        memo: What the file may refer to again, by its numbers.
        count: Opcodes read so far.
    """

    def __init__(
        self,
        file: BinaryIO,
        allowance: Allowance,
        *,
        allowed: Mapping[str, Callable[..., object]] | None = None,
        skip: bool = False,
    ) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.count = 0
        self._file, self._allowance, self._skip = file, allowance, skip
        self._table = {**plain_table(), **(allowed or {})}
        self._skipped: dict[str, Sealed] = {}

    def load(self) -> Any:
        """Read up to the end of the pickle and return its object, still with stand-ins inside.

        Raises:
            UnsafeFileError: The file asks for what is not read.
        """
        for code in iter(partial(self._file.read, 1), b""):
            if code == _STOP:
                return self.stack.pop()
            if code not in _KNOWN:
                raise UnsafeFileError(f"an opcode {code!r} that no file of this kind holds; nothing was run")
            argument, step = _KNOWN[code]
            step(self, None if argument is None else argument(self._file))
            self.count += 1
        raise EOFError("the file ends inside a pickle")

    def call(self, function: Any, *arguments: Any) -> Any:
        """Call a stand-in; what it copies or walks is paid for.

        Raises:
            UnsafeFileError: Anything else is to be called.
        """
        if not isinstance(function, Maker | Sealed):
            raise UnsafeFileError(f"a call of a {type(function).__name__}; nothing was run")
        self._allowance.take(sum(len(it) if isinstance(it, Sized) else 1 for it in arguments))
        return function(*arguments)

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
            if full not in self._skipped:
                self._allowance.take(_COST_OF_CLASS)
                self._skipped[full] = Sealed("Skipped", (Skipped,), {"__slots__": (), "name": full})
            return self._skipped[full]
        raise UnsafeFileError(f"the file asks for {full!r:.120}, which is not read; nothing was run")

    def persistent_load(self, pid: Any) -> Any:
        """Refuse persistent ids.

        Raises:
            UnsafeFileError: Always; only torch's files use them.
        """
        raise UnsafeFileError("holds a persistent id, which only torch checkpoints may; nothing was run")


def _is_type(module: str, name: str) -> bool:
    return module in {"builtins", "__builtin__"} and name in _TYPES


def read_pickle(reader: PickleReader, path: Path, *, remedy: str = TRUSTED) -> Any:
    """Read the one pickle that starts at the file's position, and stop behind it.

    Args:
        reader: Stands at the start of the pickle.
        path: The file's name, for messages.
        remedy: What to do about a file that is unsafe, for messages.

    Returns:
        The object, still with stand-ins inside; ``plain`` turns those into arrays.

    Raises:
        UnsafeFileError: The pickle asks for anything else than the reader allows.
        CorpusError: The pickle is truncated or damaged.
    """
    try:
        return reader.load()
    except UnsafeFileError as error:
        raise named(error, path, remedy) from error
    except CorpusError:
        raise
    except DAMAGE as error:
        raise damaged(path, error) from error
