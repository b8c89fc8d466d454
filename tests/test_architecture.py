"""Walks every module of dpr_rag by the house rules, and shows each rule catching a breach."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest
from documented import docstring_breaches
from house import (
    adapter_breaches,
    adapter_files,
    circles,
    edges_of,
    floor_breaches,
    forbidden_breaches,
    modules,
    third_party_breaches,
)

import dpr_rag

HEAVY = (
    "torch",
    "openvino",
    "transformers",
    "tokenizers",
    "safetensors",
    "faiss",
    "numpy",
    "sqlite3",
    "pyarrow",
    "typer",
    "rich",
)
MODULES = modules()
ADAPTER_FILES = adapter_files()


@pytest.mark.parametrize("module", MODULES)
def test_module_keeps_the_house_rules(module: str) -> None:
    path = MODULES[module]
    source = path.read_text("utf-8")
    found = floor_breaches(source, module, package=path.name == "__init__.py")
    assert [*found, *third_party_breaches(source, module), *forbidden_breaches(source, module)] == []


@pytest.mark.parametrize("module", MODULES)
def test_file_opens_with_a_docstring_and_is_short(module: str) -> None:
    source = MODULES[module].read_text("utf-8")
    assert ast.get_docstring(ast.parse(source)), f"{module} does not say what it owns"
    assert source.count("\n") <= 300


def test_docstrings_name_what_there_is() -> None:
    files = {**MODULES, **{name: path for name, (_, path) in ADAPTER_FILES.items()}}
    assert docstring_breaches({name: path.read_text("utf-8") for name, path in files.items()}) == []


@pytest.mark.parametrize(
    ("start", "section", "entries", "end", "missing"),
    [
        ("def f(a, *b, c=1, **d):", "Args", ["a, *b", "c", "**d"], "", []),
        ("def f(a):", "Args", ["b"], "", ["b"]),
        ("class A:", "Args", ["a (int)", "b"], "    def __init__(self, a): ...", ["b"]),
        ("class A:", "Attributes", ["a", "b"], "    b: int", ["a"]),
        ("class B:\n    def f(self):\n        self.a = 1\nclass A(B):", "Attributes", ["a"], "", []),
    ],
)
def test_checker_sees_names_of_before_a_rename(
    start: str, section: str, entries: list[str], end: str, missing: list[str]
) -> None:
    lines = [f"{section}:", *(f"    {entry}: What it is,\n            and: so on." for entry in entries)]
    docstring = '"""Is.\n\n' + "".join(f"    {line}\n" for line in lines) + '    """'
    found = docstring_breaches({"m": f"{start}\n    {docstring}\n{end}"})
    assert [one.split("'")[1] for one in found] == missing


def test_no_circles() -> None:
    sources = {name: (path.read_text("utf-8"), path.name == "__init__.py") for name, path in MODULES.items()}
    edges = edges_of({name: source for name, source in sources.items() if name != "dpr_rag"})
    assert "dpr_rag.errors" in edges["dpr_rag.passages"]
    assert circles(edges) == []


def test_import_is_light() -> None:
    code = f"import dpr_rag, sys; sys.stdout.write(','.join(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""


@pytest.mark.parametrize("name", dpr_rag.__all__)
def test_public_name_resolves(name: str) -> None:
    value = getattr(dpr_rag, name)
    assert getattr(value, "__name__", name) == name


@pytest.mark.parametrize(
    ("module", "source", "named"),
    [
        ("dpr_rag.storage", "import dpr_rag.store", "dpr_rag.store"),
        ("dpr_rag.storage", "from dpr_rag.store import PassageStore", "dpr_rag.store.PassageStore"),
        ("dpr_rag.storage", "from dpr_rag import PassageStore", "dpr_rag.PassageStore"),
        ("dpr_rag.storage", "from dpr_rag import store", "dpr_rag.store"),
        ("dpr_rag.storage", "from .store import PassageStore", "dpr_rag.store.PassageStore"),
        ("dpr_rag.storage", "import dpr_rag", "dpr_rag"),
        ("dpr_rag.storage", "from dpr_rag import *", "dpr_rag.*"),
        ("dpr_rag.storage", "import dpr_rag.encoders.dual", "dpr_rag.encoders.dual"),
        ("dpr_rag.index.flat", "from ..filters import Filter", "dpr_rag.filters.Filter"),
        ("dpr_rag.storage", "def f():\n    from dpr_rag.cli import main", "dpr_rag.cli.main"),
        ("dpr_rag.storage", "if TYPE_CHECKING:\n    import dpr_rag.retriever", "dpr_rag.retriever"),
        ("dpr_rag.storage", "import_module('dpr_rag.retriever')", "dpr_rag.retriever"),
        ("dpr_rag.storage", "import dpr_rag.attic", "dpr_rag.attic"),
        ("dpr_rag.passages", "from dpr_rag.encoder import Vectors", "dpr_rag.encoder.Vectors"),
    ],
)
def test_checker_sees_a_higher_floor(module: str, source: str, named: str) -> None:
    found = floor_breaches(source, module)
    assert len(found) == 1
    assert repr(named) in found[0]


def test_checker_sees_a_room_without_a_floor() -> None:
    assert floor_breaches("", "dpr_rag.attic.box") == [
        "dpr_rag.attic.box: the room 'attic' is in no floor of the house"
    ]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("dpr_rag.store", "from dpr_rag.storage import Storage\nfrom dpr_rag.passages import Passage"),
        ("dpr_rag.store.rows", "from .compaction import compact\nfrom dpr_rag.store import compaction"),
        ("dpr_rag.encoder", "from dpr_rag import Passage"),
        ("dpr_rag.index.kinds", "from dpr_rag.encoder import Vectors"),
        ("dpr_rag.cli", "from dpr_rag import PassageStore, __version__"),
        ("dpr_rag", "from dpr_rag.store import PassageStore"),
    ],
)
def test_checker_lets_lower_floors_pass(module: str, source: str) -> None:
    assert floor_breaches(source, module) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("dpr_rag.store", "import faiss"),
        ("dpr_rag.store", "import sqlite3"),
        ("dpr_rag.store", "from torch import nn"),
        ("dpr_rag.index.kinds", "def f():\n    import transformers.models"),
        ("dpr_rag.corpora.texts", "import tokenizers"),
        ("dpr_rag.storage", "from safetensors.numpy import save_file"),
        ("dpr_rag.encoders.dual", "import typer"),
        ("dpr_rag.encoders.dual", "if TYPE_CHECKING:\n    import rich.progress"),
        ("dpr_rag.store", "import_module('pyarrow')"),
        ("dpr_rag.store", "import requests"),
    ],
)
def test_checker_sees_a_library_outside_its_room(module: str, source: str) -> None:
    assert len(third_party_breaches(source, module)) == 1
    assert third_party_breaches("import numpy as np, json", module) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from marshal import loads",
        "import shelve",
        "import dill",
        "from joblib import load",
        "import_module('pickle')",
        "eval(text)",
        "run = exec",
        "builtins.eval(text)",
        "from builtins import exec",
        "compile(text, 'f', 'exec')",
        "torch.load(path)",
        "from torch import load",
        "AutoModel.from_pretrained(path, trust_remote_code=True)",
        "options = {'trust_remote_code': True}",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "reader(path, weights_only=False)",
        "print(text)",
        "import torch as t",
        "import torch.serialization as ts",
        "import pickle as p",
        "import builtins as b",
        "import importlib as i",
        "from importlib import import_module as im",
        "from importlib.util import find_spec as fs",
        "from torch import serialization",
        "from builtins import compile as c",
        "getattr(__builtins__, 'ev' + 'al')",
        "__builtins__['eval']",
        "getattr(builtins, name)",
        "getattr(torch, 'load')",
    ],
)
def test_checker_sees_a_forbidden_call(source: str) -> None:
    assert forbidden_breaches(source, "dpr_rag.store") != []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle as p",
        "getattr(pickle, name)",
        "pickle.load(file)",
        "pickle.Unpickler(file).dump",
        "from pickle import loads",
        "class Loose(pickle.Unpickler):\n    pass",
        "torch.load(path)",
    ],
)
def test_checker_holds_the_unpickler_to_its_exception(source: str) -> None:
    strict = "import pickle\nclass Reader(pickle.Unpickler):\n    def find_class(self, module, name): ..."
    assert forbidden_breaches(strict, "dpr_rag.legacy") == []
    assert forbidden_breaches(strict, "dpr_rag.store") != []
    assert (forbidden_breaches(source, "dpr_rag.legacy") == []) == (source == "pickle.Unpickler(file).dump")


def test_checker_leaves_harmless_names_alone() -> None:
    source = (
        "getattr(torch, dtype)\nimport numpy as np\nfrom importlib import import_module\nfrom torch import nn as n\n"
        "model.eval()\nre.compile(p)\nnp.load(f, allow_pickle=False)\nast.literal_eval(t)\nsafetensors.torch.load(b)"
    )
    assert forbidden_breaches(source, "dpr_rag.store") == []


def test_checker_sees_a_circle() -> None:
    sources = {
        "dpr_rag.index.a": ("from .b import f", False),
        "dpr_rag.index.b": ("def g():\n    from dpr_rag.index import c", False),
        "dpr_rag.index.c": ("from dpr_rag.index.a import h", False),
    }
    assert circles(edges_of(sources)) == ["dpr_rag.index.a -> dpr_rag.index.b -> dpr_rag.index.c -> dpr_rag.index.a"]


@pytest.mark.parametrize("name", ADAPTER_FILES)
def test_adapter_imports_public_names_only(name: str) -> None:
    adapter, path = ADAPTER_FILES[name]
    source = path.read_text("utf-8")
    assert [*adapter_breaches(source, adapter), *forbidden_breaches(source, adapter)] == []
    assert ast.get_docstring(ast.parse(source)), f"{name} does not say what it owns"
    assert source.count("\n") <= 300


@pytest.mark.parametrize(
    "source",
    [
        "from dpr_rag.store import PassageStore",
        "import faiss",
        "import dpr_rag.storage",
        "from dpr_rag.errors import _x",
    ],
)
def test_checker_sees_an_adapter_reaching_inside(source: str) -> None:
    assert len(adapter_breaches(source, "langchain_dpr_rag")) == 1
    assert (
        adapter_breaches("from dpr_rag import PassageStore\nimport langchain_core.documents", "langchain_dpr_rag") == []
    )
