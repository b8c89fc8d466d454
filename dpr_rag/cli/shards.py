"""Joins passages and vectors that were encoded elsewhere, by id."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import chain, islice, tee
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dpr_rag.cli.terminal import note
from dpr_rag.encoder import Encoder, Vectors
from dpr_rag.errors import CorpusError
from dpr_rag.passages import Passage

if TYPE_CHECKING:
    from collections.abc import Callable

    from dpr_rag.corpora import Found
    from dpr_rag.store import AddReport
    from dpr_rag.store.sources import Replace
    from dpr_rag.stores import WholeStore

Pair = tuple[Passage, Vectors]
_PREFIX = "wiki:"  # early shards name passages so, the corpus does not
_COMPARED, _ALIKE = 8, 0.5
_log = logging.getLogger(__name__)


def add_pairs(
    store: WholeStore,
    pairs: Iterable[Pair],
    *,
    batch_size: int,
    progress: Callable[[AddReport], None],
    replace: Replace = "any",
) -> AddReport:
    """Add passages with their vectors.

    Args:
        store: The store.
        pairs: See :func:`matched`; both sides are read once, in step, with bounded memory.
        batch_size: Passages per commit.
        progress: Called after each commit with the totals so far.
        replace: Whose passages may be replaced, see ``PassageStore.add``.
    """
    for_passages, for_vectors = tee(pairs)
    return store.add(
        (passage for passage, _ in for_passages),
        vectors=(vector for _, vector in for_vectors),
        batch_size=batch_size,
        progress=progress,
        replace=replace,
    )


def with_own_vectors(entries: Iterable[Found]) -> Iterator[Pair]:
    """Pair every passage with its vector in the corpus.

    Raises:
        CorpusError: A passage has none.
    """
    for entry in entries:
        if entry.vector is None:
            raise CorpusError(f"{entry.place}: has no vector; leave out --keep-vectors, so that all are encoded anew")
        yield entry.passage, entry.vector


def compared(pairs: Iterable[Pair], encoder: Encoder) -> Iterator[Pair]:
    """Warn if the vectors are probably another model's, which their dimension alone does not show.

    Args:
        pairs: The passages and vectors for the store.
        encoder: The encoder of its questions; the first few passages are encoded with it and compared.
    """
    rest = iter(pairs)
    first = list(islice(rest, _COMPARED))
    own_vectors = [vector for _, vector in first]
    if first and all(len(vector) == encoder.dim for vector in own_vectors):
        encoded = encoder.encode_passages([passage for passage, _ in first])
        cosine = float(np.median([_cosine(*pair) for pair in zip(encoded, own_vectors, strict=True)]))
        if cosine < _ALIKE:
            note(
                f"the vectors are not alike to what the model makes of the same passages (cosine {cosine:.2f} in the median of "
                f"{len(first)}), so that its questions will hardly find them; name the model that made them with --model, or "
                "leave out --keep-vectors"
            )
    yield from chain(first, rest)


def _cosine(first: Vectors, second: Any) -> float:
    lengths = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ np.asarray(second, np.float32)) / lengths if lengths else 0.0


def matched(passages: Iterator[Passage], shards: Iterable[Path], *, partial: bool = False) -> Iterator[Pair]:
    """Pair every vector with its passage.

    Args:
        passages: The corpus.
        shards: Embedding shards in its order, and folders of parts that `encode` wrote.
        partial: Whether passages may lack vectors; these are left out then, and a warning says so.

    Yields:
        A passage and its float32 vector of shape [dim].

    Raises:
        CorpusError: A vector's passage does not follow in the corpus, or a passage has no vector.
    """
    from dpr_rag.corpora.embeddings import read_vectors

    missed = 0
    for shard in shards:
        for ids, vectors in read_vectors(shard):
            for passage_id, vector in zip(ids, vectors, strict=True):
                passage, passed = _passage_of(passage_id, passages, shard)
                if passed and not partial:
                    raise _without_vectors(f"{shard}: {passed:,} passages before {passage.id!r:.120}")
                missed += passed
                yield passage, vector
    if missed:
        _log.warning("%d passages between those with vectors have none and were left out", missed)
    after = next(passages, None)
    if after is not None and not partial:
        raise _without_vectors(f"the shards end before the corpus: {after.id!r:.120} and what follows")
    if after is not None:
        _log.warning(
            "the shards end before the corpus: %r and what follows have no vectors and were left out", after.id
        )


def _without_vectors(which: str) -> CorpusError:
    return CorpusError(
        f"{which} have no vectors, as if a shard were missing; give all shards in the corpus's order, or --skip-bad to leave "
        "these passages out"
    )


def _passage_of(passage_id: str, passages: Iterator[Passage], shard: Path) -> tuple[Passage, int]:
    names = {passage_id, passage_id.removeprefix(_PREFIX)}
    for passed, passage in enumerate(passages):
        if passage.id in names:
            return passage, passed
    raise CorpusError(
        f"{shard}: the vector of {passage_id!r} has no passage in the rest of the corpus; "
        "give the shards in the corpus's order, and the corpus they were made of"
    )
