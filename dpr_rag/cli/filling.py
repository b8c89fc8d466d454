"""Opens the store that a command fills: a folder or a Milvus collection, created if there is none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpr_rag.cli.models import facts_of, look
from dpr_rag.cli.options import check_store_options
from dpr_rag.cli.terminal import note
from dpr_rag.paths import is_address, is_engine, is_service, store_of

if TYPE_CHECKING:
    from dpr_rag import Encoder
    from dpr_rag.milvus.origin import Origin
    from dpr_rag.stores import WholeStore


class StoredAs(StrEnum):
    """How a new store keeps its vectors."""

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


def fillable(given: str) -> str:
    """Where passages can go.

    Raises:
        typer.BadParameter: It is a service.
        PathError: It is no place.
    """
    if is_service(given):
        raise typer.BadParameter(
            f"{given!r:.200} is a service, which fills no store; name the folder or the collection behind it"
        )
    return store_of(given)


StoreOption = Annotated[
    str, typer.Option("--store", metavar="STORE", help=_FILLED, show_default=False, parser=fillable)
]
OutStore = Annotated[
    str,
    typer.Option(
        "--out", "-o", metavar="STORE", help=f"{_FILLED} It is made or extended.", show_default=False, parser=fillable
    ),
]


@dataclass(frozen=True, slots=True)
class New:
    """What a store is made as; one that exists keeps what it is.

    Attributes:
        kind: Index.
        language: Whose words BM25 stems; of a folder.
        dtype: How vectors are kept; of a folder.
        bind: Attach the encoder to vectors that came without one; of a folder.
        partition_key: Of a collection.
    """

    kind: str | None = None
    language: str | None = None
    dtype: StoredAs | None = None
    bind: bool = False
    partition_key: str | None = None

    def check(self, place: str) -> None:
        """Refuse what there is not, or not there.

        Raises:
            typer.BadParameter: There is such an option.
        """
        check_store_options(self.kind, self.language, place)
        of_folders = {"--language": self.language, "--dtype": self.dtype, "--bind": self.bind or None}
        wrong = [name for name, value in of_folders.items() if value is not None] if is_address(place) else []
        if wrong:
            raise typer.BadParameter(
                f"it goes with the folder of a store, and {place!r:.200} is an address", param_hint=wrong[0]
            )
        if self.partition_key is not None and not is_engine(place):
            raise typer.BadParameter(
                f"it goes with a collection of a Milvus, and {place!r:.200} is a folder", param_hint="--partition-key"
            )

    def like(self, origin: Origin) -> New:
        """The same for a folder that takes the passages of a store; what was not named is as there."""
        dtype = None if origin.dtype is None else StoredAs(origin.dtype)
        return replace(self, language=self.language or origin.language, dtype=self.dtype or dtype)

    def opened(self, place: str, encoder: Encoder | None) -> WholeStore:
        """Open a store for writing, or make it."""
        if is_address(place):
            from dpr_rag import MilvusStore

            known = facts_of(place)
            if self.kind is not None and known is not None:
                note("the collection keeps its index; another one takes a new collection: dpr-rag copy")
            return MilvusStore.open(place, encoder=encoder, index=self.kind or "auto", partition_key=self.partition_key)
        from dpr_rag import PassageStore

        settled = note_settled(Path(place), self.kind, self.dtype, self.language)
        asked, words = ("auto", None) if settled else (self.kind or "auto", self.language)
        how = (self.dtype or StoredAs.float32).value
        return PassageStore.open(place, encoder=encoder, bind=self.bind, index=asked, dtype=how, language=words)


def await_compaction(store: WholeStore) -> None:
    """Wait for the compaction that additions to a folder have started, before the command ends and cancels it."""
    from dpr_rag import PassageStore

    if isinstance(store, PassageStore):
        store.wait_for_compaction()


def note_settled(store: Path, kind: str | None, dtype: StoredAs | None, language: str | None) -> bool:
    """Whether the store exists already; prints a note for each option that differs from its settings and has no effect."""
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
