"""Checks of field names and operands of filters, and the JSON types by which values are compared."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence, Set, Sized
from typing import Any

from dpr_rag.arguments import remedy
from dpr_rag.errors import FilterError
from dpr_rag.faces import ByFace
from dpr_rag.passages import plain, rejoined

Scalar = str | int | float | bool | None

_INT64 = 2**63
_ANY_RUN, _MOST_WILDCARDS = re.compile("%+"), 1000


def kind_of(value: object) -> str:
    """The type within which a JSON value is compared; True, False and None are types of their own."""
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, str):
        return "string"
    return "number" if isinstance(value, int | float) else "container"


def same(stored: object, scalar: Scalar) -> bool:
    """Whether a JSON value equals a scalar."""
    return kind_of(stored) == kind_of(scalar) and bool(stored == scalar)


def same_list(stored: object, scalars: Sequence[Scalar]) -> bool:
    """Whether a JSON value is the list of these scalars, in their order."""
    return isinstance(stored, list) and len(stored) == len(scalars) and all(map(same, stored, scalars))


def described(value: object) -> str:
    """A value in a message, without the ``repr`` of a huge or foreign object."""
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return f"an integer of {value.bit_length()} bits"
    if value is None or isinstance(value, str | int | float):
        return f"{type(value).__name__} {value!r:.60}"
    try:
        size = f" of {len(value)} items" if isinstance(value, Sized) else ""
    except TypeError:  # an array without dimensions has no length
        size = ""
    return f"{type(value).__name__}{size}"


def check_text(where: str, value: object) -> str:
    """Return a plain string that can be stored as UTF-8.

    Raises:
        FilterError: It is no string, or holds a lone surrogate.
    """
    if not isinstance(value, str):
        several = "compare with several by $in, or by $or"
        raise FilterError(
            f"{where}: {described(value)} was given, expected a string; " + remedy(value, several=several)
        )
    text = rejoined(value)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise FilterError(
            f"{where}: {described(value)} holds a lone surrogate, which is not text; decode the source with its right encoding"
        ) from error
    return text


def check_scalar(where: str, value: Any) -> Scalar:
    """Return a string, a 64-bit integer, a finite float, a boolean or None.

    Raises:
        FilterError: It is anything else.
    """
    value = plain(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return check_text(where, value)
    if isinstance(value, int) and -_INT64 <= value < _INT64:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    raise FilterError(
        f"{where}: {described(value)} was given, expected a string, a 64-bit integer, a finite float, a boolean or None; "
        + _instead(value)
    )


def _instead(value: object) -> str:
    """Advice on a value that is no scalar."""
    if isinstance(value, int | float):
        return "compare with a number in these bounds, or with the string that the metadata hold instead"
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray):
        return "compare a field with several values by $in, and look into lists with $contains, $any or $all"
    made = (
        "give what the metadata hold for it, a date for example as .isoformat(), as dpr_rag.to_json_metadata makes it"
    )
    return ByFace(made, cli="write what the metadata hold for it", page="write what the metadata hold for it")


def check_value(where: str, value: Any) -> Scalar | tuple[Scalar, ...]:
    """Return a scalar, or a list of scalars as a tuple.

    Raises:
        FilterError: It is anything else.
    """
    return check_list(where, value) if isinstance(value, list | tuple) else check_scalar(where, value)


def check_ordered(where: str, value: Any) -> Scalar:
    """Return a number or a string.

    Raises:
        FilterError: It is anything else.
    """
    value = plain(value)
    if value is None or isinstance(value, bool):
        raise FilterError(f"{where}: {described(value)} was given, expected a number or a string, which have an order")
    return check_scalar(where, value)


def check_like(where: str, value: Any) -> str:
    """Return a pattern in which every backslash escapes a character.

    Raises:
        FilterError: It is no string, ends in a lone backslash, or has more than 1,000 times ``%``.
    """
    pattern = check_text(where, value)
    if (wildcards := len(_ANY_RUN.findall(pattern))) > _MOST_WILDCARDS:
        raise FilterError(
            f"{where}: the pattern {pattern!r:.60} has {wildcards:,} wildcards %, expected {_MOST_WILDCARDS:,} at most; look for "
            "parts of a text by $text_match, joined by $and"
        )
    if re.search(r"(?<!\\)(\\\\)*\\\Z", pattern):
        raise FilterError(
            f"{where}: the pattern {pattern!r:.60} ends in a lone backslash, which escapes nothing; double it"
        )
    return pattern


def check_list(where: str, value: Any) -> tuple[Scalar, ...]:
    """Return a list of scalars, or a set, a range or an array of them, as a tuple.

    Raises:
        FilterError: It is none of these, or an item is no scalar.
    """
    value = sorted(value, key=repr) if isinstance(value, Set | range) else listed(value)
    if not isinstance(value, list | tuple):
        advice = "wrap it in [ ]" if kind_of(plain(value)) != "container" else "make one with list(…)"
        raise FilterError(f"{where}: {described(value)} was given, expected a list of scalars; {advice}")
    return tuple(check_scalar(f"{where}, item {at}", item) for at, item in enumerate(value))


def listed(value: Any) -> Any:
    """An array of numpy or pandas as a list; everything else as it is."""
    return value.tolist() if hasattr(type(value), "tolist") else value


def check_between(where: str, value: Any) -> tuple[Scalar, ...]:
    """Return two numbers or two strings as a tuple.

    Raises:
        FilterError: It is no list of two, or they have no common order.
    """
    value = listed(value)
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise FilterError(f"{where}: {described(value)} was given, expected a list [low, high]")
    low, high = (check_ordered(f"{where}, item {at}", item) for at, item in enumerate(value))
    if kind_of(low) != kind_of(high):
        raise FilterError(
            f"{where}: {described(low)} and {described(high)} were given, expected two numbers or two strings"
        )
    return low, high


def check_flag(where: str, value: Any) -> bool:
    """Return a boolean.

    Raises:
        FilterError: It is anything else.
    """
    value = plain(value)
    if not isinstance(value, bool):
        raise FilterError(f"{where}: {described(value)} was given, expected a boolean")
    return value
