"""The event handlers of the chatbot's page: Gradio events in, new values of components out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

import gradio as gr

from dpr_rag.errors import ChatError
from dpr_rag.pages.answering import Settings
from dpr_rag.pages.automatic import AUTOMATIC, told_automatic
from dpr_rag.pages.chatting import CHANGED, Chat
from dpr_rag.pages.files import Progress, own_names, shown_apart
from dpr_rag.pages.greeting import examples_of
from dpr_rag.pages.highlighting import plain_markdown
from dpr_rag.pages.serving import is_upload
from dpr_rag.pages.shown import messages_of, thumbs_of
from dpr_rag.pages.telling import told
from dpr_rag.pages.turns import DOWN, UP, Turn, as_markdown
from dpr_rag.paths import name_of
from dpr_rag.store import shown_source

_NO_NAME = re.compile(r"[^\w().,’' -]+")
_LONGEST = 300
Parts = tuple[Any, ...]
Seen = tuple[Turn, ...]
"""The turns that a page shows; the conversation may have gone on in another window."""


class Handlers:
    """The page's functions for one chatbot; ``folders`` as in :func:`~dpr_rag.pages.chat.chat_page`."""

    def __init__(self, chat: Chat, *, folders: bool) -> None:
        self._chat, self._folders = chat, folders
        self._views: dict[str | None, object] = {}

    @told
    def begin(self, page: gr.Request) -> Parts:
        """The last conversation and the files, when the page opens."""
        return (*self._last(page), *self._shelf(self._unfinished()))

    def leave(self, page: gr.Request) -> None:
        """The page is closed."""
        self._views.pop(page.session_hash, None)

    @told
    def ask(self, page: gr.Request, question: str, current: str | None, *settings: Any) -> Iterator[Parts]:
        """A new question; the page empties the field itself, so that the next one can be typed while the reply grows."""
        yield from self._asked(page, question, current, settings)

    @told
    def example(self, page: gr.Request, data: gr.SelectData, current: str | None, *settings: Any) -> Iterator[Parts]:
        """A question that the page proposed."""
        yield from self._asked(page, str(data.value["text"]), current, settings)

    @told
    def retry(
        self, page: gr.Request, data: gr.RetryData, current: str | None, seen: Seen, *settings: Any
    ) -> Iterator[Parts]:
        """The same question again; what came after it goes."""
        at = _turn(data.index)
        if at < len(seen):
            yield from self._asked(page, seen[at].question, current, settings, at, seen)

    @told
    def edit(
        self, page: gr.Request, data: gr.EditData, current: str | None, seen: Seen, *settings: Any
    ) -> Iterator[Parts]:
        """An earlier question in other words; what came after it goes."""
        yield from self._asked(page, str(data.value), current, settings, _turn(data.index), seen)

    @told
    def like(self, data: gr.LikeData, current: str | None, seen: Seen) -> str:
        """Thumbs."""
        # Gradio gives True or False, or an empty text where a thumb is taken back
        thumb = {"True": UP, "False": DOWN}.get(str(data.liked), "")
        return self._judged(current, seen, _turn(data.index), thumb=thumb)

    @told
    def pick(self, current: str | None, seen: Seen, picked: Sequence[str]) -> str:
        """The passages that answer the last question on the page, which another window may have gone on from."""
        return self._judged(current, seen, len(seen) - 1, picked=picked)

    @told
    def choose(self, page: gr.Request, conversation: str) -> Parts:
        """Another conversation."""
        return self._viewed(page, conversation)

    @told
    def new(self, page: gr.Request) -> Parts:
        """An empty conversation."""
        return self._viewed(page, None)

    @told
    def forget(self, page: gr.Request, current: str | None) -> Parts:
        """Delete the conversation that is shown."""
        if current:
            self._chat.memory.forget(current)
        return self._last(page)

    @told
    def rename(self, current: str | None, title: str) -> Parts:
        """Another name for the conversation that is shown; the field is empty again."""
        if current:
            self._chat.memory.rename(current, title)
        return self._talk(current)[2], ""

    @told
    def export(self, current: str | None) -> tuple[str, str]:
        """The conversation as a Markdown file: its name and its text."""
        known = self._chat.memory.get(current) if current else None
        title = known.title if known else "Conversation"
        name = " ".join(_NO_NAME.sub(" ", title).split()) or "conversation"
        return f"{name}.md", as_markdown(title, known.turns if known else ())

    @told
    def add_uploads(self, paths: Sequence[str] | None) -> Iterator[Parts]:
        """Add the files that were dropped."""
        done = ""
        for path, name in own_names(path for path in map(Path, paths or ()) if is_upload(path)):
            for progress in self._chat.files.add_upload(path, name):
                yield *self._growing(done + _told(progress)), gr.skip()
            done += _told(progress)
            path.unlink(missing_ok=True)
        yield *self._shelf(done), None

    @told
    def add_folder(self, path: str) -> Iterator[Parts]:
        """Add a folder of this machine."""
        from dpr_rag.paths import place_of

        if not path.strip():
            yield self._growing("Type where the folder lies first.")
        elif self._folders:  # the field is hidden, but what it calls can be called
            for progress in self._chat.files.add_path(place_of(path.strip())):
                yield self._shelf(_told(progress)) if progress.done else self._growing(_told(progress))

    @told
    def remove(self, source: str | None) -> Parts:
        """Remove a file's passages."""
        if not source:
            return self._shelf("Choose a file first.")
        count = self._chat.files.remove(source)
        return self._shelf(f"Removed {plain_markdown(shown_source(source))}: {_passages(count)}.")

    def _judged(self, current: str | None, seen: Seen, at: int, **said: Any) -> str:
        if not 0 <= at < len(seen):
            raise ChatError(CHANGED)
        self._chat.judge(current, at, seen=seen[at], **said)
        return self._chat.told_labels()

    def _asked(
        self,
        page: gr.Request,
        question: str,
        current: str | None,
        settings: Sequence[Any],
        at: int | None = None,
        seen: Seen | None = None,
    ) -> Iterator[Parts]:
        """What the page shows while a reply grows; nothing of it once another conversation is looked at."""
        mode, k, least, only = settings
        wanted = Settings(None if mode == AUTOMATIC else mode, int(k), float(least), tuple(only or ()))
        view: object = current or object()
        self._views[page.session_hash] = view
        for conversation, turns in self._chat.ask(question, current, wanted, at=at, seen=seen):
            if self._views.get(page.session_hash) == view:
                yield self._box(turns), conversation, gr.skip(), gr.skip(), gr.skip(), gr.skip()
        if self._views.get(page.session_hash) == view:
            view_now = self._viewed(page, conversation)
            # of a conversation that was deleted meanwhile, what was said stays on the page that asked
            yield view_now if conversation else (self._box(turns), *view_now[1:])
        else:
            listed = gr.update(choices=self._listed())
            yield gr.skip(), gr.skip(), listed, gr.skip(), self._chat.told_labels(), gr.skip()

    def _last(self, page: gr.Request) -> Parts:
        listed = self._chat.memory.listed()
        return self._viewed(page, listed[0][0] if listed else None)

    def _viewed(self, page: gr.Request, conversation: str | None) -> Parts:
        self._views[page.session_hash] = conversation or object()
        return self._talk(conversation)

    def _listed(self) -> list[tuple[str, str]]:
        return [(title, id_) for id_, title in self._chat.memory.listed()]

    def _talk(self, conversation: str | None) -> Parts:
        """Values for the conversation, its id, the list of all, the passages to pick from, the labels, and the turns."""
        turns = self._chat.turns(conversation)
        return (
            self._box(turns),
            conversation,
            gr.update(choices=self._listed(), value=conversation),
            _picks(turns),
            self._chat.told_labels(),
            turns,
        )

    def _box(self, turns: Sequence[Turn]) -> Any:
        shown_now: dict[str, Any] = {
            "value": messages_of(turns, self._chat.answerer.analyzer),
            "feedback_value": thumbs_of(turns),
        }
        return (
            gr.update(**shown_now)
            if turns
            else gr.update(**shown_now, examples=[{"text": example} for example in examples_of(self._chat.store)])
        )

    def _growing(self, status: str) -> Parts:
        """The same while passages come in: to count them by file takes a look at each in the store."""
        return status, gr.skip(), gr.skip(), gr.skip()

    def _shelf(self, status: str) -> Parts:
        """Values for the line about files, the list of files, the choice among them, and the head of the page."""
        half, counted = set(self._chat.files.unfinished()), self._chat.files.listed()
        names = shown_apart(source for source, _ in counted)
        listed = [
            (f"{names[source]} ({count:,}{', not read to its end' if source in half else ''})", source)
            for source, count in counted
        ]
        named = f"In the store: {_files(len(listed))}" if listed else "In the store"
        return status, gr.update(choices=listed, label=named), gr.update(choices=listed), self._head()

    def _unfinished(self) -> str:
        """What to say of files whose adding did not end."""
        named = [plain_markdown(shown_source(source)) for source in self._chat.files.unfinished()]
        return "\n\n".join(f"{name} was not read to its end; add it again." for name in named)

    def _head(self) -> str:
        model = self._chat.model
        status = (
            "answers quote the passages, as no language model was named"
            if model is None
            else f"answers by {model.name}"
        )
        name = plain_markdown(name_of(self._chat.store.path))
        return f"### {name}\n{_passages(self._chat.store.count())}; {status}; {told_automatic(self._chat.store)}"


def _turn(index: Any) -> int:
    """The turn of a message: two messages a turn."""
    return int(index[0] if isinstance(index, list | tuple) else index) // 2


def _picks(turns: Sequence[Turn]) -> Any:
    if not turns or not turns[-1].citations:
        return gr.update(choices=[], value=[], visible=False)
    named = (
        (citation, ", ".join(part for part in (citation.title or citation.id, citation.place) if part))
        for citation in turns[-1].citations
    )
    choices = [(f"[{citation.number}] {name}"[:80], citation.id) for citation, name in named]
    return gr.update(choices=choices, value=list(turns[-1].picked), visible=True)


def _passages(count: int) -> str:
    return f"{count:,} passage{'' if count == 1 else 's'}"


def _files(count: int) -> str:
    return f"{count:,} file{'' if count == 1 else 's'}"


def _told(progress: Progress) -> str:
    line = f"{plain_markdown(progress.name)}: {_passages(progress.passages)}" + ("." if progress.done else " …")
    more = [shorten(text, _LONGEST, placeholder=" …") for text in (*progress.notes, *progress.problems)]
    return "".join(f"{text}\n\n" for text in [line, *map(plain_markdown, more)])
