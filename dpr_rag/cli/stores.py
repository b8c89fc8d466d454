"""Opens the store that a command names, with its encoder and its ranking: a folder, a service or a Milvus collection."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, cast

import typer

from dpr_rag.cli.models import ModelChoice, encoder_of
from dpr_rag.cli.terminal import note
from dpr_rag.cli.usage import usage
from dpr_rag.paths import is_address, is_service

if TYPE_CHECKING:
    from dpr_rag import DualEncoder, Encoder, LibraryEncoder, Ranking, Store
    from dpr_rag.cli.ranking import RankingChoice
    from dpr_rag.evaluation.tunable import TunableStore


def open_existing(
    place: str | Path,
    encoder: Encoder | None = None,
    *,
    read_only: bool = True,
    bind: bool = False,
    language: str | None = None,
) -> Store:
    """Open an existing store.

    Args:
        place: Folder or address of the store.
        encoder: The encoder; ignored for a service, which has its own.
        read_only: Refuse every change; ignored for a service, which decides itself.
        bind: Attach the encoder to a folder without one.
        language: Language of BM25's stemmer, for a folder.

    Raises:
        typer.BadParameter: ``bind`` or ``language`` was given with an address.
        StoreNotFoundError: There is no store.
    """
    from dpr_rag import PassageStore, open_store

    if not is_address(place):
        return PassageStore.open(
            place, encoder=encoder, create=False, read_only=read_only, bind=bind, language=language
        )
    if bind or language is not None:
        raise typer.BadParameter(
            f"it goes with the folder of a store, and {str(place)!r:.200} is an address",
            param_hint="--bind" if bind else "--language",
        )
    if is_service(place):
        return open_store(place)
    return open_store(place, encoder=encoder, create=False, read_only=read_only)


def open_tunable(
    place: str | Path, encoder: Encoder | None = None, *, read_only: bool = False, language: str | None = None
) -> TunableStore:
    """Open an existing folder or collection, see :func:`open_existing`.

    Raises:
        typer.BadParameter: It is a service.
    """
    refuse_service(place)
    return cast("TunableStore", open_existing(place, encoder, read_only=read_only, language=language))


def encoder_at(
    place: str | Path, choice: ModelChoice, *, loaded: DualEncoder | LibraryEncoder | None = None
) -> DualEncoder | LibraryEncoder | None:
    """The encoder for an existing store, see ``encoder_of``; None for a service, which encodes by itself.

    Raises:
        typer.BadParameter: A model was named for a service.
    """
    if not is_service(place):
        return encoder_of(place, choice, loaded=loaded)
    if choice != ModelChoice():
        raise typer.BadParameter(
            f"{str(place)!r:.200} is a service, which encodes with its own model; leave it out", param_hint="--model"
        )
    return None


def ranking_at(place: str | Path, choice: RankingChoice) -> Ranking:
    """The store's ranking with the options of the command.

    Raises:
        typer.BadParameter: An option has an unknown value, or goes with another mode.
        StoreNotFoundError: There is no store.
    """
    with open_existing(place) as store, usage():
        return store.ranking_of(choice.options)


def refuse_service(place: str | Path) -> None:
    """Refuse a service, for commands that need a folder or a collection.

    Raises:
        typer.BadParameter: It is one.
    """
    if is_service(place):
        raise typer.BadParameter(
            f"{str(place)!r:.200} is a service, and this needs the store itself; name the folder or the collection behind it",
            param_hint="STORE",
        )


def only_reads(place: str | Path, rankings: Iterable[Ranking]) -> bool:
    """Whether to open a store read-only for searching: not if BM25 may have to write its postings first."""
    needs_words = any(ranking.needs_words for ranking in rankings)
    return is_address(place) or not needs_words or not os.access(place, os.W_OK)


def note_empty(place: str | Path, store: Store) -> None:
    """Say how to fill a store, where it has no passages.

    Args:
        place: Folder or address of the store, as it was given.
        store: The store.
    """
    if store.count():
        return
    how = "where its folder or collection is: dpr-rag index CORPUS --store STORE"
    if not is_service(place):
        how = f"with: dpr-rag index CORPUS --store {quote(str(place))}"
    note(f"the store {place} is empty; fill it {how}")
