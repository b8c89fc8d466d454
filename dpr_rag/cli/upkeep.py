"""Commands that keep a store in order: `check`, `optimize`, `backup`, `restore`; and `convert` for checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dpr_rag.cli.options import ContextModel, IndexKind, Language, Profile, StoreFolder, check_store_options, folder_of
from dpr_rag.cli.running import check_profile
from dpr_rag.cli.terminal import Stopwatch, say
from dpr_rag.cli.usage import parsing
from dpr_rag.errors import StoreCorrupted
from dpr_rag.faces import message_of, on_face
from dpr_rag.paths import place_of


def check(store: StoreFolder) -> None:
    """Verify every checksum of a store; exit code 1 when anything is damaged."""
    from dpr_rag import PassageStore

    with PassageStore.open(store, create=False, read_only=True) as opened:
        report = opened.check()
    say(f"{report.passages:,} passages at generation {report.generation:,}: every checksum holds")


def optimize(store: StoreFolder, kind: IndexKind = None, language: Language = None) -> None:
    """Compact everything into one base segment, of another index kind or for the words of another language if one is named."""
    from dpr_rag import PassageStore

    check_store_options(kind, language)
    watch = Stopwatch()
    with PassageStore.open(store, create=False) as opened:
        before = opened.info().bytes_on_disk
        opened.optimize(kind, language=language)
        info = opened.info()
    say(f"{info.kind} ({on_face(info.reason, 'cli')}): {watch.rate(info.passages)}")
    if info.bytes_on_disk < before:
        say(f"freed {(before - info.bytes_on_disk) / 1e6:,.1f} MB: {info.bytes_on_disk / 1e6:,.1f} MB are left")


def backup(
    store: StoreFolder,
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="Folder to create.", show_default=False, parser=parsing(place_of))
    ],
) -> None:
    """Copy a store while it is in use, and verify the copy."""
    from dpr_rag import PassageStore

    with PassageStore.open(store, create=False, read_only=True) as opened:
        opened.backup(target)
    try:
        with PassageStore.open(target, create=False, read_only=True) as copied:
            copied.check()
    except StoreCorrupted as error:
        raise StoreCorrupted(
            f"copied to {target}, and the copy is damaged as the store is: " + message_of(error)
        ) from error
    say(f"copied to {target}")


def restore(
    copy: Annotated[
        Path, typer.Argument(metavar="COPY", help="What backup made.", show_default=False, parser=parsing(place_of))
    ],
    store: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Store to replace, or a new folder.", show_default=False, parser=parsing(folder_of)
        ),
    ],
) -> None:
    """Put a copy in the place of a store, after verifying it: all of it, or nothing where that fails."""
    from dpr_rag import PassageStore

    PassageStore.restore(copy, store)
    with PassageStore.open(store, create=False, read_only=True) as opened:
        say(f"restored {opened.count():,} passages to {store}")


def convert(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Checkpoint (.cp), model folder or hub name.", show_default=False)
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET",
            help="Folder to write, or a file that ends in .cp.",
            show_default=False,
            parser=parsing(place_of),
        ),
    ],
    base: Annotated[
        str | None, typer.Option("--base", metavar="MODEL", help="For a .cp file: the BERT that it was trained from.")
    ] = None,
    context_model: ContextModel = None,
    profile: Profile = None,
) -> None:
    """Convert DPR's original checkpoints (.cp) to a model folder, and back."""
    from dpr_rag.encoders.checkpoints import convert as convert_model

    check_profile(profile)
    encoder = convert_model(source, target, context=context_model, base=base, profile=profile)
    say(f"wrote {target} (fingerprint {encoder.fingerprint})")
