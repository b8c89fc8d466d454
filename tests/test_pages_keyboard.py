"""The chatbot's page by keyboard alone, and what is sent while something else goes on; one server and one browser for all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from browser import CHROMIUM, Tab, chromium
from conftest import HashEncoder
from test_pages_numbers import turn

from dpr_rag import Passage, PassageStore
from dpr_rag.corpora import read_questions
from dpr_rag.pages.memory import Memory

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, to open the page as a person does"),
    pytest.mark.timeout(300),
]
# a model that waits for a file before it says its last word, and a memory that waits before it lists
SERVER = """
import time
from dataclasses import replace
from pathlib import Path
from conftest import HashEncoder
from dpr_rag import PassageStore
from dpr_rag.listening import on_port
from dpr_rag.pages import serving
from dpr_rag.pages.chat import CSS, chat_page
from dpr_rag.pages.chatting import Chat
from dpr_rag.pages.memory import Memory

def waits_for(name):
    while Path(name).exists():
        time.sleep(0.02)

class Model:
    name = "scripted"
    def stream(self, messages):
        if messages[-1][1].startswith("Put my last question"):
            yield messages[-2][1]
            return
        yield "You asked: "
        waits_for("slow")
        yield messages[-1][1] + " [1]"
        if "long" in messages[-1][1]:
            yield "\\n\\nAnd so on." * 60

class Slow(Memory):
    def listed(self):
        waits_for("loading")
        return super().listed()

class Sure(Chat):
    def ask(self, question, conversation, settings, **more):
        return super().ask(question, conversation, replace(settings, min_relevance=0.0), **more)

serving.require()
with serving.private_uploads(), PassageStore.open("notes.dpr", encoder=HashEncoder(64)) as store:
    chat = Sure(store, Slow(Path("notes.dpr.chat")), Path("labelled.jsonl"), Model())
    app = serving.app_of(chat_page(chat, folders=False), CSS, hosts=["127.0.0.1"])
    with on_port("127.0.0.1", 0) as (listening, address):
        print(address, flush=True)
        serving.run(app, listening)
