"""Measure one stack from text to passages, and print one JSON line.

    python benchmarks/stack.py STACK PASSAGES QUESTIONS [--passages N] [--questions N] [--model DIR] [--k 20]

STACK is ours (``dpr-rag``, ``dpr-rag-langchain``, ``dpr-rag-llama-index``), or a rival's, run in an environment of its own
(``rivals.txt``): ``langchain``, ``llama-index`` and ``sentence-transformers`` as they are by default, in float32, and as an
expert would set them: ``langchain-bfloat16``, ``sentence-transformers-openvino`` and ``fastembed``. All of them take the same
weights, those of the default encoder unless ``--model`` names a transformers folder. Passages keep those that answer
the drawn questions, and fill up to N. Indexing counts from texts to an index on disk that answers, without loading the
model. Before each question stands a pause, as users make it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import resource
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

DEFAULT = Path(__file__).parent.parent / "dpr_rag" / "encoders" / "default"
LENGTH = 512
PAUSE_S = 0.01
Line = dict[str, Any]
Asked = tuple[float, Callable[[str], list[str]], Callable[[list[str]], list[list[str]]]]


def lines(path: str) -> list[Line]:
    """The objects of a gzipped JSONL file."""
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


def passages_of(found: list[Line]) -> list[Any]:
    """Passages of the core."""
    from dpr_rag import Passage

    return [Passage(id=one["id"], title=one["title"], text=one["text"]) for one in found]


def dpr_rag(found: list[Line], place: str, model: str | None, k: int) -> Asked:
    """The core."""
    from dpr_rag import PassageStore, Retriever

    encoder = encoder_of(model)
    start = time.perf_counter()
    store = PassageStore.open(Path(place) / "s.dpr", encoder=encoder)
    store.add(passages_of(found))
    retriever = Retriever(store, k=k)
    retriever.retrieve(found[0]["text"][:50])
    took = time.perf_counter() - start
    return (
        took,
        lambda one: [hit.passage.id for hit in retriever.retrieve(one)],
        lambda many: [[hit.passage.id for hit in hits] for hits in retriever.retrieve_batch(many)],
    )


def dpr_rag_langchain(found: list[Line], place: str, model: str | None, k: int) -> Asked:
    """Our LangChain adapter."""
    from langchain_core.documents import Document

    from langchain_dpr_rag import DPRVectorStore

    encoder = encoder_of(model)
    documents = [Document(id=one["id"], page_content=one["text"], metadata={"title": one["title"]}) for one in found]
    start = time.perf_counter()
    vector_store = DPRVectorStore(encoder, path=str(Path(place) / "s.dpr"))
    vector_store.add_documents(documents)
    retriever = vector_store.as_retriever(search_kwargs={"k": k})
    retriever.invoke(found[0]["text"][:50])
    took = time.perf_counter() - start
    return took, *_langchain_calls(retriever, lambda one: one.id)


def dpr_rag_llama_index(found: list[Line], place: str, model: str | None, k: int) -> Asked:
    """Our LlamaIndex adapter."""
    from llama_index.core.schema import TextNode
    from llama_index.retrievers.dpr_rag import DPRRetriever

    encoder = encoder_of(model)
    nodes = [TextNode(id_=one["id"], text=one["text"], metadata={"title": one["title"]}) for one in found]
    start = time.perf_counter()
    retriever = DPRRetriever.from_defaults(nodes, path=str(Path(place) / "s.dpr"), encoder=encoder, similarity_top_k=k)
    retriever.retrieve(found[0]["text"][:50])
    took = time.perf_counter() - start
    return took, *_llama_calls(retriever)


def whole(one: Line) -> str:
    """Title and text as the rivals take them: as one string."""
    return f"{one['title']} {one['text']}"


def langchain(found: list[Line], place: str, model: str | None, k: int, *, dtype: str = "float32") -> Asked:
    """LangChain's FAISS store with HuggingFaceEmbeddings."""
    from langchain_community.vectorstores import FAISS
    from langchain_core.documents import Document
    from langchain_huggingface import HuggingFaceEmbeddings

    embeddings = HuggingFaceEmbeddings(
        model_name=model,
        model_kwargs={"device": "cpu", "model_kwargs": {"dtype": dtype}},
        encode_kwargs={"normalize_embeddings": True},
    )
    embeddings._client.max_seq_length = LENGTH
    embeddings.embed_query("warm up")
    documents = [Document(whole(one), metadata={"id": one["id"]}) for one in found]
    start = time.perf_counter()
    store = FAISS.from_documents(documents, embeddings)
    store.save_local(place)
    took = time.perf_counter() - start
    retriever = store.as_retriever(search_kwargs={"k": k})
    return took, *_langchain_calls(retriever, lambda one: one.metadata["id"])


def llama_index(found: list[Line], place: str, model: str | None, k: int) -> Asked:
    """LlamaIndex's FAISS store with HuggingFaceEmbedding."""
    import faiss
    from llama_index.core import StorageContext, VectorStoreIndex
    from llama_index.core.schema import TextNode
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding
    from llama_index.vector_stores.faiss import FaissVectorStore

    embedding = HuggingFaceEmbedding(
        model, device="cpu", embed_batch_size=32, max_length=LENGTH, model_kwargs={"dtype": "float32"}
    )
    width = len(embedding.get_query_embedding("warm up"))
    nodes = [TextNode(text=whole(one), id_=one["id"]) for one in found]
    start = time.perf_counter()
    storage = StorageContext.from_defaults(vector_store=FaissVectorStore(faiss_index=faiss.IndexFlatIP(width)))
    index = VectorStoreIndex(nodes, storage_context=storage, embed_model=embedding)
    storage.persist(place)
    took = time.perf_counter() - start
    return took, *_llama_calls(index.as_retriever(similarity_top_k=k))


