"""What a service tells of its store's encoder, ranking and calibration."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dpr_rag.arguments import check_instance
from dpr_rag.encoder import Vectors, check_vectors
from dpr_rag.errors import VectorError
from dpr_rag.fusion import Calibration, HasRanking, Ranking, RankingOptions
from dpr_rag.passages import check_questions
from dpr_rag.remote.requests import AT_ONCE, ranking_record
from dpr_rag.remote.wire import of_type, ranking_of, understood


class Settings(HasRanking):
    """The methods of a ``RemoteStore`` that ask for vectors of questions, rankings and calibrations."""

    def encode_questions(self, questions: Sequence[str]) -> Vectors:
        """Encode questions with the service's encoder, float32 [n, dim]."""
        checked, parts = check_questions(questions), []
        for start in range(0, len(checked) or 1, AT_ONCE):
            part = checked[start : start + AT_ONCE]
            answer = self._post("/v1/encode", {"questions": part})
            with understood("vectors"):
                vectors = answer["vectors"] if part else np.empty((0, of_type(int, answer["dim"])), np.float32)
                parts.append(check_vectors(vectors, rows=len(part)))
        return np.concatenate(parts)

    @property
    def ranking(self) -> Ranking:
        """The ranking of searches that name none."""
        return self.ranking_for()

    def ranking_of(self, options: RankingOptions) -> Ranking:
        """Like :meth:`ranking_for`, for options in one object."""
        check_instance("options", options, RankingOptions, VectorError, advice="; make one as RankingOptions(mode)")
        return self._ranking(ranking_record(options))

    def settled(self, ranking: Ranking) -> Ranking:
        """The ranking with the λ that the store was tuned to, see ``PassageStore.settled``."""
        return self._ranking({**ranking_record(_full(ranking)), "settle": True})

    def calibration_of(self, ranking: Ranking) -> Calibration:
        """The calibration of a ranking's scores, see ``PassageStore.calibration_of``."""
        return self.calibration_for(ranking_record(_full(ranking)))

    @property
    def calibration(self) -> Calibration:
        """The calibration of inner products, see ``PassageStore.calibration``."""
        return self.calibration_of(Ranking())

    def calibration_for(self, record: Mapping[str, Any]) -> Calibration:
        """Like :meth:`calibration_of`, for the ranking fields of a request body."""
        answer = self._post("/v1/calibration", record)
        with understood("calibration"):
            return Calibration(of_type(float, answer["slope"]), of_type(float, answer["offset"]))

    def _ranking(self, record: Mapping[str, Any]) -> Ranking:
        answer = self._post("/v1/ranking", record)
        with understood("ranking"):
            return ranking_of(answer["ranking"])

    @abstractmethod
    def _post(self, path: str, body: Mapping[str, Any], *, repeatable: bool = True) -> dict[str, Any]: ...


def _full(ranking: Ranking) -> Ranking:
    return check_instance("ranking", ranking, Ranking, VectorError, advice="; make one as Ranking(mode)")
