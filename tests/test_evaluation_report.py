"""The report: what it shows, and that texts cannot break out of it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from asking import Fixed, ranked
from hypothesis import given, settings
from hypothesis import strategies as st

from dpr_rag import Passage
from dpr_rag.corpora import Question
from dpr_rag.evaluation import Evaluation, evaluate, write_report
from dpr_rag.evaluation.report import page
from dpr_rag.evaluation.report.curve import apart
from dpr_rag.evaluation.report.highlighting import marked, question_words
from dpr_rag.evaluation.report.markup import element, text
from dpr_rag.evaluation.report.ranks import bins, shares
from dpr_rag.evaluation.report.tables import p_value, points

VOID = {"meta"}


class Reader(HTMLParser):
    """Reads a page: its elements in order, with their attributes and texts, and whether they are closed in order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def count(self, tag: str, **attributes: str) -> int:
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return sum(one == tag and wanted.items() <= has.items() for one, has in self.elements)


@pytest.fixture
def evaluation() -> Evaluation:
    questions, one = ranked(1, 3, 12, None, 2, size=15)
    _, other = ranked(1, 8, 1, None, 15, size=15, name="other")
    return evaluate({"dense": one, "bm25": other}, questions, k=15)


def test_page_shows_figures_curves_ranks_lists_and_settings(evaluation: Evaluation) -> None:
    source = page(evaluation, {"store": "wiki.dpr", "date": "2026-01-02"}, title="Retrieval from wiki.dpr")
    read = Reader(source)
    assert source.startswith("<!doctype html>\n<html lang=")
    assert read.open == []
    assert read.count("svg", role="img") == 2
    assert [has["data-system"] for tag, has in read.elements if tag == "polyline"] == ["dense", "bm25"] * 2
    assert {has.get("id") for _, has in read.elements if has.get("class") == "lost"} == {
        "lost-0-1",
        "lost-1-0",
        "missed",
    }
    assert {"wiki.dpr", "2026-01-02", "bm25 against dense", "dense loses to bm25 "} <= set(read.texts)
    assert [has.get("open") for tag, has in read.elements if tag == "details"].count("") == 1
    cells = re.findall(r"<th scope=\"row\">top-15</th><td>([0-9.]+ %)", source)
    assert cells == ["80.0 %"]


def test_curve_goes_through_the_accuracies(evaluation: Evaluation) -> None:
    source = page(evaluation, {}, title="t")
    lines = re.findall(r'<polyline points="([^"]+)" class="line s(\d)"', source)
    points = [[tuple(map(float, pair.split(","))) for pair in line.split()] for line, _ in lines]
    assert [len(line) for line in points] == [15] * 4
    xs = [x for x, _ in points[0]]
    assert xs[4] - xs[0] == pytest.approx(xs[14] - xs[2], abs=0.2)  # 5 / 1 = 15 / 3 on a logarithmic axis
    heights = [y for _, y in points[0]]
    accuracy = evaluation["dense"].curve(15)
    per_share = (heights[0] - heights[1]) / (accuracy[1] - accuracy[0])
    expected = [heights[0] - per_share * (share - accuracy[0]) for share in accuracy]
    assert heights == pytest.approx(expected, abs=0.3)


def test_lost_questions_come_with_what_was_preferred(evaluation: Evaluation) -> None:
    source = page(evaluation, {}, title="t")
    lost = source.split('id="missed"')[0]
    assert "question 3?" not in lost
    assert "question 3?" in source
    assert evaluation.focus == 15
    questions, one = ranked(1, 30, None, size=40)
    _, other = ranked(1, 2, None, size=40)
    source = page(evaluate({"one": one, "other": other}, questions, k=40), {}, title="t")
    section = source.split('id="lost-0-1"')[1].split("<section")[0]
    assert "one at 30 · other at 2" in section.replace("\N{NO-BREAK SPACE}", " ")
    assert [found for found in re.findall(r'class="id">([^<]+)<', section)] == ["p-1-0", "p-1-1", "p-1-2", "right-1"]
    assert '<mark class="answer">answer1</mark>' in section
    assert "None." in source.split('id="lost-1-0"')[1].split("<section")[0]


