"""Finds the fastest precision that is accurate enough for a model on this processor, once, and remembers it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from dpr_rag.encoder import Vectors
from dpr_rag.encoders.choice import WEIGHTS, Choice, candidates, keep, kept
from dpr_rag.encoders.fast_runtime import FastRuntime
from dpr_rag.encoders.precision import effect_of, timed
from dpr_rag.encoders.profiles import Profile
from dpr_rag.encoders.runtime import Batch
from dpr_rag.encoders.tokens import Tokens
from dpr_rag.encoders.towers import Tower
from dpr_rag.forking import new_lock

_log = logging.getLogger(__name__)


class QuickestRuntime:
    """Finds its precision when it first encodes, so that who only opens a store does not wait for it.

    Args:
        tower: Weights and configuration.
        profile: Pooling and head.
        tokens: The tower's tokenisation.
        model: What the choice is remembered under.

    Attributes:
        dim: Number of components of every vector.

    Raises:
        ModelError: The graph cannot be built, see :func:`dpr_rag.encoders.graph.build_graph`.
    """

    def __init__(self, tower: Tower, profile: Profile, tokens: Tokens, *, model: str) -> None:
        exact = FastRuntime(tower, profile, dtype="float32")
        self.dim = exact.dim
        self._find: Callable[[], FastRuntime] = partial(_found, exact, tower, profile, tokens, model)
        self._lock = new_lock()
        self._chosen: FastRuntime | None = None

    def __str__(self) -> str:
        return str(self.chosen)

    @property
    def chosen(self) -> FastRuntime:
        """What runs it in the precision that was found."""
        if self._chosen is None:
            with self._lock:
                if self._chosen is None:
                    self._chosen = self._find()
                    del self._find  # and with it what ran in float32
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
    def streams(self) -> int:
        """How many batches it runs side by side."""
        return self.chosen.streams

    def encode(self, batch: Batch) -> Vectors:
        """Pooled float32 vectors of shape [n, dim]."""
        return self.chosen.encode(batch)

    def encode_all(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Vectors]]:
        """Encode many batches; each comes back with its vectors, in their order."""
        return self.chosen.encode_all(batches)


def _found(exact: FastRuntime, tower: Tower, profile: Profile, tokens: Tokens, model: str) -> FastRuntime:
    """The quickest of the candidates, or the next where it is not true to the model; remembered for other processes."""
    fast = {dtype: FastRuntime(tower, profile, dtype=dtype, like=exact) for dtype in candidates()}
    times = timed(fast, profile, tokens) if len(fast) > 1 else {}
    refused: list[str] = []
    for dtype in sorted(times, key=lambda one: WEIGHTS[one] * times[one]) or fast:
        effect = effect_of(fast[dtype], exact, tower, profile, tokens)
        if effect.tolerable:
            break
        text = "%s in %s: %s; another precision is taken, which takes longer"
        _log.warning(text, tower.tokenizer.name, dtype, effect)
        refused.append(dtype)
    else:
        dtype = "float32"
    # another process may have been quicker: what it took is what all take from now on
    choice = kept(model)
    if choice is None:
        choice = Choice(dtype, times, tuple(refused))
        keep(model, choice)
        _log.info("%s runs in %s", tower.tokenizer.name, choice)
    return fast.get(choice.dtype, exact)
