"""Predicates: functions of a passage as filters; checks that they return True or False."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dpr_rag.arguments import deferred_function, kind
from dpr_rag.errors import FilterError
from dpr_rag.filters.expression import Filter
from dpr_rag.passages import Passage

Where = Filter | Mapping[str, Any] | Callable[[Passage], bool] | None
"""What ``filter=`` takes: an expression, its form as a dict, or a predicate; None keeps every passage."""


def check_predicate(predicate: object) -> None:
    """Refuse a callable that cannot return True or False; its truthy results would keep every passage.

    Args:
        predicate: The filter argument; a value that is not callable passes.

    Raises:
        FilterError: It is a class, or a coroutine or generator function, also inside ``partial`` or as ``__call__``.
    """
    if isinstance(predicate, type):
        raise FilterError(f"filter is {kind(predicate)}, expected a dict, a Filter, or a function of a passage")
    if (description := deferred_function(predicate)) is not None:
        raise FilterError(
            f"filter is {description}, expected a plain function that returns True or False; "
            "find out beforehand what it waits for, and compare with that"
        )


def answered(predicate: Callable[[Passage], bool], passage: Passage) -> bool:
    """Evaluate a predicate on a passage.

    Raises:
        FilterError: The result is not True or False, Python's or numpy's. Other values are not tested for truth: a method that
            was not called, the string ``"False"`` and ``NotImplemented`` would all keep the passage.
    """
    answer: object = predicate(passage)
    if answer is True or answer is False:
        return answer
    if isinstance(answer, np.bool_):
        return bool(answer)
    if inspect.iscoroutine(answer):
        answer.close()  # nobody awaits it
    raise FilterError(
        f"the filter's function answered {kind(answer)} about passage {passage.id!r:.120}, expected True or False; "
        f"{_advice(answer)}"
    )


def _advice(answer: object) -> str:
    if answer is None:
        return "return one of them on every path, or wrap what may be missing in bool(…)"
    if inspect.isawaitable(answer):
        return "give a function that needs no await"
    if callable(answer):
        return "call it, as with (…)"
    return "compare with what is wanted, as with ==, or wrap it in bool(…)"
