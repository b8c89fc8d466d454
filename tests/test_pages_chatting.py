"""The chatbot without its page: what is looked up, what a model is told, what is kept, what people bring and say."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import HashEncoder
from written_files import pdf

from dpr_rag import Passage, PassageStore
from dpr_rag.corpora import read_questions
from dpr_rag.errors import ChatError, StoreError, StoreFormatError
from dpr_rag.pages.answering import Settings
from dpr_rag.pages.chatting import Chat
from dpr_rag.pages.files import Progress
from dpr_rag.pages.memory import Memory
from dpr_rag.pages.models import LangChainModel
from dpr_rag.pages.parting import parted
from dpr_rag.pages.placing import place_in_file
from dpr_rag.pages.shown import messages_of
from dpr_rag.pages.turns import Turn, as_markdown
from dpr_rag.prompting import format_passages

ALL = Settings(min_relevance=0.0)
WHALES = Passage("w", "Blue whales eat krill. They sing.", "Whales")
TEA = Passage("t", "Green tea is steeped at 80 degrees. Black tea takes longer.", "Tea")


class Scripted:
    """A language model that says its lines one after another, in pieces, and remembers what it was told."""

    name = "scripted:model"

    def __init__(self, *lines: str | Exception) -> None:
        self._lines = list(lines)
        self.told: list[Sequence[tuple[str, str]]] = []

    def stream(self, messages: Sequence[tuple[str, str]]) -> Iterator[str]:
        self.told.append(list(messages))
        line = self._lines.pop(0)
        if isinstance(line, Exception):
            raise line
        yield from (f"{word} " for word in line.split(" "))


class Page(NamedTuple):
    """Which page in a browser calls."""

    session_hash: str


class Refused(Exception):
    """As OpenAI's client raises it."""

    def __init__(self, status_code: int, body: object) -> None:
        super().__init__(f"Error code: {status_code}" + (f" - {body!r}" if body else ""))
        self.status_code, self.body = status_code, body


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Chat]:
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder(64)) as store:
        store.add([WHALES, TEA])
        yield Chat(store, Memory(tmp_path / "chat"), tmp_path / "labelled.jsonl", None)


def with_model(chat: Chat, model: Scripted) -> Chat:
    return Chat(chat.store, chat.memory, chat.labelled, model)


def asked(chat: Chat, question: str, conversation: str | None = None, settings: Settings = ALL) -> tuple[str, Turn]:
    *_, (kept, turns) = chat.ask(question, conversation, settings)
    assert kept is not None
    return kept, turns[-1]


def test_without_a_model_the_nearest_sentences_are_quoted_with_their_numbers(talk: Chat) -> None:
    _, turn = asked(talk, "Blue whales eat", settings=Settings(k=1, min_relevance=0.0))
    assert turn.reply == "Blue whales eat krill. [1]"
    assert [(one.number, one.id, one.title, one.text) for one in turn.citations] == [(1, "w", "Whales", WHALES.text)]
    assert (turn.answered, turn.searched) == (True, "Blue whales eat")
    assert turn.citations[0].dense == pytest.approx(
        talk.store.search(HashEncoder(64).encode_questions(["Blue whales eat"]), 1)[0][0].score
    )


def test_a_sentence_is_found_by_the_heading_that_it_stands_under(talk: Chat) -> None:
    text = "The list of all.\n\n## Alder\n\nInes leads it.\n\n## Birch\n\nTom leads it.\n# no heading\n"
    talk.store.add([Passage("p", text, "Projects")])
    one = Settings(k=1, min_relevance=0.0)
    assert asked(talk, "Birch leads it", settings=one)[1].reply.startswith("Tom leads it. [1]")
    assert asked(talk, "Alder leads it", settings=one)[1].reply.startswith("Ines leads it. [1]")
    assert [one.text for one in parted(text)] == ["The list of all.", "Ines leads it.", "Tom leads it.", "# no heading"]


def test_quoting_by_words_alone_needs_no_encoder(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "b", encoder=HashEncoder(64)) as store:
        store.add([WHALES, TEA])
    with PassageStore.open(tmp_path / "b") as store:
        chat = Chat(store, Memory(tmp_path / "c"), tmp_path / "l.jsonl", None)
        _, turn = asked(chat, "steeping degree", settings=Settings("bm25", min_relevance=0.0))
    assert turn.reply == "Green tea is steeped at 80 degrees. [1]"
    assert (turn.citations[0].id, turn.citations[0].dense) == ("t", None)


