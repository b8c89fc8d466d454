"""The command `serve`: stores over HTTP."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from dpr_rag.cli.expanding import expanded
from dpr_rag.cli.models import ModelChoice, encoder_of
from dpr_rag.cli.options import Host, Port
from dpr_rag.cli.reranking import SecondStage
from dpr_rag.cli.stores import open_existing
from dpr_rag.cli.terminal import note, say
from dpr_rag.cli.usage import parsing, refuse_given
from dpr_rag.faces import on_face
from dpr_rag.paths import LOOPBACK, is_address, is_service, place_of, store_of

Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TOKEN",
        help="What requests must bring; others on this machine see it among the processes, but not DPR_RAG_TOKEN in the "
        "environment.",
    ),
]


@expanded
def serve(
    context: typer.Context,
    stores: Annotated[
        list[str],
        typer.Argument(
            metavar="STORE",
            help="Folders of stores, as DIR or NAME=DIR, or collections of a Milvus, as milvus://HOST:PORT/NAME; without a "
            "name it is the folder's, less .dpr.",
            show_default=False,
        ),
    ],
    choice: ModelChoice,
    second: SecondStage,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    uds: Annotated[
        Path | None,
        typer.Option(
            "--uds", metavar="PATH", help="Listen on a Unix socket instead of a port.", parser=parsing(place_of)
        ),
    ] = None,
    token: Token = None,
    writable: Annotated[
        bool, typer.Option("--writable", help="Let passages be added and deleted; takes a token.")
    ] = False,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Questions encoded together at most.")] = 64,
    pause: Annotated[
        float, typer.Option("--pause", metavar="MS", min=0, max=1000, help="Milliseconds to collect them in.")
    ] = 2.0,
    waiting: Annotated[
        int,
        typer.Option("--waiting", metavar="N", min=1, help="Questions that may wait; others are told to come back."),
    ] = 512,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0.1, max=86_400, help="Time for an answer to be made.")
    ] = 30.0,
) -> None:
    """Answer for stores over HTTP: retrieval, passages, vectors, /healthz, /metrics and /openapi.json."""
    from dpr_rag.listening import on_port
    from dpr_rag.remote.access import token_of
    from dpr_rag.service import Limits, create_app
    from dpr_rag.service.serving import on_unix_socket, run
    from dpr_rag.stores import whole

    if uds is not None:
        refuse_given(context, ("host", "port"), "--uds listens on a socket instead of a port")
    places = named_stores(stores)
    secret, at_home = token_of(token), uds is not None or host in LOOPBACK
    refuse_open(host, secret, at_home=at_home, writable=writable)
    limits = Limits(batch=batch, pause=pause / 1000, waiting=waiting, seconds=timeout)
    with ExitStack() as closing:
        listening, address = closing.enter_context(on_port(host, port) if uds is None else on_unix_socket(uds))
        stage = second.stage()
        opened, encoder = {}, None
        for name, path in places.items():
            encoder = encoder_of(path, choice, loaded=encoder)
            opened[name] = whole(closing.enter_context(open_existing(path, encoder, read_only=not writable)))
        app = create_app(opened, token=secret, writable=writable, at_home=at_home, limits=limits, second=stage)
        if not at_home:
            warn_plain()
        run(app, listening, limits, lambda: say(f"{address}  (Ctrl-C ends it)"))


def named_stores(arguments: list[str]) -> dict[str, str]:
    """Folders and addresses by name, from arguments such as ``wiki.dpr``, ``plays=~/a.dpr`` and ``milvus://host/wiki``.

    Raises:
        typer.BadParameter: Two stores have one name, a name cannot be one, or a store is a service.
        PathError: A path is empty, or an address is not valid.
    """
    from dpr_rag.errors import RequestError
    from dpr_rag.service.stores import check_name

    places: dict[str, str] = {}
    for argument in arguments:
        name_part, equals, address = argument.partition("=")
        is_unnamed = is_address(argument) or not equals or "/" in name_part or Path(argument).is_dir()
        place = store_of(argument if is_unnamed else address)
        if is_service(place):
            raise typer.BadParameter(f"{place!r:.200} is a service already", param_hint="STORE")
        name = _name_of(place) if is_unnamed else name_part
        try:
            check_name(name)
        except RequestError as error:
            raise typer.BadParameter(
                f"{on_face(error, 'cli')}; give it one: NAME={place}", param_hint="STORE"
            ) from None
        if name in places:
            raise typer.BadParameter(
                f"two stores are called {name!r}; give one another name: NAME={place}", param_hint="STORE"
            )
        places[name] = place
    return places


def _name_of(place: str) -> str:
    if not is_address(place):
        path = Path(place)
        return path.absolute().name.removesuffix(".dpr") or path.name
    from dpr_rag.milvus.address import parse_address

    return parse_address(place).collection


def warn_plain() -> None:
    """Note that requests are not encrypted."""
    note("requests and the token travel as they are, readable on their way; put a proxy with TLS before them")


def refuse_open(host: str, token: str | None, *, at_home: bool, writable: bool) -> None:
    """Refuse to serve other machines, or to allow writing, without a token.

    Raises:
        typer.BadParameter: A token is needed, and there is none.
    """
    remedy = "set the environment variable DPR_RAG_TOKEN, or pass --token"
    if token is None and writable:
        raise typer.BadParameter(f"whoever may write needs a token; {remedy}", param_hint="--writable")
    if token is None and not at_home:
        raise typer.BadParameter(
            f"other machines reach {host}, so that a token is needed; {remedy}", param_hint="--host"
        )
