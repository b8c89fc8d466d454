"""Uploaded files: split and added to the store in the background, listed, and removed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from threading import Lock

from dpr_rag.errors import DprRagError
from dpr_rag.pages.changes import moment_of
from dpr_rag.pages.upload_log import Forgetful, UploadLog, checksum_of
from dpr_rag.pages.uploads import Brought, Heard, files_of, read
from dpr_rag.store import UPLOAD, AddReport, named_source, shown_source, with_source
from dpr_rag.stores import WholeStore

_AT_ONCE = 32
_TWINS = 3


@dataclass(frozen=True, slots=True)
class Progress:
    """How far adding files is.

    Attributes:
        name: The file or folder.
        passages: How many of its passages are in the store.
        problems: What could not be read.
        done: Whether all of it is in.
        notes: What else is good to know, such as what was left out or replaced.
    """

    name: str
    passages: int = 0
    problems: tuple[str, ...] = ()
    done: bool = False
    notes: tuple[str, ...] = ()


class Files:
    """The files of a store.

    Args:
        store: An open store with an encoder.
        log: Remembers which files are being added; None forgets it with the process.
    """

    def __init__(self, store: WholeStore, log: UploadLog | None = None) -> None:
        self._store, self._log = store, log or Forgetful()
        self._counted: tuple[object, Counter[str]] | None = None
        self._lock = Lock()
        self._adding: Counter[str] = Counter()

    def listed(self) -> list[tuple[str, int]]:
        """The sources and how many passages each brought, by name; passages without a source are left out."""
        with self._lock:
            moment = moment_of(self._store)  # before they are counted: what changes meanwhile is counted the next time
            if self._counted is None or self._counted[0] != moment:
                self._counted = moment, Counter(map(named_source, self._store))
            return sorted((source, count) for source, count in self._counted[1].items() if source)

    def unfinished(self) -> list[str]:
        """The sources that were not read to their ends, as the process ended before."""
        return [file for file in self._log.unfinished() if not self._adding[file]]

    def add_upload(self, path: Path, name: str = "") -> Iterator[Progress]:
        """Add one file that came from a browser; an earlier one of that name is replaced, if anything is read.

        A file whose contents are in the store under another name is left out, which is told.

        Args:
            path: The file.
            name: What it is called; an empty string leaves its own name.

        Yields:
            How far it is, after every few passages.
        """
        source = f"{UPLOAD}{name or path.name}"
        heard = Heard()
        return self._add(name or path.name, path, [Brought(path, source, source)], heard)

    def add_path(self, path: Path) -> Iterator[Progress]:
        """Add a file or a folder of this machine; its files keep their places as sources.

        Yields:
            How far it is, after every few passages.
        """
        heard = Heard()
        return self._add(path.name, path, files_of(path, heard), heard)

    def _add(self, name: str, path: Path, brought: Iterable[Brought], heard: Heard) -> Iterator[Progress]:
        now, known = Progress(name), dict(self.listed())
        there, twins = set(known), list[tuple[str, str]]()
        replaced = same = 0
        try:
            for file in brought:
                before = now.passages
                checksum = checksum_of(file.path)
                if file.source not in there and (twin := self._twin(checksum, there)):
                    twins.append((file.path.name, twin))
                    continue
                count, changed = yield from self._add_file(file, now, heard, known, checksum)
                there |= {file.source} if count else set()
                now = replace(now, passages=before + count)
                replaced += bool(count and changed and known.get(file.source))
                same += bool(count and not changed)
        except (DprRagError, MemoryError) as error:  # of the folder itself
            heard.problem(error, path)
        heard.notes += [*_told_before(name, replaced, same, of_folder=path.is_dir()), *_told_twins(name, twins)]
        if not now.passages and not heard.problems and not path.is_dir() and not twins:
            heard.left_out.clear()  # which says the same in other words
            heard.problems.append(f"{name}: no text was found in it")
        yield replace(now, problems=heard.told_problems(), notes=heard.told(), done=True)

    def _add_file(
        self, file: Brought, now: Progress, heard: Heard, known: Mapping[str, int], checksum: str
    ) -> Generator[Progress, None, tuple[int, bool]]:
        """Add one file; how many passages it brought, and whether the store is another one now."""
        done, gone, seen, problems = AddReport(), 0, dict[str, set[str]](), len(heard.problems)
        with self._marked(file.source) as whole:
            try:
                passages = (with_source(passage, source) for passage, source in read(file, heard))
                while batch := list(islice(passages, _AT_ONCE)):
                    done += self._store.add(batch, replace="own")
                    for passage in batch:
                        seen.setdefault(named_source(passage), set()).add(passage.id)
                    yield replace(now, passages=now.passages + done.total - done.left_out)
                gone = self._drop_what_is_gone(seen) if any(owner in known for owner in seen) else 0
            except (DprRagError, MemoryError) as error:
                heard.problem(error, file.path)
            finally:
                self._changed()
            whole += [checksum] if len(heard.problems) == problems and not done.left_out else []
        if done.left_out:
            told = ", ".join(shown_source(owner) or owner for owner in done.owners)
            heard.notes.append(
                f"{done.left_out:,} passages of {file.path.name} were left out, as {told} of another place has "
                "their names; give the file or its folder another name"
            )
        return done.total - done.left_out, bool(done.added or done.replaced or gone)

    def _twin(self, checksum: str, there: Container[str]) -> str:
        """A file of the store with the same contents, or an empty string."""
        known = self._log.with_checksum(checksum) if checksum else []
        return next((source for source in known if source in there), "")

    @contextmanager
    def _marked(self, source: str) -> Iterator[list[str]]:
        """Remember that a file is being added; what ends the process, or closes the page, leaves the mark.

        The list takes the checksum of what was read whole.
        """
        self._adding[source] += 1
        whole = list[str]()
        try:
            self._log.begun(source)
            yield whole
            self._log.ended(source, *whole)
        finally:
            self._adding[source] -= 1

    def _drop_what_is_gone(self, seen: dict[str, set[str]]) -> int:
        """Delete what an earlier form of the same files had more than this one, and return how much."""
        self._changed()
        known = dict(self.listed())
        fuller = {source for source, ids in seen.items() if known.get(source, 0) > len(ids)}
        if not fuller:
            return 0
        return self._store.delete(
            filter=lambda passage: (source := named_source(passage)) in fuller and passage.id not in seen[source]
        )

    def remove(self, source: str) -> int:
        """Delete all passages of a source, and return how many there were."""
        count = self._store.delete(filter=lambda passage: named_source(passage) == source)
        self._changed()
        self._log.ended(source)
        return count

    def _changed(self) -> None:
        with self._lock:
            self._counted = None


def _told_before(name: str, replaced: int, same: int, *, of_folder: bool) -> list[str]:
    """What became of files that were in the store before."""
    if of_folder:
        return [
            f"{count:,} of its files were in the store before, {what}"
            for count, what in ((replaced, "and were replaced"), (same, "unchanged"))
            if count
        ]
    if replaced:
        return [f"it replaced the earlier {name}; to keep both, give one another name"]
    return ["it was in the store before, unchanged"] if same else []


def _told_twins(name: str, twins: Sequence[tuple[str, str]]) -> list[str]:
    """Which files were left out, as others of the store hold the same."""
    told = [
        f"{'it' if file == name else file} has the contents of {shown_source(twin)}, which is in the store, and was left out"
        for file, twin in twins[:_TWINS]
    ]
    more = len(twins) - _TWINS
    return [*told, f"and so have {more:,} more of others"] if more > 0 else told


def own_names(paths: Iterable[Path]) -> list[tuple[Path, str]]:
    """Files that come together, with names of their own: of several ``a.txt``, the second is ``a (2).txt``."""
    named: dict[str, Path] = {}
    for path in dict.fromkeys(paths):
        name, number = path.name, 1
        while name in named:
            number += 1
            name = f"{path.stem} ({number}){path.suffix}"
        named[name] = path
    return [(path, name) for name, path in named.items()]


def shown_apart(sources: Iterable[str]) -> dict[str, str]:
    """What to call each of several sources: the file's name, with as much of its folders as tells it from the others."""
    left = {source: source.removeprefix(UPLOAD).split("/") for source in sources}
    named: dict[str, str] = {}
    length = 1
    while left:
        tails = {source: "/".join(parts[-length:]) for source, parts in left.items()}
        often = Counter((*tails.values(), *named.values()))
        for source, tail in tails.items():
            if often[tail] == 1 or length >= len(left[source]):
                named[source] = tail
                del left[source]
        length += 1
    return named
