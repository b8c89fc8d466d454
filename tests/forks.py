"""A process that forks parents, each of which uses libraries, lets go of them and forks children that use them anew.

Run by test_forking.py: ``python forks.py FOLDER PARENTS CHILDREN``, names joined by commas. It prints a JSON object with
what became of every child of every parent: ``ok``, an error, or ``hangs``.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from conftest import HashEncoder, make_passages

from dpr_rag import DualEncoder, PassageStore

SECONDS = 40
THREADS = 2
"""What test_forking.py gives OpenMP, as there are no workers to lose on one core."""
COUNT = 700
TEXTS = [f"who wrote hamlet {'the king of denmark ' * (at % 9)}?" for at in range(80)]
QUESTIONS = [f"text number {at} title {at % 7}" for at in range(60)]
FORK = multiprocessing.get_context("fork")
FOLDER = Path(sys.argv[1] if len(sys.argv) > 1 else "")
KEPT: list[DualEncoder] = []


def prepare(folder: Path) -> None:
    """Make the stores that parents and children open, and write down what brute force finds in them."""
    encoder = HashEncoder()
    vectors = encoder.encode_passages(make_passages(COUNT))
    for index in ("flat", "hnsw"):
        with PassageStore.open(folder / index, encoder=encoder, index=index) as store:
            store.add(make_passages(COUNT))
            store.optimize()
    products = encoder.encode_questions(QUESTIONS).astype(np.float64) @ vectors.T.astype(np.float64)
    best = np.argsort(-products, axis=1, kind="stable")[:, :3]
    (folder / "best.json").write_text(json.dumps([[str(at) for at in line] for line in best]))


def expected() -> list[list[str]]:
    best: list[list[str]] = json.loads((FOLDER / "best.json").read_text())
    return best


def search(index: str, questions: list[str], where: dict[str, int] | None = None) -> None:
    encoder = HashEncoder()
    with PassageStore.open(FOLDER / index, encoder=encoder, read_only=True) as store:
        found = store.search(encoder.encode_questions(questions), 3, where)
    if where is None:
        assert [[hit.passage.id for hit in hits] for hits in found] == expected()[: len(questions)]
    else:
        assert all(hit.passage.metadata["half"] == 1 for hits in found for hit in hits)


def batch() -> None:
    search("flat", QUESTIONS)
    search("hnsw", QUESTIONS)


def optimize() -> None:
    """Build an index of every kind: graphs, clusters, and codes that are trained."""
    encoder = HashEncoder()
    with PassageStore.temporary(encoder=encoder) as store:
        store.add(make_passages(COUNT))
        for index in ("hnsw", "IVF16,Flat", "PQ4x4", "flat"):
            store.optimize(index)
            found = store.search(encoder.encode_questions(QUESTIONS), 3)
            assert index not in ("hnsw", "flat") or [hit.passage.id for hit in found[7]] == expected()[7]


def load(runtime: Any) -> DualEncoder:
    folder = FOLDER / "model"
    return DualEncoder.from_pretrained(folder, profile="contriever", runtime=runtime, dtype="float32", device="cpu")


def check(encoder: DualEncoder) -> None:
    """Encode one text and many: as PyTorch did in a process that forks nothing."""
    wanted = np.load(FOLDER / "vectors.npy")
    np.testing.assert_allclose(encoder.encode_questions(TEXTS[:1]), wanted[:1], atol=1e-5)
    np.testing.assert_allclose(encoder.encode_questions(TEXTS), wanted, atol=1e-5)


def encode_and_keep(runtime: str) -> None:
    KEPT.append(load(runtime))
    check(KEPT[0])


def encode_and_close(runtime: str) -> None:
    check(load(runtime))
    gc.collect()


def langchain() -> None:
    from langchain_dpr_rag import DPRRetriever

    with PassageStore.open(FOLDER / "hnsw", encoder=HashEncoder(), read_only=True) as store:
        found = DPRRetriever.from_store(store, k=3).batch(QUESTIONS)
    assert [[document.id for document in documents] for documents in found] == expected()


def llama_index() -> None:
    from llama_index.retrievers.dpr_rag import DPRRetriever

    with PassageStore.open(FOLDER / "hnsw", encoder=HashEncoder(), read_only=True) as store:
        found = DPRRetriever(store, similarity_top_k=3).retrieve(QUESTIONS[7])
    assert [one.node.node_id for one in found] == expected()[7]


def faiss_alone() -> None:
    """As an application uses FAISS beside dpr-rag."""
    import faiss

    rows = np.random.default_rng(0).standard_normal((5000, 16)).astype(np.float32)
    index = faiss.IndexFlatL2(16)
    index.add(rows)
    assert (index.search(rows[:200], 1)[1].ravel() == np.arange(200)).all()


def torch_alone() -> None:
    import torch

    square = torch.ones(400, 400)
    assert float((square @ square).relu().double().sum()) == 400**3


PARENTS: dict[str, Callable[[], None]] = {
    "nothing": lambda: None,
    "one question": lambda: search("hnsw", QUESTIONS[:1]),
    "batch flat": lambda: search("flat", QUESTIONS),
    "batch hnsw": lambda: search("hnsw", QUESTIONS),
    "filtered": lambda: search("hnsw", QUESTIONS, {"half": 1}),
    "optimize": optimize,
    "encode": lambda: encode_and_keep("openvino"),
    "encode and close": lambda: encode_and_close("openvino"),
    "encode with torch": lambda: encode_and_keep("torch"),
    "faiss alone": faiss_alone,
    "torch alone": torch_alone,
}
CHILDREN: dict[str, Callable[[], None]] = {
    "open and search": lambda: search("flat", QUESTIONS[:1]),
    "batch": batch,
    "optimize": optimize,
    "encode": lambda: encode_and_close("openvino"),
    "langchain": langchain,
    "llama-index": llama_index,
    "faiss alone": faiss_alone,
    "encode with torch": lambda: encode_and_close("torch"),
    "torch alone": torch_alone,
}


def forked(action: Callable[[], object], seconds: float = SECONDS) -> Any:
    """What a child returns; or its traceback, and how it ended where it did not end well."""
    ours, its = FORK.Pipe(duplex=False)

    def run() -> None:
        try:
            its.send(action())
        except BaseException:
            its.send(traceback.format_exc())
            raise

    child = FORK.Process(target=run)
    child.start()
    its.close()
    told: Any = "hangs"
    if ours.poll(seconds):
        try:
            told = ours.recv()
        except EOFError:
            told = "says nothing"
    child.join(0 if told == "hangs" else seconds)
    if child.exitcode == 0:
        return told
    child.kill()
    child.join()
    return told if told == "hangs" else f"{told}, and ends with {child.exitcode}"


def fates(parent: str, children: list[str]) -> dict[str, Any]:
    """What becomes of children, one after another, of a parent that has done something."""
    PARENTS[parent]()
    return {name: forked(CHILDREN[name]) or "ok" for name in children}


if __name__ == "__main__":
    import llama_index.retrievers.dpr_rag

    import langchain_dpr_rag  # noqa: F401  # once for all children

    assert not {"faiss", "openvino", "torch"} & sys.modules.keys(), "the parents would not be the first to use them"
    parents, children = (names.split(",") for names in sys.argv[2:])
    told = {name: forked(lambda name=name: fates(name, children), 10 * SECONDS) for name in parents}
    sys.stdout.write(json.dumps(told))
