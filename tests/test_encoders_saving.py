"""Saving and loading again, and what a fingerprint depends on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny
import torch
import transformers
from tiny_models import PASSAGES, QUESTIONS, load

from dpr_rag import DualEncoder
from dpr_rag.encoders.profiles import PROFILES
from dpr_rag.errors import ModelError


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("pair")
    return tiny.dpr(root / "my-question", "question"), tiny.dpr(root / "my-ctx", "context")


@pytest.fixture(scope="module")
def encoder(pair: tuple[Path, Path]) -> DualEncoder:
    return DualEncoder.from_pretrained(*pair, device="cpu", runtime="torch")


@pytest.mark.parametrize("family", ["dpr", "projected", "tas_b", "contriever", "ance", "ance_modules", "ance_prefixed"])
def test_saving_keeps_fingerprint_and_vectors(tmp_path: Path, family: str) -> None:
    if family in ("dpr", "projected"):
        size = 24 if family == "projected" else 0
        encoder = load(*(tiny.dpr(tmp_path / role, role, projection_dim=size) for role in ("question", "context")))
    elif family == "ance_prefixed":
        encoder = load(tiny.ance(tmp_path / "m", prefix="ance_encoder."))
    else:
        encoder = load(getattr(tiny, family)(tmp_path / "m"))
    encoder.save_pretrained(tmp_path / "saved")
    again = load(tmp_path / "saved")
    assert again.fingerprint == encoder.fingerprint
    assert (again.profile, again.shared, again.source) == (encoder.profile, encoder.shared, str(tmp_path / "saved"))
    assert (tmp_path / "saved" / "context").exists() == (not encoder.shared)
    np.testing.assert_array_equal(again.encode_questions(QUESTIONS), encoder.encode_questions(QUESTIONS))
    np.testing.assert_array_equal(again.encode_passages(PASSAGES), encoder.encode_passages(PASSAGES))
    _, loading = transformers.AutoModel.from_pretrained(tmp_path / "saved" / "question", output_loading_info=True)
    assert not [name for name in loading["missing_keys"] if "pooler" not in name]


def test_saved_dpr_folders_load_in_plain_transformers(tmp_path: Path, encoder: DualEncoder) -> None:
    encoder.save_pretrained(tmp_path / "saved")
    for role, cls in (("question", transformers.DPRQuestionEncoder), ("context", transformers.DPRContextEncoder)):
        _, loading = cls.from_pretrained(tmp_path / "saved" / role, output_loading_info=True)
        assert not loading["missing_keys"]
        assert not loading["unexpected_keys"]
    with pytest.raises(ModelError, match="was saved with all its towers; pass it alone"):
        load(tmp_path / "saved", tmp_path / "saved")


def test_saving_replaces_an_encoder_and_nothing_else(tmp_path: Path, encoder: DualEncoder) -> None:
    target = tmp_path / "saved"
    encoder.save_pretrained(target)
    shared = load(tiny.contriever(tmp_path / "m"))
    shared.save_pretrained(target)
    assert sorted(path.name for path in target.iterdir()) == ["dpr_rag.json", "question"]
    assert load(target).fingerprint == shared.fingerprint
    load(target).save_pretrained(target)  # onto the files that it runs from
    assert load(target).fingerprint == shared.fingerprint
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ModelError, match="mine exists and is no saved encoder"):
        encoder.save_pretrained(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "mine", "saved"]


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"format": 2}, "expected an object of format 1"),
        ({"format": 1, "profile": {"name": "dpr", "colour": "red"}}, r"unknown fields \['colour'\]; a newer dpr-rag"),
        ({"format": 1, "profile": {"name": "dpr"}}, "the profile is incomplete"),
    ],
)
def test_damaged_profile_file(tmp_path: Path, encoder: DualEncoder, about: dict[str, Any], message: str) -> None:
    encoder.save_pretrained(tmp_path / "saved")
    (tmp_path / "saved" / "dpr_rag.json").write_text(json.dumps(about))
    with pytest.raises(ModelError, match=message):
        load(tmp_path / "saved")


def test_fingerprint_is_that_of_weights_tokenizer_and_profile(tmp_path: Path) -> None:
    folder = tiny.contriever(tmp_path / "m")
    original = load(folder).fingerprint
    assert load(folder, dtype="bfloat16").fingerprint == original
    assert load(folder, profile=replace(PROFILES["contriever"], name="mine")).fingerprint == original
    assert load(folder, profile=replace(PROFILES["contriever"], title="none")).fingerprint != original
    assert load(folder, folder).fingerprint != original
    assert load(tiny.contriever(tmp_path / "seeded", seed=1)).fingerprint != original
    tiny.edit_weights(folder, lambda state: {name: tensor.double() for name, tensor in state.items()})
    assert load(folder).fingerprint == original
    tiny.edit_weights(folder, lambda state: state | {"pooler.dense.bias": torch.ones(32)})
    assert load(folder).fingerprint == original  # poolers take no part
    tiny.edit_config(folder, num_attention_heads=2)
    assert load(folder).fingerprint != original
    tiny.edit_config(folder, num_attention_heads=4)
    tiny.bert_tokenizer(folder, lower=False)
    assert load(folder).fingerprint != original


def test_one_changed_weight_changes_the_fingerprint(tmp_path: Path) -> None:
    folder = tiny.contriever(tmp_path / "m")
    original = load(folder).fingerprint

    def nudged(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        state["encoder.layer.1.output.dense.weight"][31, 63] += 1e-6
        return state

    tiny.edit_weights(folder, nudged)
    assert load(folder).fingerprint != original


def test_saving_from_low_precision_keeps_the_weights(tmp_path: Path) -> None:
    folder = tiny.contriever(tmp_path / "m")
    half = load(folder, dtype="bfloat16")
    half.save_pretrained(tmp_path / "saved")
    np.testing.assert_array_equal(
        load(tmp_path / "saved").encode_questions(QUESTIONS), load(folder).encode_questions(QUESTIONS)
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_published_half_precision_weights(tmp_path: Path, dtype: str) -> None:
    folder = tiny.contriever(tmp_path / "m")
    rounded = getattr(torch, dtype)
    tiny.edit_weights(folder, lambda state: {name: tensor.to(rounded) for name, tensor in state.items()})
    found = load(folder)
    found_vectors = found.encode_questions(QUESTIONS)
    tiny.edit_weights(folder, lambda state: {name: tensor.float() for name, tensor in state.items()})
    assert load(folder).fingerprint == found.fingerprint
    np.testing.assert_array_equal(found_vectors, load(folder).encode_questions(QUESTIONS))


def test_sharded_weights(tmp_path: Path) -> None:
    folder = tiny.contriever(tmp_path / "m")
    whole = load(folder)
    transformers.BertModel.from_pretrained(folder).save_pretrained(tmp_path / "sharded", max_shard_size="20KB")
    tiny.edit_config(tiny.bert_tokenizer(tmp_path / "sharded"), architectures=["Contriever"])
    assert (tmp_path / "sharded" / "model.safetensors.index.json").exists()
    assert load(tmp_path / "sharded").fingerprint == whole.fingerprint
