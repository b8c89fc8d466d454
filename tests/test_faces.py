"""Each face advises what can be done there: no Python on the command line, no option in Python, neither on a page."""

from __future__ import annotations

import copy
import logging
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import HashEncoder
from saying import LEFT_OUT, Said, cut, texts
from tiny import TinyEncoder
from typer.testing import CliRunner, Result

from dpr_rag import Passage, PassageStore, Ranking
from dpr_rag.cli import models
from dpr_rag.cli.app import app
from dpr_rag.cli.terminal import log_as_notes
from dpr_rag.corpora.columns import no_header, refuse_header
from dpr_rag.errors import (
    RESTORE,
    DprRagError,
    FilterError,
    NotAcknowledgedError,
    RepeatedIdError,
    StoreCorrupted,
    UnreadableError,
)
from dpr_rag.faces import ByFace, each_face, message_of, on_face
from dpr_rag.fusion.options import RankingOptions
from dpr_rag.milvus.partitions import check_partition_key
from dpr_rag.remote.public_errors import public_message
from dpr_rag.remote.wire import error_of, error_record

PYTHON = re.compile(r"\b[a-zA-Z_]{2,}\((?!s\))|(?<![-\w])[a-z_]{2,}=(?!=)|\b(?:PassageStore|dpr_rag)\.")
OPTION = re.compile(r"(?<![\w-])--[a-z]")
# SQL, the language of pages and what is laid beside it, and single words
NO_PROSE = re.compile(
    r"SELECT |PRAGMA |json_|instr\(|\{value\}|dpr_rag_\w+\(|array_contains|<[a-z/]|=> |initial-scale|--[\w-]+:|var\(--|"
    r'^\S*$|^ title="|^passage="|^Transformer|^gzip'
)
# Said to programs alone: no command, and no page, can bring them about.
FOR_PROGRAMS = (
    *("ids=… goes with", "make one with Question(", "read them with read_qrels()", "what else has retrieve()"),
    *("expected an open PassageStore", "make one with list(", "in bool(", "start processes with multiprocessing"),
    *(
        "; or say mode=",
        "balance is 0",
        "balance goes with",
        "; make one as ",
        "is no passage; give ",
        "a dpr_rag.Passage(",
    ),
    *("rank() takes questions in words", "call MilvusStore.open(", "read_only=False", "or call retrieve() for one"),
    *("os.fsdecode(path)", "reranker is …", "to delete what a filter keeps", "an argument of ", "call retrieve() or "),
    *(
        "delete() got neither",
        "opens nothing; call",
        "is open and cannot be pickled",
        "call refresh(",
        "momentum tower",
        "are for a store that exists; give its path",
    ),
    "cross_encoder_from",
    "expected an open store",
)
# What files and models hold: no advice.
HELD = re.compile(r"do_lower_case=…|state_dict\(\)|length=…, overlap=…, answer=…|Tevatron's --add_pooler")


@pytest.fixture(autouse=True)
def _tiny_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: TinyEncoder(choice.question or "tiny"))


@pytest.fixture(scope="module")
def every() -> list[Said]:
    found = [one for one in texts() if not NO_PROSE.search(one.python)]
    assert len(found) > 1500
    return found


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def on(face: Any, said: Said) -> str:
    return on_face(ByFace(said.python, cli=said.cli, page=said.page), face)


def test_no_advice_in_python_is_given_on_another_face(every: list[Said]) -> None:
    told = [one for one in every if not any(part in one.python for part in FOR_PROGRAMS)]
    assert len(every) - len(told) < 60
    assert [one for one in told if PYTHON.search(HELD.sub("", on("cli", one)))] == []
    assert [one for one in told if PYTHON.search(HELD.sub("", on("page", one)))] == []


def test_an_option_is_named_on_the_command_line_or_behind_the_command_that_takes_it(every: list[Said]) -> None:
    def stray(text: str) -> bool:
        return any("dpr-rag" not in text[: one.start()] for one in OPTION.finditer(HELD.sub("", text)))

    told = [one for one in every if "run gunicorn without --preload" not in one.python]
    assert len([one for one in every if OPTION.search(one.cli)]) > 40
    assert [one for one in told if stray(one.python) or stray(on("page", one))] == []


def test_what_a_page_leaves_out_leaves_a_sentence(every: list[Said]) -> None:
    joined = [one for one in every if LEFT_OUT in one.page and (";" in one.python or one.python[0] in "…%")]
    assert len(joined) > 40
    whole = [one for one in joined if LEFT_OUT not in one.page.split("; ")[0]]
    assert [one for one in joined if one not in whole and not one.python.startswith("load it through")] == []
    assert [one for one in whole if re.search(r"  |[;,(]\s*$|; ?[;,]|\( | \)", on("page", one))] == []


