"""Contriever (Izacard et al. 2022): training without questions, on two crops of one text, against a queue of others.

``train(CropBatches(texts), objective=MomentumContrast(), settings=TrainingSettings(towers="momentum", …), …)``. Unlike the
original, whose queue is full of random vectors at first and whose loss looks at the own key and the queue, the queue starts
empty and the other keys of the batch stand beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from dpr_rag.corpora import TrainingPassage
from dpr_rag.errors import TrainingError
from dpr_rag.passages import Passage
from dpr_rag.training.batches import Batch, Pick, check_sizes, in_random_order, make_batch
from dpr_rag.training.checks import check_int, check_number, check_share
from dpr_rag.training.cutting import joined_words, words_of
from dpr_rag.training.model import Model
from dpr_rag.training.objective import Objective

if TYPE_CHECKING:
    import torch


class CropBatches:
    """Two independent crops of each text: one in the place of the question, one in that of its positive (section 3.1).

    Words stand for the paper's tokens, and characters in scripts without spaces, such as Chinese or Thai: a window of
    ``window`` words, two spans of it, each word left out at random.

    Args:
        texts: Passages of a store or a corpus, or plain texts; those of fewer than two words are left out.
        batch_size: Texts of a batch.
        shortest: Least share of the window that a crop takes.
        longest: Greatest share.
        deletion: Share of the words that are left out.
        window: Most words of a text that are looked at in one epoch.

    Raises:
        TrainingError: No text has two words, or a share or a number is out of range.
    """

    def __init__(
        self,
        texts: Iterable[Passage | str],
        *,
        batch_size: int = 128,
        shortest: float = 0.05,
        longest: float = 0.5,
        deletion: float = 0.1,
        window: int = 256,
    ) -> None:
        check_sizes(batch_size)
        check_int("window", window, 2)
        for name, share in (("shortest", shortest), ("longest", longest), ("deletion", deletion)):
            check_share(name, share)
        words = [words_of(text if isinstance(text, str) else text.text) for text in texts]
        self._texts = [text for text in words if len(text) > 1]
        if not self._texts or not 0 < shortest <= longest <= 1 or not 0 <= deletion < 1:
            raise TrainingError(
                f"{len(self._texts)} texts of two words, crops of {shortest} to {longest}, deletion {deletion}: expected some "
                "texts, and shares between 0 and 1 that rise"
            )
        self._batch_size, self._window, self._deletion = batch_size, window, deletion
        self._shortest, self._longest = shortest, longest
        digest = hashlib.sha256(repr(("crops", batch_size, shortest, longest, deletion, window)).encode())
        for text in self._texts:
            digest.update(joined_words(text).encode() + b"\0")
        if any(not word.startswith(" ") for text in self._texts for word in text[1:]):
            digest.update(b"characters")  # by whose words such texts were cropped before
        self.fingerprint = digest.hexdigest()

    def __len__(self) -> int:
        return -(-len(self._texts) // self._batch_size)

    def batches(self, epoch: int, *, seed: int) -> Iterator[Batch]:
        """The batches of one epoch, every text once."""
        generator = np.random.default_rng([seed, epoch])
        for chosen in in_random_order(self._texts, self._batch_size, generator):
            yield make_batch([self._pick(words, generator) for words in chosen])

    def _pick(self, words: Sequence[str], generator: np.random.Generator) -> Pick:
        start = int(generator.integers(max(0, len(words) - self._window) + 1))
        window = words[start : start + self._window]
        return Pick(self._crop(window, generator), TrainingPassage(self._crop(window, generator)))

    def _crop(self, words: Sequence[str], generator: np.random.Generator) -> str:
        length = max(1, round(len(words) * generator.uniform(self._shortest, self._longest)))
        start = int(generator.integers(len(words) - length + 1))
        kept = generator.random(length) >= self._deletion
        kept[generator.integers(length)] = True  # a crop of no words is none
        return joined_words(word for word, there in zip(words[start : start + length], kept, strict=True) if there)


class MomentumContrast(Objective):
    """MoCo's loss (He et al. 2020): the other crop against those of the batch and a queue of earlier ones.

    Passages are encoded by a tower that follows the question tower, so the queue's vectors stay comparable; no gradient
    flows into them. Needs ``TrainingSettings(towers="momentum")``.

    Args:
        queue: Most vectors that are remembered (131,072 in the paper).
        temperature: Scores are divided by it.
        momentum: Share of the old weights when the momentum tower follows, in [0, 1].

    Raises:
        TrainingError: A number is out of range.
    """

    def __init__(self, *, queue: int = 131_072, temperature: float = 0.05, momentum: float = 0.9995) -> None:
        check_int("queue", queue, 0)
        check_number("temperature", temperature, above=0.0)
        check_share("momentum", momentum)
        self._size, self._temperature, self._momentum = queue, temperature, momentum
        self._queue: torch.Tensor | None = None
        self._newest: list[torch.Tensor] = []

    @property
    def fingerprint(self) -> str:
        """Name and settings."""
        return f"moco/{self._size!r}/{self._temperature!r}/{self._momentum!r}"

    def loss(self, questions: torch.Tensor, passages: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Cross-entropy of the own positive among the batch's passages and the queue."""
        import torch

        keys = passages.detach()
        self._newest.append(keys)
        if self._queue is not None:
            keys = torch.cat([keys, self._queue.to(keys.device)])
        positives = torch.tensor(batch.positives, device=keys.device)
        return torch.nn.functional.cross_entropy(questions @ keys.T / self._temperature, positives)

    def check(self, model: Model) -> None:
        """Refuse a model without a momentum tower.

        Raises:
            TrainingError: It has none.
        """
        if not model.momentum:
            raise TrainingError(
                "MomentumContrast needs a momentum tower; train with TrainingSettings(towers='momentum', …)"
            )

    def learns_from(self, epoch: Iterable[Batch]) -> bool:
        """Whether there are at least two texts; the queue holds those of earlier batches."""
        return sum(len(batch.questions) for batch in islice(epoch, 2)) > 1

    def on_step(self, model: Model) -> None:
        """Update the momentum tower, and push the step's passages to the queue."""
        import torch

        model.follow(self._momentum)
        old = [] if self._queue is None else [self._queue]
        self._queue = torch.cat([*self._newest[::-1], *old])[: self._size]
        self._newest.clear()

    def tensors(self) -> dict[str, torch.Tensor]:
        """The queue."""
        return {} if self._queue is None else {"queue": self._queue}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Restore the queue."""
        self._queue = tensors.get("queue")
