"""Ids and passages as callers hand them to any store: listed, compared, and refused with the same words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from dpr_rag.arguments import iterated, kind, remedy
from dpr_rag.errors import PassageError, RepeatedIdError, StoreError
from dpr_rag.faces import ByFace
from dpr_rag.passages import Passage

_AS_A_PASSAGE = "give a dpr_rag.Passage(id=…, text=…)"


def ids_of(ids: Iterable[str]) -> list[str]:
    """Ids as a list; a lone string is a mistake, not a list of characters.

    Raises:
        StoreError: They are no list of strings.
    """
    advice = f"wrap it as [{ids!r:.80}]" if isinstance(ids, str) else "give [] for none"
    advice = "give [passage.id]" if isinstance(ids, Passage) else advice
    given = list(ids) if isinstance(ids, Mapping) else ids
    listed = list(iterated("ids", given, "a list of ids", error=StoreError, advice=advice))
    for passage_id in listed:
        if not isinstance(passage_id, str):
            several = "give one string for each"
            advice = "give its .id" if isinstance(passage_id, Passage) else remedy(passage_id, several=several)
            raise StoreError(f"an id is {kind(passage_id)}, expected a string; " + advice)
    return listed


def refuse_single(passages: object) -> None:
    """Refuse one passage where several are expected.

    Raises:
        PassageError: It is one.
    """
    if isinstance(passages, Passage):
        raise PassageError("passages is one Passage, expected several; wrap it in a list")


def passages_of(passages: Iterable[Passage]) -> Iterator[Passage]:
    """Yield passages one by one as they are read.

    Raises:
        PassageError: They are no passages.
    """
    advice = f"{_AS_A_PASSAGE}, in a list"
    for item in iterated("passages", passages, "a list of passages", error=PassageError, advice=advice):
        if not isinstance(item, Passage):
            raise PassageError(f"{kind(item)} is no passage; {_AS_A_PASSAGE}")
        yield item


def contents(passage: Passage, *, without: str | None = None) -> str:
    """What a passage says as one text, equal for two that say the same; unlike in Python, 1, 1.0 and True differ.

    Args:
        passage: The passage.
        without: A key of its metadata that does not count.
    """
    metadata = {key: value for key, value in passage.metadata.items() if key != without}
    return json.dumps([passage.title, passage.text, metadata], sort_keys=True)


def repeated(passage_id: str, done: str, what: str = "contents") -> RepeatedIdError:
    """The error of an id that comes twice in one call, with different contents or vectors."""
    return RepeatedIdError(
        f"the id {passage_id!r:.120} comes twice in one "
        + ByFace("call", cli="run", page="call")
        + f", with different {what}, of which one would be lost; give each passage an id of its own, or "
        + ByFace("add them in two calls", cli="index them in two runs", page="add them in two calls")
        + f", where the second replaces the first ({done})",
        passage_id,
    )
