"""The layout of the chatbot's page, in Gradio."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dpr_rag.pages.automatic import AUTOMATIC
from dpr_rag.pages.browsing import ASKED, BEGINS, COPIED, ENDED, FAILED, KEYBOARD, SAVED, WAITING
from dpr_rag.pages.chatting import Chat
from dpr_rag.pages.handling import Handlers
from dpr_rag.pages.replies import OPENED
from dpr_rag.pages.scrolling import SCROLLED
from dpr_rag.paths import name_of

_MODES = [AUTOMATIC, "dense", "bm25", "hybrid"]
_ASKING = 4
# on a phone, or in a window that becomes as narrow, the sidebar would cover the talk
_NARROW = """() => {
  const side = () => document.querySelector('#side .toggle-button');
  const close = () => { if (document.querySelector('#side.open, #side .sidebar.open, .sidebar.open')) side()?.click(); };
  if (innerWidth < 700) side()?.click();
  matchMedia('(max-width: 699px)').addEventListener('change', event => { if (event.matches) close(); });
}"""
CSS = """
.passage { border: 1px solid var(--border-color-primary); border-radius: 6px; margin: .35em 0; padding: .3em .6em; }
.passage summary { cursor: pointer; } .passage div { margin-top: .4em; overflow-wrap: anywhere; }
.cite { cursor: pointer; text-decoration: underline; color: inherit; }
#chat button[title="Clear"], #chat button[aria-label="Clear"] { display: none; }
#upload .or { color: inherit; }
.sidebar:not(.open) { visibility: hidden; } .sidebar:not(.open) .toggle-button { visibility: visible; }
.sidebar:not(.open) .sidebar-content * { transition: none !important; } /* or fields would take the focus for a while yet */
#waiting:has(#waits:empty) { position: absolute; } #waits { font-size: var(--text-sm); }
"""


def chat_page(chat: Chat, *, folders: bool) -> gr.Blocks:
    """Build the page.

    Args:
        chat: What it shows.
        folders: Whether folders of this machine may be named, which is for pages that nobody else sees.
    """
    page = Handlers(chat, folders=folders)
    with gr.Blocks(title=f"dpr-rag: {name_of(chat.store.path)}", analytics_enabled=False, fill_height=True) as blocks:
        with gr.Sidebar(label="Conversations and files", elem_id="side"):
            conversations, files, settings = _Conversations(), _Files(folders), _settings()
        head = gr.Markdown(elem_id="head")
        talk = _Talk(chat.told_labels(), conversations.listed)
        *_, only_from = settings
        shelf = [files.status, files.sources, only_from, head]
        replies = talk.connect(page, settings)
        conversations.connect(page, talk)
        files.connect(page, shelf)
        for script in (WAITING, SCROLLED, OPENED, KEYBOARD, COPIED, _NARROW):
            blocks.load(None, None, None, js=script)
        replies.append(blocks.load(page.begin, None, [*talk.shown, *shelf]))
        for reply in replies:
            reply.then(None, js=ENDED)
        blocks.unload(page.leave)
    return blocks  # type: ignore[no-any-return]


class _Conversations:
    """The list of conversations, and what is done with the one that is shown."""

    def __init__(self) -> None:
        self.listed = gr.Radio(label="Conversations", choices=[], elem_id="conversations")
        with gr.Row():
            self._new = gr.Button("New", size="sm", min_width=80, elem_id="new")
            self._forget = gr.Button("Delete", size="sm", min_width=80, elem_id="forget")
        self._name = gr.Textbox(
            show_label=False,
            container=False,
            max_lines=1,
            placeholder="Rename it: type and press Enter",
            elem_id="name",
        )
        self._export = gr.Button("Export as Markdown", size="sm", elem_id="export")
        self._exported = gr.JSON(visible=False)

    def connect(self, page: Handlers, talk: _Talk) -> None:
        current, exported = talk.current, self._exported
        self.listed.input(page.choose, [self.listed], talk.shown)
        self._new.click(page.new, None, talk.shown)
        self._forget.click(page.forget, [current], talk.shown)
        self._name.submit(page.rename, [current, self._name], [self.listed, self._name])
        self._export.click(page.export, [current], [exported]).success(None, [exported], js=SAVED)


class _Files:
    """The files of the store, and what adds and removes them."""

    def __init__(self, folders: bool) -> None:
        with gr.Accordion("Your files", open=True):
            self._upload = gr.File(label="Drop files here", file_count="multiple", elem_id="upload", height=150)
            self._folder = gr.Textbox(
                label="or a folder of this machine", placeholder="/home/me/notes", visible=folders, elem_id="folder"
            )
            self._bring = gr.Button("Add this folder", size="sm", visible=folders, elem_id="bring")
            self.status = gr.Markdown(elem_id="status")
            self.sources = gr.Dropdown(label="In the store", choices=[], elem_id="sources")
            self._remove = gr.Button("Remove this file", size="sm")

    def connect(self, page: Handlers, shelf: list[Any]) -> None:
        self._upload.upload(page.add_uploads, [self._upload], [*shelf, self._upload])
        gr.on([self._folder.submit, self._bring.click], page.add_folder, [self._folder], shelf)
        self._remove.click(page.remove, [self.sources], shelf)


def _settings() -> list[Any]:
    """How passages are looked up: mode, number, least relevance and sources."""
    with gr.Accordion("Settings", open=False):
        return [
            gr.Radio(_MODES, value=AUTOMATIC, label="Search"),
            gr.Slider(1, 20, value=5, step=1, label="Passages"),
            gr.Slider(0, 1, value=0.25, step=0.05, label="Least relevance"),
            gr.Dropdown(label="Only from", choices=[], multiselect=True),
        ]


class _Talk:
    """The conversation, the field for a question, and the thumbs and ticks that make labels.

    Attributes:
        current: Holds the id of the conversation.
        shown: What handlers give values for: the conversation, its id, the list of all, the ticks, the labels, the turns.
    """

    def __init__(self, labels: str, listed: gr.Radio) -> None:
        self.current, self._seen = gr.State(None), gr.State(())
        self._box = gr.Chatbot(
            elem_id="chat",
            label="Conversation",
            editable="user",
            buttons=["copy", "copy_all"],
            latex_delimiters=[],
            allow_tags=False,
            feedback_options=("Like", "Dislike"),
            placeholder="Ask a question about the passages in this store.",
            autoscroll=False,  # which leads to the end of a reply; SCROLLED leads to its start
            scale=1,
            height="60vh",
        )
        self._picks = gr.CheckboxGroup(label="Which passage answers it?", choices=[], visible=False, elem_id="picks")
        self._labels = gr.Markdown(labels, elem_id="labels")
        with gr.Row():
            self._question = gr.Textbox(
                show_label=False,
                container=False,
                placeholder="Your question",
                scale=8,
                elem_id="question",
                autofocus=True,
            )
            self._send = gr.Button("Ask", variant="primary", scale=1, min_width=80, elem_id="ask")
        gr.HTML('<div id="waits" role="status"></div>', padding=False, elem_id="waiting")
        self.shown = [self._box, self.current, listed, self._picks, self._labels, self._seen]

    def connect(self, page: Handlers, settings: list[Any]) -> list[Any]:
        """Connect the events, and return those that bring a reply."""
        turn = [self.current, self._seen]
        self._box.like(page.like, turn, [self._labels])
        self._picks.input(page.pick, [*turn, self._picks], [self._labels])
        asked = gr.on(
            [self._question.submit, self._send.click],
            page.ask,
            [self._question, self.current, *settings],
            self.shown,
            concurrency_limit=_ASKING,
            js=ASKED,
        )
        asked.failure(None, js=FAILED)
        again = (
            (self._box.example_select, page.example, [self.current]),
            (self._box.retry, page.retry, turn),
            (self._box.edit, page.edit, turn),
        )
        return [asked] + [
            event(called, [*given, *settings], self.shown, concurrency_limit=_ASKING, js=BEGINS)
            for event, called, given in again
        ]
