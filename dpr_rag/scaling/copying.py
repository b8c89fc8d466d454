"""Copies a store between a folder and an engine without encoding, and verifies the copy."""

from __future__ import annotations

import numpy as np

from dpr_rag.arguments import check_callable, check_count
from dpr_rag.errors import StoreError
from dpr_rag.handed_over import contents
from dpr_rag.passages import Passage
from dpr_rag.scaling.carrying import carry
from dpr_rag.scaling.moving import Progress, refuse_other
from dpr_rag.scaling.resuming import going_on
from dpr_rag.store import AddReport
from dpr_rag.stores import WholeStore, whole

_BATCH, _SAMPLE = 512, 200
_HALF = 2.0**-10
"""By what a component may differ: what a float16 rounds away."""


def copy(
    source: WholeStore, target: WholeStore, *, batch_size: int = _BATCH, progress: Progress | None = None
) -> AddReport:
    """Copy all passages and vectors of a store in order, and verify the copy by its count and a random sample of vectors.

    The record of the software that made the vectors and the tuned ranking are copied too, see :func:`~dpr_rag.scaling.carry`.

    Args:
        source: The store; it should not change during the copy.
        target: An empty store, or the target of an interrupted copy, which is resumed without sending anything twice. A folder
            keeps the language and the dtype that it was created with; :func:`~dpr_rag.scaling.origin_of` returns the source's.
        batch_size: Passages per batch.
        progress: Called with the number of passages done.

    Returns:
        How many passages were added, and how many were there already.

    Raises:
        EncoderMismatchError: The target was filled with another encoder.
        StoreError: The target holds passages that the source lacks, or the copy differs from the source.
        NotAcknowledgedError: An engine failed; call this again.
    """
    batch_size = check_count("batch_size", batch_size, StoreError)
    check_callable("progress", progress)
    source, target = whole(source), whole(target)
    refuse_other(target, source.info().fingerprint, str(source.path))
    _refuse_strangers(source, target)
    total, of, batches = AddReport(), source.count(), source.batches(batch_size)
    while True:
        with going_on(target, total, of):
            batch = next(batches, None)
            if batch is None:
                break
            passages, vectors = batch
            total += target.add(passages, vectors=vectors, batch_size=batch_size)
        if progress is not None:
            progress(total.total)
    with going_on(target, total, of):
        prove(source, target)
        carry(source, target)
    return total


def _refuse_strangers(source: WholeStore, target: WholeStore) -> None:
    """Refuse to mix, before anything is sent; what is drawn here is no proof, which comes at the end."""
    there = [passage.id for passage in target.sample(_SAMPLE)[0]]
    known = {passage.id for passage in source.get(there)}
    strange = next((one for one in there if one not in known), None)
    if strange is not None:
        raise StoreError(
            f"{target.path} holds the passage {strange!r:.120}, which {source.path} has not; delete it there if it was deleted "
            "here, copy to an empty store, or add to this one by merge"
        )


def prove(source: WholeStore, target: WholeStore) -> None:
    """Compare two stores by their counts, and by passages and vectors drawn at random.

    Raises:
        StoreError: They differ.
    """
    counts = source.count(), target.count()
    if counts[0] != counts[1]:
        raise StoreError(
            f"{target.path} holds {counts[1]:,} passages, and {source.path} {counts[0]:,}; one changed meanwhile, or the "
            "target held others before: copy to an empty store"
        )
    passages, vectors = source.sample(_SAMPLE)
    ids = [passage.id for passage in passages]
    copied, found = target.get(ids), target.get_vectors(ids)
    for at, passage in enumerate(passages):
        vector = found.get(passage.id)
        alike = vector is not None and np.allclose(vector, vectors[at], rtol=_HALF, atol=1e-6)
        if not alike or at >= len(copied) or _differ(copied[at], passage):
            raise StoreError(
                f"the passage {passage.id!r:.120} is not the same in {target.path} as in {source.path}; copy it again"
            )


def _differ(first: Passage, second: Passage) -> bool:
    return first.id != second.id or contents(first) != contents(second)
