"""What the adapters import and say: public names alone, an install line where LlamaIndex is missing, docstrings that run."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import llama_index.vector_stores.dpr_rag
import pytest
from llama_index.embeddings.dpr_rag import DPREmbedding
from llama_index.postprocessor.dpr_rag import DPRReranker
from llama_index.retrievers.dpr_rag import DPRRetriever
from llama_index.vector_stores.dpr_rag import DPRVectorStore

import dpr_rag

PUBLIC_MODULES = {
    f"dpr_rag.{name}" for name in ("arguments", "corpora", "encoder", "errors", "fillable", "filters", "stores")
}
ROOT = Path(llama_index.vector_stores.dpr_rag.__file__).parents[2]
FILES = sorted(ROOT.rglob("*.py"))
KINDS = ("embeddings", "postprocessor", "retrievers", "vector_stores")
SECTIONS = [
    "Setup",
    "Key arguments",
    "Instantiate",
    "Add",
    "Delete",
    "Search",
    "Filter",
    "Score",
    "Async",
    "As retriever",
    "In a query engine",
    "Raises",
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(path.parts[-3:]))
def test_file_imports_public_names_and_says_what_it_owns(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree)
    assert len(path.read_text("utf-8").splitlines()) <= 300
    for found in ast.walk(tree):
        if isinstance(found, ast.ImportFrom) and (found.module or "").split(".")[0] == "dpr_rag":
            names = [alias.name for alias in found.names]
            assert found.module in PUBLIC_MODULES or (found.module == "dpr_rag" and set(names) <= set(dpr_rag.__all__))
        elif isinstance(found, ast.Import):
            assert not [
                alias.name for alias in found.names if alias.name.split(".")[0] in ("dpr_rag", "pickle", "faiss")
            ]


@pytest.mark.parametrize("kind", KINDS)
def test_missing_extra_names_the_install_line(kind: str) -> None:
    code = f"""
        import sys
        sys.modules["llama_index.core"] = None
        try:
            import llama_index.{kind}.dpr_rag
        except ImportError as error:
            sys.stdout.write(f"{{type(error).__name__}}: {{error}}")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("MissingExtraError: llama-index-core is not installed")
    assert "pip install -c constraints.txt '.[llama-index]'" in done.stdout


@pytest.mark.parametrize("cls", [DPREmbedding, DPRReranker, DPRVectorStore, DPRRetriever])
def test_class_docstring_tells_everything_in_order(cls: type) -> None:
    text = inspect.getdoc(cls)
    found = re.findall(r"^([A-Z][A-Za-z ]+):$", text or "", re.MULTILINE)
    assert found == [section for section in SECTIONS if section in found]
    assert {"Setup", "Key arguments", "Instantiate", "Score", "Async", "Raises"} <= set(found)
    assert {"Add", "Search"} <= set(found) or cls is DPRReranker
    if cls not in (DPREmbedding, DPRReranker):
        assert found == SECTIONS
    for block in re.findall(r"\.\. code-block:: python\n\n((?: {4,}.*\n|\n)+)", f"{text}\n"):
        compile(textwrap.dedent(block), cls.__name__, "exec")


@pytest.mark.parametrize("cls", [DPREmbedding, DPRReranker, DPRVectorStore, DPRRetriever])
def test_every_argument_is_documented(cls: type) -> None:
    text = (inspect.getdoc(cls) or "").split("Key arguments:")[1].split("Instantiate:")[0]
    # what it knows no name for is refused with the right one
    known = [one for one in inspect.signature(cls.__init__).parameters.values() if one.kind is not one.VAR_KEYWORD]
    names = [one.name for one in known if one.name != "self"]
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []


def test_public_methods_have_docstrings() -> None:
    for cls in (DPREmbedding, DPRReranker, DPRVectorStore, DPRRetriever):
        own = [value for name, value in vars(cls).items() if inspect.isfunction(value) and not name.startswith("_")]
        assert [value.__name__ for value in own if not value.__doc__] == []
