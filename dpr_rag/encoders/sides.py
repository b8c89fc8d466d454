"""One side of an encoder, for questions or passages: tokenisation, runtime, and the loop over batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dpr_rag.encoder import Vectors, check_vectors
from dpr_rag.encoders.profiles import Profile
from dpr_rag.encoders.runtime import Item, Runtime, batches_for, prefetched
from dpr_rag.encoders.tokens import Tokens, TokenSequence

Progress = Callable[[int, int], None]
_WINDOW = 4096


@dataclass(frozen=True, slots=True)
class Side:
    """Questions or passages, from text to vectors.

    Attributes:
        tokens: The tower's tokenisation.
        runtime: What runs the tower.
        profile: Normalisation and token types.
    """

    tokens: Tokens
    runtime: Runtime
    profile: Profile

    @property
    def dim(self) -> int:
        """Number of components of every vector."""
        return min(self.profile.kept, self.runtime.dim) or self.runtime.dim

    def encode(
        self,
        items: Sequence[Item],
        tokenise: Callable[[Sequence[Item]], list[TokenSequence]],
        names: Sequence[str],
        progress: Progress | None,
    ) -> tuple[Vectors, int]:
        """Encode inputs window by window, so that the token ids of a long list are never held at once.

        The next window is tokenised while one is encoded.

        Args:
            items: What to encode.
            tokenise: Turns a window of items into token sequences.
            names: What to call each item in a message.
            progress: Called as ``progress(done, total)`` after each batch.

        Returns:
            Float32 vectors of shape [n, dim] in the items' order, and how many items were truncated.

        Raises:
            VectorError: A vector holds NaN or infinite values.
        """
        vectors = np.empty((len(items), self.runtime.dim), dtype=np.float32)
        cut = done = 0
        starts = range(0, len(items), _WINDOW)
        tokenised = ((start, tokenise(items[start : start + _WINDOW])) for start in starts)
        for start, sequences in prefetched(tokenised) if len(starts) > 1 else tokenised:
            cut += sum(sequence.truncated for sequence in sequences)
            pending = batches_for(self.runtime, sequences, pad=self.tokens.pad, segments=self.profile.segments)
            for batch, rows in self.runtime.encode_all(pending):
                vectors[start : start + _WINDOW][batch.rows] = rows
                done += len(batch.rows)
                if progress is not None:
                    progress(done, len(items))
        checked = check_vectors(vectors[:, : self.profile.kept] if self.profile.kept else vectors, names=names)
        return (_normalised(checked) if self.profile.normalise else checked), cut


def _normalised(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    np.divide(vectors, np.maximum(lengths, np.float32(1e-12)), out=vectors)
    return vectors
