"""What errors become: a status, the class that Python users know, and a message without what is the server's own."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from dpr_rag import errors
from dpr_rag.errors import DprRagError
from dpr_rag.remote.wire import STATUS, error_record, kind_of
from dpr_rag.service.stores import Service

_log = logging.getLogger(__name__)
_SHOWN = 300
_PATIENCE = 1
_LOGGED = "the service's log says more"
_STORES_OWN: Mapping[type[DprRagError], str] = {
    errors.EncoderMismatchError: "the store has no encoder here, or another one filled it since; give vectors, or ask by words",
    errors.StoreReadOnlyError: "this service only reads; start it with --writable",
    errors.StoreLocked: "another writer holds the store; ask again in a moment",
    errors.StoreReplacedError: f"the store was replaced or moved while it was open; {_LOGGED}",
    errors.StoreClosedError: f"the store is closed; {_LOGGED}",
    errors.StoreCorrupted: f"the store is damaged; {_LOGGED}",
}
"""What is said in the place of messages that name files, folders, processes or models of the server."""


def install(app: FastAPI, service: Service) -> None:
    """Have an application answer with errors of this form."""

    async def of_ours(request: Request, error: Exception) -> JSONResponse:
        return told(service, error if isinstance(error, DprRagError) else DprRagError(str(error)))

    async def of_http(request: Request, error: Exception) -> JSONResponse:
        status = error.status_code if isinstance(error, HTTPException) else 500
        detail = str(error.detail) if isinstance(error, HTTPException) else ""
        kind = errors.ServiceTimeoutError if status == 408 else errors.RequestError
        headers = {
            **(getattr(error, "headers", None) or {}),
            **({"connection": "close"} if status in (408, 413) else {}),
        }
        return JSONResponse(error_record(kind, detail), status, headers)

    async def of_form(request: Request, error: Exception) -> JSONResponse:
        found = error.errors() if isinstance(error, RequestValidationError) else []
        first = found[0] if found else {"loc": (), "msg": ""}
        where = ".".join(str(part) for part in first["loc"])
        message = f"{where:.{_SHOWN}}: {first['msg']:.{_SHOWN}}"
        return JSONResponse(error_record(errors.RequestError, message), 422)

    async def of_nobody(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse(error_record(errors.ServiceError, f"the service failed; {_LOGGED}"), 500)

    app.add_exception_handler(DprRagError, of_ours)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(RequestValidationError, of_form)
    app.add_exception_handler(Exception, of_nobody)


def told(service: Service, error: DprRagError) -> JSONResponse:
    """An error of the library as an answer."""
    kind = kind_of(error)
    status, message = STATUS[kind], _STORES_OWN.get(kind)
    if status >= 500 and not isinstance(error, errors.ServiceError):
        _log.error("%s: %s", type(error).__name__, error)
        message = message or f"the store cannot be used; {_LOGGED}"
    if message is None:
        message = service.without_places(str(error))
    passage_id = error.passage_id if isinstance(error, errors.RepeatedIdError) else None
    passing = isinstance(error, errors.ServiceBusyError | errors.StoreLocked)
    headers = {"retry-after": str(_PATIENCE)} if passing else {}
    return JSONResponse(error_record(kind, message, passage_id), status, headers)
