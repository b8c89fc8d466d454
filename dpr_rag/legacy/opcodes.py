"""Pickle's opcodes as this package reads them: the argument of each, and what it does to the stack.

The machine of pickle hashes what a file names as a key, which takes a chain of nested tuples time that doubles with each
link, without an interruption. This one builds the same values and no others, and looks at each before it uses it.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Protocol

from dpr_rag.errors import UnsafeFileError
from dpr_rag.legacy.standins import Sealed, Skipped, refuse_key

_MAX_BITS = 128
_MAX_LINE = 64
_MAX_PROTOCOL = 5
_VALUES = (
    *("BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE"),
    *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
)


class Machine(Protocol):
    """What the opcodes work on."""

    stack: list[Any]
    marks: list[int]
    memo: dict[int, Any]
    count: int

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of a global name."""

    def persistent_load(self, pid: Any) -> Any:
        """Return what stands for a persistent id."""

    def call(self, function: Any, *arguments: Any) -> Any:
        """Call a stand-in."""


Step = Callable[[Machine, Any], None]
Argument = Callable[[BinaryIO], Any]


def steps() -> Mapping[bytes, tuple[Argument | None, Step]]:
    """Return, for each opcode that is read, how to read its argument and what to do with it."""
    known = {one.name: one for one in pickletools.opcodes}
    found: dict[bytes, tuple[Argument | None, Step]] = {}
    for name, step in {**dict.fromkeys(_VALUES, _push), **_STEPS}.items():
        argument = known[name].arg
        reader = None if argument is None else argument.reader
        found[known[name].code.encode("latin-1")] = _SHORT.get(name, reader), step
    return found


def _line(reader: Argument) -> Argument:
    """A number that is written as a line, which is short: the time to read digits grows with the square of their number."""
    return lambda file: reader(io.BytesIO(file.readline(_MAX_LINE)))


_SHORT: dict[str, Argument] = {
    "INT": _line(pickletools.read_decimalnl_short),
    "LONG": _line(pickletools.read_decimalnl_long),
    "FLOAT": _line(pickletools.read_floatnl),
    "GET": _line(pickletools.read_decimalnl_short),
    "PUT": _line(pickletools.read_decimalnl_short),
}


def _push(machine: Machine, value: Any) -> None:
    machine.stack.append(value)


def _push_integer(machine: Machine, value: int) -> None:
    if value.bit_length() > _MAX_BITS:
        raise UnsafeFileError(f"an integer of {value.bit_length()} bits (up to {_MAX_BITS} are read)")
    machine.stack.append(value)


def _constant(value: object) -> Step:
    return lambda machine, _: machine.stack.append(value)


def _empty(kind: type) -> Step:
    return lambda machine, _: machine.stack.append(kind())


def _nothing(machine: Machine, _: Any) -> None: ...


def _protocol(machine: Machine, number: int) -> None:
    if number > _MAX_PROTOCOL:
        raise ValueError(f"pickle protocol {number}")


def _mark(machine: Machine, _: Any) -> None:
    machine.marks.append(len(machine.stack))


def _since_mark(machine: Machine) -> list[Any]:
    start = machine.marks.pop()
    items = machine.stack[start:]
    del machine.stack[start:]
    return items


def _pop(machine: Machine, _: Any) -> None:
    if machine.marks and machine.marks[-1] == len(machine.stack):
        machine.marks.pop()
    else:
        machine.stack.pop()


def _pop_mark(machine: Machine, _: Any) -> None:
    _since_mark(machine)


def _tuple(machine: Machine, _: Any) -> None:
    machine.stack.append(tuple(_since_mark(machine)))


def _tuple_of(count: int) -> Step:
    def step(machine: Machine, _: Any) -> None:
        if len(machine.stack) < count:
            raise ValueError("a tuple of more than there is")
        machine.stack[-count:] = [tuple(machine.stack[-count:])]

    return step


def _list(machine: Machine, _: Any) -> None:
    machine.stack.append(_since_mark(machine))


def _append(machine: Machine, _: Any) -> None:
    _extend(machine, [machine.stack.pop()])


def _appends(machine: Machine, _: Any) -> None:
    _extend(machine, _since_mark(machine))


