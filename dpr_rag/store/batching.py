"""Passages on their way into a store: checked, with the vectors given for them, and cut into batches of distinct ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from itertools import islice
from typing import Any

from dpr_rag.arguments import check_count, is_blank, iterated
from dpr_rag.encoder import Vectors, check_given
from dpr_rag.errors import PassageError, StoreError, VectorError
from dpr_rag.handed_over import passages_of, refuse_single
from dpr_rag.passages import Passage
from dpr_rag.store.repeats import SeenIds, check_repeats, without_twins
from dpr_rag.store.reports import AddReport
from dpr_rag.store.scope import Scope, admitted
from dpr_rag.store.sources import Replace, check_replace

Known = Mapping[str, tuple[int, Passage]]
"""Stored passages with their row numbers, by id."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Passages that are added together.

    Attributes:
        passages: Passages with distinct ids.
        given: The vectors given for them, float32 [n, dim], or None.
        again: The ids among them that earlier batches held, too.
        twins: What became of the other passages with an id of these.
    """

    passages: Sequence[Passage]
    given: Vectors | None
    again: Sequence[str]
    twins: AddReport


def batches(
    passages: Iterable[Passage], vectors: Iterable[Any] | None, *, size: int, replace: Replace, scope: Scope
) -> Iterator[Batch]:
    """Cut passages, and the vectors given for them, into batches; both have to end together.

    What can be known without reading the streams is refused at once: also, in a list, blank passages and repeated ids.

    Args:
        passages: The passages; those of a view get the metadata that it fixes.
        vectors: A vector for each, or None.
        size: Most passages of a batch.
        replace: Which of two passages of different sources stays, see ``PassageStore.add``.
        scope: The view through which they are added.

    Raises:
        StoreError: ``size`` or ``replace`` is not valid.
        PassageError: What was given is no passage, or one without a word.
        RepeatedIdError: Different passages have one id.
        VectorError: The vectors are not one row of finite numbers for each passage.
    """
    size = check_count("batch_size", size, StoreError)
    check_replace(replace)
    refuse_single(passages)
    if isinstance(passages, Sized) and isinstance(vectors, Sized) and len(passages) != len(vectors):
        raise VectorError(f"{len(vectors)} vectors were given for {len(passages)} passages; give one vector each")
    passages = admitted(scope, passages)
    if isinstance(passages, Sequence):
        for passage in passages:
            _refuse_blank(passage)
        check_repeats(passages)
    return _cut(passages, vectors, size, replace)


def _cut(passages: Iterable[Passage], vectors: Iterable[Any] | None, size: int, replace: Replace) -> Iterator[Batch]:
    seen = SeenIds()
    items = passages_of(passages)
    given_rows = "one vector of numbers for each passage"
    rows = (
        None if vectors is None else iterated("vectors", vectors, given_rows, error=VectorError, advice="give a list")
    )
    while batch := list(islice(items, size)):
        for item in batch:
            _refuse_blank(item)
        given = None if rows is None else check_given(islice(rows, len(batch)), [item.id for item in batch])
        kept, twins = without_twins(batch, given, replace)
        chosen = [batch[at] for at in kept]
        again = seen.again([passage.id for passage in chosen])
        yield Batch(chosen, None if given is None else given[kept], again, twins)
    if rows is not None and next(rows, None) is not None:
        raise VectorError("there are more vectors than passages; give one vector each")


def _refuse_blank(passage: object) -> None:
    """Refuse a passage without a word: its vector means nothing, and would come up for many questions."""
    if isinstance(passage, Passage) and is_blank(passage.text) and is_blank(passage.title):
        raise PassageError(
            f"passage {passage.id!r:.120}: text and title are blank, expected a word; leave it out, or fill it in"
        )


def is_new_text(old: Passage, new: Passage) -> bool:
    """Whether a passage differs from a stored one in what encoders read."""
    return (old.title, old.text) != (new.title, new.text)


def lacks_vector(known: Known, passage: Passage) -> bool:
    """Whether a passage has to be encoded: none is stored under its id, or one with another title or text."""
    return passage.id not in known or is_new_text(known[passage.id][1], passage)
