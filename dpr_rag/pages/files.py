"""Files that people bring: read, split and added to the store while the talk goes on; listed and removed by file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from threading import Lock

from dpr_rag.corpora import open_by_place
from dpr_rag.errors import CorpusError, DprRagError
from dpr_rag.pages.turns import named_source
from dpr_rag.passages import Passage
from dpr_rag.store import PassageStore, source_path, with_source

UPLOAD = "upload:"
_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Progress:
    """How far adding files is.

    Attributes:
        name: The file or folder.
        passages: How many of its passages are in the store.
        problems: What could not be read.
        done: Whether all of it is in.
    """

    name: str
    passages: int = 0
    problems: tuple[str, ...] = ()
    done: bool = False


class Files:
    """The files of a store.

    Args:
        store: An open store with an encoder.
    """

    def __init__(self, store: PassageStore) -> None:
        self._store = store
        self._counts: Counter[str] = Counter()
        self._lock = Lock()

    def listed(self) -> list[tuple[str, int]]:
        """The sources and how many passages each brought, by name; passages without a source are left out."""
        with self._lock:
            if self._counts.total() != self._store.count():
                self._counts = Counter(map(named_source, self._store))
            return sorted((source, count) for source, count in self._counts.items() if source and count)

    def add_upload(self, path: Path) -> Iterator[Progress]:
        """Add one file that came from a browser; an earlier one of that name is replaced, if anything is read.

        Yields:
            How far it is, after every few passages.
        """
        source = f"{UPLOAD}{path.name}"
        return self._add(path, source)

    def add_path(self, path: Path) -> Iterator[Progress]:
        """Add a file or a folder of this machine; its files keep their places as sources.

        Yields:
            How far it is, after every few passages.
        """
        return self._add(path, None)

    def _add(self, path: Path, source: str | None) -> Iterator[Progress]:
        problems: list[str] = []
        now = Progress(path.name)
        seen: dict[str, set[str]] = {}
        try:
            passages = self._read(path, source, problems)
            while batch := list(islice(passages, _AT_ONCE)):
                self._store.add(batch)
                for passage in batch:
                    seen.setdefault(named_source(passage), set()).add(passage.id)
                now = replace(now, passages=now.passages + len(batch))
                yield now
            self._drop_what_is_gone(seen)
        except (DprRagError, MemoryError) as error:
            problems.append(str(error) or "it is too large")
        finally:
            self._changed()
        if not now.passages and not problems:
            problems.append(f"{path.name}: no text was found in it")
        # an upload lies where nobody need know
        yield replace(now, problems=tuple(one.replace(str(path), path.name) for one in problems), done=True)

    def _read(self, path: Path, source: str | None, problems: list[str]) -> Iterator[Passage]:
        def note(error: CorpusError) -> None:
            problems.append(str(error))

        for passage, file, _ in open_by_place(str(path), on_bad=note, on_bad_text="replace"):
            if source is None:
                yield with_source(passage, file if isinstance(file, str) else source_path(file))
            else:  # names of its own, which no other file can have
                own = passage.id.removeprefix(f"{path.name}#")
                name = f"{source}#{own}" if own.isdecimal() and own != passage.id else f"{source}:{passage.id}"
                yield with_source(replace(passage, id=name), source)

    def _drop_what_is_gone(self, seen: dict[str, set[str]]) -> None:
        """Delete what an earlier form of the same files had more than this one."""
        self._changed()
        known = dict(self.listed())
        fuller = {source for source, ids in seen.items() if known.get(source, 0) > len(ids)}
        if fuller:
            self._store.delete(
                filter=lambda one: (source := named_source(one)) in fuller and one.id not in seen[source]
            )

    def remove(self, source: str) -> int:
        """Delete all passages of a source, and return how many there were."""
        count = self._store.delete(filter=lambda passage: named_source(passage) == source)
        self._changed()
        return count

    def _changed(self) -> None:
        with self._lock:
            self._counts = Counter()


def shown(source: str) -> str:
    """A source as people call it: the file's name."""
    return source.removeprefix(UPLOAD)
