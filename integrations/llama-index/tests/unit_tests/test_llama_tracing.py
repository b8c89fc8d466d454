"""OpenInference sees what ``DPRRetriever`` retrieves, unasked: documents, scores and the question."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from llama_index.retrievers.dpr_rag import DPRRetriever
from llama_index.vector_stores.dpr_rag import DPRVectorStore

pytest.importorskip("openinference.instrumentation.llama_index")

from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

QUESTION = "which prince avenges his father"


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    exporter, provider, instrumentor = InMemorySpanExporter(), TracerProvider(), LlamaIndexInstrumentor()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor.instrument(tracer_provider=provider)
    yield exporter
    instrumentor.uninstrument()
    provider.shutdown()


def check(span: ReadableSpan, expected: list[tuple[str, float]]) -> None:
    told = dict(span.attributes or {})
    assert told["openinference.span.kind"] == "RETRIEVER"
    assert told["input.value"] == QUESTION
    prefix = "retrieval.documents"
    for at, (text, score) in enumerate(expected):
        assert told[f"{prefix}.{at}.document.content"] == text
        assert told[f"{prefix}.{at}.document.score"] == pytest.approx(score)
    assert json.loads(str(told[f"{prefix}.0.document.metadata"]))["title"] == "Hamlet"
    assert f"{prefix}.{len(expected)}.document.content" not in told


async def test_retrieval_is_traced(filled: DPRVectorStore, exporter: InMemorySpanExporter) -> None:
    retriever = DPRRetriever(filled, similarity_top_k=2)
    found = retriever.retrieve(QUESTION)
    await retriever.aretrieve(QUESTION)
    expected = [(one.node.get_content(), one.score or 0.0) for one in found]
    spans = {span.name: span for span in exporter.get_finished_spans()}
    for name in ("DPRRetriever.retrieve", "DPRRetriever.aretrieve"):
        check(spans[name], expected)
