"""Strict JSON: no NaN, and no repeated keys in an object."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from dpr_rag.errors import CorpusError


class Keys:
    """Builds JSON objects, and records a repeated key, of whose values Python would drop one silently.

    Attributes:
        twice: The first such key, or None.
    """

    __slots__ = ("twice",)

    def __init__(self) -> None:
        self.twice: str | None = None

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """Build one object; a hook for ``object_pairs_hook``."""
        fields = dict(pairs)
        if len(fields) < len(pairs) and self.twice is None:
            self.twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        return fields


def key_twice(key: str) -> CorpusError:
    """The error for an object with a key twice."""
    return CorpusError(
        f"the key {key!r:.120} stands twice in one object; keep one of the two, or write a list under it"
    )


def refuse_constant(name: str) -> None:
    """Refuse the NaN and Infinity that Python's parser would accept.

    Raises:
        ValueError: Always.
    """
    raise ValueError(f"{name} is no JSON number")


def absent(name: str) -> None:
    """Stand for the NaN and Infinity that other libraries write for missing values, which are None in a passage."""


def parsed(
    text: str,
    *,
    remedy: str = "write one JSON object a line",
    constant: Callable[[str], None] = refuse_constant,
) -> Any:
    """Parse one JSON value, strictly.

    Args:
        text: The JSON.
        remedy: What to do where it is none.
        constant: What becomes of NaN and Infinity.

    Raises:
        CorpusError: It is no JSON, as which ``constant`` may count NaN and Infinity. A key stands twice in one object.
    """
    keys = Keys()
    try:
        value = json.loads(text, parse_constant=constant, object_pairs_hook=keys)
    except RecursionError as error:
        raise CorpusError("the JSON value is nested too deeply; flatten it") from error
    except ValueError as error:
        raise CorpusError(f"is not JSON ({error}); {remedy}") from error
    if keys.twice is not None:
        raise key_twice(keys.twice)
    return value


def expect_object(value: object) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        CorpusError: It is another kind of value.
    """
    if not isinstance(value, dict):
        raise CorpusError(f'holds {value!r:.60}, expected a JSON object such as {{"id": …, "text": …}}')
    return value
