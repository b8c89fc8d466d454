"""Stores over HTTP: the application, the server under it, and what both bear."""

from __future__ import annotations

from dpr_rag.errors import MissingExtraError, install

try:
    import fastapi  # noqa: F401
    import httpx  # noqa: F401
    import prometheus_client  # noqa: F401
    import uvicorn  # noqa: F401
except ImportError as error:
    raise MissingExtraError(f"a service needs {error.name}; {install('service')}") from error

from dpr_rag.service.app import create_app
from dpr_rag.service.limits import Limits

__all__ = ["Limits", "create_app"]
