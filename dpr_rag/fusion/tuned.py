"""``Tuned``: the ranking that tuning chose for a store, and its JSON form."""

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
    """The default ranking of a store, as tuning chose it.

    Attributes:
        ranking: The ranking.
        calibrations: Calibrations of this and other rankings, fitted to the labelled questions.
        questions: The number of labelled questions.
        fingerprint: Fingerprint of the encoder; the choice is ignored once the store has another.
        language: Language of BM25's stemmer; the same holds.
        weight: λ for hybrid rankings that leave it open; None to find it per question.
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
            object.__setattr__(self, "weight", check_number("weight", self.weight, VectorError, more=", or None"))

    def settled(self, ranking: Ranking) -> Ranking:
        """The ranking with the tuned λ, if it leaves λ open and has the BM25 parameters that λ was tuned with."""
        if not ranking.wants_weight or self.weight is None or ranking.bm25 != self.ranking.bm25:
            return ranking
        return replace(ranking, weight=self.weight * ranking.balance, balance=1.0)

    def as_dict(self) -> dict[str, Any]:
        """The JSON form, the inverse of :meth:`from_dict`."""
        return {
            "ranking": asdict(self.ranking),
            "calibrations": [
                [asdict(ranking), asdict(calibration)] for ranking, calibration in self.calibrations.items()
            ],
            **{name: getattr(self, name) for name in _PLAIN},
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Tuned:
        """Read the JSON form.

        Raises:
            VectorError: It is not one that :meth:`as_dict` made.
        """
        try:
            calibrations = {
                _ranking(ranking): Calibration(**calibration) for ranking, calibration in data["calibrations"]
            }
            return Tuned(_ranking(data["ranking"]), calibrations, *(data[name] for name in _PLAIN))
        except (TypeError, LookupError, AttributeError) as error:
            raise VectorError(f"{kind(data)} is no choice of a ranking, expected what Tuned.as_dict made") from error


def _ranking(data: Mapping[str, Any]) -> Ranking:
    # choices made before phrases existed lack their weight, and were made without them
    return Ranking(**{**data, "bm25": BM25(**{"phrases": 0.0, **data["bm25"]})})
