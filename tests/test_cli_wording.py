"""Messages on the command line advise what can be done there, not what Python would have one do."""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import dpr_rag
from dpr_rag.cli.searching import readable
from dpr_rag.cli.terminal import log_as_notes
from dpr_rag.cli.wording import on_the_command_line

ROOT = Path(dpr_rag.__file__).parent
PYTHON = re.compile(r"\b[a-zA-Z_]{2,}\((?!s\))|(?<![-\w])[a-z_]{2,}=(?!=)")
# Said to programs alone: no command can bring them about.
FOR_PROGRAMS = (
    "is open and cannot be pickled",
    "ids=… goes with",
    "read them with read_qrels()",
    "make one with Question(",
    "what else has retrieve()",
    "() has no argument",
    "questions is the string",
    "needs questions in words",
    "read_only=False",
    "delete() got neither",
    "call refresh(",
    "momentum tower",
    "cross_encoder_from",
    "os.fsdecode(path)",
    "expected an open PassageStore",
    "opens nothing; call PassageStore.open",
    "rank() takes questions in words",
    "to delete what a filter keeps, pass filter=",
    "is no passage; give a dpr_rag.Passage(",
    "balance goes with mode='hybrid'",
    "balance is 0",
    "object with rerank(question, hits, k)",
    "a reranker reads questions in words",
)
# Names of settings that the options beside them share, and of keys in files: no advice.
SAID = re.compile(
    r"\w+ goes with mode='hybrid'( and fusion='weighted')?, |negatives=…|margin=…|length=…|overlap=…|answer=…|towers=…|"
    r"do_lower_case=…|state_dict\(\)"
)


def messages() -> Iterator[str]:
    """Every text that an error, or a warning, of the library's rooms is made of."""
    for path in sorted(ROOT.rglob("*.py")):
        if "cli" in path.relative_to(ROOT).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and _tells(node.func):
                yield from (text for text in map(_text, node.args) if text)


def _tells(called: ast.expr) -> bool:
    name = called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
    if name == "append" and isinstance(called, ast.Attribute):
        return isinstance(called.value, ast.Name) and called.value.id == "problems"
    return name.endswith("Error") or name in {"StoreLocked", "StoreCorrupted", "bad_line", "error", "warning", "info"}


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value.replace("=%r", "='x'")
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return ""


def test_no_advice_of_the_library_stays_python() -> None:
    found = list(messages())
    assert len(found) > 300
    left = [text for text in found if not any(one in text for one in FOR_PROGRAMS)]
    said = [SAID.sub("", on_the_command_line(text)) for text in left]
    assert [text for text in said if PYTHON.search(text)] == []


@pytest.mark.parametrize(
    ("python", "here"),
    [
        (
            "s was filled with the encoder 'a', not with 'b'; open it with that encoder, or reencode() it",
            "s was filled with the encoder 'a', not with 'b'; name that encoder with --model, or encode it anew with: "
            "dpr-rag reencode DIR --model MODEL",
        ),
        (
            "s keeps its index 'flat'; optimize(index='hnsw') changes it",
            "s keeps its index 'flat'; change it with: dpr-rag optimize DIR --index hnsw",
        ),
        (
            "everything is searched exactly; optimize() builds one",
            "everything is searched exactly; dpr-rag optimize DIR builds one",
        ),
        (
            "text is int 5, expected a string; convert it with str()",
            "text is int 5, expected a string; write it as a string",
        ),
        (
            "m is date, expected a JSON value; convert it, dates for example with .isoformat(), or all of the metadata with "
            "dpr_rag.to_json_metadata(metadata), as vector stores of the frameworks do with on_metadata='convert'",
            "m is date, expected a JSON value; convert it, dates for example to strings",
        ),
        (
            "m refuses to connect (no); pass token='user:password' or an API key, or set MILVUS_TOKEN",
            "m refuses to connect (no); set MILVUS_TOKEN to user:password or an API key",
        ),
        (
            "m was made with the partition key 'a', and keeps it; leave partition_key out, or copy it",
            "m was made with the partition key 'a', and keeps it; leave out --partition-key, or copy it",
        ),
        (
            "x is damaged;\n  reading on until optimize() builds it anew",
            "x is damaged; reading on until dpr-rag optimize DIR builds it anew",
        ),
    ],
)
def test_advice_by_value(python: str, here: str) -> None:
    assert on_the_command_line(python) == here


def test_info_says_why_in_the_words_of_the_command_line() -> None:
    said = readable("reason", "no base segment yet: everything is searched exactly; optimize() builds one")
    assert said == "no base segment yet: everything is searched exactly; dpr-rag optimize DIR builds one"


def test_warnings_are_put_so_too(capsys: pytest.CaptureFixture[str]) -> None:
    with log_as_notes():
        logging.getLogger("dpr_rag.store.engine").warning("%s; reading, until optimize() builds it anew", "x")
    assert capsys.readouterr().err == "dpr-rag: x; reading, until dpr-rag optimize DIR builds it anew\n"
