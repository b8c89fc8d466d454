"""How a command ranks: the options that say so, and what they become where a store is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpr_rag.cli.options import FusionKind, Language, Mode, Weight, check_store_options
from dpr_rag.cli.usage import usage

if TYPE_CHECKING:
    from dpr_rag import BM25
    from dpr_rag.fusion import RankingOptions


@dataclass(frozen=True, slots=True)
class Words:
    """How words are looked for, of every command that may look for them."""

    k1: Annotated[
        float | None,
        typer.Option(
            "--k1", help="BM25: how much it counts that a word comes often, from 0 (default: as tuned, or 0.9)."
        ),
    ] = None
    b: Annotated[
        float | None,
        typer.Option("--b", help="BM25: how much long passages are held back, 0 to 1 (default: as tuned, or 0.4)."),
    ] = None
    phrases: Annotated[
        float | None,
        typer.Option(
            "--phrases",
            help="How much neighbouring words count, from 0 (default: as tuned, or 0.5 in hybrid and 0 in bm25).",
        ),
    ] = None
    language: Language = None

    @property
    def said(self) -> dict[str, float]:
        """The parameters of BM25 that were given."""
        given = {"k1": self.k1, "b": self.b, "phrases": self.phrases}
        return {name: value for name, value in given.items() if value is not None}

    def bm25(self) -> BM25:
        """Those parameters, the rest by default.

        Raises:
            typer.BadParameter: One is out of range, or there is no such language.
        """
        from dpr_rag import BM25

        check_store_options(None, self.language)
        with usage():
            return BM25(**self.said)


@dataclass(frozen=True, slots=True)
class Legs(Words):
    """The same, and how many passages each leg of a hybrid ranking brings."""

    candidates: Annotated[
        int | None,
        typer.Option(
            "--candidates",
            metavar="N",
            help="For hybrid: how many passages each leg brings (default: as tuned, or 200).",
        ),
    ] = None

    def wishes(self, mode: str | None, weight: float | None, fusion: str | None) -> RankingOptions:
        """All that was said of one ranking.

        Raises:
            typer.BadParameter: A value is out of range, or goes with another mode, or there is no such language.
        """
        from dpr_rag.fusion import RankingOptions

        check_store_options(None, self.language)
        said: Any = {"mode": mode, "fusion": fusion, **self.said}  # it refuses what it does not know
        with usage():
            return RankingOptions(weight=weight, candidates=self.candidates, **said)


@dataclass(frozen=True, slots=True)
class RankingChoice(Legs):
    """All that can be said of how one ranks."""

    mode: Mode = None
    weight: Weight = None
    fusion: FusionKind = None

    @property
    def asked(self) -> RankingOptions:
        """The same as the store takes it.

        Raises:
            typer.BadParameter: A value is out of range, or goes with another mode, or there is no such language.
        """
        return self.wishes(self.mode, self.weight, self.fusion)
