"""The rival stacks of ``stack.py``: each indexes passages in a folder, and returns its seconds and functions that search."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

LENGTH = 512
Line = dict[str, Any]
Search = Callable[[Any], list[list[str]]]
Asked = tuple[float, Callable[[str], list[str]], Callable[[list[str]], list[list[str]]]]


def langchain_calls(retriever: Any, name: Callable[[Any], str]) -> tuple[Any, Any]:
    """Functions from one question, and from several, to the ids of the hits of a LangChain retriever."""
    return (
        lambda question: [name(document) for document in retriever.invoke(question)],
        lambda questions: [[name(document) for document in documents] for documents in retriever.batch(questions)],
    )


def llama_calls(retriever: Any) -> tuple[Any, Any]:
    """Functions from one question, and from several, to the ids of the hits of a LlamaIndex retriever."""

    def ask(question: str) -> list[str]:
        return [node.node.node_id for node in retriever.retrieve(question)]

    return ask, lambda questions: [ask(question) for question in questions]


def whole(row: Line) -> str:
    """Title and text in one string, as the rivals take them."""
    return f"{row['title']} {row['text']}"


def langchain(corpus: list[Line], path: str, model: str | None, k: int, *, dtype: str = "float32") -> Asked:
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
    documents = [Document(whole(row), metadata={"id": row["id"]}) for row in corpus]
    start = time.perf_counter()
    store = FAISS.from_documents(documents, embeddings)
    store.save_local(path)
    seconds = time.perf_counter() - start
    retriever = store.as_retriever(search_kwargs={"k": k})
    return seconds, *langchain_calls(retriever, lambda document: document.metadata["id"])


def llama_index(corpus: list[Line], path: str, model: str | None, k: int) -> Asked:
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
    nodes = [TextNode(text=whole(row), id_=row["id"]) for row in corpus]
    start = time.perf_counter()
    storage = StorageContext.from_defaults(vector_store=FaissVectorStore(faiss_index=faiss.IndexFlatIP(width)))
    index = VectorStoreIndex(nodes, storage_context=storage, embed_model=embedding)
    storage.persist(path)
    seconds = time.perf_counter() - start
    return seconds, *llama_calls(index.as_retriever(similarity_top_k=k))


def sentence_transformers(corpus: list[Line], path: str, model: str | None, k: int, *, backend: str = "torch") -> Asked:
    """sentence-transformers with a flat FAISS index; with OpenVINO in its default precision."""
    return _flat_stack(corpus, path, k, _sentence_transformer(model, backend))


def _sentence_transformer(model: str | None, backend: str) -> Callable[[list[str]], Any]:
    from sentence_transformers import SentenceTransformer

    kwargs = {"dtype": "float32"} if backend == "torch" else {"export": True}
    encoder = SentenceTransformer(model, device="cpu", backend=backend, model_kwargs=kwargs)
    encoder.max_seq_length = LENGTH
    return lambda texts: encoder.encode(texts, batch_size=32, normalize_embeddings=True)


def chroma(corpus: list[Line], path: str, model: str | None, k: int) -> Asked:
    """Chroma on disk, with vectors of sentence-transformers and OpenVINO."""
    import chromadb

    settings = chromadb.Settings(anonymized_telemetry=False)

    def fill(vectors: Any) -> Search:
        collection = chromadb.PersistentClient(path, settings).create_collection(
            "passages", metadata={"hnsw:space": "ip"}
        )
        collection.add([row["id"] for row in corpus], vectors, documents=[whole(row) for row in corpus])
        return lambda queries: collection.query(queries, n_results=k)["ids"]

    return _database_stack(corpus, model, fill)


def lancedb(corpus: list[Line], path: str, model: str | None, k: int) -> Asked:
    """LanceDB on disk, exact as it is without an index, with vectors of sentence-transformers and OpenVINO."""
    import lancedb

    def fill(vectors: Any) -> Search:
        rows = [
            {"id": row["id"], "text": whole(row), "vector": vector} for row, vector in zip(corpus, vectors, strict=True)
        ]
        table = lancedb.connect(path).create_table("passages", rows)
        return lambda queries: [
            [hit["id"] for hit in table.search(row).metric("dot").limit(k).to_list()] for row in queries
        ]

    return _database_stack(corpus, model, fill)


def qdrant(corpus: list[Line], path: str, model: str | None, k: int) -> Asked:
    """Qdrant's local mode on disk, with vectors of sentence-transformers and OpenVINO."""
    from qdrant_client import QdrantClient, models

    def fill(vectors: Any) -> Search:
        client = QdrantClient(path=path)
        sizes = models.VectorParams(size=vectors.shape[1], distance=models.Distance.DOT)
        client.create_collection("passages", vectors_config=sizes)
        payload = [{"id": row["id"], "text": whole(row)} for row in corpus]
        client.upload_collection("passages", vectors, payload)

        def search(queries: Any) -> list[list[str]]:
            requests = [models.QueryRequest(query=row.tolist(), limit=k, with_payload=True) for row in queries]
            return [
                [hit.payload["id"] for hit in hits.points] for hits in client.query_batch_points("passages", requests)
            ]

        return search

    return _database_stack(corpus, model, fill)


