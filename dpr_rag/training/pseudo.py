"""Training pairs made from passages alone, and labelled questions rewritten as search keywords."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from dpr_rag.corpora import TrainingPassage
from dpr_rag.encoder import Encoder
from dpr_rag.errors import TrainingError
from dpr_rag.passages import Passage
from dpr_rag.training.batches import (
    Batch,
    BatchSource,
    Pick,
    check_sizes,
    in_random_order,
    make_batch,
    refreshing,
)
from dpr_rag.training.checks import check_share
from dpr_rag.training.cutting import joined_words, keywords_of, words_of

# What a question loses first when it is typed into a search box; unlike stop words of BM25, with the words that ask.
_LEFT_OUT = frozenset(
    "a an the of in on at to for from by with and or as into than then that this these those it its he she they his her their "
    "there is are was were be been do does did has have had what which who whom whose when where why how".split()
)


@dataclass(frozen=True, slots=True)
class Drawing:
    """Parameters of pseudo-questions, which are made of a passage's own words.

    Attributes:
        keywords: Share of passages that are asked for by keywords, as people type them into a search box; the others are
            asked for by a stretch.
        title: Share of those keywords that begin with the passage's title.
        shortest: Least share of the words that a stretch takes.
        longest: Largest share.
        deletion: Share of the words of a stretch that are left out, as in Contriever (Izacard et al. 2022).

    Raises:
        TrainingError: A share is out of range.
    """

    keywords: float = 0.35
    title: float = 0.5
    shortest: float = 0.08
    longest: float = 0.35
    deletion: float = 0.1

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            check_share(name, value)
        if not 0 < self.shortest <= self.longest:
            raise TrainingError(
                f"stretches of {self.shortest} to {self.longest} of a text: expected shares above 0 that rise"
            )


class PseudoQuestions:
    """Batches of passages with pseudo-questions made of their own words, without labels.

    A stretch of a passage asks for the passage that it was taken from, as in the inverse cloze task (Lee et al. 2019), but
    it always stays in it, where the paper takes it out of nine passages in ten. Or some of its keywords do, drawn by the
    square of their inverse document frequency. It keeps a model general while it learns labelled questions of one kind,
    see :class:`MixedBatches`.

    Args:
        passages: Any passages of some words, for example those of a store.
        batch_size: Passages of a batch.
        drawing: How questions are made.

    Raises:
        TrainingError: There are no passages, or the batch size is out of range.
    """

    def __init__(self, passages: Sequence[Passage], *, batch_size: int = 32, drawing: Drawing | None = None) -> None:
        if not passages:
            raise TrainingError("there are no passages to make questions of; give at least one")
        check_sizes(batch_size)
        self._passages, self._batch_size = passages, batch_size
        self._drawing = drawing or Drawing()
        digest = hashlib.sha256(json.dumps([batch_size, asdict(self._drawing)]).encode())
        self._frequency: Counter[str] = Counter()
        for passage in passages:
            self._frequency.update(set(keywords_of(passage.text)))
            digest.update(json.dumps([passage.title, passage.text]).encode())
        if not all(passage.text.isascii() for passage in passages):
            digest.update(b"characters")  # such texts were cut at spaces before
        self.fingerprint = f"pseudo {digest.hexdigest()}"

    def __len__(self) -> int:
        return -(-len(self._passages) // self._batch_size)

    def batches(self, epoch: int, *, seed: int) -> Iterator[Batch]:
        """The batches of one epoch: every passage once, in random order."""
        generator = np.random.default_rng([seed, epoch])
        for taken in in_random_order(self._passages, self._batch_size, generator):
            yield make_batch(self._pick(passage, generator) for passage in taken)

    def _pick(self, passage: Passage, generator: np.random.Generator) -> Pick:
        if generator.random() < self._drawing.keywords:
            question = self._keywords(passage, generator)
        else:
            question = self._stretch(words_of(passage.text), generator)
        return Pick(question or passage.text, TrainingPassage(passage.text, passage.title, passage.id))

    def _keywords(self, passage: Passage, generator: np.random.Generator) -> str:
        words = list(dict.fromkeys(keywords_of(passage.text)))
        count = int(generator.integers(2, 6))
        titled = bool(passage.title) and generator.random() < self._drawing.title
        if titled:
            count = int(generator.integers(1, 4))
        total = len(self._passages)
        weights = np.array([np.log(total / self._frequency[word]) ** 2 for word in words])
        drawn = min(count, int((weights > 0).sum()))
        if not drawn:
            return passage.title
        chosen = generator.choice(len(words), drawn, replace=False, p=weights / weights.sum())
        return " ".join([*([passage.title] if titled else []), *(words[at] for at in sorted(chosen))])

    def _stretch(self, words: Sequence[str], generator: np.random.Generator) -> str:
        share = generator.uniform(self._drawing.shortest, self._drawing.longest)
        length = min(len(words), max(4, round(share * len(words))))
        start = int(generator.integers(len(words) - length + 1))
        kept = generator.random(length) >= self._drawing.deletion
        return joined_words(word for word, keep in zip(words[start : start + length], kept, strict=True) if keep)


class AsTyped:
    """Another source's batches, with some questions rewritten as search keywords.

    Of a share of the questions the question mark goes, and of a part of these the words that ask or only join others.

    Args:
        source: Where the batches come from.
        share: Share of the questions that are changed.
        keywords: Share of these that keep nothing but keywords.
        left_out: Lower-case words that are none.

    Attributes:
        refreshing: Whether the other source depends on the weights; then it is refreshed through this one.

    Raises:
        TrainingError: A share is out of range.
    """

    def __init__(
        self, source: BatchSource, *, share: float = 0.3, keywords: float = 0.4, left_out: frozenset[str] = _LEFT_OUT
    ) -> None:
        check_share("share", share)
        check_share("keywords", keywords)
        self._source, self._share, self._keywords = source, share, keywords
        self._left_out = left_out
        self._fresh = refreshing(source)
        self.refreshing = self._fresh is not None
        self.fingerprint = f"as typed {share} {keywords} {sorted(left_out)} {source.fingerprint}"

    def __len__(self) -> int:
        return len(self._source)

    def batches(self, epoch: int, *, seed: int) -> Iterator[Batch]:
        """The batches of one epoch."""
        generator = np.random.default_rng([seed, epoch, 1])
        for batch in self._source.batches(epoch, seed=seed):
            yield replace(batch, questions=tuple(self._typed(question, generator) for question in batch.questions))

    def refresh(self, epoch: int, encoder: Encoder) -> None:
        """Refresh the other source, if it depends on the weights."""
        if self._fresh is not None:
            self._fresh.refresh(epoch, encoder)

    def state(self) -> dict[str, Any]:
        """The state of the other source."""
        return {} if self._fresh is None else self._fresh.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned."""
        if self._fresh is not None:
            self._fresh.restore(state)

    def _typed(self, question: str, generator: np.random.Generator) -> str:
        draws = generator.random(2)
        if draws[0] >= self._share:
            return question
        bare = question.rstrip(" ?？؟")
        words = [word for word in bare.split() if word.lower() not in self._left_out]
        return " ".join(words) if draws[1] < self._keywords and len(words) > 1 else bare or question
