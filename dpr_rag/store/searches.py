"""The searches of a store: by vectors, by words, by both; and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dpr_rag.arguments import check_instance, names_known
from dpr_rag.encoder import Vectors
from dpr_rag.errors import ArgumentError, VectorError
from dpr_rag.fusion import Calibration, Diversity, HasRanking, Ranking, RankingOptions, Tuned
from dpr_rag.lexical import BM25
from dpr_rag.passages import Hit, Passage, check_questions
from dpr_rag.storage.reader import Condition
from dpr_rag.storage.state import State
from dpr_rag.store import calibrating, checking, choosing, lexicon, lookup
from dpr_rag.store.ranking import Asked, Candidates, candidates, search
from dpr_rag.store.scope import Scoped, Where
from dpr_rag.store.unknown_fields import tell_unknown


class Searches(Scoped, HasRanking):
    """What a ``PassageStore`` can be asked."""

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
        asked = Asked(k, vectors, where=self._scope.condition(filter), exact=exact, diversity=diversity, keep=keep)
        return self._told(filter, asked.where, search(self._engine, asked))

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
        """Search for questions in words: by vectors, by BM25, or by both.

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
        asked, state = check_questions(questions), self._engine.state()
        how = self._settled(choosing.ranking_of(self._engine, state) if ranking is None else ranking, state)
        if how.needs_words:
            lexicon.keep_if_due(self._engine, first=True)
        keep = None if min_relevance is None else calibrating.calibration(self._engine, how, state).keeps(min_relevance)
        if how.needs_vectors and vectors is None:
            vectors = self.encode_questions(asked)
        where = self._scope.condition(filter)
        dense = vectors if how.needs_vectors else None
        found = search(self._engine, Asked(k, dense, asked, where, how, diversity=diversity, keep=keep))
        return self._told(filter, where, found)

    def _told(self, given: Where, condition: Condition | None, found: list[list[Hit]]) -> list[list[Hit]]:
        """What was found; where that is nothing, fields of the filter that no passage has are told."""
        if not any(found):
            tell_unknown(self._engine, self._scope, given, condition)
        return found

    def candidates(self, questions: Sequence[str], ranking: Ranking, *, vectors: Any = None) -> Candidates:
        """What a hybrid ranking chooses from, for those who try many λ or join the legs in other ways.

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
        engine, asked = self._whole("candidates"), check_questions(questions)
        check_instance("ranking", ranking, Ranking, VectorError)
        lexicon.keep_if_due(engine, first=True)
        encoded = self.encode_questions(asked) if vectors is None else vectors
        return candidates(engine, Asked(ranking.candidates, encoded, asked, ranking=ranking))

    def select(self, filter: Where = None, k: int | None = None) -> list[Passage]:
        """Passages that a filter keeps, in order of insertion: what there is to find where nothing is asked for.

        Args:
            filter: See :meth:`search`; None keeps all.
            k: The first so many, or None for all.

        Raises:
            FilterError: The filter cannot be understood.
            VectorError: k is below 1.
            StoreCorrupted: A passage that was found is damaged.
        """
        where = self._scope.condition(filter)
        if not (found := lookup.select(self._engine, where, k)):
            tell_unknown(self._engine, self._scope, filter, where)
        return found

    @property
    def ranking(self) -> Ranking:
        """How passages are ranked where a call does not say: as tuned, or else by inner product."""
        return self.ranking_for()

    def ranking_of(self, options: RankingOptions) -> Ranking:
        """Like :meth:`ranking_for`, for options in one object."""
        return choosing.ranking_of(self._engine, self._engine.state(), options)

    @property
    def tuned(self) -> Tuned | None:
        """What the store was tuned to with its present encoder, or None; see ``dpr_rag.evaluation.tune``."""
        return choosing.of_state(self._engine, self._engine.state())

    def set_tuned(self, choice: Tuned | None) -> None:
        """Keep a choice in the store, for every retriever and adapter that does not say how to rank; None removes it.

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
        """What turns inner products into relevances in [0, 1], see :meth:`calibration_of`."""
        return self.calibration_of(Ranking())

    def calibration_of(self, ranking: Ranking) -> Calibration:
        """What turns the scores of a ranking into relevances in [0, 1].

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
        """One λ for all questions, where ``weight=`` is to be a number and nobody has tuned one.

        It is the ratio of the spreads of both legs' scores: with it they differ by as much from passage to passage. The spreads
        are standard deviations over 64 sampled passages, asked for by stretches of each other. Without a weight, hybrid
        rankings find λ for each question instead, which is never worse and mostly better, see ``Legs.weight``.
        Measured at first use, and again when the store has doubled, halved or changed encoder or language.
        """
        bm25 = BM25() if bm25 is None else check_instance("bm25", bm25, BM25, VectorError)
        return calibrating.suggested_weight(self._engine, bm25, self._engine.state())

    def settled(self, ranking: Ranking) -> Ranking:
        """A ranking with the λ that the store was tuned to, where it leaves that open; else λ is found for each question."""
        return self._settled(ranking, self._engine.state())

    def _settled(self, ranking: Ranking, state: State) -> Ranking:
        check_instance("ranking", ranking, Ranking, VectorError, advice="; make one as Ranking(mode)")
        found = choosing.of_state(self._engine, state)
        return ranking if found is None else found.settled(ranking)

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
