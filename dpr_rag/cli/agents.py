"""The command `mcp`: a store as tools for agents."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from dpr_rag.cli.expanding import expanded
from dpr_rag.cli.models import ModelChoice, encoder_of
from dpr_rag.cli.options import StoreFolder


class Transport(StrEnum):
    """How agents reach the tools."""

    stdio = "stdio"
    http = "http"


@expanded
def mcp(
    store: StoreFolder,
    choice: ModelChoice,
    transport: Annotated[
        Transport, typer.Option("--transport", help="stdio for programs that start this one, http on a port.")
    ] = Transport.stdio,
    writable: Annotated[bool, typer.Option("--writable", help="Let agents add passages as well.")] = False,
    host: Annotated[str, typer.Option("--host", metavar="NAME", help="Address for http.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", metavar="N", min=1, max=65535, help="Port for http.")] = 8080,
) -> None:
    """Offer a store to agents as tools, by the Model Context Protocol."""
    from dpr_rag import PassageStore
    from dpr_rag.agents import server_for

    encoder = encoder_of(store, choice)
    with PassageStore.open(store, encoder=encoder, create=False, read_only=not writable) as opened:
        served = server_for(opened, writable=writable)
        if transport is Transport.stdio:
            served.run("stdio")
        else:
            served.run("streamable-http", host=host, port=port)
