"""The command `copy`: a store to another place, a folder or an engine."""

from __future__ import annotations

from typing import Annotated

import typer

from dpr_rag.cli.filling import Dtype, PartitionKey, StoreOptions, await_compaction
from dpr_rag.cli.indexing import say_moved
from dpr_rag.cli.options import BatchSize, IndexKind, Language, Quiet
from dpr_rag.cli.terminal import Stopwatch, progress
from dpr_rag.cli.usage import parsing
from dpr_rag.paths import is_milvus, is_service, store_of

_PLACES = "a folder, milvus://HOST:PORT/COLLECTION, or milvus+lite:FILE.db"


def copy(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help=f"Store: {_PLACES}.", show_default=False, parser=parsing(store_of))
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="Where to: the same; a new one is made.",
            show_default=False,
            parser=parsing(store_of),
        ),
    ],
    kind: IndexKind = None,
    language: Language = None,
    dtype: Dtype = None,
    partition_key: PartitionKey = None,
    batch_size: BatchSize = 512,
    quiet: Quiet = False,
) -> None:
    """Copy a store to a Milvus, or back, without encoding; run again, it goes on where it stopped. The copy is compared.

    What filled the store and how it is tuned go along; a folder is made for the same language, with vectors kept the same way.
    """
    from dpr_rag import open_store
    from dpr_rag.scaling import copy, origin_of, recorded
    from dpr_rag.stores import whole

    for name, place in (("SOURCE", source), ("TARGET", target)):
        if is_service(place):
            problem = "is a service, which gives out no vectors; name the folder or the collection behind it"
            raise typer.BadParameter(f"{place!r:.200} {problem}", param_hint=name)
    new = StoreOptions(kind, language, dtype, partition_key=partition_key)
    new.check(target)
    watch = Stopwatch()
    with open_store(source, create=False, read_only=True) as first:
        store = whole(first)
        if not is_milvus(target):
            new = new.with_origin(origin_of(store))
        with new.opened(target, recorded(store)) as second:
            with progress("copying", store.count(), quiet=quiet) as advance:
                report = copy(store, second, batch_size=batch_size, progress=advance)
            await_compaction(second)
    say_moved("copied", report, watch)
