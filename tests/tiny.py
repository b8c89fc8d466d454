"""A deterministic encoder without a model, for tests of the command line and of the README."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np

from dpr_rag.encoder import Vectors
from dpr_rag.passages import Passage


class TinyEncoder:
    """Counts words in 64 hashed places, so that shared words make a high inner product."""

    dim = 64
    fingerprint = "tiny-64"
    source = "tiny"

    def __init__(self, name: str = "tiny") -> None:
        self.fingerprint = f"{name}-64"
        self.source = name

    def encode_questions(self, questions: Sequence[str]) -> Vectors:
        return self._encode(questions)

    def encode_passages(self, passages: Sequence[Passage]) -> Vectors:
        return self._encode([f"{passage.title} {passage.text}" for passage in passages])

    def _encode(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), self.dim), np.float32)
        for row, text in enumerate(texts):
            for word in re.findall(r"\w+", text.lower()):
                vectors[row, zlib.crc32(word.encode()) % self.dim] += 1
        return vectors
