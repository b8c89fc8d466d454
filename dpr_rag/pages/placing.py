"""The location of a passage in its file as text: the page of a PDF file, the row of a table."""

from __future__ import annotations

from pathlib import PurePath

from dpr_rag.passages import Passage
from dpr_rag.store import UPLOAD

_ROWS = {".csv": "row", ".tsv": "row", ".jsonl": "line", ".ndjson": "line"}
_LONGEST = 60


def place_in_file(passage: Passage, source: str) -> str:
    """The page or the row, such as ``pages 3–4`` or ``row 2 (name: Ada)``; an empty string where neither is known.

    Args:
        passage: The passage; rows without an id of their own have one that ends with their number.
        source: The file that it came from.
    """
    return _page(passage) or _row(passage, PurePath(source.removeprefix(UPLOAD)))


def _page(passage: Passage) -> str:
    first, last = (passage.metadata.get(name) for name in ("page", "last_page"))
    if not isinstance(first, int) or isinstance(first, bool):
        return ""
    return f"pages {first}–{last}" if isinstance(last, int) and last != first else f"page {first}"


def _row(passage: Passage, source: PurePath) -> str:
    kind = next(
        (unit for suffix, unit in _ROWS.items() if suffix in (ending.lower() for ending in source.suffixes)), ""
    )
    name, sign, number = passage.id.rpartition("#")
    if not kind or not sign or not number.isdecimal() or not name.endswith(source.name):
        return ""
    first = passage.text.partition("\n")[0]
    is_cell = ": " in first and first != passage.text and len(first) <= _LONGEST
    return f"{kind} {number} ({first})" if is_cell and passage.title == source.stem else f"{kind} {number}"
