"""The second stage of commands that ask: the options that name a reader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpr_rag.reading.balance import WEIGHT

if TYPE_CHECKING:
    from dpr_rag import Reader
    from dpr_rag import SecondStage as Stage


Share = Annotated[
    float,
    typer.Option(
        "--rerank-weight",
        metavar="SHARE",
        min=0,
        max=1,
        help="What the reader counts in the order, from 0 to 1; the rest is the search's.",
    ),
]


@dataclass(frozen=True, slots=True)
class SecondStage:
    """The options of the second stage: the reader, how many hits it reads, and its weight."""

    rerank: Annotated[
        str | None,
        typer.Option(
            "--rerank",
            metavar="READER",
            help="Rank anew with a reader: its folder or hub name, or default for the built-in one. It points out answers.",
        ),
    ] = None
    first: Annotated[
        int, typer.Option("--rerank-first", metavar="N", min=1, help="With --rerank: passages that it reads.")
    ] = 20
    weight: Share = WEIGHT

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of a ``Retriever`` besides the reader itself."""
        return {"rerank": self.first, "rerank_weight": self.weight}

    def stage(self) -> Stage | None:
        """Load the second stage; None if no reader was named.

        Raises:
            ModelError: The named model is not a reader.
        """
        from dpr_rag import SecondStage as Stage

        reader = self.reader()
        return None if reader is None else Stage(reader, **self.options)

    def describe(self, reader: Reader) -> str:
        """Describe the second stage for people."""
        return f"{reader.source}, {reader.runtime}, of the first {self.first}, with a weight of {self.weight:g}"

    def reader(self) -> Reader | None:
        """Load the named reader; None if none was named.

        Raises:
            ModelError: It is not a reader.
        """
        return None if self.rerank is None else load_reader(self.rerank)


def load_reader(model: str | None, **where: Any) -> Reader:
    """Load a reader by folder or hub name, or the package's own.

    Args:
        model: Folder or hub name; None and ``default`` mean the package's own.
        where: Arguments of :meth:`dpr_rag.Reader.from_pretrained`, such as ``device``.

    Raises:
        ModelError: It is not a reader, or the package has none.
    """
    from dpr_rag import Reader

    return Reader.default(**where) if model in (None, "default") else Reader.from_pretrained(model, **where)
