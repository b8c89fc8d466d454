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
    """The settings of the folder that the passages came from, for a folder that they are copied to.

    Attributes:
        language: Language of the folder's stemmer; None if the passages came from no folder.
        dtype: Number type of the folder's vectors, or None.
        tuned: The folder's tuned ranking, or None.
        filled: Software that made the vectors, and since when, the earliest first; None if it was not recorded.
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
    def of_json(text: str) -> Origin:
        """Read the JSON in a collection's properties; the empty text of an earlier version gives an empty origin."""
        record = json.loads(text) if text else {}
        tuned = record.get("tuned")
        origin = Origin(record.get("language"), record.get("dtype"), None if tuned is None else Tuned.from_dict(tuned))
        filled = record.get("filled")
        return origin if filled is None else replace(origin, filled=in_order(filled))


def origin_of(collection: Collection) -> Origin:
    """The origin as recorded in a collection."""
    return Origin.of_json(collection.description.origin)


def note_filled(collection: Collection, runs: Mapping[str, str]) -> None:
    """Record software that made vectors of a collection; no request is sent if it is recorded already."""
    if _filled(origin_of(collection), runs) != origin_of(collection).filled:
        collection.refresh()  # keep records of other clients
        recorded = origin_of(collection)
        _write(collection, replace(recorded, filled=_filled(recorded, runs)))


def save(collection: Collection, origin: Origin) -> None:
    """Record the origin of a collection; its record of the software that made the vectors stays."""
    if replace(origin_of(collection), filled=None) != replace(origin, filled=None):
        collection.refresh()
        _write(collection, replace(origin, filled=origin_of(collection).filled))


def _filled(known: Origin, runs: Mapping[str, str]) -> dict[str, str]:
    return in_order(joined({EARLIER: ""} if known.filled is None else known.filled, runs))


def _write(collection: Collection, origin: Origin) -> None:
    record = origin.as_json()
    if record != collection.description.origin:
        collection.note(origin=record)
