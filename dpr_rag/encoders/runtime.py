"""The interface of runtimes: padded batches of token ids in, pooled float32 vectors out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from dpr_rag.encoder import Vectors
from dpr_rag.encoders.profiles import Segments
from dpr_rag.encoders.tokens import TokenSequence
from dpr_rag.faces import ByFace

Ids = npt.NDArray[np.int64]
Item = TypeVar("Item")
_LEAST = 128
_END = object()

PRECISION = ByFace("dtype", cli="precision", page="precision")
"""What the precision is called in messages."""
OR_AUTO = ByFace(", or None", cli=", or auto", page="")
"""How to ask for the automatic choice."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Padded inputs, each array of shape [n, length].

    Attributes:
        ids: Token ids, padded on the right.
        mask: 1 for tokens, 0 for padding.
        segments: Token types.
        rows: Places of the inputs in the caller's order.
    """

    ids: Ids
    mask: Ids
    segments: Ids
    rows: list[int]


class Runtime(Protocol):
    """What runs one tower. Implementations serve several threads at once."""

    @property
    def token_budget(self) -> int:
        """Most padded tokens of one batch that it runs well."""
        ...

    @property
    def length_step(self) -> int | None:
        """Inputs of a batch have the same length once rounded up to a multiple of this; with None lengths may differ."""
        ...

    @property
    def streams(self) -> int:
        """How many batches it runs at once."""
        ...

    @property
    def dim(self) -> int:
        """Number of components of every vector."""
        ...

    def encode(self, batch: Batch) -> Vectors:
        """Pooled float32 vectors of shape [n, dim], the head applied, not normalised."""
        ...

    def encode_all(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Vectors]]:
        """Encode many batches; each comes back with its vectors, in their order."""
        ...


def batches_for(
    runtime: Runtime, sequences: Sequence[TokenSequence], *, pad: int, segments: Segments
) -> Iterator[Batch]:
    """Group inputs into the batches that a runtime takes, see :func:`batches`."""
    budget = budget_for(runtime, sequences)
    return batches(sequences, budget=budget, pad=pad, segments=segments, step=runtime.length_step)


def budget_for(runtime: Runtime, sequences: Sequence[TokenSequence]) -> int:
    """Padded tokens of a batch: as many as a runtime takes, or fewer where its streams would stand idle.

    Args:
        runtime: What will run them.
        sequences: All inputs; few tokens stay one batch, as batches of their own would be too small for the streams.
    """
    total = sum(len(sequence.ids) for sequence in sequences)
    least = _LEAST if runtime.length_step is None else 1
    if runtime.streams == 1 or total < least * runtime.streams:
        return runtime.token_budget
    return min(runtime.token_budget, max(least, total // (2 * runtime.streams)))


def batches(
    sequences: Sequence[TokenSequence], *, budget: int, pad: int, segments: Segments, step: int | None = None
) -> Iterator[Batch]:
    """Group inputs of similar length, longest first, so that rows times length stays within a budget.

    Args:
        sequences: Tokenised inputs.
        budget: Most padded tokens of a batch; one input that exceeds it makes a batch of its own.
        pad: Id of the padding token.
        segments: Token types of second segments: zero, or 1.
        step: Lengths in a batch are equal once rounded up to a multiple of this; with None they may differ.
    """
    order = sorted(range(len(sequences)), key=lambda at: -len(sequences[at].ids))
    at = 0
    while at < len(order):
        length = len(sequences[order[at]].ids)
        padded_length = stepped(length, step or 1)
        rows = order[at : at + max(1, budget // padded_length)]
        if step:
            rows = [row for row in rows if stepped(len(sequences[row].ids), step) == padded_length]
        yield _padded(sequences, rows, length, pad, segments)
        at += len(rows)


def stepped(length: int, step: int) -> int:
    """A number of tokens rounded up to a multiple of ``step``."""
    return -(-length // step) * step


def _padded(sequences: Sequence[TokenSequence], rows: list[int], length: int, pad: int, segments: Segments) -> Batch:
    ids = np.full((len(rows), length), pad, dtype=np.int64)
    mask = np.zeros_like(ids)
    types = np.zeros_like(ids)
    for row, at in enumerate(rows):
        sequence = sequences[at]
        end = len(sequence.ids)
        ids[row, :end] = sequence.ids
        mask[row, :end] = 1
        if segments == "pair":
            types[row, sequence.second : end] = 1
    return Batch(ids, mask, types, rows)


def prefetched(items: Iterable[Item]) -> Iterator[Item]:
    """Compute each of ``items`` in a thread while the one before it is in use."""
    waiting: Iterator[Item | object] = iter(items)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, waiting, _END)
        while (item := coming.result()) is not _END:
            coming = pool.submit(next, waiting, _END)
            yield item  # type: ignore[misc]
