"""Metadata filters: one expression type, read from a dict, evaluated on a passage or compiled to SQL."""

from __future__ import annotations

from dpr_rag.filters.expression import SQL_FUNCTIONS, And, Comparison, Filter, Not, Or, parse_filter
from dpr_rag.filters.operators import OPERATORS

__all__ = ["OPERATORS", "SQL_FUNCTIONS", "And", "Comparison", "Filter", "Not", "Or", "parse_filter"]
