"""Prepares training for each recipe of `train`: batches, an objective and settings, from data and options."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dpr_rag.cli.mining import note_lines
from dpr_rag.cli.models import folder_info
from dpr_rag.cli.recipe_options import RecipeName, RecipeOptions
from dpr_rag.cli.terminal import note, progress
from dpr_rag.errors import NotAStoreError, TrainingError

if TYPE_CHECKING:
    from dpr_rag import DualEncoder, Passage
    from dpr_rag.corpora import TrainingSample
    from dpr_rag.training import BatchSource, Objective, TrainingSettings
    from dpr_rag.training.processes import Processes


_WIDEST = 2


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a recipe trains with.

    Attributes:
        source: The batches.
        objective: The objective; None is DPR's.
        settings: The settings, with the recipe's defaults.
        steps: Number of steps.
    """

    source: BatchSource
    objective: Objective | None
    settings: TrainingSettings
    steps: int


@dataclass(frozen=True, slots=True)
class Preparation:
    """The inputs that all recipes share.

    Attributes:
        data: The training files.
        options: The options of single recipes.
        settings: The settings that all recipes have.
        start: Returns the encoder that training starts from, loaded once.
        output: The output folder.
        group: The processes that train together.
        quiet: Whether progress is hidden.
        open: Closes stores when training has ended.
        device: Where teachers run, as the training does; None takes a GPU where there is one.
    """

    data: Sequence[Path]
    options: RecipeOptions
    settings: TrainingSettings
    start: Callable[[], DualEncoder]
    output: Path
    group: Processes
    quiet: bool
    open: ExitStack
    device: str | None = None

    def of(self, recipe: RecipeName) -> Prepared:
        """Read the data and prepare them for a recipe.

        Raises:
            typer.BadParameter: An option is missing, or does not go with another.
            CorpusError: The data cannot be read.
            TrainingError: They cannot be trained on.
        """
        from dpr_rag.training.recipes import RECIPES

        makers = {
            RecipeName.dpr: self._dpr,
            RecipeName.ance: self._ance,
            RecipeName.tas_b: self._tas_b,
            RecipeName.contriever: self._contriever,
        }
        prepared = makers[recipe]()
        if recipe is RecipeName.dpr or prepared.settings.warmup_steps is not None:
            return prepared
        warmup = min(RECIPES[recipe.value].warmup_steps, prepared.steps // 10)
        return replace(prepared, settings=replace(prepared.settings, warmup_steps=warmup))

    def _dpr(self) -> Prepared:
        from dpr_rag.training import RandomBatches, WeightedBatches

        settings, weights = self.settings, self.options.weights
        batch, hard = settings.batch_size, settings.hard_negatives
        if weights is None:
            return self._prepared(RandomBatches(self.samples(*self.data), batch_size=batch, hard_negatives=hard))
        if len(weights) != len(self.data):
            raise typer.BadParameter(
                f"{len(weights)} weights for {len(self.data)} files; give --weight once for each TRAIN, in their order",
                param_hint="--weight",
            )
        source = WeightedBatches(
            [self.samples(file) for file in self.data], weights, batch_size=batch, hard_negatives=hard
        )
        if self.group.first:
            note_lines(
                f"{count:,} samples of {path} in an epoch" for path, count in zip(self.data, source.counts, strict=True)
            )
        return self._prepared(source)

    def _ance(self) -> Prepared:
        from dpr_rag import PassageStore
        from dpr_rag.training.ance import AnceBatches

        options, settings = self.options, self.settings
        if options.store is None:
            raise typer.BadParameter("ance searches a store for its negatives; name it", param_hint="--store")
        samples = self.samples(*self.data)
        store = self.open.enter_context(PassageStore.open(options.store, create=False, read_only=True))
        refresh = None if options.refresh is None else options.refresh * settings.accumulate
        source = AnceBatches(
            samples,
            store,
            batch_size=settings.batch_size,
            hard_negatives=settings.hard_negatives,
            depth=options.depth,
            refresh=refresh,
        )
        of_epochs = source.steps_of(settings.epochs, accumulate=settings.accumulate)
        return self._prepared(source, steps=settings.steps or of_epochs)

    def _tas_b(self) -> Prepared:
        from dpr_rag.training.folder import OutputFolder
        from dpr_rag.training.tas_b import MarginMSE
        from dpr_rag.training.teaching import Teaching, clusters_for, teacher_from

        options, settings = self.options, self.settings
        if (options.teacher is None) != options.scored:
            raise typer.BadParameter(
                "tas-b learns a teacher's scores; name the --teacher that gives them, or pass --scored where TRAIN holds them",
                param_hint="--teacher",
            )
        samples = self.with_negatives(self.samples(*self.data), "tas-b")
        teaching = Teaching(
            None if options.teacher is None else teacher_from(options.teacher, device=self.device),
            options.teacher or "",
            options.clusters or clusters_for(len(samples)),
            settings.seed,
        )
        for is_first in (True, False):  # the first process prepares, then the others read
            if is_first == self.group.first:
                with progress("scoring", len(samples), quiet=self.quiet or not is_first) as advance:
                    source = teaching.batches(
                        samples,
                        self.start(),
                        OutputFolder(self.output),
                        batch_size=settings.batch_size,
                        progress=advance,
                    )
            self.group.wait()
        if self.start().profile.normalise and source.widest > _WIDEST and self.group.first:
            note(
                f"the teacher's margins are as wide as {source.widest:.1f}, and those of vectors of length 1 are {_WIDEST} at "
                "most: start from a model that does not normalise, such as --init distilbert-base-uncased --profile tas-b"
            )
        batch_teacher = options.batch_teacher
        objective = MarginMSE(
            in_batch=None if batch_teacher is None else teacher_from(batch_teacher, device=self.device),
            name=batch_teacher or "",
        )
        return self._prepared(source, objective)

    def _contriever(self) -> Prepared:
        from dpr_rag.training import NegativeLogLikelihood
        from dpr_rag.training.contriever import CropBatches, MomentumContrast

        options, settings = self.options, self.settings
        source = CropBatches(self._passages(), batch_size=settings.batch_size, deletion=options.deletion)
        temperature = settings.temperature or 1.0
        if not options.queue:
            return self._prepared(source, NegativeLogLikelihood(temperature=temperature))
        objective = MomentumContrast(queue=options.queue, temperature=temperature, momentum=options.momentum)
        return self._prepared(source, objective, replace(settings, towers="momentum"))

    def _prepared(
        self,
        source: BatchSource,
        objective: Objective | None = None,
        settings: TrainingSettings | None = None,
        *,
        steps: int | None = None,
    ) -> Prepared:
        chosen = settings or self.settings
        if steps is not None:
            chosen = replace(chosen, steps=steps)
        total = chosen.steps or chosen.epochs * -(-len(source) // chosen.accumulate)
        return Prepared(source, objective, chosen, total)

    def samples(self, *paths: Path) -> list[TrainingSample]:
        """Read the samples of some of the files, and note their report and cautions."""
        from dpr_rag.training import read_samples
        from dpr_rag.training.learnable import cautions

        samples, report = read_samples(*paths)
        if self.group.first:
            note(f"{report.samples:,} samples")
            note_lines(report.lines())
            note_lines(cautions(samples, self.settings.batch_size, self.settings.hard_negatives, self.settings))
        return samples

    def with_negatives(self, samples: list[TrainingSample], learner: str) -> list[TrainingSample]:
        """The samples that have hard negatives.

        Raises:
            TrainingError: No sample has any.
        """
        usable = [sample for sample in samples if sample.hard_negatives]
        if not usable:
            raise TrainingError(
                f"none of {len(samples):,} samples has a hard negative, and {learner} learns from pairs; find some with: "
                "dpr-rag mine"
            )
        if len(usable) < len(samples) and self.group.first:
            note(f"{len(samples) - len(usable):,} samples without hard negatives were left out")
        return usable

    def _passages(self) -> Iterator[Passage]:
        from dpr_rag import PassageStore
        from dpr_rag.corpora import open_corpus

        for path in self.data:
            if _is_store(path):
                with PassageStore.open(path, create=False, read_only=True) as store:
                    yield from store
            else:
                yield from open_corpus(str(path))


def _is_store(path: Path) -> bool:
    try:
        return path.is_dir() and folder_info(path) is not None
    except NotAStoreError:
        return False  # a folder of texts
