"""Exact top k over one generation: candidates from every segment, rescored with the stored vectors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dpr_rag.derived import Rows
from dpr_rag.encoder import Vectors
from dpr_rag.index.ann import AnnIndex
from dpr_rag.index.library import import_faiss, one_thread
from dpr_rag.index.segments import Base, Tail

Scores = npt.NDArray[np.float64]
_NONE = np.empty(0, np.int64)
_MARGIN = 8
_ROUNDING = 1e-5
_FEW = 2_000
_FEW_SHARE = 0.05
_SPARE = 1.2
_WIDEN = 8.0
_WIDEST = 10_000
_NEARLY_ALL = 0.9
_ROWS_PER_STEP = 8


@dataclass(frozen=True, slots=True)
class Selection:
    """The positions of a segment that a search may return, as a list and as a bitmap.

    Attributes:
        positions: Ascending positions, or None for all.
        mask: The same as a bitmap, least significant bit first, or None for all.
        count: How many they are.
    """

    positions: Rows | None
    mask: npt.NDArray[np.uint8] | None
    count: int

    @staticmethod
    def everything(size: int) -> Selection:
        """Select all positions of a segment of ``size`` rows."""
        return Selection(None, None, size)

    @staticmethod
    def of(positions: Rows, size: int) -> Selection:
        """Select some positions of a segment of ``size`` rows."""
        if len(positions) == size:
            return Selection.everything(size)
        bits = np.zeros(size, dtype=bool)
        bits[positions] = True
        return Selection(positions, np.packbits(bits, bitorder="little"), len(positions))

    def among(self, positions: Rows) -> Rows:
        """The selected ones among some positions, in their order."""
        if self.mask is None:
            return positions
        kept: Rows = positions[(self.mask[positions >> 3] >> (positions & 7).astype(np.uint8)) & 1 == 1]
        return kept


@dataclass(frozen=True, slots=True)
class _Few:
    """A copy of a segment's vectors at some positions, float32 [n, dim], with the interface of a segment."""

    vectors: Vectors
    norm: float

    def chunks(self) -> Iterator[tuple[int, Vectors]]:
        """Yield all of them."""
        yield 0, self.vectors


def inner_products(question: Vectors, vectors: Vectors) -> Scores:
    """Inner products of one question [dim] with vectors [n, dim], in float64.

    Each row is summed by itself and in the same order, so that equal vectors get equal scores, which a matrix product
    does not promise.
    """
    return np.asarray((vectors.astype(np.float64) * question.astype(np.float64)).sum(axis=1))


def search_segment(
    segment: Base | Tail, questions: Vectors, k: int, selection: Selection, *, exact: bool = False
) -> list[tuple[Rows, Scores]]:
    """Best rows of one segment for each question.

    Args:
        segment: Where to search.
        questions: float32 [n, dim].
        k: Hits per question.
        selection: Positions that may be returned.
        exact: Do not use the approximate index.

    Returns:
        For each question its row numbers and exact inner products, best first, ties in order of insertion.
    """
    if not selection.count or not len(questions):
        return [(np.empty(0, np.int64), np.empty(0)) for _ in questions]
    if selection.positions is not None and selection.count <= _few(segment):
        candidates = _exact_among(segment, questions, k, selection)
    elif exact or isinstance(segment, Tail) or segment.ann is None:
        candidates = _exact(segment, questions, k, selection)
    else:
        # vectors that the index cannot hold well are looked at by themselves
        beside = selection.among(np.array(segment.manifest.long, np.int64))
        candidates = [np.union1d(line, beside) for line in _approximate(segment, questions, k, selection)]
    return [_ranked(segment, question, positions, k) for question, positions in zip(questions, candidates, strict=True)]


def _few(segment: Base | Tail) -> int:
    """The number of selected positions up to which brute force is faster than the index."""
    graph = isinstance(segment, Base) and segment.ann is not None and segment.ann.is_graph
    return _FEW if graph else max(_FEW, int(_FEW_SHARE * len(segment.rows)))


def merged(parts: list[tuple[Rows, Scores]], k: int) -> tuple[Rows, Scores]:
    """Join ranked lists of different segments into one of at most k rows."""
    rows = np.concatenate([part[0] for part in parts])
    scores = np.concatenate([part[1] for part in parts])
    order = np.lexsort((rows, -scores))[:k]
    return rows[order], scores[order]


def _ranked(segment: Base | Tail, question: Vectors, positions: Rows, k: int) -> tuple[Rows, Scores]:
    return merged([(segment.rows[positions], inner_products(question, segment.take(positions)))], k)


def _approximate(base: Base, questions: Vectors, k: int, selection: Selection) -> list[Rows]:
    """Candidates from the FAISS index; by an exact scan where it returns too few."""
    size = len(base.rows)
    wanted = min(k, selection.count)
    candidates = min(max(k * base.manifest.plan.oversample, k + _MARGIN), selection.count)
    if base.ann is None:
        return _exact(base, questions, k, selection)
    if base.ann.is_graph and selection.positions is not None:
        return _among_the_best(base.ann, base, questions, k, candidates, selection)
    positions = base.ann.search(questions, candidates, mask=selection.mask, share=selection.count / size)
    if positions is None:
        return _exact(base, questions, k, selection)
    lists = [line[line >= 0] for line in positions]
    short = [at for at, line in enumerate(lists) if len(line) < wanted]
    if short:
        for at, line in zip(short, _exact(base, questions[short], k, selection), strict=True):
            lists[at] = line
    return lists