def test_one_system_has_its_missed_questions_only() -> None:
    questions, system = ranked(1, None)
    for by in ("answer", "passage"):
        source = page(evaluate({"dense": system}, questions, k=1, by=by), {}, title="t")
        read = Reader(source)
        assert read.open == []
        assert [has["id"] for _, has in read.elements if has.get("class") == "lost"] == ["missed"]
        assert ("nDCG@1" in read.texts) == (by == "passage")


def test_long_lists_are_cut_and_say_so() -> None:
    questions, system = ranked(*[None] * 30)
    source = page(evaluate({"dense": system}, questions, k=5), {}, title="t")
    read = Reader(source)
    assert read.count("details") == 20 + 1
    assert read.count("div", class_="sides") == 20
    assert "The 20 that come with passages are drawn by chance." in source
    assert {f"question {at}?" for at in range(30)} <= set(read.texts)
    assert "10 more, without passages" in read.texts
    questions, system = ranked(*[None] * 530)
    assert "… and 10 more" in page(evaluate({"dense": system}, questions, k=1), {}, title="t")


def test_known_passages_without_an_answer_say_so() -> None:
    known = Passage("known", "Something else.")
    question = Question("q", "which?", ("answer",), ("known",))
    systems = {"a": Fixed({"which?": [known]})}
    told = "known passage, holds no answer"
    assert told in page(evaluate(systems, [question], k=1), {}, title="t")
    assert told not in page(evaluate(systems, [question], k=1, by="passage"), {}, title="t")


def test_batches_have_no_latencies(evaluation: Evaluation) -> None:
    questions, system = ranked(1)
    assert "latency p50" in page(evaluation, {}, title="t")
    assert "latency" not in page(evaluate({"dense": system}, questions, k=1, batch_size=8), {}, title="t").lower()


HOSTILE = '</p></style><script>alert("1")</script><img src=x onerror=\'y\'> & "\x00\x07'


def test_texts_cannot_break_out(tmp_path: Path) -> None:
    passage = Passage(HOSTILE, f"{HOSTILE} answer <b>", f"title {HOSTILE}", {"x": HOSTILE})
    other = Passage("2", HOSTILE)
    question = Question(HOSTILE, f"which {HOSTILE}", ("answer", HOSTILE, "<b>"), (HOSTILE,))
    systems = {HOSTILE: Fixed({question.question: [passage]}), "b": Fixed({question.question: [other]})}
    evaluation = evaluate(systems, [question], k=1, by="passage")
    write_report(tmp_path / "r.html", evaluation, {HOSTILE: HOSTILE}, title=HOSTILE)
    source = (tmp_path / "r.html").read_text("utf-8")
    read = Reader(source)
    assert read.open == []
    assert {tag for tag, _ in read.elements} & {"script", "img", "b"} == set()
    assert not {name for _, has in read.elements for name in has if name.startswith("on")}
    assert "\x00" not in source
    assert read.count("style") == 1


def test_page_needs_nothing_from_elsewhere(evaluation: Evaluation) -> None:
    source = page(evaluation, {}, title="t")
    assert re.findall(r'https?:|url\(|@import|src=|href="[^#]|<link', source) == []
    assert "default-src 'none'" in source.replace("&#x27;", "'")


@given(st.text(max_size=40), st.text(max_size=10))
def test_markup_gives_texts_back(inside: str, attribute: str) -> None:
    read = Reader(element("p", inside, title=attribute))
    assert read.elements == [("p", {"title": text_of(attribute)})]
    assert "".join(read.texts) == text_of(inside)


def text_of(plain: str) -> str:
    (whole,) = Reader(f"<p>{text(plain)}</p>").texts or [""]
    return whole


