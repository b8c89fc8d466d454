"""What messages advise in Python or on a command line, and where files lie, said for people who have a page before them."""

from __future__ import annotations

import os
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
        r"restore a backup: .* gets out what is whole": (
            "restore a backup with: dpr-rag restore COPY DIR; where there is none, dpr-rag recover DIR NEW gets out what is whole"
        ),
        r"close it here and open it again": "end dpr-rag and start it again",
        r"; open it with that encoder, or reencode\(\) it": "; end dpr-rag and name that model with --model",
        r"pass encoder= to \w+\.\w+, or search with vectors": "ask by words, which is bm25 among the settings",
        r"cannot be used for conversations (\(.*?\)); name a file that can be written": (
            r"cannot keep conversations any longer \1"
        ),
    }.items()
]
_PYTHON = re.compile(r"\b[a-z_]+=|\b\w+\([^)]*[=…]|\w\(\)|\bPassageStore\b|\bdpr_rag\.|(?<!\S)--[a-z]")

_PLACE = re.compile(r"""(?<![\w:/.~-])/([^/\s'"“”]+)/(?:[^/\s'"“”]+/)*(?=[^/\s'"“”])""")


def on_the_page(message: str) -> str:
    """A message of the library as one line; what only a programmer could follow, and where files lie, is left out."""
    line = without_places(" ".join(message.split()))
    for pattern, here in _HERE:
        line = pattern.sub(here, line)
    first, *others = line.split("; ")
    return "; ".join([first, *(one for one in others if not _PYTHON.search(one))])


def without_places(text: str) -> str:
    """A text with the names of files in the place of their paths; what only looks like one, as ``/v1/models``, stays."""
    return _PLACE.sub(lambda found: "" if os.path.isdir(f"/{found[1]}") else found[0], text)
