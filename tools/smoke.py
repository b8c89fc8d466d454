"""Tests an installed dpr-rag outside of a checkout; run by the Python that it was installed for.

python -P smoke.py
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import sysconfig
from pathlib import Path

PLAYS = """id\ttext\ttitle
hamlet\tHamlet is a tragedy written by William Shakespeare.\tHamlet
faust\tFaust is a tragic play written by Goethe.\tFaust
"""
QUESTION = "Who wrote Hamlet?"


def command(*arguments: str) -> str:
    """The output of the command that was installed."""
    program = Path(sys.executable).with_name("dpr-rag")
    process = subprocess.run([program, *arguments], check=True, capture_output=True, text=True)
    return process.stdout


def main() -> None:
    """Index and search by the command, then ask the same store by both adapters."""
    Path("plays.tsv").write_text(PLAYS, "utf-8")
    command("index", "plays.tsv", "--store", "plays.dpr")
    assert "Hamlet" in command("search", "plays.dpr", QUESTION, "--k", "1")

    from llama_index.embeddings.dpr_rag import DPREmbedding
    from llama_index.postprocessor.dpr_rag import DPRReranker
    from llama_index.retrievers.dpr_rag import DPRRetriever
    from llama_index.vector_stores.dpr_rag import DPRVectorStore

    import dpr_rag
    import langchain_dpr_rag

    installed = Path(sysconfig.get_path("purelib"))
    for module in (dpr_rag, langchain_dpr_rag, *(sys.modules[cls.__module__] for cls in (DPREmbedding, DPRReranker))):
        assert Path(module.__file__).is_relative_to(installed), module
    with langchain_dpr_rag.DPRRetriever.from_store("plays.dpr", k=1) as retriever:
        assert [document.id for document in retriever.invoke(QUESTION)] == ["hamlet"]
    with DPRRetriever("plays.dpr", similarity_top_k=1) as retriever:
        assert [node.node.node_id for node in retriever.retrieve(QUESTION)] == ["hamlet"]
    with DPRVectorStore("plays.dpr", encoder=DPREmbedding()) as store:
        assert len(store.get_nodes(["faust"])) == 1
    assert importlib.util.find_spec("torch") is None, "the base install and the adapters need no PyTorch"
    sys.stdout.write(f"dpr-rag {dpr_rag.__version__} works outside of the checkout\n")


if __name__ == "__main__":
    main()
