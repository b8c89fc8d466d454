"""The chatbot without its page: questions are asked, repeated, edited, judged and saved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock

from dpr_rag.arguments import is_blank
from dpr_rag.errors import ChatError
from dpr_rag.pages.answering import Answerer, Settings
from dpr_rag.pages.files import Files
from dpr_rag.pages.memory import Memory
from dpr_rag.pages.models import ChatModel
from dpr_rag.pages.turns import Turn
from dpr_rag.passages import without_surrogates
from dpr_rag.reading.reranking import Reranker
from dpr_rag.stores import WholeStore

ENOUGH = 20
CHANGED = "the conversation was changed in another window; choose it in the list to see it as it is now"


class Chat:
    """A chatbot over one store.

    Args:
        store: An open store.
        memory: Where conversations are kept.
        labelled: The file that gets the labelled questions.
        model: The language model; None answers by quoting.
        reader: Helps to choose what is quoted.
    """

    def __init__(
        self,
        store: WholeStore,
        memory: Memory,
        labelled: Path,
        model: ChatModel | None,
        reader: Reranker | None = None,
    ) -> None:
        self.store, self.memory, self.labelled, self.model = store, memory, labelled, model
        self.answerer, self.files = Answerer(store, model, reader), Files(store, memory)
        self.labels, self._labelling = len(memory.labelled()), Lock()

    def turns(self, conversation: str | None) -> tuple[Turn, ...]:
        """What was said in a conversation; nothing in a new one, or one that is gone."""
        known = self.memory.get(conversation) if conversation else None
        return known.turns if known else ()

    def ask(
        self,
        question: str,
        conversation: str | None,
        settings: Settings,
        *,
        at: int | None = None,
        seen: Sequence[Turn] | None = None,
    ) -> Iterator[tuple[str | None, tuple[Turn, ...]]]:
        """Ask a question, and keep the turn when its reply is whole.

        Args:
            question: What is asked; nothing happens where it is blank.
            conversation: Its id; None, or that of one that was deleted, begins a new one.
            settings: How passages are looked up.
            at: Number of the turn that is asked anew; it and what follows are replaced.
            seen: The turns as they were shown to who asks anew; None takes those that are there.

        Yields:
            The conversation's id, and its turns with the new one as it grows.

        Raises:
            ChatError: The conversation has other turns than ``seen``, when it is asked or when the reply is whole.
        """

        def replaced(now: tuple[Turn, ...]) -> tuple[Turn, ...]:
            if seen is not None and [turn.unjudged for turn in now] != [turn.unjudged for turn in seen]:
                raise ChatError(CHANGED)
            return now[:at]

        known = self.memory.get(conversation) if conversation else None
        conversation, before = (known.id, replaced(known.turns)) if known else (None, replaced(()))
        if is_blank(question):
            yield conversation, before
            return
        grown = Turn(without_surrogates(question.strip()))
        for turn in self.answerer.reply(grown.question, before, settings):
            grown = turn
            yield conversation, (*before, grown)
        yield self._kept(conversation, lambda now: (*replaced(now), grown)) or (None, (*before, grown))

    def judge(
        self,
        conversation: str | None,
        at: int,
        *,
        thumb: str | None = None,
        picked: Sequence[str] | None = None,
        seen: Turn | None = None,
    ) -> tuple[Turn, ...]:
        """Note what somebody said of a reply.

        Args:
            conversation: Its id.
            at: Number of the turn.
            thumb: ``up``, ``down`` or an empty string; None leaves it.
            picked: Ids of the passages that answer the question; None leaves them.
            seen: The turn as it was shown to who judges; None judges what is there.

        Raises:
            ChatError: It is another turn by now, or gone.
        """

        def judged(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
            if seen is not None and [turn.unjudged for turn in turns[at : at + 1]] != [seen.unjudged]:
                raise ChatError(CHANGED)
            if not 0 <= at < len(turns):
                return turns
            turn = turns[at]
            new = replace(
                turn,
                thumb=turn.thumb if thumb is None else thumb,
                picked=turn.picked if picked is None else tuple(picked),
            )
            return (*turns[:at], new, *turns[at + 1 :])

        kept = self._kept(conversation, judged) if conversation else None
        if kept is None and seen is not None:
            raise ChatError(CHANGED)
        return kept[1] if kept else ()

    def _kept(
        self, conversation: str | None, changed: Callable[[tuple[Turn, ...]], tuple[Turn, ...]]
    ) -> tuple[str, tuple[Turn, ...]] | None:
        known = self.memory.change(conversation, changed)
        if known is None:
            return None
        with self._labelling:
            if self.labels or any(turn.positive_ids for turn in known.turns):
                self.labels = self.memory.write_labelled(self.labelled)
        return known.id, known.turns

    def told_labels(self) -> str:
        """What the labelled questions are good for, in one line of Markdown; empty where there are none."""
        if not self.labels:
            return ""
        count_text = f"{self.labels} question{'s' if self.labels > 1 else ''} labelled"
        if self.labels < ENOUGH:
            return f"{count_text}; from {ENOUGH} on the store can be tuned to them."
        return (
            f"{count_text}: `dpr-rag tune {self.store.path} {self.labelled}` sets the store to what finds most of them."
        )
