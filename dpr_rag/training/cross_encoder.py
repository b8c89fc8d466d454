"""A small cross-encoder as a teacher, trained on the same samples by the same trainer.

A cross-encoder reads question and passage together: it is a tower that takes the question where a title would stand, with
one output in place of a vector. ``train(PairBatches(samples), …, init=cross_encoder_from(start), objective=OwnPairs())``,
and ``pair_teacher(DualEncoder.from_pretrained(…))`` scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dpr_rag.corpora import TrainingPassage, TrainingSample
from dpr_rag.encoders.dual import DualEncoder
from dpr_rag.encoders.profiles import Profile
from dpr_rag.encoders.towers import Tower
from dpr_rag.errors import TrainingError
from dpr_rag.passages import Passage
from dpr_rag.training.batches import (
    Batch,
    Pick,
    check_positives,
    check_sizes,
    draw,
    fingerprint_of,
    in_random_order,
    make_batch,
)
from dpr_rag.training.checks import check_int
from dpr_rag.training.objective import Objective
from dpr_rag.training.teachers import Pair, Teacher

if TYPE_CHECKING:
    import torch
    from numpy.typing import ArrayLike

PROFILE = Profile("cross-encoder", "cls", "pair", passage_length=256, segments="pair", head="projection")
"""``[CLS] question [SEP] title text [SEP]`` with the token types of a pair, and one number from the first token."""


def cross_encoder_from(start: DualEncoder, *, seed: int = 0) -> DualEncoder:
    """Make a cross-encoder of a BERT's weights, with a new output layer.

    It has the form of a DPR encoder, whose context tower does the work; the question tower is never used.

    Args:
        start: An encoder on one BERT.
        seed: Of the output layer.

    Raises:
        TrainingError: The encoder is no single BERT.
    """
    tower = start.question_tower
    if not start.shared or tower.architecture != "BertModel":
        raise TrainingError(f"{start.source} is {tower.architecture}; a cross-encoder is made of a single BertModel")
    question, context = (_with_output(tower, name, seed) for name in ("DPRQuestionEncoder", "DPRContextEncoder"))
    return DualEncoder(question, context, profile=PROFILE, source=f"cross-encoder of {start.source}", runtime="torch")


def _with_output(tower: Tower, architecture: str, seed: int) -> Tower:
    size = int(tower.config["hidden_size"])
    output = np.random.default_rng(seed).normal(0, 0.02, (1, size)).astype(np.float32)
    state = {name: array for name, array in tower.state.items() if not name.startswith("pooler.")}
    state |= {"head.dense.weight": output, "head.dense.bias": np.zeros(1, np.float32)}
    config = {**tower.config, "model_type": "dpr", "projection_dim": 1}
    return replace(tower, architecture=architecture, config=config, state=state)


class PairBatches:
    """Batches of questions with their pairs: one with a positive, the others with hard negatives of their own.

    Args:
        samples: The training set, with hard negatives.
        batch_size: Questions of a batch.
        hard_negatives: Most hard negatives of a question.

    Raises:
        TrainingError: There are no samples, one has no positive or no hard negative, or a number is out of range.
    """

    def __init__(self, samples: Sequence[TrainingSample], *, batch_size: int = 16, hard_negatives: int = 3) -> None:
        check_positives(samples)
        check_sizes(batch_size)
        check_int("hard_negatives", hard_negatives, 1)
        for sample in samples:
            if not sample.hard_negatives:
                raise TrainingError(
                    f"the question {sample.question!r:.80} has no hard negative, and a pair alone teaches nothing; mine some"
                )
        self._samples, self._batch_size, self._hard_negatives = samples, batch_size, hard_negatives
        self.fingerprint = fingerprint_of("pairs", samples, batch_size, hard_negatives)

    def __len__(self) -> int:
        return -(-len(self._samples) // self._batch_size)

    def batches(self, epoch: int, *, seed: int) -> Iterator[Batch]:
        """The batches of one epoch; their passages are pairs, with the question as the title."""
        generator = np.random.default_rng([seed, epoch])
        for taken in in_random_order(self._samples, self._batch_size, generator):
            yield make_batch(_paired(draw(sample, generator, self._hard_negatives)) for sample in taken)


def _paired(pick: Pick) -> Pick:
    return pick._replace(
        positive=_pair(pick.question, pick.positive),
        negatives=[_pair(pick.question, passage) for passage in pick.negatives],
    )


def _pair(question: str, passage: TrainingPassage) -> TrainingPassage:
    return TrainingPassage(f"{passage.title} {passage.text}".strip(), question, passage.id)


class OwnPairs(Objective):
    """Softmax cross-entropy of the positive among a question's own pairs (Nogueira and Cho 2019, with more than one negative)."""

    @property
    def fingerprint(self) -> str:
        """Its name."""
        return "own pairs"

    def loss(self, questions: torch.Tensor, passages: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Mean over the questions; ``passages`` are scores of pairs, float32 [m, 1]."""
        import torch

        scores = torch.full((len(batch.questions), len(batch.passages)), -torch.inf, device=passages.device)
        rows = [row for row, own in enumerate(batch.negatives) for _ in range(1 + len(own))]
        columns = [
            column for first, own in zip(batch.positives, batch.negatives, strict=True) for column in (first, *own)
        ]
        scores = scores.index_put((torch.tensor(rows), torch.tensor(columns)), passages[columns, 0])
        return torch.nn.functional.cross_entropy(scores, torch.tensor(batch.positives, device=passages.device))


def pair_teacher(encoder: DualEncoder) -> Teacher:
    """A trained cross-encoder as a teacher.

    Raises:
        TrainingError: The encoder is none.
    """
    if encoder.profile != PROFILE or encoder.dim != 1:
        raise TrainingError(f"{encoder.source} is no cross-encoder; train one from cross_encoder_from(…)")

    def score(pairs: Sequence[Pair]) -> ArrayLike:
        joined = [_pair(question, passage) for question, passage in pairs]
        scores: ArrayLike = encoder.encode_passages(
            [Passage(str(at), item.text, item.title) for at, item in enumerate(joined)]
        )[:, 0]
        return scores

    return score
