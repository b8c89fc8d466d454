"""Values fitted to a sample of a store's passages (calibrations, λ), cached until the store has changed too much."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

import numpy as np
import numpy.typing as npt

from dpr_rag.storage.state import State
from dpr_rag.store.engine import Engine
from dpr_rag.store.sampling import sample_prose

_Value = TypeVar("_Value")
SAMPLE_SIZE = 256
"""Passages in the sample that the spread of a question's inner products is measured on."""


@dataclass(frozen=True, slots=True)
class Fitted(Generic[_Value]):
    """A fitted value, and the size, encoder and language of the store that it was fitted to."""

    value: _Value
    passages: int
    model: str
    language: str

    def is_valid_for(self, state: State, model: str) -> bool:
        """Whether the store has neither doubled nor halved nor changed encoder or language since."""
        same = (self.model, self.language) == (model, state.language)
        return same and self.passages / 2 <= state.passages <= 2 * self.passages


def fitted(engine: Engine, key: object, state: State, fit: Callable[[], _Value]) -> _Value:
    """The cached value under a key, or else what ``fit`` returns; other threads wait for the one that fits."""
    model = "" if engine.encoder is None else engine.encoder.fingerprint
    known = engine.fitted.get(key)
    if not (isinstance(known, Fitted) and known.is_valid_for(state, model)):
        with engine.calibration_lock:
            known = engine.fitted.get(key)
            if not (isinstance(known, Fitted) and known.is_valid_for(state, model)):
                known = engine.fitted[key] = Fitted(fit(), state.passages, model, state.language)
    return cast(_Value, known.value)


def sampled_vectors(engine: Engine) -> npt.NDArray[np.float64]:
    """Vectors of up to 256 passages drawn at random, [n, dim]; they tell whether an inner product is high or low.

    Running text, each text once, as for calibrations: junk that joins a store would move the scores of everything else.
    """
    return fitted(engine, "drawn", engine.state(), lambda: sample_prose(engine, SAMPLE_SIZE)[2].astype(np.float64))
