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


def placed_error(found: Iterable[Found], passage_id: str, error: Exception) -> Exception:
    """The error about an id that comes twice, with the places of both; the corpus is read again for them.

    Args:
        found: The corpus.
        passage_id: The id as the corpus has it.
        error: What the store said, which is returned where there are no places.
    """
    same = [(one.place, _contents(one.passage)) for one in found if one.passage.id == passage_id and one.place]
    others = [place for place, contents in same if contents != same[0][1]]
    return CorpusError(f"{others[0]}: " + message_of(error) + f"; the first is at {same[0][0]}") if others else error


def without_repeats(found: Iterable[Found], tell: Callable[[CorpusError], None]) -> Iterator[Found]:
    """Leave out passages whose id came before with other contents; 16 bytes are held of each."""
    from dpr_rag.store.repeats import SeenIds

    ids, contents, rest = SeenIds(), SeenIds(), iter(found)
    while chunk := list(islice(rest, _CHUNK)):
        keys = [_contents(one.passage) for one in chunk]
        again = set(ids.again([one.passage.id for one in chunk]))
        known = set(contents.again(keys))
        first: dict[str, str] = {}
        for one, key in zip(chunk, keys, strict=True):
            name = one.passage.id
            if first.setdefault(name, key) == key and (name not in again or key in known):
                yield one
            else:
                where = f"{one.place}: " if one.place else ""
                tell(
                    CorpusError(f"{where}the id {name!r:.120} came before with other contents; give it one of its own")
                )


def _contents(passage: Passage) -> str:
    return repr((passage.id, passage.title, passage.text, sorted(passage.visible_metadata.items())))
