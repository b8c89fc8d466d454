"""The routes of the service: each parses a request, runs an operation in a worker thread, and writes the response."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from dpr_rag.encoder import Vectors
from dpr_rag.errors import DprRagError, EncoderMismatchError, RequestError, ServiceTimeoutError, StoreReadOnlyError
from dpr_rag.passages import check_question
from dpr_rag.service import models, operations
from dpr_rag.service.batching import Batcher
from dpr_rag.service.bodies import StrictRoute
from dpr_rag.service.metrics import CONTENT_TYPE
from dpr_rag.service.stores import ServedStore, Service
from dpr_rag.service.workers import Workers

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": models.ErrorResponse, "description": description}
    for status, description in {
        400: "The body is not JSON.",
        401: "The token is missing or wrong.",
        404: "There is no such store.",
        408: "The body arrived too slowly.",
        409: "The store has no encoder, or another one.",
        413: "The body is too large.",
        415: "The body is of another type.",
        422: "The request cannot be understood, or asks for too much.",
        429: "Too many questions wait; Retry-After says when to come back.",
        500: "The store is damaged.",
        503: "The store was replaced, or the service is shutting down.",
        504: "The answer took too long.",
    }.items()
}
_FORBIDDEN: dict[int | str, dict[str, Any]] = {
    403: {"model": models.ErrorResponse, "description": "The service only reads."}
}


def router_for(service: Service) -> APIRouter:
    """All routes of a service."""
    router = APIRouter(route_class=StrictRoute)
    _search_routes(router, service)
    _passage_routes(router, service)
    _info_routes(router, service)
    return router


def _search_routes(router: APIRouter, service: Service) -> None:
    limits = service.limits

    @router.post("/v1/retrieve", response_model=models.RetrieveResponse, responses=_ERRORS)
    async def retrieve(request: models.RetrieveRequest) -> Response:
        """Passages for questions, best first."""
        served = service.served(request.store)
        questions = operations.questions_of(request)
        count = len(questions if questions is not None else request.vectors or [])
        limits.check_count("questions", count, limits.questions)

        async def answer() -> Response:
            if not count and (questions is not None or request.vectors is not None):
                return _json({"results": []})
            ranking = await service.searching.run(partial(operations.check_retrieve, served, request, limits))
            vectors: Any = request.vectors
            if vectors is None and questions is not None and ranking.needs_vectors:
                vectors = await _batcher(served).encode([check_question(question) for question in questions])
            return await _run(service.searching, partial(operations.retrieve, served, request, ranking, vectors))

        with service.admission.admit(count):
            return await _in_time(service, answer)

    @router.post("/v1/encode", response_model=models.EncodeResponse, responses=_ERRORS)
    async def encode(request: models.EncodeRequest) -> Response:
        """Vectors of questions, or of passages that are not stored."""
        served = service.served(request.store)
        if (request.questions is None) == (request.passages is None):
            raise RequestError("expected either questions or passages; give exactly one of them")
        texts = request.questions if request.questions is not None else request.passages or []
        limits.check_count("questions", len(texts), limits.questions)
        limits.check_texts("questions", request.questions or [])

        async def answer() -> Response:
            vectors = await _encoded(_batcher(served), request, service)
            return await _run(service.searching, partial(operations.encoded, served, vectors))

        with service.admission.admit(len(texts)):
            return await _in_time(service, answer)


async def _encoded(batcher: Batcher, request: models.EncodeRequest, service: Service) -> Vectors:
    if request.questions is not None:
        return await batcher.encode([check_question(question) for question in request.questions])
    passages = operations.passages_to_encode(request, service.limits)
    return await batcher.encode_passages(passages)


def _passage_routes(router: APIRouter, service: Service) -> None:
    limits = service.limits

    @router.post("/v1/passages", response_model=models.AddResponse, responses={**_ERRORS, **_FORBIDDEN})
    async def add(request: models.AddRequest) -> Response:
        """Add passages, or replace those with the same id; once the response arrives, they are on disk."""
        served = _writable(service, request)
        with service.admission.admit(len(request.passages)):
            return await _respond(service, service.writing, partial(operations.add, served, request, limits))

    @router.post("/v1/passages/delete", response_model=models.DeleteResponse, responses={**_ERRORS, **_FORBIDDEN})
    async def delete(request: models.SelectionRequest) -> Response:
        """Delete passages by id or by filter, in one commit."""
        served = _writable(service, request)
        with service.admission.admit(1):
            return await _respond(service, service.writing, partial(operations.delete, served, request))

    @router.post("/v1/passages/get", response_model=models.PassagesResponse, responses=_ERRORS)
    async def get(request: models.GetRequest) -> Response:
        """Passages by id or by filter."""
        served = service.served(request.store)
        with service.admission.admit(1):
            return await _respond(service, service.searching, partial(operations.get, served, request, limits))

    @router.post("/v1/passages/count", response_model=models.CountResponse, responses=_ERRORS)
    async def count(request: models.CountRequest) -> Response:
        """The number of passages, or of those that match a filter."""
        served = service.served(request.store)
        with service.admission.admit(1):
            return await _respond(service, service.searching, partial(operations.count, served, request))


def _info_routes(router: APIRouter, service: Service) -> None:
    @router.post("/v1/ranking", response_model=models.RankingResponse, responses=_ERRORS)
    async def ranking(request: models.RankingRequest) -> Response:
        """The ranking of the store with the options of the request."""
        served = service.served(request.store)
        with service.admission.admit(1):
            return await _respond(service, service.searching, partial(operations.ranking, served, request))

    @router.post("/v1/calibration", response_model=models.CalibrationResponse, responses=_ERRORS)
    async def calibration(request: models.RankedRequest) -> Response:
        """The calibration of a ranking's scores."""
        served = service.served(request.store)
        with service.admission.admit(1):
            return await _respond(service, service.searching, partial(operations.calibration, served, request))

    @router.get("/v1/stores", response_model=models.StoresResponse)
    async def stores() -> Response:
        """The stores of this service."""

        def figures() -> dict[str, Any]:
            return {"stores": [operations.figures(served, writable=service.writable) for served in service.stores]}

        return await _respond(service, service.watching, figures)

    @router.head("/healthz", include_in_schema=False)  # what many load balancers and monitors send
    @router.get("/healthz")
    async def healthz() -> Response:
        """Whether every store can be read: 200, or else 503."""

        def check() -> dict[str, Any]:
            for served in service.stores:
                served.store.count()
            return {"status": "ok"}

        try:
            return await _respond(service, service.watching, check)
        except DprRagError:
            return Response(b'{"status":"failing"}', 503, media_type="application/json")

    @router.get("/metrics")
    async def metrics() -> Response:
        """Metrics of the service in Prometheus' text format."""
        return Response(service.metrics.exposition(), headers={"content-type": CONTENT_TYPE})


