"""Shared options: a dataclass of options that a command takes as one parameter."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints


def expanded(command: Callable[..., None]) -> Callable[..., None]:
    """Replace a command's parameters that are dataclasses of options by the options in them.

    Every field of such a dataclass is annotated as a parameter of a command would be, and has a default.
    """
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, Any] = {}
    shown: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if is_dataclass(parameter.annotation):
            groups[parameter.name] = parameter.annotation
            shown += _options(parameter.name, parameter.annotation)
        else:
            shown.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @wraps(command)
    def run(**values: Any) -> None:
        dataclasses = {
            name: group(**{field.name: values.pop(f"{name}_{field.name}") for field in fields(group)})
            for name, group in groups.items()
        }
        command(**values, **dataclasses)

    run.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return run


def _options(name: str, group: Any) -> list[inspect.Parameter]:
    """The fields of a dataclass as parameters whose names no other group's have."""
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            f"{name}_{field.name}", inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(group)
    ]
