"""Commands for what outgrows one machine: `encode` and `load`, `export` and `merge`."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from dpr_rag.cli.corpus import Corpus, CorpusOptions
from dpr_rag.cli.expanding import expanded
from dpr_rag.cli.filling import Dtype, OutStore, PartitionKey, StoreOption, StoreOptions, await_compaction
from dpr_rag.cli.indexing import CorpusArgument, Prefix, prefixed, say_moved
from dpr_rag.cli.models import ModelChoice, facts_of
from dpr_rag.cli.options import (
    BatchSize,
    Bind,
    FilterText,
    IndexKind,
    Language,
    Quiet,
    StoreAddress,
    read_filter,
)
from dpr_rag.cli.stores import open_existing
from dpr_rag.cli.terminal import Stopwatch, progress, say
from dpr_rag.cli.usage import parsing, usage
from dpr_rag.errors import StoreError
from dpr_rag.paths import is_address, place_of, store_of

OutFolder = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        metavar="OUT",
        help="Folder of the parts; all shards may share one.",
        show_default=False,
        parser=parsing(place_of),
    ),
]
PartSize = Annotated[
    int, typer.Option("--part-size", min=1, metavar="N", help="Most passages of a part; the same for all shards.")
]
_ROWS = 10_000


class Engine(StrEnum):
    """Where a corpus is encoded."""

    local = "local"
    ray = "ray"


@expanded
def encode(
    corpus: CorpusArgument,
    out: OutFolder,
    choice: ModelChoice,
    reading: CorpusOptions,
    shard: Annotated[
        str,
        typer.Option(
            "--shard", metavar="I/N", help="Which of N processes this is, from 0/N to N-1/N; each does its share."
        ),
    ] = "0/1",
    part_size: PartSize = _ROWS,
    engine: Annotated[
        Engine, typer.Option("--engine", help="Who encodes: this process, or the workers of a Ray cluster.")
    ] = Engine.local,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="HOST:PORT",
            help="Of the Ray cluster (default: that of the environment, or a new one on this machine).",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, metavar="N", help="Ray's workers (default: all GPUs, or all CPUs but one)."),
    ] = None,
    prefix: Prefix = "",
    quiet: Quiet = False,
) -> None:
    """Encode a corpus to Parquet parts, on one machine or on many; run again, it goes on where it stopped."""
    from dpr_rag.scaling import Shard, encode, encode_on_ray

    with usage("--shard"):
        share = Shard.parsed(shard)
    on_ray = engine == Engine.ray
    if not on_ray and (address is not None or workers is not None):
        raise typer.BadParameter("it goes with --engine ray", param_hint="--address" if address else "--workers")
    if on_ray and share.of > 1:
        raise typer.BadParameter("Ray shares the work out itself; leave it out with --engine ray", param_hint="--shard")
    reading.check()
    source = Corpus(corpus, reading)
    watch = Stopwatch()
    with progress("encoding", None, quiet=quiet) as advance, source.placing_repeats(prefix):
        passages = (prefixed(passage, prefix) for passage in source.passages())
        if on_ray:
            spread: Any = {"address": address, "workers": workers, "rows": part_size, "progress": advance}
            done = encode_on_ray(passages, choice.load, out, **spread)
        else:
            done = encode(passages, choice.load(), out, shard=share, rows=part_size, progress=advance)
    source.say_left_out()
    before = f", {done.there:,} were there" if done.there else ""
    say(f"encoded {done.encoded:,} of {done.passages:,} passages{before} {watch.rate(done.encoded)}")
    if source.unreadable and not reading.skip_bad:
        raise typer.Exit(1)


@expanded
def load(
    parts: Annotated[
        list[Path],
        typer.Argument(
            metavar="OUT…", help="Folders of parts: those of every shard.", show_default=False, parser=parsing(place_of)
        ),
    ],
    store: StoreOption,
    choice: ModelChoice,
    kind: IndexKind = None,
    language: Language = None,
    dtype: Dtype = None,
    bind: Bind = False,
    partition_key: PartitionKey = None,
    batch_size: BatchSize = 512,
    quiet: Quiet = False,
) -> None:
    """Fill a store with what was encoded or exported; nothing is encoded again, and a part that is missing is an error."""
    from dpr_rag.corpora.parts import parts_of
    from dpr_rag.scaling import encoder_of_parts, load

    new = StoreOptions(kind, language, dtype, bind, partition_key)
    new.check(store)
    marks = [mark for _, mark in parts_of(parts)]
    total, facts = sum(mark.passages for mark in marks), facts_of(store)
    is_named = bool(marks[0].fingerprint or (facts is not None and facts.fingerprint))
    encoder = choice.load() if choice.question is not None else encoder_of_parts(parts) if is_named else None
    watch = Stopwatch()
    with (
        new.opened(store, encoder) as opened,
        progress("loading", total, quiet=quiet) as advance,
    ):
        report = load(parts, opened, batch_size=batch_size, progress=advance)
        await_compaction(opened)
    say_moved("loaded", report, watch)


def export(
    store: StoreAddress,
    out: OutFolder,
    filter: FilterText = None,
    part_size: PartSize = _ROWS,
    quiet: Quiet = False,
) -> None:
    """Write a store's passages and vectors as Parquet parts, which `load` and every reader of Parquet takes."""
    from dpr_rag.scaling import export
    from dpr_rag.stores import whole

    condition = read_filter(filter)
    watch = Stopwatch()
    with open_existing(store) as opened:
        with progress("exporting", opened.count(condition), quiet=quiet) as advance:
            done = export(whole(opened), out, filter=condition, rows=part_size, progress=advance)
    say(f"wrote {done.passages:,} passages in {done.parts:,} parts to {out} {watch.rate(done.passages)}")


def merge(
    stores: Annotated[
        list[str],
        typer.Argument(
            metavar="STORE…",
            help="Stores of one encoder: folders, or collections of a Milvus.",
            show_default=False,
            parser=parsing(store_of),
        ),
    ],
    out: OutStore,
    kind: IndexKind = None,
    partition_key: PartitionKey = None,
    batch_size: BatchSize = 512,
    quiet: Quiet = False,
) -> None:
    """Join stores that one encoder filled, without encoding again."""
    from dpr_rag.scaling import merge, origin_of, recorded
    from dpr_rag.scaling.moving import refuse_several
    from dpr_rag.stores import whole

    new = StoreOptions(kind, partition_key=partition_key)
    new.check(out)
    watch = Stopwatch()
    with ExitStack() as opened:
        sources = [whole(opened.enter_context(open_existing(source))) for source in stores]
        refuse_several(sources)  # before the target is made
        filled = [source for source in sources if source.count()] or sources
        languages = {language for source in filled if (language := origin_of(source).language) is not None}
        if len(languages) > 1:
            raise StoreError(
                f"the stores stem words of several languages ({', '.join(sorted(languages))}); give them one with: "
                "dpr-rag optimize DIR --language NAME"
            )
        if languages and not is_address(out) and facts_of(out) is None:
            new = replace(new, language=languages.pop())
        target = opened.enter_context(new.opened(out, recorded(filled[0])))
        with progress("merging", sum(source.count() for source in sources), quiet=quiet) as advance:
            report = merge(sources, target, batch_size=batch_size, progress=advance)
        await_compaction(target)
    say_moved("merged", report, watch)
