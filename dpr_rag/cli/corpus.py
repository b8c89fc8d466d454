"""The corpus that `index` reads: its passages with their sources, and counts of malformed, unreadable and omitted entries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpr_rag.cli.escaping import printable
from dpr_rag.cli.repeats import placed_error, without_repeats
from dpr_rag.cli.terminal import is_watched, note, progress
from dpr_rag.corpora import FORMATS
from dpr_rag.errors import CorpusError, RepeatedIdError, UnreadableError, unknown
from dpr_rag.faces import on_face

if TYPE_CHECKING:
    from dpr_rag import Passage
    from dpr_rag.corpora import Found, OnBad, Opened

_SHOWN_BAD = 5
_TABLES = (".csv", ".tsv")

IdColumn = Annotated[
    str | None,
    typer.Option(
        "--id-column",
        metavar="NAME",
        help="Column or key of the id; its number from 1 where a table has no header (default: id, docid, pid …).",
    ),
]
TextColumn = Annotated[
    str | None,
    typer.Option(
        "--text-column", metavar="NAME", help="The same of the text (default: text, contents, passage, body …)."
    ),
]
TitleColumn = Annotated[
    str | None,
    typer.Option("--title-column", metavar="NAME", help="The same of the title; all other columns become metadata."),
]

Part = Annotated[
    str | None,
    typer.Option(
        "--split",
        "--collection",
        metavar="NAME",
        help="Which split of a saved dataset, or collection of a Chroma folder, where there are several.",
    ),
]


class BadText(Enum):
    """How lone surrogates are handled: an error, U+FFFD instead, or their passages are left out."""

    error = "error"
    replace = "replace"
    skip = "skip"


@dataclass(frozen=True, slots=True)
class CorpusOptions:
    """The options for reading a corpus.

    Attributes:
        form: Its format; None recognises it.
        id_column: Column or key of the id, if it has an unusual name.
        text_column: The same of the text.
        title_column: The same of the title.
        part: Which split or collection, where there are several.
        skip_bad: Whether malformed entries are counted instead of ending the reading.
        on_bad_text: What becomes of lone surrogates.
    """

    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help=f"One of {', '.join(FORMATS)} (default: found by name and content).",
        ),
    ] = None
    id_column: IdColumn = None
    text_column: TextColumn = None
    title_column: TitleColumn = None
    part: Part = None
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Count malformed entries and unreadable files instead of failing.")
    ] = False
    on_bad_text: Annotated[
        BadText, typer.Option("--on-bad-text", help="What becomes of passages with lone surrogates, which are no text.")
    ] = BadText.error

    def check(self) -> None:
        """Refuse an unknown format, before any work.

        Raises:
            typer.BadParameter: It is unknown.
        """
        if self.form is not None and self.form not in FORMATS:
            raise typer.BadParameter(unknown("the format", self.form, FORMATS), param_hint="--format")


class Corpus:
    """The passages of a corpus, with counts of what could not be read.

    Args:
        path: A file, a folder, or ``python:``.
        options: The options for reading.
        vectors: Whether vectors in the corpus are read, too.

    Attributes:
        bad: How many malformed entries were skipped.
        unreadable: How many files, folders and links could not be read.
    """

    def __init__(self, path: str, options: CorpusOptions | None = None, *, vectors: bool = False) -> None:
        from dpr_rag.corpora import LeftOut

        if not path.strip():
            raise typer.BadParameter("its path is empty; write . for the current folder", param_hint="CORPUS")
        self._path, self._options, self._vectors = path, options or CorpusOptions(), vectors
        self._has_noted_format = False
        self.bad = self.unreadable = 0
        self._left_out = LeftOut()

    def passages(self) -> Iterator[Passage]:
        """Read from the start, the first passage at once; errors are counted, and the first of them shown."""
        return (entry.passage for entry in self.entries())

    def entries(self) -> Iterator[Found]:
        """Read as :meth:`passages` does, with the vectors and places of the passages."""
        self.bad = self.unreadable = 0
        self._left_out.clear()
        opened = self._read(self._count_bad)
        return chain(list(islice(opened, 1)), opened)

    def count(self) -> int | None:
        """The number of passages, for a progress bar; None without a terminal, since counting reads the whole corpus."""
        if not is_watched():
            return None
        with progress("counting", None) as advance:
            total = 0
            for total, _ in enumerate(self._read(self._skip, counting=True), start=1):
                if total % 10_000 == 0:
                    advance(total)
        return total

    def _read(self, on_bad: OnBad, *, counting: bool = False) -> Iterator[Found]:
        from dpr_rag.store import source_path, with_source

        opened = self._open(on_bad, counting=counting)
        self._note_format(opened)
        entries = opened.found
        if self._options.skip_bad and not counting and on_bad is not None:
            entries = without_repeats(entries, on_bad)
        last_source: Path | str | None = None
        source = ""
        for entry in entries:
            if entry.source is not last_source:
                last_source = entry.source
                source = entry.source if isinstance(entry.source, str) else source_path(entry.source)
            yield entry._replace(passage=with_source(entry.passage, source))

    def _note_format(self, opened: Opened) -> None:
        """Note the recognised format once, where the name does not tell it."""
        if opened.what and not self._has_noted_format:
            note(f"found {printable(opened.what)}")
        self._has_noted_format = True

    def _open(self, on_bad: OnBad, *, counting: bool) -> Opened:
        from dpr_rag.corpora import Columns, LeftOut, Reading, open_reading

        options = self._options
        columns = Columns(options.id_column, options.text_column, options.title_column)
        left_out = LeftOut() if counting else self._left_out
        reading = Reading(columns, on_bad, options.on_bad_text.value, left_out, options.part, self._vectors)
        return open_reading(self._path, reading, format=options.form)

    @contextmanager
    def placing_repeats(self, prefix: str) -> Iterator[None]:
        """Add both places to the error about a repeated id."""
        try:
            yield
        except RepeatedIdError as error:
            entries = self._open(self._skip, counting=True).found
            raise placed_error(entries, error.passage_id.removeprefix(prefix), error) from error

    def _skip(self, error: CorpusError) -> None:
        """Skip an error if the options say so, or raise it."""
        if not self._options.skip_bad and not isinstance(error, UnreadableError):
            raise error

    def _count_bad(self, error: CorpusError) -> None:
        self._skip(error)
        if isinstance(error, UnreadableError):
            self.unreadable += 1
        else:
            self.bad += 1
        if self.bad + self.unreadable <= _SHOWN_BAD:
            note(f"skipped: {printable(on_face(error, 'cli'))}")

    def say_left_out(self) -> None:
        """Note what was not indexed, and why."""
        from dpr_rag.corpora.walking import in_words

        if self.bad:
            note(f"skipped {self.bad:,} malformed entries")
        if self._left_out:
            advice = "" if self._options.skip_bad or not self.unreadable else "; --skip-bad accepts what cannot be read"
            advice += _of_tables(self._left_out)
            note(f"left out: {printable(in_words(self._left_out))}{advice}")


def _of_tables(left_out: Mapping[str, int]) -> str:
    """Advice about tables in a folder of texts, which are not read with it; empty if there were none."""
    ending = next((ending for ending in _TABLES if left_out.get(f"{ending} file")), "")
    return (
        f"; index tables of ids and texts by themselves: dpr-rag index FILE{ending}; dpr-rag chat reads others, too"
        if ending
        else ""
    )