def test_a_follow_up_is_looked_up_with_the_question_before_it(talk: Chat) -> None:
    conversation, _ = asked(talk, "green tea")
    _, turn = asked(talk, "and how many degrees", conversation)
    assert turn.searched == "green tea and how many degrees"
    _, turn = asked(talk, "why?", conversation)
    assert turn.searched == "green tea why?"
    _, turn = asked(talk, "which whales sing", conversation)
    assert turn.searched == "which whales sing"


def test_a_courtesy_is_answered_without_a_look_up_and_no_follow_up_is_joined_with_it(talk: Chat) -> None:
    chat = with_model(talk, model := Scripted())
    conversation, turn = asked(chat, "Hi there!")
    assert turn.reply == "Hello! Ask me about what the files in this store say, such as: “What is said about Whales?”"
    assert (turn.searched, turn.citations, turn.answered, model.told) == ("", (), False, [])
    asked(talk, "green tea", conversation)
    assert talk.memory.listed() == [(conversation, "green tea")], "it is not called after a courtesy"
    assert asked(talk, "thanks, that helps", conversation)[1].reply.startswith("You are welcome. Ask me about")
    assert asked(talk, "Great! And how many degrees?", conversation)[1].searched == "green tea And how many degrees?"
    assert asked(talk, "bye", conversation)[1].reply == "Goodbye! This conversation is kept."
    told = with_model(talk, model := Scripted("How hot is green tea?", "80 degrees [1]."))
    assert asked(told, "how hot?", conversation)[1].searched == "How hot is green tea?"
    assert [text for _, text in model.told[0]][-2:-1] == ["how hot?"]
    assert not {"bye", "Hi there!"} & {text for _, text in model.told[0]}


def test_an_empty_store_answers_a_greeting(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "e", encoder=HashEncoder(64)) as store:
        _, turn = asked(Chat(store, Memory(tmp_path / "c"), tmp_path / "l", None), "hello")
    assert turn.reply == "Hello! Add files, and ask about them."


def test_a_model_makes_a_follow_up_standalone_and_is_told_passages_and_what_was_said(talk: Chat) -> None:
    model = Scripted("They eat krill [1].", "What do blue whales sing?", "Songs [1].")
    chat = with_model(talk, model)
    conversation, first = asked(chat, "whales eat", settings=Settings(k=1, min_relevance=0.0))
    *growing, (_, turns) = chat.ask("and sing?", conversation, Settings(k=1, min_relevance=0.0))
    assert (first.reply, turns[-1].reply) == ("They eat krill [1]. ", "Songs [1]. ")
    assert turns[-1].searched == "What do blue whales sing?"
    assert [one[-1].reply for _, one in growing] == ["…", "Songs ", "Songs [1]. ", "Songs [1]. "]
    passages = format_passages([Passage("w", WHALES.text, "Whales")])
    assert model.told[0][0][1].endswith(passages)
    assert model.told[0][1:] == [("human", "whales eat")]
    assert model.told[1][:3] == [("human", "whales eat"), ("ai", "They eat krill [1]. "), ("human", "and sing?")]
    assert model.told[2][1:] == [("human", "whales eat"), ("ai", "They eat krill [1]. "), ("human", "and sing?")]


@pytest.mark.parametrize("put", ["They sing.\n\n![x](http://example.org/x.png)", "word " * 60, "", " "])
def test_what_a_model_writes_instead_of_a_question_is_not_looked_up(talk: Chat, put: str) -> None:
    conversation, _ = asked(talk, "whales")
    chat = with_model(talk, Scripted(put, "Songs [1]."))
    assert asked(chat, "and why?", conversation)[1].searched == "whales and why?"
    chat = with_model(talk, Scripted(put, "Tea [1]."))
    assert asked(chat, "who steeps green tea", conversation)[1].searched == "who steeps green tea"


def test_a_refusal_quotes_what_was_asked(talk: Chat) -> None:
    conversation, _ = asked(talk, "whales")
    _, turn = asked(talk, "and why?", conversation, Settings(min_relevance=1.0))
    assert (turn.searched, turn.answered) == ("whales and why?", False)
    assert turn.reply == "The passages hold no answer to “and why?”. The nearest are below."


