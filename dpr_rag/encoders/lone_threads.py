"""Measures how many threads encode a lone question soonest on this machine."""

from __future__ import annotations

from statistics import median
from time import perf_counter, sleep

import numpy as np

from dpr_rag.encoders.fast_runtime import FastRuntime
from dpr_rag.encoders.processor import cores
from dpr_rag.encoders.profiles import Profile
from dpr_rag.encoders.runtime import batches
from dpr_rag.encoders.tokens import Tokens
from dpr_rag.encoders.towers import Tower
from dpr_rag.passages import Passage

_COUNTS = (2, 4)
_PAUSE_S = 0.01
_ROUNDS = 8
_WORTH = 0.9
_TIMES_LONGER = (1, 3, 5, 12)
_QUESTIONS = (
    "who wrote hamlet",
    "how many people live in the capital of france?",
    "Which of the valves of the heart opens while the left ventricle fills with blood?",
)


def quickest_threads(fast: FastRuntime, tower: Tower, profile: Profile, tokens: Tokens) -> int:
    """Measure how many threads encode a question soonest that comes alone, after a pause.

    More threads are taken where they save a tenth of the median and the vectors, those of passages of up to some 500 tokens
    included, stay the same to the bit. Between questions stands a pause, as people make it: threads that wait for each other
    cost more when they have to be woken.

    Args:
        fast: The runtime in the chosen precision, on one thread; in float32 the answer is 1, as every batch runs on all cores.
        tower: Weights and configuration.
        profile: Token types.
        tokens: The tower's tokenisation.
    """
    counts = [count for count in _COUNTS if count <= cores()]
    if fast.dtype == "float32" or not counts:
        return 1
    runtimes = {1: fast} | {
        count: FastRuntime(tower, profile, dtype=fast.dtype, like=fast, lone_threads=count) for count in counts
    }
    passages = tokens.passages([Passage("long", " ".join(_QUESTIONS * times)) for times in _TIMES_LONGER])
    questions, longer = (
        list(batches(sequences, budget=1, pad=tokens.pad, segments=profile.segments))
        for sequences in (tokens.questions(_QUESTIONS), passages)
    )
    vectors = {
        count: np.stack([runtime.encode(text) for text in (*questions, *longer)]) for count, runtime in runtimes.items()
    }
    times: dict[int, list[float]] = {count: [] for count in runtimes if np.array_equal(vectors[count], vectors[1])}
    for _ in range(_ROUNDS):
        for count, seconds in times.items():
            for question in questions:
                sleep(_PAUSE_S)
                start = perf_counter()
                runtimes[count].encode(question)
                seconds.append(perf_counter() - start)
    best = 1
    for count, seconds in times.items():
        if median(seconds) < _WORTH * median(times[best]):
            best = count
    return best
