"""``Passage`` and ``Hit``, and the checks of ids, titles, texts, metadata and questions."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dpr_rag.answer import Answer
from dpr_rag.arguments import fields_known, is_blank, iterated, kind, remedy, shown
from dpr_rag.errors import CONVERTING, DATES, BadTextError, PassageError, unknown
from dpr_rag.faces import ByFace

MAX_METADATA_DEPTH = 32
PRIVATE_KEY = "_dpr_rag"
"""Metadata key for the private data of an adapter's framework; ``Passage.visible_metadata`` leaves it out."""
SOURCE_KEY = "_dpr_rag_source"
"""Metadata key for the file that a passage was read from, see ``dpr_rag.store.sources``; also left out."""
RESERVED_KEYS = (PRIVATE_KEY, SOURCE_KEY)
"""Metadata keys that users do not see, and that adapters refuse in their input."""
OnBadText = Literal["error", "replace", "skip"]
"""What to do with a text that holds lone surrogates, see :meth:`Passage.made`."""
_BAD_TEXTS = ("error", "replace", "skip")
_ADVICE = ByFace(", or pass on_bad_text='replace' or 'skip'", cli=", or pass --on-bad-text replace or skip", page="")
_ASK_EACH = ByFace("pass one string for each, as retrieve_batch() takes them", cli="ask one question after the other")
_JOIN_PARTS = "join the parts to one string, or make a passage of each"
_INT64 = 2**63
_SURROGATE = re.compile("[\ud800-\udfff]")


@fields_known
@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of text that can be retrieved.

    Attributes:
        id: Non-empty string, unique in a store.
        text: Non-empty string of any Unicode characters, NUL included. In every field, surrogate pairs, as some PDF readers
            emit them, are joined to the characters that they encode.
        title: Title of the document or section; DPR encodes it as the first segment of a pair.
        metadata: JSON object, at most 32 levels deep, copied on construction.

    Raises:
        PassageError: A field has the wrong type, is empty, or cannot be stored as JSON; or two keys become equal once their
            surrogate pairs are joined.
        BadTextError: A field holds a lone surrogate; :meth:`made` can replace it.
    """

    id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", _checked_string(self.id, "id", self.id))
        object.__setattr__(self, "text", _checked_string(self.text, "text", self.id))
        object.__setattr__(self, "title", _checked_string(self.title, "title", self.id, empty=True))
        if not isinstance(self.metadata, Mapping):
            raise PassageError(
                f"passage {self.id!r}: metadata is {kind(self.metadata)}, expected a dict of JSON values; wrap it in one"
            )
        object.__setattr__(self, "metadata", _json_copy(self.metadata, self.id, "metadata", 0))

    @property
    def visible_metadata(self) -> dict[str, Any]:
        """A copy of the metadata without ``RESERVED_KEYS``."""
        return {key: value for key, value in self.metadata.items() if key not in RESERVED_KEYS}

    @classmethod
    def made(
        cls,
        id: str,
        text: str,
        title: str = "",
        metadata: Mapping[str, Any] | None = None,
        *,
        on_bad_text: OnBadText = "error",
    ) -> Passage | None:
        r"""Make a passage from fields that may hold lone surrogates, as extracted text sometimes does.

        Args:
            id: See :class:`Passage`, as for the next three.
            text: The text.
            title: The title.
            metadata: The metadata.
            on_bad_text: ``error`` refuses lone surrogates. ``replace`` replaces them by U+FFFD, but in ids and metadata keys by
                their escape (``\ud800``), so that different ids and keys stay different. ``skip`` makes no passage.

        Returns:
            The passage, or None if it is skipped.

        Raises:
            PassageError: As for :class:`Passage`; or ``on_bad_text`` is unknown.
        """
        check_on_bad_text(on_bad_text)
        try:
            return cls(id, text, title, {} if metadata is None else metadata)
        except BadTextError:
            if on_bad_text == "error":
                raise
        if on_bad_text == "skip":
            return None
        return cls(
            _escaped(id), without_surrogates(text), without_surrogates(title), without_surrogates(metadata or {})
        )

    @classmethod
    def checked_before(cls, passage_id: str, text: str, title: str, metadata: Mapping[str, Any]) -> Passage:
        """Make a passage from stored fields without checks: they were checked before, and their checksum matches."""
        passage = object.__new__(cls)
        for name, value in (("id", passage_id), ("text", text), ("title", title), ("metadata", metadata)):
            object.__setattr__(passage, name, value)
        return passage


@dataclass(frozen=True, slots=True)
class Hit:
    """One result of a search.

    Attributes:
        passage: The passage.
        score: The score that ranks the hits, higher is better; in a dense search the exact inner product.
        rank: Position in the result, from 1.
        dense: Exact inner product of question and passage; None if the ranking used no vectors.
        bm25: BM25 score, with phrases if the ranking counts them; None if the ranking used no words.
        retrieved: The score before reranking; None if there was no reranker.
        answer: The span that a reader extracted from the passage, or None.
    """

    passage: Passage
    score: float
    rank: int
    dense: float | None = None
    bm25: float | None = None
    retrieved: float | None = None
    answer: Answer | None = None


def check_question(question: object) -> str:
    """Check a question, and return it with its surrogate pairs joined.

    Args:
        question: The user's question.

    Raises:
        PassageError: It is not a string, is blank, or holds a lone surrogate.
    """
    text = _checked_string(question, "question", None)
    if is_blank(text):
        raise PassageError(f"the question {text!r} is blank; ask with at least one word")
    return text


def check_questions(questions: object) -> list[str]:
    """Check questions with :func:`check_question`, and return them as a list.

    Raises:
        PassageError: They are one string or not iterable, or one of them is refused.
    """
    advice = "wrap it as [question], or call retrieve() for one" if isinstance(questions, str) else "give [] for none"
    listed = iterated("questions", questions, "a list of them", error=PassageError, advice=advice)
    return [check_question(question) for question in listed]


def check_on_bad_text(on_bad_text: object) -> None:
    """Refuse a value of ``on_bad_text`` other than ``error``, ``replace`` and ``skip``.

    Raises:
        PassageError: It has another value.
    """
    if not isinstance(on_bad_text, str) or on_bad_text not in _BAD_TEXTS:
        raise PassageError(unknown("on_bad_text", on_bad_text, _BAD_TEXTS))


def is_text(text: str) -> bool:
    """Whether a string can be encoded as UTF-8: it holds no lone surrogate."""
    return text.encode("utf-8", "replace").decode() == text


def rejoined(text: str) -> str:
    """The string as a plain ``str`` with its surrogate pairs joined to characters; lone surrogates stay."""
    try:
        text.encode("utf-8")  # much faster than a search for surrogates
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return str.__str__(text)


def without_surrogates(value: Any) -> Any:
    """A JSON value with U+FFFD for lone surrogates; a value of another type is returned as it is, to be refused later."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", rejoined(value))
    if isinstance(value, list):
        return [without_surrogates(item) for item in value]
    if isinstance(value, Mapping):
        cleaned: dict[Any, Any] = {}
        for key, item in value.items():
            cleaned[_new_key(cleaned, _escaped(key), "metadata")] = without_surrogates(item)
        return cleaned
    return value


