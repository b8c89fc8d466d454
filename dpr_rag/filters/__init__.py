"""Metadata filters: one expression type, read from a dict, evaluated on a passage or compiled to SQL."""

from __future__ import annotations

from dpr_rag.filters.expression import And, Comparison, Filter, Not, Or, parse_filter
from dpr_rag.filters.fields import HIDDEN_ID, kept_field
from dpr_rag.filters.functions import SQL_FUNCTIONS
from dpr_rag.filters.operators import OPERATORS
from dpr_rag.filters.predicates import Where, answered, check_predicate

__all__ = [
    "HIDDEN_ID",
    "OPERATORS",
    "SQL_FUNCTIONS",
    "And",
    "Comparison",
    "Filter",
    "Not",
    "Or",
    "Where",
    "answered",
    "check_predicate",
    "kept_field",
    "parse_filter",
]
