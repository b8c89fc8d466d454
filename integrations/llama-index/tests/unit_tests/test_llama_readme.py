"""Runs the Python blocks of the adapter's README in order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dpr_rag import PassageStore

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"(?P<mark><!-- test: skip \([^)]+\) -->\n)?```python\n(?P<body>.*?)```", re.DOTALL)
BLOCKS = [(found["body"], bool(found["mark"])) for found in BLOCK.finditer(README.read_text("utf-8"))]


def test_python_blocks_run_and_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sizes = []
    for _ in range(2):
        names: dict[str, object] = {}
        for body, skipped in BLOCKS:
            if not skipped:
                exec(compile(body, "README.md", "exec"), names)  # noqa: S102
        (printed,) = capsys.readouterr().out.splitlines()
        assert re.fullmatch(r"0\.\d\d Faust", printed)
        with PassageStore.open("plays.dpr") as plays, PassageStore.open("moved.dpr") as moved:
            sizes.append((len(plays), len(moved)))
    assert sizes == [(3, 2)] * 2


def test_skipped_blocks_compile_and_are_few() -> None:
    (body,) = [body for body, skipped in BLOCKS if skipped]
    compile(body, "README.md", "exec")


def test_sections_are_those_of_the_docstrings() -> None:
    found = re.findall(r"^## (.+)$", README.read_text("utf-8"), re.MULTILINE)
    assert found == [
        *("Setup", "Instantiate", "Add", "Delete", "Search", "Filter", "Score", "Async"),
        *("As retriever, in a query engine, in a chat engine", "Moving in", "Limits"),
    ]


def test_examples_cut_texts_to_what_the_encoder_reads() -> None:
    """Tokens of LlamaIndex's splitters are about as long as an encoder's, and its default is twice what that reads."""
    cuts = re.findall(r"SentenceSplitter\(([^)]*)\)", README.read_text("utf-8"))
    assert cuts
    for arguments in cuts:
        found = re.match(r"chunk_size=(\d+)", arguments)
        assert found, f"SentenceSplitter({arguments}) leaves the size to its default"
        assert int(found[1]) * 1.25 <= 256
