"""The report in a browser: what a person sees of it, on a desk and on a phone, in light and dark, with the keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from asking import Fixed, ranked
from browser import CHROMIUM, Tab, chromium

from dpr_rag import Passage
from dpr_rag.corpora import Question
from dpr_rag.evaluation import Evaluation, evaluate, write_report

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, to open the page as a person does"),
    pytest.mark.timeout(240),
]
LAYOUTS = [(1280, False), (1280, True), (390, False), (390, True)]
K = 100
HYBRID = "hybrid, with a name that is longer than most"

CURVES = """
const seen = [...document.querySelectorAll("svg.curve")].filter(svg => svg.getBoundingClientRect().width > 0);
if (seen.length !== 1) throw new Error(`${seen.length} figures are seen`);
const grid = [...seen[0].querySelectorAll(".grid")].map(line => line.y1.baseVal.value);
const labels = [...seen[0].querySelectorAll("text")].filter(text => /^\\d+ %$/.test(text.textContent));
const shares = labels.map(text => parseInt(text.textContent));
const share = y => shares[0] + (y - grid[0]) * (shares.at(-1) - shares[0]) / (grid.at(-1) - grid[0]);
const ends = [...seen[0].querySelectorAll(".end")];
return [...seen[0].querySelectorAll("polyline")].map((line, at) => ({
  name: line.dataset.system,
  shares: [...line.points].map(point => share(point.y)),
  length: line.getTotalLength(),
  colour: getComputedStyle(line).stroke,
  end: ends[at].textContent,
}));
"""

TABLE = """
const row = [...document.querySelectorAll(".figures tr")].find(tr => tr.cells[0].textContent === name);
return [...row.cells].slice(1).map(cell => cell.firstChild.textContent);
"""

MARKED = """
return [...document.querySelectorAll(`#${list} details`)].map(one => ({
  asked: one.querySelector(".asked")?.textContent,
  question: [...one.querySelectorAll("mark.question")].map(mark => mark.textContent),
  answer: [...one.querySelectorAll("mark.answer")].map(mark => mark.textContent),
  ids: [...one.querySelectorAll(".id")].map(id => id.textContent),
}));
"""

CLASHES = """
const boxes = [...document.querySelectorAll("svg.curve")].filter(svg => svg.getBoundingClientRect().width > 0)
  .flatMap(svg => [...svg.querySelectorAll("text")].map(text => [text.textContent, text.getBoundingClientRect(), svg]));
