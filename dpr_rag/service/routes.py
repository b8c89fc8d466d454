"""The paths of the service: each reads a request, lets the store's threads do what it asks, and writes the answer."""

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
from dpr_rag.service import acting, models
from dpr_rag.service.batching import Batcher
from dpr_rag.service.meters import CONTENT_TYPE
from dpr_rag.service.reading import StrictRoute
from dpr_rag.service.stores import Served, Service
from dpr_rag.service.workers import Workers

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": models.Told, "description": description}
    for status, description in {
        400: "The body is no JSON.",
        401: "The token is missing or another one.",
        404: "There is no such store.",
        408: "The body came too slowly.",
        409: "The store has no encoder, or another one.",
        413: "The body is too large.",
        415: "The body is of another type.",
        422: "What is asked for cannot be understood, or is too much.",
        429: "Too many questions wait; Retry-After says when to come back.",
        500: "The store is damaged.",
        503: "The store was replaced, or the service ends.",
        504: "The answer took too long.",
    }.items()
}
_FORBIDDEN: dict[int | str, dict[str, Any]] = {403: {"model": models.Told, "description": "The service only reads."}}


def router_for(service: Service) -> APIRouter:
    """All paths, for one service."""
    router = APIRouter(route_class=StrictRoute)
    _retrieving(router, service)
    _passages(router, service)
    _telling(router, service)
    return router


def _retrieving(router: APIRouter, service: Service) -> None:
    limits = service.limits

    @router.post("/v1/retrieve", response_model=models.Results, responses=_ERRORS)
    async def retrieve(asked: models.Retrieve) -> Response:
        """Passages for questions, best first."""
        served = service.served(asked.store)
        given = acting.questions_of(asked)
        count = len(given if given is not None else asked.vectors or [])
        limits.check_count("questions", count, limits.questions)

        async def answer() -> Response:
            if not count and (given is not None or asked.vectors is not None):
                return _json({"results": []})
            ranking = await service.searching.run(partial(acting.prepared, served, asked, limits))
            vectors: Any = asked.vectors
            if vectors is None and given is not None and ranking.needs_vectors:
                vectors = await _batcher(served).encode([check_question(one) for one in given])
            return await _ran(service.searching, partial(acting.retrieved, served, asked, ranking, vectors))

        with service.entrance.passed(count):
            return await _in_time(service, answer)

    @router.post("/v1/encode", response_model=models.Encoded, responses=_ERRORS)
    async def encode(asked: models.Encode) -> Response:
        """Vectors of questions, or of passages that are not stored."""
        served = service.served(asked.store)
        if (asked.questions is None) == (asked.passages is None):
            raise RequestError("expected either questions or passages; give exactly one of them")
        texts = asked.questions if asked.questions is not None else asked.passages or []
        limits.check_count("questions", len(texts), limits.questions)
        limits.check_texts("questions", asked.questions or [])

        async def answer() -> Response:
            vectors = await _encoded(_batcher(served), asked, service)
            return await _ran(service.searching, partial(acting.told_vectors, served, vectors))

        with service.entrance.passed(len(texts)):
            return await _in_time(service, answer)


async def _encoded(batcher: Batcher, asked: models.Encode, service: Service) -> Vectors:
    if asked.questions is not None:
        return await batcher.encode([check_question(one) for one in asked.questions])
    passages = acting.passages_to_encode(asked, service.limits)
    return await batcher.encode_passages(passages)


def _passages(router: APIRouter, service: Service) -> None:
    limits = service.limits

    @router.post("/v1/passages", response_model=models.Added, responses={**_ERRORS, **_FORBIDDEN})
    async def add(asked: models.Add) -> Response:
        """Add passages, or replace those whose id exists; when this is answered, they are on disk."""
        served = _writable(service, asked)
        with service.entrance.passed(len(asked.passages)):
            return await _acted(service, service.writing, partial(acting.added, served, asked, limits))

    @router.post("/v1/passages/delete", response_model=models.Deleted, responses={**_ERRORS, **_FORBIDDEN})
    async def delete(asked: models.Selection) -> Response:
        """Delete passages by id or by filter, in one commit."""
        served = _writable(service, asked)
        with service.entrance.passed(1):
            return await _acted(service, service.writing, partial(acting.deleted, served, asked))

    @router.post("/v1/passages/get", response_model=models.Passages, responses=_ERRORS)
    async def get(asked: models.Get) -> Response:
        """Passages by id or by filter."""
        served = service.served(asked.store)
        with service.entrance.passed(1):
            return await _acted(service, service.searching, partial(acting.got, served, asked, limits))

    @router.post("/v1/passages/count", response_model=models.Number, responses=_ERRORS)
    async def count(asked: models.Count) -> Response:
        """How many passages there are, or how many a filter keeps."""
        served = service.served(asked.store)
        with service.entrance.passed(1):
            return await _acted(service, service.searching, partial(acting.counted, served, asked))


def _telling(router: APIRouter, service: Service) -> None:
    @router.post("/v1/ranking", response_model=models.RankingTold, responses=_ERRORS)
    async def ranking(asked: models.RankingAsked) -> Response:
        """How the store ranks."""
        served = service.served(asked.store)
        with service.entrance.passed(1):
            return await _acted(service, service.searching, partial(acting.told_ranking, served, asked))

    @router.post("/v1/calibration", response_model=models.CalibrationTold, responses=_ERRORS)
    async def calibration(asked: models.Ranked) -> Response:
        """What turns scores into relevances."""
        served = service.served(asked.store)
        with service.entrance.passed(1):
            return await _acted(service, service.searching, partial(acting.told_calibration, served, asked))

    @router.get("/v1/stores", response_model=models.Stores)
    async def stores() -> Response:
        """The stores of this service."""

        def told() -> dict[str, Any]:
            return {"stores": [acting.told_store(one, writable=service.writable) for one in service.stores]}

        return await _acted(service, service.watching, told)

    @router.get("/healthz")
    async def healthz() -> Response:
        """Whether every store can be read: 200, or else 503."""

        def well() -> dict[str, Any]:
            for one in service.stores:
                one.store.count()
            return {"status": "ok"}

        try:
            return await _acted(service, service.watching, well)
        except DprRagError:
            return Response(b'{"status":"failing"}', 503, media_type="application/json")

    @router.get("/metrics")
    async def metrics() -> Response:
        """What the service counts, in the form of Prometheus."""
        return Response(service.meters.told(), headers={"content-type": CONTENT_TYPE})


def _writable(service: Service, asked: models.Asked) -> Served:
    if not service.writable:
        raise StoreReadOnlyError("this service only reads; start it with --writable")
    return service.served(asked.store)


def _batcher(served: Served) -> Batcher:
    if served.batcher is None:
        raise EncoderMismatchError(f"{served.store.path} was opened without an encoder")
    return served.batcher


async def _acted(service: Service, workers: Workers, action: Callable[[], dict[str, Any]]) -> Response:
    return await _in_time(service, lambda: _ran(workers, action))


async def _ran(workers: Workers, action: Callable[[], dict[str, Any]]) -> Response:
    """The answer, written in the thread too: a thousand hits take a while."""
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
