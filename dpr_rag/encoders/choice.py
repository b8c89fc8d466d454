"""The remembered choice of precision for a model on this processor, and its reason; imports no library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from dpr_rag.encoders.machine_cache import recall, remember
from dpr_rag.encoders.processor import Ability, this_processor

WEIGHTS = {"bfloat16": 1.0, "int8": 1.25}
"""What a precision's time counts: int8 has to save a fifth, for its error is some twenty times that of bfloat16."""
_NEEDED: Mapping[str, Ability] = {"bfloat16": "bf16", "int8": "vnni"}


@dataclass(frozen=True, slots=True)
class Choice:
    """A precision, and why it was taken.

    Attributes:
        dtype: Its name.
        milliseconds: What some texts took in each that runs here; empty where there is but one.
        refused: Those that would have been quicker and are not true to the model.
    """

    dtype: str
    milliseconds: Mapping[str, float]
    refused: tuple[str, ...]

    def __str__(self) -> str:
        own = self.milliseconds.get(self.dtype)
        reasons = [] if own is None else [f"{own:.1f} ms for some texts"]
        for name, took in self.milliseconds.items():
            if name != self.dtype and name not in self.refused:
                worth = ", too little less for its greater error" if own is not None and took < own else ""
                reasons.append(f"{name} takes {took:.1f} ms{worth}")
        reasons += [f"{name} is not true to the model" for name in self.refused]
        return f"{self.dtype} ({'; '.join(reasons) or 'quicker than float32 and true to the model'})"


def candidates() -> tuple[str, ...]:
    """Precisions that are quicker than float32 on this processor, the finest first."""
    abilities = this_processor().abilities
    return tuple(dtype for dtype, needed in _NEEDED.items() if needed in abilities)


def keep(model: str, choice: Choice) -> None:
    """Remember what was found for a model here, for all processes.

    Args:
        model: The name to remember it under.
        choice: What was found.
    """
    remember("choice", [model], asdict(choice))


def kept(model: str) -> Choice | None:
    """What was found for a model here, or None where nothing was, or nothing that this reads."""
    match recall("choice", [model]):
        case {"dtype": str(dtype), "milliseconds": dict(times), "refused": list(refused)}:
            numbers = all(isinstance(name, str) and isinstance(took, int | float) for name, took in times.items())
            if dtype in (*candidates(), "float32") and numbers and all(isinstance(name, str) for name in refused):
                return Choice(dtype, times, tuple(refused))
    return None


def told(fingerprint: str) -> str | None:
    """Which precision the towers of an encoder run in on this processor and why, for people to read, or None where unknown.

    Args:
        fingerprint: The encoder's.
    """
    if not candidates():
        return "float32 (this CPU multiplies neither bytes nor bfloat16)"
    found = [kept(name_of(fingerprint, role)) for role in ("question", "context")]
    return " and ".join(dict.fromkeys(str(choice) for choice in found if choice is not None)) or None


def name_of(fingerprint: str, role: str) -> str:
    """What the choice for one tower of an encoder is remembered under."""
    return f"{fingerprint} {role}"
