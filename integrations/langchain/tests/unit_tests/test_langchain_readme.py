"""Runs the README's Python blocks, in order, and the blocks in the classes' docstrings."""

from __future__ import annotations

import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from documents import blocks, run
from langchain_core.documents import Document
from readers import save_plain_reader

import langchain_dpr_rag
from dpr_rag.filters import OPERATORS
from langchain_dpr_rag import DPREmbeddings, DPRRetriever, DPRVectorStore

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
EXAMPLE = re.compile(r"\.\. code-block:: python\n\n((?: {8}.*(?:\n|$)|\n)+)")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_readme_runs_and_a_second_run_adds_nothing(tmp_path: Path) -> None:
    pytest.importorskip("milvus_lite")
    save_plain_reader(tmp_path / "bert", tmp_path / "my-reader")
    assert len(blocks("python", README)) >= 6
    for _ in range(2):
        names: dict[str, Any] = run(README, "README.md")
        stores = [names[name].store for name in ("vector_store", "retriever")]
        assert [sorted(passage.id for passage in store) for store in stores] == [["emma", "iliad"], ["faust", "hamlet"]]
        for store in stores:
            store.close()


def tables() -> list[list[tuple[str, list[str]]]]:
    """Of the tables of other stores' words: what each row says of ours, and every line of code in that."""
    section = README.split("## Coming from")[1].split("\n## ")[0]
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE):
        cells = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
        found.append([(right, re.findall(r"`([^`]+)`", right)) for _, right in cells])
    return found


@pytest.mark.parametrize("at", [0, 1], ids=["FAISS", "Chroma"])
def test_each_row_about_other_stores_runs(
    foreign: Any, documents: list[Document], save: Any, tmp_path: Path, at: int
) -> None:
    folder = tmp_path / "saved"
    save(folder, documents, foreign.embed_documents([one.page_content for one in documents]))
    other = DPRVectorStore.from_texts(["an epic"], foreign)
    store = DPRVectorStore.from_documents(documents, foreign)
    names: dict[str, Any] = {
        "DPRVectorStore": DPRVectorStore,
        "embeddings": foreign,
        "documents": documents,
        "document": documents[0],
        "ids": [one.id for one in documents],
        "texts": ["a", "b"],
        "metadatas": [{"n": 1}, {"n": 2}],
        "pairs": [("a", foreign.embed_query("a"))],
        "question": "a tragedy by Shakespeare",
        "vector": foreign.embed_query("a tragedy"),
        "one": "hamlet",
        "folder": folder,
        "store": store,
        "other": other,
    }
    done = 0
    for right, lines in tables()[at]:
        assert lines or right.startswith("not needed")
        for line in lines:
            made = eval(line, names)  # noqa: S307
            done += 1
            assert not isinstance(made, list) or made, line
            if isinstance(made, DPRVectorStore):
                made.close()
            if "filter=" in line and "search" in line:
                assert [one.id for one in made] == ["hamlet"] if "1601" in line else made
    assert done >= 15
    assert len(store.store) == (0 if at else 5)  # 4, with one pair and another store's, without the last row's


def test_readme_names_what_there_is() -> None:
    named = set(re.findall(r"\$([a-z_]+)", README.split("Operators:")[1].split("A callable")[0]))
    assert named == {*OPERATORS, "and", "or", "not"}
    assert set(re.findall(r"`(dpr_[a-z]+)` \|", README)) == {
        langchain_dpr_rag.SCORE_KEY,
        langchain_dpr_rag.RANK_KEY,
        langchain_dpr_rag.RELEVANCE_KEY,
        langchain_dpr_rag.RETRIEVED_KEY,
        langchain_dpr_rag.ANSWER_KEY,
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
