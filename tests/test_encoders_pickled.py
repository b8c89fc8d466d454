"""Models published as `pytorch_model.bin` alone: the same vectors and fingerprint, and nothing of the file is run."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny
import torch
import transformers

from dpr_rag import DualEncoder, Passage
from dpr_rag.encoders.checkpoints import convert
from dpr_rag.errors import ModelError, UnsafeFileError

QUESTIONS = tiny.texts(12, longest=40)
PASSAGES = [Passage(id=str(at), title="", text=text) for at, text in enumerate(tiny.texts(12, longest=40, seed=1))]
STREAM = pytest.mark.parametrize("stream", [False, True])
Tensors = dict[str, torch.Tensor]


class Call:
    """Pickles as a call of `function(*args)`."""

    def __init__(self, function: Any, *args: object) -> None:
        self.call = (function, args)

    def __reduce__(self) -> Any:
        return self.call


def load(*folders: Path, **options: Any) -> DualEncoder:
    return DualEncoder.from_pretrained(*folders, device="cpu", runtime="torch", **options)


def old_names(state: Tensors) -> Tensors:
    """As BERT models were saved years ago: gamma and beta, and a counter of positions."""
    changed = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in state.items()
    }
    word = next(name for name in state if name.endswith("embeddings.word_embeddings.weight"))
    counter = torch.arange(64).expand((1, -1))
    return {word.replace("word_embeddings.weight", "position_ids"): counter, **changed}


def check(encoder: DualEncoder, same: DualEncoder, questions: np.ndarray, passages: np.ndarray) -> None:
    np.testing.assert_allclose(encoder.encode_questions(QUESTIONS), questions, atol=1e-5, rtol=0)
    np.testing.assert_allclose(encoder.encode_passages(PASSAGES), passages, atol=1e-5, rtol=0)
    assert encoder.fingerprint == same.fingerprint
    assert encoder.profile == same.profile


def ids(folder: Path, texts: list[str]) -> list[list[int]]:
    return tiny.plain_ids(folder, [(text,) for text in texts], 64)


@STREAM
@pytest.mark.parametrize("size", [0, 24])
@pytest.mark.parametrize("change", [None, old_names])
def test_dpr_pair(tmp_path: Path, stream: bool, size: int, change: Any) -> None:
    folders = [tiny.dpr(tmp_path / role, role, projection_dim=size) for role in ("question", "context")]
    same = load(*folders)
    expected = []
    for folder, cls, texts in (
        (folders[0], transformers.DPRQuestionEncoder, QUESTIONS),
        (folders[1], transformers.DPRContextEncoder, [passage.text for passage in PASSAGES]),
    ):
        model = cls.from_pretrained(folder).eval()
        expected.append(tiny.hidden(model, ids(folder, texts), pad=0)[0].numpy())
    copies = [shutil.copytree(folder, tmp_path / f"{folder.name}-bin") for folder in folders]
    pickled = [tiny.pickled(folder, stream=stream, change=change) for folder in copies]
    assert sorted(path.name for path in pickled[0].iterdir() if "model" in path.name) == ["pytorch_model.bin"]
    check(load(*pickled), same, *expected)


@STREAM
@pytest.mark.parametrize("change", [None, old_names])
def test_a_pickled_contriever_gives_the_vectors_of_its_formula(tmp_path: Path, stream: bool, change: Any) -> None:
    folder = tiny.contriever(tmp_path / "m")
    same = load(folder)
    model = transformers.BertModel.from_pretrained(folder).eval()
    expected = []
    for texts in (QUESTIONS, [passage.text for passage in PASSAGES]):
        states, mask = tiny.hidden(model, ids(folder, texts), pad=0)
        kept = mask[:, :, None]
        expected.append(((states * kept).sum(dim=1) / kept.sum(dim=1)).numpy())
    check(load(tiny.pickled(folder, stream=stream, change=change)), same, *expected)


def with_classifier(state: Tensors) -> Tensors:
    """ANCE was trained from a class with a classification head, whose weights castorini's file still holds."""
    return state | {"classifier.dense.weight": torch.zeros(32, 32), "roberta.embeddings.position_ids": torch.arange(66)}


