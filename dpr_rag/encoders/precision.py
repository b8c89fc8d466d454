"""What a precision does to a tower's vectors on this processor: measured once for a machine and model, and remembered."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dpr_rag.encoder import Vectors
from dpr_rag.encoders.fast_runtime import FastRuntime
from dpr_rag.encoders.graph import import_openvino
from dpr_rag.encoders.processor import Processor
from dpr_rag.encoders.profiles import Profile
from dpr_rag.encoders.runtime import Batch, batches, budget_for
from dpr_rag.encoders.tokens import Tokens, TokenSequence
from dpr_rag.encoders.towers import Tower
from dpr_rag.passages import Passage

_log = logging.getLogger(__name__)
_SCHEME = 4  # of the precisions and of this check; a new one makes what was remembered void
_MOST_ERROR = 1e-2
_MOST_APART = 1e-5
_SHORT = (
    "who wrote hamlet",
    "how many people live in the capital of france?",
    "A tragedy in five acts about a prince of Denmark who is told by a ghost to avenge the murder of his father.",
    "In 1905 four papers on light, motion, molecules and energy changed how physicists think about space and time.",
    "gzip.compress(data, compresslevel=9): return a bytes object with the compressed data, 1.5 times smaller",
    "The mitral valve lies between the left atrium and the left ventricle; it opens while the ventricle fills.",
)
_LONG = " ".join(_SHORT)


@dataclass(frozen=True, slots=True)
class Effect:
    """The worst that a precision does to the vectors of some texts, as half the squared distance over the squared length.

    For vectors of length 1 that is 1 - cosine.

    Attributes:
        error: Between the precision and float32.
        apart: Between a text alone and the same text among others.
    """

    error: float
    apart: float

    @property
    def tolerable(self) -> bool:
        """Whether vectors stay true to the model, and one text has one vector; no where either is no number."""
        return self.error <= _MOST_ERROR and self.apart <= _MOST_APART

    def __str__(self) -> str:
        if self.error == inf:
            return "OpenVINO cannot run it here"
        return (
            f"1 - cosine to float32 is up to {self.error:.1e} ({_MOST_ERROR:.0e} is the most), between a text alone and among "
            f"others {self.apart:.1e} ({_MOST_APART:.0e})"
        )


def effect_of(fast: FastRuntime, tower: Tower, profile: Profile, tokens: Tokens, processor: Processor) -> Effect:
    """What the precision of a runtime does to its tower's vectors, from the user's cache where it was measured before.

    The name in the cache holds all that it follows from: model, precision, OpenVINO's version, the processor and its limits.
    """
    parts = [_SCHEME, tower.digest, profile.pooling, profile.head, profile.segments, fast.dtype, fast.streams]
    parts += [import_openvino().__version__, processor.name, sorted(processor.abilities), processor.limits]
    name = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
    root = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    known = root / "dpr-rag" / "precision" / f"{name}.json"
    if (found := _read(known)) is not None:
        return found
    effect = measured(fast, FastRuntime(tower, profile, dtype="float32"), profile, tokens)
    _write(known, effect)
    return effect


def measured(fast: FastRuntime, exact: FastRuntime, profile: Profile, tokens: Tokens) -> Effect:
    """Encode texts of several lengths alone and among each other, in the precision in question and in float32."""
    passages = [Passage(id="long", text=_LONG), Passage(id="titled", title=_SHORT[1], text=_SHORT[2])]
    sequences = tokens.questions(_SHORT) + tokens.passages(passages)

    def batched(runtime: FastRuntime, some: Sequence[TokenSequence]) -> Iterable[Batch]:
        budget = budget_for(runtime, some)
        return batches(some, budget=budget, pad=tokens.pad, segments=profile.segments)

    def encoded(runtime: FastRuntime, some: Sequence[TokenSequence]) -> Vectors:
        vectors = np.empty((len(some), runtime.dim), np.float32)
        for batch, found in runtime.encode_all(batched(runtime, some)):
            vectors[batch.rows] = found
        return vectors

    try:
        alone = np.concatenate([encoded(fast, [one]) for one in sequences])
        among = encoded(fast, sequences)
    except RuntimeError as error:  # how OpenVINO says that it has no kernel for this processor
        _log.debug("%s does not run here: %s", fast, error)
        return Effect(inf, inf)
    wanted = encoded(exact, sequences)
    return Effect(max(_off(alone, wanted), _off(among, wanted)), _off(among, alone))


def _off(found: Vectors, wanted: Vectors) -> float:
    """The worst row, NaN where one of them is."""
    exact: npt.NDArray[np.float64] = wanted.astype(np.float64)
    lengths = np.maximum((exact**2).sum(axis=1), 1e-24)
    return float(np.max(((found - exact) ** 2).sum(axis=1) / lengths / 2))


def _read(known: Path) -> Effect | None:
    """What was remembered, or None where nothing was, or nothing that this reads."""
    try:
        content = json.loads(known.read_text(encoding="utf-8"))
        return Effect(float(content["error"]), float(content["apart"]))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _write(known: Path, effect: Effect) -> None:
    beside = known.with_name(f"{known.name}.{os.getpid()}")
    try:
        known.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(asdict(effect)) + "\n", encoding="utf-8")
        os.replace(beside, known)
    except OSError as problem:
        _log.debug("the check of a precision is not remembered: %s", problem)
