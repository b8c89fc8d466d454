"""Commands that encode: `index` fills a store from a corpus, `reencode` moves it to another model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpr_rag.cli.models import ModelChoice, encoder_of, look
from dpr_rag.cli.options import BatchSize, Bind, ContextModel, IndexKind, Language, Model, Profile, Quiet, StoreFolder
from dpr_rag.cli.shards import add_with_vectors
from dpr_rag.cli.terminal import Advance, Stopwatch, is_watched, note, printable, progress
from dpr_rag.errors import CorpusError

if TYPE_CHECKING:
    from dpr_rag import DualEncoder, Passage, PassageStore
    from dpr_rag.store import AddReport

_SHOWN_BAD = 5


class Precision(StrEnum):
    """How a new store keeps its vectors."""

    float32 = "float32"
    float16 = "float16"


class Corpus:
    """The passages of a corpus, and what was wrong with it.

    Attributes:
        bad: How many malformed entries were skipped.
    """

    def __init__(self, path: str, form: str | None, *, skip_bad: bool) -> None:
        self._path = path
        self._form = form
        self._skip_bad = skip_bad
        self.bad = 0

    def passages(self) -> Iterator[Passage]:
        """Read from the start, the first passage at once; malformed entries are counted, and some of them shown."""
        from dpr_rag.corpora import open_corpus

        self.bad = 0
        opened = open_corpus(self._path, format=self._form, on_bad=self._note_bad if self._skip_bad else None)
        return chain(list(islice(opened, 1)), opened)

    def count(self) -> int | None:
        """How many passages there are: worth one extra reading where a person watches the time left."""
        if not is_watched():
            return None
        with progress("counting", None) as advance:
            total = 0
            for total, _ in enumerate(self._quiet(), start=1):
                if total % 10_000 == 0:
                    advance(total)
        return total

    def _quiet(self) -> Iterator[Passage]:
        from dpr_rag.corpora import open_corpus

        return open_corpus(self._path, format=self._form, on_bad=(lambda _: None) if self._skip_bad else None)

    def _note_bad(self, error: CorpusError) -> None:
        self.bad += 1
        if self.bad <= _SHOWN_BAD:
            note(f"skipped: {printable(str(error))}")


def index(
    corpus: Annotated[
        str,
        typer.Argument(
            metavar="CORPUS",
            help="File or folder of passages; python: stands for the standard library's docstrings.",
            show_default=False,
        ),
    ],
    store: Annotated[Path, typer.Option("--store", metavar="DIR", help="Folder of the store.", show_default=False)],
    model: Model = None,
    context_model: ContextModel = None,
    profile: Profile = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="NAME", help="tsv, jsonl, beir, text or python (default: found by name and content)."
        ),
    ] = None,
    kind: IndexKind = None,
    language: Language = None,
    dtype: Annotated[
        Precision | None, typer.Option("--dtype", help="How a new store keeps vectors (default: float32).")
    ] = None,
    vectors: Annotated[
        list[Path] | None,
        typer.Option(
            "--vectors",
            metavar="SHARD",
            help="Embedding shard, or glob pattern of shards, in the corpus's order; may be repeated.",
        ),
    ] = None,
    bind: Bind = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Count malformed entries instead of stopping.")] = False,
    batch_size: BatchSize = 512,
    quiet: Quiet = False,
) -> None:
    """Add a corpus to a store: creates the store, continues after an interruption, or extends it."""
    source = Corpus(corpus, form, skip_bad=skip_bad)
    passages = source.passages()
    encoder = _encoder_for(store, ModelChoice(model, context_model, profile), needed=not vectors)
    settled = _note_settled(store, kind, dtype, language)
    asked = "auto" if settled else kind or "auto"
    from dpr_rag import PassageStore

    precision = (dtype or Precision.float32).value
    words = "english" if settled or language is None else language
    with PassageStore.open(store, encoder=encoder, bind=bind, index=asked, dtype=precision, language=words) as opened:
        total = None if quiet else source.count()
        add_corpus(opened, passages, total, vectors=vectors, batch_size=batch_size, quiet=quiet)
    if source.bad:
        note(f"skipped {source.bad:,} malformed entries")


def _encoder_for(store: Path, choice: ModelChoice, *, needed: bool) -> DualEncoder | None:
    if not needed and choice.question is None:
        return None  # the vectors are there, and nobody said of which encoder
    known = look(store)
    return encoder_of(store, choice) if known is not None and known.fingerprint else choice.load()


def _note_settled(store: Path, kind: str | None, dtype: Precision | None, language: str | None) -> bool:
    """Whether there is a store already; say what of the wishes comes too late for it."""
    known = look(store)
    if known is None:
        return False
    if language not in (None, known.language):
        note(
            f"the store keeps the language {known.language}; change it with: dpr-rag optimize {store} --language {language}"
        )
    if kind not in (None, known.index):
        note(f"the store keeps its index {known.index!r}; change it with: dpr-rag optimize {store} --index {kind}")
    if dtype is not None and dtype.value != known.dtype:
        note(f"the store keeps its vectors as {known.dtype}; that was settled when it was created")
    return True


def add_corpus(
    store: PassageStore,
    passages: Iterable[Passage],
    total: int | None,
    *,
    batch_size: int,
    vectors: Sequence[Path] | None = None,
    quiet: bool = False,
) -> None:
    """Add passages, showing how far it is, and say what was done.

    Args:
        store: Where they go.
        passages: The corpus.
        total: How many there are, if somebody counted.
        batch_size: Passages per commit.
        vectors: Embedding shards to take the vectors from, instead of encoding.
        quiet: Show no progress bar.
    """
    watch = Stopwatch()
    with progress("indexing", total, quiet=quiet) as advance:
        if vectors:
            report = add_with_vectors(
                store, iter(passages), vectors, batch_size=batch_size, progress=_by_total(advance)
            )
        else:
            report = store.add(passages, batch_size=batch_size, progress=_by_total(advance))
    typer.echo(
        f"added {report.added:,}, replaced {report.replaced:,}, unchanged {report.unchanged:,} {watch.rate(report.total)}"
    )
    _note_cut(store.encoder)


def _note_cut(encoder: object) -> None:
    cut = getattr(encoder, "truncated", 0)
    if cut:
        note(f"{cut:,} passages were longer than the model reads; it saw their beginnings")


def _by_total(advance: Advance) -> Callable[[AddReport], None]:
    return lambda report: advance(report.total)


def encode_anew(store: Path, encoder: DualEncoder, *, batch_size: int, quiet: bool) -> int:
    """Move a store to another encoder behind a bar, and tell how many passages were encoded."""
    from dpr_rag import PassageStore

    with (
        PassageStore.open(store, create=False) as opened,
        progress("reencoding", opened.count(), quiet=quiet) as advance,
    ):
        return opened.reencode(encoder, batch_size=batch_size, progress=lambda done, _total: advance(done))


def reencode(
    store: StoreFolder,
    model: Model = None,
    context_model: ContextModel = None,
    profile: Profile = None,
    batch_size: BatchSize = 512,
    quiet: Quiet = False,
) -> None:
    """Encode all stored passages again with another model; the old vectors serve until the switch."""
    if model is None:
        # replacing every vector is hours of work at scale, and not to be done because an option was forgotten
        raise typer.BadParameter("name the model to encode with, for example --model my-model", param_hint="--model")
    encoder = ModelChoice(model, context_model, profile).load()
    watch = Stopwatch()
    count = encode_anew(store, encoder, batch_size=batch_size, quiet=quiet)
    typer.echo(f"encoded {count:,} again {watch.rate(count)}")
    _note_cut(encoder)
