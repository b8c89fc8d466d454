"""What was found out about a store's own passages, and for how long it holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

import numpy as np
import numpy.typing as npt

from dpr_rag.storage.state import State
from dpr_rag.store.engine import Engine
from dpr_rag.store.sampling import asked_for

_Value = TypeVar("_Value")
DRAWN = 256
"""Passages that an inner product is held against."""


@dataclass(frozen=True, slots=True)
class Fitted(Generic[_Value]):
    """What was fitted to a store's own passages, and what they were then."""

    value: _Value
    passages: int
    model: str
    language: str

    def holds(self, state: State, model: str) -> bool:
        """Whether the store has neither doubled nor halved nor changed encoder or language since."""
        same = (self.model, self.language) == (model, state.language)
        return same and self.passages / 2 <= state.passages <= 2 * self.passages


def fitted(engine: Engine, key: object, state: State, fit: Callable[[], _Value]) -> _Value:
    """What is known under a key and still holds, or else what ``fit`` finds, in one thread for all."""
    model = "" if engine.encoder is None else engine.encoder.fingerprint
    known = engine.fitted.get(key)
    if not (isinstance(known, Fitted) and known.holds(state, model)):
        with engine.calibration_lock:
            known = engine.fitted.get(key)
            if not (isinstance(known, Fitted) and known.holds(state, model)):
                known = engine.fitted[key] = Fitted(fit(), state.passages, model, state.language)
    return cast(_Value, known.value)


def drawn_vectors(engine: Engine) -> npt.NDArray[np.float64]:
    """Vectors of 256 passages drawn at random, [n, dim]: against them an inner product is high or low.

    Running text, each text once, as for calibrations: junk that joins a store would move the scores of everything else.
    """
    return fitted(engine, "drawn", engine.state(), lambda: asked_for(engine, DRAWN)[2].astype(np.float64))
