"""Replies as HTML: a model's Markdown without active content, and citations that open their passage."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

from markdown_it import MarkdownIt

from dpr_rag.pages.highlighting import plain_html
from dpr_rag.pages.turns import CITED, Turn

_NUMBER = re.compile(r"[0-9]+")
# a link or picture of a model's would lead away from this machine, and its HTML could pass for a passage
_LEFT_OUT = ["link", "image", "autolink", "reference", "html_inline", "html_block", "entity"]
OPENED = """
() => {
  const opened = event => {
    const number = event.target.closest?.('#chat .cite');
    if (!number || (event.type === 'keydown' && !['Enter', ' '].includes(event.key))) return;
    event.preventDefault();
    const reply = number.closest('.reply').parentElement;
    const passage = [...reply.querySelectorAll(':scope > .passage')][number.textContent.match(/[0-9]+/)[0] - 1];
    if (!passage) return;
    passage.open = true;
    passage.querySelector('summary').focus({preventScroll: true});
    passage.scrollIntoView({block: 'nearest'});
  };
  document.addEventListener('click', opened);
  document.addEventListener('keydown', opened);
}
"""
"""What opens a passage by its number: in the reply that names it, wherever else that number stands."""


def reply_html(turn: Turn) -> str:
    """What a turn says, as HTML on one line; a quoted reply as plain text, another as Markdown without links and HTML."""
    known = frozenset(citation.number for citation in turn.citations)
    if turn.quoted:
        text = _linked(turn.reply, known, turn)
        return f'<div class="reply"><p>{text}</p></div>'
    tokens = _markdown().parse(turn.reply)
    for token in tokens:
        for inner in token.children or ():
            if inner.type == "text":
                inner.type, inner.content = "html_inline", _linked(inner.content, known, turn)
    made = str(_markdown().renderer.render(tokens, _markdown().options, {}))
    return f'<div class="reply">{_on_one_line(made)}</div>'


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    return (
        MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"]).disable(_LEFT_OUT)
    )


def _on_one_line(html: str) -> str:
    """Blank lines would end the frame for the page's own Markdown; within code, lines are kept."""
    return html.strip().replace("\r", "").replace("\n", "&#10;")


def _linked(text: str, known: Collection[int], turn: Turn) -> str:
    made, shown = [], 0
    for match in CITED[turn.quoted].finditer(text):
        made += [plain_html(text[shown : match.start()]), _numbers(match[0], known)]
        shown = match.end()
    return "".join([*made, plain_html(text[shown:])])


def _numbers(group: str, known: Collection[int]) -> str:
    """``[1]`` as one link, ``[1, 2]`` as two; a number without a passage stays text."""
    numbers = _NUMBER.findall(group)
    if len(numbers) == 1:
        return _link(group) if int(numbers[0]) in known else group
    return _NUMBER.sub(lambda match: _link(match[0]) if int(match[0]) in known else match[0], group)


def _link(shown: str) -> str:
    return f'<a class="cite" role="button" tabindex="0">{shown}</a>'
