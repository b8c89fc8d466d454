"""Tokenizers that put other special tokens around a text, or cut its beginning, are refused, and left to their library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny
import transformers
from tokenizers import Tokenizer, processors

from dpr_rag import DualEncoder, load_encoder
from dpr_rag.encoders.library import LibraryEncoder
from dpr_rag.errors import UnsupportedModelError

LONG = "who wrote " + "hamlet the king of " * 40
SPECIALS = [(token, tiny.IDS[token]) for token in ("[CLS]", "[SEP]")]


def made(folder: Path, template: str | None, **settings: Any) -> Path:
    """A folder of sentence-transformers whose tokenizer is whatever its file says."""
    tiny.modules(tiny.bert(folder), pooling="mean")
    transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    (folder / "vocab.txt").unlink(missing_ok=True)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    described = json.loads(tokenizer.to_str())
    described["post_processor"] = None
    if template:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=template, pair=f"{template} $B [SEP]", special_tokens=SPECIALS
        )
        described = json.loads(tokenizer.to_str())
    (folder / "tokenizer.json").write_text(json.dumps(described))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64, "pad_token": "[PAD]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(about | settings))
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"similarity_fn_name": "cosine"}))
    return folder


def by_library(folder: Path, texts: list[str]) -> np.ndarray:
    library = pytest.importorskip("sentence_transformers")
    found: np.ndarray = library.SentenceTransformer(str(folder), device="cpu").encode_query(texts, batch_size=1)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.mark.parametrize("template", [None, "[CLS] $A", "$A [SEP]", "[CLS] [CLS] $A [SEP]"])
def test_other_special_tokens_are_left_to_the_library(template: str | None, tmp_path: Path) -> None:
    folder = made(tmp_path / "m", template)
    with pytest.raises(
        UnsupportedModelError, match=r"tokenizer\.json makes '.*' of the text 'a', dpr-rag '\[CLS\] a \["
    ):
        DualEncoder.from_pretrained(folder, device="cpu")
    expected = by_library(folder, tiny.QUESTIONS)
    encoder = load_encoder(folder)
    assert isinstance(encoder, LibraryEncoder)
    np.testing.assert_allclose(encoder.encode_questions(tiny.QUESTIONS), expected, atol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"truncation_side": "left"}])
def test_they_are_refused_before_a_precision_is_measured(
    settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which takes up to a minute, of a model that the library will run."""

    def measured(*_: Any, **__: Any) -> None:
        pytest.fail("a runtime was chosen")

    monkeypatch.setattr("dpr_rag.encoders.dual.choose_runtime", measured)
    with pytest.raises(UnsupportedModelError):
        DualEncoder.from_pretrained(made(tmp_path / "m", None, **settings), device="cpu")


def test_the_usual_special_tokens_are_read_here(tmp_path: Path) -> None:
    folder = made(tmp_path / "m", "[CLS] $A [SEP]")
    encoder = load_encoder(folder, device="cpu", dtype="float32")
    assert isinstance(encoder, DualEncoder)
    np.testing.assert_allclose(encoder.encode_questions(tiny.QUESTIONS), by_library(folder, tiny.QUESTIONS), atol=1e-5)


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json"])
def test_a_text_cut_at_its_beginning_is_left_to_the_library(file: str, tmp_path: Path) -> None:
    side = {"truncation_side": "left"} if file == "tokenizer_config.json" else {}
    folder = made(tmp_path / "m", "[CLS] $A [SEP]", **side)
    if not side:
        described = json.loads((folder / file).read_text())
        described["truncation"] = {"direction": "Left", "max_length": 64, "strategy": "LongestFirst", "stride": 0}
        (folder / file).write_text(json.dumps(described))
    with pytest.raises(UnsupportedModelError, match=r"cuts a long text at its beginning \(truncation_side is 'left'\)"):
        DualEncoder.from_pretrained(folder, device="cpu")
    np.testing.assert_allclose(load_encoder(folder).encode_questions([LONG]), by_library(folder, [LONG]), atol=1e-5)


def test_a_profile_says_how_it_is_read(tmp_path: Path) -> None:
    """Who passes a profile means dpr-rag's own reading, and so does an encoder that it saved."""
    folder = made(tmp_path / "m", None, truncation_side="left")
    encoder = DualEncoder.from_pretrained(folder, profile="minilm", device="cpu")
    encoder.save_pretrained(tmp_path / "saved")
    assert DualEncoder.from_pretrained(tmp_path / "saved", device="cpu").fingerprint == encoder.fingerprint
