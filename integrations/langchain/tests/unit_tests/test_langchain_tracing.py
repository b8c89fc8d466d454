"""OpenInference sees retriever spans with documents, and with their scores where they were asked for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from openinference.instrumentation.langchain import LangChainInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from langchain_dpr_rag import DPRRetriever, DPRVectorStore

QUESTION = "a tragedy by Goethe"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = LangChainInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    yield exporter
    instrumentor.uninstrument()


@pytest.mark.parametrize("call", ["invoke", "ainvoke", "batch", "abatch"])
def test_every_call_is_a_retriever_span(plays: DPRVectorStore, spans: InMemorySpanExporter, call: str) -> None:
    retriever = DPRRetriever.from_store(plays, k=2, include_scores=True)
    asked = [QUESTION] if "batch" in call else QUESTION
    found = getattr(retriever, call)(asked)
    found = asyncio.run(found) if asyncio.iscoroutine(found) else found
    expected = found[0] if "batch" in call else found
    (span,) = spans.get_finished_spans()
    told = dict(span.attributes or {})
    assert told["openinference.span.kind"] == "RETRIEVER"
    assert told["input.value"] == QUESTION
    for at, document in enumerate(expected):
        assert told[f"retrieval.documents.{at}.document.content"] == document.page_content
        metadata = json.loads(str(told[f"retrieval.documents.{at}.document.metadata"]))
        assert metadata["dpr_score"] == document.metadata["dpr_score"]
