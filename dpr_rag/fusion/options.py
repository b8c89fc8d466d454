"""``RankingOptions``: the part of a ranking that a caller gives; the rest is as the store was tuned, or the default."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dpr_rag.arguments import check_instance
from dpr_rag.errors import VectorError
from dpr_rag.faces import ByFace
from dpr_rag.fusion.ranking import Fusion, Mode, Ranking
from dpr_rag.lexical import BM25

OF_RETRIEVE = {
    **dict.fromkeys(
        ("min_relevance", "score_threshold", "similarity_cutoff"), "min_relevance, an argument of retrieve()"
    ),
    **dict.fromkeys(("filter", "filters", "where"), "filter, an argument of retrieve()"),
}
"""Names that a retriever's constructor is given, and where they belong."""


@dataclass(frozen=True, slots=True)
class RankingOptions:
    """How to rank, in part: each option that is None keeps the store's value.

    Attributes:
        mode: As for :class:`Ranking`.
        weight: As for :class:`Ranking`.
        fusion: As for :class:`Ranking`.
        candidates: As for :class:`Ranking`; it goes with ``hybrid``.
        k1: As for :class:`BM25`; it goes with ``bm25`` and ``hybrid``, as the next two do.
        b: As for :class:`BM25`.
        phrases: As for :class:`BM25`.

    Raises:
        VectorError: A value is out of range, or goes with another mode.
    """

    mode: Mode | None = None
    weight: float | None = None
    fusion: Fusion | None = None
    candidates: int | None = None
    k1: float | None = None
    b: float | None = None
    phrases: float | None = None

    def __post_init__(self) -> None:
        ranking, bm25 = Ranking.of(self.mode, self.weight, self.fusion), BM25(**self._bm25)
        checked: dict[str, object] = {name: getattr(bm25, name) for name in self._bm25}
        if self.weight is not None and ranking is not None:
            checked["weight"] = ranking.weight
        if self.candidates is not None:
            checked["candidates"] = Ranking(candidates=self.candidates).candidates
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if self.mode is not None:
            self._check_mode(self.mode)

    def __bool__(self) -> bool:
        return self != RankingOptions()

    @property
    def _bm25(self) -> dict[str, float]:
        given = {"k1": self.k1, "b": self.b, "phrases": self.phrases}
        return {name: value for name, value in given.items() if value is not None}

    def _check_mode(self, mode: Mode) -> None:
        """Refuse what would change nothing."""
        if self.candidates is not None and mode != "hybrid":
            raise VectorError(
                ByFace(
                    "candidates goes with mode='hybrid'",
                    cli="--candidates goes with --mode hybrid",
                    page="candidates goes with hybrid",
                )
                + f", not with {mode!r}, whose only list is as long as hits are wanted"
            )
        if self._bm25 and mode == "dense":
            raise VectorError(
                f"{', '.join(self._bm25)}: parameters of BM25 go with "
                + ByFace("mode='bm25' or mode='hybrid'", cli="--mode bm25 or --mode hybrid", page="bm25 or hybrid")
                + ", not with 'dense'"
            )

    def over(self, known: Ranking) -> Ranking:
        """A known ranking with these options in place of its own; its λ stays only while BM25 scores as it did for that λ.

        Raises:
            VectorError: An option does not go with the resulting mode.
        """
        given = Ranking.of(self.mode, self.weight, self.fusion)
        if given is None or (given.mode == known.mode and self.weight is None and self.fusion is None):
            ranking = known
        else:
            ranking = replace(given, candidates=known.candidates, bm25=known.bm25)
        self._check_mode(ranking.mode)
        bm25 = replace(ranking.bm25, **self._bm25)
        if bm25 != ranking.bm25 and self.weight is None:
            ranking = replace(ranking, weight=None)
        candidates = ranking.candidates if self.candidates is None else self.candidates
        return replace(ranking, bm25=bm25, candidates=candidates)


class HasRanking:
    """A store with a ranking of its own, some options of which a call may replace."""

    def ranking_for(
        self,
        mode: Mode | None = None,
        weight: float | None = None,
        fusion: Fusion | None = None,
        *,
        candidates: int | None = None,
        k1: float | None = None,
        b: float | None = None,
        phrases: float | None = None,
    ) -> Ranking:
        """The store's ranking with some options of its own; the others are as tuned, or the default.

        Args:
            mode: As for ``Retriever``, like all others.
            weight: λ.
            fusion: How both legs are joined.
            candidates: How many passages each leg brings.
            k1: Of BM25.
            b: Of BM25.
            phrases: Weight of words that follow each other.

        Raises:
            VectorError: A value is out of range, or goes with another mode.
        """
        return self.ranking_of(RankingOptions(mode, weight, fusion, candidates, k1, b, phrases))

    def ranking_of(self, options: RankingOptions) -> Ranking:
        """Like :meth:`ranking_for`, for options in one object."""
        raise NotImplementedError


def ranking_given(ranking: Ranking | None, options: RankingOptions) -> Ranking | RankingOptions | None:
    """What a retriever was told of the ranking: all of it, some options, or None for nothing.

    Raises:
        VectorError: ``ranking`` is none, or both were given.
    """
    if ranking is None:
        return options or None
    check_instance("ranking", ranking, Ranking, VectorError, advice="; or say mode=")
    if options:
        raise VectorError(
            "ranking was given together with mode, weight, fusion, candidates, k1, b or phrases; it says all of them already"
        )
    return ranking
