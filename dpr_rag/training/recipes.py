"""The published recipes by name: their hyperparameters, and where those are published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipe:
    """The default hyperparameters of a recipe.

    Attributes:
        name: What it is called.
        source: Where it and its numbers stand.
        batch_size: Questions (or texts) of a batch.
        learning_rate: Highest rate of AdamW; ANCE's own optimizer is LAMB.
        warmup_steps: Steps over which the rate rises, or a tenth of all where that is less.
        epochs: How often every sample is seen.
        steps: Steps in all, instead of epochs.
        temperature: Scores are divided by it; None goes by the model.
        hard_negatives: Of a question in each epoch, where the recipe takes any.
    """

    name: str
    source: str
    batch_size: int
    learning_rate: float
    warmup_steps: int
    epochs: int = 40
    steps: int | None = None
    temperature: float | None = None
    hard_negatives: int = 1


RECIPES: Mapping[str, Recipe] = {
    one.name: one
    for one in (
        Recipe("dpr", "Karpukhin et al. 2020 and conf/train/biencoder_nq.yaml of its code", 128, 2e-5, 1237),
        Recipe(
            "ance", "Xiong et al. 2021 and commands/run_train.sh of its code: 8 a GPU, 4 GPUs, 2 steps", 64, 1e-6, 5000
        ),
        Recipe(
            "tas-b",
            "Hofstätter et al. 2021, its largest batches; config/train/defaults.yaml and modes/tas_balanced.yaml of matchmaker: "
            "Adam at 7e-6 without weight decay, in-batch weight .75, ten bins",
            *(256, 7e-6, 1237),
        ),
        Recipe(
            "contriever",
            "Izacard et al. 2022, and example_scripts/contriever.sh of its code: 64 a GPU, 32 GPUs, crops of .05 to .5 of 256 "
            "tokens (its README says .1), deletion .1",
            2048,
            5e-5,
            20_000,
            steps=500_000,
            temperature=0.05,
        ),
        Recipe(
            "reader",
            "Karpukhin et al. 2020, section 6.1; the numbers are for a small reader that begins with an encoder of sentences",
            *(16, 5e-5, 1237),
            epochs=2,
            hard_negatives=2,
        ),
    )
}
"""Epochs are DPR's where a paper counts none, and so is the rest of the optimizer: a warm-up and a straight
fall for TAS-B, whose code has a cosine; no weight decay and AdamW's own betas for Contriever, whose code has .01 and (.9, .98);
gradients clipped at 2.0, which neither code does."""