def _escaped(name: Any) -> Any:
    return rejoined(name).encode("utf-8", "backslashreplace").decode() if isinstance(name, str) else name


def _checked_string(value: object, name: str, passage_id: object, *, empty: bool = False) -> str:
    owner = "" if passage_id is None else f"passage {shown(passage_id, 120)}: "
    if not isinstance(value, str):
        several = _ASK_EACH if name == "question" else _JOIN_PARTS
        is_missing = value is None and name == "question"
        advice = "ask with at least one word" if is_missing else remedy(value, several=several)
        raise PassageError(f"{owner}{name} is {kind(value)}, expected a string; " + advice)
    if not value and not empty:
        raise PassageError(f"{owner}{name} is empty, expected at least one character; drop it or fill it in")
    text = rejoined(value)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadTextError(
            f"{owner}{name} holds the lone surrogate {text[error.start]!r} at character {error.start}, which is not text; "
            "decode the source with its right encoding" + ("" if passage_id is None else _ADVICE)
        ) from error
    return text


def plain(value: Any) -> Any:
    """Convert a numpy number or bool to Python's; everything else, numpy times and arrays included, is returned as it is."""
    if type(value).__module__ != "numpy" or not isinstance(value, sys.modules["numpy"].generic):
        return value
    return value.item() if value.dtype.kind in "biuf" else value


def _json_copy(value: Any, passage_id: str, where: str, depth: int) -> Any:
    """Check a JSON value and copy it, so that later changes to the caller's object do not change the passage."""
    if depth > MAX_METADATA_DEPTH:
        raise PassageError(
            f"passage {passage_id!r}: {where} is nested deeper than {MAX_METADATA_DEPTH} levels; flatten it"
        )
    value = plain(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _checked_string(value, where, passage_id, empty=True)
    if isinstance(value, int):
        return _checked_int(value, passage_id, where)
    if isinstance(value, float):
        return _checked_float(value, passage_id, where)
    if isinstance(value, list):
        return [_json_copy(item, passage_id, f"{where}[{at}]", depth + 1) for at, item in enumerate(value)]
    if isinstance(value, Mapping):
        return _copied_object(value, passage_id, where, depth)
    raise PassageError(
        f"passage {passage_id!r}: {where} is {kind(value)}, expected a JSON value (string, number, true, false, null, "
        "list, object); convert it" + DATES + CONVERTING
    )


def _copied_object(value: Mapping[Any, Any], passage_id: str, where: str, depth: int) -> dict[str, Any]:
    copied: dict[str, Any] = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise PassageError(
                f"passage {passage_id!r}: {where} has the key {kind(key)}, expected a string; convert it" + CONVERTING
            )
        name = _checked_string(key, f"a key of {where}", passage_id, empty=True)
        copied[_new_key(copied, name, f"passage {passage_id!r}: {where}")] = _json_copy(
            item, passage_id, f"{where}[{key!r}]", depth + 1
        )
    return copied


def _new_key(taken: Mapping[Any, Any], key: Any, where: str) -> Any:
    """Return a key, or refuse it if it occurs twice: joined or escaped surrogates can make two keys equal and lose a value."""
    if key in taken:
        raise PassageError(f"{where} has two keys that are {shown(key, 120)} as text; rename one of them")
    return key


def _checked_int(value: int, passage_id: str, where: str) -> int:
    if not -_INT64 <= value < _INT64:
        raise PassageError(
            f"passage {passage_id!r}: {where} is {shown(value)}, outside the 64-bit integers that filters compare; store it as a "
            "string" + CONVERTING
        )
    return int(value)


def _checked_float(value: float, passage_id: str, where: str) -> float:
    if not math.isfinite(value):
        raise PassageError(
            f"passage {passage_id!r}: {where} is {value}, which JSON cannot hold; store None or a string" + CONVERTING
        )
    return float(value)
