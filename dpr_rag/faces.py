"""Texts that each face says in words of its own: Python, the command line, the pages."""

from __future__ import annotations

from collections.abc import Callable
from operator import add
from typing import Literal

Face = Literal["cli", "page"]
FACES: tuple[Face, ...] = ("cli", "page")
"""The faces beside Python."""
_LEFT_OUT = "\ufdd0"  # one of Unicode's characters for what a program keeps to itself


class ByFace(str):
    """A text of which each face has its own words; as a string it is Python's.

    Join it to others with ``+``, which joins each face's words: an f-string around it would keep those of Python alone.

    Args:
        python: What Python says.
        cli: What the command line says; None for the same.
        page: What a page says; by default it leaves out all between the semicolons around the text, as its readers can pass
            neither arguments nor options.
    """

    cli: str
    page: str

    def __new__(cls, python: str = "", *, cli: str | None = None, page: str = _LEFT_OUT) -> ByFace:
        """Keep the words of each face."""
        made = super().__new__(cls, python)
        made.cli, made.page = str(python) if cli is None else cli, page
        return made

    def __add__(self, other: str) -> str:
        return each_face(add, self, other)

    def __radd__(self, other: str) -> str:
        return each_face(add, other, self)


def on_face(said: object, face: Face) -> str:
    """What a face says for a text or an error; that of Python where it has no words of its own.

    Args:
        said: The text or error.
        face: ``cli`` or ``page``.
    """
    text = _words(message_of(said), face)
    first, *others = text.split("; ")
    return "; ".join([first, *(one for one in others if _LEFT_OUT not in one)])


def message_of(said: object) -> str:
    """The message of an error, or a text, to be joined with ``+``: with the words of each face, where it has some."""
    text = said.args[0] if isinstance(said, BaseException) and said.args else said
    return text if isinstance(text, ByFace) else str(said)


def each_face(make: Callable[..., str], *texts: str) -> str:
    """What a function makes of texts, for each face of its words; a plain string where all faces say the same."""
    if not any(isinstance(text, ByFace) for text in texts):
        return make(*texts)
    cli, page = (make(*(_words(text, face) for text in texts)) for face in FACES)
    return ByFace(make(*map(str, texts)), cli=cli, page=page)


def _words(text: str, face: Face) -> str:
    return str(getattr(text, face)) if isinstance(text, ByFace) else text
