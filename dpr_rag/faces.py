"""Messages with a wording for each face, as the ways to use dpr-rag are called here: Python, the command line, the pages."""

from __future__ import annotations

from collections.abc import Callable
from operator import add
from typing import Literal

Face = Literal["cli", "page"]
FACES: tuple[Face, ...] = ("cli", "page")
"""The faces beside Python."""
_OMITTED = "\ufdd0"  # a noncharacter, which Unicode reserves for internal use


class ByFace(str):
    """A text with a wording for each face; as a string it is Python's.

    Join it to other texts with ``+``, which joins the wordings of each face; an f-string would keep Python's alone.

    Args:
        python: Python's wording.
        cli: The command line's wording; None for Python's.
        page: A page's wording. By default a page omits the whole clause, up to the semicolons around it, as its users can
            pass neither arguments nor options.
    """

    cli: str
    page: str

    def __new__(cls, python: str = "", *, cli: str | None = None, page: str = _OMITTED) -> ByFace:
        """Keep the wording of each face."""
        text = super().__new__(cls, python)
        text.cli, text.page = str(python) if cli is None else cli, page
        return text

    def __add__(self, other: str) -> str:
        return each_face(add, self, other)

    def __radd__(self, other: str) -> str:
        return each_face(add, other, self)


def on_face(message: object, face: Face) -> str:
    """A face's wording of a text or an error; Python's if it has none of its own.

    Args:
        message: The text or error.
        face: ``cli`` or ``page``.
    """
    text = _wording(message_of(message), face)
    first, *clauses = text.split("; ")
    return "; ".join([first, *(clause for clause in clauses if _OMITTED not in clause)])


def message_of(message: object) -> str:
    """The text of an error or a message with the wordings of all faces, to be joined with ``+``."""
    text = message.args[0] if isinstance(message, BaseException) and message.args else message
    return text if isinstance(text, ByFace) else str(message)


def each_face(make: Callable[..., str], *texts: str) -> str:
    """Apply a function to texts, once for the wording of each face; a plain string if all faces have the same."""
    if not any(isinstance(text, ByFace) for text in texts):
        return make(*texts)
    cli, page = (make(*(_wording(text, face) for text in texts)) for face in FACES)
    return ByFace(make(*map(str, texts)), cli=cli, page=page)


def _wording(text: str, face: Face) -> str:
    return str(getattr(text, face)) if isinstance(text, ByFace) else text
