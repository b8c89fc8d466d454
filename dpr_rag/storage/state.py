"""The state of a store: settings, counts, sums and manifests in one checksummed row, replaced by every commit."""

from __future__ import annotations

import json
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any

from dpr_rag.errors import RESTORE, StoreCorrupted

_MODULO = 2**64
_KNOWN_COMMITS, _DIGITS = 64, 12


@dataclass(frozen=True, slots=True)
class Model:
    """What identifies the encoder of a set of vectors.

    Attributes:
        dim: Components per vector.
        fingerprint: Of the encoder, or empty where vectors came without one.
        source: Where its weights came from, plain text for people.
        about: What is recorded for people of how the vectors were made, see ``dpr_rag.store.recording``; None in stores of
            earlier versions.
    """

    dim: int
    fingerprint: str = ""
    source: str = ""
    about: Mapping[str, Any] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class State:
    """The state of a store at one generation.

    Attributes:
        generation: Number of the commit.
        next_row: Row number that the next passage gets; numbers ascend and are never used twice.
        passages: How many there are.
        passage_sum: Sum of the passages' checksums, which proves that none is missing.
        vector_sum: The same for the vectors in use.
        removed: How many removals are noted for the segments.
        removed_sum: Sum of their marks, see ``StoreReader.removals``.
        model: The encoder, or None until the first passage.
        dtype: How vectors are stored, ``float32`` or ``float16``.
        index: The index asked for.
        table: Which vector table is in use, ``a`` or ``b``.
        pending: The encoder that the other table is being filled for, if any.
        base: Manifest of the base segment as JSON, or None.
        folds: How often the base segment was replaced, as by compaction (the name is the file format's); what was known of
            removals before no longer applies.
        language: Language of the texts, for BM25.
        lexical: Manifest of the segment of postings as JSON, or None.
        tuned: How the store ranks where a call does not say, as JSON, or None.
        edits: How often metadata was changed in place.
        store: Random name of this store, which no copy shares; empty in formats before 5.
        entries: How many records of adapters there are.
        entry_sum: Sum of their checksums.
        id_sum: Sum of the marks of all ids, which proves the index on them; see ``dpr_rag.storage.ids``.
        salt: Random number of 32 bits that the store's checksums are combined with; 0 in those made in a format before 6. Its
            copies share it.
        commits: Random names of the last 64 commits, 12 hexadecimal digits each, the newest last.
    """

    generation: int = 0
    next_row: int = 1
    passages: int = 0
    passage_sum: int = 0
    vector_sum: int = 0
    removed: int = 0
    removed_sum: int = 0
    model: Model | None = None
    dtype: str = "float32"
    index: str = "auto"
    table: str = "a"
    pending: Model | None = None
    base: Mapping[str, Any] | None = field(default=None, hash=False)
    folds: int = 0
    language: str = "english"
    lexical: Mapping[str, Any] | None = field(default=None, hash=False)
    tuned: Mapping[str, Any] | None = field(default=None, hash=False)
    edits: int = 0
    store: str = ""
    entries: int = 0
    entry_sum: int = 0
    id_sum: int = 0
    commits: str = ""
    salt: int = 0

    @property
    def vectors(self) -> str:
        """Name of the vector table in use."""
        return f"vector_{self.table}"

    @property
    def next_table(self) -> str:
        """Letter of the vector table not in use."""
        return "b" if self.table == "a" else "a"

    @property
    def next_vectors(self) -> str:
        """Name of the vector table not in use, which re-encoding fills."""
        return f"vector_{self.next_table}"

    def committed(self, generation: int) -> State:
        """The state with the number of its commit, and a random name for that commit."""
        names = self.commits + secrets.token_hex(_DIGITS // 2)
        return replace(self, generation=generation, commits=names[-_KNOWN_COMMITS * _DIGITS :])

    def follows(self, earlier: State) -> bool | None:
        """Whether this state is ``earlier`` or a successor of it; None if more commits lie between them than are recorded.

        Copies of one store go their own ways under one name: the same numbers then stand for other commits.
        """
        steps = self.generation - earlier.generation
        if steps < 0 or earlier.store not in ("", self.store):
            return False
        known = len(self.commits) - steps * _DIGITS
        if not earlier.commits or known <= 0:
            return None
        return self.commits[:known].endswith(earlier.commits[-_DIGITS:])

    def encode(self) -> tuple[str, int]:
        """The state as JSON and its checksum."""
        value = json.dumps(asdict(self), sort_keys=True)
        return value, zlib.crc32(value.encode())

    @staticmethod
    @lru_cache(maxsize=8)  # every search reads the same record
    def decode(value: object, crc: object, path: object) -> State:
        """Read a state back.

        Raises:
            StoreCorrupted: It does not match its checksum.
        """
        if not isinstance(value, str) or zlib.crc32(value.encode()) != crc:
            raise StoreCorrupted(f"{path}: the store's own record is damaged; " + RESTORE)
        try:
            fields = json.loads(value)
            for name in ("model", "pending"):
                fields[name] = Model(**fields[name]) if fields[name] else None
            return State(**fields)
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise StoreCorrupted(
                f"{path}: the store's own record has another form ({error!s:.120}); " + RESTORE
            ) from error


def new_name() -> str:
    """A random name for a store that is made, copied or restored, so that none is taken for another."""
    return secrets.token_hex(16)


def new_salt() -> int:
    """A random salt for a store that is made."""
    return secrets.randbits(32)


def added(total: int, crc: int) -> int:
    """Add a checksum to a sum, modulo 2**64."""
    return (total + crc) % _MODULO


def taken(total: int, crc: int) -> int:
    """Subtract a checksum from a sum, modulo 2**64."""
    return (total - crc) % _MODULO
