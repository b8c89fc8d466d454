"""Finds stored nodes that equal new ones with new random ids, as a second run of a script adds them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from llama_index.core.schema import BaseNode
from llama_index.vector_stores.dpr_rag.nodes import to_node

from dpr_rag import PRIVATE_KEY, Passage
from dpr_rag.fillable import FilledStore


def earlier_of(store: FilledStore, passages: Sequence[Passage]) -> dict[str, list[str]]:
    """Ids of what is stored under another random id and is the same as a new passage, by the id of the new one.

    The same is what has the same mark (``mark_of``) and stands at the same place of its document, or at any place of an
    older version of it. Where a passage of the call with that mark is stored already, it is what was there, and the others
    are others.

    Args:
        store: Where.
        passages: The passages to add.
    """
    marks = {passage.id: mark for passage in passages if (mark := _mark_in(passage))}
    by_mark: dict[str, list[Passage]] = {}
    for stored in store.private.marked(set(marks.values())):
        by_mark.setdefault(_mark_in(stored) or "", []).append(stored)
    earlier = {}
    for passage in passages:
        same_mark = by_mark.get(marks.get(passage.id, ""), [])
        if same_mark and all(candidate.id not in marks for candidate in same_mark):
            earlier[passage.id] = [candidate.id for candidate in same_mark if _same(candidate, passage)]
    return {new: old for new, old in earlier.items() if old}


def _mark_in(passage: Passage) -> str | None:
    match passage.metadata.get(PRIVATE_KEY):
        case [_, _, _, str(mark), *_]:
            return mark
        case _:
            return None


def _same(stored: Passage, new_passage: Passage) -> bool:
    """Whether a stored passage is as its node was, since others may write under its id, and has the new one's position."""
    visible = [json.dumps(passage.visible_metadata, sort_keys=True) for passage in (stored, new_passage)]
    if (stored.title, stored.text, visible[0]) != (new_passage.title, new_passage.text, visible[1]):
        return False
    old, new = to_node(stored), to_node(new_passage)
    return _start(old) == _start(new) or _version(old) != _version(new)


def _start(node: BaseNode) -> object:
    return getattr(node, "start_char_idx", None)


def _version(node: BaseNode) -> str | None:
    return None if node.source_node is None else node.source_node.hash
