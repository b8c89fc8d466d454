"""Formats passages for a prompt, inside delimiters that no passage can imitate."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dpr_rag.arguments import check_count, iterated, kind, remedy
from dpr_rag.errors import ArgumentError, PassageError
from dpr_rag.passages import Hit, Passage

_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "[": "&#91;"}
_UNESCAPES = {escape: character for character, escape in _ESCAPES.items()}
# control tokens of chat templates in square brackets (Llama 2, Mistral); most others are in angle brackets
_CONTROL_TOKENS = (
    r"INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|PREFIX|MIDDLE|SUFFIX|ARGS|CALL_ID|THINK"
)
_TO_ESCAPE = re.compile(rf'[&<>"]|\[(?=/?(?:{_CONTROL_TOKENS})\])')
_ESCAPED = re.compile(r"&(?:amp|lt|gt|quot|#91);")
_BLOCK = re.compile(r'<passage number="[0-9]+" id="([^"]*)"(?: title="([^"]*)")?>\n([^<>]*)\n</passage>\n?')


def format_passages(passages: Iterable[Passage], *, start: int = 1) -> str:
    """Format passages for a prompt, as ``<passage number="1" id="…" title="…">`` … ``</passage>``.

    The characters ``&``, ``<``, ``>`` and ``"`` inside a passage are escaped as in XML, so that a text with ``</passage>`` and
    instructions stays inside its delimiters. The ``[`` of control tokens such as ``[INST]`` in Mistral's and Llama's chat
    templates is escaped too; control tokens in angle brackets are covered by the above. Numbers start at ``start``, for
    citations. Metadata are left out.

    Raises:
        PassageError: One of the passages is not a ``Passage``.
        ArgumentError: ``start`` is not an integer of at least 0.
    """
    start = check_count("start", start, ArgumentError, least=0)
    advice = (
        "wrap it in a list"
        if isinstance(passages, Passage)
        else "give the passages of hits, as [hit.passage for hit in hits]"
    )
    listed = iterated("passages", passages, "several passages", error=PassageError, advice=advice)
    return "\n".join(_block(number, passage) for number, passage in enumerate(listed, start=start))


def format_answer(hit: Hit) -> str:
    """Write the answer in a hit as ``<answer passage="1" probability="0.87">…</answer>``, escaped as passages are.

    Args:
        hit: A hit with an answer; its rank is the passage's number in :func:`format_passages`.

    Raises:
        PassageError: It has no answer.
    """
    if hit.answer is None:
        raise PassageError(f"passage {hit.passage.id!r:.120} holds no answer; ask hit.answer first")
    attributes = f'passage="{hit.rank}" probability="{hit.answer.probability:.2f}"'
    return f"<answer {attributes}>{_escape(hit.answer.text)}</answer>"


def _block(number: int, passage: Passage) -> str:
    if not isinstance(passage, Passage):
        raise PassageError(f"{kind(passage)} is no passage; give hit.passage of a hit, or a dpr_rag.Passage")
    title = f' title="{_escape(passage.title)}"' if passage.title else ""
    head = f'<passage number="{number}" id="{_escape(passage.id)}"{title}>'
    return f"{head}\n{_escape(passage.text)}\n</passage>"


def parse_passages(text: str) -> list[Passage]:
    """Parse the output of :func:`format_passages`: the same passages, without metadata.

    Raises:
        PassageError: The text holds something else.
    """
    if not isinstance(text, str):
        raise PassageError(
            f"text is {kind(text)}, expected a string; " + remedy(text, several="parse one after the other")
        )
    passages, start = [], 0
    while start < len(text):
        block = _BLOCK.match(text, start)
        if block is None:
            raise PassageError(
                f"character {start} begins no passage: {text[start : start + 60]!r}; expected format_passages' form"
            )
        id, title, body = (unescaped(group or "") for group in block.groups())
        passages.append(Passage(id, body, title))
        start = block.end()
    return passages


def _escape(text: str) -> str:
    return _TO_ESCAPE.sub(lambda match: _ESCAPES[match[0]], text)


def unescaped(text: str) -> str:
    """What was escaped by :func:`format_passages`, as it was before."""
    return _ESCAPED.sub(lambda match: _UNESCAPES[match[0]], text)
