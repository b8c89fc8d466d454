"""The documentation: every page's code runs, what it says of the code is so, and the site's check sees what it is for."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from documents import PAGES, ROOT, blocks, run

DOCS = ROOT / "docs"
NAMES = {str(path.relative_to(DOCS)): path for path in PAGES}


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
def test_page_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = NAMES[name].read_text("utf-8")
    monkeypatch.chdir(tmp_path)
    run(text, name)
    for body in blocks("python", text, skipped=True):
        compile(body, name, "exec")
