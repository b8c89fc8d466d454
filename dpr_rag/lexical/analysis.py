"""From texts to terms: words in lower case, without stop words, stemmed, and hashed to 64 bits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from dpr_rag.errors import IndexKindError
from dpr_rag.passages import Passage

Terms = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.uint16]
_WORD = re.compile(r"\w+")
_MOST = 65_535
_KEPT_WORDS = 2_000_000

# Lucene's EnglishAnalyzer leaves out these, and the replications of DPR's BM25 with it.
_ENGLISH_STOP_WORDS = (
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these they this to was "
    "will with"
)
NONE = "none"
LANGUAGES = (
    *("arabic", "armenian", "basque", "catalan", "danish", "dutch", "english", "estonian", "finnish", "french"),
    *("german", "greek", "hindi", "hungarian", "indonesian", "irish", "italian", "lithuanian", "nepali", "norwegian"),
    *("portuguese", "romanian", "russian", "serbian", "spanish", "swedish", "tamil", "turkish", "yiddish", NONE),
)
"""Languages whose words are stemmed; ``none`` takes words as they are."""


class Analyzer:
    """Turns passages and questions into terms.

    English is stemmed by Porter's algorithm and loses 33 stop words, as in the replications of DPR's BM25; other languages
    are stemmed by Snowball's, and their stop words are those of the package ``stop-words`` where it has some. A title counts
    as part of the text. Terms are the first 64 bits of their BLAKE2b hash: among a million terms, two share one with a
    probability of 3 in 100 million.

    Args:
        language: One of ``LANGUAGES``.

    Raises:
        IndexKindError: The language is unknown.
    """

    def __init__(self, language: str = "english") -> None:
        if language not in LANGUAGES:
            raise IndexKindError(f"language is {language!r}, expected one of {', '.join(LANGUAGES)}")
        self.language = language
        self._stop_words = _stop_words(language)
        self._stem = _stemmer(language)
        self._known: dict[str, int | None] = {}

    def passage(self, passage: Passage) -> tuple[Terms, Counts, int]:
        """The distinct terms of a passage in ascending order, how often each stands in it, and how many stand in it."""
        found = self._hashes(f"{passage.title} {passage.text}" if passage.title else passage.text)
        counted = Counter(found)
        terms = np.fromiter(counted, np.uint64, len(counted))
        counts = np.minimum(np.fromiter(counted.values(), np.int64, len(counted)), _MOST).astype(np.uint16)
        order = np.argsort(terms)
        return terms[order], counts[order], len(found)

    def question(self, text: str) -> Counter[int]:
        """The terms of a question with how often each is asked for."""
        return Counter(self._hashes(text))

    def _hashes(self, text: str) -> list[int]:
        known = self._known
        found = [known[word] if word in known else self._learn(word) for word in _WORD.findall(text.lower())]
        return [term for term in found if term is not None]

    def _learn(self, word: str) -> int | None:
        if len(self._known) >= _KEPT_WORDS:
            self._known = {}
        term = None
        if word not in self._stop_words:
            term = int.from_bytes(blake2b(self._stem(word).encode(), digest_size=8).digest(), "little")
        self._known[word] = term
        return term


def _stemmer(language: str) -> Callable[[str], str]:
    if language == NONE:
        return str
    from Stemmer import Stemmer

    stem: Callable[[str], str] = Stemmer("porter" if language == "english" else language).stemWord
    return stem


def _stop_words(language: str) -> frozenset[str]:
    if language == "english":
        return frozenset(_ENGLISH_STOP_WORDS.split())
    if language == NONE:
        return frozenset()
    from stop_words import AVAILABLE_LANGUAGES, get_stop_words

    listed = get_stop_words(language) if language in AVAILABLE_LANGUAGES else []
    return frozenset(word.lower() for word in listed)
