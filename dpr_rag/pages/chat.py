"""The layout of the chatbot's page, in Gradio."""

from __future__ import annotations

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
        current, seen = gr.State(None), gr.State(())
        with gr.Sidebar(label="Conversations and files", elem_id="side"):
            listed = gr.Radio(label="Conversations", choices=[], elem_id="conversations")
            with gr.Row():
                new = gr.Button("New", size="sm", min_width=80, elem_id="new")
                forget = gr.Button("Delete", size="sm", min_width=80, elem_id="forget")
            name = gr.Textbox(
                show_label=False,
                container=False,
                max_lines=1,
                placeholder="Rename it: type and press Enter",
                elem_id="name",
            )
            export = gr.Button("Export as Markdown", size="sm", elem_id="export")
            exported = gr.JSON(visible=False)
            with gr.Accordion("Your files", open=True):
                upload = gr.File(label="Drop files here", file_count="multiple", elem_id="upload", height=150)
                folder = gr.Textbox(
                    label="or a folder of this machine",
                    placeholder="/home/me/notes",
                    visible=folders,
                    elem_id="folder",
                )
                bring = gr.Button("Add this folder", size="sm", visible=folders, elem_id="bring")
                status = gr.Markdown(elem_id="status")
                sources = gr.Dropdown(label="In the store", choices=[], elem_id="sources")
                remove = gr.Button("Remove this file", size="sm")
            with gr.Accordion("Settings", open=False):
                mode = gr.Radio(_MODES, value=AUTOMATIC, label="Search")
                k = gr.Slider(1, 20, value=5, step=1, label="Passages")
                least = gr.Slider(0, 1, value=0.25, step=0.05, label="Least relevance")
                only = gr.Dropdown(label="Only from", choices=[], multiselect=True)
        head = gr.Markdown(elem_id="head")
        box = gr.Chatbot(
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
        picks = gr.CheckboxGroup(label="Which passage answers it?", choices=[], visible=False, elem_id="picks")
        labels = gr.Markdown(chat.told_labels(), elem_id="labels")
        with gr.Row():
            question_box = gr.Textbox(
                show_label=False,
                container=False,
                placeholder="Your question",
                scale=8,
                elem_id="question",
                autofocus=True,
            )
            send = gr.Button("Ask", variant="primary", scale=1, min_width=80, elem_id="ask")
        gr.HTML('<div id="waits" role="status"></div>', padding=False, elem_id="waiting")
        settings, talk = [mode, k, least, only], [box, current, listed, picks, labels, seen]
        question = gr.on(
            [question_box.submit, send.click],
            page.ask,
            [question_box, current, *settings],
            talk,
            concurrency_limit=_ASKING,
            js=ASKED,
        )
        question.failure(None, js=FAILED)
        replies = [
            question,
            *(
                event(called, [*shown, *settings], talk, concurrency_limit=_ASKING, js=BEGINS)
                for event, called, shown in (
                    (box.example_select, page.example, [current]),
                    (box.retry, page.retry, [current, seen]),
                    (box.edit, page.edit, [current, seen]),
                )
            ),
        ]
        box.like(page.like, [current, seen], [labels])
        picks.input(page.pick, [current, seen, picks], [labels])
        listed.input(page.choose, [listed], talk)
        new.click(page.new, None, talk)
        forget.click(page.forget, [current], talk)
        name.submit(page.rename, [current, name], [listed, name])
        export.click(page.export, [current], [exported]).success(None, [exported], js=SAVED)
        shelf = [status, sources, only, head]
        upload.upload(page.add_uploads, [upload], [*shelf, upload])
        gr.on([folder.submit, bring.click], page.add_folder, [folder], shelf)
        remove.click(page.remove, [sources], shelf)
        for script in (WAITING, SCROLLED, OPENED, KEYBOARD, COPIED, _NARROW):
            blocks.load(None, None, None, js=script)
        replies.append(blocks.load(page.begin, None, [*talk, *shelf]))
        for reply in replies:
            reply.then(None, js=ENDED)
        blocks.unload(page.leave)
    return blocks  # type: ignore[no-any-return]
