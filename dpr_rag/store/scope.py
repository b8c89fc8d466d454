"""Restricted views: the filter of a view, applied to searches and to passages that are added through it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dpr_rag.errors import FilterError, PassageError, StoreError
from dpr_rag.filters import And, Comparison, Filter, Where, check_predicate, parse_filter
from dpr_rag.filters.evaluating import compared_fields
from dpr_rag.filters.fields import MISSING, RESERVED, fields_of, looked_up
from dpr_rag.filters.merging import merged
from dpr_rag.passages import Passage
from dpr_rag.storage.reader import Condition
from dpr_rag.store.engine import Engine

_OF_THE_PASSAGE = ("id", "title")


@dataclass(frozen=True, slots=True)
class Scope:
    """The part of a store that a view sees.

    Attributes:
        where: What every passage of it fits; None for the whole store.
    """

    where: Filter | None = None

    def narrowed(self, where: Mapping[str, Any] | Filter) -> Scope:
        """A scope narrowed further by a filter.

        Raises:
            FilterError: It cannot be understood, is no dict and no ``Filter``, or asks about no field.
        """
        given = parse_filter(where)
        merged(given)
        if not compared_fields(given):
            raise FilterError(
                'the filter of a view asks about no field, and would restrict nothing; name one: {"tenant": "a"}'
            )
        return Scope(given if self.where is None else And((self.where, given)))

    def condition(self, where: Where) -> Condition | None:
        """A call's filter combined with that of the view.

        Raises:
            FilterError: It cannot be understood, makes too many comparisons, or is a function that never answers with True or
                False.
        """
        check_predicate(where)
        given = where if where is None or callable(where) else merged(parse_filter(where))
        fixed = self.where
        if fixed is None or given is None:
            return given if fixed is None else fixed
        if isinstance(given, Filter):
            return _both(fixed, given)
        predicate = given  # a predicate is asked about what is seen alone
        return lambda passage: fixed.matches(passage) and predicate(passage)

    def holds(self, passage: Passage) -> bool:
        """Whether the view sees a passage."""
        return self.where is None or self.where.matches(passage)

    def admitted(self, passage: Passage) -> Passage:
        """The passage to store: missing fields that the view's filter fixes to one value are filled in.

        Raises:
            PassageError: It does not fit the filter.
        """
        if self.where is None or not isinstance(passage, Passage):  # what is none is refused where it is added
            return passage
        seen = fields_of(passage.id, passage.title, passage.metadata)
        lacking = {
            comparison.field: list(comparison.value) if isinstance(comparison.value, tuple) else comparison.value
            for comparison in _fixed(self.where)
            if looked_up(seen, comparison.field) is MISSING
        }
        made = passage
        if lacking:
            metadata = {**passage.metadata, **lacking}
            made = Passage.checked_before(passage.id, passage.text, passage.title, metadata)
        if self.where.matches(made):
            return made
        raise PassageError(
            f"passage {passage.id!r:.120} does not fit the filter of the view that it is added through, {self}; "
            "give it values that the filter keeps (fields of its metadata that are fixed to one may be left out), or add it "
            "through another view"
        )

    def refuse_taken(self, known: Mapping[str, tuple[int, Passage]]) -> None:
        """Refuse to replace passages outside of the view.

        Args:
            known: Stored passages by id, with their row numbers.

        Raises:
            PassageError: One of them is outside.
        """
        for passage_id, (_, passage) in known.items():
            if not self.holds(passage):
                raise PassageError(
                    f"the id {passage_id!r:.120} belongs to a passage outside of this view of the store, {self}; ids are unique "
                    "in the whole store: give it another one, for example with the view's own name in front"
                )

    def collection(self, name: str) -> str:
        """The name of an adapter's collection inside the view; each view has records of its own."""
        return name if self.where is None else f"{json.dumps(self.where.to_dict(), sort_keys=True)} {name}"

    def __str__(self) -> str:
        return "everything" if self.where is None else f"{self.where.to_dict()!r:.300}"


def _fixed(where: Filter) -> Iterator[Comparison]:
    """The comparisons of a filter that fix a field of the metadata to one value."""
    if isinstance(where, And):
        for part in where.parts:
            yield from _fixed(part)
    elif isinstance(where, Comparison) and where.operator == "eq":
        if where.field not in _OF_THE_PASSAGE and not where.field.startswith(RESERVED):
            yield where


def admitted(scope: Scope, passages: Iterable[Passage]) -> Iterable[Passage]:
    """The passages to store, see :meth:`Scope.admitted`; all of a list are checked before the first is stored."""
    if scope.where is None or isinstance(passages, Passage | str):
        return passages
    checked = map(scope.admitted, passages)
    return list(checked) if isinstance(passages, list | tuple) else checked


WHOLE = Scope()


class Scoped:
    """A store, or a restricted view of one."""

    _engine: Engine
    _scope: Scope = WHOLE

    def _whole(self, what: str) -> Engine:
        """The engine, for what concerns all passages.

        Raises:
            StoreError: This is a view.
        """
        if self._scope.where is not None:
            raise StoreError(
                f"{what} concerns the whole store, and this is a view of it, restricted to {self._scope}; ask the store that "
                "was restricted"
            )
        return self._engine


def _both(fixed: Filter, given: Filter) -> Condition:
    """The conjunction of two filters; a predicate where it would be nested too deep for a filter."""
    try:
        return And((fixed, given))
    except FilterError:
        return lambda passage: fixed.matches(passage) and given.matches(passage)
