"""Keeps the best weights so far, by a measure of validation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from dpr_rag.encoder import Encoder
from dpr_rag.errors import TrainingError
from dpr_rag.training.validation import LOWER_IS_BETTER, Validation


class Selection:
    """All validations, and the measure that selects the best weights.

    Args:
        validation: What measures the weights.
        wanted: Name of a measure, ``last``, or None; see ``TrainingSettings.select``.

    Attributes:
        names: All measures.
        by: The measure that decides, or None where the last weights are kept.

    Raises:
        TrainingError: Nothing takes the measure, or two validations take the same.
    """

    def __init__(self, validation: Sequence[Validation], wanted: str | None) -> None:
        self._validation = validation
        self.names = [name for part in validation for name in part.names]
        if len(set(self.names)) < len(self.names):
            raise TrainingError(
                f"two validations take the same measure ({', '.join(self.names)}); give one of each kind"
            )
        self.by: str | None = None
        if not self.names or wanted == "last":
            return
        self.by = wanted or _preferred(self.names)
        if self.by not in self.names:
            raise TrainingError(
                f"select is {wanted!r}, and validation measures {', '.join(self.names)}; choose one of them or 'last'"
            )

    @property
    def fingerprints(self) -> list[str]:
        """Identifies the validation data."""
        return [part.fingerprint for part in self._validation]

    def measure(self, encoder: Encoder) -> dict[str, float]:
        """All measures of the current weights."""
        return {name: value for part in self._validation for name, value in part.measure(encoder).items()}

    def improves(self, measures: Mapping[str, float], best: float | None) -> bool:
        """Whether the selecting measure is better than the best so far."""
        if self.by is None:
            return False
        value = measures[self.by]
        return best is None or (value < best if self.by in LOWER_IS_BETTER else value > best)


def _preferred(names: Sequence[str]) -> str:
    """The default measure to select by: accuracy at the largest k, or else rank, or else loss."""
    accuracies = {int(name.removeprefix("top-")): name for name in names if re.fullmatch(r"top-\d+", name)}
    if accuracies:
        return accuracies[max(accuracies)]
    return next((name for name in ("average_rank", "nll") if name in names), names[0])