def sentence_transformers(found: list[Line], place: str, model: str | None, k: int, *, backend: str = "torch") -> Asked:
    """sentence-transformers with a flat FAISS index; with OpenVINO in the precision that this takes by itself."""
    from sentence_transformers import SentenceTransformer

    kwargs = {"dtype": "float32"} if backend == "torch" else {"export": True}
    encoder = SentenceTransformer(model, device="cpu", backend=backend, model_kwargs=kwargs)
    encoder.max_seq_length = LENGTH
    return _flat(found, place, k, lambda many: encoder.encode(many, batch_size=32, normalize_embeddings=True))


def fastembed(found: list[Line], place: str, model: str | None, k: int) -> Asked:
    """fastembed, which runs ONNX files, with a flat FAISS index."""
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    folder = _as_onnx(Path(str(model)), Path(place) / "onnx")
    mean, source = PoolingType.MEAN, ModelSource(hf="here")
    TextEmbedding.add_custom_model("here", pooling=mean, normalization=True, sources=source, dim=0, model_file="m.onnx")
    encoder = TextEmbedding("here", specific_model_path=str(folder))
    return _flat(found, place, k, lambda many: np.stack(list(encoder.embed(many, batch_size=32))))


def _as_onnx(model: Path, folder: Path) -> Path:
    """A transformers folder as an ONNX file beside its tokenizer."""
    import torch
    from transformers import AutoModel

    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": LENGTH}))
    names = ["input_ids", "attention_mask", "token_type_ids"]

    class Hidden(torch.nn.Module):  # type: ignore[misc]
        def forward(self, *given: Any) -> Any:
            return self.bert(**dict(zip(names, given, strict=True))).last_hidden_state

    given = tuple(torch.ones((2, 8), dtype=torch.int64) for _ in names)
    hidden = Hidden()
    hidden.bert = AutoModel.from_pretrained(model, dtype=torch.float32, attn_implementation="eager").eval()
    sizes = {"given": tuple({0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC} for _ in names)}
    path = str(folder / "m.onnx")
    torch.onnx.export(hidden, given, path, input_names=names, dynamic_shapes=sizes, dynamo=True, external_data=False)
    return folder


def _flat(found: list[Line], place: str, k: int, encode: Callable[[list[str]], Any]) -> Asked:
    import faiss

    encode(["warm up"])
    start = time.perf_counter()
    vectors = encode([whole(one) for one in found])
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    faiss.write_index(index, str(Path(place) / "index.faiss"))
    took = time.perf_counter() - start

    def ask(many: list[str]) -> list[list[str]]:
        rows = index.search(encode(many), k)[1]
        return [[found[at]["id"] for at in row] for row in rows]

    return took, lambda one: ask([one])[0], ask


def _langchain_calls(retriever: Any, name: Callable[[Any], str]) -> tuple[Any, Any]:
    return (
        lambda one: [name(document) for document in retriever.invoke(one)],
        lambda many: [[name(document) for document in found] for found in retriever.batch(many)],
    )


def _llama_calls(retriever: Any) -> tuple[Any, Any]:
    def ask(one: str) -> list[str]:
        return [node.node.node_id for node in retriever.retrieve(one)]

    return ask, lambda many: [ask(one) for one in many]


STACKS: dict[str, Callable[[list[Line], str, str | None, int], Asked]] = {
    "dpr-rag": dpr_rag,
    "dpr-rag-langchain": dpr_rag_langchain,
    "dpr-rag-llama-index": dpr_rag_llama_index,
    "langchain": langchain,
    "llama-index": llama_index,
    "sentence-transformers": sentence_transformers,
    "langchain-bfloat16": partial(langchain, dtype="bfloat16"),
    "sentence-transformers-openvino": partial(sentence_transformers, backend="openvino"),
    "fastembed": fastembed,
}


def main() -> None:
    """Index, ask, and print."""
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
    asked = random.Random(0).sample(lines(args.questions_file), args.questions)
    gold = {one for question in asked for one in question["positive_ids"]}
    found = sorted(lines(args.passages_file), key=lambda one: one["id"] not in gold)[: args.passages]
    model = args.model or (None if args.stack.startswith("dpr-rag") else str(DEFAULT / "question"))
    with tempfile.TemporaryDirectory() as place:
        took, ask, ask_all = STACKS[args.stack](found, place, model, args.k)
        for question in asked[:20]:
            ask(question["question"])
        waits, right = [], 0
        for question in asked:
            time.sleep(PAUSE_S)
            start = time.perf_counter()
            ids = ask(question["question"])
            waits.append(1000 * (time.perf_counter() - start))
            right += bool(set(ids) & set(question["positive_ids"]))
        batches = [[one["question"] for one in asked[at : at + 64]] for at in range(0, len(asked) - 63, 64)]
        start = time.perf_counter()
        for batch in batches:
            ask_all(batch)
        batched = (time.perf_counter() - start) / max(1, sum(map(len, batches)))
    p50, p99 = np.percentile(waits, [50, 99])
    figures = {
        "stack": args.stack,
        "passages_per_second": round(len(found) / took, 1),
        "p50_ms": round(float(p50), 3),
        "p99_ms": round(float(p99), 3),
        "batch_ms_a_question": round(1000 * batched, 3),
        f"top_{args.k}": round(100 * right / len(asked), 1),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