def _writable(service: Service, request: models.Request) -> ServedStore:
    if not service.writable:
        raise StoreReadOnlyError("this service only reads; start it with: dpr-rag serve --writable")
    return service.served(request.store)


def _batcher(served: ServedStore) -> Batcher:
    if served.batcher is None:
        raise EncoderMismatchError(f"{served.store.path} was opened without an encoder")
    return served.batcher


async def _respond(service: Service, workers: Workers, action: Callable[[], dict[str, Any]]) -> Response:
    return await _in_time(service, lambda: _run(workers, action))


async def _run(workers: Workers, action: Callable[[], dict[str, Any]]) -> Response:
    """Run an action and serialise its result in a worker thread: a thousand hits take a while."""
    body = await workers.run(lambda: _dumped(action()))
    return Response(body, media_type="application/json")


async def _in_time(service: Service, action: Callable[[], Awaitable[Response]]) -> Response:
    seconds = service.limits.seconds
    try:
        async with asyncio.timeout(seconds):
            return await action()
    except TimeoutError:
        raise ServiceTimeoutError(
            f"the answer was not ready within {seconds:g} s; what was to be written may be written still, and can be sent again"
        ) from None


def _json(answer: dict[str, Any]) -> Response:
    return Response(_dumped(answer), media_type="application/json")


def _dumped(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
