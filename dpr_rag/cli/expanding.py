"""Shared options: a dataclass of options that a command takes as one parameter."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints


def expanded(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that the dataclasses among its parameters hold, in place of those parameters.

    Every field of such a dataclass is annotated as a parameter of a command would be, and has a default.
    """
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, Any] = {}
    shown: list[inspect.Parameter] = []
    for one in signature.parameters.values():
        if is_dataclass(one.annotation):
            groups[one.name] = one.annotation
            shown += _options(one.name, one.annotation)
        else:
            shown.append(one.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @wraps(command)
    def run(**given: Any) -> None:
        made = {
            name: group(**{one.name: given.pop(f"{name}_{one.name}") for one in fields(group)})
            for name, group in groups.items()
        }
        command(**given, **made)

    run.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in shown}
    return run


def _options(name: str, group: Any) -> list[inspect.Parameter]:
    """The fields of a dataclass as parameters whose names no other group's have."""
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            f"{name}_{one.name}", inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=hints[one.name]
        )
        for one in fields(group)
    ]
