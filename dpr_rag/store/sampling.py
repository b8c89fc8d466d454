"""The sample of passages that calibrations use as questions: prose without copies, whatever else is stored beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from dpr_rag.derived import Rows, mixed
from dpr_rag.encoder import Vectors
from dpr_rag.lexical.prose import is_prose
from dpr_rag.lexical.unspaced import keys
from dpr_rag.passages import Passage
from dpr_rag.store.engine import Engine

POOL_SIZE = 1_024
"""Passages that are drawn at random to choose from."""
_MIN_PROSE = 3
"""With fewer, every kind of text counts: it is a store of names, of code, or of a language without a list of stop words."""
_COPY_OVERLAP = 0.8


def sample_prose(engine: Engine, count: int) -> tuple[Rows, list[Passage], Vectors]:
    """A sample of up to ``count`` passages that are prose and no copies, out of up to 1,024 drawn at random.

    Log lines, code or random words are found otherwise than answers are, and copies answer for each other: what is fitted to
    them would say little of what questions find, and less the more of them there are.

    Returns:
        Row numbers, passages and vectors, float32 [n, dim].
    """
    rows, passages, vectors = engine.sample(max(count, POOL_SIZE))
    order = np.argsort(mixed(rows), kind="stable").tolist()
    chosen = sorted(order[at] for at in choose_prose([passages[at] for at in order], count))
    return rows[chosen], [passages[at] for at in chosen], vectors[chosen]


def choose_prose(drawn: Sequence[Passage], count: int) -> list[int]:
    """Choose the first passages of a random sample that are prose and no copies; of all, where fewer than 3 are prose.

    Args:
        drawn: The sample, in random order.
        count: How many to choose at most.

    Returns:
        Their positions in the sample, ascending.
    """
    chosen = _first_distinct(((at, passage) for at, passage in enumerate(drawn) if is_prose(passage.text)), count)
    return chosen if len(chosen) >= _MIN_PROSE else _first_distinct(enumerate(drawn), count)


def are_copies(first: Passage, second: Passage) -> bool:
    """Whether two texts are near-duplicates: the Jaccard similarity of their sets of words is 0.8 or more."""
    return _alike(_words(first), _words(second))


def _first_distinct(passages: Iterable[tuple[int, Passage]], count: int) -> list[int]:
    chosen, known = list[int](), list[frozenset[str]]()
    for at, passage in passages:
        words = _words(passage)
        if any(_alike(words, earlier) for earlier in known):
            continue
        chosen.append(at)
        known.append(words)
        if len(chosen) == count:
            break
    return chosen


def _words(passage: Passage) -> frozenset[str]:
    return frozenset(keys(passage.text.lower()))


def _alike(first: frozenset[str], second: frozenset[str]) -> bool:
    few, many = sorted((len(first), len(second)))
    if few < _COPY_OVERLAP * many:
        return False
    shared = len(first & second)
    return shared >= _COPY_OVERLAP * (few + many - shared)
