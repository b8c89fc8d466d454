"""Which stored passages stand in for questions: running text, each once, whatever else lies beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from dpr_rag.derived import Rows, mixed
from dpr_rag.encoder import Vectors
from dpr_rag.lexical.prose import is_prose
from dpr_rag.lexical.unspaced import keys
from dpr_rag.passages import Passage
from dpr_rag.store.engine import Engine

LOOKED_AT = 1_024
"""Passages that are drawn to choose from."""
_FEWEST = 3
"""With fewer, all passages are asked for: it is a store of names, of code, or of a language without a list of stop words."""
_SAME = 0.8


def asked_for(engine: Engine, count: int) -> tuple[Rows, list[Passage], Vectors]:
    """Up to ``count`` passages that people ask about: of up to 1,024 drawn ones, the first that are prose and no copies.

    Log lines, code or random words are found otherwise than answers are, and copies answer for each other: what is fitted to
    them would say little of what questions find, and less the more of them there are.

    Returns:
        Row numbers, passages and vectors, float32 [n, dim].
    """
    rows, passages, vectors = engine.sample(max(count, LOOKED_AT))
    order = np.argsort(mixed(rows), kind="stable").tolist()
    chosen = sorted(order[at] for at in running_text([passages[at] for at in order], count))
    return rows[chosen], [passages[at] for at in chosen], vectors[chosen]


def running_text(drawn: Sequence[Passage], count: int) -> list[int]:
    """Which of the passages that were drawn are asked about, for any store: the first that are prose and no copies.

    Args:
        drawn: Passages in the order in which chance has put them.
        count: How many are wanted at most.

    Returns:
        Their places, ascending.
    """
    chosen = _first_distinct(((at, one) for at, one in enumerate(drawn) if is_prose(one.text)), count)
    return chosen if len(chosen) >= _FEWEST else _first_distinct(enumerate(drawn), count)


def are_copies(one: Passage, other: Passage) -> bool:
    """Whether two texts are the same but for a few words: four of five words of both are in both."""
    return _alike(_words(one), _words(other))


def _first_distinct(passages: Iterable[tuple[int, Passage]], count: int) -> list[int]:
    chosen, known = list[int](), list[frozenset[str]]()
    for at, passage in passages:
        words = _words(passage)
        if any(_alike(words, one) for one in known):
            continue
        chosen.append(at)
        known.append(words)
        if len(chosen) == count:
            break
    return chosen


def _words(passage: Passage) -> frozenset[str]:
    return frozenset(keys(passage.text.lower()))


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    few, many = sorted((len(one), len(other)))
    if few < _SAME * many:
        return False
    shared = len(one & other)
    return shared >= _SAME * (few + many - shared)
