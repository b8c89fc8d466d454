"""The command `mcp`: a store as tools for agents."""

from __future__ import annotations

from contextlib import ExitStack
from enum import StrEnum
from typing import Annotated

import typer

from dpr_rag.cli.expanding import expanded
from dpr_rag.cli.models import ModelChoice, encoder_of
from dpr_rag.cli.options import StoreAddress
from dpr_rag.cli.reranking import SecondStage
from dpr_rag.cli.serving import Token, refuse_open, warn_plain
from dpr_rag.cli.stores import open_existing, refuse_service
from dpr_rag.cli.terminal import say
from dpr_rag.cli.usage import refuse_given
from dpr_rag.paths import LOOPBACK


class Transport(StrEnum):
    """How agents reach the tools."""

    stdio = "stdio"
    http = "http"


@expanded
def mcp(
    context: typer.Context,
    store: StoreAddress,
    choice: ModelChoice,
    second: SecondStage,
    transport: Annotated[
        Transport, typer.Option("--transport", help="stdio for programs that start this one, http on a port.")
    ] = Transport.stdio,
    writable: Annotated[bool, typer.Option("--writable", help="Let agents add passages as well.")] = False,
    host: Annotated[str, typer.Option("--host", metavar="NAME", help="Address for http.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="Port for http; 0 takes a free one.")
    ] = 8080,
    token: Token = None,
) -> None:
    """Offer a store to agents as tools, by the Model Context Protocol."""
    from dpr_rag.agents import http_app, server_for
    from dpr_rag.listening import on_port
    from dpr_rag.pages.serving import run
    from dpr_rag.remote.access import token_of
    from dpr_rag.stores import whole

    over_http, at_home = transport is Transport.http, host in LOOPBACK
    secret = token_of(token) if over_http else None
    if over_http:
        refuse_open(host, secret, at_home=at_home, writable=writable)
    else:
        refuse_given(context, ("host", "port", "token"), "it goes with --transport http")
    refuse_service(store)
    with ExitStack() as closing:
        listening, address = closing.enter_context(on_port(host, port)) if over_http else (None, "")
        encoder, stage = encoder_of(store, choice), second.stage()
        opened = closing.enter_context(open_existing(store, encoder, read_only=not writable))
        served = server_for(whole(opened), writable=writable, second=stage)
        if listening is None:
            served.run("stdio")
            return
        if not at_home:
            warn_plain()
        app = http_app(served, host=host, token=secret)
        say(f"{address}/mcp  (Ctrl-C ends it)")
        run(app, listening)
