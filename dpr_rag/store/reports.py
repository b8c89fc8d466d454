"""Reports: the results of ``add``, ``check``, ``recover`` and ``info``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self


@dataclass(frozen=True, slots=True)
class AddReport:
    """Counts of the passages given to ``add``.

    Attributes:
        added: New ids.
        replaced: Ids that existed with another title, text, metadata or vector.
        unchanged: Ids that existed just so, or came again in the same call; they were not encoded again.
        owners: With ``replace="own"``: how many were left out, by the source that has their ids.
    """

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    owners: Mapping[str, int] = field(default_factory=dict, hash=False)

    @property
    def left_out(self) -> int:
        """Passages that were left out, since another source has their ids."""
        return sum(self.owners.values())

    @property
    def total(self) -> int:
        """All passages that were seen."""
        return self.added + self.replaced + self.unchanged + self.left_out

    def __add__(self, other: AddReport) -> AddReport:
        owners = {
            name: self.owners.get(name, 0) + other.owners.get(name, 0) for name in {**self.owners, **other.owners}
        }
        sums = (self.added + other.added, self.replaced + other.replaced, self.unchanged + other.unchanged)
        return AddReport(*sums, owners)


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The result of ``check``.

    Attributes:
        passages: How many were read and verified, texts and vectors.
        generation: Number of the commit they belong to.
        indexed: How many of them the base segment holds.
    """

    passages: int
    generation: int
    indexed: int


@dataclass(frozen=True, slots=True)
class RecoverReport:
    """The result of ``recover``: what was recovered, and what was lost.

    Attributes:
        passages: How many are in the new store.
        encoded: How many of them were encoded anew, since their vectors were damaged.
        lost: Ids of the passages whose texts are damaged.
        without_vectors: Ids of the passages whose texts are whole, and which were left out for their damaged vectors.
        nameless: How many more passages are lost whose ids are, too; None where the store's own record is.
        entries: How many records of adapters are in the new store.
        lost_entries: How many are lost; None where the store's own record is.
        may_be_deleted: Ids of passages in the new store that may be deleted ones or older versions: found on pages of which the
            damage does not let tell whether they are in use.
    """

    passages: int
    encoded: int = 0
    lost: tuple[str, ...] = ()
    without_vectors: tuple[str, ...] = ()
    nameless: int | None = 0
    entries: int = 0
    lost_entries: int | None = 0
    may_be_deleted: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether everything was recovered, and nothing that may have been deleted."""
        missing = self.lost or self.without_vectors or self.nameless != 0 or self.lost_entries != 0
        return not (missing or self.may_be_deleted)


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """Settings, counts and sizes of a store, as ``info`` returns them.

    Attributes:
        path: Its folder.
        format: Format version of the file.
        passages: How many there are.
        dim: Components per vector, or None while the store is empty.
        dtype: How vectors are stored.
        fingerprint: Of the encoder; empty where vectors came without one.
        source: Where the encoder's weights came from, for people to read.
        profile: How the encoder turns texts into vectors, as it says itself (``DualEncoder.description``); None where that is
            not recorded, as in stores of earlier versions, of vectors that were given, or of encoders that do not say.
        filled: What ran the encoder, in which precision, and since when (UTC, ISO 8601), the earliest first; None where that is
            not recorded.
        generation: Number of the last commit.
        index: Index asked for.
        kind: Index in use by the base segment; ``flat`` where there is none.
        parameters: Parameters of that index.
        reason: Why that index is in use.
        base: Vectors in the base segment, deleted ones included.
        tail: Vectors added since, searched exactly.
        deleted: Vectors of the base segment whose passages were deleted or replaced.
        ranking: The default ranking, in words.
        language: Language of BM25's stemmer.
        words: Passages in the postings on disk; 0 where BM25 was not used, or the store is too small to keep them.
        bytes_on_disk: Size of the folder in bytes.
        compaction: ``running`` while this process merges the tail into the base or writes postings in the background; the
            error that this failed with the last time, if it did; else empty.
    """

    path: str
    format: int
    passages: int
    dim: int | None
    dtype: str
    fingerprint: str
    source: str
    profile: dict[str, Any] | None
    filled: dict[str, str] | None
    generation: int
    index: str
    kind: str
    parameters: dict[str, int]
    reason: str
    base: int
    tail: int
    deleted: int
    ranking: str
    language: str
    words: int
    bytes_on_disk: int
    compaction: str = ""


@dataclass(frozen=True, slots=True)
class MadeBy:
    """What made the vectors of a store, as ``made_by`` returns it, of a view as well.

    Attributes:
        fingerprint: As of ``info``, like all others.
        dim: Components per vector.
        source: Where the encoder's weights came from.
        profile: How the encoder turns texts into vectors.
        filled: What ran the encoder.
    """

    fingerprint: str
    dim: int | None
    source: str
    profile: dict[str, Any] | None
    filled: dict[str, str] | None

    @classmethod
    def of(cls, facts: Facts) -> Self:
        """The part of ``info`` that says it."""
        return cls(facts.fingerprint, facts.dim, facts.source, facts.profile, facts.filled)


class Facts(Protocol):
    """The part of ``info`` that every store that can be copied has; see ``StoreInfo`` and ``EngineInfo`` for the rest."""

    @property
    def passages(self) -> int:
        """How many there are."""
        ...

    @property
    def dim(self) -> int | None:
        """Components per vector, or None while nothing has fixed it."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of the encoder; empty where vectors came without one."""
        ...

    @property
    def source(self) -> str:
        """Where the encoder's weights came from, for people to read."""
        ...

    @property
    def profile(self) -> dict[str, Any] | None:
        """How the encoder turns texts into vectors, or None where that is not recorded."""
        ...

    @property
    def filled(self) -> dict[str, str] | None:
        """What ran the encoder, or None where that is not recorded."""
        ...

    @property
    def language(self) -> str:
        """Whose words BM25 stems, or ``none``."""
        ...

    @property
    def dtype(self) -> str:
        """How vectors are stored."""
        ...
