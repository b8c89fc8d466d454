"""The inputs of hard negative mining: a file of questions, or a training set that gets new negatives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dpr_rag.corpora import LeftOut, OnBad, Question, TrainingSample, read_questions, read_training
from dpr_rag.corpora.arrays import read_objects
from dpr_rag.corpora.samples import is_sample
from dpr_rag.corpora.triples import is_triples
from dpr_rag.errors import CorpusError
from dpr_rag.paths import place_of


def read_minable(
    path: str | Path, *, split: str | None = None, on_bad: OnBad = None, left_out: LeftOut | None = None
) -> Iterator[Question | TrainingSample]:
    """Read questions, or the samples of a training set, which the texts of positives in its first object tell.

    Args:
        path: A file or a BEIR folder, see :func:`~dpr_rag.corpora.read_questions`.
        split: For folders: name of a file in ``qrels/``.
        on_bad: Takes the errors of bad records; None raises the first.
        left_out: Takes the number of questions of a folder that are left out, by reason.

    Raises:
        CorpusError: A bad record, a file that cannot be read, or a split of a training set, which has none.
    """
    if not is_training(place_of(path)):
        return read_questions(path, split=split, on_bad=on_bad, left_out=left_out)
    if split is not None:
        raise CorpusError(f"{path}: is a training set and has no split {split!r}; leave the split out")
    return read_training(path, on_bad=on_bad)


def is_training(path: Path) -> bool:
    """Whether a file is a training set, of DPR's form or one of those that :func:`~dpr_rag.corpora.read_training` knows."""
    if not path.is_file():
        return False
    if is_triples(path):
        return True
    try:
        return next(read_objects(path, lambda item, _: is_sample(item), None), False)
    except CorpusError:
        return False  # no JSON; or broken JSON, which its reader will name
