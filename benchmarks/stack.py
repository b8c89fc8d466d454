"""Measure one stack from text to passages, and print one JSON line.

    python benchmarks/stack.py STACK PASSAGES QUESTIONS [--passages N] [--questions N] [--model DIR] [--k 20]

STACK is ours (``dpr-rag``, ``dpr-rag-langchain``, ``dpr-rag-llama-index``), or a rival's, run in an environment of its own
(``rivals.txt``): ``langchain``, ``llama-index`` and ``sentence-transformers`` as they are by default, in float32, and as an
expert would set them: ``langchain-bfloat16``, ``sentence-transformers-openvino`` and ``fastembed``, and the second of these
with ``chroma``, ``lancedb`` or ``qdrant`` on disk instead of FAISS. All take the same weights, those of the default encoder
unless ``--model`` names a transformers folder. The corpus holds the gold passages of the drawn questions, and others up to N.
Indexing counts from texts to an index on disk that answers, without loading the model. A pause precedes each question.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rivals import LENGTH, RIVALS, Asked, Line, langchain_calls, llama_calls

DEFAULT = Path(__file__).parent.parent / "dpr_rag" / "encoders" / "default"
PAUSE_S = 0.01


def lines(path: str) -> list[Line]:
    """The records of a gzipped JSONL file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def encoder_of(model: str | None) -> Any:
    """The encoder of our stacks."""
    from dpr_rag import DualEncoder
    from dpr_rag.encoders.profiles import PROFILES

    encoder = (
        DualEncoder.from_pretrained(model, profile=replace(PROFILES["minilm"], passage_length=LENGTH))
        if model
        else DualEncoder.default()
    )
    encoder.encode_questions(["warm up"])
    return encoder


def passages_of(records: list[Line]) -> list[Any]:
    """Records as passages of the core."""
    from dpr_rag import Passage

    return [Passage(id=row["id"], title=row["title"], text=row["text"]) for row in records]


def dpr_rag(corpus: list[Line], path: str, model: str | None, k: int) -> Asked:
    """Index and search with the core."""
    from dpr_rag import PassageStore, Retriever

    encoder = encoder_of(model)
    start = time.perf_counter()
    store = PassageStore.open(Path(path) / "s.dpr", encoder=encoder)
    store.add(passages_of(corpus))
    retriever = Retriever(store, k=k)
    retriever.retrieve(corpus[0]["text"][:50])
    seconds = time.perf_counter() - start
    return (
        seconds,
        lambda question: [hit.passage.id for hit in retriever.retrieve(question)],
        lambda questions: [[hit.passage.id for hit in hits] for hits in retriever.retrieve_batch(questions)],
    )


def dpr_rag_langchain(corpus: list[Line], path: str, model: str | None, k: int) -> Asked:
    """Index and search with our LangChain adapter."""
    from langchain_core.documents import Document

    from langchain_dpr_rag import DPRVectorStore

    encoder = encoder_of(model)
    documents = [Document(id=row["id"], page_content=row["text"], metadata={"title": row["title"]}) for row in corpus]
    start = time.perf_counter()
    vector_store = DPRVectorStore(encoder, path=str(Path(path) / "s.dpr"))
    vector_store.add_documents(documents)
    retriever = vector_store.as_retriever(search_kwargs={"k": k})
    retriever.invoke(corpus[0]["text"][:50])
    seconds = time.perf_counter() - start
    return seconds, *langchain_calls(retriever, lambda document: document.id)


def dpr_rag_llama_index(corpus: list[Line], path: str, model: str | None, k: int) -> Asked:
    """Index and search with our LlamaIndex adapter."""
    from llama_index.core.schema import TextNode
    from llama_index.retrievers.dpr_rag import DPRRetriever

    encoder = encoder_of(model)
    nodes = [TextNode(id_=row["id"], text=row["text"], metadata={"title": row["title"]}) for row in corpus]
    start = time.perf_counter()
    retriever = DPRRetriever.from_defaults(nodes, path=str(Path(path) / "s.dpr"), encoder=encoder, similarity_top_k=k)
    retriever.retrieve(corpus[0]["text"][:50])
    seconds = time.perf_counter() - start
    return seconds, *llama_calls(retriever)


STACKS: dict[str, Callable[[list[Line], str, str | None, int], Asked]] = {
    "dpr-rag": dpr_rag,
    "dpr-rag-langchain": dpr_rag_langchain,
    "dpr-rag-llama-index": dpr_rag_llama_index,
    **RIVALS,
}


def main() -> None:
    """Index, ask, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stack", choices=STACKS)
    parser.add_argument("passages_file")
    parser.add_argument("questions_file")
    parser.add_argument("--passages", type=int, default=2000)
    parser.add_argument("--questions", type=int, default=300, help="at least 64")
    parser.add_argument("--model")
    parser.add_argument("--k", type=int, default=20)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    questions = random.Random(0).sample(lines(args.questions_file), args.questions)
    gold = {passage_id for question in questions for passage_id in question["positive_ids"]}
    corpus = sorted(lines(args.passages_file), key=lambda row: row["id"] not in gold)[: args.passages]
    model = args.model or (None if args.stack.startswith("dpr-rag") else str(DEFAULT / "question"))
    with tempfile.TemporaryDirectory() as folder:
        seconds, ask, ask_all = STACKS[args.stack](corpus, folder, model, args.k)
        for question in questions[:20]:
            ask(question["question"])
        latencies, correct = [], 0
        for question in questions:
            time.sleep(PAUSE_S)
            start = time.perf_counter()
            ids = ask(question["question"])
            latencies.append(1000 * (time.perf_counter() - start))
            correct += bool(set(ids) & set(question["positive_ids"]))
        batches = [[row["question"] for row in questions[at : at + 64]] for at in range(0, len(questions) - 63, 64)]
        start = time.perf_counter()
        for batch in batches:
            ask_all(batch)
        batched = (time.perf_counter() - start) / max(1, sum(map(len, batches)))
    p50, p99 = np.percentile(latencies, [50, 99])
    figures = {
        "stack": args.stack,
        "passages_per_second": round(len(corpus) / seconds, 1),
        "p50_ms": round(float(p50), 3),
        "p99_ms": round(float(p99), 3),
        "batch_ms_a_question": round(1000 * batched, 3),
        f"top_{args.k}": round(100 * correct / len(questions), 1),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
