"""Runs the README's Python blocks, in order, and the blocks in the classes' docstrings."""

from __future__ import annotations

import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

import langchain_dpr_rag
from dpr_rag.filters import OPERATORS
from langchain_dpr_rag import DPREmbeddings, DPRRetriever, DPRVectorStore

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
EXAMPLE = re.compile(r"\.\. code-block:: python\n\n((?: {8}.*(?:\n|$)|\n)+)")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_readme_runs_and_a_second_run_adds_nothing() -> None:
    blocks = PYTHON.findall(README)
    assert len(blocks) >= 6
    for _ in range(2):
        names: dict[str, Any] = {}
        for block in blocks:
            exec(compile(block, "README.md", "exec"), names)  # noqa: S102
        stores = [names[name].store for name in ("vector_store", "retriever")]
        assert [sorted(passage.id for passage in store) for store in stores] == [["emma", "iliad"], ["faust", "hamlet"]]
        for store in stores:
            store.close()


def test_readme_names_what_there_is() -> None:
    named = set(re.findall(r"\$([a-z_]+)", README.split("Operators:")[1].split("A callable")[0]))
    assert named == {*OPERATORS, "and", "or", "not"}
    assert set(re.findall(r"`(dpr_[a-z]+)` \|", README)) == {
        langchain_dpr_rag.SCORE_KEY,
        langchain_dpr_rag.RANK_KEY,
        langchain_dpr_rag.RELEVANCE_KEY,
    }


@pytest.mark.parametrize("kind", [DPREmbeddings, DPRRetriever, DPRVectorStore])
def test_docstrings_compile_and_follow_one_order(kind: type) -> None:
    text = inspect.cleandoc(kind.__doc__ or "")
    blocks = EXAMPLE.findall(text)
    assert len(blocks) >= 3
    for block in blocks:
        code = textwrap.indent(textwrap.dedent(block), "    ")
        compile(f"async def example():\n{code}", kind.__name__, "exec")
    order = ["Setup:", "Key arguments:", "Instantiate:", "Add documents:", "Delete documents:", "Search:"]
    order += ["Search with filter:", "Search with score:", "Async:", "Use as retriever:", "Use in a chain:"]
    places = [text.index(name) for name in order if name in text]
    assert places == sorted(places)
    assert {"Setup:", "Key arguments:", "Instantiate:", "Async:"} <= set(re.findall(r"^ *([A-Z][a-z ]+:)$", text, re.M))