def _extend(machine: Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if isinstance(target, list):
        target.extend(items)
    elif not isinstance(target, Skipped):
        raise TypeError("items for what is no list")


def _dict(machine: Machine, _: Any) -> None:
    items = _since_mark(machine)
    machine.stack.append({})
    _set(machine, items)


def _setitem(machine: Machine, _: Any) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _set(machine, [key, value])


def _setitems(machine: Machine, _: Any) -> None:
    _set(machine, _since_mark(machine))


def _set(machine: Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if isinstance(target, Skipped):
        return
    if not isinstance(target, dict) or len(items) % 2:
        raise ValueError("keys and values for what is no dict")
    for at in range(0, len(items), 2):
        refuse_key(items[at])
        target[items[at]] = items[at + 1]


def _additems(machine: Machine, _: Any) -> None:
    items = _since_mark(machine)
    target = machine.stack[-1]
    if isinstance(target, Skipped):
        return
    if not isinstance(target, set):
        raise TypeError("members for what is no set")
    for item in items:
        refuse_key(item)
    target.update(items)


def _frozenset(machine: Machine, _: Any) -> None:
    items = _since_mark(machine)
    for item in items:
        refuse_key(item)
    machine.stack.append(frozenset(items))


def _get(machine: Machine, number: int) -> None:
    machine.stack.append(machine.memo[number])


def _put(machine: Machine, number: int) -> None:
    if number > machine.count:
        raise UnsafeFileError(f"a memo number of {number} after {machine.count} opcodes, which no pickler writes")
    machine.memo[number] = machine.stack[-1]


def _memoize(machine: Machine, _: Any) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _global(machine: Machine, full: str) -> None:
    module, _, name = full.partition(" ")
    machine.stack.append(machine.find_class(module, name))


def _stack_global(machine: Machine, _: Any) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise TypeError("a global whose name is no string")
    machine.stack.append(machine.find_class(module, name))


def _reduce(machine: Machine, _: Any) -> None:
    arguments, function = machine.stack.pop(), machine.stack.pop()
    if not isinstance(arguments, tuple):
        raise TypeError("arguments that are no tuple")
    machine.stack.append(machine.call(function, *arguments))


def _newobj_ex(machine: Machine, _: Any) -> None:
    if machine.stack.pop() != {}:
        raise UnsafeFileError("an object that is made with keyword arguments")
    _reduce(machine, _)


def _build(machine: Machine, _: Any) -> None:
    state, target = machine.stack.pop(), machine.stack[-1]
    change = getattr(type(target), "__setstate__", None)
    if change is None:
        what = "a class" if isinstance(target, Sealed) else f"a {type(target).__name__}"
        raise UnsafeFileError(f"the file tries to change {what}")
    change(target, state)


def _persid(machine: Machine, name: str) -> None:
    machine.stack.append(machine.persistent_load(name))


def _binpersid(machine: Machine, _: Any) -> None:
    machine.stack.append(machine.persistent_load(machine.stack.pop()))


_STEPS: dict[str, Step] = {
    **{"PROTO": _protocol, "FRAME": _nothing, "NONE": _constant(None), "NEWTRUE": _constant(True)},
    **{"NEWFALSE": _constant(False), "INT": _push_integer, "LONG": _push_integer, "LONG1": _push_integer},
    **{"LONG4": _push_integer, "MARK": _mark, "POP": _pop, "POP_MARK": _pop_mark, "EMPTY_TUPLE": _constant(())},
    **{"TUPLE": _tuple, "TUPLE1": _tuple_of(1), "TUPLE2": _tuple_of(2), "TUPLE3": _tuple_of(3)},
    **{"EMPTY_LIST": _empty(list), "LIST": _list, "APPEND": _append, "APPENDS": _appends},
    **{"EMPTY_DICT": _empty(dict), "DICT": _dict, "SETITEM": _setitem, "SETITEMS": _setitems},
    **{"EMPTY_SET": _empty(set), "ADDITEMS": _additems, "FROZENSET": _frozenset},
    **{"GET": _get, "BINGET": _get, "LONG_BINGET": _get, "PUT": _put, "BINPUT": _put, "LONG_BINPUT": _put},
    **{"MEMOIZE": _memoize, "GLOBAL": _global, "STACK_GLOBAL": _stack_global},
    **{"REDUCE": _reduce, "NEWOBJ": _reduce, "NEWOBJ_EX": _newobj_ex, "BUILD": _build},
    **{"PERSID": _persid, "BINPERSID": _binpersid},
}
