"""Reads uploaded files and folders, and reports what was skipped and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from dpr_rag.corpora import LeftOut, Reading, open_reading
from dpr_rag.corpora.formats import format_of
from dpr_rag.corpora.text_files import NEEDS_PYPDF, is_beyond
from dpr_rag.corpora.texts import SUFFIXES
from dpr_rag.corpora.walking import in_words, walk
from dpr_rag.errors import CorpusError, UnreadableError
from dpr_rag.faces import each_face, message_of
from dpr_rag.pages.charsets import in_utf8
from dpr_rag.pages.places import on_the_page
from dpr_rag.passages import Passage
from dpr_rag.store import source_path

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")
_PLAIN = (".txt", ".md", "", ".json", *TABLES)
_SHOWN = 5


@dataclass(slots=True)
class Heard:
    """What is to be told of what was read.

    Attributes:
        problems: What could not be read.
        notes: What is good to know.
        left_out: How many files of a folder, or entries, were passed over, by reason.
    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)

    def problem(self, error: Exception, file: Path) -> None:
        """Note an error as the page says it, without the place where the file lies."""
        told = on_the_page(message_of(error) or "it is too large").replace(f"{file.parent}/", "")
        if told not in self.problems:
            self.problems.append(told)

    def told(self) -> tuple[str, ...]:
        """The notes, with what was left out."""
        return (*self.notes, *([f"left out: {in_words(self.left_out)}"] if self.left_out else []))

    def told_problems(self) -> tuple[str, ...]:
        """The first problems, and how many there are more."""
        more = len(self.problems) - _SHOWN
        return (*self.problems[:_SHOWN], *([f"and {more:,} more"] if more > 0 else []))


@dataclass(frozen=True, slots=True)
class Brought:
    """A file that somebody brought.

    Attributes:
        path: Where it lies.
        source: What its passages have as source.
        name: What their ids begin with, so that no other file has them; an empty string leaves ids as they are.
    """

    path: Path
    source: str
    name: str = ""


def files_of(path: Path, heard: Heard) -> Iterator[Brought]:
    """The files of a folder that are read; a file, or a folder that is one corpus, stands for itself.

    Raises:
        UnreadableError: The folder cannot be listed.
    """
    if not path.is_dir() or _is_one(path):
        yield Brought(path, source_path(path), path.name if path.suffix.lower() in TABLES else "")
        return
    top = path.resolve().name
    for file in walk(
        path, (*SUFFIXES, *TABLES), on_bad=lambda error: heard.problem(error, path), left_out=heard.left_out
    ):
        if is_beyond(file):
            heard.left_out[NEEDS_PYPDF] += 1
        else:
            yield Brought(file, source_path(file), f"{top}/{file.relative_to(path).as_posix()}")


def _is_one(folder: Path) -> bool:
    """Whether a folder is a corpus of its own, such as a folder of Chroma."""
    try:
        return format_of(folder) != "text"
    except UnreadableError:
        raise
    except CorpusError:
        return False


def read(file: Brought, heard: Heard) -> Iterator[tuple[Passage, str]]:
    """Read a file, each passage with its source.

    Raises:
        CorpusError: It cannot be read.
    """
    path, left_out, number = file.path, LeftOut(), 0
    with TemporaryDirectory(prefix="dpr-rag-") as folder:
        plain, charset = in_utf8(path, Path(folder)) if path.suffix.lower() in _PLAIN else (path, "")
        reading = Reading(
            on_bad=lambda error: heard.problem(error, plain),
            on_bad_text="replace",
            left_out=left_out,
            numbered=True,
        )
        try:
            for item in open_reading(plain, reading).found:
                number += 1
                yield _named(item.passage, file), _source(item.source, plain, file)
        except CorpusError as error:
            raise CorpusError(
                each_face(lambda text: text.replace(f"{plain.parent}/", ""), message_of(error))
            ) from error
    if charset and number:
        heard.notes.append(f"{path.name} was read as {charset}")
    heard.left_out.update(left_out)


def _named(passage: Passage, file: Brought) -> Passage:
    """The passage under a name of its own, which no other file can have."""
    if not file.name:
        return passage
    own = passage.id.removeprefix(f"{file.path.name}#")
    is_number = own.isdecimal() and own != passage.id
    return replace(passage, id=f"{file.name}#{own}" if is_number else f"{file.name}:{passage.id}")


def _source(source: Path | str, read_from: Path, file: Brought) -> str:
    """What a passage has as source: that of the file, or of the file inside a corpus of several."""
    if source == read_from or file.path.is_file():
        return file.source
    return source if isinstance(source, str) else source_path(source)
