"""Finds the fastest precision that is accurate enough for a model on this processor, once, and remembers it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from dpr_rag.encoder import Vectors
from dpr_rag.encoders.fast_runtime import FastRuntime
from dpr_rag.encoders.lone_threads import quickest_threads
from dpr_rag.encoders.precision import effect_of, timed
from dpr_rag.encoders.precision_choice import TIME_WEIGHTS, Choice, candidates, save_choice, saved_choice
from dpr_rag.encoders.profiles import Profile
from dpr_rag.encoders.runtime import Batch
from dpr_rag.encoders.tokens import Tokens
from dpr_rag.encoders.towers import Tower
from dpr_rag.forking import new_lock

_log = logging.getLogger(__name__)


class QuickestRuntime:
    """A runtime that chooses its precision when it first encodes, so that opening a store does not wait for measurements.

    Args:
        tower: Weights and configuration.
        profile: Pooling and head.
        tokens: The tower's tokenisation.
        model: The name under which the choice is saved.

    Attributes:
        dim: Number of components of every vector.

    Raises:
        ModelError: The graph cannot be built, see :func:`dpr_rag.encoders.graph.build_graph`.
    """

    def __init__(self, tower: Tower, profile: Profile, tokens: Tokens, *, model: str) -> None:
        exact = FastRuntime(tower, profile, dtype="float32")
        self.dim = exact.dim
        self._find: Callable[[], FastRuntime] = partial(_find_quickest, exact, tower, profile, tokens, model)
        self._lock = new_lock()
        self._chosen: FastRuntime | None = None

    def __str__(self) -> str:
        return str(self.chosen)

    @property
    def chosen(self) -> FastRuntime:
        """The runtime in the chosen precision."""
        if self._chosen is None:
            with self._lock:
                if self._chosen is None:
                    self._chosen = self._find()
                    del self._find  # and with it the float32 runtime
        return self._chosen

    @property
    def dtype(self) -> str:
        """The precision that it runs in."""
        return self.chosen.dtype

    @property
    def token_budget(self) -> int:
        """Most padded tokens of one batch."""
        return self.chosen.token_budget

    @property
    def length_step(self) -> int | None:
        """What lengths are rounded up to that have to be equal in a batch, or None."""
        return self.chosen.length_step

    @property
    def streams(self) -> int:
        """How many batches it runs side by side."""
        return self.chosen.streams

    def encode(self, batch: Batch) -> Vectors:
        """Pooled float32 vectors of shape [n, dim]."""
        return self.chosen.encode(batch)

    def encode_all(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Vectors]]:
        """Encode many batches; each comes back with its vectors, in their order."""
        return self.chosen.encode_all(batches)


def _find_quickest(exact: FastRuntime, tower: Tower, profile: Profile, tokens: Tokens, model: str) -> FastRuntime:
    """Measure the candidates and return the quickest that is accurate enough; the choice is saved for other processes."""
    runtimes = {dtype: FastRuntime(tower, profile, dtype=dtype, like=exact) for dtype in candidates()}
    times = timed(runtimes, profile, tokens) if len(runtimes) > 1 else {}
    refused: list[str] = []
    for dtype in sorted(times, key=lambda name: TIME_WEIGHTS[name] * times[name]) or runtimes:
        effect = effect_of(runtimes[dtype], exact, tower, profile, tokens)
        if effect.tolerable:
            together = effect.together
            break
        text = "%s in %s: %s; another precision is taken, which takes longer"
        _log.warning(text, tower.tokenizer.name, dtype, effect)
        refused.append(dtype)
    else:
        dtype, together = "float32", True
    threads = quickest_threads(runtimes.get(dtype, exact), tower, profile, tokens)
    # another process may have saved its choice first: that is what all take from now on
    choice = saved_choice(model)
    if choice is None:
        choice = Choice(dtype, times, tuple(refused), threads, together)
        save_choice(model, choice)
        _log.info("%s runs in %s", tower.tokenizer.name, choice)
    chosen = runtimes.get(choice.dtype, exact)
    if choice.dtype != "float32" and choice.threads != chosen.lone_threads:
        chosen = FastRuntime(tower, profile, dtype=choice.dtype, like=chosen, lone_threads=choice.threads)
    if choice.together:
        chosen.run_together()
    return chosen
