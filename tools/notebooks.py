"""Runs the notebooks of ``examples/notebooks/`` and writes their outputs into them.

    python tools/notebooks.py

Plain Python, without Jupyter: the code cells of one notebook run in order in a process and a folder of their own, and leave the
text that Jupyter would show. Cells with the tag ``skip-execution``, as nbclient knows it, are left out. The tests run the
notebooks by the same functions, and compare.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "examples" / "notebooks").glob("*.ipynb"))
SKIPPED = "skip-execution"
Cell = dict[str, Any]


def is_run(cell: Cell) -> bool:
    """Whether a cell is code, and meant to run."""
    return cell["cell_type"] == "code" and SKIPPED not in cell["metadata"].get("tags", ())


def executed(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook with the outputs of a new run.

    Raises:
        CalledProcessError: A cell failed; its traceback was written to stderr.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-P", str(Path(__file__).resolve()), "--cells"]
        sources = json.dumps(["".join(cell["source"]) for cell in notebook["cells"] if is_run(cell)])
        process = subprocess.run(command, input=sources, stdout=subprocess.PIPE, check=True, text=True, cwd=folder)
    results = iter(json.loads(process.stdout))
    cells = [_with_output(cell, next(results)) if is_run(cell) else cell for cell in notebook["cells"]]
    return {**notebook, "cells": cells}


def _with_output(cell: Cell, outcome: dict[str, Any]) -> Cell:
    outputs: list[Cell] = []
    if outcome["printed"]:
        outputs.append({"name": "stdout", "output_type": "stream", "text": _lines(outcome["printed"])})
    if outcome["value"] is not None:
        data = {"text/plain": _lines(outcome["value"])}
        result = {"output_type": "execute_result", "execution_count": outcome["number"], "metadata": {}, "data": data}
        outputs.append(result)
    return {**cell, "execution_count": outcome["number"], "outputs": outputs}


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def run_cells(sources: list[str]) -> list[dict[str, Any]]:
    """Run code cells in one namespace; returns what each printed, and the value of its last line, as text."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    results: list[dict[str, Any]] = []
    for number, source in enumerate(sources, 1):
        tree, printed, displayed = ast.parse(source), io.StringIO(), []
        last = [tree.body.pop()] if isinstance(tree.body[-1], ast.Expr) else []
        sys.displayhook = displayed.append
        with contextlib.redirect_stdout(printed):
            exec(compile(tree, f"cell {number}", "exec"), namespace)  # noqa: S102
            exec(compile(ast.Interactive(last), f"cell {number}", "single"), namespace)  # noqa: S102
        value = next((repr(item) for item in displayed if item is not None), None)
        results.append({"number": number, "printed": printed.getvalue(), "value": value})
    return results


def text_of(notebook: dict[str, Any]) -> str:
    """A notebook as Jupyter writes it."""
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Run all and write them anew; with ``--cells`` run the code that comes by stdin, for :func:`executed`."""
    if sys.argv[1:] == ["--cells"]:
        output = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # what libraries print goes to stderr, beside the answer
        json.dump(run_cells(json.load(sys.stdin)), output)
        output.close()
        return
    for path in NOTEBOOKS:
        path.write_text(text_of(executed(json.loads(path.read_text("utf-8")))), "utf-8")
        sys.stdout.write(f"{path.name} is as it runs today\n")


if __name__ == "__main__":
    main()
