"""How to read a corpus, and what a reader yields: a passage, its source position, and a vector if there is one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dpr_rag.corpora.columns import Columns
from dpr_rag.corpora.lines import LeftOut, OnBad
from dpr_rag.passages import OnBadText, Passage

ALL = Columns()


@dataclass(frozen=True, slots=True)
class Reading:
    """Options for reading a corpus.

    Attributes:
        columns: What the user called the columns that hold id, text and title.
        on_bad: Takes the errors of bad records; None raises the first.
        on_bad_text: What becomes of lone surrogates, see :meth:`~dpr_rag.Passage.made`.
        left_out: Takes the number of what is left out, by reason; None logs it as a warning.
        part: Which of several that lie in one place: the split of a dataset, the collection of a Chroma folder.
        vectors: Whether vectors that lie beside the passages are read, too.
        numbered: Whether a table whose header names no id or no text is read all the same: ids are the file's name with the
            number of the row, and the text is the whole row under the names of its columns.
    """

    columns: Columns = ALL
    on_bad: OnBad = None
    on_bad_text: OnBadText = "error"
    left_out: LeftOut | None = None
    part: str | None = None
    vectors: bool = False
    numbered: bool = False


class Found(NamedTuple):
    """A passage that a reader yields, with its source, its place and its vector if there is one.

    Attributes:
        passage: The passage.
        source: Its file, or what stands for one, such as ``python:gzip``.
        place: File and line, or row, for messages; empty where the id says it.
        vector: What another library made of it, a list or array of shape [dim], not checked; None where there is none.
    """

    passage: Passage
    source: Path | str
    place: str
    vector: Any = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A corpus that was opened for reading, and its description for people.

    Attributes:
        found: Its passages, as a stream.
        what: What it is, in words, where its name does not say it: a store of another library, a split of a dataset.
    """

    found: Iterator[Found]
    what: str = ""
