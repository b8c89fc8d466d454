"""The commands `chat` and `ui`: pages over a store in the browser."""

from __future__ import annotations

import os
from pathlib import Path
from socket import gethostname, socket
from threading import Thread
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpr_rag.cli.expanding import expanded
from dpr_rag.cli.models import ModelChoice, encoder_of, facts_of
from dpr_rag.cli.options import Host, Port, StoreAddress
from dpr_rag.cli.reranking import load_reader
from dpr_rag.cli.stores import open_tunable, refuse_service
from dpr_rag.cli.terminal import note, say
from dpr_rag.cli.usage import parsing
from dpr_rag.paths import LOOPBACK, is_address, name_of, place_of, store_of

if TYPE_CHECKING:
    from dpr_rag.encoder import Encoder


@expanded
def chat(
    choice: ModelChoice,
    store: Annotated[
        str,
        typer.Argument(
            metavar="STORE",
            help="Folder of the store, or a collection of a Milvus; a new one begins empty.",
            parser=parsing(store_of),
        ),
    ] = "chat.dpr",
    llm: Annotated[
        str | None,
        typer.Option(
            "--llm",
            metavar="PROVIDER:MODEL",
            help="Language model as LangChain names it, such as openai:gpt-5-mini (default: answers quote the passages).",
        ),
    ] = None,
    base_url: Annotated[
        str | None, typer.Option("--base-url", metavar="URL", help="Where a server of that provider's kind listens.")
    ] = None,
    reader: Annotated[
        str | None,
        typer.Option(
            "--reader",
            metavar="MODEL",
            help="Reader that finds what to quote without --llm: folder or hub name, or default for the built-in one.",
        ),
    ] = None,
    conversations: Annotated[
        Path | None,
        typer.Option(
            "--conversations",
            metavar="FILE",
            help="Where conversations are kept (default: STORE.chat, of a collection in the current folder).",
            parser=parsing(place_of),
        ),
    ] = None,
    host: Host = "127.0.0.1",
    port: Port = 7860,
) -> None:
    """Open a chatbot over a store in the browser; files dropped on the page join the store."""
    if base_url is not None and llm is None:
        raise typer.BadParameter("needs --llm beside it, such as --llm openai:NAME", param_hint="--base-url")
    if reader is not None and llm is not None:
        raise typer.BadParameter(
            "reads for answers that quote, and with --llm the model answers", param_hint="--reader"
        )
    from dpr_rag.pages import serving

    serving.require()
    from dpr_rag import open_store
    from dpr_rag.listening import on_port
    from dpr_rag.pages.chat import CSS, chat_page
    from dpr_rag.pages.chatting import Chat
    from dpr_rag.pages.memory import Memory
    from dpr_rag.pages.models import open_model
    from dpr_rag.stores import whole

    refuse_service(store)
    with on_port(host, port) as listening, serving.private_uploads():
        language_model = None if llm is None else open_model(llm, base_url)
        place = Path(name_of(store) if is_address(store) else store)
        memory = Memory(conversations or place.with_name(f"{place.name}.chat"))
        facts = facts_of(store)
        encoder = encoder_of(store, choice) if facts is not None and facts.fingerprint else choice.load()
        with open_store(store, encoder=encoder) as opened:
            labelled = memory.path.with_name(f"{place.name}-labelled.jsonl")
            loaded_reader = None if reader is None else load_reader(reader)
            conversation = Chat(whole(opened), memory, labelled, language_model, loaded_reader)
            _warm(encoder)
            page = chat_page(conversation, folders=host in LOOPBACK)
            _serve(page, CSS, host, listening, "read this store and every conversation, add files and remove them")


def _warm(encoder: Encoder) -> None:
    """Encode a question in a thread: the runtime compiles the model at its first one, so that the user does not wait."""
    Thread(target=encoder.encode_questions, args=(["what is this?"],), daemon=True).start()


def _serve(page: Any, css: str, host: str, listening: tuple[socket, str], permissions: str) -> None:
    from dpr_rag.pages import serving

    at_home = host in LOOPBACK
    app = serving.app_of(page, css, hosts=LOOPBACK if at_home else (host.lower(), gethostname().lower(), "*"))
    if not at_home:
        note(f"everybody who reaches {host} can {permissions}")
    say(f"{listening[1]}  (Ctrl-C ends it)")
    serving.run(app, listening[0])


@expanded
def ui(
    store: StoreAddress,
    choice: ModelChoice,
    host: Host = "127.0.0.1",
    port: Port = 7861,
) -> None:
    """Open a playground over a store in the browser: every mode side by side, a map of the passages, tuning."""
    from dpr_rag.pages import serving

    serving.require()
    from dpr_rag.listening import on_port
    from dpr_rag.pages.playground import CSS, playground_page

    refuse_service(store)
    read_only = not is_address(store) and not os.access(store, os.W_OK)
    with on_port(host, port) as listening, serving.private_uploads():
        encoder = encoder_of(store, choice)
        with open_tunable(store, encoder, read_only=read_only) as opened:
            _warm(encoder)
            _serve(playground_page(opened), CSS, host, listening, "ask this store")
