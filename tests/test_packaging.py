"""What is released: every library that the code imports is declared where it is used, and the pieces make up the whole."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from house import adapter_files, imports_of, modules, room_of

import dpr_rag

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
# Beside the base install, what a room may import comes with one of these.
OF_ROOM = {
    "agents": ("mcp",),
    "corpora": ("files", "parquet"),
    "encoders": ("torch", "sentence-transformers"),
    "evaluation": ("evaluation",),
    "legacy": ("torch",),
    "milvus": ("milvus",),
    "pages": ("chat",),
    "remote": ("client",),
    "scaling": ("ray",),
    "service": ("service",),
    "training": ("torch", "teachers"),
    "langchain_dpr_rag": ("langchain",),
    "llama_index": ("llama-index",),
}
# Where a library is not imported by the name of its distribution.
DISTRIBUTIONS = {
    "Stemmer": "pystemmer",
    "faiss": "faiss-cpu",
    "grpc": "grpcio",
    "llama_index": "llama-index-core",
    "markdown_it": "markdown-it-py",
}
OWN = {"dpr_rag", "langchain_dpr_rag"}


def canonical(requirement: str) -> str:
    """The name in a requirement, as indexes compare names."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~;! ]", requirement, maxsplit=1)[0]).lower()


def brought(extra: str) -> set[str]:
    """The distributions that an extra names, those of the extras in it included."""
    found: set[str] = set()
    for one in EXTRAS[extra]:
        if inner := re.fullmatch(r"dpr-rag\[(.+)\]", one):
            found |= {name for part in inner[1].split(",") for name in brought(part)}
        else:
            found.add(canonical(one))
    return found


def undeclared(source: str, module: str, room: str) -> list[str]:
    """Imports of a module that neither the base install nor an extra of its room brings by name."""
    known = {canonical(one) for one in PROJECT["dependencies"]}
    known = known.union(*(brought(extra) for extra in OF_ROOM.get(room, ())))
    found = []
    for line, name in imports_of(ast.parse(source), module):
        top = name.split(".")[0]
        if top not in sys.stdlib_module_names and top not in OWN:
            distribution = DISTRIBUTIONS.get(top, canonical(top))
            if distribution not in known:
                found.append(f"{module}:{line}: imports {top}, which {room!r} declares nowhere")
    return found


def sources() -> Iterator[tuple[str, str, Path]]:
    yield from ((module, room_of(module), path) for module, path in modules().items())
    yield from ((f"{adapter}.x.x", adapter, path) for adapter, path in adapter_files().values())


def test_every_library_is_declared_where_it_is_imported() -> None:
    found = [one for module, room, path in sources() for one in undeclared(path.read_text("utf-8"), module, room)]
    assert found == []


@pytest.mark.parametrize(
    ("source", "room"),
    [("import requests", "store"), ("import torch", "store"), ("def f():\n    import gradio", "service")],
)
def test_an_undeclared_library_is_seen(source: str, room: str) -> None:
    assert len(undeclared(source, f"dpr_rag.{room}.x", room)) == 1


def test_every_extra_serves_a_room_or_people() -> None:
    for_people = {"dev", "examples"}
    assert set(EXTRAS) - {extra for extras in OF_ROOM.values() for extra in extras} == for_people
    assert [extra for extra in EXTRAS if extra not in for_people and "torch" in brought(extra)] == [
        "torch",
        "sentence-transformers",
        "teachers",
    ]


def test_the_version_is_one_and_the_changelog_has_it() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    sections = re.findall(r"^## \[(.+?)\](?: - (\S+))?", changelog, re.MULTILINE)
    assert sections[0] == ("Unreleased", "")
    number, date = sections[1]
    assert dpr_rag.__version__.startswith(number)
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", date)
    assert f"\ndate-released: {date}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
    headings = set(re.findall(r"^### (.+)$", changelog, re.MULTILINE))
    assert headings <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


_spec = importlib.util.spec_from_file_location("split", ROOT / "tools" / "split.py")
assert _spec is not None
assert _spec.loader is not None
split = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(split)


