"""The command `recover`: what is whole of a damaged store, in a new one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpr_rag.cli.expanding import expanded
from dpr_rag.cli.models import ModelChoice
from dpr_rag.cli.options import StoreFolder
from dpr_rag.cli.terminal import note, say
from dpr_rag.cli.usage import parsing
from dpr_rag.paths import place_of

if TYPE_CHECKING:
    from dpr_rag import DualEncoder, LibraryEncoder
    from dpr_rag.store import RecoverReport

_SHOWN = 10


@expanded
def recover(
    store: StoreFolder,
    new: Annotated[
        Path, typer.Argument(metavar="NEW", help="Folder to create.", show_default=False, parser=parsing(place_of))
    ],
    choice: ModelChoice,
) -> None:
    """Copy what is whole of a damaged store to a new one, and list the ids of what is lost; exit code 1 when anything is."""
    from dpr_rag import PassageStore

    encoder = choice.load() if choice.question is not None else _default_of(store, choice)
    report = PassageStore.recover(store, new, encoder=encoder)
    _list(report, has_encoder=encoder is not None)
    again = f", {report.encoded:,} of them encoded anew" if report.encoded else ""
    note(f"recovered {report.passages:,} passages{again} to {new}")
    if not report.is_whole:
        raise typer.Exit(1)


def _default_of(store: Path, choice: ModelChoice) -> DualEncoder | LibraryEncoder | None:
    """The default encoder if it filled the store, or None."""
    from dpr_rag.store.recovering import fingerprint_of

    fingerprint = fingerprint_of(store)
    encoder = choice.load() if fingerprint else None
    return encoder if encoder is not None and encoder.fingerprint == fingerprint else None


def _list(report: RecoverReport, *, has_encoder: bool) -> None:
    """Write the ids of lost passages, and note other losses."""
    for name in (*report.lost, *report.without_vectors):
        say(name)
    if report.lost:
        note(f"{len(report.lost):,} passages are lost, their texts are damaged")
    if report.without_vectors:
        remedy = "" if has_encoder else "; name the encoder that filled the store with --model to encode them anew"
        note(f"{len(report.without_vectors):,} passages were left out, their vectors are damaged{remedy}")
    if report.nameless:
        note(f"{report.nameless:,} more passages are lost, and their ids with them")
    if report.nameless is None:
        note(
            "the store's own record is damaged: what it held in all cannot be told, and every passage was encoded anew"
        )
    if report.may_be_deleted:
        names = ", ".join(map(repr, report.may_be_deleted[:_SHOWN])) + (
            ", …" if len(report.may_be_deleted) > _SHOWN else ""
        )
        note(
            f"{len(report.may_be_deleted):,} of the passages may be deleted ones or older versions, since the damage hides "
            f"whether their pages were in use: {names}"
        )
    if report.lost_entries:
        note(f"{report.lost_entries:,} records of adapters are lost")
