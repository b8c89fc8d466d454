"""Runs the Python blocks of the adapter's README in order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from documents import blocks, run
from llama_index import core
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores import types
from llama_index.embeddings.dpr_rag import DPREmbedding
from llama_index.retrievers.dpr_rag import DPRRetriever
from llama_index.vector_stores.dpr_rag import DPRVectorStore
from readers import save_plain_reader

from dpr_rag import PassageStore

README = Path(__file__).parents[2] / "README.md"
TEXT = README.read_text("utf-8")


def test_python_blocks_run_and_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("milvus_lite")
    monkeypatch.chdir(tmp_path)
    save_plain_reader(tmp_path / "bert", tmp_path / "my-reader")
    sizes = []
    for _ in range(2):
        run(TEXT, "README.md")
        (printed,) = capsys.readouterr().out.splitlines()
        assert re.fullmatch(r"0\.\d\d Faust", printed)
        with PassageStore.open("plays.dpr") as plays, PassageStore.open("moved.dpr") as moved:
            sizes.append((len(plays), len(moved)))
    assert sizes == [(3, 2)] * 2


def rows() -> list[tuple[str, list[str]]]:
    """Of the table of other stores' words: what it says of ours, and every line of code in that."""
    table = README.read_text("utf-8").split("## Coming from")[1].split("\n## ")[0]
    cells = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    return [(right, re.findall(r"`([^`]+[)\]a-z])`", right)) for _, right in cells]


def test_each_row_about_other_stores_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedding: DPREmbedding
) -> None:
    monkeypatch.chdir(tmp_path)
    source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id="d")}
    nodes = [
        TextNode(id_=str(at), text=f"play {at}", metadata={"year": 1600 + at}, relationships=source) for at in range(5)
    ]
    store = DPRVectorStore(encoder=embedding)
    names = {**vars(core), **vars(types), "DPRVectorStore": DPRVectorStore, "DPRRetriever": DPRRetriever}
    names |= {"store": store, "embedding": embedding, "nodes": nodes, "one": "1", "document": "d", "vector": [1.0] * 64}
    names["index"] = core.VectorStoreIndex(nodes, storage_context=store.storage_context(), embed_model=embedding)
    names["filters"] = types.MetadataFilters(filters=[types.MetadataFilter(key="year", value=1601)])
    core.VectorStoreIndex(embedding(nodes), embed_model=embedding).storage_context.persist("storage")
    done = 0
    for right, lines in rows():
        assert lines or right.startswith("not needed")
        for line in lines:
            if line == "close":
                continue
            made = eval(line, names)  # noqa: S307
            done += 1
            if isinstance(made, DPRVectorStore):
                made.close()
    assert done >= 20
    assert len(store.client) == 0  # the last row


def test_skipped_blocks_compile_and_are_few() -> None:
    (body,) = blocks("python", TEXT, skipped=True)
    compile(body, "README.md", "exec")


def test_sections_are_those_of_the_docstrings() -> None:
    found = re.findall(r"^## (.+)$", README.read_text("utf-8"), re.MULTILINE)
    assert found == [
        *("Setup", "Instantiate", "Add", "Delete", "Search", "Filter", "Score", "Async"),
        *("As retriever, in a query engine, in a chat engine", "Moving in"),
        *("Coming from SimpleVectorStore, FAISS or Chroma", "Limits"),
    ]


def test_examples_cut_texts_to_what_the_encoder_reads() -> None:
    """Tokens of LlamaIndex's splitters are about as long as an encoder's, and its default is twice what that reads."""
    cuts = re.findall(r"SentenceSplitter\(([^)]*)\)", README.read_text("utf-8"))
    assert cuts
    for arguments in cuts:
        found = re.match(r"chunk_size=(\d+)", arguments)
        assert found, f"SentenceSplitter({arguments}) leaves the size to its default"
        assert int(found[1]) * 1.25 <= 256
