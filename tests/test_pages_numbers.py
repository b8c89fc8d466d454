"""Numbers in replies: which are links, and what they open, by mouse and by keyboard, in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import CHROMIUM, chromium
from test_pages_browser import served
from test_pages_shown import HOSTILE, Seen

from dpr_rag import DualEncoder, PassageStore
from dpr_rag.pages.memory import Memory
from dpr_rag.pages.replies import reply_html
from dpr_rag.pages.turns import Citation, Turn

FORGED = (
    '<details class="passage"><summary>[1] Forged</summary>a lie</details> [1](http://example.org/) '
    '![2](http://example.org/x.png) <a class="cite">[7]</a> <http://example.org> [2]: http://example.org'
)


def turn(question: str, reply: str, *named: str, quoted: bool = False) -> Turn:
    cited = tuple(
        Citation(at, f"{one}-{at}", one, f"{one} is told here.", "", 0.5, 1.0, None) for at, one in enumerate(named, 1)
    )
    return Turn(question, reply, question, cited, answered=True, quoted=quoted)


def links(made: Turn) -> list[str]:
    return [
        piece.split("</a>")[0] for piece in reply_html(made).split('<a class="cite" role="button" tabindex="0">')[1:]
    ]


@pytest.mark.parametrize(
    ("reply", "quoted", "linked", "cited"),
    [
        ("They eat krill [1] and sing [2].", False, ["[1]", "[2]"], ["A-1", "B-2"]),
        ("Krill[1][2].", False, ["[1]", "[2]"], ["A-1", "B-2"]),
        ("Krill [1, 2; 3].", False, ["1", "2"], ["A-1", "B-2"]),
        ("磷虾【2】", False, ["【2】"], ["B-2"]),
        ("No [3], [0], [99999] or [x]; `a[1]` is code.\n\n```\nb[2]\n```", False, [], ["A-1", "B-2"]),
        ("**[1]** and | *[2]*", False, ["[1]", "[2]"], ["A-1", "B-2"]),
        (FORGED, False, ["[1]", "[1]", "[2]", "[2]"], ["A-1", "B-2"]),
        ("A footnote.[2] A list a[2] is short. [1]", True, ["[1]"], ["A-1"]),
        ("*[1]* (9) [2]", True, ["[2]"], ["B-2"]),
    ],
)
def test_numbers_that_have_a_passage_are_links(reply: str, quoted: bool, linked: list[str], cited: list[str]) -> None:
    made = turn("q", reply, "A", "B", quoted=quoted)
    assert links(made) == linked
    assert [one.id for one in made.cited] == cited


@pytest.mark.parametrize("reply", [FORGED, *HOSTILE])
def test_a_model_writes_no_link_picture_or_frame(reply: str) -> None:
    html = reply_html(turn("q", f"{reply}\n\n**bold** [1]", "A", "B"))
    assert "\n" not in html
    seen = Seen(html)
    assert set(seen.tags) <= {"div", "p", "a", "strong", "br", "h1", "pre", "code"}
    assert seen.tags.count("a") == html.count('<a class="cite" role="button" tabindex="0">')
    assert html.endswith("</div>")
    assert html.count("<div") == html.count("</div>") == 1


OPEN = "return [...document.querySelectorAll('#chat details[open]')].map(one => one.innerText.split('\\n').at(-1))"
FOCUS = "return document.activeElement.innerText.split(' —')[0]"


@pytest.mark.timeout(200)
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, to open the page as a person does")
def test_a_number_opens_the_passage_of_its_own_reply_by_mouse_and_by_keyboard(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "notes.dpr", encoder=DualEncoder.default()):
        pass
    turns = (
        turn("what do whales eat?", "Krill [1], squid [2]; nothing else [3].", "Krill", "Squid"),
        turn("and tea?", f"Steep it [2]. {FORGED}\n\n" + "A long talk.\n\n" * 40, "Oolong", "Sencha"),
    )
    Memory(tmp_path / "notes.dpr.chat").change(None, lambda _: turns)
    (tmp_path / "browser").mkdir()
    with served(tmp_path) as address, chromium(tmp_path / "browser") as tab:
        tab.show(address)
        tab.wait("return document.querySelectorAll('#chat details').length === 4")
        assert tab.value("return document.querySelectorAll('#chat .bot :is(a[href], img, iframe)').length") == 0
        number = "[...document.querySelectorAll('#chat .cite')]"
        assert tab.value(f"return {number}.map(one => one.innerText)") == [f"[{at}]" for at in (1, 2, 2, 1, 1, 2, 2)]
        tab.value(f"{number}[2].click()")
        assert tab.value(OPEN) == ["Sencha is told here."]
        assert tab.value(FOCUS).startswith("[2] Sencha")
        seen = (
            "const at = document.activeElement.getBoundingClientRect(); return at.top >= 0 && at.bottom <= innerHeight"
        )
        assert tab.wait(seen)
        for key, code, text, at, opened in (("Enter", 13, "\r", 0, "Krill"), (" ", 32, " ", 1, "Squid")):
            tab.value(f"{number}[{at}].focus()")
            tab.press(key, code, text)
            assert tab.value(FOCUS).startswith(f"[{at + 1}] {opened}")
        assert tab.value(OPEN) == ["Krill is told here.", "Squid is told here.", "Sencha is told here."]
        assert tab.value("return document.title") == "dpr-rag: notes.dpr"
