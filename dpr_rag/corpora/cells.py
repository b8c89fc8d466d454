"""Lists in the cells of spreadsheets and tables, as pandas, numpy and JSON write them."""

from __future__ import annotations

import ast
import json
import re
import warnings

from dpr_rag.errors import CorpusError

SEPARATOR = "|"
_QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_ITEMS = re.compile(rf"[\[(]\s*(?:(?:{_QUOTED})(?:\s*,\s*|\s+|(?=[\])])))*[\])]", re.DOTALL)
_ITEM = re.compile(_QUOTED, re.DOTALL)
_ARRAY = re.compile(r"array\((.*?)(?:,\s*dtype=[^)]*)?\)", re.DOTALL)
_OPENS_LIST = re.compile(r"""\[\s*['"]""")
_NUMPY = re.compile(rf"\[\s*(?:{_QUOTED})(?:\s+(?:{_QUOTED}))+\s*\]", re.DOTALL)


def parts_of(cell: str) -> tuple[str, ...]:
    """The values of one cell: of a list, or separated by ``|``.

    Raises:
        CorpusError: It begins like a list and is none.
    """
    listed = list_in(cell)
    return tuple(part.strip() for part in cell.split(SEPARATOR) if part.strip()) if listed is None else listed


def list_in(cell: str) -> tuple[str, ...] | None:
    """The strings of a list as JSON, Python or numpy (``['a' 'b']``) write it, or None where the cell is text.

    Raises:
        CorpusError: It begins like a list of strings and is none, or numpy has cut it short.
    """
    text = cell.strip()
    array = _ARRAY.fullmatch(text)
    text = array[1].strip() if array else text
    try:
        value = json.loads(text) if text.startswith("[") else None
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, list) and all(isinstance(entry, str | int) and not isinstance(entry, bool) for entry in value):
        return tuple(map(str, value))
    if value is None and _ITEMS.fullmatch(text) and (text.startswith("[") or "," in _ITEM.sub("", text)):
        return tuple(map(_string, _ITEM.findall(text)))
    if _OPENS_LIST.match(text):
        raise CorpusError(f"the cell {text!r:.60} begins like a list of strings and is none; write JSON, or a|b")
    return None


def is_numpy_list(cell: str) -> bool:
    """Whether a cell is a list as numpy writes it, whose strings Python would join to one."""
    return _NUMPY.fullmatch(cell.strip()) is not None


def _string(literal: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # regular expressions such as "a\s?b" are answers, too
        try:
            return str(ast.literal_eval(literal))
        except (ValueError, SyntaxError) as error:
            raise CorpusError(f"{literal!r:.60} is no string ({error}); write JSON") from error
