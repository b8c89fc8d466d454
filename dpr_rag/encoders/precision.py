"""Measures the accuracy and speed of a precision on this processor, against float32 on a few texts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from math import inf
from time import perf_counter, thread_time

import numpy as np
import numpy.typing as npt

from dpr_rag.encoder import Vectors
from dpr_rag.encoders.fast_runtime import EQUAL_LENGTHS_BUDGET, FastRuntime
from dpr_rag.encoders.machine_cache import recall, remember
from dpr_rag.encoders.profiles import Profile
from dpr_rag.encoders.runtime import Batch, batches, batches_for
from dpr_rag.encoders.tokens import Tokens, TokenSequence
from dpr_rag.encoders.towers import Tower
from dpr_rag.passages import Passage

_log = logging.getLogger(__name__)
_MAX_MEDIAN = 5e-4
_MAX_WORST = 1e-2
_MAX_APART = 1e-5
_LEAST_ROUNDS, _ENOUGH_SECONDS = 4, 0.2
_SHORT = (
    "who wrote hamlet",
    "how many people live in the capital of france?",
    "A tragedy in five acts about a prince of Denmark who is told by a ghost to avenge the murder of his father.",
    "In 1905 four papers on light, motion, molecules and energy changed how physicists think about space and time.",
    "gzip.compress(data, compresslevel=9): return a bytes object with the compressed data, 1.5 times smaller",
    "The mitral valve lies between the left atrium and the left ventricle; it opens while the ventricle fills.",
)
_LONG = " ".join(_SHORT)
_TOGETHER = {3: 72, 10: 36, 40: 12, 120: 4}  # words of a text: how many of them, to fill a batch


@dataclass(frozen=True, slots=True)
class Effect:
    """The errors of a precision on some texts: half the squared distance of two vectors over the squared length of one.

    For vectors of length 1 that is 1 - cosine.

    Attributes:
        error: Between the precision and float32, the median.
        worst: The same of the worst text.
        apart: Between a text alone and the same text among others, of the worst text.
        together: Whether texts have the same vectors, to the bit, alone and in one batch with others of their padded length.
    """

    error: float
    worst: float
    apart: float
    together: bool = False

    @property
    def tolerable(self) -> bool:
        """Whether vectors are accurate enough, and the same in any batch; False where an error is NaN."""
        return self.error <= _MAX_MEDIAN and self.worst <= _MAX_WORST and self.apart <= _MAX_APART

    def __str__(self) -> str:
        if self.error == inf:
            return "OpenVINO cannot run it here"
        return (
            f"1 - cosine to float32 is {self.error:.1e} at the median ({_MAX_MEDIAN:.0e} is the most) and up to "
            f"{self.worst:.1e} ({_MAX_WORST:.0e}), between a text alone and among others {self.apart:.1e} ({_MAX_APART:.0e})"
        )


def effect_of(fast: FastRuntime, exact: FastRuntime, tower: Tower, profile: Profile, tokens: Tokens) -> Effect:
    """The error of a runtime's precision on its tower's vectors, from the user's cache where it was measured before.

    Args:
        fast: Runs the tower in that precision.
        exact: Runs it in float32.
        tower: Part of the cache's key, with those fields of the profile on which vectors depend.
        profile: The same.
        tokens: The tower's tokenisation.
    """
    parts = [tower.digest, profile.pooling, profile.head, profile.segments, fast.dtype]
    record = recall("precision", parts)
    try:
        if record is not None:
            error, worst, apart = (float(record[name]) for name in ("error", "worst", "apart"))  # type: ignore[arg-type]
            return Effect(error, worst, apart, record["together"] is True)
    except (ValueError, TypeError, KeyError, OverflowError):
        _log.debug("what was remembered of a precision is none: %r", record)
    effect = measured(fast, exact, profile, tokens)
    remember("precision", parts, asdict(effect))
    return effect


def timed(runtimes: Mapping[str, FastRuntime], profile: Profile, tokens: Tokens) -> dict[str, float]:
    """Milliseconds that a passage and two questions take one by one, in each precision that runs here.

    The precisions take turns at every text, and the least of several times counts. Only this thread's CPU time is counted, as
    a single text is encoded in it: beside three busy processes, wall-clock times differ by a third between measurements.

    Args:
        runtimes: What runs a tower, by precision.
        profile: Token types.
        tokens: The tower's tokenisation.
    """
    sequences = tokens.passages([Passage(id="long", text=_LONG)]) + tokens.questions(_SHORT[:2])
    texts = list(batches(sequences, budget=1, pad=tokens.pad, segments=profile.segments))
    least = {name: [inf] * len(texts) for name, fast in runtimes.items() if _warm(fast, texts)}
    started = perf_counter()
    for turn in count(1):
        for at, text in enumerate(texts):
            for name, times in least.items():
                start = thread_time()
                runtimes[name].encode(text)
                times[at] = min(times[at], thread_time() - start)
        if turn >= _LEAST_ROUNDS and perf_counter() - started >= _ENOUGH_SECONDS:
            break
    return {name: round(1000 * sum(times), 2) for name, times in least.items()}


def _warm(fast: FastRuntime, texts: Iterable[Batch]) -> bool:
    """Compile the graph for these texts; False where OpenVINO has no kernel for this processor."""
    try:
        for text in texts:
            fast.encode(text)
    except RuntimeError as error:
        _log.debug("%s does not run here: %s", fast, error)
        return False
    return True


def _sequences(tokens: Tokens) -> list[TokenSequence]:
    passages = [Passage(id="long", text=_LONG), Passage(id="titled", title=_SHORT[1], text=_SHORT[2])]
    return tokens.questions(_SHORT) + tokens.passages(passages)


def measured(fast: FastRuntime, exact: FastRuntime, profile: Profile, tokens: Tokens) -> Effect:
    """Encode texts of several lengths alone and among each other, in the precision in question and in float32."""
    sequences = _sequences(tokens)

    def encoded(runtime: FastRuntime, part: Sequence[TokenSequence]) -> Vectors:
        return _encoded(runtime, batches_for(runtime, part, pad=tokens.pad, segments=profile.segments), len(part))

    try:
        alone = np.concatenate([encoded(fast, [sequence]) for sequence in sequences])
        among = encoded(fast, sequences)
    except RuntimeError as error:  # how OpenVINO says that it has no kernel for this processor
        _log.debug("%s does not run here: %s", fast, error)
        return Effect(inf, inf, inf)
    reference = encoded(exact, sequences)
    off = np.maximum(_errors(alone, reference), _errors(among, reference))
    together = _same_together(fast, profile, tokens)
    return Effect(float(np.median(off)), float(off.max()), float(_errors(among, alone).max()), together)


def _encoded(runtime: FastRuntime, pending: Iterable[Batch], count: int) -> Vectors:
    vectors = np.empty((count, runtime.dim), np.float32)
    for batch, rows in runtime.encode_all(pending):
        vectors[batch.rows] = rows
    return vectors


def _same_together(fast: FastRuntime, profile: Profile, tokens: Tokens) -> bool:
    """Whether batches of one padded length leave every vector as it is, to the bit, from short texts to long ones."""
    words = _LONG.split()
    texts = [
        " ".join((words * 2)[start : start + length]) for length, count in _TOGETHER.items() for start in range(count)
    ]
    sequences = tokens.passages([Passage(str(at), text) for at, text in enumerate(texts)])

    def encoded(budget: int) -> Vectors:
        pending = batches(sequences, budget=budget, pad=tokens.pad, segments=profile.segments, step=fast.length_step)
        return _encoded(fast, pending, len(texts))

    try:
        return np.array_equal(encoded(1), encoded(EQUAL_LENGTHS_BUDGET))
    except RuntimeError as error:
        _log.debug("%s runs no batches here: %s", fast, error)
        return False


def _errors(vectors: Vectors, reference: Vectors) -> npt.NDArray[np.float64]:
    """The error of each row, as in :class:`Effect`; NaN where a vector holds NaN."""
    exact: npt.NDArray[np.float64] = reference.astype(np.float64)
    lengths = np.maximum((exact**2).sum(axis=1), 1e-24)
    errors: npt.NDArray[np.float64] = ((vectors - exact) ** 2).sum(axis=1) / lengths / 2
    return errors
