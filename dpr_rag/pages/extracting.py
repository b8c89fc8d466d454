"""Answers without a language model: the sentences of the passages that are nearest to the question."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from dpr_rag.encoder import Encoder
from dpr_rag.lexical import Analyzer
from dpr_rag.lexical.sentences import sentences
from dpr_rag.pages.turns import Citation
from dpr_rag.passages import Passage

MOST_SENTENCES = 3
_PASSAGES = 5
_SHARE = 0.8
_HEADING = re.compile(r"[ \t]*#{1,6}[ \t]+(.*?)[ \t#]*")


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
    found = [
        (one.number, heading, sentence)
        for one in citations[:_PASSAGES]
        for heading, sentence in _told(one.text, one.title)
    ]
    if not found:
        return ""
    texts, questions = [sentence for _, _, sentence in found], list(asked)
    if encoder is None:
        each = _by_words(questions, texts, analyzer)
    else:
        each = _by_vectors(questions, [Passage(str(at), one[2], one[1]) for at, one in enumerate(found)], encoder)
    scores = each @ np.array(list(asked.values()))
    best = np.argsort(-scores, kind="stable")[:MOST_SENTENCES]
    least = scores[best[0]] - (1 - _SHARE) * abs(scores[best[0]])
    chosen = sorted(at for at in best if scores[at] >= least and (at == best[0] or f"{texts[at]} [" not in said))
    return " ".join(f"{texts[at]} [{found[at][0]}]" for at in chosen)


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, each on one line, without headings and what holds no letter or digit."""
    return [sentence for _, sentence in _told(text, "")]


def _told(text: str, title: str) -> list[tuple[str, str]]:
    """Each sentence with what it stands under: the heading before it, or else the title."""
    cut = (
        (heading, " ".join(sentence.split()))
        for heading, part in _sections(text, title)
        for sentence in sentences(part)
    )
    told = [(heading, sentence) for heading, sentence in cut if any(map(str.isalnum, sentence))]
    return told or [(title, " ".join(text.split()))]


def _sections(text: str, title: str) -> Iterator[tuple[str, str]]:
    """Parts of a text with their headings, which stand at its beginning or behind a blank line, as no comment of a program's."""
    heading, lines, free = title, list[str](), True
    for line in text.split("\n"):
        found = _HEADING.fullmatch(line) if free else None
        if found is None:
            lines.append(line)
            free = not line.strip()
            continue
        yield heading, "\n".join(lines)
        heading, lines = found[1] or title, []
    yield heading, "\n".join(lines)


def _by_vectors(questions: Sequence[str], passages: Sequence[Passage], encoder: Encoder) -> np.ndarray:
    scores: np.ndarray = encoder.encode_passages(passages) @ encoder.encode_questions(list(questions)).T
    return scores


def _by_words(questions: Sequence[str], texts: Sequence[str], analyzer: Analyzer) -> np.ndarray:
    wanted = [frozenset(analyzer.sequence(question)) for question in questions]
    return np.array([[len(one.intersection(analyzer.sequence(text))) for one in wanted] for text in texts], float)
