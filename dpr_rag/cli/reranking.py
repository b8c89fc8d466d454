"""The second stage of commands that ask: the options that name a reader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dpr_rag import Reader


@dataclass(frozen=True, slots=True)
class SecondStage:
    """What reads the passages that were found, and how many of them."""

    rerank: Annotated[
        str | None,
        typer.Option(
            "--rerank", metavar="READER", help="Rank anew with a reader: its folder or hub name. It points out answers."
        ),
    ] = None
    first: Annotated[
        int, typer.Option("--rerank-first", metavar="N", min=1, help="With --rerank: passages that it reads.")
    ] = 20

    def reader(self) -> Reader | None:
        """The reader that was named, loaded.

        Raises:
            ModelError: It is none.
        """
        if self.rerank is None:
            return None
        from dpr_rag import Reader

        return Reader.from_pretrained(self.rerank)