def test_below_the_least_relevance_no_model_is_asked_and_the_nearest_are_shown(talk: Chat) -> None:
    chat = with_model(talk, model := Scripted())
    _, turn = asked(chat, "zebra", settings=Settings(min_relevance=1.0))
    assert (turn.answered, model.told) == (False, [])
    assert turn.reply == "The passages hold no answer to “zebra”. The nearest are below."
    assert {one.id for one in turn.citations} == {"w", "t"}


def test_an_empty_store_says_so(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "e", encoder=HashEncoder(64)) as store:
        _, turn = asked(Chat(store, Memory(tmp_path / "c"), tmp_path / "l", None), "whales")
    assert turn.reply == "The store holds no passage that fits “whales”. Add files, or ask in other words."
    assert turn.citations == ()


def test_a_model_that_fails_is_told_and_the_question_can_be_asked_again(talk: Chat) -> None:
    chat = with_model(talk, model := Scripted(ChatError("scripted:model did not answer: no key"), "Krill [1]."))
    conversation, turn = asked(chat, "whales eat")
    assert (turn.reply, turn.answered) == ("⚠ scripted:model did not answer: no key", False)
    *_, (same, turns) = chat.ask("whales eat", conversation, ALL, at=0)
    assert (same, [one.reply for one in turns]) == (conversation, ["Krill [1]. "])
    assert model.told[1][1:] == [("human", "whales eat")]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionError("Connection error."), "Connection error."),
        (TimeoutError("Request timed out."), "Request timed out."),
        (OSError(2, "No such file", "/usr/lib/ssl/cert.pem"), "[Errno 2] No such file: 'cert.pem'"),
        (
            Refused(401, {"message": "Incorrect API key provided: sk-x."}),
            "Incorrect API key provided: sk-x. (status 401)",
        ),
        (Refused(500, None), "Error code: 500"),
        (ValueError("bad value; pass api_key='…' to ChatOpenAI(…)"), "bad value"),
        (KeyError(), "KeyError"),
    ],
)
def test_what_a_model_refuses_is_told_in_words_for_people(talk: Chat, error: Exception, said: str) -> None:
    class Failing:
        def stream(self, _: object) -> Iterator[object]:
            yield from ()
            raise error

    chat = Chat(talk.store, talk.memory, talk.labelled, LangChainModel(Failing(), "openai:tiny"))
    assert asked(chat, "whales eat")[1].reply == f"⚠ openai:tiny did not answer: {said}"


def test_a_store_that_is_gone_is_told_without_its_place(talk: Chat, tmp_path: Path) -> None:
    handling = pytest.importorskip("dpr_rag.pages.handling", reason="needs gradio", exc_type=ImportError)
    page = handling.Handlers(talk, folders=True)
    shutil.rmtree(tmp_path / "s")
    said = "s has been replaced or removed since it was opened; end dpr-rag and start it again"
    assert asked(talk, "tea")[1].reply == f"⚠ {said}"
    for called in (
        lambda: page.begin(Page("x")),
        lambda: page.remove("upload:a.md"),
        lambda: list(page.add_folder(str(tmp_path))),
    ):
        with pytest.raises(Exception, match="start it again") as raised:
            called()
        assert raised.value.message == said  # type: ignore[attr-defined]
        assert type(raised.value).__module__ == "gradio.exceptions"


def test_conversations_that_cannot_be_kept_are_told_behind_the_reply(talk: Chat, tmp_path: Path) -> None:
    handling = pytest.importorskip("dpr_rag.pages.handling", reason="needs gradio", exc_type=ImportError)
    (tmp_path / "chat").unlink()
    growing = handling.Handlers(talk, folders=False).ask(Page("x"), "tea", None, None, 5, 0.0, [])
    *shown, raised = seen(growing)
    assert "is steeped" in shown[-1][0]["value"][-1]["content"]
    assert str(raised.message) == "chat cannot keep conversations any longer (unable to open database file)"
    assert not (tmp_path / "chat").exists()


def seen(growing: Iterator[Any]) -> Iterator[Any]:
    """What is yielded, and the error behind it."""
    try:
        yield from growing
    except Exception as error:
        yield error


