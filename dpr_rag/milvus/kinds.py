"""The index types of Milvus that dpr-rag supports, with their parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dpr_rag.errors import IndexKindError, unknown
from dpr_rag.index.kinds import DIGITS

_NAMES = {"auto": "FLAT", "flat": "FLAT", "hnsw": "HNSW", "ivf-flat": "IVF_FLAT", "ivf-sq8": "IVF_SQ8"}
_DEFAULTS: dict[str, dict[str, int]] = {
    "FLAT": {},
    "HNSW": {"links": 32, "efConstruction": 200, "efSearch": 128},
    "IVF_FLAT": {"lists": 1024, "probes": 64},
    "IVF_SQ8": {"lists": 1024, "probes": 64},
}
_FOLDERS_NAMES = {"nlist": "lists", "nprobe": "probes"}
_ENGINE_NAMES = {"links": "M", "lists": "nlist", "probes": "nprobe", "efSearch": "ef"}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of index with its parameters.

    Attributes:
        name: Milvus' name of the index type.
        parameters: Parameters by dpr-rag's names.
        asked: The requested type if another one is built, or empty.
    """

    name: str = "FLAT"
    parameters: dict[str, int] = field(default_factory=dict)
    asked: str = ""

    @staticmethod
    def parse(text: str) -> Kind:
        """Parse ``flat``, ``hnsw:links=64,efSearch=256``, ``ivf-flat``, ``ivf-sq8:lists=4096`` or ``auto``.

        Raises:
            IndexKindError: The type is unknown, or a parameter is unknown or no positive integer.
        """
        if not isinstance(text, str):
            raise IndexKindError(unknown("index", text, _NAMES))
        kind, _, rest = text.partition(":")
        name = _NAMES.get(kind.lower())
        if name is None:
            raise IndexKindError(unknown("index", kind, _NAMES))
        parameters, seen = dict(_DEFAULTS[name]), set[str]()
        for part in filter(None, rest.split(",")):
            given, _, value = part.partition("=")
            key = _FOLDERS_NAMES.get(given, given)
            if key in seen:
                raise IndexKindError(f"index {text!r:.80} names the parameter {given!r} twice; leave one of them out")
            seen.add(key)
            if key not in parameters or not DIGITS.fullmatch(value) or int(value) < 1:
                raise IndexKindError(
                    f"index {text!r:.80}: {part!r:.40} is no parameter of {kind} with a positive integer; there are "
                    f"{', '.join(parameters) or 'none'}"
                )
            parameters[key] = int(value)
        return Kind(name, parameters)

    @staticmethod
    def of(description: dict[str, Any]) -> Kind:
        """Read the engine's description of an index; parameters that it lacks have their defaults."""
        name = str(description.get("index_type", "FLAT"))
        parameters = dict(_DEFAULTS.get(name, {}))
        for key in parameters:
            if _ENGINE_NAMES.get(key, key) in description:
                parameters[key] = int(description[_ENGINE_NAMES.get(key, key)])
        return Kind(name, parameters)

    def built_by(self, *, lite: bool) -> Kind:
        """The index that is built when this one is requested: in a milvus-lite file, ``flat``.

        milvus-lite ignores the parameters of other types, and indexes only the rows that it had sealed when the file was opened:
        which hits are exact would depend on when that was.
        """
        return Kind(asked=self.name) if lite and not self.is_exact else self

    @property
    def label(self) -> str:
        """The index type for people to read."""
        return f"flat (exact); asked for {self.asked}" if self.asked else self.name

    @property
    def is_exact(self) -> bool:
        """Whether searches are exact."""
        return self.name == "FLAT"

    def build_parameters(self) -> dict[str, int]:
        """The parameters for building, by Milvus' names."""
        return {
            _ENGINE_NAMES.get(key, key): value
            for key, value in self.parameters.items()
            if key not in ("efSearch", "probes")
        }

    def search_parameters(self, limit: int) -> dict[str, int]:
        """The parameters for a search of ``limit`` hits, by Milvus' names."""
        if "efSearch" in self.parameters:
            return {"ef": max(self.parameters["efSearch"], limit)}
        return (
            {"nprobe": min(self.parameters["probes"], self.parameters["lists"])} if "probes" in self.parameters else {}
        )
