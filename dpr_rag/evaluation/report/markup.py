"""HTML that cannot be forged: every text and attribute is escaped where an element is made of it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from html import escape

_VOID = {"meta"}


class Html(str):
    """Markup that is ready; only this module makes it of plain text."""

    __slots__ = ()


def text(plain: str) -> Html:
    """Plain text as markup, in NFC, with a space for what a page cannot hold (control characters)."""
    composed = unicodedata.normalize("NFC", plain)
    kept = "".join(" " if unicodedata.category(char) == "Cc" and char not in "\n\t" else char for char in composed)
    return Html(escape(kept))


def element(tag: str, /, *children: str, **attributes: object) -> Html:
    """An element; children that are no ``Html`` are texts.

    Args:
        tag: Name of the element.
        children: What it holds.
        attributes: ``class_`` stands for ``class``, an underscore for a hyphen, and None leaves an attribute out.
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{text(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    return Html(f"<{tag}{written}>" if tag in _VOID else f"<{tag}{written}>{join(children)}</{tag}>")


def join(children: Iterable[str]) -> Html:
    """Children one behind the other; those that are no ``Html`` are texts."""
    return Html("".join(child if isinstance(child, Html) else text(child) for child in children))


def table(rows: Iterable[Iterable[str]], head: Iterable[str] = (), *, class_: str = "figures") -> Html:
    """A table whose first column names its rows; where it is wider than the page it scrolls by itself."""
    named = [element("th", cell, scope="col") for cell in head]
    top = [element("thead", element("tr", *named))] if named else []
    body = [
        element("tr", element("th", name, scope="row"), *(element("td", cell) for cell in cells))
        for name, *cells in rows
    ]
    return element("div", element("table", *top, element("tbody", *body), class_=class_), class_="scroll")