def _among_the_best(
    graph: AnnIndex, base: Base, questions: Vectors, k: int, wanted: int, selection: Selection
) -> list[Rows]:
    """Selected positions among the index's best: the search is widened until enough of them are selected.

    A graph whose search skips what is not selected loses its way where the selected are far from the question: its index
    recall fell to 0.75 with a tenth of the passages, chosen by topic. How many of the best are selected tells whether
    they were enough; where that takes too many, all selected ones are compared.
    """
    lists: list[Rows] = [_NONE] * len(questions)
    waiting = np.arange(len(questions))
    share = selection.count / len(base.rows)
    # where little is left out, as after some deletions, the search needs to be hardly wider than without
    spare, wider = (1.0, 1) if share > _NEARLY_ALL else (_SPARE, 2)
    width = spare * wanted / share + _MARGIN
    while len(waiting) and width <= min(_WIDEST, selection.count / _ROWS_PER_STEP):
        lines = graph.best(questions[waiting], min(int(width), len(base.rows)), wide=wider * int(width))
        kept = [selection.among(line)[:wanted] for line in lines]
        for at, line in zip(waiting, kept, strict=True):
            lists[at] = line
        waiting = waiting[[len(line) < wanted for line in kept]]
        width *= min(_WIDEN, _SPARE * wanted / max(1, min(map(len, kept))))
    if len(waiting):
        exact = _exact_among if selection.count <= _FEW_SHARE * len(base.rows) else _exact
        for at, line in zip(waiting, exact(base, questions[waiting], k, selection), strict=True):
            lists[at] = line
    return lists


def _exact_among(segment: Base | Tail, questions: Vectors, k: int, selection: Selection) -> list[Rows]:
    """Like :func:`_exact`, for few positions: their vectors are copied once for all questions."""
    positions = np.arange(len(segment.rows)) if selection.positions is None else selection.positions
    few = _Few(segment.take(positions), segment.norm)
    return [positions[places] for places in _exact(few, questions, k, Selection.everything(len(positions)))]


def _exact(segment: Base | Tail | _Few, questions: Vectors, k: int, selection: Selection) -> list[Rows]:
    """Positions that hold the top k of every question for certain, whatever float32 rounding did to their order."""
    wanted = min(k, selection.count)
    best = min(k + _MARGIN, selection.count)
    parts = [_top(questions, start, block, best, selection) for start, block in segment.chunks()]
    positions = np.concatenate([part[0] for part in parts], axis=1)
    scores = np.concatenate([part[1] for part in parts], axis=1)
    order = np.argsort(-scores, axis=1)[:, :best]
    positions, scores = np.take_along_axis(positions, order, 1), np.take_along_axis(scores, order, 1)
    slack = _ROUNDING * np.linalg.norm(questions, axis=1) * segment.norm
    floors = scores[:, wanted - 1] - slack
    # a tie that runs past the candidates would cut equal scores at random
    unsure = (scores[:, -1] >= floors) & (best < selection.count)
    lists = list(positions)
    for at in np.flatnonzero(unsure):
        lists[at] = _at_least(segment, questions[at], floors[at], selection)
    return lists


def _top(
    questions: Vectors, start: int, block: Vectors, k: int, selection: Selection
) -> tuple[Rows, npt.NDArray[np.float32]]:
    """Top k positions of one chunk and their float32 scores, -inf where there are fewer."""
    faiss = import_faiss()
    count = min(k, len(block))
    scores = np.empty((len(questions), count), np.float32)
    positions = np.empty((len(questions), count), np.int64)
    block = np.ascontiguousarray(block)
    selector = None
    if selection.mask is not None:
        # chunks begin at multiples of 8, so that the bitmap can be cut there
        selector = faiss.IDSelectorBitmap(np.ascontiguousarray(selection.mask[start // 8 :]))
    pointers = (faiss.swig_ptr(questions), faiss.swig_ptr(block))
    sizes = (block.shape[1], len(questions), len(block), count)
    with one_thread() if len(questions) == 1 else nullcontext():
        faiss.knn_inner_product(*pointers, *sizes, faiss.swig_ptr(scores), faiss.swig_ptr(positions), selector)
    scores[positions < 0] = -np.inf
    return positions + start, scores


def _at_least(segment: Base | Tail | _Few, question: Vectors, floor: float, selection: Selection) -> Rows:
    """Every selected position whose float32 score reaches ``floor``."""
    chunks = [start + np.flatnonzero(block @ question >= floor) for start, block in segment.chunks()]
    positions = np.concatenate(chunks)
    return positions if selection.positions is None else np.intersect1d(positions, selection.positions)
