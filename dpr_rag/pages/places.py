"""What messages say to people who have a page before them: names of files, and not where on the machine they lie."""

from __future__ import annotations

import os
import re

from dpr_rag.faces import on_face

_PLACE = re.compile(r"""(?<![\w:/.~-])/([^/\s'"“”]+)/(?:[^/\s'"“”]+/)*(?=[^/\s'"“”])""")


def on_the_page(said: object) -> str:
    """A text or an error of the library as one line, as a page says it."""
    return without_places(" ".join(on_face(said, "page").split()))


def without_places(text: str) -> str:
    """A text with the names of files in the place of their paths; what only looks like one, as ``/v1/models``, stays."""
    return _PLACE.sub(lambda found: "" if os.path.isdir(f"/{found[1]}") else found[0], text)
