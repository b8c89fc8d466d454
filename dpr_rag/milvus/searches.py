"""The search methods of a ``MilvusStore``: by vectors, by words, by both; its ranking and its calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dpr_rag.arguments import check_count, check_instance, names_known
from dpr_rag.encoder import Encoder, Vectors, check_encoded, check_vectors
from dpr_rag.errors import EncoderMismatchError, VectorError
from dpr_rag.faces import ByFace
from dpr_rag.filters import Where
from dpr_rag.fusion import Calibration, Diversity, HasRanking, Ranking, RankingOptions, SearchRequest, Tuned
from dpr_rag.lexical import BM25
from dpr_rag.milvus import calibrating, searching, tuning
from dpr_rag.milvus.collection import Collection
from dpr_rag.milvus.conditions import Selection, selection
from dpr_rag.passages import Hit, Passage, check_questions
from dpr_rag.store.ranking import Candidates
from dpr_rag.store.scope import WHOLE, Scope


class Searches(HasRanking):
    """The search methods of a collection, or of a view of one."""

    def __init__(self, collection: Collection, encoder: Encoder | None, scope: Scope) -> None:
        self._collection, self._encoder, self._scope = collection, encoder, scope

    @property
    def path(self) -> str:
        """The address, without the token."""
        return self._collection.address.shown

    @property
    def encoder(self) -> Encoder | None:
        """The encoder that the store was opened with."""
        return self._encoder

    @property
    def dim(self) -> int | None:
        """Components per vector; None while the store is empty and has no encoder."""
        return self._collection.dim

    @names_known()
    def search(
        self,
        vectors: Any,
        k: int,
        filter: Where = None,
        *,
        exact: bool = False,
        diversity: Diversity | None = None,
        min_relevance: float | None = None,
    ) -> list[list[Hit]]:
        """Maximum inner product search, see ``PassageStore.search``."""
        if vectors is None:
            raise VectorError("vectors is NoneType None, expected float [n, dim]; rank() takes questions in words")
        request = SearchRequest(None, k, filter, vectors, exact=exact, diversity=diversity, min_relevance=min_relevance)
        plan = self._plan(request, Ranking())
        checked = check_vectors(vectors, dim=self.dim)
        return searching.find(self._collection, plan, checked, [""] * len(checked))

    @names_known()
    def rank(
        self,
        questions: Sequence[str],
        k: int,
        filter: Where = None,
        *,
        ranking: Ranking | None = None,
        vectors: Any = None,
        diversity: Diversity | None = None,
        min_relevance: float | None = None,
    ) -> list[list[Hit]]:
        """Search for questions in words, see ``PassageStore.rank``.

        Raises:
            VectorError: The ranking needs words, and this Milvus has no BM25; or it has parameters of BM25 that are not Milvus'.
        """
        words = check_questions(questions)  # once, as they may be a generator
        request = SearchRequest(words, k, filter, vectors, diversity=diversity, min_relevance=min_relevance)
        plan = self._plan(request, self.settled(self.ranking if ranking is None else ranking))
        if not plan.ranking.needs_vectors:
            return searching.find(self._collection, plan, None, words)
        encoded = self.encode_questions(words) if vectors is None else vectors
        checked = check_vectors(encoded, dim=self.dim, rows=len(words))
        return searching.find(self._collection, plan, checked, words)

    def encode_questions(self, questions: Sequence[str]) -> Vectors:
        """Encode questions with the store's encoder, float32 [n, dim].

        Raises:
            EncoderMismatchError: It was opened without an encoder.
        """
        if self._encoder is None:
            raise EncoderMismatchError(
                f"{self.path} was opened without an encoder; "
                + ByFace("pass encoder= to open_store, or search with vectors", cli="name one with --model")
            )
        checked = check_questions(questions)
        vectors = self._encoder.encode_questions(checked)
        return check_encoded(self._encoder, "encode_questions", vectors, rows=len(checked), names=checked)

    @property
    def ranking(self) -> Ranking:
        """The ranking of searches that name none: as the collection was tuned, or else by inner product."""
        return Ranking() if self.tuned is None else self.tuned.ranking

    @property
    def tuned(self) -> Tuned | None:
        """The tuned ranking, as of opening the store or set by it since; or None."""
        return tuning.tuned_of(self._collection)

    def candidates(self, questions: Sequence[str], ranking: Ranking, *, vectors: Any = None) -> Candidates:
        """The candidates of a hybrid ranking, see ``PassageStore.candidates``.

        Raises:
            VectorError: The ranking is not hybrid; or see :meth:`rank`.
        """
        words = check_questions(questions)
        check_instance("ranking", ranking, Ranking, VectorError)
        if ranking.mode != "hybrid":
            raise VectorError(f"the ranking's mode is {ranking.mode!r}, expected 'hybrid', which has two legs")
        self._refuse_words(ranking.bm25)
        encoded = self.encode_questions(words) if vectors is None else vectors
        checked = check_vectors(encoded, dim=self.dim, rows=len(words))
        weighted = replace(ranking, weight=None, fusion="weighted")
        plan = self._plan(SearchRequest(k=ranking.candidates), weighted)
        return tuning.candidates(self._collection, plan, checked, words)

    def ranking_of(self, options: RankingOptions) -> Ranking:
        """Like :meth:`ranking_for`, for options in one object."""
        check_instance("options", options, RankingOptions, VectorError, advice="; make one as RankingOptions(mode)")
        return options.over(self.ranking)

    def settled(self, ranking: Ranking) -> Ranking:
        """The ranking with the λ that the collection was tuned to, after checking that the engine supports it.

        Raises:
            VectorError: See :meth:`rank`.
        """
        check_instance("ranking", ranking, Ranking, VectorError, advice="; make one as Ranking(mode)")
        if ranking.needs_words:
            self._refuse_words(ranking.bm25)
        return ranking if self.tuned is None else self.tuned.settled(ranking)

    def calibration_of(self, ranking: Ranking) -> Calibration:
        """The calibration of a ranking's scores, see ``PassageStore.calibration_of``."""
        settled, tuned = self.settled(ranking), self.tuned
        if tuned is not None and settled in tuned.calibrations:
            return tuned.calibrations[settled]
        whole = Searches(self._collection, self._encoder, WHOLE)  # as in a folder, scores mean the same in every view
        return self._collection.fitted.of(settled, lambda: calibrating.calibration(whole, self._collection, settled))

    @property
    def calibration(self) -> Calibration:
        """The calibration of inner products."""
        return self.calibration_of(Ranking())

    def sample(self, count: int) -> tuple[list[Passage], Vectors]:
        """A random sample of passages, the same while the store does not change, and their vectors, float32 [n, dim]."""
        where = self._selection(None)
        drawn = calibrating.sampled(self._collection, check_count("count", count, VectorError), where.expression)
        drawn = [stored for stored in drawn if where.keeps(stored.passage)]
        vectors = np.stack([stored.vector for stored in drawn]) if drawn else np.empty((0, self.dim or 0), np.float32)
        return [stored.passage for stored in drawn], vectors

    def _selection(self, where: Where) -> Selection:
        return selection(self._scope.condition(where), self._collection.description.parted_by)

    def _plan(self, request: SearchRequest, ranking: Ranking) -> searching.SearchPlan:
        k, threshold = check_count("k", request.k, VectorError), request.min_relevance
        keep = None if threshold is None else self.calibration_of(ranking).keeps(threshold)
        drawn = calibrating.sampled_vectors(self._collection) if ranking.wants_weight else None
        selection = self._selection(request.filter)
        return searching.SearchPlan(k, selection, ranking, request.exact, request.diversity, keep, drawn)

    def _refuse_words(self, bm25: BM25) -> None:
        if not (self._collection.has_words or (not self._collection.exists and self._collection.knows_words)):
            raise VectorError(
                f"{self.path} ranks by vectors alone: Milvus {self._collection.version} has no BM25, which 2.5 brought; "
                + ByFace("use mode='dense'", cli="use --mode dense")
                + ", or a newer Milvus and a new collection"
            )
        if bm25 != BM25():
            raise VectorError(
                f"{self.path}: the engine's BM25 has k1 = 0.9 and b = 0.4 and knows no phrases; leave out k1, b and phrases"
            )
