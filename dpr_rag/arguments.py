"""Checks of arguments; every error message names the value, what was expected, and what to do."""

from __future__ import annotations

import inspect
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial, wraps
from numbers import Integral, Real
from typing import Any, ParamSpec, TypeVar

from dpr_rag.errors import ArgumentError, DprRagError, nearest
from dpr_rag.faces import ByFace

_TEXT_KEYS = ("question", "query", "input", "text")
_T = TypeVar("_T")
_P = ParamSpec("_P")
_R = TypeVar("_R")
_Class = TypeVar("_Class", bound=type)
_LONGEST_WAIT = 2_000_000.0
"""Seconds; SQLite and sockets count milliseconds in 32 bits, and SQLite takes what does not fit as no time at all."""
_DEFERRED_BODIES = (
    (inspect.iscoroutinefunction, "a coroutine function (async def)"),
    (inspect.isgeneratorfunction, "a generator function (with yield)"),
    (inspect.isasyncgenfunction, "an asynchronous generator function"),
)
# Characters without a visible glyph: white space, control and format characters, fillers, variation selectors, the blank
# Braille pattern, and U+FFFD, which stands for what could not be decoded.
_INVISIBLE = re.compile(
    r"[\s\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202f\u2060-\u206f"
    r"\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff"
    r"\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff]*"
)

_SYNONYMS = {
    **dict.fromkeys(("top_k", "topk", "n", "n_results", "num_results", "limit", "similarity_top_k", "top_n"), "k"),
    **dict.fromkeys(("filters", "where", "pre_filter", "expr", "metadata_filter"), "filter"),
    **dict.fromkeys(("embedding", "embeddings", "embed_model", "embedding_function", "model", "model_name"), "encoder"),
    **dict.fromkeys(("score_threshold", "similarity_cutoff", "similarity_threshold", "threshold"), "min_relevance"),
    **dict.fromkeys(("alpha", "lambda_", "dense_weight"), "weight"),
    **dict.fromkeys(("search_type", "query_mode", "vector_store_query_mode"), "mode"),
    **dict.fromkeys(("query", "query_str", "text", "input", "q"), "question"),
    **dict.fromkeys(("queries", "texts", "inputs"), "questions"),
    **dict.fromkeys(
        ("persist_directory", "persist_dir", "folder_path", "uri", "url", "collection_name", "dir"), "path"
    ),
    **dict.fromkeys(("readonly", "mode"), "read_only"),
    **dict.fromkeys(("page_content", "content", "contents", "body", "document"), "text"),
    **dict.fromkeys(("id_", "node_id", "doc_id", "_id", "passage_id", "docid"), "id"),
    **dict.fromkeys(("meta", "metadatas", "extra_info", "payload"), "metadata"),
    **dict.fromkeys(("documents", "docs", "nodes", "items"), "passages"),
    **dict.fromkeys(("metrics", "metric"), "measures"),
    **dict.fromkeys(("retrievers", "runs"), "systems"),
    **dict.fromkeys(("qrels", "relevance"), "judgements"),
}
"""Argument names of other libraries, and the names of the same arguments here."""


def shown(value: object, width: int = 60) -> str:
    """The first characters of a value's ``repr``; for an integer that Python refuses to print (over 4,300 digits), its size."""
    try:
        return repr(value)[:width]
    except ValueError:
        return f"of {value.bit_length()} bits" if isinstance(value, int) else "too long to be written out"


def kind(value: object) -> str:
    """A value's type and the start of its ``repr``, for messages."""
    return f"the class {value.__name__}" if isinstance(value, type) else f"{type(value).__name__} {shown(value)}"


def is_blank(text: str) -> bool:
    """Whether a text is empty or consists of white space and invisible characters, as extracted text often does."""
    return _INVISIBLE.fullmatch(text) is not None


