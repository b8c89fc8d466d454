"""What the command line makes of texts and figures before it shows them."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from dpr_rag.cli.app import app
from dpr_rag.cli.escaping import printable
from dpr_rag.cli.options import read_filter
from dpr_rag.cli.searching import readable
from dpr_rag.cli.terminal import first_lines, log_as_notes, progress
from dpr_rag.errors import MissingExtraError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines\tand  gaps", "two lines and gaps"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x9b31mred\x9d0;t\x9c\x7f", r"\x9b31mred\x9d0;t\x9c\x7f"),
        ("\u202etxt.exe \u2066\u200f", r"\u202etxt.exe \u2066\u200f"),
        ("nul\x00bell\x07", r"nul\x00bell\x07"),
        ("over\rwritten\x85", "over written"),
        ("tag \U000e0041 \ufeff", r"tag \U000e0041 \ufeff"),
        ("lone \ud800", r"lone \ud800"),
        ("می\u200cخواهم 👨\u200d👩 co\xadop", "می\u200cخواهم 👨\u200d👩 co\xadop"),
        ("café 東京", "café 東京"),
    ],
)
def test_printable_leaves_no_control_characters(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_first_lines_are_three_that_fit() -> None:
    lines = first_lines("word " * 100, 40)
    assert lines == ["word word word word word word"] * 2 + ["word word word word word word …"]
    assert first_lines("short", 200) == ["short"]
    assert first_lines("f(x)\n\n  Return\tx.\n", 80) == ["f(x)", "Return x."]
    assert first_lines("one\ntwo\nthree", 80) == ["one", "two", "three"]
    assert first_lines("one\ntwo\nthree\nfour", 80)[:2] == ["one", "two"]
    assert first_lines("one\ntwo\nthree\nfour", 80)[2].endswith(" …")


def test_log_becomes_notes_while_a_command_runs(capsys: pytest.CaptureFixture[str]) -> None:
    with log_as_notes():
        logging.getLogger("dpr_rag.store.compaction").info("the index is now %s", "hnsw\x1b[2J")
        logging.getLogger("dpr_rag.encoders.loaded").warning("cut")
    assert capsys.readouterr().err == "dpr-rag: the index is now hnsw\\x1b[2J\n"
    assert logging.getLogger("dpr_rag").handlers == []


def test_read_filter() -> None:
    assert read_filter(None) is None
    assert read_filter('{"year": {"$gte": 1990}}') == {"year": {"$gte": 1990}}
    for wrong in ("", "[]", "5", "{year: 1}"):
        with pytest.raises(typer.BadParameter, match="JSON"):
            read_filter(wrong)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("passages", 21_015_324, "21,015,324"),
        ("bytes_on_disk", 64_500_000, "64.5 MB"),
        ("fingerprint", "", "-"),
        ("dim", None, "-"),
        ("index_recall", 0.98765, "0.9877"),
        ("parameters", {"links": 64, "efSearch": 128}, "links=64, efSearch=128"),
        ("parameters", {}, "-"),
        ("kind", "hnsw", "hnsw"),
    ],
)
def test_a_value_is_shown_as_people_read_it(name: str, value: object, shown: str) -> None:
    assert readable(name, value) == shown


def test_progress_that_is_no_terminal_says_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 10.0, 31.0, 40.0, 62.0, 100.0, 130.0])
    monkeypatch.setattr("dpr_rag.cli.terminal.time", SimpleNamespace(monotonic=lambda: next(clock)))
    with progress("indexing", 9000) as advance:
        for done in (1000, 3100, 4000, 6200):
            advance(done)
    with progress("indexing", None, quiet=True) as advance:
        advance(5)
    assert capsys.readouterr().err.splitlines() == [
        "indexing: 3,100 of 9,000, 100/s",
        "indexing: 6,200 of 9,000, 100/s",
    ]


@pytest.mark.enable_socket
@pytest.mark.parametrize(("command", "code"), [("mcp", 0), ("info", 130)])
def test_an_interrupt_is_the_way_to_end_a_server_and_breaks_off_all_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, code: int
) -> None:
    def interrupted(*given: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dpr_rag.cli.agents.encoder_of", interrupted)
    monkeypatch.setattr("dpr_rag.PassageStore.open", interrupted)
    (tmp_path / "s").mkdir()
    ended = CliRunner().invoke(
        app, [command, str(tmp_path / "s"), *(["--transport", "http", "--port", "0"] if command == "mcp" else [])]
    )
    assert (ended.exit_code, "interrupted" in ended.stderr) == (code, bool(code))


@pytest.mark.parametrize("is_told", [True, False])
def test_an_interrupt_while_a_library_is_loaded_is_no_missing_library(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_told: bool
) -> None:
    failed = ImportError("initialization failed")
    failed.__cause__ = KeyboardInterrupt()  # as pybind11 has it

    def interrupted(*given: object, **named: object) -> None:
        if is_told:
            raise MissingExtraError("encoding needs OpenVINO (initialization failed)") from failed
        raise failed

    monkeypatch.setattr("dpr_rag.PassageStore.open", interrupted)
    (tmp_path / "s").mkdir()
    ended = CliRunner().invoke(app, ["info", str(tmp_path / "s")])
    assert (ended.exit_code, ended.stderr) == (130, "\ndpr-rag: interrupted; nothing was applied by half\n")
