"""Arguments and options that several commands share, and how their texts are read."""

from __future__ import annotations

import json
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from dpr_rag.cli.usage import parsing, usage
from dpr_rag.corpora.values import Keys
from dpr_rag.errors import PathError
from dpr_rag.paths import is_address, is_milvus, is_service, place_of, refuse_secrets, store_of


def read_filter(text: str | None) -> dict[str, Any] | None:
    """Read the JSON object of ``--filter``.

    Raises:
        typer.BadParameter: The text is no JSON object, or no filter; or an object in it has a key twice.
    """
    if text is None:
        return None
    example = """expected a JSON object such as '{"year": {"$gte": 1990}}'"""
    keys = Keys()
    try:
        value = json.loads(text, object_pairs_hook=keys)
    except RecursionError as error:
        raise typer.BadParameter(
            "it is nested too deep to be read; flatten its $and, $or and $not", param_hint="--filter"
        ) from error
    except ValueError as error:  # JSONDecodeError, or an integer of more digits than Python reads
        raise typer.BadParameter(f"{text!r:.200} is not JSON ({error}); {example}", param_hint="--filter") from error
    if keys.twice is not None:
        raise typer.BadParameter(
            f"the key {keys.twice!r:.120} stands twice in one object, of which the last alone would count; give both conditions "
            'with $and: {"$and": [{…}, {…}]}',
            param_hint="--filter",
        )
    if not isinstance(value, dict):
        raise typer.BadParameter(f"{text!r:.200} is no JSON object; {example}", param_hint="--filter")
    from dpr_rag.filters import parse_filter

    with usage("--filter"):
        parse_filter(value)
    return value


def check_store_options(kind: str | None, language: str | None, place: str | Path = "") -> None:
    """Refuse an unknown index or language, before any work.

    Raises:
        typer.BadParameter: One is unknown.
    """
    from dpr_rag.lexical import Analyzer

    with usage("--index"):
        if is_milvus(place):
            from dpr_rag.milvus.kinds import Kind

            Kind.parse(kind or "auto")
        else:
            from dpr_rag.index import kinds

            kinds.parse(kind or "auto")
    with usage("--language"):
        Analyzer("none" if language is None else language)


def folder_of(place: str | Path) -> Path:
    """The folder of a store, for commands that need one.

    Raises:
        PathError: It is an address.
    """
    if is_address(place):
        refuse_secrets(str(place))
    if is_milvus(place):
        raise PathError(
            f"{place!r:.200} is a collection, and this is done with the folder of a store; make one with: "
            f"dpr-rag copy {quote(str(place))} DIR"
        )
    if is_service(place):
        raise PathError(
            f"{place!r:.200} is a service, and this is done with the folder of a store; do it where the service's store lies"
        )
    return place_of(place)


StoreFolder = Annotated[
    Path, typer.Argument(metavar="DIR", help="Folder of the store.", show_default=False, parser=parsing(folder_of))
]
StoreAddress = Annotated[
    str,
    typer.Argument(
        metavar="STORE",
        help="Folder of the store, or its address: http://…, milvus://…, milvus+lite:FILE.db.",
        show_default=False,
        parser=parsing(store_of),
    ),
]
FilterText = Annotated[
    str | None,
    typer.Option("--filter", metavar="JSON", help="""Only these passages, e.g. '{"year": {"$gte": 1990}}'."""),
]
AskedQuestions = Annotated[
    list[str] | None,
    typer.Argument(metavar="QUESTION", help="Questions; - reads one a line from standard input.", show_default=False),
]
FileOfQuestions = Annotated[
    Path | None,
    typer.Option(
        "--file", metavar="FILE", help="Read one question a line; - is standard input.", parser=parsing(place_of)
    ),
]
Host = Annotated[str, typer.Option("--host", metavar="NAME", help="Address to listen on.")]
Port = Annotated[
    int, typer.Option("--port", metavar="N", min=0, max=65535, help="Port to listen on; 0 takes a free one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, one object per line.")]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="Folder or hub name of the question encoder; default, or no --model, is the built-in one.",
    ),
]
ContextModel = Annotated[
    str | None,
    typer.Option("--context-model", metavar="MODEL", help="Folder or hub name of the context encoder, if it differs."),
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile", metavar="NAME", help="How the model reads its input (default: recognised from its files)."
    ),
]
Mode = Annotated[
    str | None,
    typer.Option(
        "--mode",
        metavar="MODE",
        help="dense (by vectors), bm25 (by words; needs no model), or hybrid (default: as tuned, or dense).",
    ),
]
Weight = Annotated[
    float | None,
    typer.Option(
        "--weight",
        metavar="λ",
        help="For hybrid: BM25 + λ · inner product (default: as tuned, or found for each question).",
    ),
]
FusionKind = Annotated[
    str | None,
    typer.Option("--fusion", metavar="KIND", help="For hybrid: weighted, or rrf for reciprocal rank fusion."),
]
Bind = Annotated[bool, typer.Option("--bind", help="Attach --model to a store whose vectors came without an encoder.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Passages per commit.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress bar.")]
Language = Annotated[
    str | None,
    typer.Option(
        "--language", metavar="NAME", help="Whose words BM25 stems, or none; a store keeps its own (default: english)."
    ),
]
IndexKind = Annotated[
    str | None,
    typer.Option("--index", metavar="KIND", help="flat, ivf, hnsw, sq8, …, a FAISS factory string, or auto."),
]
