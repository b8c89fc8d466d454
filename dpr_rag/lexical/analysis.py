"""Text analysis for BM25: lower case, stop words, stemming, and terms as 64-bit hashes."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from itertools import chain

import numpy as np
import numpy.typing as npt

from dpr_rag.errors import IndexKindError, unknown
from dpr_rag.lexical.characters import lowered_and_spaced, may_hold_identifiers, parts_of, plain, spaced
from dpr_rag.lexical.unspaced import holds_units, pairs_of, pieces, singles_of
from dpr_rag.passages import Passage

Terms = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.uint16]
_ANALYSIS = 6  # raised whenever terms change by what is written here
_POSSESSIVE = re.compile(r"'[sS]\b(?<=\S'[sS])")
_MOST = 65_535
# 97.1 % of 16 million words of Wikipedia were known already, with room for all 324,000 distinct ones 98.0 %; an entry
# takes some 135 bytes, this memory thus at most 27 MB per open store.
_KEPT_WORDS = 200_000

# Lucene's EnglishAnalyzer leaves out these, and the replications of DPR's BM25 with it.
_ENGLISH_STOP_WORDS = (
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these they this to was "
    "will with"
)
NONE = "none"
_UNSTEMMED = ("burmese", "chinese", "japanese", "khmer", "korean", "lao", "thai", "tibetan", NONE)
LANGUAGES = (
    *("arabic", "armenian", "basque", "catalan", "danish", "dutch", "english", "estonian", "finnish", "french"),
    *("german", "greek", "hindi", "hungarian", "indonesian", "irish", "italian", "lithuanian", "nepali", "norwegian"),
    *("portuguese", "romanian", "russian", "serbian", "spanish", "swedish", "tamil", "turkish", "yiddish", *_UNSTEMMED),
)
"""Languages whose words are stemmed; ``none``, and those from ``burmese`` to ``tibetan``, take words as they are."""

_CODES = {
    **{
        "ar": "arabic",
        "hy": "armenian",
        "eu": "basque",
        "ca": "catalan",
        "da": "danish",
        "nl": "dutch",
        "en": "english",
    },
    **{
        "et": "estonian",
        "fi": "finnish",
        "fr": "french",
        "de": "german",
        "el": "greek",
        "hi": "hindi",
        "hu": "hungarian",
    },
    **{"id": "indonesian", "ga": "irish", "it": "italian", "lt": "lithuanian", "ne": "nepali", "no": "norwegian"},
    **{"pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian", "es": "spanish", "sv": "swedish"},
    **{
        "ta": "tamil",
        "tr": "turkish",
        "yi": "yiddish",
        "my": "burmese",
        "zh": "chinese",
        "ja": "japanese",
        "km": "khmer",
    },
    **{"ko": "korean", "lo": "lao", "th": "thai", "bo": "tibetan"},
}


@lru_cache(maxsize=64)
def analysis_of(language: str) -> str:
    """Identifies the text analysis: versions of stemmer, stop words, Unicode and rules. Postings made by another are not used."""
    made = [f"analysis {_ANALYSIS}, {language}", f"Unicode {unicodedata.unidata_version}"]
    if language not in _UNSTEMMED:
        made.append(f"PyStemmer {_version_of('PyStemmer')}")
    if language not in (*_UNSTEMMED, "english"):
        made.append(f"stop-words {_version_of('stop-words')}")
    return ", ".join(made)


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # installed by hand
        return "unknown"


class Analyzer:
    r"""Turns passages and questions into terms.

    Words are the tokens ``[\p{L}\p{N}\p{M}_]+`` of the text in lower case: combining marks belong to their word, and it
    does not matter whether an accent is a character of its own, in which form a letter stands (ligatures, full width), or
    what invisible characters stand in a word, see :func:`~dpr_rag.lexical.characters.plain`. Identifiers such as
    ``getUserName`` and ``max_tokens`` are a word, and behind it those that they are made of. Whatever the language, scripts
    without spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese), and Hangul, give pairs of neighbouring
    characters, each with its marks, as Lucene's ``CJKAnalyzer`` does; a passage is found by single ones too.

    English is stemmed by Porter's algorithm and loses its possessive 's and 33 stop words, as in Lucene and in the
    replications of DPR's BM25; other languages are stemmed by Snowball's, and their stop words are those of the package
    ``stop-words`` where it has some. A title counts as part of the text. Terms are the first 64 bits of their BLAKE2b hash:
    among a million terms, two share one with a probability of 3 in 100 million.

    Args:
        language: One of ``LANGUAGES``.

    Raises:
        IndexKindError: The language is unknown.
    """

    def __init__(self, language: str = "english") -> None:
        if not isinstance(language, str) or language not in LANGUAGES:
            raise IndexKindError(unknown("language", language, LANGUAGES, _CODES))
        self.language = language
        self._stop_words = stop_words_of(language)
        self._stem = _stemmer(language)
        self._known: dict[str, int | None] = {}
        self._spelled = _Spelled()

    def passage(self, passage: Passage) -> tuple[Terms, Counts, Terms]:
        """Distinct terms of a passage, ascending, with their frequencies, and all its terms in the order of the text."""
        text = self._plain(f"{passage.title} {passage.text}" if passage.title else passage.text)
        runs = not text.isascii() and holds_units(text)
        sequence = self._terms(self._split(text, runs))
        counted = Counter(sequence)
        if runs:  # beside the sequence, so that lengths and phrases are those of pairs
            counted.update(self._terms(singles_of(text)))
        terms = np.fromiter(counted, np.uint64, len(counted))
        counts = np.minimum(np.fromiter(counted.values(), np.int64, len(counted)), _MOST).astype(np.uint16)
        order = np.argsort(terms)
        return terms[order], counts[order], np.array(sequence, np.uint64)

    def _words(self, text: str) -> list[str]:
        """Lower-case words of a text, each identifier followed by its parts."""
        text = self._plain(text)
        return self._split(text, not text.isascii() and holds_units(text))

    def _plain(self, text: str) -> str:
        if not text.isascii():
            text = plain(text)
        if self.language == "english" and ("'s" in text or "'S" in text):
            text = _POSSESSIVE.sub("", text)
        return text if text.isascii() else text.replace("'", " ")

    def _split(self, text: str, runs: bool) -> list[str]:
        """The same of a plain text, which has runs of characters or none."""
        if runs:
            return list(
                chain.from_iterable(pairs_of(run) if run else self._spelled[word] for run, word in pieces(text))
            )
        if text.isascii():
            if not may_hold_identifiers(text):
                return lowered_and_spaced(text).split()
            text = spaced(text)
        return list(chain.from_iterable(map(self._spelled.__getitem__, text.split())))

    def sequence(self, text: str) -> list[int]:
        """The terms of a text, in its order."""
        return self._terms(self._words(text))

    def _terms(self, words: list[str]) -> list[int]:
        known = self._known
        terms = [known[word] if word in known else self._learn(word) for word in words]
        return [term for term in terms if term is not None]

    def _learn(self, word: str) -> int | None:
        if len(self._known) >= _KEPT_WORDS:
            self._known = {}
        term = None
        if word not in self._stop_words:
            term = int.from_bytes(blake2b(self._stem(word).encode(), digest_size=8).digest(), "little")
        self._known[word] = term
        return term


class _Spelled(dict[str, tuple[str, ...]]):
    """Caches for each word its lower-case form and, for an identifier, its parts."""

    def __missing__(self, word: str) -> tuple[str, ...]:
        if len(self) >= _KEPT_WORDS:
            self.clear()
        self[word] = made = tuple(map(_lowered, (word, *parts_of(word))))
        return made


def _lowered(word: str) -> str:
    # İ becomes an i with a dot above it, which nobody types; Lucene leaves the dot out as well
    return word.lower() if word.isascii() else unicodedata.normalize("NFC", word.lower()).replace("i\u0307", "i")


def _stemmer(language: str) -> Callable[[str], str]:
    if language in _UNSTEMMED:
        return str
    from Stemmer import Stemmer

    stem: Callable[[str], str] = Stemmer("porter" if language == "english" else language).stemWord
    return stem


def stop_words_of(language: str) -> frozenset[str]:
    """Stop words of a language in lower case; none if no list is known."""
    if language == "english":
        return frozenset(_ENGLISH_STOP_WORDS.split())
    if language in _UNSTEMMED:
        return frozenset()
    from stop_words import AVAILABLE_LANGUAGES, get_stop_words

    listed = get_stop_words(language) if language in AVAILABLE_LANGUAGES else []
    return frozenset(unicodedata.normalize("NFC", word.lower()) for word in listed)