def test_nothing_keeps_python_s_words_alone_of_what_each_face_says_otherwise() -> None:
    assert cut() == []


BOTH = ByFace("pass k=5", cli="pass --k 5", page="ask for 5")
ONE = ByFace("call it()", cli="run it")


def test_texts_are_joined_face_by_face() -> None:
    said = "5 hits; " + BOTH + ", or " + ONE + "; or wait"
    assert (said, type(said)) == ("5 hits; pass k=5, or call it(); or wait", ByFace)
    assert on_face(said, "cli") == "5 hits; pass --k 5, or run it; or wait"
    assert on_face(said, "page") == "5 hits; or wait"
    assert on_face("; ".join(["a", BOTH]), "cli") == "a; pass k=5", "what joins strings knows of no face"
    assert on_face(each_face(lambda *many: "; ".join(many), "a", BOTH), "cli") == "a; pass --k 5"


def test_a_face_says_the_same_where_it_has_no_words_of_its_own() -> None:
    assert [on_face(said, "page") for said in ("a; b", OSError("c; d"), DprRagError("e"))] == ["a; b", "c; d", "e"]
    assert on_face(ByFace("a", page="b"), "cli") == "a"
    assert type(each_face(str.upper, "a")) is str
    assert message_of(ValueError("a", 5)) == "('a', 5)"


