"""Serves a Gradio page on a local port, without requests to other hosts."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dpr_rag.errors import MissingExtraError, install

if TYPE_CHECKING:
    import gradio as gr
    import uvicorn
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; frame-src 'none'; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]
_CSS = """
:focus-visible { outline: 2px solid #2563eb !important; outline-offset: 2px !important; }
.dark :focus-visible { outline-color: #93c5fd !important; }
.dark { color-scheme: dark; }
mark { background: #ffe38a; color: #1a1a1a; border-radius: 2px; }
footer { display: none !important; }
"""
_LARGEST_FILE = "200mb"
_FONT = ("system-ui", "sans-serif")
_MONOSPACE = ("ui-monospace", "monospace")


def require() -> None:
    """Refuse to go on without Gradio, and keep it from calling home.

    Raises:
        MissingExtraError: It is not installed.
    """
    for name, value in (("GRADIO_ANALYTICS_ENABLED", "False"), ("HF_HUB_DISABLE_TELEMETRY", "1")):
        os.environ.setdefault(name, value)
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(f"pages need Gradio ({error}); {install('chat')}") from error


def app_of(blocks: gr.Blocks, css: str, *, hosts: Sequence[str]) -> FastAPI:
    """The page as an application, with headers that keep it to this machine.

    Args:
        blocks: The page.
        css: Its own style, beside that of all pages.
        hosts: Names by which it may be asked for, so that a page from elsewhere cannot give this address another name;
            ``*`` also for any address in numbers.
    """
    import gradio as gr
    from fastapi import FastAPI

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(_AtHome, hosts=frozenset(hosts))
    blocks.has_launched = True  # until then, Gradio takes any path of this machine for an upload
    theme = gr.themes.Default(font=list(_FONT), font_mono=list(_MONOSPACE)).set(
        button_primary_background_fill="*primary_700",  # Gradio's own are too light to read
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
    )
    mounted: FastAPI = gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        footer_links=[],
        show_error=False,  # what is told to people is said in the page's words; all else may name places of this machine
        max_file_size=_LARGEST_FILE,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        theme=theme,
        css=_CSS + css,
    )
    return mounted


class _AtHome:
    """Refuses what other pages ask for, and adds headers; by itself, as the framework's own way would hold streams back."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app, self._hosts = app, hosts

    def _welcome(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a request names this page, and comes from it or from no page at all."""
        host = headers.get(b"host", b"").decode("latin-1")
        name = urlsplit(f"//{host}").hostname or ""
        if name not in self._hosts and not ("*" in self._hosts and _is_address(name)):
            return False
        origin = headers.get(b"origin")
        return origin is None or urlsplit(origin.decode("latin-1")).netloc == host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and not self._welcome(dict(scope["headers"])):
            from starlette.responses import PlainTextResponse

            await PlainTextResponse("This page answers its own requests alone.", 403)(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        await self._app(scope, receive, with_headers)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


@contextmanager
def private_uploads() -> Iterator[None]:
    """A folder for what browsers send, which nobody else can read and which is gone at the end."""
    with TemporaryDirectory(prefix="dpr-rag-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        try:
            yield
        finally:
            del os.environ["GRADIO_TEMP_DIR"]


def uploads() -> str:
    """The folder of :func:`private_uploads`."""
    return os.environ["GRADIO_TEMP_DIR"]


def is_upload(path: Path) -> bool:
    """Whether a file lies where uploads do, links followed."""
    return path.resolve().is_relative_to(Path(uploads()).resolve())


def _server(config: uvicorn.Config) -> uvicorn.Server:
    import uvicorn

    class Quiet(uvicorn.Server):
        """Says nothing of the pages that are still open when it ends: each holds a stream, which is cut off."""

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            await super().shutdown(sockets)

    return Quiet(config)


def run(app: Any, listening: socket.socket) -> None:
    """Serve until interrupted.

    Args:
        app: What :func:`app_of` made.
        listening: A socket of :func:`~dpr_rag.listening.on_port`.
    """
    import uvicorn

    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
    with suppress(KeyboardInterrupt):  # which uvicorn raises again when it has ended in order
        _server(config).run(sockets=[listening])