@pytest.mark.parametrize(
    ("passage", "question", "answers", "expected"),
    [
        ("Hamlet is by Shakespeare.", "Who wrote Hamlet?", ["Shakespeare"], "[Hamlet] is by {Shakespeare}."),
        ("HAMLETS, hamlet!", "hamlet", [], "HAMLETS, [hamlet]!"),
        ("the New York Times", "times of New York?", ["new york"], "the {New York} [Times]"),
        ("a < b & c", "b?", ["c"], "a &lt; [b] &amp; {c}"),
        ("cafe\u0301 au lait", "what is caf\u00e9?", ["lait"], "[caf\u00e9] au {lait}"),
        ("who was it", "who was it?", [], "who was it"),
    ],
)
def test_words_of_the_question_and_answers_are_marked(
    passage: str, question: str, answers: list[str], expected: str
) -> None:
    html = marked(passage, question_words(question), answers)
    for kind, (left, right) in {"question": "[]", "answer": "{}"}.items():
        html = re.sub(f'<mark class="{kind}">(.*?)</mark>', rf"{left}\1{right}", html)
    assert html == expected


def test_regular_expressions_are_marked_before_words() -> None:
    html = marked("in the year 1601 or so", {"1601", "year"}, [r"r 16\d"], regex=True)
    assert html == 'in the yea<mark class="answer">r 160</mark>1 or so'


def test_long_texts_are_cut_around_the_answer() -> None:
    words = [f"w{at}" for at in range(400)]
    assert marked(" ".join(words), (), length=20) == "w0 w1 w2 w3 w4 w5 w6 …"
    html = marked(" ".join(words), (), ["w300"], length=300)
    assert html.startswith("… w")
    assert '<mark class="answer">w300</mark>' in html
    assert html.endswith(" …")
    assert 250 < len(re.sub("<[^>]+>", "", html)) < 310
    assert marked("x" * 50, (), length=20) == "x" * 20 + " …"


@settings(max_examples=60)
@given(st.text("ab <&é", max_size=60), st.lists(st.sampled_from(["a", "b a", "é"])), st.integers(5, 60))
def test_marked_text_is_the_text(plain: str, answers: list[str], length: int) -> None:
    read = Reader(f"<p>{marked(plain, {'b'}, answers, length=length)}</p>")
    shown = "".join(read.texts).removeprefix("… ").removesuffix(" …")
    assert shown in text_of(plain)


def test_ranks_are_shared_out_over_the_bins() -> None:
    assert bins(1) == [(1, 1)]
    assert bins(7) == [(1, 1), (2, 2), (3, 5), (6, 7)]
    assert bins(100) == [(1, 1), (2, 2), (3, 5), (6, 10), (11, 20), (21, 50), (51, 100)]
    questions, system = ranked(1, 1, 4, 5, 6, None, 7, 2)
    assert shares(evaluate({"a": system}, questions, k=7)["a"], 7) == [2 / 8, 1 / 8, 2 / 8, 2 / 8, 1 / 8]


@pytest.mark.parametrize(
    ("share", "shown"), [(0.125, "+12.5"), (-0.021, "−2.1"), (0, "0.0"), (-0.0001, "0.0"), (0.0001, "0.0")]
)
def test_points_have_a_sign(share: float, shown: str) -> None:
    assert points(share) == shown


def test_p_values_are_readable() -> None:
    assert [p_value(p) for p in (1.0, 0.0314, 0.001, 0.00099, 0.0)] == [
        "p = 1.000",
        "p = 0.031",
        "p = 0.001",
        "p < 0.001",
        "p < 0.001",
    ]


def test_names_of_curves_keep_their_distance() -> None:
    assert apart([50.0], 17, 300) == [50]
    assert apart([50.0, 90.0], 17, 300) == [50, 90]
    assert apart([60.0, 50.0], 17, 300) == [63.5, 46.5]
    assert apart([50.0, 50.0, 50.0], 17, 300) == [33, 50, 67]
    assert apart([299.0, 300.0], 17, 300) == [283, 300]
    assert apart([270.0, 299.0, 300.0], 17, 300) == [266, 283, 300]


@given(st.lists(st.floats(0, 300), min_size=1, max_size=6))
def test_names_of_curves_keep_their_order(heights: list[float]) -> None:
    found = apart(heights, 17, 300)
    order = sorted(range(len(heights)), key=lambda at: (heights[at], at))
    assert all(found[after] - found[before] >= 17 - 1e-9 for before, after in pairwise(order))
    assert max(found) <= 300 + 1e-9