@pytest.mark.parametrize(
    "error",
    [
        StoreCorrupted("s: " + BOTH),
        UnreadableError("s: " + BOTH, "an empty file"),
        RepeatedIdError("s: " + BOTH, "an id"),
        NotAcknowledgedError("s: " + BOTH, ("1", "2"), 7),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_keep_each_face_through_copies_pickles_and_the_wire(error: DprRagError) -> None:
    sent = error_of(error_record(FilterError, public_message(FilterError(message_of(error)), {})), 422)
    for one in (error, copy.deepcopy(error), pickle.loads(pickle.dumps(error)), sent):
        assert (str(one), on_face(one, "cli"), on_face(one, "page")) == ("s: pass k=5", "s: pass --k 5", "s: ask for 5")
    again = pickle.loads(pickle.dumps(error))
    assert (vars(again), again.args) == (vars(error), error.args)


def test_an_answer_of_an_older_service_says_the_same_everywhere() -> None:
    sent = error_of({"error": "FilterError", "message": "m; pass k=5", "cli": 7}, 422)
    assert [on_face(sent, "cli"), on_face(sent, "page")] == ["m; pass k=5"] * 2
    assert error_record(StoreCorrupted, "m") == {"error": "StoreCorrupted", "message": "m"}


def test_paths_of_the_server_are_hidden_from_each_face() -> None:
    said = public_message(
        FilterError("/srv/s: " + ByFace("see /srv/s/a", cli="run /srv/s/b", page="/srv/s/c")), {"/srv/s": "s"}
    )
    assert [said, on_face(said, "cli"), on_face(said, "page")] == ["s: see s/a", "s: run s/b", "s: s/c"]


def raised(error: DprRagError) -> None:
    raise error


def refused(call: Any) -> DprRagError:
    with pytest.raises(DprRagError) as raised:
        call()
    return raised.value


@pytest.mark.parametrize(
    ("call", "python", "cli", "page"),
    [
        (
            lambda: Passage("1", 5),  # type: ignore[arg-type]
            "passage '1': text is int 5, expected a string; convert it with str()",
            "passage '1': text is int 5, expected a string; write it as a string",
            "passage '1': text is int 5, expected a string; write it as a string",
        ),
        (
            lambda: Passage("1", {"a": "b"}),  # type: ignore[arg-type]
            "passage '1': text is dict {'a': 'b'}, expected a string; pick the string out of it, as with ['a']",
            "passage '1': text is dict {'a': 'b'}, expected a string; pick the string out of it",
            "passage '1': text is dict {'a': 'b'}, expected a string; pick the string out of it",
        ),
        (
            lambda: Passage("1", "a", metadata={"m": {1}}),
            "passage '1': metadata['m'] is set {1}, expected a JSON value (string, number, true, false, null, list, object); "
            "convert it, dates for example with .isoformat(), or all of the metadata with dpr_rag.to_json_metadata(metadata), "
            "as vector stores of the frameworks do with on_metadata='convert'",
            "passage '1': metadata['m'] is set {1}, expected a JSON value (string, number, true, false, null, list, object); "
            "convert it, dates for example to strings",
            "passage '1': metadata['m'] is set {1}, expected a JSON value (string, number, true, false, null, list, object); "
            "convert it",
        ),
        (
            lambda: refuse_header(["name", "words"]),
            "the first row name, words looks like a header, in which no id and text are known; name them with "
            "columns=Columns(id=…, text=…, title=…), or, if it is a passage, put the header id, text, title above it",
            "the first row name, words looks like a header, in which no id and text are known; name them with --id-column, "
            "--text-column and --title-column, or, if it is a passage, put the header id, text, title above it",
            "the first row name, words looks like a header, in which no id and text are known; call them “id” and “text”",
        ),
        (
            lambda: raised(no_header(4)),
            "4 columns and no header that names id and text; put one above, or name the columns by their numbers from 1 with "
            "columns=Columns(id=…, text=…, title=…)",
            "4 columns and no header that names id and text; put one above, or name the columns by their numbers from 1 with "
            "--id-column, --text-column and --title-column",
            "4 columns and no header that names id and text; put one above",
        ),
        (
            lambda: check_partition_key(5),
            "partition_key is int 5, expected a field of the metadata as filters name it, such as 'tenant'",
            "--partition-key is int 5, expected a field of the metadata as filters name it, such as 'tenant'",
            "the partition key is int 5, expected a field of the metadata as filters name it, such as 'tenant'",
        ),
        (
            lambda: RankingOptions(mode="dense", k1=1.0),
            "k1: parameters of BM25 go with mode='bm25' or mode='hybrid', not with 'dense'",
            "k1: parameters of BM25 go with --mode bm25 or --mode hybrid, not with 'dense'",
            "k1: parameters of BM25 go with bm25 or hybrid, not with 'dense'",
        ),
        (
            lambda: Ranking.of(weight=0.5),
            "weight goes with mode='hybrid', and so does fusion; pass mode='hybrid' beside them",
            "--weight goes with --mode hybrid, and so does --fusion; pass --mode hybrid beside them",
            "weight goes with hybrid, and so does fusion",
        ),
    ],
)
def test_advice_by_value(call: Any, python: str, cli: str, page: str) -> None:
    error = refused(call)
    assert [str(error), on_face(error, "cli"), on_face(error, "page")] == [python, cli, page]


def test_a_store_s_errors_say_what_each_face_does_about_them(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder(16)) as store:
        store.add([Passage("1", "a")])
    other = refused(lambda: PassageStore.open(tmp_path / "s", encoder=HashEncoder(24)))
    missing = refused(lambda: PassageStore.open(tmp_path / "t", create=False))
    assert str(other).endswith("; open it with that encoder, or reencode() it")
    assert on_face(other, "cli").endswith(
        "; name that encoder with --model, or encode it anew with: dpr-rag reencode DIR --model MODEL"
    )
    assert on_face(other, "page").endswith("; end dpr-rag and name that model with --model")
    assert [message_of(missing).partition("; ")[2], on_face(missing, "cli").partition("; ")[2]] == [
        "check the path, or make one with create=True",
        "check the path, or make one with: dpr-rag index CORPUS --store DIR",
    ]


def test_the_command_line_says_its_own(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder(16)) as store:
        store.add([Passage("1", "a")])
    told = run("info", tmp_path / "s").stdout
    assert "no base segment yet: everything is searched exactly; dpr-rag optimize DIR builds one" in " ".join(
        told.split()
    )
    assert "; dpr-rag optimize DIR builds one" in run("info", tmp_path / "s", "--json").stdout
    assert run("info", tmp_path / "none").stderr.endswith(
        "check the path, or make one with: dpr-rag index CORPUS --store DIR\n"
    )


def test_a_skipped_entry_is_said_so_too(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "1", "text": "a"}\n{"one": "1", "two": "a"}\n')
    done = run("index", tmp_path / "a.jsonl", "--store", tmp_path / "s", "--skip-bad")
    assert "; name it with --id-column NAME" in " ".join(done.stderr.split()), done.stderr


def test_warnings_are_put_so_too(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("dpr_rag.store.engine")
    with log_as_notes():
        log.warning("%s; reading, until %s it anew (%d %%)", StoreCorrupted("x; " + ONE), ONE, 5)
        log.warning("100 %; as it is")
    told = ["dpr-rag: x; run it; reading, until run it it anew (5 %)", "dpr-rag: 100 %; as it is", ""]
    assert capsys.readouterr().err.split("\n") == told


def test_a_log_of_python_says_what_python_does(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("dpr_rag.store.engine").warning("%s; %s", StoreCorrupted("x; " + RESTORE), ONE)
    assert caplog.messages == [f"x; {RESTORE!s}; call it()"]
