"""What a language model says becomes the reply: without its thoughts, in whole characters, and as far as it came."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import HashEncoder

from dpr_rag import Passage, PassageStore
from dpr_rag.errors import ChatError
from dpr_rag.pages.answering import Settings
from dpr_rag.pages.chatting import Chat
from dpr_rag.pages.memory import Memory
from dpr_rag.pages.models import LangChainModel, open_model
from dpr_rag.pages.turns import Turn

ALL = Settings(min_relevance=0.0)


class Chunk(NamedTuple):
    """A piece of a reply, as LangChain's models stream it."""

    text: str


class Streaming:
    """A chat model of LangChain that sends a line for each call, in the pieces given; an error among them ends the line."""

    def __init__(self, *lines: list[str | Exception]) -> None:
        self._lines = list(lines)
        self.told: list[list[tuple[str, str]]] = []

    def stream(self, messages: list[tuple[str, str]]) -> Iterator[Chunk]:
        self.told.append(messages)
        for piece in self._lines.pop(0):
            if isinstance(piece, Exception):
                raise piece
            yield Chunk(piece)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PassageStore]:
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder(64)) as opened:
        opened.add([Passage("w", "Blue whales eat krill.", "Whales"), Passage("t", "Green tea is steeped.", "Tea")])
        yield opened


def chat_with(store: PassageStore, *lines: list[str | Exception]) -> tuple[Chat, Streaming]:
    model = Streaming(*lines)
    place = Path(store.path).parent
    return Chat(store, Memory(place / "chat"), place / "labelled.jsonl", LangChainModel(model, "test:model")), model


def growing(chat: Chat, question: str, conversation: str | None = None) -> tuple[str | None, list[Turn]]:
    """The conversation's id, and the turn as it grew."""
    shown = list(chat.ask(question, conversation, ALL))
    return shown[-1][0], [turns[-1] for _, turns in shown]


@pytest.mark.parametrize(
    ("pieces", "reply"),
    [
        (["<think>", "\nWhich? [2]", "\n</think>", "\n\n", "Krill", " [1]."], "Krill [1]."),
        (["<think>\n\n</think>\n\nKrill", " [1]."], "Krill [1]."),
        (["\n<thi", "nk>a</thi", "nk>", "Krill", " [1]."], "Krill [1]."),
        (["<th", "e> krill"], "<the> krill"),
        (["<thi"], "<thi"),
        (["Krill ", "<think>not</think>"], "Krill <think>not</think>"),
        (["<", "b>"], "<b>"),
    ],
)
def test_what_a_model_thinks_first_is_no_part_of_its_reply(store: PassageStore, pieces: list[str], reply: str) -> None:
    chat, _ = chat_with(store, list(pieces))
    _, turns = growing(chat, "what do whales eat?")
    assert turns[-1].reply == reply
    assert not any("Which?" in turn.reply for turn in turns)
    assert [one.number for one in turns[-1].cited] == ([1] if "[1]" in reply else [])


def test_a_model_that_only_thinks_gives_an_empty_reply(store: PassageStore) -> None:
    chat, _ = chat_with(store, ["<think>", "and so on"])
    _, turns = growing(chat, "what do whales eat?")
    assert turns[-1].reply == "⚠ test:model gave an empty reply; ask again, or take another model"


def test_a_model_that_thinks_puts_a_follow_up_anew_and_is_told_no_thoughts(store: PassageStore) -> None:
    thought = "<think>\nlet me see\n</think>\n\n"
    chat, model = chat_with(store, [thought, "Krill."], [thought, "Where do whales eat?"], [thought, "At sea."])
    conversation, _ = growing(chat, "what do whales eat?")
    _, turns = growing(chat, "and where?", conversation)
    assert (turns[-1].searched, turns[-1].reply) == ("Where do whales eat?", "At sea.")
    assert ("ai", "Krill.") in model.told[2]


@pytest.mark.parametrize(
    ("pieces", "reply"),
    [
        (["Krill \ud83e", "\udd90 [1]."], "Krill 🦐 [1]."),
        (["Krill ", "\ud83e\udd90", " [1]."], "Krill 🦐 [1]."),
        (["a \ud83e b"], "a \ufffd b"),
        (["a \udd90 b \ud83e"], "a \ufffd b \ufffd"),
    ],
)
def test_characters_that_a_server_cuts_in_two_are_joined(store: PassageStore, pieces: list[str], reply: str) -> None:
    chat, _ = chat_with(store, list(pieces))
    conversation, turns = growing(chat, "what do whales eat?")
    assert turns[-1].reply == reply
    assert chat.turns(conversation)[0].reply == reply
    for turn in turns:
        turn.reply.encode()


@pytest.mark.parametrize("question", ["whales \ud83d?", "\ud83d\udc33 whales"])
def test_a_question_with_half_a_character_is_asked_and_kept(store: PassageStore, question: str) -> None:
    chat, model = chat_with(store, ["Krill [1]."])
    conversation, turns = growing(chat, question)
    asked = "whales \ufffd?" if question.startswith("w") else "🐳 whales"
    assert (turns[-1].question, turns[-1].reply, model.told[0][-1]) == (asked, "Krill [1].", ("human", asked))
    assert chat.memory.listed() == [(conversation, asked)]


def test_what_a_model_said_before_it_broke_off_stays(store: PassageStore) -> None:
    lost = ConnectionError("Connection error.")
    chat, model = chat_with(store, ["Krill", " [1],", lost], ["Where do whales eat?"], ["At sea."])
    conversation, turns = growing(chat, "what do whales eat?")
    assert turns[-1].reply == "Krill [1],\n\n⚠ test:model broke off: Connection error."
    assert (turns[-1].answered, [one.number for one in turns[-1].cited]) == (False, [1])
    assert chat.turns(conversation) == (turns[-1],)
    growing(chat, "where do whales eat?", conversation)
    assert model.told[2][1:] == [("human", "where do whales eat?")], "half a reply is not told to the model"


def test_a_model_that_said_nothing_did_not_answer(store: PassageStore) -> None:
    chat, _ = chat_with(store, ["<think>", " hm", ConnectionError("Connection error.")])
    _, turns = growing(chat, "what do whales eat?")
    assert turns[-1].reply == "⚠ test:model did not answer: Connection error."
    assert turns[-1].quoted


@pytest.mark.parametrize(
    ("name", "address", "said"),
    [
        ("", None, "the model '' has no name; give one, such as openai:gpt-5-mini"),
        ("openai:qwen3", "localhost:11434/v1", "'localhost:11434/v1' is no address of a model; write it as http"),
        ("openai:qwen3", "http:///v1", "'http:///v1' is no address of a model; write it as http"),
        ("openai:qwen3", "", "'' is no address of a model; write it as http"),
    ],
)
def test_a_model_that_cannot_be_reached_is_refused_before_a_question(name: str, address: str | None, said: str) -> None:
    with pytest.raises(ChatError) as raised:
        open_model(name, address)
    assert str(raised.value).startswith(said)
