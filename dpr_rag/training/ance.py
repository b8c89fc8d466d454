"""ANCE (Xiong et al. 2021): hard negatives from an index that is rebuilt with the current weights.

Warm up on BM25's negatives with ``train(samples, …)``, then go on with ``train(AnceBatches(samples, store), …)``. Phases
alternate on one machine: encode all passages and a share of the questions, search, train on that share, repeat. Unlike
the original, which scores each question against its own pair alone, in-batch negatives are kept beside those found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from dpr_rag.corpora import TrainingPassage, TrainingSample
from dpr_rag.encoder import Encoder
from dpr_rag.errors import TrainingError
from dpr_rag.store import PassageStore
from dpr_rag.training.batches import Batch, check_positives, check_sizes, draw, fingerprint_of, make_batch
from dpr_rag.training.checks import check_int, check_number
from dpr_rag.training.mining import Miner, Mining
from dpr_rag.training.weighted import in_turn


class AnceBatches:
    """Batches whose hard negatives are the wrong passages that the current weights rank highest.

    An epoch of this source is one phase between two refreshes. The whole corpus is encoded in each, so ``epochs`` (or
    ``steps``) should be few: five phases at the default share see every question once.

    Args:
        samples: The training set; its own hard negatives serve where a search finds none.
        store: Where the passages come from; its own vectors are not used.
        batch_size: Questions of a batch.
        hard_negatives: Hard negatives of a question, drawn from those found.
        depth: Worst rank of a negative; positives and passages that hold an answer are left out.
        share: Share of the questions in a phase, rounded to one of 1/1, 1/2, 1/3 and so on.
        refresh: Batches of a phase, whatever share of the questions that is; None goes by the share.

    Raises:
        TrainingError: There are no samples, the share is not in (0, 1], or a number is out of range.
    """

    def __init__(
        self,
        samples: Sequence[TrainingSample],
        store: PassageStore,
        *,
        batch_size: int = 128,
        hard_negatives: int = 1,
        depth: int = 200,
        share: float = 0.2,
        refresh: int | None = None,
    ) -> None:
        check_positives(samples)
        check_sizes(batch_size, hard_negatives)
        check_int("depth", depth, 1)
        check_number("share", share, above=0.0, high=1.0)
        self._samples, self._store = samples, store
        self._batch_size, self._hard_negatives, self._depth = batch_size, hard_negatives, depth
        self._size = -(-len(samples) // round(1 / share))
        self._phases = -(-len(samples) // self._size)  # fewer than were asked for, where these would find nobody left
        self._refresh = refresh
        drawn: int | str = self._phases
        if refresh is not None:
            check_int("refresh", refresh, 1)
            self._size, drawn = refresh * batch_size, f"refreshed after {refresh}"
        self._found: dict[int, tuple[TrainingPassage, ...]] = {}
        self.fingerprint = fingerprint_of("ance", samples, batch_size, hard_negatives, depth, drawn, _content(store))

    def __len__(self) -> int:
        return -(-self._size // self._batch_size)

    def steps_of(self, epochs: int, *, accumulate: int = 1) -> int:
        """Steps in which every question is seen so many times, of ``accumulate`` batches each."""
        if self._refresh is not None:
            return epochs * -(-len(self._samples) // (self._batch_size * accumulate))
        return epochs * self._phases * -(-len(self) // accumulate)

    def refresh(self, epoch: int, encoder: Encoder) -> None:
        """Encode the corpus with the newest weights and search it for the questions of a phase."""
        chosen = list(dict.fromkeys(self._questions(epoch)))
        mining = Mining("dense", negatives=self._depth, last=self._depth)
        with PassageStore.temporary(encoder=encoder) as index:
            index.add(iter(self._store))
            mined = Miner(index, mining).mine(self._samples[at] for at in chosen)
            self._found = {at: sample.hard_negatives for at, sample in zip(chosen, mined, strict=True)}

    def state(self) -> dict[str, Any]:
        """Ids of the negatives by the number of their sample."""
        return {"negatives": {str(at): [passage.id for passage in negatives] for at, negatives in self._found.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned."""
        by_sample: dict[str, list[str]] = state.get("negatives", {})
        ids = dict.fromkeys(passage_id for negatives in by_sample.values() for passage_id in negatives)
        stored = self._store.get(ids)
        passages = {passage.id: TrainingPassage(passage.text, passage.title, passage.id) for passage in stored}
        missing = [passage_id for passage_id in ids if passage_id not in passages]
        if missing:
            raise TrainingError(
                f"the store has no passage {missing[0]!r:.100} ({len(missing)} of {len(ids)} hard negatives are missing); go on "
                "with the store that the training began with, or choose another folder for the output"
            )
        self._found = {int(at): tuple(passages[passage_id] for passage_id in ids) for at, ids in by_sample.items()}

    def batches(self, epoch: int, *, seed: int) -> Iterator[Batch]:
        """The batches of one phase, which :meth:`refresh` or :meth:`restore` has prepared.

        Raises:
            TrainingError: Neither has.
        """
        phase = self._questions(epoch)
        if not self._found.keys() >= set(phase):
            raise TrainingError(
                f"the hard negatives of phase {epoch} are not there; call refresh({epoch}, encoder) first"
            )
        generator = np.random.default_rng([seed, epoch])
        order = iter(generator.permutation(phase).tolist())
        while chosen := list(islice(order, self._batch_size)):
            samples = [self._with_found(at) for at in chosen]
            yield make_batch([draw(sample, generator, self._hard_negatives) for sample in samples])

    def _with_found(self, at: int) -> TrainingSample:
        negatives = self._found[at]
        return replace(self._samples[at], hard_negatives=negatives) if negatives else self._samples[at]

    def _questions(self, epoch: int) -> list[int]:
        """The samples of a phase; a cycle of phases goes through all of them, in a new random order."""
        if self._refresh is not None:
            return list(in_turn(len(self._samples), epoch * self._size, self._size, seed=()))
        cycle, phase = divmod(epoch, self._phases)
        order = np.random.default_rng(cycle).permutation(len(self._samples))
        padded = np.resize(order, self._size * self._phases)  # the first ones fill up the last phase
        return list(dict.fromkeys(padded[phase * self._size : (phase + 1) * self._size].tolist()))


def _content(store: PassageStore) -> str:
    """SHA-256 over ids, titles and texts."""
    digest = hashlib.sha256()
    for passage in store:
        digest.update(json.dumps([passage.id, passage.title, passage.text]).encode())
    return digest.hexdigest()
