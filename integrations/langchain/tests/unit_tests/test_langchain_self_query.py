"""Structured queries of models, against what plain Python finds in the documents by the words of the documentation."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.structured_query import Comparator, Comparison, Operation, Operator, StructuredQuery

from dpr_rag.errors import FilterError
from langchain_dpr_rag import DPRTranslator, DPRVectorStore

MISSING = object()
METADATA: list[dict[str, Any]] = [
    {
        "title": "Hamlet",
        "year": 1601,
        "rating": 9.5,
        "tags": ["tragedy", "ghost"],
        "day": "2024-01-01",
        "specs": {"acts": 5},
    },
    {
        "title": "hamlet again",
        "year": 1700,
        "rating": 5,
        "tags": [],
        "day": "2024-01-01T10:00:00+00:00",
        "specs": {"acts": 3},
    },
    {"title": "Faust", "year": 1808, "tags": ["tragedy", "devil", 7], "day": "2024-01-01T10:00:00", "$odd": True},
    {
        "title": "100% Ham_let",
        "year": "1601",
        "rating": None,
        "tags": "a tragedy",
        "day": "2024-01-01T23:59:59.999999+00:00",
    },
    {"title": "C:\\plays\\", "year": 1601.0, "rating": True, "day": "2024-01-02", "specs": {"acts": "5"}},
    {"title": "Iliad", "year": -1, "tags": ["2024-01-01"], "day": "2023-12-31T23:59:59+00:00", "specs.acts": 9},
    {"rating": 9.5, "day": "2024-01-01T10:00:00.500000+00:00", "specs": {}, "tags": [True, 1]},
    {"title": "Übermut", "year": 0, "day": ["2024-01-01"], "rating": 0},
]
DAY, NEXT = {"date": "2024-01-01", "type": "date"}, {"date": "2024-01-02", "type": "date"}
TIME = {"datetime": "2024-01-01T10:00:00Z", "type": "datetime"}
NAIVE = {"datetime": "2024-01-01T10:00:00", "type": "datetime"}
FIELDS = ("title", "year", "rating", "tags", "day", "specs.acts", "$odd", "nowhere")
BOUNDS = [1601, 0, -1, 5.0, "Faust", "2024-01-01T10:00:00+00:00", DAY, NEXT, TIME, NAIVE]
LISTS: list[Any] = [[1601, "Iliad", 5], [], 1700, [True], [DAY, 1808], [None, TIME], NEXT]
VALUES: dict[Comparator, list[Any]] = {
    Comparator.EQ: [1601, "1601", 9.5, 5, True, 1, 0, "Hamlet", None, [], ["tragedy", "ghost"], DAY, TIME, NAIVE],
    Comparator.NE: [1601, "Hamlet", True, None, ["2024-01-01"], DAY, TIME],
    Comparator.GT: BOUNDS,
    Comparator.GTE: BOUNDS,
    Comparator.LT: BOUNDS,
    Comparator.LTE: BOUNDS,
    Comparator.IN: LISTS,
    Comparator.NIN: LISTS,
    Comparator.CONTAIN: ["tragedy", "ham", 7, True, 1, ["devil", "ghost"], [], DAY, "%"],
    Comparator.LIKE: ["Ham", "Ham%", "%let", "%a_s%", "H_mlet", "100\\%", "plays\\", "%", "", "ham%", "Ü%", DAY],
}


def looked_up(metadata: dict[str, Any], name: str) -> Any:
    if name in metadata or "." not in name:
        return metadata.get(name, MISSING)
    first, _, rest = name.partition(".")
    return looked_up(metadata[first], rest) if isinstance(metadata.get(first), dict) else MISSING


def kind(value: Any) -> str:
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def same(stored: Any, value: Any) -> bool:
    if isinstance(stored, list) and isinstance(value, list):
        return len(stored) == len(value) and all(map(same, stored, value))
    return kind(stored) == kind(value) and stored == value


def interval(value: Any) -> tuple[datetime, datetime] | None:
    """From when until before when a literal reaches."""
    if not isinstance(value, dict):
        return None
    if value["type"] == "date":
        start = datetime.fromisoformat(value["date"]).replace(tzinfo=UTC)
        return start, start + timedelta(days=1)
    start = datetime.fromisoformat(value["datetime"])
    start = start if start.tzinfo else start.replace(tzinfo=UTC)
    return start, start + timedelta(microseconds=1)


def moment(stored: Any) -> datetime | None:
    if not isinstance(stored, str) or not re.match(r"\d{4}-\d\d-\d\d", stored):
        return None
    found = datetime.fromisoformat(stored)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def ordered(comparator: Comparator, stored: Any, value: Any) -> bool:
    span, at = interval(value), moment(stored)
    if span is not None:
        if at is None:  # no time, which texts alone can be compared with
            return isinstance(stored, str) and (comparator in (Comparator.GT, Comparator.GTE)) is (stored > "2025")
        return {
            Comparator.LT: at < span[0],
            Comparator.LTE: at < span[1],
            Comparator.GT: at >= span[1],
            Comparator.GTE: at >= span[0],
        }[comparator]
    if kind(stored) != kind(value):
        return False
    return bool(
        {
            Comparator.LT: lambda: stored < value,
            Comparator.LTE: lambda: stored <= value,
            Comparator.GT: lambda: stored > value,
            Comparator.GTE: lambda: stored >= value,
        }[comparator]()
    )


def equal(stored: Any, value: Any) -> bool:
    span = interval(value)
    if span is None:
        return same(stored, value)
    at = moment(stored)
    if at is None:
        return False
    if value["type"] == "datetime" and len(stored) == 10:
        return False  # a day is no moment
    return span[0] <= at < span[1]


def like(stored: Any, pattern: str) -> bool:
    if not isinstance(stored, str):
        return False
    tokens = re.findall(r"\\[%_]|.", pattern, re.DOTALL)
    meant = {"%": ".*", "_": ".", "\\%": "%", "\\_": "_"}
    regex = "".join(meant.get(token, re.escape(token)) for token in tokens)
    return re.fullmatch(regex if "%" in tokens else f".*{regex}.*", stored) is not None


def holds(comparator: Comparator, stored: Any, value: Any) -> bool:
    if comparator in (Comparator.NE, Comparator.NIN):
        positive = Comparator.EQ if comparator is Comparator.NE else Comparator.IN
        return not holds(positive, stored, value)
    if stored is MISSING:
        return False
    several = value if isinstance(value, list) else [value]
    match comparator:
        case Comparator.EQ:
            return equal(stored, value)
        case Comparator.IN:
            return any(equal(stored, one) for one in several if not isinstance(one, list))
        case Comparator.CONTAIN:
            plain = [one["date"] if isinstance(one, dict) else one for one in several]
            if isinstance(stored, str):
                return any(isinstance(one, str) and one in stored for one in plain)
            return isinstance(stored, list) and any(same(item, one) for item in stored for one in plain)
        case Comparator.LIKE:
            return like(stored, value["date"] if isinstance(value, dict) else value)
        case other:
            return ordered(other, stored, value)


def by_brute_force(directive: Any) -> set[str]:
    return {str(at) for at, metadata in enumerate(METADATA) if judged(directive, metadata)}


def judged(directive: Any, metadata: dict[str, Any]) -> bool:
    if isinstance(directive, Comparison):
        return holds(directive.comparator, looked_up(metadata, directive.attribute), directive.value)
    parts = [judged(one, metadata) for one in directive.arguments]
    return {Operator.AND: all(parts), Operator.OR: any(parts), Operator.NOT: not any(parts)}[directive.operator]


@pytest.fixture(scope="module")
def plays() -> Iterator[DPRVectorStore]:
    with DPRVectorStore(Words()) as store:
        documents = [Document(f"play number {at}", metadata=one, id=str(at)) for at, one in enumerate(METADATA)]
        store.add_documents(documents)
        yield store


class Words:
    dim, fingerprint = 4, "lengths"

    def encode_questions(self, questions: Any) -> Any:
        return [[len(one), 1, 2, 3] for one in questions]

    def encode_passages(self, passages: Any) -> Any:
        return [[len(one.text), 3, 2, 1] for one in passages]


def asked(store: DPRVectorStore, directive: Any, question: str = "play", search_type: str = "similarity") -> set[str]:
    """The steps of SelfQueryRetriever, which comes with langchain-classic."""
    query, more = DPRTranslator().visit_structured_query(StructuredQuery(question, directive, limit=None))
    return {str(one.id) for one in store.search(query, search_type, k=99, **more)}


CASES = [(comparator, field, value) for comparator, values in VALUES.items() for field in FIELDS for value in values]


@pytest.mark.parametrize("comparator", Comparator)
def test_every_comparator_finds_what_plain_python_finds(plays: DPRVectorStore, comparator: Comparator) -> None:
    found = set()
    for _, field, value in (case for case in CASES if case[0] is comparator):
        directive = Comparison(comparator, field, value)
        expected = by_brute_force(directive)
        assert asked(plays, directive, " ") == expected, (field, value)
        found |= expected
    assert len(found) >= 4  # no comparator finds nothing everywhere


def nested(draw: random.Random, depth: int) -> Any:
    if depth == 0 or draw.random() < 0.3:
        return Comparison(*draw.choice(CASES))
    count = 1 if draw.random() < 0.3 else draw.randint(1, 3)
    return Operation(draw.choice(list(Operator)), [nested(draw, depth - 1) for _ in range(count)])


def test_nested_operations_find_what_plain_python_finds(plays: DPRVectorStore) -> None:
    draw, sizes = random.Random(7), set()
    for at in range(150):
        directive = nested(draw, 4)
        expected = by_brute_force(directive)
        question = " " if at % 2 else "play"
        assert asked(plays, directive, question) == expected, directive
        sizes.add(len(expected))
    assert len(sizes) > 5


@pytest.mark.parametrize("search_type", ["similarity", "mmr", "similarity_score_threshold"])
@pytest.mark.parametrize("question", ["play", " ", ""])
def test_every_search_type_and_blank_questions(plays: DPRVectorStore, search_type: str, question: str) -> None:
    directive = Comparison(Comparator.GTE, "year", 1601)
    assert asked(plays, directive, question, search_type) == {"0", "1", "2", "4"}
    assert asked(plays, None, question, search_type) == (set() if not question.strip() else set("01234567"))


@pytest.mark.parametrize("made", [list, tuple, set])
def test_values_of_a_program_are_taken_too(plays: DPRVectorStore, made: Callable[[Any], Any]) -> None:
    assert asked(plays, Comparison(Comparator.IN, "year", made([1700, 1808]))) == {"1", "2"}
    paris = timezone(timedelta(hours=1))
    assert asked(plays, Comparison(Comparator.EQ, "day", datetime(2024, 1, 1, 11, tzinfo=paris))) == {"1", "2"}
    assert asked(plays, Comparison(Comparator.GT, "day", date(2024, 1, 1))) == {"4"}


def test_what_is_handed_over_is_a_plain_dict() -> None:
    directive = Operation(
        Operator.AND, [Comparison(Comparator.LTE, "day", DAY), Comparison(Comparator.EQ, "$odd", True)]
    )
    query, more = DPRTranslator().visit_structured_query(StructuredQuery("x", directive))
    assert (query, json.loads(json.dumps(more))) == (
        "x",
        {"filter": {"$and": [{"day": {"$lte": "2024-01-01T24"}}, {"$$odd": {"$eq": True}}]}},
    )
    assert DPRTranslator().visit_structured_query(StructuredQuery("x", None)) == ("x", {})


@pytest.mark.parametrize(
    "value",
    [
        {"date": "yesterday", "type": "date"},
        {"type": "date"},
        {"datetime": "2024-01-01 at ten", "type": "datetime"},
        {"datetime": None, "type": "datetime"},
        {"datetime": "0001-01-01T00:00:00+05:00", "type": "datetime"},
        {"some": "object"},
    ],
)
def test_what_is_no_value_is_an_error(value: Any) -> None:
    with pytest.raises(FilterError):
        DPRTranslator().visit_structured_query(StructuredQuery("x", Comparison(Comparator.EQ, "day", value)))


def answer(query: str, filter: str, **more: Any) -> str:
    return f"```json\n{json.dumps({'query': query, 'filter': filter, **more})}\n```"


ANSWERS = [
    ("play", 'and(eq("year", 1601), like("title", "Ham"))', {"0"}),
    ("", 'contain("tags", "tragedy")', {"0", "2", "3"}),
    ("", 'or(gt("day", "2024-01-01"), not(gte("year", -1)))', {"3", "4", "6"}),
    ("play", 'in("specs.acts", [5, 9])', {"0", "5"}),
    ("", 'nin("year", [1601, 1700, 1808])', {"3", "5", "6", "7"}),
    ("", "NO_FILTER", set()),
    ("play", 'eq("day", "2024-01-01T10:00:00")', {"1", "2"}),
]


def test_self_query_retriever_takes_it(plays: DPRVectorStore) -> None:
    self_query = pytest.importorskip("langchain_classic.retrievers.self_query.base")
    pytest.importorskip("lark")
    fields = [{"name": name, "description": name, "type": "string"} for name in FIELDS]
    model = FakeListChatModel(responses=[answer(query, filter) for query, filter, _ in ANSWERS for _ in range(2)])
    retriever = self_query.SelfQueryRetriever.from_llm(
        model, plays, "plays", fields, structured_query_translator=DPRTranslator(), search_kwargs={"k": 99}
    )
    for _, _, expected in ANSWERS:
        assert {one.id for one in retriever.invoke("whatever")} == expected
        assert {one.id for one in asyncio.run(retriever.ainvoke("whatever"))} == expected


def test_a_limit_is_the_number_of_documents(plays: DPRVectorStore) -> None:
    self_query = pytest.importorskip("langchain_classic.retrievers.self_query.base")
    pytest.importorskip("lark")
    model = FakeListChatModel(responses=[answer("", 'gt("year", 0)', limit=2)])
    retriever = self_query.SelfQueryRetriever.from_llm(
        model,
        plays,
        "plays",
        [{"name": "year", "description": "", "type": "integer"}],
        DPRTranslator(),
        enable_limit=True,
    )
    assert len(retriever.invoke("two plays")) == 2
