"""One tower (weights, configuration, tokenizer files): its architecture, read from a folder and written to one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dpr_rag.encoders.folders import WEIGHTS, ModelFolder
from dpr_rag.encoders.packed import unpack
from dpr_rag.encoders.tokenizer_files import TokenizerFiles
from dpr_rag.encoders.weights import (
    Array,
    State,
    hash_weights,
    read_safetensors,
    renamed,
    used,
    without_shared_prefix,
    write_safetensors,
)
from dpr_rag.errors import ModelError, UnsupportedModelError
from dpr_rag.forking import cached
from dpr_rag.legacy import read_state_dict

Backbone = Literal["bert", "roberta", "distilbert", "mpnet"]
Role = Literal["question", "context", "reader"]


@dataclass(frozen=True, slots=True)
class Architecture:
    """How a transformers class names its weights.

    Attributes:
        backbone: The transformer inside it.
        prefixes: Prefix in the file and canonical prefix; backbone weights have none, a head is ``head.``.
        role: The side it was trained for, where its class says so.
        saved_as: The class its towers are written as.
    """

    backbone: Backbone
    prefixes: tuple[tuple[str, str], ...] = ()
    role: Role | None = None
    saved_as: str = ""


def _dpr(role: Role, module: str) -> Architecture:
    prefixes = ((f"{module}.bert_model.", ""), (f"{module}.encode_proj.", "head.dense."))
    return Architecture("bert", prefixes, role)


_READER = (
    ("span_predictor.encoder.bert_model.", ""),
    ("span_predictor.qa_outputs.", "span."),
    ("span_predictor.qa_classifier.", "selection."),
)
_HEADS = (("embeddingHead.", "head.dense."), ("norm.", "head.norm."))
_ANCE = (("roberta.", ""), *_HEADS, *((f"ance_encoder.{name}", to) for name, to in (("roberta.", ""), *_HEADS)))
ARCHITECTURES: Mapping[str, Architecture] = {
    "DPRQuestionEncoder": _dpr("question", "question_encoder"),
    "DPRContextEncoder": _dpr("context", "ctx_encoder"),
    "DPRReader": Architecture("bert", _READER, "reader"),
    "BertModel": Architecture("bert", (("bert.", ""),), saved_as="BertModel"),
    "Contriever": Architecture("bert", (("bert.", ""),), saved_as="BertModel"),
    "BertForMaskedLM": Architecture("bert", (("bert.", ""),), saved_as="BertModel"),
    "BertForPreTraining": Architecture("bert", (("bert.", ""),), saved_as="BertModel"),
    "DistilBertModel": Architecture("distilbert", (("distilbert.", ""),), saved_as="DistilBertModel"),
    "DistilBertForMaskedLM": Architecture("distilbert", (("distilbert.", ""),), saved_as="DistilBertModel"),
    "RobertaModel": Architecture("roberta", _ANCE, saved_as="RobertaModel"),
    "RobertaForMaskedLM": Architecture("roberta", (("roberta.", ""),), saved_as="RobertaModel"),
    "XLMRobertaModel": Architecture("roberta", (("roberta.", ""),), saved_as="XLMRobertaModel"),
    "XLMRobertaForMaskedLM": Architecture("roberta", (("roberta.", ""),), saved_as="XLMRobertaModel"),
    "CamembertModel": Architecture("roberta", (("roberta.", ""),), saved_as="CamembertModel"),
    "CamembertForMaskedLM": Architecture("roberta", (("roberta.", ""),), saved_as="CamembertModel"),
    "MPNetModel": Architecture("mpnet", (("mpnet.", ""),), saved_as="MPNetModel"),
    "MPNetForMaskedLM": Architecture("mpnet", (("mpnet.", ""),), saved_as="MPNetModel"),
    "AnceEncoder": Architecture("roberta", _ANCE),
    "RobertaDot_NLL_LN": Architecture("roberta", _ANCE, saved_as="AnceEncoder"),
}
_OF_TYPE: Mapping[str, str] = {
    "bert": "BertModel",
    "roberta": "RobertaModel",
    "xlm-roberta": "XLMRobertaModel",
    "camembert": "CamembertModel",
    "distilbert": "DistilBertModel",
    "mpnet": "MPNetModel",
}
"""The class that a configuration without ``architectures`` means by its ``model_type``."""
_WORDS = "embeddings.word_embeddings.weight"
_NUMERICS = ("num_attention_heads", "n_heads", "hidden_act", "activation", "layer_norm_eps")


@dataclass(frozen=True, eq=False)
class Tower:
    """The weights of one encoder under canonical names, with what is needed to run and to save them.

    Attributes:
        architecture: Key of ``ARCHITECTURES``: the class that it is written as.
        config: The contents of ``config.json``.
        state: Weights by canonical name: the backbone's bare names, ``head.dense.*``, ``head.norm.*``; of a reader
            ``span.*`` and ``selection.*``.
        tokenizer: The tokenizer's files.
    """

    architecture: str
    config: Mapping[str, Any]
    state: State
    tokenizer: TokenizerFiles

    @property
    def backbone(self) -> Backbone:
        """The transformer inside."""
        return ARCHITECTURES[self.architecture].backbone

    @property
    def counts_from_padding(self) -> bool:
        """Whether the positions of tokens begin behind the padding's id, as in RoBERTa and MPNet."""
        return self.backbone in ("roberta", "mpnet")

    @property
    def role(self) -> Role | None:
        """The side that the architecture was trained for, or None where it may serve either."""
        return ARCHITECTURES[self.architecture].role

    @cached
    def digest(self) -> str:
        """SHA-256 over the weights, the few settings that change the arithmetic, and the tokenizer."""
        numerics = {name: self.config[name] for name in _NUMERICS if name in self.config}
        if self.backbone == "roberta" and self.config.get("pad_token_id") not in (None, 1):
            numerics["pad_token_id"] = self.config["pad_token_id"]  # where positions begin
        parts = [self.backbone, numerics, hash_weights(self.state), self.tokenizer.digest()]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def write(self, folder: Path) -> None:
        """Write a transformers folder: ``config.json``, ``model.safetensors`` and the tokenizer's files."""
        folder.mkdir(parents=True)
        dtype = str(self.state["embeddings.word_embeddings.weight"].dtype)
        config = {**self.config, "architectures": [self.architecture], "dtype": dtype}
        config.pop("torch_dtype", None)  # its older name
        (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        for name, content in self.tokenizer.files.items():
            (folder / name).write_bytes(content)
        write_safetensors(folder / WEIGHTS, renamed(self.state, self._names_written()))

    def _names_written(self) -> list[tuple[str, str]]:
        """Canonical prefix to prefix in the file, longest first; a bare model is written without prefixes."""
        architecture = ARCHITECTURES[self.architecture]
        if architecture.saved_as == self.architecture:
            return []
        first = {canonical: prefix for prefix, canonical in reversed(architecture.prefixes)}
        return sorted(((canonical, prefix) for canonical, prefix in first.items()), reverse=True)


def load_tower(folder: ModelFolder) -> Tower:
    """Read one tower from its folder, a sentence-transformers head included.

    Raises:
        ModelError: An unknown architecture, or files that are missing or damaged.
        UnsafeFileError: ``pytorch_model.bin`` asks for more than tensors and plain containers.
    """
    architecture = folder.architecture
    if not folder.config.get("architectures"):
        architecture = _OF_TYPE.get(str(folder.config.get("model_type")), "")
    if architecture not in ARCHITECTURES:
        raise UnsupportedModelError(
            f"{folder.name}: unknown architecture {architecture!r} (model_type {folder.config.get('model_type')!r}) in "
            f"config.json; dpr-rag runs {', '.join(ARCHITECTURES)}"
        )
    state = _state(folder, ARCHITECTURES[architecture])
    class_name = ARCHITECTURES[architecture].saved_as or architecture
    if "head.dense.weight" in state and class_name == "RobertaModel":
        class_name = "AnceEncoder"
    return Tower(class_name, folder.config, state, TokenizerFiles.read(folder))


def _state(folder: ModelFolder, architecture: Architecture) -> dict[str, Array]:
    """All weights of a folder by canonical name; poolers are unused here, and kept for other libraries."""
    state = _canonical(_raw(folder, ""), architecture)
    if _WORDS not in state or state[_WORDS].ndim != 2:
        names = ", ".join(sorted(state)[:3]) or "none at all"
        raise ModelError(
            f"{folder.name}: the weight {_WORDS} is missing (there are {names} ...); the files hold another model than "
            "config.json says, or only a part of it"
        )
    for inside in folder.head_folders():
        state.update(renamed(_raw(folder, inside), (("linear.", "head.dense."), ("norm.", "head.norm."))))
    if "head.dense.weight" in state and "head.dense.bias" not in state:  # a Dense without one adds nothing
        state["head.dense.bias"] = np.zeros(len(state["head.dense.weight"]), np.float32)
    active = used(state)
    return {name: array for name, array in state.items() if name in active or name.startswith("pooler.")}


def _canonical(raw: State, architecture: Architecture) -> dict[str, Array]:
    """Weights by canonical name, without the prefixes of classes that wrapped the model."""
    candidate: dict[str, Array] | None = dict(raw)
    while candidate:
        state = renamed(candidate, architecture.prefixes)
        if _WORDS in state:
            return state
        candidate = without_shared_prefix(candidate)
    prefix = next((name.removesuffix(_WORDS) for name in raw if name.endswith(f".{_WORDS}")), "")
    return {name.removeprefix(prefix): array for name, array in raw.items()}


def _raw(folder: ModelFolder, inside: str) -> dict[str, Array]:
    raw: dict[str, Array] = {}
    for path in folder.weight_files(inside):
        raw.update(read_safetensors(path) if path.suffix == ".safetensors" else read_state_dict(path))
    return unpack(raw, where=folder.name)
