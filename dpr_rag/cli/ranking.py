"""The options of commands that rank passages."""

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
class BM25Options:
    """The options of BM25."""

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
    def given(self) -> dict[str, float]:
        """The parameters of BM25 that were given."""
        given = {"k1": self.k1, "b": self.b, "phrases": self.phrases}
        return {name: value for name, value in given.items() if value is not None}

    def bm25(self) -> BM25:
        """The parameters of BM25, the rest by default.

        Raises:
            typer.BadParameter: One is out of range, or the language is unknown.
        """
        from dpr_rag import BM25

        check_store_options(None, self.language)
        with usage():
            return BM25(**self.given)


@dataclass(frozen=True, slots=True)
class HybridOptions(BM25Options):
    """The options of BM25, and the number of candidates of a hybrid ranking."""

    candidates: Annotated[
        int | None,
        typer.Option(
            "--candidates",
            metavar="N",
            help="For hybrid: how many passages each leg brings (default: as tuned, or 200).",
        ),
    ] = None

    def ranking_options(self, mode: str | None, weight: float | None, fusion: str | None) -> RankingOptions:
        """These options with a mode, a weight and a fusion.

        Raises:
            typer.BadParameter: A value is out of range or goes with another mode, or the language is unknown.
        """
        from dpr_rag.fusion import RankingOptions

        check_store_options(None, self.language)
        values: Any = {"mode": mode, "fusion": fusion, **self.given}  # RankingOptions refuses unknown values
        with usage():
            return RankingOptions(weight=weight, candidates=self.candidates, **values)


@dataclass(frozen=True, slots=True)
class RankingChoice(HybridOptions):
    """All options of a ranking."""

    mode: Mode = None
    weight: Weight = None
    fusion: FusionKind = None

    @property
    def options(self) -> RankingOptions:
        """The options as one object.

        Raises:
            typer.BadParameter: A value is out of range or goes with another mode, or the language is unknown.
        """
        return self.ranking_options(self.mode, self.weight, self.fusion)
