"""Prometheus metrics of a service."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """The metrics of one application, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter("dpr_rag_requests", "Requests answered.", ["path", "status"], registry=registry)
        self._seconds = Histogram(
            "dpr_rag_request_seconds",
            "From a request's headers to its answer.",
            ["path"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._batches = Histogram(
            "dpr_rag_batch_questions", "Questions encoded together.", buckets=_SIZES, registry=registry
        )
        self._encoding = Counter("dpr_rag_encoding_seconds", "Seconds that the encoder was at work.", registry=registry)
        self._waiting = Gauge(
            "dpr_rag_waiting_questions", "Questions accepted and not answered yet.", registry=registry
        )

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def encoded(self, questions: int, seconds: float) -> None:
        """Count a batch."""
        self._batches.observe(questions)
        self._encoding.inc(seconds)

    def watch_waiting(self, waiting: Callable[[], float]) -> None:
        """Set the function that returns how many questions wait."""
        self._waiting.set_function(waiting)

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)
