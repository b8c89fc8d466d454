"""The filter expression: comparisons joined by and, or and not; read from a dict, evaluated, compiled to SQL."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as made
from typing import Any, ClassVar

from dpr_rag.arguments import check_instance
from dpr_rag.errors import FilterError, nearest
from dpr_rag.filters.fields import HIDDEN_ID, MISSING, fields_of, identifies, looked_up, normal_fields
from dpr_rag.filters.normal import nfc, normal
from dpr_rag.filters.operands import check_text, described
from dpr_rag.filters.operators import OPERATORS
from dpr_rag.filters.parsing import Parser, check_depth, is_special, named
from dpr_rag.filters.sql import COLUMNS, Condition, sql_field, unlike_python
from dpr_rag.passages import Passage

# Beyond these, SQLite's parser stack (100) and bound variables (999) could run out: such filters run in Python.
_MAX_NATIVE_DEPTH = 8
_MAX_NATIVE_COMPARISONS = 48


class Filter(ABC):
    """A condition on the metadata, id and title of a passage.

    A field is a key of the metadata, or a dotted path into nested objects such as ``specs.screen``; a key that contains the
    dot takes precedence, and paths do not enter lists. ``id`` and ``title`` are the passage's own, unless the metadata have a
    key of that name; an empty title is a missing one.

    Values are compared within their JSON type: ``"5"`` differs from ``5``, and ``True`` from ``1``; integers and floats are
    one type and are compared exactly. Strings and names of fields are compared in Unicode's normal form C, but ids character
    by character. A missing field matches ``ne``, ``nin``, ``exists`` False and negations; a missing title also matches
    ``is_empty``. Two filters are equal if they are written alike.
    """

    __slots__ = ("_text",)
    _text: str

    @staticmethod
    def from_dict(mapping: Mapping[str, Any]) -> Filter:
        """Parse a filter in LangChain's style, such as ``{"lang": "en", "year": {"$gte": 1990, "$lt": 2000}}``.

        A plain value means ``$eq``; a list matches any of its items or the list itself; ``{}`` matches everything. Several
        fields, and several operators on one field, must all hold. ``$and`` and ``$or`` take a list of expressions. ``$not``
        takes an expression or a list of which none may hold, or operators inside a field. ``$neq`` is ``$ne``. The other
        operators are those of ``OPERATORS`` after a ``$``. A field whose name begins with ``$`` and a letter, ``_`` or another
        ``$`` is written with one more ``$``: ``{"$$and": 1}`` is about the field ``$and``.

        Raises:
            FilterError: Nested deeper than 50 levels, an unknown operator, or an operand it does not take.
        """
        return _PARSER.read(mapping)

    def matches(self, passage: Passage | Mapping[str, Any]) -> bool:
        """Evaluate the filter on a passage, or on a dict of fields."""
        if isinstance(passage, Mapping):
            return self._holds(normal_fields(passage))
        check_instance("passage", passage, Passage, FilterError, advice=" or a dict of fields")
        return self._holds(fields_of(passage.id, passage.title, passage.metadata))

    def to_sql(self) -> Condition:
        """Compile to an SQL expression, 0 or 1, and its parameters; all keys and values are bound as parameters.

        The expression reads the columns ``id``, ``title`` and ``metadata`` (compact JSON as by ``json.dumps(metadata,
        ensure_ascii=False, separators=(",", ":"))``) of the table in scope, and needs ``SQL_FUNCTIONS`` on the connection.
        """
        leaves = list(self.comparisons())
        in_python = "dpr_rag_matches(?, id, title, metadata)"
        if len(leaves) > _MAX_NATIVE_COMPARISONS or self._depth() > _MAX_NATIVE_DEPTH:
            return in_python, [self._canonical()]
        sql, parameters = self._native()
        columns = sorted({"id" if leaf.field == HIDDEN_ID else leaf.field for leaf in leaves} & COLUMNS)
        odd = unlike_python(columns, nested=any("." in leaf.field for leaf in leaves))
        return f"CASE WHEN {odd} THEN {in_python} ELSE {sql} END", [self._canonical(), *parameters]

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the canonical dict, which ``from_dict`` reads back to an equal filter."""

    @abstractmethod
    def _holds(self, fields: Mapping[str, Any]) -> bool: ...

    @abstractmethod
    def _native(self) -> Condition: ...

    @abstractmethod
    def _parts(self) -> tuple[Filter, ...]: ...

    def comparisons(self) -> Iterator[Comparison]:
        """All comparisons of the filter, in the order in which they are written."""
        for part in self._parts():
            yield from part.comparisons()

    def _depth(self) -> int:
        return 1 + max((part._depth() for part in self._parts()), default=0)

    def _canonical(self) -> str:
        """The filter as canonical JSON text, computed once, for equality and hashing."""
        try:
            return self._text
        except AttributeError:
            object.__setattr__(self, "_text", json.dumps(self.to_dict(), separators=(",", ":")))
            return self._text

    # By canonical text, because Python takes 1, 1.0 and True for equal, and a cache of rows must not.
    def __eq__(self, other: object) -> bool:
        return self._canonical() == other._canonical() if isinstance(other, Filter) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._canonical())


