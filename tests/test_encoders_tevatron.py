"""What Tevatron writes, beside plain transformers as its ``DenseModel`` runs them; and what it writes that is no model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny
import torch
import transformers
from tiny_models import PASSAGES, QUESTIONS
from typer.testing import CliRunner

from dpr_rag import DualEncoder, Passage, load_encoder
from dpr_rag.cli.app import app
from dpr_rag.encoders.profiles import PROFILES, named_profile
from dpr_rag.errors import ModelError

TEXTS = [f"{one.title} {one.text}".strip() for one in PASSAGES]


def untied(folder: Path) -> Path:
    """Two towers apart, as ``--untie_encoder`` saves them, and one tokenizer beside them."""
    for seed, name in enumerate(("query_model", "passage_model")):
        tiny.seeded(transformers.BertModel, tiny.bert_config(), seed).save_pretrained(folder / name)
    return tiny.bert_tokenizer(folder)


def by_tevatron(
    model: Path, tokenizer: Path, texts: Sequence[str], length: int, *, pooling: str = "cls", unit: bool = False
) -> np.ndarray:
    """``DenseModel``: texts padded to a multiple of 16 without token types, one token or the mean of the last layer."""
    ids = tiny.plain_ids(tokenizer, [(text,) for text in texts], length)
    states, mask = tiny.hidden(transformers.BertModel.from_pretrained(model).eval(), ids, pad=0, wide=16)
    if pooling == "cls":
        pooled = states[:, 0]
    elif pooling == "mean":
        pooled = (states * mask[..., None]).sum(dim=1) / mask.sum(dim=1)[..., None]
    else:
        pooled = states[torch.arange(len(states)), mask.sum(dim=1) - 1]
    return (torch.nn.functional.normalize(pooled, dim=-1) if unit else pooled).numpy()


def test_a_tied_model_reads_as_tevatron_does(tmp_path: Path) -> None:
    folder = tiny.bert(tmp_path / "m", max_position_embeddings=160)
    encoder = tiny.load(folder, profile="tevatron")
    assert encoder.shared
    long = [" ".join(QUESTIONS), *QUESTIONS]
    np.testing.assert_allclose(encoder.encode_questions(long), by_tevatron(folder, folder, long, 32), atol=1e-5)
    passages = [*PASSAGES, Passage("long", " ".join(TEXTS), "hamlet")]
    texts = [*TEXTS, f"hamlet {' '.join(TEXTS)}"]
    expected = by_tevatron(folder, folder, texts, 128)
    np.testing.assert_allclose(encoder.encode_passages(passages), expected, atol=1e-5)
    assert encoder.truncated == 1


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_its_options_stand_behind_the_name(tmp_path: Path, pooling: str) -> None:
    folder = tiny.bert(tmp_path / "m")
    said = (
        f"tevatron:pooling={pooling},normalise=true,question_prefix=query: ,passage_prefix=passage: ,question_length=20"
    )
    encoder = tiny.load(folder, profile=said)
    made = replace(
        PROFILES["tevatron"],
        **{"pooling": pooling, "normalise": True, "question_length": 20},
        **{"question_prefix": "query: ", "passage_prefix": "passage: "},
    )
    assert encoder.profile == made
    asked = by_tevatron(folder, folder, [f"query: {one}" for one in QUESTIONS], 20, pooling=pooling, unit=True)
    np.testing.assert_allclose(encoder.encode_questions(QUESTIONS), asked, atol=1e-5)
    texts = [f"passage: {one}" for one in TEXTS]
    expected = by_tevatron(folder, folder, texts, 64, pooling=pooling, unit=True)
    np.testing.assert_allclose(encoder.encode_passages(PASSAGES), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("tevatron:normalize=true", "no field 'normalize'; write NAME:FIELD=VALUE"),
        ("tevatron:name=x", "no field 'name'"),
        ("tevatron:normalise=yes", "normalise is 'yes', expected true or false"),
        ("tevatron:passage_length=long", "passage_length is 'long', expected a number"),
        ("tevatron:pooling=eos", "pooling is 'eos', expected 'cls' or 'mean'"),
        ("tevatrom:pooling=cls", "no profile is called 'tevatrom'"),
    ],
)
def test_what_is_no_field_or_value_is_named(said: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        named_profile(said)


@pytest.mark.parametrize("profile", [None, "tevatron"])
def test_two_towers_are_known_by_their_folders(tmp_path: Path, profile: str | None) -> None:
    folder = untied(tmp_path / "m")
    encoder = tiny.load(folder, profile=profile)
    assert (encoder.shared, encoder.profile.name) == (False, "tevatron")
    expected = by_tevatron(folder / "query_model", folder, QUESTIONS, 32)
    np.testing.assert_allclose(encoder.encode_questions(QUESTIONS), expected, atol=1e-5)
    expected = by_tevatron(folder / "passage_model", folder, TEXTS, 64)
    np.testing.assert_allclose(encoder.encode_passages(PASSAGES), expected, atol=1e-5)
    encoder.save_pretrained(tmp_path / "saved")
    again = tiny.load(tmp_path / "saved")
    assert (again.fingerprint, again.profile) == (encoder.fingerprint, encoder.profile)
    apart = tiny.load(folder / "query_model", folder / "passage_model", profile="tevatron")
    assert apart.fingerprint == encoder.fingerprint


def test_half_of_two_towers_and_a_third_are_refused(tmp_path: Path) -> None:
    folder = untied(tmp_path / "m")
    with pytest.raises(ModelError, match=r"holds both of Tevatron's towers; pass it alone"):
        tiny.load(folder, tiny.bert(tmp_path / "other"))
    (folder / "passage_model").rename(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match=r"there is query_model/ and no passage_model/"):
        tiny.load(folder)


def adapter(folder: Path) -> Path:
    """What peft saves: no weights but those to add."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "owner/base", "r": 16}))
    return tiny.bert_tokenizer(folder)


@pytest.mark.parametrize("profile", [None, "tevatron"])
@pytest.mark.parametrize("make", [adapter, lambda folder: adapter(tiny.bert(folder))])
def test_adapters_are_refused_by_name(tmp_path: Path, make: Any, profile: str | None) -> None:
    folder = make(tmp_path / "m")
    for load in (DualEncoder.from_pretrained, load_encoder):
        with pytest.raises(ModelError, match=r"holds a LoRA adapter .*'owner/base'.*merge_and_unload"):
            load(folder, profile=profile)


def test_a_linear_pooler_is_refused_by_name(tmp_path: Path) -> None:
    for folder in (tiny.bert(tmp_path / "tied"), untied(tmp_path / "untied")):
        (folder / "pooler_config.json").write_text("{}")
        with pytest.raises(ModelError, match=r"--add_pooler"):
            DualEncoder.from_pretrained(folder, profile="tevatron")


def test_commands_take_it_by_name(tmp_path: Path) -> None:
    folder = tiny.bert(tmp_path / "m")
    (tmp_path / "c.jsonl").write_text('{"id": "1", "text": "the king of denmark", "title": "hamlet"}\n')
    line = ["index", str(tmp_path / "c.jsonl"), "--store", str(tmp_path / "s"), "--model", str(folder)]
    refused = CliRunner().invoke(app, line)
    assert "tevatron" in refused.output
    done = CliRunner().invoke(app, [*line, "--profile", "tevatron:pooling=mean"])
    assert done.exit_code == 0, done.output
    found = CliRunner().invoke(
        app, ["search", str(tmp_path / "s"), "king", "--model", str(folder), "--profile", "tevatron:pooling=mean"]
    )
    assert "denmark" in found.output
