"""Reading a filter from a dict in LangChain's style."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from dpr_rag.errors import FilterError, nearest
from dpr_rag.filters.normal import nfc
from dpr_rag.filters.operands import check_text, described
from dpr_rag.filters.operators import OPERATORS

MAX_DEPTH = 50
_ALSO = {"$neq": "$ne"}
_JUNCTIONS = ("$and", "$or", "$not")
_NAMES = tuple(f"${name}" for name in OPERATORS)
_OTHER_NAMES = {
    **dict.fromkeys(("$not_in", "$notin"), "$nin"),
    **dict.fromkeys(("$regex", "$wildcard"), "$like"),
    **dict.fromkeys(("$search", "$text", "$substring", "$matches", "$match"), "$text_match"),
    **dict.fromkeys(("$icontains", "$imatch"), "$text_match_insensitive"),
    **dict.fromkeys(("$starts_with", "$prefix", "$begins_with"), "$startswith"),
    **dict.fromkeys(("$ends_with", "$suffix"), "$endswith"),
    **dict.fromkeys(("$contains_any", "$elemmatch", "$overlaps"), "$any"),
    **dict.fromkeys(("$contains_all", "$has_all"), "$all"),
    **dict.fromkeys(("$null", "$is_null", "$isnull", "$is_not_null"), "$exists"),
    **dict.fromkeys(("$range",), "$between"),
    **{"=": "$eq", "==": "$eq", "!=": "$ne", "<>": "$ne", "<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"},
    **{"$must": "$and", "$should": "$or", "$must_not": "$not"},
    **{"$nor": "$not", "$none": "$not", "$all_of": "$and", "$any_of": "$or"},
}
_NEGATED = re.compile(rf"\$n(?:ot)?_?({'|'.join(OPERATORS)})")
Node = TypeVar("Node")


@dataclass(frozen=True, slots=True)
class Parser(Generic[Node]):
    """Reads a dict, making the expression's nodes by four functions.

    Attributes:
        conjunction: Makes ``$and`` of its parts.
        disjunction: Makes ``$or`` of its parts.
        negation: Makes ``$not`` of its part.
        comparison: Makes the comparison of a field by an operator with an operand.
    """

    conjunction: Callable[[tuple[Node, ...]], Node]
    disjunction: Callable[[tuple[Node, ...]], Node]
    negation: Callable[[Node], Node]
    comparison: Callable[[str, str, Any], Node]

    def read(self, node: Any, level: int = 1) -> Node:
        """Read one expression.

        Raises:
            FilterError: It cannot be understood, or is nested too deep.
        """
        if not isinstance(node, Mapping):
            raise FilterError(f'the filter {described(node)} was given, expected a dict such as {{"lang": "en"}}')
        return self._all(tuple(self._entry(key, value, level) for key, value in node.items()))

    def _all(self, parts: tuple[Node, ...]) -> Node:
        return parts[0] if len(parts) == 1 else self.conjunction(parts)

    def _entry(self, key: Any, value: Any, level: int) -> Node:
        check_depth(level)
        if key in ("$and", "$or"):
            make = self.conjunction if key == "$and" else self.disjunction
            return make(
                tuple(self.read(part, level + 1) for part in value) if isinstance(value, list | tuple) else value
            )
        if key == "$not":
            return self.negation(self._negated(value, level + 1))
        field = nfc(check_text("field name", key))
        if is_special(field):
            if field[1] != "$":
                raise FilterError(
                    f"{field!r:.60} stands where a field or one of $and, $or, $not is expected; write operators inside a "
                    f'field, as {{"field": {{"$eq": 1}}}}, and a field of that name as {"$" + field!r:.60}'
                    f"{_meant(field, _JUNCTIONS)}"
                )
            field = field[1:]
        if isinstance(value, list | tuple):
            if any(isinstance(item, Mapping) for item in value):
                raise FilterError(
                    f"field {field!r:.60}: {described(value)} with objects among them was given, expected values; filters "
                    f"are joined by $and, $or and $not{_meant(field, _JUNCTIONS)}"
                )
            return self.disjunction((self.comparison(field, "in", value), self.comparison(field, "eq", value)))
        return self._field(field, value, level) if isinstance(value, Mapping) else self.comparison(field, "eq", value)

    def _negated(self, value: Any, level: int) -> Node:
        """What ``$not`` negates: of a list, that any of its expressions holds, as PGVector has it."""
        if not isinstance(value, list | tuple):
            return self.read(value, level)
        check_depth(level)
        parts = tuple(self.read(part, level + 1) for part in value)
        return parts[0] if len(parts) == 1 else self.disjunction(parts)

    def _field(self, field: str, operators: Mapping[Any, Any], level: int) -> Node:
        if not operators:
            raise FilterError(f'field {field!r:.60}: {{}} was given, expected operators such as {{"$eq": 1}}')
        return self._all(tuple(self._operator(field, name, operand, level) for name, operand in operators.items()))

    def _operator(self, field: str, name: Any, operand: Any, level: int) -> Node:
        check_depth(level)
        name = _ALSO.get(name, name) if isinstance(name, str) else name
        if name == "$not" and isinstance(operand, Mapping):
            return self.negation(self._field(field, operand, level + 1))
        if not isinstance(name, str) or name[:1] != "$" or name[1:] not in OPERATORS:
            raise FilterError(
                f"field {field!r:.60}: {named(name)} is no operator; there are $not (with operators in a dict), "
                f"{', '.join(_NAMES)}; objects cannot be compared{_meant(name, _NAMES) or _inside(field, name)}"
            )
        return self.comparison(field, name[1:], operand)


def named(name: object) -> str:
    """The given name for a message."""
    return f"{name!r:.60}" if isinstance(name, str) else described(name)


def _meant(name: object, known: Sequence[str]) -> str:
    """Advice for an unknown operator: a similar name, also where the ``$`` was forgotten."""
    if isinstance(name, str) and name[:1].isalpha():
        name = f"${name}"
    if isinstance(name, str) and name.lower() not in _OTHER_NAMES and (opposite := _NEGATED.fullmatch(name.lower())):
        return f'; here it is {{"$not": {{"${opposite[1]}": …}}}}'
    return nearest(name, known, _OTHER_NAMES)


def _inside(field: str, name: object) -> str:
    """Advice where nested fields were given as an object."""
    if not isinstance(name, str) or not name or name[0] == "$":
        return ""
    return f"; the field {name!r:.60} in it is {f'{field}.{name}'!r:.120}"


def is_special(name: str) -> bool:
    """Whether a field's name is written with one more ``$``, as it would look like an operator."""
    return name[:1] == "$" and (name[1:2].isalpha() or name[1:2] in {"$", "_"})


def check_depth(depth: int) -> None:
    """Refuse what is nested too deep.

    Raises:
        FilterError: It is.
    """
    if depth > MAX_DEPTH:
        raise FilterError(f"the filter is nested deeper than {MAX_DEPTH} levels; flatten its $and, $or and $not")
