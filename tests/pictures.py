"""Draws the pages' pictures in docs/ anew: .venv/bin/python tests/pictures.py [FOLDER]; needs chromium."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from browser import chromium
from test_pages_browser import ask, served

from dpr_rag import DualEncoder, PassageStore
from dpr_rag.corpora import open_corpus

DOCS = Path(__file__).parent.parent / "docs"
QUESTIONS = ("how do I compress bytes with gzip?", "and the other way round?")


def main(folder: Path) -> None:
    """Ask both pages about the documentation of a few modules, and take their pictures."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        with PassageStore.open(place / "notes.dpr", encoder=DualEncoder.default()) as store:
            store.add(open_corpus("python:gzip,zlib"))
        (place / "browser").mkdir()
        with chromium(place / "browser") as tab:
            with served(place) as address:
                for width, dark, question in ((1280, False, QUESTIONS[0]), (390, True, QUESTIONS[0])):
                    tab.show(address, width=width, dark=dark)
                    tab.wait("return /passages?;/.test(document.body.innerText)")
                    ask(tab, question, 1 if not dark else 2)
                    tab.wait("return document.querySelectorAll('#picks input').length > 0")
                    tab.wait("return document.querySelectorAll('#chat .cite').length > 0")
                    tab.value("[...document.querySelectorAll('#chat .cite')].at(-1).click()")
                    tab.wait("return document.querySelectorAll('#chat details[open]').length > 0")
                    tab.picture(folder / f"chat-{'phone' if dark else 'desktop'}.webp")
            with served(place, "ui") as address:
                tab.show(address)
                tab.wait("return document.querySelector('#question textarea') !== null")
                tab.type("#question textarea", QUESTIONS[0])
                tab.press("Enter", 13, "\r")
                tab.wait("return document.querySelectorAll('.columns section').length === 3")
                tab.picture(folder / "playground.webp")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS)
