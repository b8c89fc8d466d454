"""Repeated ids in a corpus: where they occur, and how `--skip-bad` skips them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from dpr_rag.errors import CorpusError
from dpr_rag.faces import message_of

if TYPE_CHECKING:
    from dpr_rag import Passage
    from dpr_rag.corpora import Found

_CHUNK = 1000


def placed_error(entries: Iterable[Found], passage_id: str, error: Exception) -> Exception:
    """The error about a repeated id, with both places, which are found by reading the corpus again.

    Args:
        entries: The corpus.
        passage_id: The id as the corpus has it.
        error: The store's error, which is returned if the places are unknown.
    """
    occurrences = [
        (entry.place, _contents(entry.passage)) for entry in entries if entry.passage.id == passage_id and entry.place
    ]
    differing = [place for place, contents in occurrences if contents != occurrences[0][1]]
    return (
        CorpusError(f"{differing[0]}: " + message_of(error) + f"; the first is at {occurrences[0][0]}")
        if differing
        else error
    )


def without_repeats(entries: Iterable[Found], report_error: Callable[[CorpusError], None]) -> Iterator[Found]:
    """Leave out passages whose id occurred before with other contents; keeps 16 bytes of memory for each passage."""
    from dpr_rag.store.repeats import SeenIds

    ids, contents, rest = SeenIds(), SeenIds(), iter(entries)
    while chunk := list(islice(rest, _CHUNK)):
        keys = [_contents(entry.passage) for entry in chunk]
        repeated_ids = set(ids.again([entry.passage.id for entry in chunk]))
        same_contents = set(contents.again(keys))
        contents_of: dict[str, str] = {}
        for entry, key in zip(chunk, keys, strict=True):
            name = entry.passage.id
            if contents_of.setdefault(name, key) == key and (name not in repeated_ids or key in same_contents):
                yield entry
            else:
                where = f"{entry.place}: " if entry.place else ""
                report_error(
                    CorpusError(f"{where}the id {name!r:.120} came before with other contents; give it one of its own")
                )


def _contents(passage: Passage) -> str:
    return repr((passage.id, passage.title, passage.text, sorted(passage.visible_metadata.items())))