def remedy(value: object, *, several: str) -> str:
    """Advice on a value that should be a string.

    Args:
        value: The value.
        several: Advice for a caller who has several strings.
    """
    if value is None:
        return "fill it in, or leave it out"
    if isinstance(value, bytes | bytearray):
        return ByFace("decode it, as with .decode('utf-8')", cli="write it as text", page="write it as text")
    if isinstance(value, Mapping):
        keys = [key for key in value if isinstance(key, str)]
        likeliest = next((key for key in (*_TEXT_KEYS, *keys) if key in keys), "text")
        return "pick the string out of it" + ByFace(f", as with [{likeliest!r:.60}]", cli="", page="")
    if isinstance(value, int | float | Integral | Real):
        return ByFace("convert it with str()", cli="write it as a string", page="write it as a string")
    return several if isinstance(value, Iterable) else "pass its text as a string"


def check_text(text: object, *, several: str) -> str:
    """Check that a text is a string, and return it.

    Args:
        text: The argument.
        several: Advice for a caller who has several strings.

    Raises:
        ArgumentError: It is not a string.
    """
    if not isinstance(text, str):
        raise ArgumentError(f"the text is {kind(text)}, expected a string; " + remedy(text, several=several))
    return text


def iterated(name: str, values: object, expected: str, *, error: type[DprRagError], advice: str) -> Iterator[Any]:
    """Iterate over an argument that must be a list or another iterable; strings, bytes, mappings and classes are refused.

    Args:
        name: Name of the argument.
        values: Its value.
        expected: The expected value in words, such as ``a list of ids``.
        error: The class of error to raise.
        advice: Advice for the message, such as for a caller who has a single item.

    Raises:
        DprRagError: It is not iterable, or has one of the refused types; of the class ``error``.
    """
    if isinstance(values, str | bytes | bytearray | Mapping | type):
        raise error(f"{name} is {_described(values)}, expected {expected}; {advice}")
    try:
        return iter(values)  # type: ignore[call-overload,no-any-return]
    except TypeError as cause:
        raise error(f"{name} is {_described(values)}, expected {expected}; {advice}") from cause


def check_each(noun: str, values: Iterable[object], form: type, expected: str, *, advice: str) -> None:
    """Check that the items of a list are of one type; the error tells the place of one that is not, from 1.

    Raises:
        ArgumentError: One is not.
    """
    for at, value in enumerate(values, start=1):
        if not isinstance(value, form):
            raise ArgumentError(f"{noun} {at} is {kind(value)}, expected {expected}; {advice}")


def _described(value: object) -> str:
    return f"the string {value!r:.80}" if isinstance(value, str) else kind(value)


