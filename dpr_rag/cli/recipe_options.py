"""The options of `train` that belong to single recipes, and the check that they fit the chosen one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dpr_rag.cli.usage import is_given, parsing
from dpr_rag.paths import place_of


class RecipeName(StrEnum):
    """The published recipes."""

    dpr = "dpr"
    ance = "ance"
    tas_b = "tas-b"
    contriever = "contriever"
    reader = "reader"


Recipe = Annotated[
    RecipeName,
    typer.Option(
        "--recipe",
        help="dpr (Karpukhin et al. 2020), ance (Xiong et al. 2021), tas-b (Hofstätter et al. 2021), contriever (Izacard "
        "et al. 2022), whose TRAIN are passages without questions, or reader: DPR's second stage, from answers in TRAIN.",
    ),
]
_ENCODERS = ("dpr", "ance", "tas-b", "contriever")
_BELONGS: Mapping[str, tuple[str, ...]] = {
    "--weight": ("dpr",),
    **dict.fromkeys(("--store", "--refresh", "--depth"), ("ance",)),
    **dict.fromkeys(("--teacher", "--scored", "--batch-teacher", "--clusters"), ("tas-b",)),
    **dict.fromkeys(("--queue", "--momentum", "--deletion"), ("contriever",)),
    "--hard-negatives": ("dpr", "ance", "reader"),
    "--frozen": ("reader",),
    **dict.fromkeys(("--towers", "--dev-store", "--dev-questions"), _ENCODERS),
    "--temperature": ("dpr", "ance", "contriever"),
}


@dataclass(frozen=True, slots=True)
class RecipeOptions:
    """The options that belong to single recipes."""

    weights: Annotated[
        list[float] | None,
        typer.Option(
            "--weight",
            metavar="W",
            help="dpr: how often the samples of a file come in an epoch; once for each TRAIN, in their order.",
        ),
    ] = None
    store: Annotated[
        Path | None,
        typer.Option(
            "--store",
            metavar="DIR",
            help="ance: the store whose passages are searched for negatives.",
            parser=parsing(place_of),
        ),
    ] = None
    refresh: Annotated[
        int | None,
        typer.Option(
            "--refresh",
            min=1,
            help="ance: steps between searches (default: a fifth of the questions, as in its code; its paper has 10,000).",
        ),
    ] = None
    depth: Annotated[int, typer.Option("--depth", min=1, help="ance: worst rank of a negative (its paper's).")] = 200
    teacher: Annotated[
        str | None,
        typer.Option(
            "--teacher",
            metavar="MODEL",
            help="tas-b: cross-encoder (or encoder) that scores each question's own passages.",
        ),
    ] = None
    scored: Annotated[
        bool, typer.Option("--scored", help="tas-b: the scores in TRAIN are a teacher's, and --teacher is not needed.")
    ] = False
    batch_teacher: Annotated[
        str | None,
        typer.Option(
            "--batch-teacher",
            metavar="MODEL",
            help="tas-b: scores every passage of a batch, with a weight of 0.75 (in the paper ColBERT; default: none).",
        ),
    ] = None
    clusters: Annotated[
        int | None,
        typer.Option(
            "--clusters",
            min=1,
            help="tas-b: clusters of questions, of which a batch is one's (default: one for 200, at most 2,000, the paper's).",
        ),
    ] = None
    queue: Annotated[
        int,
        typer.Option(
            "--queue",
            min=0,
            help="contriever: texts that MoCo's queue remembers (its paper's); 0 takes the batch alone.",
        ),
    ] = 131_072
    momentum: Annotated[
        float,
        typer.Option("--momentum", min=0, max=1, help="contriever: of the tower that fills the queue (its paper's)."),
    ] = 0.9995
    deletion: Annotated[
        float,
        typer.Option("--deletion", min=0, max=1, help="contriever: share of words left out of a crop (its paper's)."),
    ] = 0.1
    frozen: Annotated[
        int, typer.Option("--frozen", metavar="N", min=0, help="reader: first layers that stay as they are.")
    ] = 0


def refuse_foreign(context: typer.Context, recipe: RecipeName, options: RecipeOptions) -> None:
    """Refuse options that do not belong to the recipe, by name.

    Raises:
        typer.BadParameter: One was given.
    """
    given = {parameter.opts[0] for parameter in context.command.params if is_given(context, parameter.name or "")}
    for option, recipes in _BELONGS.items():
        if option in given and recipe.value not in recipes:
            raise typer.BadParameter(
                f"{option} belongs to --recipe {' and '.join(recipes)}, not to {recipe.value}; leave it out",
                param_hint=option,
            )
    if recipe is RecipeName.contriever and options.queue and "--towers" in given:
        raise typer.BadParameter(
            "--towers does not go with contriever's queue, which a tower of its own fills; leave it out, or pass --queue 0",
            param_hint="--towers",
        )
    if not options.queue and "--momentum" in given:
        raise typer.BadParameter(
            "--momentum moves the tower of the queue, which --queue 0 has not", param_hint="--momentum"
        )
