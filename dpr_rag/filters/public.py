"""Filters from a network, which may not refer to the paths of source files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dpr_rag.errors import FilterError
from dpr_rag.filters.evaluating import compared_fields
from dpr_rag.filters.expression import Filter, parse_filter
from dpr_rag.passages import SOURCE_KEY


def parse_public(given: Mapping[str, Any]) -> Filter:
    """Parse a filter that comes over a network.

    Raises:
        FilterError: It cannot be understood, or asks where this machine's files lie, which answers would give away bit by bit.
    """
    where = parse_filter(given)
    if any(field.partition(".")[0] == SOURCE_KEY for field in compared_fields(where)):
        raise FilterError(f"field {SOURCE_KEY!r} is dpr-rag's own, and is not told; ask about fields of the metadata")
    return where