def test_an_empty_reply_of_a_model_is_no_answer(talk: Chat) -> None:
    _, turn = asked(with_model(talk, Scripted("")), "whales eat")
    assert turn.reply == "⚠ scripted:model gave an empty reply; ask again, or take another model"


def test_asking_an_earlier_question_in_other_words_replaces_what_followed(talk: Chat) -> None:
    conversation, _ = asked(talk, "green tea")
    asked(talk, "whales", conversation)
    *_, (_, turns) = talk.ask("black tea", conversation, ALL, at=0)
    assert [one.question for one in turns] == ["black tea"]
    assert talk.turns(conversation) == turns


def test_a_growing_reply_is_shown_where_it_was_asked_and_kept_where_it_belongs(talk: Chat) -> None:
    handling = pytest.importorskip("dpr_rag.pages.handling", reason="needs gradio", exc_type=ImportError)
    page, mine, yours = handling.Handlers(talk, folders=False), Page("mine"), Page("yours")
    other, _ = asked(talk, "whales")
    page.choose(yours, other)
    growing = page.ask(mine, "tea", None, None, 5, 0.0, [])
    assert next(growing)[0]["value"][0]["content"] == "tea"
    page.choose(mine, other)
    *rest, last = growing
    assert rest == []
    assert [isinstance(one, dict) and one.get("__type__") == "update" and len(one) == 1 for one in last[:2]] == [
        True
    ] * 2
    assert [title for title, _ in last[2]["choices"]] == ["tea", "whales"]
    assert "value" not in last[2]
    *_, shown = page.ask(yours, "sing", other, None, 5, 0.0, [])
    assert [one["content"] for one in shown[0]["value"][::2]] == ["whales", "sing"]


def test_a_blank_question_changes_nothing(talk: Chat) -> None:
    assert list(talk.ask("  ", None, ALL)) == [(None, ())]
    assert talk.memory.listed() == []


def test_only_the_chosen_sources_are_searched(talk: Chat, tmp_path: Path) -> None:
    notes = tmp_path / "krill.txt"
    notes.write_text("krill are small")
    list(talk.files.add_upload(notes))
    _, turn = asked(talk, "whales", settings=Settings(min_relevance=0.0, sources=("upload:krill.txt",)))
    assert [one.id for one in turn.citations] == ["upload:krill.txt#1"]


def test_conversations_are_there_after_a_restart(talk: Chat, tmp_path: Path) -> None:
    first, turn = asked(talk, "green tea")
    second, _ = asked(talk, "x" * 100)
    again = Memory(tmp_path / "chat")
    assert again.listed() == [(second, "x" * 60), (first, "green tea")]
    known = again.get(first)
    assert known is not None
    assert known.turns == (turn,)
    again.forget(first)
    assert again.listed() == [(second, "x" * 60)]
    assert again.get(first) is None


def test_what_people_say_becomes_labelled_questions_that_every_command_reads(talk: Chat) -> None:
    conversation, _ = asked(talk, "Blue whales eat", settings=Settings(k=1, min_relevance=0.0))
    asked(talk, "sing", conversation, Settings(k=2, min_relevance=0.0))
    other, _ = asked(talk, "tea", settings=Settings(k=2, min_relevance=0.0))
    assert talk.told_labels() == ""
    talk.judge(conversation, 0, thumb="up")
    talk.judge(conversation, 1, picked=["t", "w"])
    talk.judge(other, 0, thumb="down")
    found = [(one.question, one.positive_ids) for one in read_questions(talk.labelled)]
    assert found == [("Blue whales eat", ("w",)), ("Blue whales eat sing", ("t", "w"))]
    assert talk.told_labels() == "2 questions labelled; from 20 on the store can be tuned to them."
    talk.judge(conversation, 1, picked=[])
    assert [one.question for one in read_questions(talk.labelled)] == ["Blue whales eat"]
    talk.memory.forget(conversation)
    assert [one.question for one in talk.memory.labelled()] == ["Blue whales eat"]


def test_after_twenty_labels_the_page_names_the_command(talk: Chat) -> None:
    for at in range(20):
        conversation, _ = asked(talk, f"whales {at}", settings=Settings(k=1, min_relevance=0.0))
        talk.judge(conversation, 0, picked=["w"])
    assert talk.told_labels() == (
        f"20 questions labelled: `dpr-rag tune {talk.store.path} {talk.labelled}` sets the store to what finds most of them."
    )


