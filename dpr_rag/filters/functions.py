"""The Python functions that the SQL of filters calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType

from dpr_rag.filters.expression import Filter
from dpr_rag.filters.fields import fields_of
from dpr_rag.filters.sql import HELPERS


@lru_cache(maxsize=64)
def _parsed(canonical: str) -> Filter:
    return Filter.from_dict(json.loads(canonical))


def _matches_row(canonical: str, passage_id: str, title: str, metadata: str) -> bool:
    return _parsed(canonical).matches(fields_of(passage_id, title, json.loads(metadata)))


SQL_FUNCTIONS: Mapping[str, tuple[int, Callable[..., str | int | float]]] = MappingProxyType(
    {**HELPERS, "dpr_rag_matches": (4, _matches_row)}
)
