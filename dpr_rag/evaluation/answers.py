"""Whether a passage holds an answer, by DPR's rule, and where."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from dpr_rag.errors import MissingExtraError, install
from dpr_rag.lexical.unspaced import UNIT, holds_units

if TYPE_CHECKING:
    from regex import Pattern

_OF_WORDS = "LNM"
_BETWEEN = "ZC"


class Token(NamedTuple):
    """A token of a text.

    Attributes:
        word: The token, uncased.
        start: Where it begins in the text.
        end: Where it ends.
    """

    word: str
    start: int
    end: int


class _Spacing(dict[int, str]):
    """A lazily filled table for ``str.translate`` that puts spaces between tokens."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        kind = unicodedata.category(char)[0]
        self[code] = char if kind in _OF_WORDS else " " if kind in _BETWEEN else f" {char} "
        return self[code]


_SPACING = _Spacing()


def has_answer(answers: Iterable[str], text: str, *, regex: bool = False) -> bool:
    r"""Whether a text holds one of the answers, by the rule of DPR's ``has_answer`` (``dpr/data/qa_validation.py``).

    Answer and text are normalised to NFD, lowercased, and split into the tokens ``[\p{L}\p{N}\p{M}]+ | [^\p{Z}\p{C}]``. The text
    holds the answer if the answer's tokens occur in it consecutively. This is not a substring test: ``art`` is not in "a
    party". An answer without any token is never found; the original finds it everywhere.

    The original takes a run of Chinese, Japanese, Thai or Korean as one token, and finds no answer inside it. Here, if the
    answer holds characters of such scripts, or at least half the letters of the text do, each of these characters with its
    marks is a token of its own: 北京 is in 北京是首都, and 1998 in 于1998年. For all other texts the rule is the original's.

    Args:
        answers: The answers of a question.
        text: A passage's text, without its title.
        regex: Whether the answers are regular expressions of the package ``regex``, as for CuratedTREC; they are searched with
            ``IGNORECASE``, ``UNICODE`` and ``MULTILINE`` in the NFD text, and an invalid one is never found.

    Raises:
        MissingExtraError: ``regex`` is True, and the package is not installed.
    """
    if regex:
        plain = unicodedata.normalize("NFD", text)
        patterns = map(_pattern, answers)
        return any(pattern is not None and pattern.search(plain) is not None for pattern in patterns)
    wanted = [(answer, apart) for answer, apart in _rules(answers, text) if _of_answer(answer, apart).strip()]
    spaced = {apart: _spaced(text, apart) for apart in {apart for _, apart in wanted}}
    return any(_of_answer(answer, apart) in spaced[apart] for answer, apart in wanted)


def by_characters(text: str) -> bool:
    """Whether a text holds characters of scripts without spaces between words, or Hangul; each is a token."""
    return not text.isascii() and holds_units(text)


def _rules(answers: Iterable[str], text: str) -> list[tuple[str, bool]]:
    """The answers, each with whether such characters are tokens when searching for it in the text."""
    mainly = by_characters(text) and _is_mainly_by_characters(text)
    return [(answer, mainly or by_characters(answer)) for answer in answers]


def _is_mainly_by_characters(text: str) -> bool:
    text = unicodedata.normalize("NFC", text)
    return 2 * sum(map(len, UNIT.findall(text))) >= sum(map(_is_of_word, text))


def _spaced(text: str, apart: bool) -> str:
    """The tokens joined by single spaces, so that consecutive tokens are a substring."""
    text = unicodedata.normalize("NFD", text)
    if apart:
        text = UNIT.sub(r" \g<0> ", text)
    return f" {' '.join(text.translate(_SPACING).lower().split())} "


_of_answer = lru_cache(maxsize=4096)(_spaced)


@lru_cache(maxsize=4096)
def _pattern(answer: str) -> Pattern[str] | None:
    dialect = regular_expressions()
    flags = dialect.IGNORECASE | dialect.UNICODE | dialect.MULTILINE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an old spelling, such as "[[", is no reason to stop an evaluation
            compiled: Pattern[str] = dialect.compile(unicodedata.normalize("NFD", answer), flags)
    except (dialect.error, ValueError, OverflowError, RecursionError, MemoryError):
        return None
    return compiled


def regular_expressions() -> ModuleType:
    r"""The package ``regex``, whose dialect DPR's ``regex_match`` speaks.

    Python's ``re`` differs where a text is in NFD: to ``regex`` a combining accent is part of a word and a superscript is
    not, so that ``\b`` and ``\w`` find other places.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import regex
    except ImportError as error:
        raise MissingExtraError(
            f"answers that are regular expressions need the package regex ({error}); give plain answers, or "
            f"{install('evaluation')}"
        ) from error
    module: ModuleType = regex
    return module


def tokens(text: str, *, apart: bool = False) -> Iterator[Token]:
    """The tokens of a text that is in NFD, with their places; ``apart`` if characters of runs are tokens each."""
    ends = {end for match in UNIT.finditer(text) for end in match.span()} if apart else set()
    start = 0
    while start < len(text):
        end = start + 1
        if _is_of_word(text[start]):
            while end < len(text) and end not in ends and _is_of_word(text[end]):
                end += 1
        if _SPACING[ord(text[start])] != " ":
            yield Token(text[start:end].lower(), start, end)
        start = end


def _is_of_word(char: str) -> bool:
    return _SPACING[ord(char)] == char != " "


def find_answers(answers: Iterable[str], text: str, *, regex: bool = False) -> list[tuple[int, int]]:
    """Where the answers stand in a text that is in NFD: start and end of each place, in order, none inside another.

    There are places exactly where :func:`has_answer` is true, but for a regular expression that matches nothing at all.
    """
    if regex:
        spans = [match.span() for pattern in map(_pattern, answers) if pattern for match in pattern.finditer(text)]
    else:
        rules = _rules(answers, text)
        own = {apart: list(tokens(text, apart=apart)) for apart in {apart for _, apart in rules}}
        spans = [span for answer, apart in rules for span in _places(_of_answer(answer, apart).split(), own[apart])]
    return _apart(span for span in spans if span[0] < span[1])


def _places(answer: list[str], own: list[Token]) -> Iterator[tuple[int, int]]:
    words = [token.word for token in own]
    for at in range(len(words) - len(answer) + 1):
        if answer and words[at : at + len(answer)] == answer:
            yield own[at].start, own[at + len(answer) - 1].end


def _apart(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order; of those that overlap the first, longest where several begin together."""
    kept: list[tuple[int, int]] = []
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if not kept or start >= kept[-1][1]:
            kept.append((start, end))
    return kept