@STREAM
@pytest.mark.parametrize("form", ["castorini", "sentence-transformers"])
def test_a_pickled_ance_gives_the_vectors_of_its_formula(tmp_path: Path, stream: bool, form: str) -> None:
    _, model, head = tiny.roberta(tmp_path / "reference")
    make, change = (tiny.ance, with_classifier) if form == "castorini" else (tiny.ance_modules, None)
    folder = make(tmp_path / "m")
    same = load(folder)
    expected = []
    for texts in (QUESTIONS, [passage.text for passage in PASSAGES]):
        first = tiny.hidden(model, ids(folder, texts), pad=1)[0][:, 0]
        dense = first @ head["embeddingHead.weight"].T + head["embeddingHead.bias"]
        expected.append(torch.nn.functional.layer_norm(dense, (32,), head["norm.weight"], head["norm.bias"]).numpy())
    check(load(tiny.pickled(folder, stream=stream, change=change)), same, *expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_published_precision(tmp_path: Path, dtype: torch.dtype) -> None:
    folder = tiny.contriever(tmp_path / "m")
    tiny.edit_weights(folder, lambda state: {name: tensor.to(dtype) for name, tensor in state.items()})
    same = load(folder)
    again = load(tiny.pickled(shutil.copytree(folder, tmp_path / "bin")))
    assert again.fingerprint == same.fingerprint
    np.testing.assert_array_equal(again.encode_questions(QUESTIONS), same.encode_questions(QUESTIONS))


def expanded(state: Tensors) -> Tensors:
    return state | {"encoder.layer.0.output.dense.bias": torch.tensor([0.25]).expand(32)}


def test_numbers_that_tensors_share(tmp_path: Path) -> None:
    folder = tiny.contriever(tmp_path / "m")
    tiny.edit_weights(folder, lambda state: {name: tensor.contiguous() for name, tensor in expanded(state).items()})
    same = load(folder)
    again = load(tiny.pickled(folder, change=expanded))
    assert again.fingerprint == same.fingerprint
    np.testing.assert_array_equal(again.encode_questions(QUESTIONS), same.encode_questions(QUESTIONS))


@STREAM
def test_parameters_in_shards(tmp_path: Path, stream: bool) -> None:
    folder = tiny.contriever(tmp_path / "m")
    same = load(folder)
    state = transformers.BertModel.from_pretrained(folder).state_dict()
    (folder / "model.safetensors").unlink()
    names = {name: f"pytorch_model-{1 + at % 2:05}-of-00002.bin" for at, name in enumerate(state)}
    for shard in sorted(set(names.values())):
        held = {name: torch.nn.Parameter(tensor) for name, tensor in state.items() if names[name] == shard}
        torch.save(held, folder / shard, _use_new_zipfile_serialization=not stream)
    index = folder / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": names}))
    assert load(folder).fingerprint == same.fingerprint


def test_missing_weight_is_named(tmp_path: Path) -> None:
    folder = tiny.contriever(tmp_path / "m")
    tiny.pickled(folder, change=lambda state: {name: state[name] for name in state if "layer.1.output" not in name})
    with pytest.raises(ModelError, match=r"weights are missing: encoder\.layer\.1\.output\.LayerNorm\.bias"):
        load(folder)


def test_truncated_file(tmp_path: Path) -> None:
    path = tiny.pickled(tiny.contriever(tmp_path / "m"), stream=True) / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ModelError, match=r"pytorch_model\.bin: truncated, damaged"):
        load(path.parent)


@STREAM
def test_malicious_file_is_refused_and_nothing_runs(tmp_path: Path, stream: bool) -> None:
    sentinel = tmp_path / "sentinel"
    folder = tiny.contriever(tmp_path / "m")
    same = load(folder).fingerprint
    attack = {"embeddings.word_embeddings.weight": Call(os.system, f"touch {sentinel}")}
    torch.save(attack, folder / "pytorch_model.bin", _use_new_zipfile_serialization=not stream)
    assert load(folder).fingerprint == same  # with safetensors beside it, the pickled file is not opened
    (folder / "model.safetensors").unlink()
    for act in (load, lambda it: convert(it, tmp_path / "converted")):
        with pytest.raises(UnsafeFileError, match=r"pytorch_model\.bin: the file asks for 'posix\.system'"):
            act(folder)
    assert not sentinel.exists()
    assert not (tmp_path / "converted").exists()
    torch.load(folder / "pytorch_model.bin", weights_only=False)
    assert sentinel.exists()  # so it would have run


def test_pickled_weights_never_reach_torchs_own_loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny.pickled(tiny.contriever(tmp_path / "m"))
    monkeypatch.delattr(torch, "load")
    assert load(folder).dim == 32


@STREAM
def test_conversion_to_safetensors(tmp_path: Path, stream: bool) -> None:
    folders = [
        tiny.pickled(tiny.dpr(tmp_path / role, role), stream=stream, change=old_names)
        for role in ("question", "context")
    ]
    pickled = convert(folders[0], tmp_path / "converted", context=folders[1])
    names = sorted(str(path.relative_to(tmp_path / "converted")) for path in (tmp_path / "converted").rglob("*model*"))
    assert names == ["context/model.safetensors", "question/model.safetensors"]
    again = load(tmp_path / "converted")
    assert again.fingerprint == pickled.fingerprint
    np.testing.assert_array_equal(again.encode_passages(PASSAGES), pickled.encode_passages(PASSAGES))
    _, loading = transformers.DPRContextEncoder.from_pretrained(
        tmp_path / "converted" / "context", output_loading_info=True
    )
    assert not loading["missing_keys"]


def test_folders_need_no_hub_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny.pickled(tiny.contriever(tmp_path / "m"))
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert load(folder).profile.name == "contriever"
