"""Mutation testing of the rooms that keep passages: does a test fail where one operator, number or statement is another one?

    make prove PROVE='mutants --rooms filters --trials 40'

Tests run in a copy of the repository in `.prove/`, for each mutant those alone that run its line, quickest first and up to
``--seconds`` of them, as one run of the room's tests under coverage has found. What survives is named with its line.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import time
import traceback
import xml.etree.ElementTree as ElementTree  # of a file that pytest has just written
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from trials.running import commit, say

TESTS = {
    "storage": ("test_storage.py", "test_store*.py", "test_forking.py"),
    "store": ("test_store*.py", "test_storage.py", "test_tuning.py", "test_calibrating*.py", "test_stores.py"),
    "index": ("test_index*.py", "test_store_order.py", "test_derived_structure.py"),
    "lexical": ("test_lexical*.py", "test_derived_structure.py", "test_retriever.py"),
    "filters": ("test_filters*.py", "test_store_views.py"),
}
SLOW = ("test_store_crash.py", "test_store_machine.py", "test_store_concurrency.py", "test_store_corruption.py")
"""Left out: they take minutes, and what they alone find is what the other trials are for."""
LOADED = "ignore::pytest.PytestAssertRewriteWarning"
"""pytest warns of plugins that were imported before it, as they are here for all mutants at once."""
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}


class Mutant(NamedTuple):
    """One change: where, what, and by which node of the tree and which of its changes."""

    file: str
    line: int
    what: str
    place: int
    number: int

    @property
    def name(self) -> str:
        """By which it is remembered."""
        return f"{self.file}:{self.line}: {self.what}"

    def source(self, whole: str) -> str:
        """The file with this change."""
        tree = ast.parse(whole)
        node = next(one for place, one in enumerate(ast.walk(tree)) if place == self.place)
        _apply(node, self.number)
        return ast.unparse(ast.fix_missing_locations(tree))


def mutants_of(file: str, source: str) -> Iterator[Mutant]:
    """Every mutant of a file."""
    tree = ast.parse(source)
    notes = [getattr(one, name, None) for one in ast.walk(tree) for name in ("annotation", "returns")]
    idle = {id(one) for note in notes if note is not None for one in ast.walk(note)}  # types, which nothing evaluates
    for place, node in enumerate(ast.walk(tree)):
        if id(node) in idle:
            continue
        for number, what in enumerate(_changes(node)):
            yield Mutant(file, node.lineno, what, place, number)  # type: ignore[attr-defined]  # such nodes have a line


def _changes(node: ast.AST) -> list[str]:
    """What can be changed in a node, in words; :func:`_apply` takes their places in this list."""
    if isinstance(node, ast.Compare):
        return [f"{ast.unparse(node)} with {COMPARISONS[type(one)].__name__}" for one in node.ops]
    if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC and not _is_text(node):
        return [f"{ast.unparse(node)} with {ARITHMETIC[type(node.op)].__name__}"]
    if isinstance(node, ast.BoolOp):
        return [f"{ast.unparse(node)} with {'or' if isinstance(node.op, ast.And) else 'and'}"]
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return [f"{node.value} + 1", f"{node.value} - 1"]
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return [f"not {node.value}"]
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        return [f"not ({ast.unparse(node.test)})"]
    if isinstance(node, ast.Expr | ast.Assign | ast.AugAssign | ast.Raise) and not _is_idle(node):
        return [f"without {ast.unparse(node)}"]
    return []


def _apply(node: ast.AST, number: int) -> None:
    if isinstance(node, ast.Compare):
        node.ops[number] = COMPARISONS[type(node.ops[number])]()
    elif isinstance(node, ast.BinOp):
        node.op = ARITHMETIC[type(node.op)]()
    elif isinstance(node, ast.BoolOp):
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    elif isinstance(node, ast.Constant):
        node.value = not node.value if isinstance(node.value, bool) else node.value + (1 - 2 * number)
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        node.test = ast.UnaryOp(ast.Not(), node.test)
    else:
        node.__class__ = ast.Pass  # type: ignore[assignment]  # in its place among the statements


def _is_text(node: ast.BinOp) -> bool:
    return any(isinstance(one, ast.JoinedStr) or _is_string(one) for one in (node.left, node.right))


def _is_string(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_idle(node: ast.stmt) -> bool:
    """Docstrings, lines of the log, type variables and names of modules: nothing that a test could see."""
    told = ast.unparse(node)
    return (isinstance(node, ast.Expr) and _is_string(node.value)) or told.startswith(("_log", "__all__"))


class Bench:
    """A copy of the repository in which mutants are tried, and what is known of them."""

    def __init__(self, folder: Path, room: str, seconds: float) -> None:
        self.room, self.seconds = room, seconds
        self.state = folder / f"mutants-{room}.json"
        self.known: dict[str, str] = json.loads(self.state.read_text("utf-8")) if self.state.exists() else {}
        self.sound: dict[str, bool] = {}  # files whose tests pass where nothing is changed
        self.root, self.folder = Path.cwd(), (folder / "mutants").absolute()
        self.covered, self.timed = folder.absolute() / f"coverage-{room}", folder.absolute() / f"times-{room}.xml"

    @staticmethod
    def warm() -> None:
        """Load once for all mutants what they do not change: the libraries, pytest and its plugins."""
        with open(os.devnull, "w") as silence, redirect_stdout(silence):
            pytest.main(["--version", "--noconftest"])
        for name in ("numpy", "faiss", "hypothesis.stateful", "xxhash", "Stemmer", "stop_words"):
            import_module(name)
        assert "dpr_rag" not in sys.modules, "the copy would not be the one that is tested"

    def prepare(self) -> None:
        """Copy what tests need, and find out which of them runs which line, where that is not known yet."""
        for name in ("dpr_rag", "tests", "integrations", "examples", "docs", "benchmarks"):
            shutil.copytree(
                self.root / name, self.folder / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
            )
        for name in ("pyproject.toml", "README.md", "constraints.txt"):
            shutil.copyfile(self.root / name, self.folder / name)
        if self.covered.exists() and self.timed.exists():
            return
        files = sorted({str(one.relative_to(self.folder)) for test in TESTS[self.room] for one in self._tests(test)})
        say(f"{self.room}: {len(files)} files of tests, once under coverage")
        self._pytest(
            *files, f"--cov=dpr_rag.{self.room}", "--cov-context=test", "--cov-report=", f"--junit-xml={self.timed}"
        )
        if not self.timed.exists():
            raise RuntimeError(f"the tests do not run: {(self.folder / 'last run').read_text('utf-8')[-2000:]}")

    def _tests(self, pattern: str) -> list[Path]:
        return [one for one in (self.folder / "tests").glob(pattern) if one.name not in SLOW]

    def _pytest(self, *options: str, seconds: float = float("inf")) -> int:
        """How pytest ended in the copy; 1 where it took too long as well."""
        if not (pid := os.fork()):
            code = 1
            try:
                os.setsid()
                os.chdir(self.folder)
                os.environ |= {"PYTHONPATH": str(self.folder), "COVERAGE_FILE": str(self.covered)}
                sys.path[:] = [
                    str(self.folder),
                    *(one for one in sys.path if one and not one.startswith(str(self.root / "tests"))),
                ]
                sys.dont_write_bytecode = True
                silence = os.open(self.folder / "last run", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
                for descriptor in range(3):
                    os.dup2(silence, descriptor)
                code = int(pytest.main(["-q", "-p", "no:cacheprovider", "-W", LOADED, *options]))
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        until = time.monotonic() + seconds
        while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
            if time.monotonic() > until:
                os.killpg(pid, signal.SIGKILL)
            time.sleep(0.02)
        return os.waitstatus_to_exitcode(ended[1])

    def tests_by_line(self) -> dict[tuple[str, int], list[str]]:
        """Which tests run a line, quickest first."""
        times = {}
        for case in ElementTree.parse(self.timed).iter("testcase"):  # noqa: S314
            file = case.get("classname", "").replace(".", "/") + ".py"
            times[f"{file}::{case.get('name')}"] = float(case.get("time", 0))
        found: dict[tuple[str, int], set[str]] = defaultdict(set)
        with closing(sqlite3.connect(self.covered)) as connection:
            rows = connection.execute(
                "SELECT path, context, fromno, tono FROM arc JOIN file ON file.id = file_id "
                "JOIN context ON context.id = context_id"
            )
            for path, context, first, second in rows:
                test, _, _ = context.partition("|")
                if test in times:
                    relative = str(Path(path).relative_to(self.folder))
                    found[relative, abs(first)].add(test)
                    found[relative, abs(second)].add(test)
        for (file, _), named in list(found.items()):
            found[file, 0] |= named  # for what runs when a module is imported, before any test
        self.times = times
        return {line: sorted(tests, key=lambda one: times[one]) for line, tests in found.items()}

    def try_one(self, mutant: Mutant, tests: list[str]) -> str:
        """``killed``, or how it came through."""
        if not tests:
            return "not run by any test"
        chosen, total = [], 0.0
        for test in tests:
            total += self.times[test]
            if chosen and total > self.seconds:
                break
            chosen.append(test)
        place = self.folder / mutant.file
        whole = place.read_text("utf-8")
        if mutant.file not in self.sound:
            place.write_text(ast.unparse(ast.parse(whole)), "utf-8")
            self.sound[mutant.file] = not self._pytest("-x", *chosen, seconds=10 * self.seconds + 60)
            place.write_text(whole, "utf-8")
            if not self.sound[mutant.file]:
                raise RuntimeError(f"{mutant.file}: tests fail without a change; see {self.folder / 'last run'}")
        try:
            place.write_text(mutant.source(whole), "utf-8")
            ended = self._pytest("-x", *chosen, seconds=10 * self.seconds + 60)
        finally:
            place.write_text(whole, "utf-8")
        return "survived" if ended == 0 else "killed"

    def note(self, mutant: Mutant, outcome: str) -> None:
        """Remember it."""
        self.known[mutant.name] = outcome
        self.state.write_text(json.dumps(self.known, indent=1), "utf-8")


def main(arguments: list[str], folder: Path) -> int:
    """Try mutants that were not tried yet, drawn at random, and print the score of each file."""
    parser = argparse.ArgumentParser(prog="make prove PROVE='mutants …'", description=__doc__.splitlines()[0])
    parser.add_argument("--rooms", default=",".join(TESTS), help="of %(default)s")
    parser.add_argument("--trials", type=int, default=sys.maxsize, help="mutants of each room")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="for each room, at most")
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="of tests for a mutant, as they took under coverage"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the order")
    given = parser.parse_args(arguments)
    folder.mkdir(exist_ok=True)
    Bench.warm()
    for room in given.rooms.split(","):
        bench = Bench(folder, room, given.seconds)
        bench.prepare()
        until = time.monotonic() + 60 * given.minutes
        tests = bench.tests_by_line()
        every = [
            one
            for path in sorted((bench.folder / "dpr_rag" / room).glob("*.py"))
            for one in mutants_of(f"dpr_rag/{room}/{path.name}", path.read_text("utf-8"))
        ]
        waiting = [one for one in every if one.name not in bench.known]
        random.Random(given.seed).shuffle(waiting)
        for mutant in waiting[: given.trials]:
            if time.monotonic() > until:
                break
            at = (mutant.file, mutant.line)
            outcome = bench.try_one(mutant, tests.get(at, tests.get((mutant.file, 0), [])))
            bench.note(mutant, outcome)
            if outcome != "killed":
                say(f"{outcome}: {mutant.name}")
        _score(bench, every)
    return 0


def _score(bench: Bench, every: list[Mutant]) -> None:
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for mutant in every:
        counts[mutant.file][bench.known.get(mutant.name, "not tried")] += 1
    say(f"{bench.room} at {commit()}:")
    for file, found in counts.items():
        tried: int = sum(found.values()) - found["not tried"]
        told: dict[str, Any] = {name: count for name, count in found.items() if count and name != "not tried"}
        if tried:
            say(f"  {file}: {100 * found['killed'] / tried:.0f} % of {tried} of {sum(found.values())} killed {told}")
