"""Checks of numbers in settings and batch sources."""

from __future__ import annotations

import math

from dpr_rag.errors import TrainingError


def check_int(name: str, value: object, low: int) -> None:
    """Check that a value is an integer of at least ``low``.

    Raises:
        TrainingError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise TrainingError(f"{name} is {value!r}, expected an integer of at least {low}")


def check_number(
    name: str,
    value: object,
    *,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    below: float | None = None,
) -> None:
    """Check that a value is a finite number within the bounds.

    Raises:
        TrainingError: It is none.
    """
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    bounds_text = []
    for bound, words in ((low, "at least"), (above, "above"), (high, "at most"), (below, "below")):
        if bound is not None:
            good = good and _within(value, bound, words)
            bounds_text.append(f"{words} {bound:g}")
    if not good:
        raise TrainingError(
            f"{name} is {value!r}, expected a {' '.join(['number', ' and '.join(bounds_text)]).strip()}"
        )


def check_share(name: str, value: object) -> None:
    """Check that a value is a number from 0 to 1.

    Raises:
        TrainingError: It is none.
    """
    check_number(name, value, low=0.0, high=1.0)


def _within(value: object, bound: float, words: str) -> bool:
    number = float(value)  # type: ignore[arg-type]
    return {
        "at least": number >= bound,
        "above": number > bound,
        "at most": number <= bound,
        "below": number < bound,
    }[words]
