"""Opens the store that a command fills: a folder or a Milvus collection, created if there is none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from dpr_rag.cli.models import facts_of, folder_info
from dpr_rag.cli.options import check_store_options
from dpr_rag.cli.terminal import note
from dpr_rag.cli.usage import parsing
from dpr_rag.paths import is_address, is_milvus, is_service, store_of

if TYPE_CHECKING:
    from dpr_rag import Encoder
    from dpr_rag.milvus.origin import Origin
    from dpr_rag.stores import Store, WholeStore


class StoredAs(StrEnum):
    """The number type in which a new store keeps vectors."""

    float32 = "float32"
    float16 = "float16"


Dtype = Annotated[StoredAs | None, typer.Option("--dtype", help="How a new store keeps vectors (default: float32).")]
PartitionKey = Annotated[
    str | None,
    typer.Option(
        "--partition-key",
        metavar="FIELD",
        help="Of a new collection of a Milvus: the metadata field by whose values passages lie in partitions, e.g. tenant.",
    ),
]
_FILLED = "Folder of the store, or a collection of a Milvus: milvus://HOST:PORT/NAME, milvus+lite:FILE.db."


def fillable(address: str) -> str:
    """Check the address of a store to fill: a folder or a collection.

    Raises:
        typer.BadParameter: It is a service.
        PathError: It is neither a path nor a valid address.
    """
    if is_service(address):
        raise typer.BadParameter(
            f"{address!r:.200} is a service, which fills no store; name the folder or the collection behind it"
        )
    return store_of(address)


StoreOption = Annotated[
    str, typer.Option("--store", metavar="STORE", help=_FILLED, show_default=False, parser=parsing(fillable))
]
OutStore = Annotated[
    str,
    typer.Option(
        "--out",
        "-o",
        metavar="STORE",
        help=f"{_FILLED} It is made or extended.",
        show_default=False,
        parser=parsing(fillable),
    ),
]


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """The options of a new store; an existing one keeps its own.

    Attributes:
        kind: Kind of index.
        language: Language of BM25's stemmer; for a folder.
        dtype: Number type of the vectors; for a folder.
        bind: Attach the encoder to vectors that came without one; for a folder.
        partition_key: Metadata field whose value determines the partition; for a collection.
    """

    kind: str | None = None
    language: str | None = None
    dtype: StoredAs | None = None
    bind: bool = False
    partition_key: str | None = None

    def check(self, place: str) -> None:
        """Refuse unknown values, and options that do not go with this kind of store.

        Raises:
            typer.BadParameter: An option is wrong.
        """
        check_store_options(self.kind, self.language, place)
        of_folders = {"--language": self.language, "--dtype": self.dtype, "--bind": self.bind or None}
        wrong = [name for name, value in of_folders.items() if value is not None] if is_address(place) else []
        if wrong:
            raise typer.BadParameter(
                f"it goes with the folder of a store, and {place!r:.200} is an address", param_hint=wrong[0]
            )
        if self.partition_key is not None and not is_milvus(place):
            raise typer.BadParameter(
                f"it goes with a collection of a Milvus, and {place!r:.200} is a folder", param_hint="--partition-key"
            )

    def with_origin(self, origin: Origin) -> StoreOptions:
        """The same options; those that were not given are taken from the store that the passages come from."""
        dtype = None if origin.dtype is None else StoredAs(origin.dtype)
        return replace(self, language=self.language or origin.language, dtype=self.dtype or dtype)

    def opened(self, place: str, encoder: Encoder | None) -> WholeStore:
        """Open a store for writing, or create it."""
        if is_address(place):
            from dpr_rag import MilvusStore

            facts = facts_of(place)
            if self.kind is not None and facts is not None:
                note("the collection keeps its index; another one takes a new collection: dpr-rag copy")
            return MilvusStore.open(place, encoder=encoder, index=self.kind or "auto", partition_key=self.partition_key)
        from dpr_rag import PassageStore

        exists = note_ignored_options(Path(place), self.kind, self.dtype, self.language)
        index, language = ("auto", None) if exists else (self.kind or "auto", self.language)
        dtype = (self.dtype or StoredAs.float32).value
        return PassageStore.open(place, encoder=encoder, bind=self.bind, index=index, dtype=dtype, language=language)


def await_compaction(store: Store) -> None:
    """Wait for the compaction that changes of a folder have started, before the command ends and cancels it."""
    from dpr_rag import PassageStore

    if isinstance(store, PassageStore):
        store.wait_for_compaction()


def note_ignored_options(store: Path, kind: str | None, dtype: StoredAs | None, language: str | None) -> bool:
    """Whether the store exists; notes each option that differs from its settings and so has no effect."""
    info = folder_info(store)
    if info is None:
        return False
    changed = f"change it with: dpr-rag optimize {quote(str(store))}"
    if language not in (None, info.language):
        note(f"the store keeps the language {info.language}; {changed} --language {language}")
    if kind not in (None, info.index):
        note(f"the store keeps its index {info.index!r}; {changed} --index {kind}")
    if dtype is not None and dtype.value != info.dtype:
        note(f"the store keeps its vectors as {info.dtype}; that was settled when it was created")
    return True
