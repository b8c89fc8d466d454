"""Two stages in both frameworks: dense retrieval finds candidates, a cross-encoder reads each with the question and reorders.

make demo                                              # once: makes demo.dpr
python examples/rerank.py "how do I compress bytes with gzip?"
python examples/rerank.py "…" --cross-encoder cross-encoder/ms-marco-MiniLM-L6-v2
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel, RunnablePassthrough
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index.retrievers.dpr_rag import DPRRetriever as LlamaIndexRetriever

from dpr_rag import PassageStore
from langchain_dpr_rag import DPRRetriever

Scorer = Callable[[str, Sequence[str]], Sequence[float]]


def shared_words(question: str, texts: Sequence[str]) -> list[float]:
    """The share of the question's words in each text: a stand-in that needs no weights, and no good reranker."""
    words = set(re.findall(r"\w+", question.lower()))
    return [len(words & set(re.findall(r"\w+", text.lower()))) / max(len(words), 1) for text in texts]


def cross_encoder(name: str) -> Scorer:
    """A cross-encoder by name or folder, from sentence-transformers."""
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(name)

    def score(question: str, texts: Sequence[str]) -> list[float]:
        return [float(value) for value in model.predict([(question, text) for text in texts], show_progress_bar=False)]

    return score


def langchain_reranked(retriever: DPRRetriever, scorer: Scorer, k: int) -> Runnable[str, list[Document]]:
    """A LangChain chain: question in, the k best documents after the second stage out."""

    def rerank(inputs: dict[str, Any]) -> list[Document]:
        documents = inputs["documents"]
        scores = scorer(inputs["question"], [document.page_content for document in documents])
        ranked = sorted(zip(documents, scores, strict=True), key=lambda pair: -pair[1])
        return [
            Document(id=doc.id, page_content=doc.page_content, metadata={**doc.metadata, "rerank_score": score})
            for doc, score in ranked[:k]
        ]

    return RunnableParallel(question=RunnablePassthrough(), documents=retriever) | RunnableLambda(rerank)


class Rerank(BaseNodePostprocessor):
    """The same second stage as a node postprocessor of LlamaIndex."""

    scorer: Scorer
    top_n: int = 4

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        question = "" if query_bundle is None else query_bundle.query_str
        scores = self.scorer(question, [node.node.get_content() for node in nodes])
        ranked = sorted(zip(nodes, scores, strict=True), key=lambda pair: -pair[1])
        return [NodeWithScore(node=node.node, score=float(score)) for node, score in ranked[: self.top_n]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask one question in both frameworks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question")
    parser.add_argument("--store", default="demo.dpr")
    parser.add_argument("--k", type=int, default=4)
    parser.add_argument("--candidates", type=int, default=30)
    parser.add_argument("--cross-encoder", help="name or folder; without one, shared words stand in")
    args = parser.parse_args(arguments)
    scorer = shared_words if args.cross_encoder is None else cross_encoder(args.cross_encoder)
    with DPRRetriever.from_store(args.store, k=args.candidates, include_scores=True) as retriever:
        print("LangChain:")
        for document in langchain_reranked(retriever, scorer, args.k).invoke(args.question):
            meta = document.metadata
            print(f"{meta['rerank_score']:.3f} (was rank {meta['dpr_rank']})  {meta.get('title') or document.id}")
        print("LlamaIndex:")
        for node in llama_index_reranked(retriever.store, scorer, args.question, args.candidates, args.k):
            print(f"{node.score:.3f}  {node.node.metadata.get('title') or node.node.node_id}")


def llama_index_reranked(
    store: PassageStore, scorer: Scorer, question: str, candidates: int, k: int
) -> list[NodeWithScore]:
    """LlamaIndex: retriever and postprocessor, as a query engine would call them."""
    nodes = LlamaIndexRetriever.from_defaults(store=store, similarity_top_k=candidates).retrieve(question)
    return Rerank(scorer=scorer, top_n=k).postprocess_nodes(nodes, query_str=question)


if __name__ == "__main__":
    main()
