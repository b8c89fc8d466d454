"""Passages as HTML: the right words are marked, and nothing breaks out of its frame."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from dpr_rag.lexical import Analyzer
from dpr_rag.pages.highlighting import marked, plain_markdown
from dpr_rag.pages.parting import parted
from dpr_rag.pages.shown import messages_of
from dpr_rag.pages.turns import Citation, Turn

HOSTILE = [
    "</div></details><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\n\n# heading\n\n![x](http://example.org/x.png)\n\n```\ncode",
    "\r\n\r<b>bold",
    "&lt;script&gt;",
    "\u2028\u2029<details>",
    "a\x00b<",
]


class Seen(HTMLParser):
    """The tags and the text of a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(
    ("text", "by", "expected"),
    [
        ("Whales sing.", "a whale sings", "<mark>Whales</mark> <mark>sing</mark>."),
        ("The whale's song", "whales", "The <mark>whale&#x27;s</mark> song"),
        ("the of and", "the of and", "the of and"),
        ("Straße", "strasse", "Straße"),
        ("鲸鱼吃磷虾。", "磷虾", "鲸鱼吃<mark>磷虾</mark>。"),
        ("a<b & whale", "whale", "a&lt;b &amp; <mark>whale</mark>"),
        ("", "whale", ""),
    ],
)
def test_words_of_another_text_are_marked_in_any_inflection(text: str, by: str, expected: str) -> None:
    assert marked(text, by, Analyzer()) == expected


@pytest.mark.parametrize("text", HOSTILE)
def test_a_passage_stays_on_one_line_inside_its_frame(text: str) -> None:
    citation = Citation(1, text, text, text, text, 0.5, 1.0, None)
    turn = Turn("q", "Reply", text, (citation,), answered=True)
    html = messages_of([turn], Analyzer())[1]["content"]
    assert "\n" not in html
    assert "\r" not in html
    assert set(Seen(html).tags) <= {"details", "summary", "small", "div", "br", "mark", "p"}
    assert html.count("<details") == html.count("</details>") == 1
    assert html.startswith('<div class="reply"><p>Reply</p></div><small>searched: ')
    assert html.endswith("</details>")


def test_quoted_replies_are_no_markup_and_those_of_models_are() -> None:
    for quoted, shown in ((True, "<p># *a* ![x](y)</p>"), (False, "<h1><em>a</em> ![x](y)</h1>")):
        turn = Turn("q", "# *a* ![x](y)", "q", (), answered=True, quoted=quoted)
        assert messages_of([turn], Analyzer())[1]["content"] == f'<div class="reply">{shown}</div>'


def test_markdown_is_shown_as_it_stands() -> None:
    assert plain_markdown("a_b <c> [1] 5%") == r"a\_b \<c\> \[1\] 5\%"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("# Title\n\nOne line\nwith a break.", ["One line with a break."]),
        ("In 1.5 litres. “Quoted.” The end", ["In 1.5 litres.", "“Quoted.”", "The end"]),
        ("鲸鱼吃磷虾。它们很大！", ["鲸鱼吃磷虾。", "它们很大！"]),
        ("ok", ["ok"]),
    ],
)
def test_texts_are_cut_where_sentences_end(text: str, expected: list[str]) -> None:
    assert [one.text for one in parted(text)] == expected


@pytest.mark.timeout(120)  # a second; hours where it is quadratic
@pytest.mark.parametrize(
    "text", ["." * 200_000 + "x end.", "?!" * 100_000 + "x", '."' * 100_000 + "x", "x。" * 100_000]
)
def test_rows_of_signs_take_no_longer_than_others(text: str) -> None:
    assert (
        "".join([one.text for one in parted(text)]).replace(" ", "") == text.replace(" ", "")
        or len([one.text for one in parted(text)]) == 1
    )
