"""Converts metadata of any type to JSON."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import os
from collections import deque
from collections.abc import Callable, Mapping, Set
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from ipaddress import IPv4Address, IPv6Address
from typing import Any
from uuid import UUID

from dpr_rag.arguments import check_callable, kind, shown
from dpr_rag.errors import PassageError
from dpr_rag.passages import MAX_METADATA_DEPTH, plain, rejoined

_INT64 = 2**63
_MAX_DIGITS = 4300  # Python refuses to print integers with more
Default = Callable[[Any], Any]


def to_json_metadata(metadata: Mapping[Any, Any], *, default: Default | None = None) -> dict[str, Any]:
    """Convert metadata to a JSON object that a passage accepts.

    ======================================================== =====================================================
    value                                                    in JSON
    ======================================================== =====================================================
    string, boolean, None, finite number                     the same
    NaN, infinity, NaT, pandas' NA                           None, as JSON has no such numbers
    integer beyond 64 bits                                   string of its digits, at most 4,300
    ``datetime``, ``numpy.datetime64``, pandas' Timestamp    ISO 8601 string; with a timezone in UTC (``…+00:00``),
                                                             without one as it is
    ``date``, ``time``                                       ISO 8601 string
    ``timedelta``, ``numpy.timedelta64``                     seconds
    ``Decimal``, ``Fraction``                                the integer, or the nearest float
    ``Enum``                                                 its value, converted
    ``UUID``, path, IP address                               string
    ``bytes``, ``bytearray``, ``memoryview``                 base64 string
    list, tuple, ``deque``, ``range``                        list
    ``set``, ``frozenset``                                   list, sorted by the items, or else by their JSON
    numpy scalar                                             as the number, string or time that it is
    array, tensor, series (anything with ``tolist``)         list, or number
    mapping                                                  object; keys that are not strings as their JSON
    pydantic model, dataclass                                object of its fields
    anything else                                            the result of ``default``, or an error
    ======================================================== =====================================================

    Filters compare strings by their characters, in which strings of times are in chronological order: dates among dates,
    times with a timezone among themselves, and times without one among themselves. Converting the result again changes
    nothing. Strings are not converted back; use ``datetime.fromisoformat`` or the like.

    Args:
        metadata: The metadata; it is not changed.
        default: Converts values of other types, such as ``str``; its result is converted in turn.

    Raises:
        PassageError: A value cannot be converted; a number is too large for a float, or an integer has over 4,300 digits;
            the nesting is deeper than 32 levels; or two keys are the same in JSON.
    """
    if not isinstance(metadata, Mapping):
        raise PassageError(f"metadata is {kind(metadata)}, expected a mapping; wrap it in a dict")
    check_callable("default", default)
    return _object(metadata, default, "metadata", 0)


def _converted(value: Any, default: Default | None, where: str, depth: int) -> Any:
    if depth > MAX_METADATA_DEPTH:
        raise PassageError(
            f"{where} is nested deeper than {MAX_METADATA_DEPTH} levels, or within itself; flatten it or drop it"
        )
    value = _unwrapped(value)
    for convert in (_scalar, _string, _time):
        result = convert(value, where)
        if result is not NotImplemented:
            return result
    if isinstance(value, Mapping):
        return _object(value, default, where, depth)
    if isinstance(value, list | tuple | deque | range):
        return [_converted(item, default, f"{where}[{at}]", depth + 1) for at, item in enumerate(value)]
    if isinstance(value, Set):
        return _sorted([_converted(item, default, f"an item of {where}", depth + 1) for item in value])
    contents = _contents(value)
    if contents is not NotImplemented:
        return _converted(contents, default, where, depth + 1)
    if default is not None:
        return _converted(default(value), default, where, depth + 1)
    raise PassageError(
        f"{where} is {kind(value)}, of which no JSON form is known; convert it, drop it, or give a default such as str"
    )


def _object(value: Mapping[Any, Any], default: Default | None, where: str, depth: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, item in value.items():
        name = rejoined(_key(key, default, where))  # as a passage does
        if name in result:
            raise PassageError(f"{where} has two keys that are {name!r:.120} as JSON; rename one of them")
        result[name] = _converted(item, default, f"{where}[{shown(key)}]", depth + 1)
    return result


def _key(key: Any, default: Default | None, where: str) -> str:
    name = _converted(key, default, f"a key of {where}", 0)
    if isinstance(name, list | dict):
        raise PassageError(f"{where} has the key {kind(key)}, expected a string or what can be written as one")
    return name if isinstance(name, str) else json.dumps(name)


def _unwrapped(value: Any) -> Any:
    """The plain value of an enumeration's member or a numpy number; any other value as it is."""
    while isinstance(value, Enum):
        value = value.value
    return plain(value)


