"""SQL conditions of the operators, with every operand bound, and the Python functions they call.

SQLite gets two things about JSON wrong that decide comparisons. Up to 3.44 it cuts strings at NUL: the conditions here
are only asked about rows without any. And its reading of a float can be a last digit off, so a float near the operand
is read again by Python.
"""

# ruff: noqa: S608  (what is interpolated are this package's own expressions; every key and operand is bound)

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from dpr_rag.filters.fields import HIDDEN_ID, RESERVED, kept_name
from dpr_rag.filters.normal import differs, folded
from dpr_rag.filters.operands import Scalar, same_list
from dpr_rag.filters.patterns import ilike, like
from dpr_rag.passages import PRIVATE_KEY

SqlParameter = str | int | float | None
Condition = tuple[str, list[SqlParameter]]

COLUMNS = frozenset({"id", "title"})
_PRESENT = "EXISTS (SELECT 1 FROM json_each(metadata) AS field WHERE field.key = ?"
_NUMBER = "('integer', 'real')"
_LISTED_NUMBER = "CASE type WHEN 'text' THEN dpr_rag_float(value) ELSE value END"


@dataclass(frozen=True, slots=True)
class Place:
    """SQL expressions for a stored value: its JSON type, the value, the JSON text it is in, and its key there."""

    type: str
    value: str
    container: str
    key: str


def sql_field(field: str, operator: Callable[[Place, Any], Condition], operand: Any) -> Condition:
    """Make the condition that the field is present with a value for which the operator holds, by 0 or 1."""
    if field.startswith(RESERVED):
        return _sql_reserved(field, operator, operand)
    sql, parameters = operator(Place("field.type", "field.value", "metadata", "field.key"), operand)
    sql, parameters = f"{_PRESENT} AND {sql})", [field, *parameters]
    if field not in COLUMNS:
        return sql, parameters
    own, bound = operator(_text(field), operand)
    if field == "title" and operator is not sql_is_empty:
        own = f"(title <> '' AND {own})"
    return f"CASE WHEN {_PRESENT}) THEN {sql} ELSE {own} END", [field, *parameters, *bound]


def _sql_reserved(field: str, operator: Callable[[Place, Any], Condition], operand: Any) -> Condition:
    """The same for fields of adapters, which are strings."""
    if field == HIDDEN_ID:
        sql, parameters = operator(_text("id"), operand)
        return f"CASE WHEN {_PRESENT}) THEN {sql} ELSE 0 END", ["id", *parameters]
    name = kept_name(field)
    if name is None:
        return "0", []
    value = (
        f"(SELECT substr(mark.value, {len(name) + 2}) FROM json_each(metadata, '$.{PRIVATE_KEY}') AS mark WHERE "
        f"json_type(metadata, '$.{PRIVATE_KEY}') = 'array' AND mark.type = 'text' AND "
        f"substr(mark.value, 1, {len(name) + 1}) = '{name}:' LIMIT 1)"
    )
    sql, parameters = operator(_text(value), operand)
    return f"CASE WHEN {value} IS NULL THEN 0 ELSE {sql} END", parameters


def unlike_python(columns: Iterable[str], *, nested: bool) -> str:
    """The SQL condition that a row holds characters that SQLite and Python treat differently.

    These are strings with NUL, texts not in normal form C, and, where a dotted path may lead there, nested objects.
    """
    odd = [r"instr(metadata, '\u0000')", *(f"instr({column}, char(0))" for column in columns)]
    for column in ("metadata", *columns):
        odd.append(f"(length({column}) <> length(CAST({column} AS BLOB)) AND dpr_rag_differs({column}))")
    return " OR ".join([*odd, "instr(substr(metadata, 2), '{')"] if nested else odd)


def _text(value: str) -> Place:
    return Place("'text'", value, value, value)


def sql_compare(sign: str) -> Callable[[Place, Any], Condition]:
    """Make the condition ``value sign operand``, true only among values of the operand's kind."""

    def condition(place: Place, bound: Any) -> Condition:
        if isinstance(bound, tuple):
            return _for_type(place, "array", f"dpr_rag_same({place.value}, ?)"), [_json(bound)]
        if bound is None or isinstance(bound, bool):
            return f"{place.type} = '{json.dumps(bound)}'", []
        if isinstance(bound, str):
            return f"({place.type} = 'text' AND {place.value} {sign} ?)", [bound]
        number, parameters = _number(place, [bound])
        return f"({place.type} IN {_NUMBER} AND {number} {sign} ?)", [*parameters, bound]

    return condition


def sql_between(place: Place, bounds: Sequence[Any]) -> Condition:
    """Make the condition ``low <= value <= high``."""
    low, high = sql_compare(">=")(place, bounds[0]), sql_compare("<=")(place, bounds[1])
    return f"({low[0]} AND {high[0]})", low[1] + high[1]


def sql_in(place: Place, scalars: Sequence[Scalar]) -> Condition:
    """Make the condition that the value is one of the scalars, bound as one JSON list per kind."""
    groups = _groups(place, scalars)
    sql = " OR ".join(f"({group.clause[0]})" for group in groups)
    return f"({sql or '0'})", [parameter for group in groups for parameter in group.clause[1]]


