"""Training dual encoders: DPR's objective with exact large batches, hard negatives, and interfaces for other recipes."""

from __future__ import annotations

from dpr_rag.training.batches import Batch, BatchSource, Pick, RandomBatches, RefreshingSource, make_batch
from dpr_rag.training.distilling import Distillation, TaughtBatches
from dpr_rag.training.mining import Mining, mine
from dpr_rag.training.mining_report import MiningReport
from dpr_rag.training.objective import NegativeLogLikelihood, Objective
from dpr_rag.training.progress import Progress
from dpr_rag.training.running import TrainingResult, train
from dpr_rag.training.samples import SampleReport, check_samples, read_samples
from dpr_rag.training.settings import TrainingSettings
from dpr_rag.training.topics import MixedBatches, TopicBatches
from dpr_rag.training.validation import SampleValidation, StoreValidation, Validation
from dpr_rag.training.weighted import WeightedBatches

__all__ = [
    "Batch",
    "BatchSource",
    "Distillation",
    "Mining",
    "MiningReport",
    "MixedBatches",
    "NegativeLogLikelihood",
    "Objective",
    "Pick",
    "Progress",
    "RandomBatches",
    "RefreshingSource",
    "SampleReport",
    "SampleValidation",
    "StoreValidation",
    "TaughtBatches",
    "TopicBatches",
    "TrainingResult",
    "TrainingSettings",
    "Validation",
    "WeightedBatches",
    "check_samples",
    "make_batch",
    "mine",
    "read_samples",
    "train",
]
