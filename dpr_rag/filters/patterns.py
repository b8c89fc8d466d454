"""Patterns of ``LIKE``, with and without case."""

from __future__ import annotations

import re
from functools import lru_cache

from dpr_rag.filters.normal import folded

_ESCAPING, _PLAIN = r"\\(.)|([%_])|(.)", r"(\A\Z)|([%_])|(.)"


def like(pattern: str, text: str) -> bool:
    r"""Tell whether the whole text fits a LIKE pattern: ``%`` any run, ``_`` one character, ``\`` escapes or is itself.

    Databases differ in whether a backslash escapes; here a text fits when it fits in one of the two readings, so that
    ``50\%`` finds a per cent sign, and ``C:\docs\%`` what lies in that folder.
    """
    return _fits(pattern, text, re.DOTALL)


def ilike(pattern: str, text: str) -> bool:
    """The same without regard to case.

    Characters are compared one by one, as ``_`` counts them, or else with both sides folded, where ``ß`` is ``ss``.
    """
    return _fits(pattern, text, re.DOTALL | re.IGNORECASE) or _fits(folded(pattern), folded(text), re.DOTALL)


def _fits(pattern: str, text: str, flags: re.RegexFlag) -> bool:
    if _like_regex(pattern, _ESCAPING, flags).fullmatch(text) is not None:
        return True
    return "\\" in pattern and _like_regex(pattern, _PLAIN, flags).fullmatch(text) is not None


@lru_cache(maxsize=256)
def _like_regex(pattern: str, reading: str, flags: re.RegexFlag) -> re.Pattern[str]:
    """Translate a LIKE pattern; an atomic group per run keeps hostile patterns from backtracking for ever."""
    runs = [""]
    for escaped, wildcard, plain in re.findall(reading, pattern, re.DOTALL):
        if wildcard == "%":
            runs.append("")
        else:
            runs[-1] += "." if wildcard else re.escape(escaped or plain)
    if len(runs) == 1:
        return re.compile(runs[0], flags)
    first, *middle, last = runs
    return re.compile(first + "".join(f"(?>.*?{run})" for run in middle if run) + ".*" + last, flags)
