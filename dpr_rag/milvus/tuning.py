"""The tuned ranking of a collection, kept in its properties for all clients."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from dpr_rag.encoder import Vectors
from dpr_rag.errors import EncoderMismatchError
from dpr_rag.fusion import Legs, Ranked, Tuned
from dpr_rag.milvus.collection import Collection
from dpr_rag.milvus.searching import SearchPlan, legs_of
from dpr_rag.passages import Passage
from dpr_rag.store.ranking import Candidates

LANGUAGE = "none"
"""The engine's BM25 stems nothing."""


def tuned_of(collection: Collection) -> Tuned | None:
    """The tuned ranking of the collection, or None; one that was tuned with another encoder is ignored."""
    saved = collection.description.tuned
    choice = Tuned.from_dict(json.loads(saved)) if saved else None
    return choice if choice is None or choice.fingerprint == collection.description.fingerprint else None


def save(collection: Collection, choice: Tuned | None) -> None:
    """Save a tuned ranking in the collection; None removes it.

    Raises:
        EncoderMismatchError: It was made with another encoder.
    """
    fingerprint = collection.description.fingerprint
    if choice is not None and choice.fingerprint not in ("", fingerprint):
        raise EncoderMismatchError(
            f"the choice was made with the encoder {choice.fingerprint!r}, and {collection.address.shown} has "
            f"{fingerprint!r}; tune it again"
        )
    record = "" if choice is None else json.dumps(replace(choice, fingerprint=fingerprint, language=LANGUAGE).as_dict())
    collection.note(tuned=record)


def ranking_label(collection: Collection) -> str:
    """The ranking of the collection, for people to read."""
    choice = tuned_of(collection)
    return "dense" if choice is None else f"{choice.ranking}, tuned on {choice.questions:,} questions"


def candidates(collection: Collection, plan: SearchPlan, vectors: Vectors, words: Sequence[str]) -> Candidates:
    """The candidates of a hybrid ranking, see ``PassageStore.candidates``; row numbers are valid for this result only."""
    passages: dict[int, Passage] = {}
    shifted: list[Legs] = []
    for stored, legs in legs_of(collection, plan, vectors, words):
        first = len(passages)
        passages.update(enumerate((passage.passage for passage in stored), first))
        dense, bm25, both = (_shifted(ranked, first) for ranked in (legs.dense, legs.bm25, legs.both))
        shifted.append(replace(legs, dense=dense, bm25=bm25, both=both))
    return Candidates(tuple(shifted), tuple(legs.bm25 for legs in shifted), passages)


def _shifted(ranked: Ranked, by: int) -> Ranked:
    return replace(ranked, rows=ranked.rows + by)