const found = [];
for (const [at, [name, box, svg]] of boxes.entries()) {
  const frame = svg.getBoundingClientRect();
  if (box.left < frame.left || box.right > frame.right + 1 || box.top < frame.top || box.bottom > frame.bottom)
    found.push(`${name} leaves its picture`);
  for (const [other, its] of boxes.slice(at + 1))
    if (box.left < its.right && its.left < box.right && box.top + 2 < its.bottom && its.top + 2 < box.bottom)
      found.push(`${name} on ${other}`);
}
return found;
"""

PALE = """
const channels = colour => colour.match(/[\\d.]+/g).map(Number);
const light = colour => channels(colour).slice(0, 3).map(one => one / 255)
  .map(one => one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
  .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
const paper = one => { for (; one; one = one.parentElement) {
  const colour = getComputedStyle(one).backgroundColor;
  if (channels(colour)[3] !== 0) return colour; } };
const found = [];
for (const one of document.querySelectorAll("body *")) {
  const own = [...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
  if (!own || !one.getClientRects().length) continue;
  const style = getComputedStyle(one);
  const pair = [light(one.closest("svg") ? style.fill : style.color), light(paper(one))].sort((a, b) => b - a);
  const contrast = (pair[0] + 0.05) / (pair[1] + 0.05);
  if (contrast < 4.5) found.push(`${one.tagName}.${one.getAttribute("class")} ${contrast.toFixed(2)}`);
}
return [...new Set(found)];
"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with chromium(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    questions, dense = ranked(1, 30, None, 2, *[40, 60, None] * 9, size=K)
    _, bm25 = ranked(1, 2, 1, None, *[1, 20, None] * 9, size=K, name="other")
    _, hybrid = ranked(1, 2, 2, 80, *[1, 19, None] * 9, size=K, name="third")
    asked = Question("w", "Who wrote the tragedy of Hamlet?", ("William Shakespeare",))
    play = Passage("play", "Hamlet is a tragedy that was written by William Shakespeare.", "Hamlet")
    town = Passage("town", "A hamlet is a small place, and no tragedy.", "Settlement")
    for system, hits in ((dense, [town] * K), (bm25, [play]), (hybrid, [town, play])):
        system.found = {**system.found, asked.question: hits}
    systems: dict[str, Fixed] = {"dense": dense, "bm25": bm25, HYBRID: hybrid}
    return evaluate(systems, [*questions, asked], k=K)


@pytest.fixture(scope="module")
def report(evaluation: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(
        path, evaluation, {"store": f"wiki.dpr/{'x' * 200}", "date": "2026-01-02"}, title="Retrieval from wiki.dpr"
    )
    return path


@pytest.mark.parametrize(("width", "dark"), LAYOUTS)
def test_every_curve_is_drawn_and_ends_at_the_accuracy_of_the_table(
    tab: Tab, report: Path, evaluation: Evaluation, width: int, dark: bool
) -> None:
    tab.show(report, width=width, dark=dark)
    drawn = tab.value(CURVES)
    assert [one["name"] for one in drawn] == ["dense", "bm25", HYBRID]
    assert len({one["colour"] for one in drawn}) == 3
    for one in drawn:
        assert one["length"] > width / 4
        assert one["shares"] == pytest.approx(100 * evaluation[one["name"]].curve(K), abs=0.1)
    for k in (1, 5, 20, K):
        row = tab.value(f"const name = 'top-{k}'; {TABLE}")
        assert [one["shares"][k - 1] for one in drawn] == pytest.approx(
            [float(cell.rstrip(" %")) for cell in row], abs=0.15
        )
    ends = [one["end"].split(" ")[-2] for one in drawn]
    assert ends == [cell.removesuffix(" %") for cell in tab.value(f"const name = 'top-{K}'; {TABLE}")]


@pytest.mark.parametrize(("width", "dark"), LAYOUTS)
def test_nothing_overflows_overlaps_or_is_pale(tab: Tab, report: Path, width: int, dark: bool) -> None:
    tab.show(report, width=width, dark=dark)
    tab.value("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert tab.value("return innerWidth") == width
    assert tab.value("const page = document.documentElement; return page.scrollWidth - page.clientWidth") == 0
    assert tab.value(CLASHES) == []
    assert tab.value(PALE) == []


def test_bars_start_at_one_line_and_are_as_long_as_they_say(tab: Tab, report: Path) -> None:
    for width in (1280, 390):
        tab.show(report, width=width)
        rows = tab.value("""return [...document.querySelectorAll(".bars .row")].map(row => {
            const bar = row.querySelector(".bar").getBoundingClientRect();
            return [bar.left, bar.width, parseFloat(row.querySelector(".value").textContent)]; });""")
        assert len(rows) == 8 * 3
        assert len({left for left, _, _ in rows}) == 1
        longest, most = max((long, share) for _, long, share in rows)
        assert [long for _, long, _ in rows] == pytest.approx([longest * share / most for *_, share in rows], abs=1)


def test_lost_questions_are_listed_with_what_was_preferred_and_words_marked(tab: Tab, report: Path) -> None:
    tab.show(report)
    lists = tab.value(
        "return [...document.querySelectorAll('.lost')].map(one => [one.id, one.innerText.split('\\n')[0]])"
    )
    hybrid, lost = HYBRID, dict(lists)
    assert lost == {
        "lost-0-1": "dense loses to bm25 21",
        "lost-0-2": f"dense loses to {hybrid} 21",
        "lost-1-0": "bm25 loses to dense 1",
        "lost-1-2": f"bm25 loses to {hybrid} 0",
        "lost-2-0": f"{hybrid} loses to dense 1",
        "lost-2-1": f"{hybrid} loses to bm25 0",
        "missed": "Lost by all 9",
    }
    links = tab.value(
        "return [...document.querySelectorAll('main nav a')].map(a => [a.hash.slice(1), a.closest('li').innerText])"
    )
    assert dict(links) == lost
    entries = tab.value(f"const list = 'lost-0-1'; {MARKED}")
    assert len(entries) == 21  # twenty with passages, and one that holds the rest
    (hamlet,) = [one for one in entries if one["asked"] == "Who wrote the tragedy of Hamlet?"]
    assert hamlet["ids"] == ["town", "town", "town", "play"]
    assert hamlet["question"] == ["hamlet", "tragedy"] * 3 + ["Hamlet", "Hamlet", "tragedy"]
    assert hamlet["answer"] == ["William Shakespeare"]
    assert tab.value("return document.querySelector('#lost-0-1 .others li .asked').textContent").startswith("question ")


def test_questions_open_by_keyboard_and_without_scripts(tab: Tab, report: Path) -> None:
    tab.show(report)
    assert tab.value("return document.scripts.length") == 0
    first, second = "#lost-0-1 details:nth-of-type(1)", "#lost-0-1 details:nth-of-type(2)"
    shown = f"return ['{first}', '{second}'].map(one => document.querySelector(one + ' .sides').checkVisibility())"
    assert tab.value(shown) == [True, False]
    tab.value(f"document.querySelector('{first} summary').focus()")
    tab.press("Tab", 9)
    assert tab.value(f"return document.activeElement === document.querySelector('{second} summary')")
    assert tab.value("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    tab.press("Enter", 13, "\r")
    assert tab.value(shown) == [True, True]


def test_page_is_told_to_those_who_do_not_see_it(tab: Tab, report: Path) -> None:
    tab.show(report)
    assert tab.value("return [document.title, document.documentElement.lang]") == ["Retrieval from wiki.dpr", "en"]
    levels = tab.value("return [...document.querySelectorAll('h1,h2,h3,h4')].map(one => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert tab.value("return [...document.querySelectorAll('th')].every(th => th.scope && th.textContent)")
    told = tab.value("return document.querySelector('svg[role=img]').getAttribute('aria-label')")
    for cell in tab.value(f"const name = 'top-{K}'; {TABLE}"):
        assert f"to {cell}" in told
    links = tab.value("return [...document.querySelectorAll('a')].map(a => document.querySelector(a.hash) !== null)")
    assert len(links) == 6 + 7
    assert all(links)


def test_page_asks_for_nothing_and_nothing_is_refused(tab: Tab, report: Path) -> None:
    tab.complaints.clear()
    tab.show(report)
    assert tab.requests == [report.as_uri()]
    assert tab.complaints == []
