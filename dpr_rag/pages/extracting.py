"""Extractive answers without a language model: the sentences of the passages that answer the question."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dpr_rag.answer import Answer
from dpr_rag.conversation import points_back
from dpr_rag.encoder import Encoder
from dpr_rag.lexical import Analyzer
from dpr_rag.pages.names import asks_for_person, names_person
from dpr_rag.pages.numbers import asks_for_number, differ, numbers_of
from dpr_rag.pages.parting import Sentence, parted
from dpr_rag.pages.turns import Citation
from dpr_rag.passages import Passage

MOST_SENTENCES = 3
_PASSAGES = 5
_SHARE = 0.8
# by 350 questions of SQuAD over three paragraphs each: the best sentence holds the answer for 82.6 % by vectors alone, for 84.9
# with words beside them, and for 87 with numbers where they are asked for; a name counts as much as a number
_BY_WORDS, _BY_NUMBER, _BY_NAME, _BY_PASSAGE, _AROUND = 0.7, 0.2, 0.2, 0.3, 0.5
_BY_READER = 1.0
_CLOSE, _ALIKE = 0.75, 0.5
_ANNOUNCES = re.compile(
    r":$|\b(?:below|following|as follows|folgende[nrsm]?|wie folgt|unten|ci-dessous|suivante?s?|siguientes?|a continuación|"
    r"seguenti|di seguito|seguintes?|abaixo|hieronder|volgende)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Found:
    """A sentence, and the passage that it stands in."""

    citation: Citation
    sentence: Sentence

    @property
    def origin(self) -> str:
        return self.citation.source or self.citation.id.rpartition("#")[0] or self.citation.id


def extract(
    weights: Mapping[str, float],
    citations: Sequence[Citation],
    encoder: Encoder | None,
    analyzer: Analyzer,
    *,
    earlier: str = "",
    answers: Mapping[str, Answer] | None = None,
) -> str:
    """An extractive answer: the sentences that match the questions best, each with its passage's number as ``[1]``.

    Where passages of two sources say different numbers in much the same words, both are quoted, and that they differ is said.

    Args:
        weights: Weight of each question in the choice of sentences; below 0 for one that was answered already.
        citations: The passages, best first.
        encoder: Compares sentences with the question; None where the store is searched by words alone.
        analyzer: Tells words apart.
        earlier: The previous reply; its sentences are repeated only where they are the best.
        answers: What a reader found in the passages, by their ids.
    """
    sentences = [
        _Found(citation, sentence)
        for citation in citations[:_PASSAGES]
        for sentence in parted(citation.text, citation.title)
    ]
    if not sentences:
        return ""
    scores = _scores(weights, sentences, encoder, analyzer) + _BY_READER * _read(sentences, answers or {})
    best = np.argsort(-scores, kind="stable")[:MOST_SENTENCES]
    first = sentences[best[0]]
    rival = _other_number(sentences, scores, int(best[0]), analyzer)
    if rival is not None:
        names = f"{first.citation.where or first.citation.id} and {rival.citation.where or rival.citation.id}"
        return f"The sources differ, {names}: {_quoted(first)} {_quoted(rival)}"
    least = scores[best[0]] - (1 - _SHARE) * abs(scores[best[0]])
    wanted = [question for question, counts in weights.items() if counts > 0]
    chosen = sorted(
        at
        for at in best
        if scores[at] >= least and (at == best[0] or f"{sentences[at].sentence.text} [" not in earlier)
    )
    told = dict.fromkeys(
        (sentences[at].citation.number, text)
        for at in chosen
        for text in _whole(sentences[at].sentence, wanted if at == best[0] else (), earlier, analyzer)
    )
    return " ".join(f"{text} [{number}]" for number, text in told)


def _quoted(item: _Found) -> str:
    return f"{item.sentence.text} [{item.citation.number}]"


def _whole(sentence: Sentence, wanted: Sequence[str], earlier: str, analyzer: Analyzer) -> Iterator[str]:
    """A sentence behind the one that it points back at, and before the one that goes on with what was asked for."""
    if sentence.before and f"{sentence.before} [" not in earlier:
        yield sentence.before
    yield sentence.text
    if sentence.after and (
        _ANNOUNCES.search(sentence.text) or any(_goes_on(sentence, question, analyzer) for question in wanted)
    ):
        yield sentence.after


def _goes_on(sentence: Sentence, question: str, analyzer: Analyzer) -> bool:
    """Whether the next sentence has the number that a question asks for, or speaks of the same thing in more of its words."""
    if asks_for_number(question) and not numbers_of(sentence.text):
        return bool(numbers_of(sentence.after))
    missing = frozenset(analyzer.sequence(question)).difference(analyzer.sequence(sentence.text))
    return points_back(sentence.after) and not missing.isdisjoint(analyzer.sequence(sentence.after))


def _other_number(sentences: Sequence[_Found], scores: np.ndarray, best: int, analyzer: Analyzer) -> _Found | None:
    """The best sentence of another source that says another number in much the same words, nearly as well; None without one."""
    first = sentences[best]
    for at in np.argsort(-scores, kind="stable"):
        if scores[at] < _CLOSE * scores[best]:
            return None
        rival = sentences[int(at)]
        if rival.origin != first.origin and differ(first.sentence.text, rival.sentence.text):
            if _alike(first.sentence.text, rival.sentence.text, analyzer) >= _ALIKE:
                return rival
    return None


def _alike(first: str, second: str, analyzer: Analyzer) -> float:
    """The share of words that two sentences have in common, without their numbers, in [0, 1]."""
    mine, yours = (
        frozenset(analyzer.sequence(" ".join(word for word in text.split() if not numbers_of(word))))
        for text in (first, second)
    )
    return len(mine & yours) / max(1, len(mine | yours))


def _scores(
    weights: Mapping[str, float], sentences: Sequence[_Found], encoder: Encoder | None, analyzer: Analyzer
) -> np.ndarray:
    """How much each sentence says of what was asked, by vectors where there are some, words, numbers, and its passage."""
    questions, counts = list(weights), np.array(list(weights.values()))
    each = _by_words(questions, sentences, analyzer)
    if encoder is not None:
        vectors = _by_vectors(questions, sentences, encoder)
        each = vectors / np.maximum(np.abs(vectors).max(axis=0), 1e-9) + _BY_WORDS * each
    each += _BY_PASSAGE * np.array([[sentence.citation.relevance] for sentence in sentences])
    holds = np.array([bool(numbers_of(sentence.sentence.text)) for sentence in sentences])
    each += _BY_NUMBER * np.outer(holds, [asks_for_number(question) for question in questions])
    names = np.array([names_person(sentence.sentence.text) for sentence in sentences])
    each += _BY_NAME * np.outer(names, [asks_for_person(question) for question in questions])
    # of a row each cell answers another question
    rows = np.array([sentence.sentence.is_row for sentence in sentences])
    scores: np.ndarray = np.where(np.outer(rows, counts < 0), 0.0, each) @ counts
    return scores


def _read(sentences: Sequence[_Found], answers: Mapping[str, Answer]) -> np.ndarray:
    """How likely a reader takes the answer to stand in each sentence."""
    known = [answers.get(sentence.citation.id) for sentence in sentences]
    held = (
        answer.probability if answer is not None and " ".join(answer.text.split()) in sentence.sentence.text else 0.0
        for sentence, answer in zip(sentences, known, strict=True)
    )
    return np.fromiter(held, np.float64, len(sentences))


def _by_vectors(questions: Sequence[str], sentences: Sequence[_Found], encoder: Encoder) -> np.ndarray:
    passages = [Passage(str(at), item.sentence.text, item.sentence.heading) for at, item in enumerate(sentences)]
    scores: np.ndarray = encoder.encode_passages(passages) @ encoder.encode_questions(list(questions)).T
    return scores


def _by_words(questions: Sequence[str], sentences: Sequence[_Found], analyzer: Analyzer) -> np.ndarray:
    """The share of each question's words that a sentence has, rare ones counting more, and half what stands around it."""
    own = [frozenset(analyzer.sequence(item.sentence.text)) for item in sentences]
    around = [frozenset(analyzer.sequence(f"{item.sentence.heading}\n{item.sentence.before}")) for item in sentences]
    often = Counter(term for terms in own for term in terms)
    scores = np.zeros((len(sentences), len(questions)))
    for column, question in enumerate(questions):
        weight = {term: math.log(1 + len(sentences) / (1 + often[term])) for term in analyzer.sequence(question)}
        whole = sum(weight.values()) or 1.0
        for row in range(len(sentences)):
            has = sum(w * (1 if term in own[row] else _AROUND * (term in around[row])) for term, w in weight.items())
            scores[row, column] = has / whole
    return scores
