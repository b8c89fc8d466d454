"""Commands that encode: `index` fills a store from a corpus, `reencode` moves it to another model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace as changed
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpr_rag.cli.corpus import Corpus, CorpusOptions
from dpr_rag.cli.escaping import printable
from dpr_rag.cli.expanding import expanded
from dpr_rag.cli.filling import Dtype, PartitionKey, StoreOption, StoreOptions, await_compaction
from dpr_rag.cli.models import ModelChoice, encoder_of, facts_of
from dpr_rag.cli.options import BatchSize, Bind, IndexKind, Language, Quiet, StoreFolder
from dpr_rag.cli.shards import Pair, add_pairs, compared, matched, with_own_vectors
from dpr_rag.cli.terminal import Advance, Stopwatch, note, progress, say
from dpr_rag.cli.usage import parsing
from dpr_rag.corpora.opening import WITH_VECTORS
from dpr_rag.paths import place_of

if TYPE_CHECKING:
    from dpr_rag import DualEncoder, LibraryEncoder, Passage
    from dpr_rag.store import AddReport
    from dpr_rag.store.sources import Replace
    from dpr_rag.stores import WholeStore

_SHOWN_OWNERS = 3


CorpusArgument = Annotated[
    str,
    typer.Argument(
        metavar="CORPUS",
        help="File or folder of passages; python: stands for the standard library's docstrings.",
        show_default=False,
    ),
]
Prefix = Annotated[
    str, typer.Option("--prefix", metavar="TEXT", help="Put this before every id, such as the name of a project.")
]


@expanded
def index(
    corpus: CorpusArgument,
    store: StoreOption,
    choice: ModelChoice,
    reading: CorpusOptions,
    kind: IndexKind = None,
    language: Language = None,
    dtype: Dtype = None,
    vectors: Annotated[
        list[Path] | None,
        typer.Option(
            "--vectors",
            metavar="SHARD",
            help="Embedding shard, glob pattern of shards, or folder that encode wrote, in the corpus's order; may be repeated.",
            parser=parsing(place_of),
        ),
    ] = None,
    keep_vectors: Annotated[
        bool,
        typer.Option(
            "--keep-vectors",
            help=f"Take over the vectors that lie in the corpus itself ({', '.join(WITH_VECTORS)}); --model says what made them.",
        ),
    ] = False,
    bind: Bind = False,
    prefix: Prefix = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace passages that other files brought under the same ids.")
    ] = False,
    partition_key: PartitionKey = None,
    batch_size: BatchSize = 512,
    quiet: Quiet = False,
) -> None:
    """Add a corpus to a store: creates the store, continues after an interruption, or extends it."""
    new = StoreOptions(kind, language, dtype, bind, partition_key)
    new.check(store)
    reading.check()
    if keep_vectors and vectors:
        raise typer.BadParameter(
            "the vectors come from the corpus itself, or from --vectors", param_hint="--keep-vectors"
        )
    source = Corpus(corpus, reading, vectors=keep_vectors)
    entries = source.entries()
    passages = (entry.passage for entry in entries)
    pairs = (
        with_own_vectors(entries)
        if keep_vectors
        else matched(passages, vectors, partial=reading.skip_bad)
        if vectors
        else None
    )
    encoder = _encoder_for(store, choice, needed=not (vectors or keep_vectors))
    pairs = compared(pairs, encoder) if keep_vectors and pairs is not None and encoder is not None else pairs
    with new.opened(store, encoder) as opened:
        total = None if quiet else source.count()
        with source.placing_repeats(prefix):
            report = add_corpus(
                opened,
                passages,
                total,
                pairs=pairs,
                batch_size=batch_size,
                quiet=quiet,
                prefix=prefix,
                replace="any" if replace else "own",
            )
    source.say_left_out()
    _note_owners(report.owners)
    if report.left_out or (source.unreadable and not reading.skip_bad):
        raise typer.Exit(1)


def _encoder_for(store: str, choice: ModelChoice, *, needed: bool) -> DualEncoder | LibraryEncoder | None:
    if not needed and choice.question is None:
        return None  # vectors are given, and no encoder was named
    facts = facts_of(store)
    return encoder_of(store, choice) if facts is not None and facts.fingerprint else choice.load()


def add_corpus(
    store: WholeStore,
    passages: Iterable[Passage],
    total: int | None,
    *,
    batch_size: int,
    pairs: Iterable[Pair] | None = None,
    quiet: bool = False,
    prefix: str = "",
    replace: Replace = "any",
) -> AddReport:
    """Add passages behind a progress bar, and write the counts.

    Args:
        store: The store.
        passages: The corpus.
        total: Number of passages, or None if they were not counted.
        batch_size: Passages per commit.
        pairs: Passages with their vectors, to be added instead of encoding the corpus.
        quiet: Show no progress bar.
        prefix: Text to put before every id.
        replace: Whose passages may be replaced, see ``PassageStore.add``.
    """
    watch = Stopwatch()
    with progress("indexing", total, quiet=quiet) as advance:
        by_total = _by_total(advance)
        if pairs is not None:
            prefixed_pairs = ((prefixed(passage, prefix), vector) for passage, vector in pairs)
            report = add_pairs(store, prefixed_pairs, batch_size=batch_size, progress=by_total, replace=replace)
        else:
            prefixed_passages = (prefixed(passage, prefix) for passage in passages)
            report = store.add(prefixed_passages, batch_size=batch_size, progress=by_total, replace=replace)
    await_compaction(store)
    say_added(report, watch)
    _note_cut(store.encoder)
    return report


def say_added(report: AddReport, watch: Stopwatch) -> None:
    """Write how many passages were added, and at what rate."""
    counts = f"added {report.added:,}, replaced {report.replaced:,}, unchanged {report.unchanged:,}"
    say(f"{counts} {watch.rate(report.total)}")


def say_moved(verb: str, report: AddReport, watch: Stopwatch) -> None:
    """Write how many passages came from other stores, how many were there from an earlier call, and the rate."""
    replaced = f", replaced {report.replaced:,}" if report.replaced else ""
    counts = f"{verb} {report.added:,}{replaced}; {report.unchanged:,} were already there; {report.total:,} in all"
    say(f"{counts}, {watch.rate(report.added + report.replaced)}")


def prefixed(passage: Passage, prefix: str) -> Passage:
    """A passage under the id that ``--prefix`` gives it."""
    return changed(passage, id=prefix + passage.id) if prefix else passage


def _note_owners(owners: Mapping[str, int]) -> None:
    """Note passages that were left out because other files have their ids, and what to do."""
    if not owners:
        return
    names = sorted(owners, key=lambda name: (-owners[name], name))
    shown_names = [f"{printable(name)} ({owners[name]:,}{_if_gone(name)})" for name in names[:_SHOWN_OWNERS]]
    more = f" and {len(names) - len(shown_names):,} more" if len(names) > len(shown_names) else ""
    note(
        f"left out {sum(owners.values()):,} passages whose ids other files have brought: {', '.join(shown_names)}{more}; "
        "--replace puts these in their place, --prefix NAME/ adds them under ids of their own"
    )


def _if_gone(source: str) -> str:
    return ", which is no longer there" if os.path.isabs(source) and not os.path.exists(source) else ""


def _note_cut(encoder: object) -> None:
    cut = getattr(encoder, "truncated", 0)
    if cut:
        note(f"{cut:,} passages were longer than the model reads; it saw their beginnings")


def _by_total(advance: Advance) -> Callable[[AddReport], None]:
    return lambda report: advance(report.total)


def encode_anew(store: Path, encoder: DualEncoder | LibraryEncoder, *, batch_size: int, quiet: bool) -> int:
    """Move a store to another encoder behind a progress bar; returns the number of encoded passages."""
    from dpr_rag import PassageStore

    with (
        PassageStore.open(store, create=False) as opened,
        progress("reencoding", opened.count(), quiet=quiet) as advance,
    ):
        count = opened.reencode(encoder, batch_size=batch_size, progress=lambda done, _total: advance(done))
        await_compaction(opened)
        return count


@expanded
def reencode(
    store: StoreFolder,
    choice: ModelChoice,
    batch_size: BatchSize = 512,
    quiet: Quiet = False,
) -> None:
    """Encode all stored passages again with another model; the old vectors serve until the switch."""
    if choice.question is None:
        # replacing every vector is hours of work at scale, and not to be done because an option was forgotten
        raise typer.BadParameter("name the model to encode with, for example --model my-model", param_hint="--model")
    encoder = choice.load()
    watch = Stopwatch()
    count = encode_anew(store, encoder, batch_size=batch_size, quiet=quiet)
    say(f"encoded {count:,} again {watch.rate(count)}")
    _note_cut(encoder)
