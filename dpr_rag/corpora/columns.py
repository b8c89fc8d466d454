"""Which columns of a table, or keys of an object, hold the id, the text and the title of a passage."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from dpr_rag.errors import CorpusError
from dpr_rag.faces import ByFace

Field = Literal["id", "text", "title"]
USUAL: dict[Field, tuple[str, ...]] = {
    "id": ("id", "_id", "pid", "docid", "doc_id", "docno", "passage_id", "psg_id"),
    "text": ("text", "contents", "content", "passage", "passage_text", "segment", "body", "page_content"),
    "title": ("title",),
}
"""What BEIR, DPR, MS MARCO, Pyserini and Tevatron call them, the first that is there counts; case, spaces and hyphens do not."""
VECTORS = ("vector", "emb", "embedding", "embeddings", "vectors")
"""What columns, keys or arrays of vectors are called, the first that is there counts."""
_NAME_THEM = ByFace(
    "columns=Columns(id=…, text=…, title=…)", cli="--id-column, --text-column and --title-column", page=""
)
_OR_PASSAGE = ", or, if it is a passage, put the header id, text, title above it"
_WORDS = re.compile(r"[^\W\d](?:[\w .-]*\w)?")
_LONGEST_NAME, _MOST_WORDS = 30, 3


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns, or keys, of a passage's fields; all other columns become metadata.

    Attributes:
        id: Column of the id; None for the usual names.
        text: Column of the text; None for the usual names.
        title: Column of the title; None for the usual names, or no title.

    Raises:
        CorpusError: Two fields have the same column.
    """

    id: str | None = None
    text: str | None = None
    title: str | None = None

    def __post_init__(self) -> None:
        given = self.given()
        twice = {name for name in given.values() if list(given.values()).count(name) > 1}
        if twice:
            raise CorpusError(
                f"the column {min(twice)!r:.120} is named for two of id, text and title; name one for each"
            )

    def given(self) -> dict[Field, str]:
        """The names that there are, by field."""
        names: dict[Field, str | None] = {"id": self.id, "text": self.text, "title": self.title}
        return {field: name for field, name in names.items() if name is not None}


@lru_cache(maxsize=1024)
def located(names: tuple[str, ...], wanted: Columns, kind: str = "column") -> Columns:
    """Find the columns of a passage's fields among names, by the user's choice or the usual names.

    Args:
        names: Of columns or keys.
        wanted: What the user called them.
        kind: ``column`` or ``key``, for the message.

    Returns:
        Which of the names holds what; None for what is not found.

    Raises:
        CorpusError: A column that the user named is not there.
    """
    columns = {field: _given(name, names, kind) for field, name in wanted.given().items()}
    taken = set(columns.values())
    by_spelling: dict[str, list[str]] = {}  # a file may have very many columns
    for name in names:
        by_spelling.setdefault(folded(name), []).append(name)
    for field, usual in USUAL.items():
        if field not in columns:
            known = [
                name
                for spelling in usual
                for name in _first(spelling, by_spelling.get(spelling, []))
                if name not in taken
            ]
            columns |= {field: known[0]} if known else {}
    return Columns(**columns)


def _first(wanted: str, names: Iterable[str]) -> list[str]:
    """Names that differ in spelling alone, exact matches first."""
    return sorted(names, key=lambda name: name != wanted)


def _spelled(wanted: str, names: Iterable[str]) -> list[str]:
    """The names that are written so."""
    return _first(wanted, (name for name in names if folded(name) == folded(wanted)))


def folded(name: str) -> str:
    """A name of a column without what does not tell names apart: case, spaces around it, and hyphens for underscores."""
    return re.sub(r"[ -]", "_", name.strip().removeprefix("#").lstrip().casefold())  # "#id": a header as a comment


def _given(wanted: str, names: tuple[str, ...], kind: str) -> str:
    for name in [spelling for spelling in names if spelling == wanted] or _spelled(wanted, names):
        return name
    raise CorpusError(f"there is no {kind} {wanted!r:.120}, only {listed(names)}; name one of these")


def lacking(columns: Columns, names: Collection[str], kind: str = "column") -> CorpusError:
    """The error for a table without a known column for the id or the text."""
    field: Field = "text" if columns.id else "id"
    usual = ", ".join(USUAL[field])
    return CorpusError(
        f"no {kind} of {listed(names)} is known for the {field} ({usual}); "
        + ByFace(
            f"name it with columns=Columns({field}=…)",
            cli=f"name it with --{field}-column NAME",
            page=f"call one of them “{field}”",
        )
    )


def refuse_twice(names: Collection[str]) -> None:
    """Refuse names of columns of which one comes twice, since one of the two would be lost.

    Raises:
        CorpusError: One does.
    """
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise CorpusError(f"the header {listed(names)} names the column {twice!r:.120} twice; rename one")


def listed(names: Collection[str]) -> str:
    """Names for a message, cut off where they are many."""
    told = ", ".join(sorted(names) if isinstance(names, set) else names)
    return told if len(told) <= 300 else f"{told[:300]}…"


def refuse_header(names: list[str]) -> None:
    """Refuse a first row that looks like a header with unknown names: it must not become a passage.

    Raises:
        CorpusError: Every cell is a name of up to three words, the first one without a digit as ids mostly have.
    """
    cells = [name.strip().lstrip("#").lstrip() for name in names]
    if len(cells) < 2 or any(char.isdigit() for char in cells[0]) or not all(map(_is_name, cells)):
        return
    raise CorpusError(
        f"the first row {listed(cells)} looks like a header, in which no id and text are known; "
        + ByFace("name them with ", cli="name them with ", page="call them “id” and “text”")
        + _NAME_THEM
        + ByFace(_OR_PASSAGE, page="")
    )


def no_header(width: int) -> CorpusError:
    """The error for a table without a header whose columns cannot be told."""
    return CorpusError(
        f"{width} columns and no header that names id and text; put one above"
        + ByFace(", or name the columns by their numbers from 1 with ", page="")
        + _NAME_THEM
    )


def _is_name(cell: str) -> bool:
    return bool(_WORDS.fullmatch(cell)) and len(cell) <= _LONGEST_NAME and len(cell.split()) <= _MOST_WORDS
