"""Roles of Sphinx in docstrings, such as ``:meth:`open```, become code: pages are Markdown."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|data|func|meth|mod|attr|exc):`(~?)([^`]+)`")


def plain(text: str) -> str:
    """A docstring without roles; a name behind a tilde is shortened to its last part."""
    return _ROLE.sub(lambda match: f"``{match[2].rpartition('.')[2] if match[1] else match[2]}``", text)


class Roles(griffe.Extension):
    """Replaces the roles in every docstring before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Replace the roles in an object's docstring as soon as it has been read."""
        if obj.docstring:
            obj.docstring.value = plain(obj.docstring.value)