def test_a_judgement_of_a_turn_that_is_not_there_is_none(talk: Chat) -> None:
    conversation, turn = asked(talk, "tea")
    assert talk.judge(conversation, 5, thumb="up") == (turn,)
    assert talk.judge(None, 0, thumb="up") == ()


class At(NamedTuple):
    """Where in a conversation somebody clicked."""

    index: int
    liked: bool = True
    value: str = ""


def test_what_is_said_in_one_of_two_tabs_is_said_of_the_turn_that_it_shows(talk: Chat) -> None:
    handling = pytest.importorskip("dpr_rag.pages.handling", reason="needs gradio", exc_type=ImportError)
    page, one = handling.Handlers(talk, folders=False), Settings(k=1, min_relevance=0.0)
    conversation, _ = asked(talk, "Blue whales eat", settings=one)
    *_, shown = page.choose(Page("b"), conversation)
    asked(talk, "green tea", conversation, one)
    page.pick(conversation, shown, ["w"])
    assert [turn.picked for turn in talk.turns(conversation)] == [("w",), ()]
    page.like(At(1), conversation, shown)
    assert [turn.thumb for turn in talk.turns(conversation)] == ["up", ""]
    found = [(one.question, one.positive_ids) for one in read_questions(talk.labelled)]
    assert found == [("Blue whales eat", ("w",))]


def test_a_tab_neither_labels_nor_replaces_what_it_does_not_show(talk: Chat) -> None:
    handling = pytest.importorskip("dpr_rag.pages.handling", reason="needs gradio", exc_type=ImportError)
    page, b = handling.Handlers(talk, folders=False), Page("b")
    conversation, _ = asked(talk, "green tea")
    *_, shown = page.choose(b, conversation)
    asked(talk, "whales", conversation)
    calls = {
        "retry": lambda: list(page.retry(b, At(0), conversation, shown, None, 5, 0.0, [])),
        "edit": lambda: list(page.edit(b, At(0, value="tea"), conversation, shown, None, 5, 0.0, [])),
        "pick": lambda: page.pick(conversation, shown, ["t"]),
        "like": lambda: page.like(At(1), conversation, shown),
    }
    for name in ("retry", "edit"):
        with pytest.raises(Exception, match="changed in another window"):
            calls[name]()
    assert [turn.question for turn in talk.turns(conversation)] == ["green tea", "whales"]
    *_, (_, after) = talk.ask("krill", conversation, ALL, at=0)
    for call in calls.values():
        with pytest.raises(Exception, match="changed in another window"):
            call()
    assert talk.turns(conversation) == after
    talk.memory.forget(conversation)
    for name in ("pick", "like"):
        with pytest.raises(Exception, match="changed in another window"):
            calls[name]()


def test_retry_and_edit_replace_what_the_page_shows(talk: Chat) -> None:
    handling = pytest.importorskip("dpr_rag.pages.handling", reason="needs gradio", exc_type=ImportError)
    page, mine = handling.Handlers(talk, folders=False), Page("mine")
    conversation, _ = asked(talk, "green tea")
    asked(talk, "whales", conversation)
    *_, shown = page.choose(mine, conversation)
    page.like(At(1), conversation, shown)
    *_, (*_, shown) = page.edit(mine, At(2, value="krill"), conversation, shown, None, 5, 0.0, [])
    assert [turn.question for turn in talk.turns(conversation)] == ["green tea", "krill"]
    assert shown == talk.turns(conversation)
    list(page.retry(mine, At(1), conversation, shown, None, 5, 0.0, []))
    assert [turn.question for turn in talk.turns(conversation)] == ["green tea"]


def test_a_reply_replaces_no_turn_that_came_while_it_grew(talk: Chat) -> None:
    conversation, _ = asked(talk, "green tea")
    growing = talk.ask("black tea", conversation, ALL, at=0, seen=talk.turns(conversation))
    next(growing)
    asked(talk, "whales", conversation)
    after = talk.turns(conversation)
    with pytest.raises(ChatError, match="changed in another window"):
        list(growing)
    assert talk.turns(conversation) == after
    assert [turn.question for turn in after] == ["green tea", "whales"]


