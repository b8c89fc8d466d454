"""DPR's original checkpoints: read, written, converted both ways, and refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny
import torch
import transformers

from dpr_rag import DualEncoder, Passage
from dpr_rag.encoders.checkpoints import convert, from_checkpoint, to_checkpoint
from dpr_rag.encoders.profiles import PROFILES
from dpr_rag.errors import ModelError, UnsafeFileError

QUESTIONS = tiny.texts(8, longest=40)
PASSAGES = [Passage(id=str(at), title="hamlet", text=text) for at, text in enumerate(tiny.texts(8, seed=1))]
PARAMS = {"do_lower_case": True, "encoder_model_type": "hf_bert", "projection_dim": 0, "sequence_length": 256}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.bert(tmp_path_factory.mktemp("base") / "bert", seed=9)


def towers(*, projected: bool = False) -> dict[str, torch.Tensor]:
    """`model_dict` as DPR's own BiEncoder has it, position counters and poolers included."""
    found: dict[str, torch.Tensor] = {}
    for seed, prefix in enumerate(("question_model.", "ctx_model.")):
        model = tiny.seeded(transformers.BertModel, tiny.bert_config(), seed)
        found |= {prefix + name: tensor for name, tensor in model.state_dict().items()}
        found[f"{prefix}embeddings.position_ids"] = torch.arange(64)[None]
        if projected:
            found |= {f"{prefix}encode_proj.weight": torch.randn(24, 32), f"{prefix}encode_proj.bias": torch.randn(24)}
    return found


def written(path: Path, weights: dict[str, torch.Tensor], params: Any = PARAMS) -> Path:
    torch.save(
        {
            **{"model_dict": weights, "optimizer_dict": {"state": {0: torch.ones(2)}}, "scheduler_dict": {"last": 1}},
            **{"offset": 3, "epoch": 2, "encoder_params": params},
        },
        path,
    )
    return path


def expected(weights: dict[str, torch.Tensor], prefix: str, ids: list[list[int]]) -> np.ndarray:
    model = transformers.BertModel(tiny.bert_config(), add_pooling_layer=False).eval()
    own = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
    model.load_state_dict({name: own[name] for name in model.state_dict()})
    first = tiny.hidden(model, ids, pad=0)[0][:, 0]
    if "encode_proj.weight" in own:
        first = first @ own["encode_proj.weight"].T + own["encode_proj.bias"]
    return first.numpy()


@pytest.mark.parametrize("projected", [False, True])
def test_vectors_are_those_of_the_checkpoint(tmp_path: Path, base: Path, projected: bool) -> None:
    weights = towers(projected=projected)
    encoder = from_checkpoint(written(tmp_path / "dpr.cp", weights), base=base, device="cpu", runtime="torch")
    assert (encoder.dim, encoder.profile, encoder.source) == (
        24 if projected else 32,
        PROFILES["dpr"],
        str(tmp_path / "dpr.cp"),
    )
    questions = tiny.plain_ids(base, [(text,) for text in QUESTIONS], 64)
    passages = tiny.plain_ids(base, [(passage.title, passage.text) for passage in PASSAGES], 64)
    found = encoder.encode_questions(QUESTIONS)
    np.testing.assert_allclose(found, expected(weights, "question_model.", questions), atol=1e-5)
    found = encoder.encode_passages(PASSAGES)
    np.testing.assert_allclose(found, expected(weights, "ctx_model.", passages), atol=1e-5)


@pytest.mark.parametrize("projected", [False, True])
def test_there_and_back_keeps_fingerprint_and_weights(tmp_path: Path, base: Path, projected: bool) -> None:
    weights = towers(projected=projected)
    first = convert(written(tmp_path / "dpr.cp", weights), tmp_path / "folder", base=base)
    loaded = DualEncoder.from_pretrained(tmp_path / "folder", device="cpu", runtime="torch")
    convert(tmp_path / "folder", tmp_path / "back.cp")
    again = from_checkpoint(tmp_path / "back.cp", base=tmp_path / "folder" / "question", device="cpu", runtime="torch")
    assert first.fingerprint == loaded.fingerprint == again.fingerprint
    back = torch.load(tmp_path / "back.cp", weights_only=True)
    kept = {name for name in weights if not name.endswith("position_ids")}
    assert set(back["model_dict"]) == kept
    assert all(torch.equal(back["model_dict"][name], weights[name]) for name in kept)
    assert back["encoder_params"]["projection_dim"] == (24 if projected else 0)
    assert {**back["encoder_params"], "projection_dim": 0} == {
        **PARAMS,
        **{"pretrained_file": None, "pretrained_model_cfg": "bert-base-uncased"},
    }
    np.testing.assert_array_equal(first.encode_questions(QUESTIONS), again.encode_questions(QUESTIONS))


