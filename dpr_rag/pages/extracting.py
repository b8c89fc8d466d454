"""Answers without a language model: the sentences of the passages that are nearest to the question."""

from __future__ import annotations

import re
from collections.abc import Sequence

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


def extract(question: str, citations: Sequence[Citation], encoder: Encoder | None, analyzer: Analyzer) -> str:
    """The sentences that say most of what was asked, each with its passage's number as ``[1]``.

    Args:
        question: What was asked.
        citations: The passages, best first.
        encoder: Compares sentences with the question; None where the store is searched by words alone.
        analyzer: Tells words apart where there is no encoder.
    """
    found = [(one.number, sentence) for one in citations[:_PASSAGES] for sentence in sentences_of(one.text)]
    if not found:
        return ""
    texts = [sentence for _, sentence in found]
    scores = _by_words(question, texts, analyzer) if encoder is None else _by_vectors(question, texts, encoder)
    best = np.argsort(-scores, kind="stable")[:MOST_SENTENCES]
    chosen = sorted(at for at in best if scores[at] >= _SHARE * scores[best[0]])
    return " ".join(f"{found[at][1]} [{found[at][0]}]" for at in chosen)


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, each on one line, without headings and what holds no letter or digit."""
    text = _HEADING.sub("", text) if text.lstrip().startswith("#") else text
    cut = (" ".join(sentence.split()) for sentence in sentences(text))
    told = [sentence for sentence in cut if any(map(str.isalnum, sentence))]
    return told or [" ".join(text.split())]


def _by_vectors(question: str, texts: Sequence[str], encoder: Encoder) -> np.ndarray:
    passages = [Passage(str(at), sentence) for at, sentence in enumerate(texts)]
    scores: np.ndarray = encoder.encode_passages(passages) @ encoder.encode_questions([question])[0]
    return scores


def _by_words(question: str, texts: Sequence[str], analyzer: Analyzer) -> np.ndarray:
    asked = frozenset(analyzer.sequence(question))
    return np.array([len(asked.intersection(analyzer.sequence(sentence))) for sentence in texts], float)
