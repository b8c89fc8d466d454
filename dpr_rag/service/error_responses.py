"""Error responses: status, class name, and a message without internals of the server."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from dpr_rag import errors
from dpr_rag.errors import DprRagError
from dpr_rag.faces import message_of
from dpr_rag.remote.public_errors import LOGGED, public_message
from dpr_rag.remote.wire import STATUS, error_record, kind_of
from dpr_rag.service.stores import Service

_SHOWN = 300
_RETRY_AFTER = 1


def install(app: FastAPI, service: Service) -> None:
    """Install the exception handlers on an application."""

    async def library_error(request: Request, error: Exception) -> JSONResponse:
        return response_of(service, error if isinstance(error, DprRagError) else DprRagError(message_of(error)))

    async def http_error(request: Request, error: Exception) -> JSONResponse:
        status = error.status_code if isinstance(error, HTTPException) else 500
        detail = _detail(request, error) if isinstance(error, HTTPException) else ""
        kind = errors.ServiceTimeoutError if status == 408 else errors.RequestError
        headers = {
            **(getattr(error, "headers", None) or {}),
            **({"connection": "close"} if status in (408, 413) else {}),
        }
        return JSONResponse(error_record(kind, detail), status, headers)

    async def validation_error(request: Request, error: Exception) -> JSONResponse:
        problems = error.errors() if isinstance(error, RequestValidationError) else []
        first = problems[0] if problems else {"loc": (), "msg": ""}
        where = ".".join(str(part) for part in first["loc"])
        message = f"{where:.{_SHOWN}}: {first['msg']:.{_SHOWN}}"
        return JSONResponse(error_record(errors.RequestError, message), 422)

    async def unexpected_error(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse(error_record(errors.ServiceError, f"the service failed; {LOGGED}"), 500)

    app.add_exception_handler(DprRagError, library_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, validation_error)
    app.add_exception_handler(Exception, unexpected_error)


def _detail(request: Request, error: HTTPException) -> str:
    path = request.url.path
    if error.status_code == 404:
        return (
            f"there is no path {path!r:.120} here; /openapi.json lists all, and the address for clients ends before /v1"
        )
    if error.status_code == 405:
        return (
            f"{path!r:.120} takes no {request.method:.20}; send {(error.headers or {}).get('Allow', 'another method')}"
        )
    return str(error.detail)


def response_of(service: Service, error: DprRagError) -> JSONResponse:
    """The response for an error of the library."""
    kind = kind_of(error)
    message = public_message(error, service.places)
    passage_id = error.passage_id if isinstance(error, errors.RepeatedIdError) else None
    transient = isinstance(error, errors.ServiceBusyError | errors.StoreLocked)
    headers = {"retry-after": str(_RETRY_AFTER)} if transient else {}
    return JSONResponse(error_record(kind, message, passage_id), STATUS[kind], headers)
