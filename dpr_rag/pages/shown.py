"""Turns as chat messages: the reply, and below it the passages, which open on click."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from dpr_rag.lexical import Analyzer
from dpr_rag.pages.highlighting import marked, plain_html
from dpr_rag.pages.replies import reply_html
from dpr_rag.pages.turns import DOWN, UP, Citation, Turn

LIKE, DISLIKE = "Like", "Dislike"
_THUMBS = {UP: LIKE, DOWN: DISLIKE, "": None}


def messages_of(turns: Sequence[Turn], analyzer: Analyzer) -> list[dict[str, Any]]:
    """The messages of a conversation, two a turn."""
    return [message for turn in turns for message in _pair(turn, analyzer)]


def thumbs_of(turns: Sequence[Turn]) -> list[str | None]:
    """What people said of each reply."""
    return [_THUMBS[turn.thumb] for turn in turns]


@lru_cache(maxsize=256)  # while a reply grows, the turns before it are shown again with every piece
def _pair(turn: Turn, analyzer: Analyzer) -> tuple[dict[str, Any], dict[str, Any]]:
    return (
        {"role": "user", "content": turn.question},
        {"role": "assistant", "content": _reply(turn, analyzer)},
    )


def _reply(turn: Turn, analyzer: Analyzer) -> str:
    searched = "" if turn.searched in ("", turn.question) else f"<small>searched: {plain_html(turn.searched)}</small>"
    by = f"{turn.searched} {turn.reply if turn.answered else ''}"
    cited = "".join(cited_html(citation, by, analyzer) for citation in turn.citations)
    return f"{reply_html(turn)}{searched}{cited}"


def cited_html(citation: Citation, by: str, analyzer: Analyzer) -> str:
    """A passage as one line of HTML: its title and scores, which open its text with the marked words of ``by``."""
    named = citation.title or citation.id
    where = f" — {plain_html(citation.where)}" if citation.where else ""
    return (
        f'<details class="passage"><summary>[{citation.number}] {plain_html(named)}{where} '
        f"<small>{_scores(citation)}</small></summary><div>{marked(citation.text, by, analyzer)}</div></details>"
    )


def _scores(citation: Citation) -> str:
    legs = [f"{100 * citation.relevance:.0f} % relevant"]
    if citation.dense is not None:
        legs.append(f"dense {citation.dense:.2f}")
    if citation.bm25 is not None:
        legs.append(f"BM25 {citation.bm25:.2f}")
    return " · ".join(legs)