def test_folders_of_transformers_become_a_checkpoint(tmp_path: Path, base: Path) -> None:
    folders = [tiny.dpr(tmp_path / role, role) for role in ("question", "context")]
    encoder = convert(folders[0], tmp_path / "dpr.cp", context=folders[1])
    again = from_checkpoint(tmp_path / "dpr.cp", base=base, device="cpu", runtime="torch")
    assert again.fingerprint == encoder.fingerprint
    stored = torch.load(tmp_path / "dpr.cp", weights_only=True)["model_dict"]
    plain = transformers.DPRContextEncoder.from_pretrained(folders[1]).state_dict()
    name = "encoder.layer.1.attention.self.query.weight"
    assert torch.equal(stored[f"ctx_model.{name}"], plain[f"ctx_encoder.bert_model.{name}"])
    assert not stored["ctx_model.pooler.dense.weight"].any()


def test_sequence_length_is_taken_over(tmp_path: Path, base: Path) -> None:
    path = written(tmp_path / "dpr.cp", towers(), {"encoder": {"sequence_length": 20, "do_lower_case": True}})
    encoder = from_checkpoint(path, base=base, device="cpu", runtime="torch")
    assert encoder.profile == replace(PROFILES["dpr"], question_length=20, passage_length=20)


def test_base_of_the_other_case_is_refused(tmp_path: Path) -> None:
    cased = tiny.bert_tokenizer(tiny.bert(tmp_path / "cased"), lower=False)
    with pytest.raises(ModelError, match=r"trained with do_lower_case=True, the tokenizer of .*cased has False"):
        from_checkpoint(written(tmp_path / "dpr.cp", towers()), base=cased, device="cpu", runtime="torch")


def test_checkpoint_without_a_base_says_what_to_pass(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds weights only; pass base= with the folder"):
        convert(written(tmp_path / "dpr.cp", towers()), tmp_path / "folder")


def test_checkpoint_of_another_kind_is_refused(tmp_path: Path, base: Path) -> None:
    reader = {name.replace("ctx_model.", "encoder."): tensor for name, tensor in towers().items()}
    with pytest.raises(
        ModelError, match=r"no ctx_model\.embeddings\.word_embeddings\.weight, expected a DPR bi-encoder"
    ):
        from_checkpoint(written(tmp_path / "reader.cp", reader), base=base, device="cpu", runtime="torch")


def test_checkpoint_with_a_missing_weight_is_refused(tmp_path: Path, base: Path) -> None:
    weights = towers()
    del weights["ctx_model.encoder.layer.0.output.dense.bias"]
    with pytest.raises(ModelError, match=r"weights are missing: encoder\.layer\.0\.output\.dense\.bias"):
        from_checkpoint(written(tmp_path / "dpr.cp", weights), base=base, device="cpu", runtime="torch")


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, ("false",)


def test_malicious_checkpoint_is_refused(tmp_path: Path, base: Path) -> None:
    path = written(tmp_path / "evil.cp", {**towers(), "question_model.extra": _Evil()})  # type: ignore[dict-item]
    with pytest.raises(UnsafeFileError):
        from_checkpoint(path, base=base, device="cpu", runtime="torch")


@pytest.mark.parametrize("family", ["ance", "tas_b", "contriever"])
def test_encoders_that_a_checkpoint_cannot_hold(tmp_path: Path, family: str) -> None:
    encoder = DualEncoder.from_pretrained(getattr(tiny, family)(tmp_path / "m"), device="cpu", runtime="torch")
    with pytest.raises(ModelError, match=r"cannot be written as a \.cp file"):
        to_checkpoint(encoder, tmp_path / "dpr.cp")
    assert not (tmp_path / "dpr.cp").exists()
