"""Tables inside documents as lines: each row repeats its headers, since a passage may not contain them."""

from __future__ import annotations

from collections.abc import Sequence

from dpr_rag.corpora.splitting import Row

_LONGEST, _MANY = 40, 4


class Grid:
    """A table of a page while it is parsed. Tables without header cells in their first row are taken as layout.

    Attributes:
        cells: Of the row that is being read; None where they are text like any other.
    """

    def __init__(self) -> None:
        self.cells: list[str] | None = None
        self._rows: list[list[str]] = []
        self._is_layout = False

    def begin_row(self) -> None:
        """Begin a row."""
        self.cells = None if self._is_layout else []

    def begin_cell(self, *, heads: bool) -> list[str]:
        """Begin a cell. Returns earlier cells that turn out to be no headers, as text stands beside them."""
        if self.cells is None:
            return []
        if self._rows or heads:
            self.cells.append("")
            return []
        kept, self.cells, self._is_layout = self.cells, None, True
        return kept

    def take(self, text: str) -> bool:
        """Take text into the open cell; returns whether one is open."""
        if not self.cells:
            return False
        self.cells[-1] = " ".join(f"{self.cells[-1]} {text}".split())
        return True

    def end_row(self) -> None:
        """End a row."""
        self._rows += [self.cells] if self.cells else []
        self.cells = None

    def lines(self) -> list[str]:
        """The rows that were kept."""
        return lines_of(self._rows, headed=True)


def lines_of(rows: Sequence[Sequence[str]], *, headed: bool | None = None) -> list[str]:
    """The rows of a table as lines, each under the names of the columns.

    Args:
        rows: Their cells.
        headed: Whether the first row is a header; None where it may be one: then it counts as one if it reads so, and
            stands for itself, too.
    """
    if len(rows) < 2 or headed is False or (headed is None and not _are_names(rows[0])):
        return [_line([], row) for row in rows]
    below = [_line(rows[0], row) for row in rows[1:]]
    return below if headed else [_line([], rows[0]), *below]


def may_head(rows: Sequence[Sequence[str]]) -> bool:
    """Whether a table is large enough for its first row to be a header and not data."""
    return len(rows) >= _MANY or bool(rows and len(rows[0]) >= _MANY)


def _line(names: Sequence[str], cells: Sequence[str]) -> str:
    """``Name: cell; Name: cell``, or cells with tabs between where names do not fit them."""
    if len(names) != len(cells):
        return Row("\t".join(cell for cell in cells if cell))
    told = [f"{name.rstrip(': ')}: {cell}" if name else cell for name, cell in zip(names, cells, strict=True) if cell]
    return Row("; ".join(told))


def _are_names(cells: Sequence[str]) -> bool:
    """Whether cells can name columns: several short ones, the first of which may be empty, that are no numbers or sentences."""
    named = [cell for cell in cells if cell]
    return (
        len(cells) > 1
        and all(cells[1:])
        and len({*named}) == len(named)
        and all(len(cell) <= _LONGEST and cell[-1] not in ".!?;" and not cell[0].isdigit() for cell in named)
    )
