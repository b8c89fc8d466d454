"""What messages advise in Python or on a command line, said for people who have a page before them."""

from __future__ import annotations

import re

_HERE = [
    (re.compile(pattern), here)
    for pattern, here in {
        r"cannot tell its format; name one of .*": (
            "this kind of file is not read; give .txt, .md, .html, .docx, .pdf, .csv, .tsv, .jsonl or .json"
        ),
        r"does not exist; give .*": "does not exist",
        r"[;,]? ?(?:convert the file|convert it to UTF-8), for example with iconv": "; save it as UTF-8",
        r" \((?:0x[0-9a-f]{2})\) is not UTF-8": " is neither UTF-8 nor Windows-1252",
        r"; name it with columns=Columns\((id|text)=…\)": r"; call one of them “\1”",
        r"; name them with columns=Columns\([^)]*\)": "; call them “id” and “text”",
        r"; or, if it is a passage, put the header id, text, title above it": "",
        r"recognise it first, for example with ocrmypdf": "recognise its text first",
        r" \(No module named '[^']*'\)": "",
        r"; or let a Word document's name end in \.docx": "",
        r", or pass on_bad_text='replace' or 'skip'": "",
    }.items()
]
_PYTHON = re.compile(r"\b[a-z_]+=|\b\w+\([^)]*[=…]|\w\(\)|\bPassageStore\b|\bdpr_rag\.|(?<!\S)--[a-z]")


def on_the_page(message: str) -> str:
    """A message of the library as one line; advice that only a programmer could follow is left out."""
    line = " ".join(message.split())
    for pattern, here in _HERE:
        line = pattern.sub(here, line)
    first, *others = line.split("; ")
    return "; ".join([first, *(one for one in others if not _PYTHON.search(one))])