def check_count(name: str, value: object, error: type[DprRagError], *, least: int = 1, more: str = "") -> int:
    """Check that a value is an integer of at least ``least``, and return it as a Python ``int``; numpy integers pass.

    A value above the largest possible count becomes that count.

    Raises:
        DprRagError: It is not; of the class ``error``.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        is_plain = isinstance(value, str | float | int | Integral) or value is None
        raise error(
            f"{name} is {shown(value, 80) if is_plain else kind(value):.80}, expected an integer of at least {least}{more}"
        )
    return min(int(value), sys.maxsize)  # nothing has more items, and SQLite and iterators take no larger number


def check_number(
    name: str,
    value: object,
    error: type[DprRagError],
    *,
    low: float = 0.0,
    high: float = math.inf,
    what: str = "a number",
    more: str = "",
) -> float:
    """Check that a value is a finite number from ``low`` to ``high``, and return it as a Python ``float``; numpy's pass.

    Raises:
        DprRagError: It is not; of the class ``error``.
    """
    number = math.nan if isinstance(value, bool) or not isinstance(value, Real) else _as_float(value)
    if not low <= number <= high or math.isinf(number):
        bounds = f"from {low:g} to {high:g}" if high < math.inf else f"of at least {low:g}"
        raise error(f"{name} is {shown(value, 80)}, expected {what}{'' if low == -math.inf else f' {bounds}'}{more}")
    return number


def check_seconds(name: str, value: object, error: type[DprRagError], *, low: float = 0.0) -> float:
    """Check that a value is a number of seconds to wait, and return it; a longer time than can be waited becomes that time.

    Raises:
        DprRagError: It is not; of the class ``error``.
    """
    return min(check_number(name, value, error, low=low, what="a number of seconds"), _LONGEST_WAIT)


def _as_float(value: Real) -> float:
    try:
        return float(value)
    except OverflowError:  # of integers and fractions
        return math.inf


def check_instance(name: str, value: object, expected: type[_T], error: type[DprRagError], *, advice: str = "") -> _T:
    """Check that a value is an instance of a class, and return it.

    Raises:
        DprRagError: It is not; of the class ``error``.
    """
    if not isinstance(value, expected):
        article = "an" if expected.__name__[:1] in "AEIOU" else "a"
        raise error(f"{name} is {_described(value)}, expected {article} {expected.__name__}{advice}")
    return value


def check_callable(name: str, value: object) -> None:
    """Refuse a callback that cannot be called, before the work that it follows.

    Raises:
        ArgumentError: It is neither None nor callable; or a call does not run its body, as with an ``async def``.
    """
    if value is not None and not callable(value):
        raise ArgumentError(f"{name} is {_described(value)}, expected a function, or None")
    if (description := deferred_function(value)) is not None:
        raise ArgumentError(f"{name} is {description}, expected a plain function: nobody would run what it returns")


def deferred_function(function: object) -> str | None:
    """Describe a function whose body does not run when it is called (``async def``, ``yield``); None for any other value.

    ``functools.partial`` is unwrapped, and of an object its ``__call__`` is examined.
    """
    inner: Any = function
    while isinstance(inner, partial):
        inner = inner.func
    for matches, description in _DEFERRED_BODIES:
        if callable(inner) and (matches(inner) or matches(type(inner).__call__)):
            return f"{getattr(inner, '__qualname__', None) or kind(inner):.120}, {description}"
    return None


def check_flag(name: str, value: object) -> None:
    """Refuse a value other than True and False: the string ``"false"`` would count as true.

    Raises:
        ArgumentError: It is neither.
    """
    if not isinstance(value, bool):
        raise ArgumentError(f"{name} is {_described(value)}, expected True or False")


def names_known(**synonyms: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """A decorator: a call with an unknown keyword argument raises an error that names the right one.

    Names are compared only after Python has refused the call, so that a correct call costs one more function call.

    Args:
        **synonyms: Other libraries' names for this function's arguments, in addition to those known for all functions.
    """

    def decorated(function: Callable[_P, _R]) -> Callable[_P, _R]:
        def called(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            try:
                return function(*args, **kwargs)
            except TypeError as error:
                is_from_within = error.__traceback__ is None or error.__traceback__.tb_next is not None
                if is_from_within or (message := _unknown_name(function, args, kwargs, synonyms)) is None:
                    raise
            raise ArgumentError(message)

        async def awaited(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            return await called(*args, **kwargs)  # type: ignore[misc]

        made: Any = awaited if inspect.iscoroutinefunction(function) else called
        return wraps(function)(made)

    return decorated


def fields_known(kind: _Class) -> _Class:
    """A decorator: :func:`names_known` for the constructor of a class."""
    kind.__init__ = names_known()(kind.__init__)  # type: ignore[misc]
    return kind


def _unknown_name(
    function: Callable[..., Any], given: Any, names: Iterable[str], right: Mapping[str, str]
) -> str | None:
    """The message about the first name that is no argument of a function; None if there is none."""
    parameters = inspect.signature(function).parameters
    known = [name for name in parameters if name not in ("self", "cls")]
    unknown = next((name for name in names if name not in known), None)
    if unknown is None:
        return None
    right_names = {**{other: name for other, name in _SYNONYMS.items() if name in known}, **right}
    called = function.__qualname__
    if given and len(known) < len(parameters):  # the class that the caller knows, not one that it inherits from
        called = f"{getattr(given[0], '__name__', type(given[0]).__name__)}.{function.__name__}"
    expected = ", ".join(known) + nearest(unknown, known, right_names)
    return f"{called.removesuffix('.__init__')}() has no argument {unknown!r:.80}, expected {expected}"
