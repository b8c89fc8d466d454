"""Answers without a language model: the sentences of the passages that are nearest to the question."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from dpr_rag.encoder import Encoder
from dpr_rag.lexical import Analyzer
from dpr_rag.lexical.sentences import sentences
from dpr_rag.pages.turns import Citation
from dpr_rag.passages import Passage

MOST_SENTENCES = 3
_PASSAGES = 5
_SHARE = 0.8
_HEADING = re.compile(r"^[ \t]*#{1,6}[ \t].*$", re.MULTILINE)


def extract(
    asked: Mapping[str, float],
    citations: Sequence[Citation],
    encoder: Encoder | None,
    analyzer: Analyzer,
    *,
    said: str = "",
) -> str:
    """The sentences that say most of what was asked, each with its passage's number as ``[1]``.

    Args:
        asked: What was asked, each with how much it counts; below 0 for what was answered already.
        citations: The passages, best first.
        encoder: Compares sentences with the question; None where the store is searched by words alone.
        analyzer: Tells words apart where there is no encoder.
        said: The reply before; its sentences are repeated only where they are the best.
    """
    found = [(one.number, sentence) for one in citations[:_PASSAGES] for sentence in sentences_of(one.text)]
    if not found:
        return ""
    texts, questions = [sentence for _, sentence in found], list(asked)
    each = _by_words(questions, texts, analyzer) if encoder is None else _by_vectors(questions, texts, encoder)
    scores = each @ np.array(list(asked.values()))
    best = np.argsort(-scores, kind="stable")[:MOST_SENTENCES]
    least = scores[best[0]] - (1 - _SHARE) * abs(scores[best[0]])
    chosen = sorted(at for at in best if scores[at] >= least and (at == best[0] or f"{texts[at]} [" not in said))
    return " ".join(f"{found[at][1]} [{found[at][0]}]" for at in chosen)


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, each on one line, without headings and what holds no letter or digit."""
    text = _HEADING.sub("", text) if text.lstrip().startswith("#") else text
    cut = (" ".join(sentence.split()) for sentence in sentences(text))
    told = [sentence for sentence in cut if any(map(str.isalnum, sentence))]
    return told or [" ".join(text.split())]


def _by_vectors(questions: Sequence[str], texts: Sequence[str], encoder: Encoder) -> np.ndarray:
    passages = [Passage(str(at), text) for at, text in enumerate(texts)]
    scores: np.ndarray = encoder.encode_passages(passages) @ encoder.encode_questions(list(questions)).T
    return scores


def _by_words(questions: Sequence[str], texts: Sequence[str], analyzer: Analyzer) -> np.ndarray:
    wanted = [frozenset(analyzer.sequence(question)) for question in questions]
    return np.array([[len(one.intersection(analyzer.sequence(text))) for one in wanted] for text in texts], float)
