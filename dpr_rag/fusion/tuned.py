"""What tuning has found best for a store, and its form in the store's record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from dpr_rag.arguments import check_instance, check_number, kind
from dpr_rag.errors import VectorError
from dpr_rag.fusion.calibration import Calibration
from dpr_rag.fusion.ranking import Ranking
from dpr_rag.lexical import BM25

_PLAIN = ("questions", "fingerprint", "language", "weight")


@dataclass(frozen=True, slots=True)
class Tuned:
    """How a store ranks unless a call says otherwise.

    Attributes:
        ranking: The choice.
        calibrations: What labelled questions say of the scores of this ranking, and of others.
        questions: How many labelled questions it was chosen on.
        fingerprint: The encoder that filled the store then; with another one the choice no longer counts.
        language: Whose words BM25 stemmed then; the same.
        weight: λ for ``hybrid`` where it is asked for by name, or None for one that fits each question.
    """

    ranking: Ranking
    calibrations: Mapping[Ranking, Calibration] = field(default_factory=dict, hash=False)
    questions: int = 0
    fingerprint: str = ""
    language: str = ""
    weight: float | None = None

    def __post_init__(self) -> None:
        check_instance("ranking", self.ranking, Ranking, VectorError)
        if self.weight is not None:
            check_number("weight", self.weight, VectorError, more=", or None")

    def settled(self, ranking: Ranking) -> Ranking:
        """A ranking with the λ that was found best, where it leaves that open and BM25 is the one that it was found for."""
        if not ranking.wants_weight or self.weight is None or ranking.bm25 != self.ranking.bm25:
            return ranking
        return replace(ranking, weight=self.weight * ranking.balance, balance=1.0)

    def as_dict(self) -> dict[str, Any]:
        """The choice as a JSON object, the inverse of :meth:`from_dict`."""
        return {
            "ranking": asdict(self.ranking),
            "calibrations": [[asdict(ranking), asdict(one)] for ranking, one in self.calibrations.items()],
            **{name: getattr(self, name) for name in _PLAIN},
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Tuned:
        """Read a choice back.

        Raises:
            VectorError: It is not what :meth:`as_dict` made.
        """
        try:
            calibrations = {_ranking(ranking): Calibration(**one) for ranking, one in data["calibrations"]}
            return Tuned(_ranking(data["ranking"]), calibrations, *(data[name] for name in _PLAIN))
        except (TypeError, LookupError, AttributeError) as error:
            raise VectorError(f"{kind(data)} is no choice of a ranking, expected what Tuned.as_dict made") from error


def _ranking(data: Mapping[str, Any]) -> Ranking:
    # choices from before there were phrases hold no weight of theirs, and were made without
    return Ranking(**{**data, "bm25": BM25(**{"phrases": 0.0, **data["bm25"]})})
