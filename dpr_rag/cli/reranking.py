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
    """What reads the passages that were found, and how many of them."""

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
        """Arguments of a ``Retriever``, beside the reader itself."""
        return {"rerank": self.first, "rerank_weight": self.weight}

    def stage(self) -> Stage | None:
        """The whole of it, loaded; None where no reader was named.

        Raises:
            ModelError: What was named is none.
        """
        from dpr_rag import SecondStage as Stage

        reader = self.reader()
        return None if reader is None else Stage(reader, **self.options)

    def told(self, reader: Reader) -> str:
        """The second stage in words."""
        return f"{reader.source}, {reader.runtime}, of the first {self.first}, with a weight of {self.weight:g}"

    def reader(self) -> Reader | None:
        """The reader that was named, loaded.

        Raises:
            ModelError: It is none.
        """
        return None if self.rerank is None else load_reader(self.rerank)


def load_reader(model: str | None, **where: Any) -> Reader:
    """A reader by folder or hub name, or the one of the package.

    Args:
        model: None and ``default`` are the package's own.
        where: What :meth:`dpr_rag.Reader.from_pretrained` takes, such as ``device``.

    Raises:
        ModelError: It is none, or none comes with the package.
    """
    from dpr_rag import Reader

    return Reader.default(**where) if model in (None, "default") else Reader.from_pretrained(model, **where)
