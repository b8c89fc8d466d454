"""The options of `train` that all recipes share: the settings of a training, with each recipe's defaults."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from dpr_rag.cli.recipe_options import RecipeName
from dpr_rag.cli.usage import usage

if TYPE_CHECKING:
    from dpr_rag.training import TrainingSettings

_OF_A_RECIPE = ("batch_size", "learning_rate", "epochs", "temperature", "hard_negatives")


class Towers(StrEnum):
    """One tower or two."""

    as_given = "as-given"
    shared = "shared"
    separate = "separate"


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """The fields of ``TrainingSettings`` that are options; None where the recipe, or the data, decide."""

    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch",
            min=1,
            help="Questions of a batch (default: 128; ance 64, tas-b 256, contriever 2,048, reader 16).",
        ),
    ] = None
    hard_negatives: Annotated[
        int | None,
        typer.Option(
            "--hard-negatives", min=0, help="dpr, ance, reader: of a question in each epoch (default: 1; reader 2)."
        ),
    ] = None
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs", min=1, help="How often every sample is seen (default: 40; reader 2; contriever 500,000 steps)."
        ),
    ] = None
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Steps in all, instead of epochs.")] = None
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--lr", help="Highest learning rate (default: 2e-5; ance 1e-6, tas-b 7e-6, contriever and reader 5e-5)."
        ),
    ] = None
    warmup_steps: Annotated[
        int | None,
        typer.Option(
            "--warmup",
            min=0,
            help="Steps of warm-up (default: 1,237, ance 5,000, contriever 20,000, or a tenth of all if less).",
        ),
    ] = None
    dropout: Annotated[float, typer.Option("--dropout", help="Of hidden states and attention.")] = 0.1
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature",
            help="Scores are divided by it (default: 0.05 for contriever and where vectors are normalised, else 1).",
        ),
    ] = None
    towers: Annotated[Towers, typer.Option("--towers", help="Train one tower or two.")] = Towers.as_given
    accumulate: Annotated[int, typer.Option("--accumulate", min=1, help="Batches of one step.")] = 1
    bf16: Annotated[bool, typer.Option("--bf16", help="Run the towers in bfloat16.")] = False
    chunk_tokens: Annotated[
        int | None,
        typer.Option("--chunk-tokens", min=1, help="Tokens that are trained on at once: less memory if fewer."),
    ] = None
    validate_every: Annotated[
        int | None, typer.Option("--validate-every", min=1, help="Steps between validations (default: every epoch).")
    ] = None
    select: Annotated[
        str | None, typer.Option("--select", metavar="MEASURE", help="What the best weights are kept by, or last.")
    ] = None
    average_with_start: Annotated[
        float, typer.Option("--average-with-start", help="Share of the starting weights in those written.")
    ] = 0.0
    save_every: Annotated[int, typer.Option("--save-every", min=1, help="Steps between saved states.")] = 500
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of order, draws and dropout.")] = 0

    def settings(self, recipe: RecipeName, *, bf16: bool) -> TrainingSettings:
        """The settings, with the recipe's defaults, see :data:`~dpr_rag.training.recipes.RECIPES`.

        Raises:
            typer.BadParameter: A value is out of range, or does not go with another one.
        """
        from dpr_rag.training import TrainingSettings
        from dpr_rag.training.recipes import RECIPES

        defaults = RECIPES[recipe.value]
        values = {**asdict(self), "towers": self.towers.value, "bf16": bf16}
        if self.steps is None and self.epochs is None:
            values["steps"] = defaults.steps
        missing = {name: getattr(defaults, name) for name in _OF_A_RECIPE if values[name] is None}
        with usage():
            return TrainingSettings(**(values | missing))
