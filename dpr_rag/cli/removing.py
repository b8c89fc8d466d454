"""The command `delete`: by id, by filter, or by the file that passages were made of."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpr_rag.cli.escaping import printable
from dpr_rag.cli.from_files import Files, made_of
from dpr_rag.cli.options import FilterText, StoreAddress, read_filter
from dpr_rag.cli.stores import open_existing
from dpr_rag.cli.terminal import confirm, note, say
from dpr_rag.cli.usage import usage
from dpr_rag.errors import StoreError

if TYPE_CHECKING:
    from dpr_rag import Passage, Store

_SHARE = 0.1
_SHOWN = 5


def delete(
    store: StoreAddress,
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids of passages.", show_default=False)] = None,
    filter_text: FilterText = None,
    files: Annotated[
        list[str] | None,
        typer.Option(
            "--file",
            metavar="PATH",
            help="All passages that index made of this file, or of what lies in this folder; may be repeated.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be deleted, and delete nothing.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask on a terminal before more than a tenth goes.")
    ] = False,
) -> None:
    """Delete passages by id, all that a filter keeps, or all that came from a file."""
    chosen = read_filter(filter_text)
    if bool(ids) + (chosen is not None) + bool(files) != 1:
        raise typer.BadParameter(
            "name passages by ID, or else by --filter or by --file, and not by both", param_hint="ID"
        )
    if chosen is not None:
        from dpr_rag.filters import parse_filter
        from dpr_rag.store.lookup import check_deletable

        with usage("--filter"):
            check_deletable(parse_filter(chosen))
    if any(not path.strip() for path in files or ()):
        raise typer.BadParameter("a PATH is empty; write . for the current folder", param_hint="--file")
    with open_existing(store, read_only=dry_run) as opened:
        wanted = _wanted(opened, ids, chosen, files)
        if dry_run:
            say(f"would delete {wanted.told(opened)}")
            count = wanted.count(opened)
        else:
            _ask(wanted, opened, yes=yes)
            count = opened.delete(wanted.ids) if wanted.ids else opened.delete(filter=wanted.where)
            say(f"deleted {count:,}; {opened.count():,} left")
    if count < len(wanted.ids):
        note(f"{len(wanted.ids) - count:,} of {len(wanted.ids):,} ids are not in the store")
    if wanted.missing:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The passages that are to go: their ids, or what tells them from the others; and the files named in vain."""

    where: Any = None
    ids: frozenset[str] = frozenset()
    missing: Sequence[str] = ()

    def count(self, store: Store) -> int:
        """How many there are."""
        return len(store.get(self.ids)) if self.ids else store.count(self.where)

    def told(self, store: Store) -> str:
        """How many of all there are, and the first of their ids."""
        count = self.count(store)
        found = islice(store.get(sorted(self.ids)), _SHOWN) if self.ids else store.select(self.where, _SHOWN)
        first = [printable(passage.id) for passage in found]
        shown = f": {', '.join(first)}{', …' if count > len(first) else ''}" if first else ""
        return f"{count:,} of {store.count():,} passages{shown}"


def _wanted(
    store: Store, ids: Sequence[str] | None, chosen: dict[str, Any] | None, files: Sequence[str] | None
) -> _Wanted:
    if ids:
        return _Wanted(ids=frozenset(ids))
    if chosen is not None:
        return _Wanted(chosen)
    return _of_files(store, files or [])


def _of_files(store: Store, files: Sequence[str]) -> _Wanted:
    from dpr_rag.stores import whole

    known = Files(whole(store))
    found = {path: known.find(path) for path in files}
    missing = [path for path, made in found.items() if not made]
    if len(missing) == len(found):
        raise StoreError(
            f"no passage of {store.path} came from {', '.join(map(repr, missing)):.300}; name a file as it was indexed"
        )
    if missing:
        note(f"no passage came from {printable(', '.join(missing))}")
    gone = set().union(*found.values())

    def keeps(passage: Passage) -> bool:
        return made_of(passage) in gone

    return _Wanted(keeps, missing=missing)


def _ask(wanted: _Wanted, store: Store, *, yes: bool) -> None:
    """Ask whoever sits at a terminal before a large part of a store goes."""
    if yes or not _at_terminal():
        return
    count = wanted.count(store)
    if count > 1 and count > _SHARE * store.count():
        confirm(f"delete {wanted.told(store)}?")


def _at_terminal() -> bool:
    return sys.stdin.isatty()
