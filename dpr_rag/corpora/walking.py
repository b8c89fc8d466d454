"""Walks through a folder: which files are read, and which are skipped and why."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dpr_rag.corpora.lines import LeftOut, OnBad, broken_link, tell
from dpr_rag.corpora.scans import PAGES_OF
from dpr_rag.errors import CorpusError, UnreadableError
from dpr_rag.faces import ByFace

UNREADABLE_PAGE = "unreadable page"
UNREADABLE = (
    "unreadable folder",
    "unreadable file",
    UNREADABLE_PAGE,
    "broken link",
    "encrypted file",
    "file without text",
)
"""The reasons that are a fault of what was to be read."""
LINKED_FOLDER, HIDDEN, SPECIAL, EMPTY = "linked folder", "hidden file or folder", "special file", "empty file"
GONE = "file that went away meanwhile"
_MOST_ENDINGS = _MOST_FILES = 5
_PLURAL = r"\1s"
_NOUN = re.compile(r"\b(file|folder|link|module|passage|page)\b")


def walk(root: Path, endings: Sequence[str], *, on_bad: OnBad, left_out: LeftOut) -> Iterator[Path]:
    """Find the files below a folder with given extensions, in sorted order; hidden and linked folders are not entered.

    Args:
        root: The folder.
        endings: In lower case, with the dot.
        on_bad: Takes the errors of folders that cannot be listed and of broken links; None raises the first.
        left_out: Takes the number of what is left out, by reason.

    Raises:
        UnreadableError: A folder that cannot be listed, or a broken link.
    """

    def unlisted(error: OSError) -> None:
        problem = UnreadableError(f"{error.filename}: cannot be listed ({error.strerror or error}); check its rights")
        if Path(error.filename) == root:
            raise problem from error
        left_out["unreadable folder"] += 1
        tell(on_bad, problem)

    for folder, below, names in os.walk(root, onerror=unlisted):
        if not os.access(folder, os.X_OK):  # what is in it has names, and cannot be looked at
            unlisted(PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder))
            below.clear()
            continue
        below[:] = [name for name in sorted(below) if _is_entered(Path(folder, name), left_out)]
        for name in sorted(names):
            file = Path(folder, name)
            reason = _why_not(file, endings)
            if not reason:
                yield file
                continue
            left_out[reason] += 1
            if reason in UNREADABLE:
                tell(on_bad, UnreadableError(f"{file}: {broken_link(file)}"))


def _is_entered(folder: Path, left_out: LeftOut) -> bool:
    reason = HIDDEN if folder.name.startswith(".") else LINKED_FOLDER if folder.is_symlink() else ""
    left_out.update([reason] if reason else [])
    return not reason


def _why_not(file: Path, endings: Sequence[str]) -> str:
    """The reason why a file is not read; empty if it is."""
    ending = file.suffix.lower()
    if file.name.startswith("."):
        return HIDDEN
    if ending in endings or not ending:
        if file.is_symlink() and not file.exists():
            return "broken link"
        if ending:
            return "" if file.is_file() else SPECIAL if file.exists() else GONE
    return f"{ending} file" if ending else "file without an ending"


def not_found(path: Path, advice: ByFace) -> CorpusError:
    """The error for a path at which there is nothing, with advice what to give, or a link that leads nowhere."""
    return CorpusError(f"{path}: " + (broken_link(path) if path.is_symlink() else "does not exist; " + advice))


def in_words(left_out: Mapping[str, int]) -> str:
    """Counts of skipped files by reason, unreadable ones first; rare extensions are summed up."""
    counts = {reason: left_out[reason] for reason in UNREADABLE if left_out.get(reason)}
    pages = sorted(name for name in left_out if name.startswith(PAGES_OF))
    endings = sorted((name for name in left_out if name.startswith(".")), key=lambda name: (-left_out[name], name))
    counts |= {name: left_out[name] for name in sorted(left_out) if name not in {*counts, *endings, *pages}}
    counts |= {name: left_out[name] for name in pages[:_MOST_FILES]}
    more = sum(left_out[name] for name in pages[_MOST_FILES:])
    counts |= {f"page without text of {len(pages) - _MOST_FILES:,} other files": more} if more else {}
    counts |= {name: left_out[name] for name in endings[:_MOST_ENDINGS]}
    others = sum(left_out[name] for name in endings[_MOST_ENDINGS:])
    counts |= {"file with another ending": others} if others else {}
    return ", ".join(f"{count:,} {reason if count == 1 else _plural(reason)}" for reason, count in counts.items())


def _plural(reason: str) -> str:
    return _NOUN.sub(_PLURAL, reason, count=1 if reason.startswith(PAGES_OF) else 0)  # behind it is a file's name