def _scalar(value: Any, where: str) -> Any:
    if isinstance(value, str):
        return str.__str__(value)
    if value is None or isinstance(value, bool):
        return value
    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    return _number(value, where) if isinstance(value, int | float | Decimal | Fraction) else NotImplemented


def _number(value: float | Decimal | Fraction, where: str) -> int | float | str | None:
    if isinstance(value, int):
        return int(value) if -_INT64 <= value < _INT64 else _digits(int(value), where)
    if isinstance(value, float | Decimal) and not _is_finite(value):
        return None
    if isinstance(value, Decimal) and value.adjusted() >= _MAX_DIGITS:
        raise _too_large(where)  # before Python writes out all digits of 1e999999999
    if isinstance(value, Decimal | Fraction) and value == int(value):
        return _number(int(value), where)
    try:
        number = float(value)
    except OverflowError as error:
        raise _too_large(where) from error
    if math.isinf(number):
        raise _too_large(where)
    return number


def _is_finite(value: float | Decimal) -> bool:
    return (
        value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)
    )  # which raises for a signalling NaN


def _digits(value: int, where: str) -> str:
    try:
        return str(value)
    except ValueError as error:
        raise _too_large(where) from error


def _too_large(where: str) -> PassageError:
    return PassageError(
        f"{where} is a number beyond the floats, or an integer of more than {_MAX_DIGITS} digits; store it as a string"
    )


def _sorted(items: list[Any]) -> list[Any]:
    """Sort the items of a set, whose order differs between processes."""
    try:
        return sorted(items)
    except TypeError:
        return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))


def _string(value: Any, where: str) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(bytes(value)).decode("ascii")
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    return str(value) if isinstance(value, UUID | IPv4Address | IPv6Address) else NotImplemented


def _time(value: Any, where: str) -> Any:
    if type(value).__module__ == "numpy" and type(value).__name__ in ("datetime64", "timedelta64"):
        value = _as_python_time(value)
    if value is None:
        return None
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime):
        return _utc_string(value, where)
    return value.isoformat() if isinstance(value, date | time) else NotImplemented


def _as_python_time(value: Any) -> Any:
    """Convert a numpy time to Python's; NaT to None, and a duration in months, or a year that Python lacks, to an integer."""
    whole_days = str(value.dtype).endswith(("[Y]", "[M]", "[W]", "[D]"))
    return (value if whole_days else value.astype(f"{type(value).__name__}[us]")).item()


def _utc_string(value: datetime, where: str) -> str:
    try:
        return (value if value.utcoffset() is None else value.astimezone(UTC)).isoformat()
    except OverflowError as error:
        raise PassageError(
            f"{where} is {kind(value)}, which lies outside of the years 1 to 9999 in UTC; store it as a string"
        ) from error


def _contents(value: Any) -> Any:
    """The contents of an object or an array; methods are looked up on its class, as an object may answer to any name."""
    if isinstance(value, type):
        return NotImplemented
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if callable(getattr(type(value), "model_dump", None)):
        return value.model_dump()
    if not callable(getattr(type(value), "tolist", None)):
        return NotImplemented
    # tolist() would turn times into plain numbers
    is_of_times = getattr(getattr(value, "dtype", None), "kind", "") in ("m", "M")
    contents = value.tolist() if not is_of_times else list(value) if getattr(value, "ndim", 0) else value[()]
    return NotImplemented if isinstance(contents, type(value)) else contents
