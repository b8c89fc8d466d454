"""Encodes a corpus, or one shard of it, into parts; an interrupted run is resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from dpr_rag.arguments import check_callable, check_count
from dpr_rag.corpora.parts import write_part
from dpr_rag.encoder import Encoder, Vectors, check_encoded, check_encoder
from dpr_rag.errors import CorpusError
from dpr_rag.passages import Passage
from dpr_rag.paths import writing_to
from dpr_rag.scaling.cutting import ROWS, parts
from dpr_rag.scaling.part_marks import folder_of_parts, is_there, marked

Progress = Callable[[int], None]
_BATCH = 512


@dataclass(frozen=True, slots=True)
class Shard:
    """Which parts of a corpus one process encodes: every ``of``-th, from the one numbered ``index`` on, counted from 0."""

    index: int = 0
    of: int = 1

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            CorpusError: There is no such shard.
        """
        numbers = all(type(one) is int for one in (self.index, self.of))
        if not numbers or not 0 <= self.index < self.of:
            raise CorpusError(
                f"the shard {self.index}/{self.of} is none; of n shards the first is 0/n and the last n-1/n"
            )

    @classmethod
    def parsed(cls, text: str) -> Shard:
        """Read ``i/n``.

        Raises:
            CorpusError: It is written otherwise, or there is no such shard.
        """
        index, _, of = text.partition("/")
        if not (index.isascii() and index.isdecimal() and of.isascii() and of.isdecimal()) or len(text) > 20:
            raise CorpusError(f"the shard is {text!r:.40}, expected i/n, such as 0/8 for the first of eight")
        return cls(int(index), int(of))

    def has(self, number: int) -> bool:
        """Whether a part is of this shard."""
        return number % self.of == self.index


@dataclass(frozen=True, slots=True)
class Encoded:
    """What a run did.

    Attributes:
        encoded: Passages that it encoded.
        there: Passages of this shard that an earlier run had encoded.
        passages: Passages of the corpus.
        parts: Parts of the corpus.
    """

    encoded: int = 0
    there: int = 0
    passages: int = 0
    parts: int = 0

    def with_part(self, count: int, *, fresh: bool, mine: bool = True) -> Encoded:
        """What was done with one more part.

        Args:
            count: Its passages.
            fresh: Whether this run encoded it.
            mine: Whether it is of this shard.
        """
        there = count * (mine and not fresh)
        return Encoded(self.encoded + count * fresh, self.there + there, self.passages + count, self.parts + 1)

    def checked(self) -> Encoded:
        """The same.

        Raises:
            CorpusError: The corpus was empty.
        """
        if not self.passages:
            raise CorpusError("the corpus holds no passage; there is nothing to encode")
        return self


def encode(
    passages: Iterable[Passage],
    encoder: Encoder,
    out: str | Path,
    *,
    shard: Shard | None = None,
    rows: int = ROWS,
    progress: Progress | None = None,
) -> Encoded:
    """Encode a corpus, or one shard of it, to a folder of parts.

    Parts are written atomically; to resume a killed run, call this again. All shards read the whole corpus and split it into
    the same parts, and each part records its position for :func:`~dpr_rag.scaling.load`.

    Args:
        passages: The corpus, in the same order for all shards.
        encoder: The encoder.
        out: The folder; other shards may write to it at the same time, also from other machines.
        shard: The shard to encode; None for the whole corpus.
        rows: The largest number of passages in a part; the same for all shards.
        progress: Called with the number of passages of this shard done.

    Raises:
        CorpusError: The corpus is empty; the folder cannot be written, or holds parts of another corpus or encoder.
        EncoderMismatchError: ``encoder`` is not an encoder.
        MissingExtraError: pyarrow is not installed.
    """
    check_encoder(encoder)
    out = folder_of_parts(out)
    share = shard or Shard()
    rows = check_count("rows", rows, CorpusError)
    check_callable("progress", progress)
    done = Encoded()
    for part in parts(passages, rows):
        count = len(part.passages)
        mine = share.has(part.number)
        mark = marked(part, encoder)
        fresh = mine and not is_there(out, mark)
        if fresh:
            with writing_to(out, CorpusError):  # tried before the work rather than after it
                out.mkdir(parents=True, exist_ok=True)
                TemporaryFile(dir=out).close()
            write_part(out, mark, part.passages, encoded(encoder, part.passages))
        done = done.with_part(count, fresh=fresh, mine=mine)
        if mine and progress is not None:
            progress(done.encoded + done.there)
    return done.checked()


def encoded(encoder: Encoder, passages: list[Passage]) -> Vectors:
    """Vectors of the passages of a part, float32 of shape [n, dim]."""
    made = []
    for start in range(0, len(passages), _BATCH):
        batch = passages[start : start + _BATCH]
        names = [passage.id for passage in batch]
        found = encoder.encode_passages(batch)
        made.append(check_encoded(encoder, "encode_passages", found, rows=len(batch), dim=encoder.dim, names=names))
    return np.concatenate(made)
