"""Draws the pages' pictures in docs/ anew: .venv/bin/python tests/pictures.py [FOLDER]; needs chromium."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from browser import chromium
from test_pages_browser import ask, served
from typer.testing import CliRunner

from dpr_rag.cli.app import app

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
ASKED = {"How much may a hotel in Zurich cost?": "190 euros", "Who keeps the key of the bicycle cellar?": "Duarte"}
COMPARED = "who has to approve a flight?"


def main(folder: Path) -> None:
    """Ask both pages about the handbook among the examples, and take their pictures."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        indexed = CliRunner().invoke(
            app, ["index", str(ROOT / "examples" / "handbook"), "--store", str(place / "notes.dpr")]
        )
        assert indexed.exit_code == 0, indexed.output
        (place / "browser").mkdir()
        with chromium(place / "browser") as tab:
            with served(place) as address:
                for width, dark in ((1280, False), (390, True)):
                    tab.show(address, width=width, dark=dark)
                    tab.wait("return /passages?;/.test(document.body.innerText)")
                    for question, answer in ASKED.items() if not dark else ():
                        ask(tab, question, 1)
                        tab.wait(f"return document.querySelector('#chat').innerText.includes({answer!r})")
                        time.sleep(3)  # a question that is sent while a reply grows stays in the field
                    tab.wait("return document.querySelectorAll('#picks input').length > 0")
                    tab.wait("return document.querySelectorAll('#chat .cite').length > 0")
                    tab.value("[...document.querySelectorAll('#chat .cite')].at(-1).click()")
                    tab.wait("return document.querySelectorAll('#chat details[open]').length > 0")
                    tab.picture(folder / f"chat-{'phone' if dark else 'desktop'}.webp")
            with served(place, "ui") as address:
                tab.show(address)
                tab.wait("return document.querySelector('#question textarea') !== null")
                tab.type("#question textarea", COMPARED)
                tab.press("Enter", 13, "\r")
                tab.wait("return document.querySelectorAll('.columns section').length === 3")
                tab.picture(folder / "playground.webp")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS)
