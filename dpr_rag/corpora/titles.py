"""Recognises placeholder titles, such as a file name, that programs write into files."""

from __future__ import annotations

import re

_EMPTY = re.compile(
    r"[(\[<]?(?:anonymous|unspecified|untitled|no ?title|none|null|unknown|unnamed|unbenannt|ohne titel|sans titre|sin título|"
    r"senza titolo|sem título|naamloos)[)\]>]?"
    r"(?:[ _-]?(?:document|page|presentation|spreadsheet|dokument|seite)|\d|[ _-]\d)?[ _-]?\d{0,3}[)\]>]?"
    r"|(?:new |neues )?(?:document|dokument|presentation|präsentation|page|title|titel)[ _-]?\d{0,3}"
    r"|(?:powerpoint|word|keynote)[ -]pr[äe]sentation|word document|pdf document|about:blank|print"
    r"|microsoft (?:office )?(?:word|excel|powerpoint|publisher|outlook)(?: -.*)?"
    r"|(?:microsoft \w+ - )?.*\.(?:docx?|odt|pages|pdf|tex|indd|qxd|dvi|rtf|pptx?|xlsx?|html?)",
    re.IGNORECASE,
)


def given_title(title: str) -> str:
    """The title on one line, or an empty string where a program wrote it: a file's name, or that there is none."""
    told = " ".join(title.split())
    return "" if _EMPTY.fullmatch(told) else told
