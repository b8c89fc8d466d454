"""Roles, missing weights, unknown architectures, recognition of families, missing libraries."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny
import torch
import transformers
from tiny_models import QUESTIONS, load

from dpr_rag import DualEncoder, Encoder
from dpr_rag.encoders.folders import find_folder
from dpr_rag.encoders.profiles import PROFILES, Profile
from dpr_rag.encoders.recognition import recognise
from dpr_rag.errors import MissingExtraError, ModelError


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("pair")
    return tiny.dpr(root / "my-question", "question"), tiny.dpr(root / "my-ctx", "context")


@pytest.fixture(scope="module")
def encoder(pair: tuple[Path, Path]) -> DualEncoder:
    return DualEncoder.from_pretrained(*pair, device="cpu", runtime="torch")


def test_it_is_an_encoder(encoder: DualEncoder, pair: tuple[Path, Path]) -> None:
    assert isinstance(encoder, Encoder)
    assert (encoder.dim, encoder.profile, encoder.shared) == (32, PROFILES["dpr"], False)
    assert encoder.source == f"{pair[0]} + {pair[1]}"


def test_swapped_roles(pair: tuple[Path, Path]) -> None:
    question, context = pair
    with pytest.raises(ModelError, match=r"my-ctx is a context encoder .* in the role of the question .* swapped"):
        load(context, question)
    with pytest.raises(ModelError, match=r"my-ctx is a context encoder .* in the role of the question .* swapped"):
        load(context)
    with pytest.raises(ModelError, match=r"my-question is a question encoder .* in the role of the context .* swapped"):
        load(question, question)


def test_question_encoder_alone_names_its_context_encoder(pair: tuple[Path, Path]) -> None:
    with pytest.raises(ModelError, match=r"my-question is a question encoder alone; pass .*: .*/my-ctx$"):
        load(pair[0])


@pytest.mark.parametrize("name", ["encoder.layer.1.output.dense.bias", "encode_proj.weight", "LayerNorm.weight"])
def test_missing_weight_is_named(tmp_path: Path, name: str) -> None:
    question = tiny.dpr(tmp_path / "q", "question", projection_dim=24)
    context = tiny.dpr(tmp_path / "c", "context", projection_dim=24)
    tiny.edit_weights(context, lambda state: {key: state[key] for key in state if not key.endswith(name)})
    shown = "head.dense.weight" if "proj" in name else name
    with pytest.raises(ModelError, match=f"c: weights are missing: .*{shown}"):
        load(question, context)


def test_head_of_ance_must_be_there(tmp_path: Path) -> None:
    folder = tiny.ance(tmp_path / "m")
    tiny.edit_weights(folder, lambda state: {key: state[key] for key in state if not key.startswith("norm.")})
    with pytest.raises(ModelError, match=r"weights are missing: head\.norm\.bias, head\.norm\.weight"):
        load(folder)


def test_weight_without_a_place(tmp_path: Path) -> None:
    folder = tiny.contriever(tmp_path / "m")
    tiny.edit_weights(folder, lambda state: state | {"linear.weight": torch.zeros(8, 32)})
    with pytest.raises(ModelError, match=r"weights have no place: linear\.weight"):
        load(folder)
    with pytest.raises(ModelError, match=r"weights have no place: head\.dense\.bias"):
        load(tiny.ance(tmp_path / "ance"), profile="contriever")


def test_weight_of_the_wrong_shape(tmp_path: Path) -> None:
    folder = tiny.edit_config(tiny.contriever(tmp_path / "m"), intermediate_size=48)
    with pytest.raises(
        ModelError, match=r"wrong shape: encoder\.layer\.0\.intermediate\.dense\.bias \[64\] instead of \[48\]"
    ):
        load(folder)


@pytest.mark.parametrize("architectures", [["T5EncoderModel"], [], None])
def test_unknown_architecture(tmp_path: Path, architectures: list[str] | None) -> None:
    folder = tiny.edit_config(tiny.bert(tmp_path / "m"), architectures=architectures, model_type="t5")
    shown = architectures[0] if architectures else ""
    with pytest.raises(ModelError, match=f"unknown architecture '{shown}' .* dpr-rag runs DPRQuestionEncoder, "):
        load(folder, profile="contriever")


def test_towers_of_different_dimensions(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    wider = tiny.dpr(tmp_path / "c", "context", projection_dim=24)
    with pytest.raises(ModelError, match="the question encoder gives 32 dimensions, the context encoder 24"):
        load(pair[0], wider)


def test_towers_of_different_families(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"of the family 'contriever', .* of 'tas-b'"):
        load(tiny.contriever(tmp_path / "a"), tiny.tas_b(tmp_path / "b"))


def test_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no config\.json"):
        load(tmp_path)
    with pytest.raises(ModelError, match="is not a folder"):
        load(tmp_path / "absent")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json is not JSON"):
        load(tmp_path)


def test_folder_without_weights(tmp_path: Path) -> None:
    folder = tiny.contriever(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "tf_model.h5")
    with pytest.raises(ModelError, match=r"neither model\.safetensors nor pytorch_model\.bin in .*; fetch"):
        load(folder)


def test_truncated_weights_are_refused(tmp_path: Path) -> None:
    path = tiny.contriever(tmp_path / "m") / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ModelError, match="is not a whole safetensors file"):
        load(path.parent)


def test_plain_bert_asks_for_a_profile(tmp_path: Path) -> None:
    folder = tiny.bert(tmp_path / "m")
    with pytest.raises(
        ModelError, match=r"pass profile= with one of dpr, ance, tas-b, contriever, minilm, e5, e5-instruct, bge"
    ):
        load(folder)
    with pytest.raises(ModelError, match=r"no profile is called 'bert'; pass one of dpr, "):
        load(folder, profile="bert")


def test_towers_start_from_plain_bert(tmp_path: Path) -> None:
    model = tiny.seeded(transformers.BertForMaskedLM, tiny.bert_config(), 3)
    model.save_pretrained(tiny.bert_tokenizer(tmp_path / "m"))
    encoder = load(tmp_path / "m", tmp_path / "m", profile="dpr")
    ids = tiny.plain_ids(tmp_path / "m", [(text,) for text in QUESTIONS], 64)
    expected = tiny.hidden(model.bert, ids, pad=0)[0][:, 0].numpy()
    np.testing.assert_allclose(encoder.encode_questions(QUESTIONS), expected, atol=1e-5)


NORMALISED = {"pooling": "mean", "names": ["Normalize"]}


@pytest.mark.parametrize(
    ("config", "modules", "expected"),
    [
        ({"architectures": ["DPRContextEncoder"]}, None, PROFILES["dpr"]),
        ({"architectures": ["Contriever"]}, None, PROFILES["contriever"]),
        ({"_name_or_path": "facebook/mcontriever-msmarco"}, None, PROFILES["contriever"]),
        ({"_name_or_path": "castorini/ance-dpr-question-multi"}, None, PROFILES["ance"]),
        ({"_name_or_path": "sentence-transformers/msmarco-distilbert-base-tas-b"}, None, PROFILES["tas-b"]),
        (
            {"_name_or_path": "sentence-transformers/msmarco-distilbert-base-tas-b"},
            {"pooling": "cls"},
            PROFILES["tas-b"],
        ),
        ({"_name_or_path": "nreimers/MiniLM-L6-H384-uncased"}, NORMALISED | {"length": 256}, PROFILES["minilm"]),
        ({"_name_or_path": "intfloat/e5-base-v2"}, NORMALISED, PROFILES["e5"]),
        ({"_name_or_path": "BAAI/bge-small-en-v1.5"}, {"pooling": "cls", "names": ["Normalize"]}, PROFILES["bge"]),
        ({}, {"pooling": "cls", "length": 128}, "cls 128 True"),
        ({}, {"pooling": "mean"}, "mean 512 True"),
    ],
)
def test_families_are_recognised(
    tmp_path: Path, config: dict[str, Any], modules: dict[str, Any] | None, expected: Profile | str
) -> None:
    tmp_path.joinpath("config.json").write_text(json.dumps({"architectures": ["BertModel"], **config}))
    if modules:
        tiny.modules(tmp_path, **modules)
    found = recognise(find_folder(tmp_path))
    if isinstance(expected, Profile):
        assert found == expected
    else:
        assert found.name == "sentence-transformers"
        assert f"{found.pooling} {found.passage_length} {found.normalise}" == expected


def test_prompts_are_recognised(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    tiny.modules(tmp_path, pooling="mean")
    prompts = {"prompts": {"query": "ask: ", "document": "tell: "}}
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    found = recognise(find_folder(tmp_path))
    assert (found.question_prefix, found.passage_prefix) == ("ask: ", "tell: ")


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({"pooling": "max", "names": ["LSTM"]}, "asks for Transformer, Pooling, LSTM"),
        ({"pooling": "mean", "names": ["WordWeights"]}, "asks for Transformer, Pooling, WordWeights"),
        (
            {"pooling": "mean", "names": ["LayerNorm"]},
            "expected Transformer, Pooling, perhaps Dense, LayerNorm after it",
        ),
    ],
)
def test_modules_that_cannot_run(tmp_path: Path, modules: dict[str, Any], message: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=message):
        recognise(find_folder(tiny.modules(tmp_path, **modules)))


@pytest.mark.parametrize(
    "changes",
    [{"pooling": "middle"}, {"normalise": 1}, {"question_length": 2}, {"passage_length": "9"}, {"title": None}],
)
def test_profile_refuses_wrong_values(changes: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=f"profile 'dpr': {next(iter(changes))} is .*, expected "):
        replace(PROFILES["dpr"], **changes)


def test_missing_torch(monkeypatch: pytest.MonkeyPatch, pair: tuple[Path, Path]) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"pip install -c constraints.txt '\.\[torch\]'"):
        DualEncoder.from_pretrained(*pair, runtime="torch")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hidden_size": "wide"}, "'hidden_size' expected int"),
        ({"hidden_size": -3}, "negative dimension -3"),
        ({"num_attention_heads": 7}, "not a multiple of the number of attention heads"),
        ({"num_attention_heads": 0}, "ZeroDivisionError"),
        ({"hidden_act": "nothing"}, "KeyError: .*nothing"),
        ({"max_position_embeddings": None}, "'max_position_embeddings' expected int"),
        ({"max_position_embeddings": "many"}, "the max_position_embeddings 'many', expected an integer; compare"),
        ({"max_position_embeddings": [64]}, r"the max_position_embeddings \[64\], expected an integer; compare"),
        ({"pad_token_id": True}, "the pad_token_id True, expected an integer; compare"),
        ({"pad_token_id": 9999}, "[Pp]adding_idx"),
        ({"architectures": 5}, "unknown architecture ''"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # transformers also warns of some of these
def test_a_config_that_describes_no_model_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    folder = tiny.edit_config(tiny.contriever(tmp_path / "m"), **change)
    with pytest.raises(ModelError, match=f"(?s){tmp_path}/m: .*{said}") as caught:
        load(folder, profile="contriever")
    assert "config.json" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.json", "[" * 100_000, "config.json is not JSON"),
        ("tokenizer_config.json", "[" * 100_000, "tokenizer_config.json is not JSON"),
        ("tokenizer_config.json", '{"cls_token": {"id": 1}}', "the special token 'None' is not in the vocabulary"),
        ("tokenizer.json", "{}", "tokenizer.json describes no tokenizer model; fetch"),
    ],
)
def test_small_files_that_make_no_sense_are_named(tmp_path: Path, name: str, content: str, said: str) -> None:
    folder = tiny.contriever(tmp_path / "m")
    (folder / name).write_text(content)
    with pytest.raises(ModelError, match=said):
        load(folder)


def test_a_vocabulary_that_is_no_utf8_is_named(tmp_path: Path) -> None:
    question, context = tiny.dpr(tmp_path / "q", "question"), tiny.dpr(tmp_path / "c", "context")
    (question / "tokenizer.json").unlink(missing_ok=True)
    (question / "vocab.txt").write_bytes(b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n\xff\n")
    with pytest.raises(ModelError, match=r"vocab\.txt is not UTF-8"):
        load(question, context)
