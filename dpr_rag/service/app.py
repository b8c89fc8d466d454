"""The FastAPI application of a service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI

from dpr_rag._version import __version__
from dpr_rag.arguments import check_instance
from dpr_rag.errors import AccessError, ArgumentError
from dpr_rag.reading.second_stage import SecondStage
from dpr_rag.remote.access import token_of
from dpr_rag.service import error_responses
from dpr_rag.service.gate import Gate
from dpr_rag.service.limits import Limits
from dpr_rag.service.routes import router_for
from dpr_rag.service.stores import Service
from dpr_rag.stores import WholeStore


def create_app(
    stores: Mapping[str, WholeStore],
    *,
    token: str | None = None,
    writable: bool = False,
    at_home: bool = True,
    limits: Limits | None = None,
    second: SecondStage | None = None,
) -> FastAPI:
    """Make a FastAPI application that serves open stores; it does not close them.

    Args:
        stores: Open stores by the names that requests use.
        token: The bearer token that requests need, all but those for ``/healthz``; None lets everybody in.
        writable: Whether passages may be added and deleted, which takes a token.
        at_home: Whether only this machine can reach it. Then, without a token, requests with another Host header than the
            loopback's names are refused, against DNS rebinding by web pages.
        limits: Limits of requests.
        second: A second stage that reranks the hits of questions in words, in all stores.

    Raises:
        AccessError: It is writable, or reachable from other machines, without a token; or the token is empty or holds characters
            that a header cannot.
        ArgumentError: An argument is of another type.
        RequestError: There is no store, or a name cannot be one.
    """
    token = None if token is None else token_of(token)
    if token is None and (writable or not at_home):
        raise AccessError("writing, and listening for other machines, takes a token; give one")
    for name, value, kind in (("limits", limits, Limits), ("second", second, SecondStage)):
        if value is not None:
            check_instance(name, value, kind, ArgumentError)
    service = Service(stores, writable=writable, limits=limits or Limits(), second=second)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(
        title="dpr-rag",
        version=__version__,
        description="Dense passage retrieval over HTTP.",
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # a redirection says nothing, and behind a proxy with TLS leads to http
        lifespan=lifespan,
    )
    app.state.service = service
    app.include_router(router_for(service))
    error_responses.install(app, service)
    app.add_middleware(Gate, token=token, at_home=at_home, metrics=service.metrics)
    return app
