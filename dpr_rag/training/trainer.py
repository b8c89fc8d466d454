"""The training loop, with validation, a log, and checkpoints to resume from after a kill."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from dpr_rag.errors import TrainingError
from dpr_rag.training.batches import refreshing
from dpr_rag.training.folder import OutputFolder, Position
from dpr_rag.training.gradients import add_gradients
from dpr_rag.training.learnable import check_learnable, check_rates
from dpr_rag.training.learner import Aim, Asking, Gradients, Learner, Source
from dpr_rag.training.log import Log
from dpr_rag.training.optimizer import Optimizer
from dpr_rag.training.plot import write_plot
from dpr_rag.training.processes import Processes
from dpr_rag.training.progress import Progress, ProgressCallback
from dpr_rag.training.selection import Selection
from dpr_rag.training.settings import TrainingSettings, learning_rate
from dpr_rag.training.validation import Validation


class Trainer:
    """One training in its output folder; :func:`dpr_rag.training.train` makes and runs it.

    Args:
        model: The towers, or a reader.
        source: Where batches come from.
        objective: What is minimised.
        settings: How.
        folder: Where everything is written.
        validation: What measures the weights.
        on_step: Called after every step.
        gradients: What adds the gradients of a batch; None is an encoder's.
    """

    def __init__(
        self,
        model: Learner,
        source: Source,
        objective: Aim,
        settings: TrainingSettings,
        folder: OutputFolder,
        *,
        validation: Sequence[Validation] = (),
        on_step: ProgressCallback | None = None,
        gradients: Gradients | None = None,
    ) -> None:
        self._gradients: Gradients = gradients or add_gradients
        self._model, self._source, self._objective = model, source, objective
        self._settings, self._folder = settings, folder
        objective.check(model)
        self._selection = Selection(validation, settings.select)
        self._on_step = on_step
        self._processes = Processes.current()
        self._optimizer = Optimizer(model.parameters(), settings)
        self._log = Log(folder.log)
        self._at = Position()
        self._losses: list[float] = []
        self._refreshed: dict[str, Any] | None = None
        per_epoch = -(-len(source) // settings.accumulate)
        self.steps = settings.steps or settings.epochs * per_epoch
        check_rates(settings, self.steps)
        if refreshing(source) is None:
            check_learnable(source.batches(0, seed=settings.seed), objective)

    @property
    def about(self) -> dict[str, Any]:
        """Everything that affects the weights; a training resumes only if all of it agrees."""
        return {
            "settings": self._settings.as_dict(),
            "start": self._model.start.fingerprint,
            "data": self._source.fingerprint,
            "objective": self._objective.fingerprint,
            "validation": self._selection.fingerprints,
            "processes": self._processes.count,
        }

    def run(self) -> Position:
        """Train to the end, from the start or from the newest state; returns the final position."""
        self._resume()
        self._started, self._first = time.monotonic(), self._at.step
        self._saved, self._questions = self._started, 0
        for group in self._groups():
            self._step(group)
        if self._processes.first:
            self._model.check_finite()
            self._finish()
        self._processes.wait()
        return self._at

    def _resume(self) -> None:
        saved = self._folder.newest()
        if saved is not None:
            self._at, tensors, extra = saved
            if not tensors.keys() >= {"weights", "optimizer"}:
                raise TrainingError(
                    f"the state of step {self._at.step} in {self._folder.inside} lacks files; remove it"
                )
            self._model.load(tensors["weights"])
            self._optimizer.load(tensors["optimizer"])
            self._objective.load(tensors.get("objective", {}))
            self._refreshed = extra.get("source")
        self._processes.wait()
        if not self._processes.first:
            return
        self._log.cut(self._at.step if saved is not None else -1)
        if saved is None:
            shutil.rmtree(self._folder.best, ignore_errors=True)
            self._validate_start()

    def _validate_start(self) -> None:
        """Measure the starting weights, which are written in the end if none are better."""
        if not self._selection.names:
            return
        measures, by = self._selection.measure(self._model.encoder), self._selection.by
        if by is not None:
            self._at = replace(self._at, best=measures[by], best_step=0, start=measures[by])
        self._log.add({"step": 0, "epoch": 0, "validation": measures, "best": by is not None})

    def _groups(self) -> Iterator[list[Asking]]:
        """The batches of each step, from the position on."""
        while self._at.step < self.steps:
            self._prepare()
            batches = self._source.batches(self._at.epoch, seed=self._settings.seed)
            rest = islice(batches, self._at.batches, None)
            epoch = self._at.epoch
            while self._at.epoch == epoch and self._at.step < self.steps:
                group = list(islice(rest, self._settings.accumulate))
                if not group:
                    raise TrainingError(
                        f"epoch {epoch} of the batch source ended before its {len(self._source)} batches"
                    )
                yield group

    def _prepare(self) -> None:
        """Refresh a source that depends on the weights, or restore the state of its last refresh."""
        source = refreshing(self._source)
        if source is None:
            return
        if self._at.batches and self._refreshed is not None:
            source.restore(self._refreshed)
            return
        if self._processes.first:
            source.refresh(self._at.epoch, self._model.encoder)
        self._refreshed = self._processes.broadcast(source.state() if self._processes.first else {}, self._model.device)
        if not self._processes.first:
            source.restore(self._refreshed)
        if self._at.step == 0:
            check_learnable(self._source.batches(0, seed=self._settings.seed), self._objective)

    def _step(self, group: Sequence[Asking]) -> None:
        loss = self._loss(group)
        if not math.isfinite(loss):
            raise TrainingError(f"the loss of step {self._at.step} is {loss}; {self._remedy()}")
        self._processes.sum_gradients(self._model.parameters().values())
        rate = learning_rate(self._settings, self._at.step, self.steps)
        norm = self._optimizer.step(rate)
        self._objective.on_step(self._model)
        self._questions += sum(len(batch.questions) for batch in group)
        self._advance(len(group))
        self._after_step(loss, rate, norm)

    def _remedy(self) -> str:
        if self._at.step == self._first == 0 and not self._settings.bf16:
            return (
                "nothing was learnt yet, so the model that training starts from gives no finite scores, or the temperature is "
                "too low; look at what it encodes, or take another"
            )
        return "lower the learning rate, or try it without bf16"

    def _loss(self, group: Sequence[Asking]) -> float:
        """Accumulate the gradients of the group's mean loss, and return the loss."""
        settings, total = self._settings, 0.0
        with self._model.learning():
            for at, batch in enumerate(group):
                total += self._gradients(
                    self._model,
                    self._objective,
                    batch,
                    seed=(settings.seed, self._at.step, at),
                    chunk_tokens=settings.chunk_tokens,
                    gradient_cache=settings.gradient_cache,
                    bf16=settings.bf16,
                    scale=1 / len(group),
                    processes=self._processes,
                )
        return total / len(group)

    def _advance(self, batches: int) -> None:
        done = self._at.batches + batches
        ended = done >= len(self._source)
        epoch = self._at.epoch + ended
        self._at = replace(self._at, step=self._at.step + 1, epoch=epoch, batches=0 if ended else done)

    def _after_step(self, loss: float, rate: float, norm: float) -> None:
        if not self._processes.first:
            return
        self._losses.append(loss)
        last = self._at.step == self.steps
        progress = self._progress(loss)
        if last or self._at.step % self._settings.log_every == 0:
            self._log.add(self._line(progress, rate, norm))
            self._losses.clear()
        if self._selection.names and (last or self._is_due()):
            progress = self._validate(progress)
        if last or self._at.step % self._settings.save_every == 0 or self._waited():
            self._save()
        self._tell(progress)

    def _tell(self, progress: Progress) -> None:
        """Report a step; if the callback raises, as by an interrupt, the state is saved first."""
        if self._on_step is None:
            return
        try:
            self._on_step(progress)
        except BaseException:
            self._save()
            raise

    def _progress(self, loss: float) -> Progress:
        seconds = max(time.monotonic() - self._started, 1e-9)
        left = (self.steps - self._at.step) * seconds / max(1, self._at.step - self._first)
        epoch = self._at.epoch if self._at.batches else self._at.epoch - 1
        return Progress(self._at.step, self.steps, epoch, loss, self._questions / seconds, left)

    def _line(self, progress: Progress, rate: float, norm: float) -> dict[str, Any]:
        return {
            "step": progress.step,
            "epoch": progress.epoch,
            "loss": sum(self._losses) / len(self._losses),
            "learning_rate": rate,
            "gradient_norm": norm,
            "questions_per_second": round(progress.questions_per_second, 2),
        }

    def _is_due(self) -> bool:
        every = self._settings.validate_every
        return self._at.batches == 0 if every is None else self._at.step % every == 0

    def _waited(self) -> bool:
        return time.monotonic() - self._saved > 60 * self._settings.save_minutes

    def _validate(self, progress: Progress) -> Progress:
        with self._model.averaged(self._settings.average_with_start):
            measures = self._selection.measure(self._model.encoder)
            best = self._selection.improves(measures, self._at.best)
            if best and self._selection.by is not None:
                self._model.save(self._folder.best)
                self._at = replace(self._at, best=measures[self._selection.by], best_step=self._at.step)
        self._log.add({"step": progress.step, "epoch": progress.epoch, "validation": measures, "best": best})
        write_plot(self._folder.plot, self._log.lines())
        return replace(progress, measures=measures, best=best)

    def _save(self) -> None:
        tensors = {"weights": self._model.tensors(), "optimizer": self._optimizer.tensors()}
        memory = self._objective.tensors()
        self._folder.save(self._at, tensors | ({"objective": memory} if memory else {}), {"source": self._refreshed})
        self._saved = time.monotonic()

    def _finish(self) -> None:
        kept, share = self._folder.best, self._settings.average_with_start
        if not self._at.best_step or not kept.exists():
            kept = self._folder.inside / "last"
            shutil.rmtree(kept, ignore_errors=True)
            with self._model.averaged(1.0 if self._at.best_step == 0 else share):
                self._model.save(kept)
        write_plot(self._folder.plot, self._log.lines())
        self._folder.finish(kept, self.about, self._at)