def sql_items(inner: Callable[[Place, Any], Condition]) -> Callable[[Place, Any], Condition]:
    """Make the condition that the value is a list with an item for which the inner condition holds."""

    def condition(place: Place, operand: Any) -> Condition:
        sql, parameters = inner(_item(place), operand)
        return _for_type(place, "array", f"EXISTS (SELECT 1 FROM {_items(place)} WHERE {sql})"), parameters

    return condition


def sql_all(place: Place, scalars: Sequence[Scalar]) -> Condition:
    """Make the condition that the value is a list that holds every scalar: as many distinct ones as were asked for."""
    if any(isinstance(scalar, str) and "\0" in scalar for scalar in scalars):
        return "0", []
    groups = _groups(_item(place), scalars)
    counts = [
        f"(SELECT count(DISTINCT {group.value[0]}) FROM {_items(place)} WHERE {group.clause[0]}) = {group.distinct}"
        for group in groups
    ]
    parameters = [parameter for group in groups for parameter in group.value[1] + group.clause[1]]
    return _for_type(place, "array", " AND ".join(counts) or "1"), parameters


def sql_text(test: str, fold: Callable[[str], str] = str) -> Callable[[Place, Any], Condition]:
    """Make the condition that the value is a string for which ``test`` (with ``{value}`` and one ``?``) holds."""
    return lambda place, text: (_for_type(place, "text", test.format(value=place.value)), [fold(text)])


def sql_is_empty(place: Place, wanted: bool) -> Condition:
    """Make the condition that the value is null, ``""``, ``[]`` or ``{}``, or that it is none of them."""
    empties = (("text", "''"), ("array", "'[]'"), ("object", "'{}'"))
    branches = " ".join(f"WHEN '{type_}' THEN {place.value} = {empty}" for type_, empty in empties)
    return f"(CASE {place.type} WHEN 'null' THEN 1 {branches} ELSE 0 END) = {int(wanted)}", []


def stored_number(container: str, key: str | int) -> float:
    """Read one number exactly from a JSON object or list."""
    return float(_json_read(container)[key])


def stored_list(container: str, scalars: str) -> bool:
    """Tell whether a JSON list is the other one."""
    return same_list(_json_read(container), _json_read(scalars))


@lru_cache(maxsize=8)
def _json_read(container: str) -> Any:
    """Parse JSON with a small cache, as the items of one list are read one after another."""
    return json.loads(container)


HELPERS: Mapping[str, tuple[int, Callable[..., str | int | float]]] = MappingProxyType(
    {
        "dpr_rag_like": (2, like),
        "dpr_rag_ilike": (2, ilike),
        "dpr_rag_same": (2, stored_list),
        "dpr_rag_differs": (1, differs),
        "dpr_rag_ends": (2, str.endswith),
        "dpr_rag_casefold": (1, folded),
        "dpr_rag_number": (2, stored_number),
        "dpr_rag_float": (1, float),
    }
)


@dataclass(frozen=True, slots=True)
class _Group:
    """The scalars of one kind: the value to compare, the clause that it is among them, how many differ."""

    value: Condition
    clause: Condition
    distinct: int


def _groups(place: Place, scalars: Iterable[Scalar]) -> list[_Group]:
    """Split scalars by kind. Strings with NUL are left out: SQLite would cut them, and no row asked here has any."""
    texts = {value for value in scalars if isinstance(value, str) and "\0" not in value}
    numbers = {value for value in scalars if isinstance(value, int | float) and not isinstance(value, bool)}
    words = {json.dumps(value) for value in scalars if value is None or isinstance(value, bool)}
    groups = []
    if texts:
        among = f"{place.type} = 'text' AND {place.value} IN (SELECT value FROM json_each(?))"
        groups.append(_Group((place.value, []), (among, [_json(sorted(texts))]), len(texts)))
    if numbers:
        number, band = _number(place, numbers)
        among = f"{place.type} IN {_NUMBER} AND {number} IN (SELECT {_LISTED_NUMBER} FROM json_each(?))"
        listed = [repr(value) if isinstance(value, float) else value for value in sorted(numbers)]
        groups.append(_Group((number, band), (among, [*band, _json(listed)]), len(numbers)))
    if words:
        among = f"{place.type} IN (SELECT value FROM json_each(?))"
        groups.append(_Group((place.type, []), (among, [_json(sorted(words))]), len(words)))
    return groups


def _json(values: object) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def _number(place: Place, near: Collection[int | float]) -> Condition:
    """The stored number: as SQLite reads it, or exactly where it is so near to an operand that rounding matters."""
    low, high = float(min(near)), float(max(near))
    band: list[SqlParameter] = [low - abs(low) * 1e-9 - 1e-300, high + abs(high) * 1e-9 + 1e-300]
    exact = f"dpr_rag_number({place.container}, {place.key})"
    return (
        f"CASE WHEN {place.type} = 'real' AND {place.value} BETWEEN ? AND ? THEN {exact} ELSE {place.value} END",
        band,
    )


def _item(place: Place) -> Place:
    return Place("item.type", "item.value", place.value, "item.key")


def _items(place: Place) -> str:
    return f"json_each({place.value}) AS item"


def _for_type(place: Place, type_: str, sql: str) -> str:
    """Guard a condition by the type with CASE, since SQLite may evaluate the sides of AND in any order."""
    return f"CASE {place.type} WHEN '{type_}' THEN {sql} ELSE 0 END"
