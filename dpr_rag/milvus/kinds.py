"""The index types of Milvus that dpr-rag supports, with their parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dpr_rag.errors import IndexKindError, unknown

_NAMES = {"auto": "FLAT", "flat": "FLAT", "hnsw": "HNSW", "ivf-flat": "IVF_FLAT", "ivf-sq8": "IVF_SQ8"}
_BUILT: dict[str, dict[str, int]] = {
    "FLAT": {},
    "HNSW": {"links": 32, "efConstruction": 200, "efSearch": 128},
    "IVF_FLAT": {"lists": 1024, "probes": 64},
    "IVF_SQ8": {"lists": 1024, "probes": 64},
}
_THEIRS = {"links": "M", "lists": "nlist", "probes": "nprobe", "efSearch": "ef"}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of index with its parameters.

    Attributes:
        name: As Milvus calls it.
        parameters: As they are called here.
        asked: What was asked for where another one was built, or empty.
    """

    name: str = "FLAT"
    parameters: dict[str, int] = field(default_factory=dict)
    asked: str = ""

    @staticmethod
    def parse(given: str) -> Kind:
        """Read ``flat``, ``hnsw:links=64,efSearch=256``, ``ivf-flat``, ``ivf-sq8:lists=4096`` or ``auto``.

        Raises:
            IndexKindError: It is none of them, or a parameter is unknown or no positive integer.
        """
        if not isinstance(given, str):
            raise IndexKindError(unknown("index", given, _NAMES))
        word, _, rest = given.partition(":")
        name = _NAMES.get(word.lower())
        if name is None:
            raise IndexKindError(unknown("index", word, _NAMES))
        parameters = dict(_BUILT[name])
        for part in filter(None, rest.split(",")):
            key, _, value = part.partition("=")
            if key not in parameters or not value.isdecimal() or int(value) < 1:
                raise IndexKindError(
                    f"index {given!r:.80}: {part!r:.40} is no parameter of {word} with a positive integer; there are "
                    f"{', '.join(parameters) or 'none'}"
                )
            parameters[key] = int(value)
        return Kind(name, parameters)

    @staticmethod
    def of(described: dict[str, Any]) -> Kind:
        """What the engine says of an index, with what it searches by as usual."""
        name = str(described.get("index_type", "FLAT"))
        mine = dict(_BUILT.get(name, {}))
        for key in mine:
            if _THEIRS.get(key, key) in described:
                mine[key] = int(described[_THEIRS.get(key, key)])
        return Kind(name, mine)

    def built_by(self, *, lite: bool) -> Kind:
        """What is built where this is asked for: in a file of milvus-lite, ``flat``.

        It would build others without the parameters that were given, and of the rows alone that it had sealed when the file was
        opened: which hits are exact would hang on when that was.
        """
        return Kind(asked=self.name) if lite and not self.is_exact else self

    @property
    def told(self) -> str:
        """The kind for people."""
        return f"flat (exact); asked for {self.asked}" if self.asked else self.name

    @property
    def is_exact(self) -> bool:
        """Whether it finds the best ones for certain."""
        return self.name == "FLAT"

    def building(self) -> dict[str, int]:
        """What it is built by, in the engine's words."""
        return {
            _THEIRS.get(key, key): value for key, value in self.parameters.items() if key not in ("efSearch", "probes")
        }

    def searching(self, limit: int) -> dict[str, int]:
        """What it is searched by for so many hits, in the engine's words."""
        if "efSearch" in self.parameters:
            return {"ef": max(self.parameters["efSearch"], limit)}
        return (
            {"nprobe": min(self.parameters["probes"], self.parameters["lists"])} if "probes" in self.parameters else {}
        )
