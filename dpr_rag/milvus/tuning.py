"""What a collection was tuned to: kept in its properties, for every client that opens it from then on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from dpr_rag.encoder import Vectors
from dpr_rag.errors import EncoderMismatchError
from dpr_rag.fusion import Legs, Ranked, Tuned
from dpr_rag.milvus.collection import Collection
from dpr_rag.milvus.searching import Asked, legs_of
from dpr_rag.passages import Passage
from dpr_rag.store.ranking import Candidates

LANGUAGE = "none"
"""The engine's BM25 stems nothing."""


def tuned_of(collection: Collection) -> Tuned | None:
    """What it was tuned to with the encoder that filled it, or None."""
    said = collection.described.tuned
    found = Tuned.from_dict(json.loads(said)) if said else None
    return found if found is None or found.fingerprint == collection.described.fingerprint else None


def keep(collection: Collection, choice: Tuned | None) -> None:
    """Note a choice in the collection, or remove the one that is there.

    Raises:
        EncoderMismatchError: It was made with another encoder.
    """
    known = collection.described.fingerprint
    if choice is not None and choice.fingerprint not in ("", known):
        raise EncoderMismatchError(
            f"the choice was made with the encoder {choice.fingerprint!r}, and {collection.address.shown} has {known!r}; tune it "
            "again"
        )
    noted = "" if choice is None else json.dumps(replace(choice, fingerprint=known, language=LANGUAGE).as_dict())
    collection.note(tuned=noted)


def told(collection: Collection) -> str:
    """How it ranks, for people to read."""
    found = tuned_of(collection)
    return "dense" if found is None else f"{found.ranking}, tuned on {found.questions:,} questions"


def candidates(collection: Collection, asked: Asked, vectors: Vectors, words: Sequence[str]) -> Candidates:
    """What a hybrid ranking chooses from, see ``PassageStore.candidates``; rows are numbered for this call."""
    passages: dict[int, Passage] = {}
    legs: list[Legs] = []
    for known, found in legs_of(collection, asked, vectors, words):
        first = len(passages)
        passages.update(enumerate((one.passage for one in known), first))
        lists = [_moved(one, first) for one in (found.dense, found.bm25, found.both)]
        legs.append(replace(found, dense=lists[0], bm25=lists[1], both=lists[2]))
    return Candidates(tuple(legs), tuple(one.bm25 for one in legs), passages)


def _moved(ranked: Ranked, by: int) -> Ranked:
    return replace(ranked, rows=ranked.rows + by)
