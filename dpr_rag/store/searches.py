"""The searches of a store: by vectors, by BM25, by both; calibration of their scores, and index recall."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dpr_rag.arguments import check_instance, names_known
from dpr_rag.encoder import Vectors
from dpr_rag.errors import ArgumentError, VectorError
from dpr_rag.filters import Where
from dpr_rag.fusion import Calibration, Diversity, HasRanking, Ranking, RankingOptions, Tuned
from dpr_rag.lexical import BM25
from dpr_rag.passages import Hit, Passage, check_questions
from dpr_rag.storage.reader import Condition
from dpr_rag.storage.state import State
from dpr_rag.store import calibrating, checking, choosing, lexicon, lookup
from dpr_rag.store.ranking import Candidates, RankingQuery, candidates, search
from dpr_rag.store.scope import Scoped
from dpr_rag.store.unknown_fields import warn_unknown


class Searches(Scoped, HasRanking):
    """The methods of a ``PassageStore`` that search it."""

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
        """Maximum inner product search.

        Args:
            vectors: Question vectors, float [n, dim].
            k: Hits per question, at least 1; fewer come back only where fewer passages qualify.
            filter: Selects *before* the top k: a dict, a ``Filter``, or a predicate on ``Passage``. A predicate is asked
                about every passage at every search, so prefer the others where they can say it.
            exact: Search exactly also where the index is approximate.
            diversity: Choose by maximal marginal relevance among the best.
            min_relevance: Leave out hits of less relevance in [0, 1], see :attr:`calibration`.

        Returns:
            For each question its hits, best first, or in the order chosen; ``score`` is the exact inner product with the
            stored vector, and ties come in order of insertion.

        Raises:
            VectorError: A question vector has the wrong dimension, or is NaN or infinite, or k is below 1.
            FilterError: The filter cannot be understood.
            StoreCorrupted: A passage that was found is damaged.
        """
        if vectors is None:
            raise VectorError("vectors is NoneType None, expected float [n, dim]; rank() takes questions in words")
        keep = None if min_relevance is None else self.calibration.keeps(min_relevance)
        where = self._scope.condition(filter)
        query = RankingQuery(k, vectors, where=where, exact=exact, diversity=diversity, keep=keep)
        return self._warned(filter, where, search(self._engine, query))

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
        """Search for questions in words: by vectors, by BM25, or by both (hybrid).

        Args:
            questions: The questions.
            k: Hits per question, at least 1.
            filter: See :meth:`search`; it holds for both legs.
            ranking: How passages are ranked; None is :attr:`ranking`.
            vectors: The questions' vectors, float [n, dim], where they are known already.
            diversity: Choose by maximal marginal relevance among the best.
            min_relevance: Leave out hits of less relevance in [0, 1], see :meth:`calibration_of`.

        Returns:
            For each question its hits; ``score`` is what ``ranking`` ranks by, ``dense`` and ``bm25`` what the legs gave. BM25
            brings only passages that hold a word of the question.

        Raises:
            PassageError: The questions are no list, or one is no string or blank.
            EncoderMismatchError: The ranking needs vectors, and the store has no encoder.
            VectorError: k is below 1, an option is out of range, or there are more or fewer vectors than questions.
            FilterError: The filter cannot be understood.
            StoreCorrupted: A passage that was found is damaged.
        """
        engine, state, texts = self._engine, self._engine.state(), check_questions(questions)
        settled = self._settled(choosing.ranking_of(engine, state) if ranking is None else ranking, state)
        if settled.needs_words:
            lexicon.write_first(engine)
        keep = None if min_relevance is None else calibrating.calibration(engine, settled, state).keeps(min_relevance)
        if settled.needs_vectors and vectors is None:
            vectors = self.encode_questions(texts)
        where = self._scope.condition(filter)
        dense = vectors if settled.needs_vectors else None
        query = RankingQuery(k, dense, texts, where, settled, diversity=diversity, keep=keep)
        return self._warned(filter, where, search(engine, query))

    def _warned(self, given: Where, condition: Condition | None, hits: list[list[Hit]]) -> list[list[Hit]]:
        """The same hits; if there are none, a warning names fields of the filter that no passage has."""
        if not any(hits):
            warn_unknown(self._engine, self._scope, given, condition)
        return hits

    def candidates(self, questions: Sequence[str], ranking: Ranking, *, vectors: Any = None) -> Candidates:
        """The candidates of a hybrid ranking with the scores of both legs, to try many λ or other ways of fusion.

        Args:
            questions: The questions.
            ranking: How many candidates each leg brings, and the parameters of BM25; λ does not matter.
            vectors: The questions' vectors, float [n, dim], where they are known already.

        Raises:
            PassageError: The questions are no list, or one is no string or blank.
            EncoderMismatchError: The store has no encoder.
            VectorError: The ranking is not hybrid, or there are more or fewer vectors than questions.
            StoreCorrupted: A passage that was found is damaged.
        """
        engine, texts = self._whole("candidates"), check_questions(questions)
        check_instance("ranking", ranking, Ranking, VectorError)
        lexicon.write_first(engine)
        encoded = self.encode_questions(texts) if vectors is None else vectors
        return candidates(engine, RankingQuery(ranking.candidates, encoded, texts, ranking=ranking))

    @names_known()
    def select(self, filter: Where = None, k: int | None = None) -> list[Passage]:
        """Passages that a filter keeps, in order of insertion, without a question.

        Args:
            filter: See :meth:`search`; None keeps all.
            k: The first so many, or None for all.

        Raises:
            FilterError: The filter cannot be understood.
            VectorError: k is below 1.
            StoreCorrupted: A passage that was found is damaged.
        """
        where = self._scope.condition(filter)
        if not (passages := lookup.select(self._engine, where, k)):
            warn_unknown(self._engine, self._scope, filter, where)
        return passages

    @property
    def ranking(self) -> Ranking:
        """The default ranking: as tuned, or else by inner product."""
        return self.ranking_for()

    def ranking_of(self, options: RankingOptions) -> Ranking:
        """Like :meth:`ranking_for`, for options in one object."""
        check_instance("options", options, RankingOptions, VectorError, advice="; make one as RankingOptions(mode)")
        return choosing.ranking_of(self._engine, self._engine.state(), options)

    @property
    def tuned(self) -> Tuned | None:
        """The default ranking that tuning chose for the present encoder, or None; see ``dpr_rag.evaluation.tune``."""
        return choosing.tuned_of(self._engine, self._engine.state())

    def set_tuned(self, choice: Tuned | None) -> None:
        """Store a tuned ranking as the default of every retriever and adapter; None removes it.

        Raises:
            EncoderMismatchError: The choice was made with another encoder or language.
            StoreReadOnlyError: The store was opened read-only.
        """
        if choice is not None:
            check_instance("choice", choice, Tuned, ArgumentError, advice=", as evaluation.tune finds it, or None")
        choosing.set_tuned(self._whole("set_tuned"), choice)

    @property
    def read_only(self) -> bool:
        """Whether the store refuses every change."""
        return self._engine.database.read_only

    @property
    def calibration(self) -> Calibration:
        """The calibration of inner products: maps them to relevances in [0, 1], see :meth:`calibration_of`."""
        return self.calibration_of(Ranking())

    def calibration_of(self, ranking: Ranking) -> Calibration:
        """The calibration of a ranking: maps its scores to relevances in [0, 1].

        They mean the same in every ranking, by how many hits lie above: one half keeps some four of five right first hits, and
        lets one of eight to one of four questions through whose topic is not in the store; nine tenths keep less than half of
        the right ones and hardly any others. The store asks for up to 128 of its own passages to find out, at first use, and
        again when it has doubled, halved or changed its encoder or language; with fewer than 16 to go by, one half lies where
        right and wrong scores part. Where the store was tuned, labelled questions say it instead: what was right and found
        against the best that was wrong. With ``fusion="rrf"`` scores know only ranks, and so do their relevances.
        """
        state = self._engine.state()
        return calibrating.calibration(self._engine, self._settled(ranking, state), state)

    def suggested_weight(self, bm25: BM25 | None = None) -> float:
        """A λ for all questions, to pass as ``weight=`` where none was tuned.

        It is the ratio of the spreads of both legs' scores: with it they differ by as much from passage to passage. The spreads
        are standard deviations over 64 sampled passages, asked for by stretches of each other. Without a weight, hybrid
        rankings find λ for each question instead, which is never worse and mostly better, see ``Legs.weight``.
        Measured at first use, and again when the store has doubled, halved or changed encoder or language.
        """
        bm25 = BM25() if bm25 is None else check_instance("bm25", bm25, BM25, VectorError)
        return calibrating.suggested_weight(self._engine, bm25, self._engine.state())

    def settled(self, ranking: Ranking) -> Ranking:
        """The same ranking, with the tuned λ where it leaves λ open; without a tuned λ, it is found per question."""
        return self._settled(ranking, self._engine.state())

    def _settled(self, ranking: Ranking, state: State) -> Ranking:
        check_instance("ranking", ranking, Ranking, VectorError, advice="; make one as Ranking(mode)")
        tuned = choosing.tuned_of(self._engine, state)
        return ranking if tuned is None else tuned.settled(ranking)

    def measure_index_recall(self, sample: int | Vectors = 100, *, k: int = 20) -> float:
        """Index recall: overlap of the index's top k with the exact top k.

        Args:
            sample: Question vectors [n, dim], or how many stored vectors to draw at random (seed 0) as questions.
            k: Hits compared per question.

        Returns:
            A share in [0, 1]; 1.0 for an empty store.
        """
        return checking.index_recall(self._whole("measure_index_recall"), sample, k)

    def encode_questions(self, questions: Sequence[str]) -> Vectors:
        """Encode questions with the store's encoder, float32 [n, dim].

        Raises:
            EncoderMismatchError: The store was opened without an encoder.
        """
        return self._engine.encode_questions(questions)