def test_a_conversation_that_has_become_shorter_is_not_gone_on_with(talk: Chat) -> None:
    conversation, _ = asked(talk, "green tea")
    asked(talk, "whales", conversation)
    seen = talk.turns(conversation)
    *_, (_, after) = talk.ask("krill", conversation, ALL, at=0)
    with pytest.raises(ChatError, match="changed in another window"):
        list(talk.ask("whales", conversation, ALL, at=1, seen=seen))
    assert talk.turns(conversation) == after


def test_a_file_that_another_process_begins_is_not_seen_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect, begun = sqlite3.connect, list[Memory]()

    class Late(sqlite3.Connection):
        def execute(self, sql: str, *parameters: object) -> sqlite3.Cursor:
            if "sqlite_master" in sql and not begun:
                with monkeypatch.context() as other:
                    other.setattr(sqlite3, "connect", connect)
                    begun.append(Memory(tmp_path / "chat"))
            return super().execute(sql, *parameters)

    monkeypatch.setattr(sqlite3, "connect", partial(connect, factory=Late))
    assert Memory(tmp_path / "chat").listed() == []
    assert begun


def test_a_file_that_holds_something_else_is_no_memory(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("not a database, but long enough to be taken for one by its size" * 20)
    with pytest.raises(
        StoreError, match=r"notes cannot be used for conversations \(.*\); name a file that can be written"
    ):
        Memory(tmp_path / "notes")


def test_conversations_of_a_later_version_are_for_a_later_version(tmp_path: Path) -> None:
    Memory(tmp_path / "chat")
    with closing(sqlite3.connect(tmp_path / "chat")) as database, database:
        database.execute("PRAGMA user_version = 2")
    said = r"chat has format 2, this dpr-rag reads conversations up to 1; upgrade dpr-rag, or name another file"
    with pytest.raises(StoreFormatError, match=said):
        Memory(tmp_path / "chat")


@pytest.mark.parametrize("version", [0, 1])
def test_a_database_of_something_else_stays_as_it_is(version: int, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x")) as database, database:
        database.execute("CREATE TABLE notes (note)")
        database.execute(f"PRAGMA user_version = {version}")
    before = (tmp_path / "x").read_bytes()
    with pytest.raises(StoreError, match="x holds something else than conversations; name another file"):
        Memory(tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == before


def test_of_two_that_begin_a_file_the_later_one_waits_for_the_other(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor, TimeoutError

    Memory(tmp_path / "made")
    with closing(sqlite3.connect(tmp_path / "made")) as database:
        made = list(database.iterdump())
    with ThreadPoolExecutor(1) as later, closing(sqlite3.connect(tmp_path / "chat", isolation_level=None)) as first:
        first.execute("BEGIN IMMEDIATE")
        for statement in made[1:-1]:
            first.execute(statement)
        first.execute("PRAGMA user_version = 1")
        waiting = later.submit(Memory, tmp_path / "chat")
        with pytest.raises(TimeoutError):
            waiting.result(0.5)
        first.execute("COMMIT")
        assert waiting.result(30).listed() == []
    with closing(sqlite3.connect(tmp_path / "chat")) as database:
        assert list(database.iterdump()) == made


def test_uploads_are_added_replaced_listed_and_removed_by_name(talk: Chat, tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text("# A\n\n" + "word " * 350)
    *_, last = talk.files.add_upload(file)
    assert last == Progress("a.md", 4, (), done=True)
    assert talk.files.listed() == [("upload:a.md", 4)]
    file.write_text("# A\n\nshort")
    *_, last = talk.files.add_upload(file)
    assert (last.passages, talk.files.listed(), talk.store.count()) == (1, [("upload:a.md", 1)], 3)
    assert talk.files.remove("upload:a.md") == 1
    assert (talk.files.listed(), talk.store.count()) == ([], 2)


def test_rows_of_two_tables_keep_apart(talk: Chat, tmp_path: Path) -> None:
    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text(f"id,text\n1,{name} holds this\n")
        list(talk.files.add_upload(tmp_path / name))
    assert [one.id for one in talk.store][2:] == ["upload:one.csv:1", "upload:two.csv:1"]


def test_a_folder_is_added_with_its_places_as_sources(talk: Chat, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("alpha")
    (tmp_path / "notes" / "b.txt").write_text("beta")
    *_, last = talk.files.add_path(tmp_path / "notes")
    assert last == Progress("notes", 2, (), done=True)
    assert talk.files.listed() == [(str(tmp_path / "notes" / name), 1) for name in ("a.txt", "b.txt")]


def test_a_file_that_cannot_be_read_is_told_and_nothing_else_falls(talk: Chat, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "bad.csv").write_text('id,text\n1,"open\n')
    (empty,) = talk.files.add_upload(tmp_path / "empty.txt")
    assert empty.problems == ("empty.txt: no text was found in it",)
    (bad,) = talk.files.add_upload(tmp_path / "bad.csv")
    assert "bad.csv" in bad.problems[0]
    assert talk.store.count() == 2


def test_a_conversation_as_markdown_holds_questions_replies_and_passages(talk: Chat) -> None:
    _, turn = asked(talk, "Blue whales eat", settings=Settings(k=1, min_relevance=0.0))
    assert as_markdown("T", [turn]) == (
        "# T\n\n**Blue whales eat**\n\nBlue whales eat krill. [1]\n\n[1] Whales\n\n> Blue whales eat krill. They sing.\n"
    )


def test_a_conversation_as_markdown_names_files_as_the_page_does(talk: Chat, tmp_path: Path) -> None:
    for name, how in (("krill.txt", talk.files.add_upload), ("squid.txt", talk.files.add_path)):
        (tmp_path / name).write_text(f"Krill and squid are small, says {name}.")
        list(how(tmp_path / name))
    _, turn = asked(talk, "Krill and squid", settings=Settings(k=2, min_relevance=0.0))
    told = as_markdown("T", [turn])
    assert {one.file for one in turn.citations} == {"krill.txt", "squid.txt"}
    assert "krill — krill.txt\n" in told
    assert "squid — squid.txt\n" in told
    assert "upload:" not in told
    assert str(tmp_path) not in told


def test_citations_name_the_page_of_a_pdf_and_the_row_of_a_table(talk: Chat, tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    pdf(tmp_path / "book.pdf", ["Squid are fast."], ["Octopuses hide well."])
    (tmp_path / "people.csv").write_text("name,phone\nMaria,4402\nAylin,4420\n")
    (tmp_path / "faq.csv").write_text("title,text\nKrill,Krill swarm in spring.\n")
    (tmp_path / "log.jsonl").write_text('{"text": "An otter was seen."}\n{"text": "A heron was seen."}\n')
    for name in ("book.pdf", "people.csv", "faq.csv", "log.jsonl"):
        list(talk.files.add_upload(tmp_path / name))
    named = {
        question: asked(talk, question, settings=Settings("bm25", 1, 0.0))[1].citations[0].where
        for question in ("octopuses hide", "aylin phone", "krill swarm", "heron seen")
    }
    assert named == {
        "octopuses hide": "book.pdf, pages 1–2",
        "aylin phone": "people.csv, row 2 (name: Aylin)",
        "krill swarm": "faq.csv, row 1",
        "heron seen": "log.jsonl, line 2",
    }
    _, turn = asked(talk, "octopuses hide", settings=Settings("bm25", 1, 0.0))
    assert "book — book.pdf, pages 1–2\n" in as_markdown("T", [turn])
    assert "— book.pdf, pages 1–2 <small>" in messages_of([turn], talk.answerer.analyzer)[1]["content"]
    kept = turn.to_dict()
    del kept["citations"][0]["place"]  # as earlier versions wrote it
    assert Turn.from_dict(kept).citations[0].where == "book.pdf"


def test_places_are_told_of_what_says_them_alone() -> None:
    def place(name: str, source: str, **metadata: object) -> str:
        return place_in_file(Passage(name, "a: b\nc: d", "x", metadata), source)

    assert place("x.pdf#1", "/a/x.pdf", page=3, last_page=4) == "pages 3–4"
    assert place("docs/x.csv#7", "/home/docs/x.csv") == "row 7 (a: b)"
    assert place("x.csv:7", "x.csv") == place("x.md#7", "x.md") == place("y#7", "x.csv") == place("x", "") == ""


def test_turns_are_json_and_back(talk: Chat) -> None:
    _, turn = asked(talk, "tea")
    assert Turn.from_dict(json.loads(json.dumps(turn.to_dict()))) == turn


def test_what_was_said_meanwhile_stays(talk: Chat) -> None:
    """Two pages of one conversation: a thumb, and another question, while a reply grows."""
    conversation, _ = asked(talk, "green tea")
    growing = talk.ask("whales", conversation, ALL)
    next(growing)
    talk.judge(conversation, 0, thumb="up")
    asked(talk, "black tea", conversation)
    *_, (kept, turns) = growing
    assert (kept, [one.question for one in turns]) == (conversation, ["green tea", "black tea", "whales"])
    assert [one.thumb for one in talk.turns(conversation)] == ["up", "", ""]
    assert talk.labels == 1


def test_a_conversation_that_was_deleted_while_a_reply_grew_stays_so(talk: Chat) -> None:
    conversation, _ = asked(talk, "green tea")
    growing = talk.ask("whales", conversation, ALL)
    next(growing)
    talk.memory.forget(conversation)
    *_, (kept, turns) = growing
    assert kept is None
    assert [one.question for one in turns] == ["green tea", "whales"]
    assert talk.memory.listed() == []


def test_a_question_in_a_conversation_that_another_window_deleted_begins_a_new_one(talk: Chat) -> None:
    handling = pytest.importorskip("dpr_rag.pages.handling", reason="needs gradio", exc_type=ImportError)
    page = handling.Handlers(talk, folders=False)
    conversation, _ = asked(talk, "green tea")
    page.choose(Page("a"), conversation)
    page.forget(Page("b"), conversation)
    *_, (box, new, *_, shown) = page.ask(Page("a"), "whales", conversation, None, 5, 0.0, [])
    assert new not in (None, conversation)
    assert talk.memory.listed() == [(new, "whales")]
    assert [turn.question for turn in talk.turns(new)] == [turn.question for turn in shown] == ["whales"]
    assert [message["content"] for message in box["value"][::2]] == ["whales"]


def test_a_reply_stays_on_its_page_where_another_window_deletes_the_conversation_meanwhile(talk: Chat) -> None:
    handling = pytest.importorskip("dpr_rag.pages.handling", reason="needs gradio", exc_type=ImportError)
    page = handling.Handlers(talk, folders=False)
    conversation, _ = asked(talk, "green tea")
    growing = page.ask(Page("a"), "whales", conversation, None, 5, 0.0, [])
    next(growing)
    page.forget(Page("b"), conversation)
    *_, (box, current, listed, *_) = growing
    assert (current, listed["choices"]) == (None, [])
    assert [message["content"] for message in box["value"][::2]] == ["green tea", "whales"]


def test_an_upload_replaces_no_other_file(talk: Chat, tmp_path: Path) -> None:
    for folder in ("mine", "yours"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "notes.md").write_text(f"{folder} says this")
    list(talk.files.add_path(tmp_path / "mine" / "notes.md"))
    list(talk.files.add_upload(tmp_path / "yours" / "notes.md"))
    rows = tmp_path / "a.jsonl"
    rows.write_text('{"id": "notes.md#1", "text": "a lie"}\n{"id": "upload:notes.md#1", "text": "a lie"}\n')
    list(talk.files.add_upload(rows))
    assert talk.files.listed() == [
        (str(tmp_path / "mine" / "notes.md"), 1),
        ("upload:a.jsonl", 2),
        ("upload:notes.md", 1),
    ]
    assert [one.text for one in talk.store][2:4] == ["mine says this", "yours says this"]


def test_a_problem_names_no_place_of_the_machine(talk: Chat, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text('id,text\n1,"open\n')
    (bad,) = talk.files.add_upload(tmp_path / "bad.csv")
    assert str(tmp_path) not in bad.problems[0]


def test_a_conversation_keeps_the_name_that_it_was_given(talk: Chat) -> None:
    conversation, _ = asked(talk, "green tea")
    talk.memory.rename(conversation, "  My \n tea ")
    asked(talk, "black tea", conversation)
    assert talk.memory.listed() == [(conversation, "My tea")]
    talk.memory.rename(conversation, " ")
    assert talk.memory.listed() == [(conversation, "green tea")]
    list(talk.ask("white tea", conversation, ALL, at=0))
    assert talk.memory.listed() == [(conversation, "white tea")]
    talk.memory.rename("gone", "x")