"""
TALK = "(document.querySelector('#chat')?.innerText ?? '')"
FIELD = "document.querySelector('#question textarea').value"
EDIT = "document.querySelector('#chat button[aria-label=Edit]')"
DONE = f"!/You asked: *$/m.test({TALK}) && !{TALK}.includes('…') && {EDIT} !== null"
FOCUS = "document.activeElement"
START = """(() => {
    const log = document.querySelector('#chat [role=log]')?.getBoundingClientRect();
    const start = [...document.querySelectorAll('#chat .bot .prose')].at(-1)?.getBoundingClientRect().top;
    return start >= Math.max(0, log?.top) && start < Math.min(innerHeight, log?.bottom) - 40;
})()"""


@dataclass
class Opened:
    tab: Tab
    folder: Path
    address: str

    def begin(self, *titles: str) -> None:
        """Open the page over conversations of these questions, the last on top, with nothing focused."""
        for one in self.memory.listed():
            self.memory.forget(one[0])
        for title in titles:
            self.memory.change(None, lambda _, title=title: (turn(title, f"Reply to {title} [1].", "Krill"),))
        self.tab.show(self.address)
        self.tab.wait(f"return {TALK}.includes({f'Reply to {titles[-1]}'!r})")
        self.tab.value(f"{FOCUS}.blur()")

    @property
    def memory(self) -> Memory:
        return Memory(self.folder / "notes.dpr.chat")

    def questions(self, at: int = 0) -> list[str]:
        """What is kept of the conversation that changed last."""
        known = self.memory.get(self.memory.listed()[at][0])
        return [one.question for one in known.turns] if known else []

    def keeps(self, *questions: str) -> None:
        """Wait until these are kept of the conversation that changed last: a reply is seen before it is written."""
        end = time.monotonic() + 30
        while self.questions() != list(questions):
            assert time.monotonic() < end, self.questions()
            time.sleep(0.05)

    def thumb(self, thumb: str) -> None:
        """Wait until this thumb is kept of the first reply of the conversation that changed last."""
        end = time.monotonic() + 30
        while (known := self.memory.get(self.memory.listed()[0][0])) and known.turns[0].thumb != thumb:
            assert time.monotonic() < end, known
            time.sleep(0.05)

    def says(self, *parts: str) -> None:
        """Wait until the talk holds these, and no reply grows."""
        self.tab.wait(f"return {DONE} && {list(parts)!r}.every(one => {TALK}.includes(one))", 30)

    def press(self, selector: str) -> None:
        """Walk to something by Tab, and press Enter."""
        self.tab.tab_to(selector)
        self.tab.press("Enter", 13, "\r")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    folder = tmp_path_factory.mktemp("page")
    with PassageStore.open(folder / "notes.dpr", encoder=HashEncoder(64)) as store:
        store.add([Passage("w", "Blue whales eat krill. What do they eat?", "Whales")])
    (folder / "browser").mkdir()
    with open(folder / "errors", "wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    try:
        assert process.stdout is not None
        with chromium(folder / "browser") as tab:
            address = process.stdout.readline().strip()
            assert address.startswith("http://"), (folder / "errors").read_text()
            tab.catch_copies()
            yield Opened(tab, folder, address)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        process.stdout.close()  # type: ignore[union-attr]


def test_files_are_chosen_and_the_focus_comes_back(page: Opened, tmp_path: Path) -> None:
    (tmp_path / "bees.md").write_text("# Bees\n\nBees make honey.")
    page.begin("whales")
    page.tab.expect_chooser()
    page.press("#upload button")
    page.tab.wait("return 1")
    page.tab.answer_chooser(tmp_path / "bees.md")
    page.tab.wait("return document.querySelector('#status').innerText.includes('bees.md: 1 passage.')")
    page.tab.wait(f"return {FOCUS}.matches('#upload button')")
    page.tab.tab_to("#sources input")


def test_arrows_switch_conversations_which_are_one_stop_of_tab(page: Opened) -> None:
    page.begin("whales", "tea", "bees")
    page.tab.tab_to("#conversations input")
    for key, code, title in (("ArrowDown", 40, "tea"), ("ArrowDown", 40, "whales"), ("ArrowUp", 38, "tea")):
        page.tab.press(key, code)
        page.tab.wait(f"return {TALK}.includes('Reply to {title} [1]')")
        page.tab.wait(f"return {FOCUS}.matches('#conversations input:checked')")
    page.tab.press("Tab", 9)
    assert page.tab.value(f"return {FOCUS}.id") == "new"


def test_a_closed_sidebar_takes_no_focus(page: Opened) -> None:
    page.begin("whales")
    page.tab.resize(390)
    # it slides out first, and is seen until then
    page.tab.wait("return getComputedStyle(document.querySelector('.sidebar')).visibility === 'hidden'", 20)
    page.tab.tab_to("#chat button[aria-label=Like]", most=20)
    page.tab.resize(1280)


def test_thumbs_are_given_and_taken_back(page: Opened) -> None:
    page.begin("whales")
    page.press("#chat button[aria-label=Like]")
    page.tab.wait("return document.querySelector('#labels').innerText.includes('1 question labelled')")
    labelled = [(one.question, one.positive_ids) for one in read_questions(page.folder / "labelled.jsonl")]
    assert labelled == [("whales", ("Krill-1",))]
    assert page.tab.value(f"return {FOCUS}.ariaLabel") == "Liked"
    page.tab.press("Enter", 13, "\r")
    page.tab.wait("return !document.querySelector('#labels').innerText.includes('labelled')")
    assert page.memory.labelled() == []


def test_a_thumb_down_is_there_after_a_reload_until_it_is_taken_back(page: Opened) -> None:
    page.begin("whales")
    for thumb, label in (("down", "Disliked"), ("", "Dislike")):
        page.press("#chat button[aria-label^=Dislike]")
        page.tab.wait(f"return document.querySelector('#chat button[aria-label={label}]') !== null")
        page.thumb(thumb)
        page.tab.show(page.address)
        page.tab.wait(f"return document.querySelector('#chat button[aria-label={label}]') !== null")
        page.tab.value(f"{FOCUS}.blur()")


@pytest.mark.parametrize("width", [390, 1280])
def test_the_start_of_an_answer_is_in_view_when_it_is_whole(page: Opened, width: int) -> None:
    page.begin(f"whales{' and more' * 200}")
    page.tab.show(page.address, width=width)
    page.tab.wait(f"return {TALK}.includes('Reply to whales')")
    for question in ("a long one", "another long one", "a short one"):
        page.tab.type("#question textarea", question)
        page.tab.press("Enter", 13, "\r")
        page.says(f"You asked: {question} [1]")
        page.tab.wait(f"return {START}")
    page.tab.show(page.address)
    page.tab.wait(f"return {START}")


def test_a_reply_is_asked_for_again_and_a_question_put_in_other_words(page: Opened) -> None:
    page.begin("whales")
    page.press("#chat button[aria-label=Retry]")
    page.says("You asked: whales [1]")
    page.tab.wait(f"return {FOCUS}.matches('#question textarea')")
    page.press("#chat button[aria-label=Edit]")
    page.tab.wait(f"return {FOCUS}.matches('#chat textarea')")
    page.tab.value(f"{FOCUS}.select()")
    page.tab.type("#chat textarea", "what do bees make?")
    page.press("#chat button[aria-label=Submit]")
    page.says("You asked: what do bees make? [1]")
    page.tab.wait(f"return {FOCUS}.matches('#question textarea')")
    page.keeps("what do bees make?")


def test_replies_and_talks_are_copied_and_saved_as_people_read_them(page: Opened, tmp_path: Path) -> None:
    page.begin("what do whales: eat/drink?")
    page.press(
        "#chat .bot ~ * button[aria-label='Copy message'], #chat .message-buttons-left button[aria-label='Copy message']"
    )
    reply = "Reply to what do whales: eat/drink? [1].\n\n[1] Krill"
    assert page.tab.wait("return window.copied") == reply
    page.press("#chat button[aria-label='Copy conversation']")
    copied = page.tab.wait(f"return window.copied !== {json.dumps(reply)} && window.copied")
    assert copied.endswith(reply)
    assert "<" not in copied
    page.tab.save_to(tmp_path)
    page.press("#export")
    while not (saved := list(tmp_path.glob("*.md"))):
        page.tab.wait("return 1")
    assert [one.name for one in saved] == ["what do whales eat drink.md"]
    assert saved[0].read_text() == (
        "# what do whales: eat/drink?\n\n**what do whales: eat/drink?**\n\nReply to what do whales: eat/drink? [1].\n\n"
        "[1] Krill\n\n> Krill is told here.\n"
    )


def test_what_is_sent_while_a_reply_grows_is_asked_behind_it(page: Opened) -> None:
    page.begin("whales")
    (page.folder / "slow").touch()
    page.tab.type("#question textarea", "first")
    page.tab.press("Enter", 13, "\r")
    page.tab.wait(f"return {FIELD} === ''")
    page.tab.type("#question textarea", "second")
    page.tab.wait(f"return /You asked: *$/m.test({TALK})")
    page.tab.press("Enter", 13, "\r")
    assert page.tab.value(f"return {FIELD}") == "second"
    assert "is asked when this reply is whole" in page.tab.value("return document.querySelector('#waits').innerText")
    page.tab.type("#question textarea", " and more")
    (page.folder / "slow").unlink()
    page.says("You asked: first [1]", "You asked: second and more [1]")
    page.keeps("whales", "first", "second and more")
    assert page.tab.value(f"return [{FIELD}, document.querySelector('#waits').innerText]") == ["", ""]


def test_another_conversation_stays_in_view_while_a_reply_grows_elsewhere(page: Opened) -> None:
    page.begin("whales", "tea")
    (page.folder / "slow").touch()
    page.tab.type("#question textarea", "first")
    page.tab.press("Enter", 13, "\r")
    page.tab.wait(f"return /You asked: *$/m.test({TALK})")
    page.tab.type("#question textarea", "unsent")
    page.tab.value("document.querySelectorAll('#conversations input')[1].click()")
    page.tab.wait(f"return {TALK}.includes('Reply to whales')")
    (page.folder / "slow").unlink()
    page.tab.wait("return document.querySelectorAll('#conversations input')[1].checked && window.dprRag !== undefined")
    page.keeps("tea", "first")
    page.tab.value("document.querySelector('#ask').click()")
    page.says("Reply to whales", "You asked: unsent [1]")
    assert "first" not in page.tab.value(f"return {TALK}")
    page.keeps("whales", "unsent")


def test_what_is_sent_while_the_page_is_being_filled_is_asked_then(page: Opened) -> None:
    page.begin("whales")
    (page.folder / "loading").touch()
    page.tab.show(page.address)
    page.tab.wait("return document.querySelector('#question textarea') !== null && window.dprRag !== undefined")
    page.tab.type("#question textarea", "early")
    page.tab.press("Enter", 13, "\r")
    assert page.tab.value(f"return {FIELD}") == "early"
    (page.folder / "loading").unlink()
    page.says("Reply to whales", "You asked: early [1]")
    page.keeps("whales", "early")
