"""The data of a conversation: questions, replies, and the passages they cite."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from dpr_rag.pages.placing import place_in_file
from dpr_rag.passages import Hit
from dpr_rag.store import named_source, shown_source

UP, DOWN = "up", "down"
_LIST = r"[0-9]{1,4}(?:[,;] ?[0-9]{1,4})*"
CITED = {
    False: re.compile(rf"\[{_LIST}\]|【{_LIST}】"),
    True: re.compile(rf"(?<=\s)\[{_LIST}\](?!\S)"),
}
"""Numbers in a reply, as ``[1]`` or ``[1, 2]``; in a quoted one (True) those that stand apart, as texts have footnotes."""


@dataclass(frozen=True, slots=True)
class Citation:
    """A passage beside a reply.

    Attributes:
        number: What the reply cites it by, from 1.
        id: The passage's id; the passage may be gone by now.
        title: Its title, may be empty.
        text: Its text when the reply was given.
        source: The file that it came from, as the store has it, or an empty string.
        relevance: How relevant it is, in [0, 1].
        dense: Its exact inner product, or None where vectors did not count.
        bm25: Its BM25 score, or None where words did not count.
        place: Where it stands in its file, as its page or its row, or an empty string.
    """

    number: int
    id: str
    title: str
    text: str
    source: str
    relevance: float
    dense: float | None
    bm25: float | None
    place: str = ""

    @property
    def where(self) -> str:
        """The file with the place in it, or an empty string."""
        return ", ".join(part for part in (self.file if self.source else "", self.place) if part)

    @property
    def file(self) -> str:
        """What people call its source: the file's name, or the path inside the folder that was added."""
        return shown_source(self.source, self.id)

    @staticmethod
    def of(number: int, hit: Hit, relevance: float) -> Citation:
        """Make one of a hit."""
        passage, source = hit.passage, named_source(hit.passage)
        place = place_in_file(passage, source)
        return Citation(number, passage.id, passage.title, passage.text, source, relevance, hit.dense, hit.bm25, place)


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and the reply to it.

    Attributes:
        question: As it was asked.
        reply: What the chatbot says, as far as it is known.
        searched: What was looked up: the question as it can be understood without the conversation.
        citations: The passages that the reply rests on, or the nearest ones where none is relevant.
        answered: Whether passages were relevant enough to answer from.
        quoted: Whether the reply is the passages' own words, as no language model was asked.
        thumb: ``up``, ``down``, or an empty string.
        picked: Ids of the passages that answer the question, as somebody said.
    """

    question: str
    reply: str = ""
    searched: str = ""
    citations: tuple[Citation, ...] = ()
    answered: bool = False
    quoted: bool = False
    thumb: str = ""
    picked: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The turn as JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(item: Mapping[str, Any]) -> Turn:
        """Read what :meth:`to_dict` wrote."""
        citations = tuple(Citation(**citation) for citation in item["citations"])
        return Turn(**{**item, "citations": citations, "picked": tuple(item["picked"])})

    @property
    def unjudged(self) -> Turn:
        """The turn without what people said of it."""
        return replace(self, thumb="", picked=())

    @property
    def positive_ids(self) -> tuple[str, ...]:
        """The passages that answer the question: those that were picked, or else those that a liked reply cites."""
        if self.picked or self.thumb != UP:
            return self.picked
        return tuple(citation.id for citation in self.cited)

    @property
    def cited(self) -> tuple[Citation, ...]:
        """The passages whose numbers the reply names, as ``[1]`` or ``[1, 2]``."""
        groups = CITED[self.quoted].findall(self.reply)
        numbers = {int(number) for group in groups for number in re.findall("[0-9]+", group)}
        return tuple(citation for citation in self.citations if citation.number in numbers)


def as_markdown(title: str, turns: Iterable[Turn]) -> str:
    """A conversation as a Markdown document, with the passages that it cites."""
    lines = [f"# {title}"]
    for turn in turns:
        lines += ["", f"**{turn.question}**", "", turn.reply]
        for citation in turn.citations:
            named = " — ".join(part for part in (citation.title, citation.where) if part) or citation.id
            quoted = "\n".join(f"> {line}" for line in citation.text.splitlines())
            lines += ["", f"[{citation.number}] {named}", "", quoted]
    return "\n".join(lines) + "\n"
