"""What a collection says of itself and of what it does: its index, how it was filled, and nothing of its libraries."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import HashEncoder

pytest.importorskip("milvus_lite")

from dpr_rag import MilvusStore, Passage


def test_a_file_says_which_index_it_has_and_which_was_asked_for(tmp_path: Path) -> None:
    address = f"milvus+lite:{tmp_path / 'engine.db'}"
    given = [Passage(f"p{at}", f"word{at % 9} text{at}") for at in range(400)]
    for index, told in (("hnsw:links=8", "HNSW"), ("ivf-sq8", "IVF_SQ8"), ("flat", ""), ("auto", "")):
        kind = f"flat (exact); asked for {told}" if told else "FLAT"
        name = f"{address}#{index.partition(':')[0].replace('-', '_')}"
        with MilvusStore.open(name, encoder=HashEncoder(), index=index) as store:
            store.add(given)
            assert (store.info().kind, store.info().parameters) == (kind, {})
            store._collection.flush()
        with MilvusStore.open(
            name, encoder=HashEncoder()
        ) as store:  # milvus-lite builds what it was asked for on opening
            assert store.info().kind == kind
            questions = store.encode_questions(["word3 text30", "word8"])
            exact = np.sort(questions @ HashEncoder().encode_passages(given).T, axis=1)[:, ::-1][:, :10]
            found = [[hit.score for hit in hits] for hits in store.search(questions, 10)]
            np.testing.assert_allclose(found, exact, rtol=1e-6)


_LOUD = """
import logging, os, sys
from dpr_rag import MilvusStore, Passage
from dpr_rag.errors import DprRagError

def refused(ask):
    try:
        ask()
    except DprRagError as error:
        print(type(error).__name__)

logging.basicConfig(format="]: %(name)s (")
store = MilvusStore.open(sys.argv[1])
store.add([Passage(f"p{at}", "text") for at in range(600)], vectors=[[1.0, 2.0]] * 600)
print(len(list(store)))
child = os.fork()
if not child:
    os._exit(0)
os.waitpid(child, 0)
refused(lambda: store._collection.nearest([[1.0, 2.0, 3.0]], 5, "row >= 0", words=False))
refused(lambda: store._collection.count("nonsense >>"))
refused(lambda: MilvusStore.open("milvus://127.0.0.1:1/x"))
store.close()
print(len(logging.getLogger().handlers), os.environ.get("GRPC_VERBOSITY"))
sys.stdout.flush()
logging.getLogger("pymilvus.decorators").error("what the program itself asked")
logging.getLogger("milvus_lite.adapter.grpc.servicer").error("what it asks milvus-lite")
logging.getLogger("grpc._server").error("what it serves")
"""


def test_nothing_of_the_libraries_reaches_the_terminal(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _LOUD, f"milvus+lite:{tmp_path / 'engine.db'}"]
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.stdout.split("\n")[:-1] == [
        "600",
        "ServiceError",
        "ServiceError",
        "ServiceUnavailableError",
        "1 None",
    ]
    assert [line.partition("]: ")[2].partition(" (")[0] for line in done.stderr.splitlines()] == [
        "what the program itself asked",
        "milvus_lite.adapter.grpc.servicer",
        "grpc._server",
    ]
