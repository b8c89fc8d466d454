"""The command `delete`: by id, by filter, or by the file that passages were made of."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpr_rag.cli.escaping import printable
from dpr_rag.cli.filling import await_compaction
from dpr_rag.cli.from_files import Files, file_of
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
    filter = read_filter(filter_text)
    if bool(ids) + (filter is not None) + bool(files) != 1:
        raise typer.BadParameter(
            "name passages by ID, or else by --filter or by --file, and not by both", param_hint="ID"
        )
    if filter is not None:
        from dpr_rag.filters import parse_filter
        from dpr_rag.store.lookup import check_deletable

        with usage("--filter"):
            check_deletable(parse_filter(filter))
    if any(not path.strip() for path in files or ()):
        raise typer.BadParameter("a PATH is empty; write . for the current folder", param_hint="--file")
    with open_existing(store, read_only=dry_run) as opened:
        selection = _selected(opened, ids, filter, files)
        if dry_run:
            say(f"would delete {selection.summary(opened)}")
            count = selection.count(opened)
        else:
            _ask(selection, opened, yes=yes)
            count = opened.delete(selection.ids) if selection.ids else opened.delete(filter=selection.where)
            say(f"deleted {count:,}; {opened.count():,} left")
            await_compaction(opened)
    if count < len(selection.ids):
        note(f"{len(selection.ids) - count:,} of {len(selection.ids):,} ids are not in the store")
    if selection.missing:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Selection:
    """The passages to delete, by ids or by a condition; and the named files that no passage came from."""

    where: Any = None
    ids: frozenset[str] = frozenset()
    missing: Sequence[str] = ()

    def count(self, store: Store) -> int:
        """The number of passages."""
        return len(store.get(self.ids)) if self.ids else store.count(self.where)

    def summary(self, store: Store) -> str:
        """Their number, the store's, and the first ids, for people to read."""
        count = self.count(store)
        passages = islice(store.get(sorted(self.ids)), _SHOWN) if self.ids else store.select(self.where, _SHOWN)
        names = [printable(passage.id) for passage in passages]
        shown = f": {', '.join(names)}{', …' if count > len(names) else ''}" if names else ""
        return f"{count:,} of {store.count():,} passages{shown}"


def _selected(
    store: Store, ids: Sequence[str] | None, chosen: dict[str, Any] | None, files: Sequence[str] | None
) -> _Selection:
    if ids:
        return _Selection(ids=frozenset(ids))
    if chosen is not None:
        return _Selection(chosen)
    return _of_files(store, files or [])


def _of_files(store: Store, files: Sequence[str]) -> _Selection:
    from dpr_rag.stores import whole

    indexed = Files(whole(store))
    by_path = {path: indexed.find(path) for path in files}
    missing = [path for path, matches in by_path.items() if not matches]
    if len(missing) == len(by_path):
        raise StoreError(
            f"no passage of {store.path} came from {', '.join(map(repr, missing)):.300}; name a file as it was indexed"
        )
    if missing:
        note(f"no passage came from {printable(', '.join(missing))}")
    to_delete = set().union(*by_path.values())

    def keeps(passage: Passage) -> bool:
        return file_of(passage) in to_delete

    return _Selection(keeps, missing=missing)


def _ask(selection: _Selection, store: Store, *, yes: bool) -> None:
    """Ask on a terminal before a large part of a store is deleted."""
    if yes or not _at_terminal():
        return
    count = selection.count(store)
    if count > 1 and count > _SHARE * store.count():
        confirm(f"delete {selection.summary(store)}?")


def _at_terminal() -> bool:
    return sys.stdin.isatty()
