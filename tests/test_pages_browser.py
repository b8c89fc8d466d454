"""The chatbot in a browser, as a person uses it: an empty store, a file, a question, a passage, a thumb, a restart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser import CHROMIUM, Tab, chromium

from dpr_rag import DualEncoder, Passage, PassageStore
from dpr_rag.corpora import read_questions

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, to open the page as a person does"),
    pytest.mark.timeout(400),
]
WHALES = (
    "# Whales\n\nThe blue whale eats krill, up to four tonnes a day.\n\nSperm whales hunt giant squid in the deep.\n"
)
READY = "return document.querySelector('#question textarea') !== null && /passages?;/.test(document.body.innerText)"
REPLIES = "return [...document.querySelectorAll('#chat .bot .prose')].map(one => one.innerText)"
HOSTILE = "<img src=x onerror=\"document.title='broken'\"></details><script>document.title='broken'</script> ![x](http://example.org/x.png)"

CONTRASTS = """
const light = rgb => rgb.map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
  .reduce((sum, v, at) => sum + v * [.2126, .7152, .0722][at], 0);
const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
const ground = node => {
  for (; node; node = node.parentElement) {
    const found = numbers(getComputedStyle(node).backgroundColor);
    if ((found[3] ?? 1) > .9) return found.slice(0, 3);
  }
  return [255, 255, 255];
};
const bad = [];
for (const node of document.querySelectorAll("#chat *, #side *, #head *, #labels *, #picks *, #ask")) {
  const own = [...node.childNodes].some(one => one.nodeType === 3 && one.textContent.trim());
  if (!own || !node.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
  const style = getComputedStyle(node), size = parseFloat(style.fontSize);
  const [one, other] = [light(numbers(style.color).slice(0, 3)), light(ground(node))];
  const ratio = (Math.max(one, other) + .05) / (Math.min(one, other) + .05);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  if (ratio < (large ? 3 : 4.5)) bad.push([node.textContent.trim().slice(0, 30), style.color, ratio.toFixed(2)]);
}
return bad;
"""


@contextmanager
def served(folder: Path, name: str = "chat") -> Iterator[str]:
    """A page's command on a free port; it ends as by Ctrl-C."""
    command = [sys.executable, "-c", "from dpr_rag.cli import main; main()", name, "notes.dpr", "--port", "0"]
    with open(folder / "errors", "wb") as errors:
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True, preexec_fn=_interruptible
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("http://127.0.0.1:"), (line, (folder / "errors").read_text())
            yield line.split()[0]
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
            process.stdout.close()  # type: ignore[union-attr]


def _interruptible() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def ask(tab: Tab, question: str, replies: int) -> str:
    """Ask by keyboard alone, and return the reply."""
    tab.type("#question textarea", question)
    tab.press("Enter", 13, "\r")
    tab.wait(f"return document.querySelectorAll('#chat .bot details').length >= {replies}")
    return str(tab.value(REPLIES)[-1])


def test_a_person_brings_a_file_asks_about_it_and_finds_everything_again(tmp_path: Path) -> None:
    (tmp_path / "whales.md").write_text(WHALES)
    (tmp_path / "browser").mkdir()
    with chromium(tmp_path / "browser") as tab:
        with served(tmp_path) as address:
            tab.show(address)
            tab.wait(READY)
            assert "0 passages; answers quote the passages" in tab.value("return document.body.innerText")
            tab.drop("#upload input[type=file]", tmp_path / "whales.md")
            tab.wait("return document.querySelector('#status').innerText.includes('whales.md: 1 passage.')")
            tab.wait("return document.querySelector('#head').innerText.includes('1 passage;')")
            tab.value("document.querySelector('#new').click()")
            tab.wait("return /What is said about Whales\\?/.test(document.querySelector('#chat').innerText)")
            assert tab.value("return document.querySelector('#folder textarea, #folder input').placeholder") != ""
            tab.value("document.querySelector('#bring').click()")
            tab.wait("return document.querySelector('#status').innerText.includes('Type where the folder lies first.')")
            reply = ask(tab, "what does the blue whale eat?", 1)
            assert reply.startswith("The blue whale eats krill, up to four tonnes a day. [1]")
            assert "[1] Whales — whales.md" in reply
            assert "giant squid" not in reply, "the passage is closed"
            tab.value("document.querySelector('#chat details summary').focus()")
            tab.press("Enter", 13, "\r")
            assert "Sperm whales hunt giant squid in the deep." in tab.value(REPLIES)[0]
            marked = tab.value("return [...document.querySelectorAll('#chat mark')].map(one => one.innerText)")
            assert {"blue", "whale", "krill", "whales"} <= set(marked)
            assert not {"squid", "the", "hunt"} & set(marked)
            tab.wait("return document.querySelector('#picks input') !== null")
            tab.value("document.querySelector('#picks input').click()")
            tab.wait("return document.querySelector('#labels').innerText.includes('1 question labelled')")
        assert [(one.question, one.positive_ids) for one in read_questions(tmp_path / "notes.dpr-labelled.jsonl")] == [
            ("what does the blue whale eat?", ("upload:whales.md#1",))
        ]
        with served(tmp_path) as address:
            tab.show(address)
            tab.wait("return document.querySelectorAll('#chat .bot details').length === 1")
            assert tab.value(REPLIES)[0].startswith("The blue whale eats krill, up to four tonnes a day. [1]")
            tab.wait("return document.querySelector('#picks input')?.checked")
            assert {one for one in tab.requests if not one.startswith((address, "data:", "blob:"))} == set()
            assert tab.value("return document.querySelector('.sidebar').classList.contains('open')")
            tab.resize(390)
            tab.wait("return !document.querySelector('.sidebar').classList.contains('open')")
    assert [line for line in (tmp_path / "errors").read_text().splitlines() if not line.startswith("model ")] == []


def test_hostile_passages_and_names_stay_in_their_frames_on_every_screen(tmp_path: Path) -> None:
    hostile = tmp_path / "<img src=x onerror=alert(1)>.md"
    hostile.write_text(f"# {HOSTILE}\n\nThe blue whale eats {HOSTILE} krill.\n")
    (tmp_path / "browser").mkdir()
    with served(tmp_path) as address, chromium(tmp_path / "browser") as tab:
        tab.show(address)
        tab.wait(READY)
        tab.drop("#upload input[type=file]", hostile)
        tab.wait("return /1 passage\\./.test(document.querySelector('#status').innerText)")
        reply = ask(tab, "what does the blue whale eat?", 1)
        assert "<script>" in reply, "shown as text"
        for width, dark in ((1280, False), (1280, True), (390, False), (390, True)):
            tab.show(address, width=width, dark=dark)
            tab.wait("return document.querySelectorAll('#chat .bot details').length === 1")
            tab.value("document.querySelector('#chat details summary').click()")
            assert tab.value("return document.title") == "dpr-rag: notes.dpr"
            assert (
                tab.value("return document.querySelectorAll('#chat .bot :is(img, script, iframe, a[href])').length")
                == 0
            )
            assert tab.value("return document.documentElement.scrollWidth <= innerWidth"), (width, dark)
            assert tab.value(CONTRASTS) == [], (width, dark)
            assert {one for one in tab.requests if not one.startswith((address, "data:", "blob:"))} == set()
            if pictures := os.environ.get("DPR_RAG_PICTURES"):
                tab.picture(Path(pictures) / f"chat-{width}-{'dark' if dark else 'light'}.png")


def test_the_playground_compares_filters_and_draws(tmp_path: Path) -> None:
    animals = {"krill": 1, "squid": 2, "plankton": 1, HOSTILE: 3}
    with PassageStore.open(tmp_path / "notes.dpr", encoder=DualEncoder.default()) as store:
        store.add(
            Passage(f"p{at}", f"Whale number {at} eats {food}. ${{1+1}} {{{{x}}}}", f"Whale {food}", {"depth": depth})
            for at, (food, depth) in enumerate(animals.items())
        )
    (tmp_path / "browser").mkdir()
    with served(tmp_path, "ui") as address, chromium(tmp_path / "browser") as tab:
        tab.show(address)
        tab.wait("return document.querySelector('#question textarea') !== null")
        tab.type("#question textarea", "which whale eats squid?")
        tab.press("Enter", 13, "\r")
        tab.wait("return document.querySelectorAll('.columns section').length === 3")
        firsts = "return [...document.querySelectorAll('.columns section')].map(one => one.querySelector('.hit b').innerText)"
        assert tab.value(firsts) == ["1. Whale squid"] * 3
        assert "${1+1} {{x}}" in tab.value("return document.querySelector('.columns').innerText")
        marks = tab.value(
            "return [...document.querySelectorAll('.columns mark')].map(one => one.innerText.toLowerCase())"
        )
        assert {"whale", "eats", "squid"} == set(marks)
        tab.value("document.querySelector('.columns [data-near]').click()")
        tab.wait("return document.querySelectorAll('.near .hit').length === 3")
        tab.value("[...document.querySelectorAll('[data-filter]')].find(one => one.innerText === 'depth: 1').click()")
        tab.wait("return document.querySelectorAll('.columns section:first-child .hit').length === 2")
        assert tab.value("return document.querySelector('#filter textarea').value") == '{"depth": 1}'
        tab.value("[...document.querySelectorAll('button[role=tab]')].find(one => one.innerText === 'Map').click()")
        tab.wait("return document.querySelector('#draw') !== null")
        tab.value("document.querySelector('#draw').click()")
        tab.wait(
            "return document.querySelectorAll('#map circle').length === 5 && document.querySelectorAll('#map .asked').length"
        )
        assert tab.value("return document.title") == "dpr-rag: notes.dpr"
        assert (
            tab.value(
                "return document.querySelectorAll(':is(.columns, .near, #map) :is(img, script, iframe, a)').length"
            )
            == 0
        )
        assert {one for one in tab.requests if not one.startswith((address, "data:", "blob:"))} == set()
    assert [line for line in (tmp_path / "errors").read_text().splitlines() if not line.startswith("model ")] == []
