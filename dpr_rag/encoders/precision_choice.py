"""The remembered choice of precision for a model on this processor, and its reason; imports no library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from dpr_rag.encoders.machine_cache import recall, remember
from dpr_rag.encoders.processor import Ability, this_processor

TIME_WEIGHTS = {"bfloat16": 1.0, "int8": 1.25}
"""Factor on a precision's measured time: int8 has to save a fifth, because its error is some twenty times that of bfloat16."""
_NEEDED: Mapping[str, Ability] = {"bfloat16": "bf16", "int8": "vnni"}


@dataclass(frozen=True, slots=True)
class Choice:
    """A precision, and why it was taken.

    Attributes:
        dtype: Its name.
        milliseconds: What some texts took in each precision that runs here; empty where there is only one.
        refused: Precisions that would have been quicker, but are not accurate enough.
        threads: How many threads encode a lone text.
        together: Whether texts of the same padded length run in one batch, as that changes no vector.
    """

    dtype: str
    milliseconds: Mapping[str, float]
    refused: tuple[str, ...]
    threads: int = 1
    together: bool = False

    def __str__(self) -> str:
        chosen_ms = self.milliseconds.get(self.dtype)
        reasons = [] if chosen_ms is None else [f"{chosen_ms:.1f} ms for some texts"]
        for name, ms in self.milliseconds.items():
            if name != self.dtype and name not in self.refused:
                worth = ", too little less for its greater error" if chosen_ms is not None and ms < chosen_ms else ""
                reasons.append(f"{name} takes {ms:.1f} ms{worth}")
        reasons += [f"{name} is not true to the model" for name in self.refused]
        reasons = reasons or ["quicker than float32 and true to the model"]
        if self.threads > 1:
            reasons.append(f"a lone text on {self.threads} threads")
        return f"{self.dtype} ({'; '.join(reasons)})"


def candidates() -> tuple[str, ...]:
    """Precisions that are quicker than float32 on this processor, the finest first."""
    abilities = this_processor().abilities
    return tuple(dtype for dtype, needed in _NEEDED.items() if needed in abilities)


def save_choice(model: str, choice: Choice) -> None:
    """Save the choice for a model on this machine, for all processes.

    Args:
        model: The name to save it under, see :func:`choice_key`.
        choice: The precision and its reason.
    """
    remember("choice", [model], asdict(choice))


def saved_choice(model: str) -> Choice | None:
    """The saved choice for a model on this machine; None where there is none, or its file cannot be read."""
    match recall("choice", [model]):
        case {
            "dtype": str(dtype),
            "milliseconds": dict(times),
            "refused": list(refused),
            "threads": int(threads),
            "together": bool(together),
        }:
            numbers = threads > 0 and all(
                isinstance(name, str) and isinstance(took, int | float) for name, took in times.items()
            )
            if dtype in (*candidates(), "float32") and numbers and all(isinstance(name, str) for name in refused):
                return Choice(dtype, times, tuple(refused), threads, together)
    return None


def describe_choice(fingerprint: str) -> str | None:
    """Describe for people which precision an encoder's towers run in on this processor, and why; None where unknown.

    Args:
        fingerprint: The encoder's.
    """
    if not candidates():
        return "float32 (this CPU multiplies neither bytes nor bfloat16)"
    choices = [saved_choice(choice_key(fingerprint, role)) for role in ("question", "context")]
    return " and ".join(dict.fromkeys(str(choice) for choice in choices if choice is not None)) or None


def choice_key(fingerprint: str, role: str) -> str:
    """The name under which the choice for one tower of an encoder is saved."""
    return f"{fingerprint} {role}"