def test_the_pieces_ship_every_import_root_once() -> None:
    pieces = {piece.name: piece for piece in split.pieces()}
    assert {name: piece.package for name, piece in pieces.items()} == {
        "dpr-rag": "dpr_rag",
        "langchain-dpr-rag": "langchain_dpr_rag",
        "llama-index-embeddings-dpr-rag": "llama_index/embeddings/dpr_rag",
        "llama-index-postprocessor-dpr-rag": "llama_index/postprocessor/dpr_rag",
        "llama-index-retrievers-dpr-rag": "llama_index/retrievers/dpr_rag",
        "llama-index-vector-stores-dpr-rag": "llama_index/vector_stores/dpr_rag",
    }
    here = {path.relative_to(ROOT).as_posix() for _, path in adapter_files().values()}
    shipped = {p.relative_to(ROOT).as_posix() for one in pieces.values() for p in one.source.rglob("*.py")}
    assert here <= shipped


def test_a_piece_names_what_it_needs() -> None:
    written: Mapping[str, Any] = {
        piece.name: tomllib.loads(split.pyproject_of(piece))["project"] for piece in split.pieces()
    }
    number = dpr_rag.__version__
    assert {one["version"] for one in written.values()} == {number}
    needs = {name: {canonical(one) for one in table["dependencies"]} for name, table in written.items()}
    assert needs["llama-index-retrievers-dpr-rag"] == {
        "dpr-rag",
        "llama-index-core",
        "llama-index-embeddings-dpr-rag",
        "llama-index-vector-stores-dpr-rag",
    }
    assert needs["llama-index-embeddings-dpr-rag"] == {"dpr-rag", "llama-index-core"}
    assert needs["langchain-dpr-rag"] == {"dpr-rag", "langchain-core", "pydantic"}
    core = written["dpr-rag"]
    assert core["optional-dependencies"]["langchain"] == [f"langchain-dpr-rag~={number}"]
    assert set(core["optional-dependencies"]) == set(EXTRAS)
    assert core["scripts"] == PROJECT["scripts"]


def test_pieces_that_differ_from_the_whole_are_told(tmp_path: Path) -> None:
    def wheel(name: str, **files: str) -> Path:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for file, text in files.items():
                archive.writestr(f"{file}.py", text)
            archive.writestr(f"{name}.dist-info/METADATA", name)
        return tmp_path / name

    whole, a, b = wheel("whole", a="1", b="2"), wheel("a", a="1"), wheel("b", b="2")
    assert split.problems(whole, [a, b]) == []
    assert split.problems(whole, [a]) == ["b.py is in no wheel, or in another form"]
    assert split.problems(whole, [a, b, a]) == ["a.py is in two wheels"]
    assert split.problems(whole, [a, wheel("changed", b="3")]) == ["b.py is in no wheel, or in another form"]
    assert split.problems(whole, [a, b, wheel("c", c="4")]) == ["c.py is in the pieces alone"]


def test_the_quick_tests_are_there_and_load_no_models() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8").replace("\\\n", " ")
    names = re.search(r"^QUICK := (.+)$", makefile, re.MULTILINE)
    assert names is not None
    found = {name: sorted((ROOT / "tests").glob(f"test_{name}.py")) for name in names[1].split()}
    assert [name for name, paths in found.items() if not paths] == []
    slow = {
        "browser",
        "engines",
        "gradio",
        "learning",
        "pymilvus",
        "ray",
        "readers",
        "tiny_models",
        "torch",
        "transformers",
    }
    for path in sorted({path for paths in found.values() for path in paths}):
        assert {
            one.name.split(".")[0] for one in imports_of(ast.parse(path.read_text("utf-8")), path.stem)
        } & slow == set()


def test_the_makefile_counts_its_verbs() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    verbs = re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE)
    assert makefile.startswith("# Everything this repository can do, by twelve verbs;")
    assert len(verbs) == 12
    assert set(verbs) <= set(re.findall(r"[a-z]+", makefile.split(".PHONY:")[1].splitlines()[0]))
