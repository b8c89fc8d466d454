"""The recorded origin of a collection's passages: the software that made the vectors, and settings of a copied folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from dpr_rag.fusion import Tuned
from dpr_rag.milvus.collection import Collection
from dpr_rag.store.recording import EARLIER, in_order, joined


@dataclass(frozen=True, slots=True)
class Origin:
    """What a folder is made as that takes the passages of a store.

    Attributes:
        language: Whose words BM25 stems there; None where the passages came from no folder.
        dtype: How vectors are kept there, or None.
        tuned: What the folder was tuned to, or None.
        filled: What made the vectors, and since when, the earliest first; None where that is not recorded.
    """

    language: str | None = None
    dtype: str | None = None
    tuned: Tuned | None = None
    filled: Mapping[str, str] | None = None

    def as_json(self) -> str:
        """The inverse of :meth:`of_json`."""
        tuned = None if self.tuned is None else self.tuned.as_dict()
        filled = None if self.filled is None else dict(self.filled)
        return json.dumps({"language": self.language, "dtype": self.dtype, "tuned": tuned, "filled": filled})

    @staticmethod
    def of_json(said: str) -> Origin:
        """Read what a collection says; empty where an earlier version made it."""
        found = json.loads(said) if said else {}
        tuned = found.get("tuned")
        made = Origin(found.get("language"), found.get("dtype"), None if tuned is None else Tuned.from_dict(tuned))
        filled = found.get("filled")
        return made if filled is None else replace(made, filled=in_order(filled))


def origin_of(collection: Collection) -> Origin:
    """What a collection says of its origin."""
    return Origin.of_json(collection.described.origin)


def note_filled(collection: Collection, runs: Mapping[str, str]) -> None:
    """Record what else made vectors of a collection; nothing is asked where that is known."""
    if _filled(origin_of(collection), runs) != origin_of(collection).filled:
        collection.refresh()  # what another client has recorded meanwhile stays
        known = origin_of(collection)
        _write(collection, replace(known, filled=_filled(known, runs)))


def keep(collection: Collection, origin: Origin) -> None:
    """Record what a collection is to say of its origin; what it says of what filled it stays."""
    if replace(origin_of(collection), filled=None) != replace(origin, filled=None):
        collection.refresh()
        _write(collection, replace(origin, filled=origin_of(collection).filled))


def _filled(known: Origin, runs: Mapping[str, str]) -> dict[str, str]:
    return in_order(joined({EARLIER: ""} if known.filled is None else known.filled, runs))


def _write(collection: Collection, origin: Origin) -> None:
    said = origin.as_json()
    if said != collection.described.origin:
        collection.note(origin=said)
