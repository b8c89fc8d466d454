"""Mines hard negatives from a store: highly ranked passages that are not positive and hold no answer."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice, zip_longest
from typing import Literal, get_args

from dpr_rag.arguments import check_callable, check_count, check_flag, check_instance, check_number, iterated, kind
from dpr_rag.corpora import Question, TrainingPassage, TrainingSample
from dpr_rag.errors import TrainingError, unknown
from dpr_rag.evaluation import has_answer
from dpr_rag.faces import ByFace
from dpr_rag.fusion import Ranking
from dpr_rag.lexical import BM25
from dpr_rag.passages import Hit, Passage
from dpr_rag.stores import Store, is_store
from dpr_rag.training.batches import key_of
from dpr_rag.training.mining_report import MiningReport

From = Literal["bm25", "dense", "both"]
Leg = Literal["bm25", "dense"]
_BATCH = 64
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Mining:
    """The source of hard negatives, and how they are selected.

    Attributes:
        source: ``bm25`` as in the paper, ``dense`` with the store's encoder, or ``both`` alternately.
        negatives: The largest number of hard negatives per question.
        first: The best rank of a negative, from 1.
        last: The worst rank of a negative.
        margin: The least difference between the scores of the best positive and a negative. It needs ``bm25`` or ``dense``,
            since their scores have different scales. None for no limit.
        regex: Whether answers are regular expressions.
        keep: For training samples: add to the hard negatives they have, instead of replacing those.
        bm25: Parameters of BM25.
        positive_last: For questions with answers only: the worst rank of their positive, at most ``last``; None for ``last``.
            The lower the rank, the more passages hold an answer such as a number by chance.

    Raises:
        TrainingError: A value is out of range or none, or a margin is given for both rankings.
        ArgumentError: ``regex`` or ``keep`` is neither true nor false.
    """

    source: From = "bm25"
    negatives: int = 30
    first: int = 1
    last: int = 100
    margin: float | None = None
    regex: bool = False
    keep: bool = False
    bm25: BM25 = field(default_factory=BM25)
    positive_last: int | None = None

    def __post_init__(self) -> None:
        if self.source not in get_args(From):
            raise TrainingError(unknown("source", self.source, get_args(From)))
        for name in ("negatives", "first", "last", "positive_last"):
            if name != "positive_last" or self.positive_last is not None:
                object.__setattr__(self, name, check_count(name, getattr(self, name), TrainingError))
        check_flag("regex", self.regex)
        check_flag("keep", self.keep)
        check_instance("bm25", self.bm25, BM25, TrainingError)
        if self.first > self.last:
            raise TrainingError(f"ranks {self.first} to {self.last}: expected ranks that rise; swap them")
        if self.positive_last is not None and self.positive_last > self.last:
            raise TrainingError(
                ByFace(
                    f"positive_last={self.positive_last}",
                    cli=f"--positive-last is {self.positive_last}",
                    page=f"the last positive is {self.positive_last}",
                )
                + ", expected a rank from 1 to "
                + ByFace(f"last={self.last}", cli=f"--last {self.last}", page=f"the last {self.last}")
                + ": no more passages are looked at"
            )
        if self.margin is not None:
            margin = check_number("margin", self.margin, TrainingError, low=-math.inf)
            object.__setattr__(self, "margin", margin)
            if self.source == "both":
                raise TrainingError(
                    ByFace(f"margin={self.margin}", cli=f"--margin {self.margin}", page=f"a margin of {self.margin}")
                    + " for the scores of both rankings, which have different scales; mine from bm25 with "
                    "one margin, and then from dense with another and " + ByFace("keep=True", cli="--keep")
                )

    @property
    def legs(self) -> tuple[Leg, ...]:
        """The rankings that are asked."""
        return ("bm25", "dense") if self.source == "both" else (self.source,)


class Miner:
    """Makes training samples of questions, and counts what becomes of them.

    Args:
        store: An open store; for ``dense`` with its encoder.
        mining: Which negatives.

    Raises:
        TrainingError: One of them is none.
    """

    def __init__(self, store: Store, mining: Mining | None = None) -> None:
        if not is_store(store):
            raise TrainingError(f"store is {kind(store)}, expected an open store; open one with open_store(address)")
        if mining is not None:
            check_instance("mining", mining, Mining, TrainingError, advice="; make one as Mining('bm25', negatives=30)")
        self._store, self._mining = store, mining or Mining()
        self._counts: dict[str, int] = {}
        self._examples: list[str] = []

    @property
    def report(self) -> MiningReport:
        """The counts so far."""
        return MiningReport(**self._counts, examples=tuple(self._examples))

    def mine(self, questions: Iterable[Question | TrainingSample]) -> Iterator[TrainingSample]:
        """Training samples, as a stream, in the order of the questions.

        Positives are those of a training sample; or the passages of ``positive_ids``; or, where only answers are known,
        the best-ranked passage that holds one, as DPR did for TriviaQA, WebQuestions and TREC (section 4.2). DPR took
        BM25's ranking; here it is that of the source, and for ``both`` BM25's and then, if it finds none, the dense one.
        A passage with the text of a positive, but for spaces, case and how accents are written (NFC or NFD), is no negative
        whatever its title.

        Raises:
            TrainingError: They are no list of questions, or one is none.
        """
        advice = (
            "make one with Question(id, question, answers), or read a file with read_questions() or read_training()"
        )
        iterator = iterated("questions", questions, "a list of Questions", error=TrainingError, advice=advice)
        while batch := list(islice(iterator, _BATCH)):
            for item in batch:
                if not isinstance(item, Question | TrainingSample):
                    raise TrainingError(f"one of questions is {kind(item)}, expected a Question; {advice}")
            texts = [item.question for item in batch]
            rankings = {
                leg: self._store.rank(texts, self._mining.last, ranking=self._ranking(leg)) for leg in self._mining.legs
            }
            for at, item in enumerate(batch):
                self._count("questions")
                sample = self._sample(item, {leg: hits[at] for leg, hits in rankings.items()})
                if sample is not None:
                    self._count("samples")
                    yield sample

    def _ranking(self, leg: Leg) -> Ranking:
        return Ranking(leg, bm25=self._mining.bm25)

    def _sample(self, item: Question | TrainingSample, rankings: dict[Leg, list[Hit]]) -> TrainingSample | None:
        positives = self._positives(item, rankings)
        if not positives:
            self._count("without_positive", f"no positive: {item.question!r:.100}")
            return None
        given = item.hard_negatives if isinstance(item, TrainingSample) and self._mining.keep else ()
        negatives = self._negatives(item, positives, given, rankings)
        if len(negatives) < self._mining.negatives:
            self._count("short")
            self._count("without_negatives", add=not negatives)
        easy = item.negatives if isinstance(item, TrainingSample) else ()
        return TrainingSample(item.question, item.answers, positives, easy, (*given, *negatives))

    def _positives(
        self, item: Question | TrainingSample, rankings: dict[Leg, list[Hit]]
    ) -> tuple[TrainingPassage, ...]:
        if isinstance(item, TrainingSample):
            return item.positives
        wanted = dict.fromkeys(item.positive_ids)
        known = self._store.get(list(wanted))
        if len(known) < len(wanted):
            missing = sorted(wanted.keys() - {passage.id for passage in known})
            self._count("missing_positives", f"not in the store: {missing[0]!r:.100}", add=len(missing))
        if known:
            return tuple(_training_passage(passage) for passage in known)
        hits = chain.from_iterable(ranked[: self._mining.positive_last] for ranked in rankings.values())
        best = next((hit for hit in hits if self._answers(item, hit.passage)), None)
        return () if best is None else (_training_passage(best.passage, best.score),)

    def _negatives(
        self,
        item: Question | TrainingSample,
        positives: tuple[TrainingPassage, ...],
        given: tuple[TrainingPassage, ...],
        rankings: dict[Leg, list[Hit]],
    ) -> tuple[TrainingPassage, ...]:
        taken, right = {key_of(passage) for passage in given}, {_plain(passage.text) for passage in positives}
        ids = {passage.id for passage in positives if passage.id}
        tops = {leg: self._most(item.question, positives, leg, hits) for leg, hits in rankings.items()}
        self._count("unscored", add=self._mining.margin is not None and None in tops.values())
        lists = []
        for leg, hits in rankings.items():
            most = tops[leg]
            window = (hit for hit in hits[self._mining.first - 1 :] if most is None or hit.score <= most)
            lists.append([hit for hit in window if hit.passage.id not in ids and not self._answers(item, hit.passage)])
        kept: list[TrainingPassage] = []
        for hit in chain.from_iterable(zip_longest(*lists)):  # the legs in turn
            if hit is not None and _key(hit.passage) not in taken and _plain(hit.passage.text) not in right:
                taken.add(_key(hit.passage))
                kept.append(_training_passage(hit.passage, hit.score))
        return tuple(kept[: self._mining.negatives])

    def _most(self, question: str, positives: tuple[TrainingPassage, ...], leg: Leg, hits: list[Hit]) -> float | None:
        """The highest score that a negative may have, or None where nothing says."""
        if self._mining.margin is None:
            return None
        ids, keys = {passage.id for passage in positives if passage.id}, {key_of(passage) for passage in positives}
        best = next((hit.score for hit in hits if hit.passage.id in ids or _key(hit.passage) in keys), None)
        if best is None:
            best = self._score(question, sorted(ids), leg)
        return None if best is None else best - self._mining.margin

    def _score(self, question: str, ids: list[str], leg: Leg) -> float | None:
        """The best score of some passages, however far down they rank; None where the store has none of them."""
        there = [passage.id for passage in self._store.get(ids)]
        if not there:
            return None
        (hits,) = self._store.rank([question], len(there), {"id": {"$in": there}}, ranking=self._ranking(leg))
        return hits[0].score if hits else 0.0  # a passage without any word of the question has BM25's 0

    def _answers(self, item: Question | TrainingSample, passage: Passage) -> bool:
        return has_answer(item.answers, passage.text, regex=self._mining.regex)

    def _count(self, what: str, example: str = "", add: int = 1) -> None:
        self._counts[what] = self._counts.get(what, 0) + add
        if example and len(self._examples) < _SHOWN:
            self._examples.append(example)


def mine(
    questions: Iterable[Question | TrainingSample],
    store: Store,
    *,
    mining: Mining | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[list[TrainingSample], MiningReport]:
    """Make training samples with hard negatives for questions.

    Args:
        questions: Questions with positive ids or answers, or training samples, whose positives are kept.
        store: An open store; ``dense`` negatives need its encoder.
        mining: How to select negatives; None takes 30 of BM25's first hundred.
        progress: Called with the number of questions done.

    Returns:
        The samples in the order of the questions, and counts of the questions without one.

    Raises:
        EncoderMismatchError: The source is ``dense`` or ``both``, and the store has no encoder.
        TrainingError: An argument is not what it should be.
    """
    check_callable("progress", progress)
    miner = Miner(store, mining)
    samples: list[TrainingSample] = []
    for sample in miner.mine(questions):
        samples.append(sample)
        if progress is not None:
            progress(miner.report.questions)
    return samples, miner.report


def _training_passage(passage: Passage, score: float | None = None) -> TrainingPassage:
    return TrainingPassage(passage.text, passage.title, passage.id, score)


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split()).lower()


def _key(passage: Passage) -> tuple[str, str]:
    return passage.title, passage.text
