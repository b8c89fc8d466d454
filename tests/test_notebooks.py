"""The notebooks: valid, offline, in the form of each framework's own pages, and showing what they show when they run."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
HEADINGS = {
    "langchain": ["Overview", "Setup", "Instantiation", "Usage", "Use within a chain", "API reference"],
    "llama_index": ["Setup", "Load documents", "Create the index", "Query the index", "Retrieve with filters"],
}

_spec = importlib.util.spec_from_file_location("notebooks", ROOT / "tools" / "notebooks.py")
assert _spec is not None
assert _spec.loader is not None
notebooks = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(notebooks)
PATHS = {path.stem: path for path in notebooks.NOTEBOOKS}


def test_there_is_one_for_each_framework() -> None:
    assert set(PATHS) == set(HEADINGS)


@pytest.mark.parametrize("name", HEADINGS)
def test_it_shows_what_it_shows_when_it_runs(name: str) -> None:
    text = PATHS[name].read_text("utf-8")
    notebook = json.loads(text)
    assert text == notebooks.text_of(notebook)
    assert notebook == notebooks.executed(notebook)


@pytest.mark.parametrize("name", HEADINGS)
def test_it_is_valid_and_has_the_form_of_the_frameworks_pages(name: str) -> None:
    notebook: Any = nbformat.read(PATHS[name], as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    cells = ["".join(cell.source) for cell in notebook.cells if cell.cell_type == "markdown"]
    found = re.findall(r"^## (.+)$", "\n\n".join(cells), re.MULTILINE)
    assert [one for one in found if one in HEADINGS[name]] == HEADINGS[name]
    assert [len(re.findall("^# ", cell, re.MULTILINE)) for cell in cells] == [1, *[0] * (len(cells) - 1)]
    skipped = [cell.source for cell in notebook.cells if cell.cell_type == "code" and not notebooks.is_run(cell)]
    assert [one.split()[:2] for one in skipped] == [["%pip", "install"]]
    for link in re.findall(r"\]\((?!https:)([^)#]+)", "\n".join(cells)):
        assert (PATHS[name].parent / link).is_file()


def test_a_run_shows_prints_and_values_and_stops_at_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    code = {"cell_type": "code", "metadata": {}, "source": ["a = 2\n", "print('a')\n", "a + 1"]}
    skipped = {"cell_type": "code", "metadata": {"tags": ["skip-execution"]}, "source": ["1 / 0"]}
    text = {"cell_type": "markdown", "metadata": {}, "source": ["words"]}
    follows = {"cell_type": "code", "metadata": {}, "source": ["a *= 2"]}
    ran = notebooks.executed({"cells": [text, code, skipped, follows]})["cells"]
    assert [ran[0], ran[2]] == [text, skipped]
    assert [one.get("text") or one["data"]["text/plain"] for one in ran[1]["outputs"]] == [["a\n"], ["3"]]
    assert (ran[3]["outputs"], ran[3]["execution_count"]) == ([], 2)
    with pytest.raises(Exception, match="returned non-zero exit status 1"):
        notebooks.executed({"cells": [{**code, "source": ["1 / 0"]}]})
    assert "ZeroDivisionError" in capfd.readouterr().err
