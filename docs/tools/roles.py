"""Roles of Sphinx in docstrings, such as ``:meth:`open```, become code: pages are Markdown."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|data|func|meth|mod|attr|exc):`(~?)([^`]+)`")


def plain(text: str) -> str:
    """A docstring without roles; behind a tilde the last part of a name stands for all of it."""
    return _ROLE.sub(lambda found: f"``{found[2].rpartition('.')[2] if found[1] else found[2]}``", text)


class Roles(griffe.Extension):
    """Mends every docstring before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Take an object as soon as it has been read."""
        if obj.docstring:
            obj.docstring.value = plain(obj.docstring.value)
