"""What a caller says of the ranking, and what becomes of the rest: it stays as it was tuned, or is the default."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dpr_rag.errors import VectorError
from dpr_rag.fusion.ranking import Fusion, Mode, Ranking
from dpr_rag.lexical import BM25


@dataclass(frozen=True, slots=True)
class Wishes:
    """Options of a search; each is None where nothing was said.

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
        Ranking.of(self.mode, self.weight, self.fusion)
        if self.candidates is not None:
            Ranking(candidates=self.candidates)
        BM25(**self._words)
        if self.mode is not None:
            self._check_mode(self.mode)

    def __bool__(self) -> bool:
        return self != Wishes()

    @property
    def _words(self) -> dict[str, float]:
        said = {"k1": self.k1, "b": self.b, "phrases": self.phrases}
        return {name: value for name, value in said.items() if value is not None}

    def _check_mode(self, mode: Mode) -> None:
        """Refuse what would change nothing."""
        if self.candidates is not None and mode != "hybrid":
            raise VectorError(
                f"candidates goes with mode='hybrid', not with {mode!r}, whose only list is as long as hits are wanted"
            )
        if self._words and mode == "dense":
            raise VectorError(
                f"{', '.join(self._words)}: parameters of BM25 go with mode='bm25' or mode='hybrid', not with 'dense'"
            )

    def over(self, known: Ranking) -> Ranking:
        """The ranking that comes of a known one; its λ stays only where the scores of BM25 stay, for which it was found.

        Raises:
            VectorError: An option changes nothing in the known mode.
        """
        said = Ranking.of(self.mode, self.weight, self.fusion)
        if said is None or (said.mode == known.mode and self.weight is None and self.fusion is None):
            found = known
        else:
            found = replace(said, candidates=known.candidates, bm25=known.bm25)
        self._check_mode(found.mode)
        bm25 = replace(found.bm25, **self._words)
        if bm25 != found.bm25 and self.weight is None:
            found = replace(found, weight=None)
        return replace(found, bm25=bm25, candidates=found.candidates if self.candidates is None else self.candidates)
