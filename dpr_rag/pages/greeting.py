"""The chatbot's replies to greetings, and its suggested questions; neither searches the store."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from textwrap import shorten

from dpr_rag.courtesies import Courtesy
from dpr_rag.passages import Passage

_LOOKED_AT = 200
_PROPOSED = 3
_SAYS = {
    Courtesy.GREETING: "Hello!",
    Courtesy.THANKS: "You are welcome.",
    Courtesy.ASSENT: "Good.",
    Courtesy.FAREWELL: "Goodbye! This conversation is kept.",
}


def courteous(kind: Courtesy, store: Iterable[Passage]) -> str:
    """The answer to a courtesy: one in return, and what can be asked."""
    if kind is Courtesy.FAREWELL:
        return _SAYS[kind]
    examples = examples_of(store)
    can = (
        f"Ask me about what the files in this store say, such as: “{examples[0]}”"
        if examples
        else "Add files, and ask about them."
    )
    return f"{_SAYS[kind]} {can}"


def examples_of(store: Iterable[Passage]) -> list[str]:
    """Questions to begin with, of the first titles in the store."""
    titles = dict.fromkeys(passage.title for passage in islice(store, _LOOKED_AT) if passage.title)
    return [f"What is said about {shorten(title, 60, placeholder=' …')}?" for title in islice(titles, _PROPOSED)]