def _database_stack(corpus: list[Line], model: str | None, fill: Callable[[Any], Search]) -> Asked:
    return _vector_stack(corpus, _sentence_transformer(model, "openvino"), fill)


def _vector_stack(corpus: list[Line], encode: Callable[[list[str]], Any], fill: Callable[[Any], Search]) -> Asked:
    """A stack that takes vectors: *fill* indexes those of the passages, and returns a search by those of questions."""
    encode(["warm up"])
    start = time.perf_counter()
    search = fill(encode([whole(row) for row in corpus]))
    seconds = time.perf_counter() - start
    return seconds, lambda question: search(encode([question]))[0], lambda questions: search(encode(questions))


def fastembed(corpus: list[Line], path: str, model: str | None, k: int) -> Asked:
    """fastembed, which runs ONNX files, with a flat FAISS index."""
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    folder = _as_onnx(Path(str(model)), Path(path) / "onnx")
    mean, source = PoolingType.MEAN, ModelSource(hf="here")
    TextEmbedding.add_custom_model("here", pooling=mean, normalization=True, sources=source, dim=0, model_file="m.onnx")
    encoder = TextEmbedding("here", specific_model_path=str(folder))
    return _flat_stack(corpus, path, k, lambda texts: np.stack(list(encoder.embed(texts, batch_size=32))))


def _as_onnx(model: Path, folder: Path) -> Path:
    """A transformers folder as an ONNX file beside its tokenizer."""
    import torch
    from transformers import AutoModel

    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": LENGTH}))
    names = ["input_ids", "attention_mask", "token_type_ids"]

    class Hidden(torch.nn.Module):  # type: ignore[misc]
        def forward(self, *inputs: Any) -> Any:
            return self.bert(**dict(zip(names, inputs, strict=True))).last_hidden_state

    inputs = tuple(torch.ones((2, 8), dtype=torch.int64) for _ in names)
    hidden = Hidden()
    hidden.bert = AutoModel.from_pretrained(model, dtype=torch.float32, attn_implementation="eager").eval()
    sizes = {"inputs": tuple({0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC} for _ in names)}
    path = str(folder / "m.onnx")
    torch.onnx.export(hidden, inputs, path, input_names=names, dynamic_shapes=sizes, dynamo=True, external_data=False)
    return folder


def _flat_stack(corpus: list[Line], path: str, k: int, encode: Callable[[list[str]], Any]) -> Asked:
    import faiss

    def fill(vectors: Any) -> Search:
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        faiss.write_index(index, str(Path(path) / "index.faiss"))
        return lambda queries: [[corpus[at]["id"] for at in row] for row in index.search(queries, k)[1]]

    return _vector_stack(corpus, encode, fill)


RIVALS: dict[str, Callable[[list[Line], str, str | None, int], Asked]] = {
    "langchain": langchain,
    "llama-index": llama_index,
    "sentence-transformers": sentence_transformers,
    "langchain-bfloat16": partial(langchain, dtype="bfloat16"),
    "sentence-transformers-openvino": partial(sentence_transformers, backend="openvino"),
    "fastembed": fastembed,
    "chroma": chroma,
    "lancedb": lancedb,
    "qdrant": qdrant,
}
