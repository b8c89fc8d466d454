"""Teachers for distillation: anything that scores pairs of question and passage, and wrappers of models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from dpr_rag.arguments import check_callable
from dpr_rag.corpora import TrainingPassage, TrainingSample
from dpr_rag.encoder import Encoder
from dpr_rag.errors import MissingExtraError, TrainingError, install
from dpr_rag.passages import Passage
from dpr_rag.paths import place_of
from dpr_rag.training.batches import check_sizes, key_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Pair = tuple[str, TrainingPassage]


class Teacher(Protocol):
    """Scores pairs of a question and a passage; higher is better."""

    def __call__(self, pairs: Sequence[Pair], /) -> ArrayLike:
        """One score for each pair, float [n]."""
        ...


def score_samples(
    samples: Sequence[TrainingSample],
    teacher: Teacher,
    *,
    batch_size: int = 64,
    progress: Callable[[int], None] | None = None,
) -> list[TrainingSample]:
    """Write a teacher's scores into samples, where ``write_training`` keeps them.

    Args:
        samples: The training set.
        teacher: What scores its positives and hard negatives.
        batch_size: Samples that the teacher is asked about at once.
        progress: Called with the number of samples done.

    Raises:
        TrainingError: The teacher gives another number of scores than it was asked for, or one that is not finite; or the
            batch size is below 1.
    """
    check_callable("progress", progress)
    check_sizes(batch_size)
    done: list[TrainingSample] = []
    for start in range(0, len(samples), batch_size):
        chosen = samples[start : start + batch_size]
        pairs = [
            (sample.question, passage) for sample in chosen for passage in (*sample.positives, *sample.hard_negatives)
        ]
        scores = iter(scores_of(teacher, pairs))
        done += [
            replace(
                sample,
                positives=tuple(replace(passage, score=next(scores)) for passage in sample.positives),
                hard_negatives=tuple(replace(passage, score=next(scores)) for passage in sample.hard_negatives),
            )
            for sample in chosen
        ]
        if progress is not None:
            progress(len(done))
    return done


def scores_of(teacher: Teacher, pairs: Sequence[Pair]) -> list[float]:
    """A teacher's scores, checked.

    Raises:
        TrainingError: They are of another number, or not finite.
    """
    scores = np.asarray(teacher(pairs), np.float64)
    if scores.shape != (len(pairs),) or not np.isfinite(scores).all():
        raise TrainingError(
            f"the teacher gave scores of shape {list(scores.shape)} for {len(pairs)} pairs; expected one finite number each"
        )
    return [float(score) for score in scores]


def encoder_teacher(encoder: Encoder) -> Teacher:
    """A dual encoder as a teacher: its inner products."""

    def score(pairs: Sequence[Pair]) -> ArrayLike:
        questions = {question: at for at, question in enumerate(dict.fromkeys(question for question, _ in pairs))}
        distinct = {key_of(passage): passage for _, passage in pairs}
        places = {key: at for at, key in enumerate(distinct)}
        left = encoder.encode_questions(list(questions))
        right = encoder.encode_passages(
            [Passage(str(at), item.text, item.title) for at, item in enumerate(distinct.values())]
        )
        rows = [questions[question] for question, _ in pairs]
        columns = [places[key_of(passage)] for _, passage in pairs]
        scores: ArrayLike = (left[rows] * right[columns]).sum(axis=1)
        return scores

    return score


def cross_encoder(model: str, *, batch_size: int = 64, device: str | None = None) -> Teacher:
    """A cross-encoder as a teacher, run by sentence-transformers; a title stands before the text.

    Args:
        model: Folder or hub name, such as ``cross-encoder/ms-marco-MiniLM-L6-v2``.
        batch_size: Pairs of one forward pass.
        device: Where it runs; None takes a GPU where there is one.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
    """
    try:
        from sentence_transformers import CrossEncoder
    except ImportError as error:
        raise MissingExtraError(
            f"a cross-encoder needs sentence-transformers ({error}); {install('teachers')}"
        ) from error
    from torch.nn import Identity

    folder = place_of(model)
    loaded = CrossEncoder(
        str(folder) if folder.is_dir() else model, device=device, model_kwargs={"use_safetensors": True}
    )

    def score(pairs: Sequence[Pair]) -> ArrayLike:
        texts = [(question, f"{passage.title} {passage.text}".strip()) for question, passage in pairs]
        scores: ArrayLike = loaded.predict(
            texts, batch_size=batch_size, activation_fn=Identity(), show_progress_bar=False
        )
        return scores

    return score