@dataclass(frozen=True, slots=True, eq=False)
class Comparison(Filter):
    r"""One field, one operator, one operand.

    Attributes:
        field: A metadata key (any string), a dotted path, ``id`` or ``title``.
        operator: A name from ``OPERATORS``. ``lt`` to ``gte`` and ``between`` (inclusive) order numbers among numbers
            and strings among strings, by code point. ``startswith`` and ``endswith`` take a string as it stands;
            ``like`` takes ``%`` and ``_``, and ``\`` as an escape or as itself, whichever fits. ``ilike`` does so
            without case. ``text_match`` looks for a substring, ``text_match_insensitive`` after ``str.casefold``.
            ``contains``, ``any`` and ``all`` look into a list (``all`` of nothing holds for every list). ``is_empty``
            True means null, ``""``, ``[]`` or ``{}``, False others.
        value: The operand; lists become tuples.
        test: Tells of a stored value whether the operator holds, negations apart.

    Raises:
        FilterError: The operator is unknown, or does not take this operand.
    """

    field: str
    operator: str
    value: Any
    test: Callable[[Any], bool] = made(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "field", nfc(check_text("field name", self.field)))
        if not isinstance(self.operator, str) or self.operator not in OPERATORS:
            raise FilterError(
                f"field {self.field!r:.60}: {named(self.operator)} is no operator; there are {', '.join(OPERATORS)}"
                f"{nearest(self.operator, OPERATORS)}"
            )
        where = f"field {self.field!r:.60}, operator {self.operator}"
        meant = OPERATORS[self.operator]
        operand = meant.check(where, self.value)
        object.__setattr__(self, "value", operand if identifies(self.field) else normal(operand))
        object.__setattr__(self, "test", meant.test(self.value))

    def __reduce__(self) -> tuple[type[Comparison], tuple[str, str, Any]]:
        return type(self), (self.field, self.operator, self.value)

    def to_dict(self) -> dict[str, Any]:
        """Return ``{field: {"$operator": value}}``."""
        name = f"${self.field}" if is_special(self.field) else self.field
        return {name: {f"${self.operator}": list(self.value) if isinstance(self.value, tuple) else self.value}}

    @property
    def holds_without(self) -> bool:
        """Whether the comparison holds for a passage without the field; an empty title counts as missing."""
        if self.field == "title" and self.operator == "is_empty":
            return bool(self.value)
        return OPERATORS[self.operator].negated(self.value)

    def _holds(self, fields: Mapping[str, Any]) -> bool:
        stored = looked_up(fields, self.field)
        if stored is MISSING:
            return self.holds_without
        return self.test(stored) is not OPERATORS[self.operator].negated(self.value)

    def _native(self) -> Condition:
        operator = OPERATORS[self.operator]
        sql, parameters = sql_field(self.field, operator.sql, self.value)
        return f"(NOT {sql})" if operator.negated(self.value) else sql, parameters

    def _parts(self) -> tuple[Filter, ...]:
        return ()

    def comparisons(self) -> Iterator[Comparison]:
        """Itself."""
        yield self


@dataclass(frozen=True, slots=True, eq=False)
class _Junction(Filter):
    parts: tuple[Filter, ...]
    word: ClassVar[str]
    join: ClassVar[Callable[[Iterator[bool]], bool]]

    def __post_init__(self) -> None:
        if not isinstance(self.parts, list | tuple):
            raise FilterError(f"${self.word}: {described(self.parts)} was given, expected a list of filters")
        object.__setattr__(self, "parts", tuple(self.parts))
        _check_parts(f"${self.word}", self)

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"$and": [...]}`` or ``{"$or": [...]}``."""
        return {f"${self.word}": [part.to_dict() for part in self.parts]}

    def _holds(self, fields: Mapping[str, Any]) -> bool:
        return type(self).join(part._holds(fields) for part in self.parts)

    def _native(self) -> Condition:
        compiled = [part._native() for part in self.parts]
        joined = f" {self.word.upper()} ".join(sql for sql, _ in compiled)
        return f"({joined or int(self.word == 'and')})", [
            parameter for _, parameters in compiled for parameter in parameters
        ]

    def _parts(self) -> tuple[Filter, ...]:
        return self.parts


class And(_Junction):
    """True where all ``parts`` hold; without parts, everywhere. Raises FilterError when nested beyond 50 levels."""

    __slots__ = ()
    word = "and"
    join = all


class Or(_Junction):
    """True where at least one of ``parts`` holds; without parts, nowhere. Raises FilterError when nested beyond 50 levels."""

    __slots__ = ()
    word = "or"
    join = any


@dataclass(frozen=True, slots=True, eq=False)
class Not(Filter):
    """``part`` does not hold, so a missing field can match. Raises FilterError when nested beyond 50 levels."""

    part: Filter

    def __post_init__(self) -> None:
        _check_parts("$not", self)

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"$not": {...}}``."""
        return {"$not": self.part.to_dict()}

    def _holds(self, fields: Mapping[str, Any]) -> bool:
        return not self.part._holds(fields)

    def _native(self) -> Condition:
        sql, parameters = self.part._native()
        return f"(NOT {sql})", parameters

    def _parts(self) -> tuple[Filter, ...]:
        return (self.part,)


def parse_filter(given: Mapping[str, Any] | Filter) -> Filter:
    """Return a filter, reading a dict as ``Filter.from_dict`` does, with the same FilterError."""
    return given if isinstance(given, Filter) else _PARSER.read(given)


def _check_parts(where: str, node: Filter) -> None:
    for part in node._parts():
        if not isinstance(part, Filter):
            raise FilterError(
                f"{where}: {described(part)} was given, expected a Filter; make one with Filter.from_dict"
            )
    check_depth(node._depth())


_PARSER: Parser[Filter] = Parser(And, Or, Not, Comparison)
