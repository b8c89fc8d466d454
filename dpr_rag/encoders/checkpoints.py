"""DPR's original checkpoints (``.cp``): read into an encoder, written from one, and converted either way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dpr_rag.encoders.dual import DualEncoder
from dpr_rag.encoders.folders import ModelFolder, find_folder
from dpr_rag.encoders.profiles import PROFILES, Profile, named_profile
from dpr_rag.encoders.runtime_choice import RuntimeName
from dpr_rag.encoders.tokenizer_files import TokenizerFiles
from dpr_rag.encoders.towers import Role, Tower
from dpr_rag.encoders.weights import Array, State, renamed
from dpr_rag.errors import ModelError
from dpr_rag.faces import ByFace
from dpr_rag.paths import place_of

_PREFIXES: Mapping[Role, str] = {"question": "question_model.", "context": "ctx_model."}
_CLASSES: Mapping[Role, str] = {"question": "DPRQuestionEncoder", "context": "DPRContextEncoder"}
_PROJECTION = (("encode_proj.", "head.dense."),)


def from_checkpoint(
    path: str | Path,
    *,
    base: str | Path,
    profile: str | Profile | None = None,
    device: str | None = None,
    dtype: str | None = None,
    runtime: RuntimeName | None = None,
) -> DualEncoder:
    """Read an original DPR checkpoint: a ``torch.save`` dict with ``question_model.*`` and ``ctx_model.*`` weights.

    Args:
        path: The ``.cp`` file; it is read by the restricted reader, which builds arrays and plain containers only.
        base: The BERT it was trained from (folder or hub name): its tokenizer and settings are taken, sizes are read
            off the weights.
        profile: DPR's, with the checkpoint's sequence length, unless another is given.
        device: As for :meth:`DualEncoder.from_pretrained`.
        dtype: As for :meth:`DualEncoder.from_pretrained`.
        runtime: As for :meth:`DualEncoder.from_pretrained`.

    Raises:
        ModelError: Not a bi-encoder checkpoint, weights missing, or the base does not fit.
        UnsafeFileError: The file asks for more than arrays and plain containers.
    """
    from dpr_rag.legacy import read_checkpoint

    name = str(path)
    checkpoint = read_checkpoint(place_of(path))
    weights = checkpoint.get("model_dict")
    if not isinstance(weights, Mapping):
        raise ModelError(f"{name} has no model_dict, expected a DPR bi-encoder checkpoint; is it another model's file?")
    folder = find_folder(base)
    settings = _settings(checkpoint.get("encoder_params"))
    tokenizer = replace(TokenizerFiles.read(folder), name=name)
    _check_case(settings, tokenizer, str(base))
    towers = [_tower(role, weights, folder, tokenizer) for role in _PREFIXES]
    used_profile = named_profile(profile) if profile is not None else _profile(settings)
    return DualEncoder(*towers, profile=used_profile, source=name, device=device, dtype=dtype, runtime=runtime)


def to_checkpoint(encoder: DualEncoder, path: str | Path) -> None:
    """Write an encoder as an original DPR checkpoint, without optimizer state.

    The poolers that DPR's own loader asks for and never uses are filled with zeros where the encoder has none.

    Raises:
        ModelError: The format cannot express this encoder: not BERT, or not DPR's pooling.
    """
    from dpr_rag.legacy import write_checkpoint

    profile = encoder.profile
    tower = encoder.question_tower
    if tower.backbone != "bert" or profile.pooling != "cls" or profile.normalise or profile.head == "ance":
        raise ModelError(
            f"{encoder.source} ({tower.architecture}, {profile.pooling} pooling) cannot be written as a .cp file, which "
            "holds BERT towers with cls pooling; save it with save_pretrained instead"
        )
    weights: dict[str, Array] = {}
    towers: Mapping[Role, Tower] = {"question": tower, "context": encoder.context_tower}
    for role, source in towers.items():
        weights.update(renamed(_with_pooler(source), _file_prefixes(_PREFIXES[role])))
    write_checkpoint(
        place_of(path),
        {
            "model_dict": {name: np.asarray(array, dtype=np.float32) for name, array in weights.items()},
            "optimizer_dict": {},
            "scheduler_dict": {},
            "offset": 0,
            "epoch": 0,
            "encoder_params": _params(tower, profile),
        },
    )


def convert(
    source: str | Path,
    target: str | Path,
    *,
    context: str | Path | None = None,
    base: str | Path | None = None,
    profile: str | Profile | None = None,
) -> DualEncoder:
    """Convert an encoder: a ``.cp`` file to a folder, or a model to either form.

    A model published as ``pytorch_model.bin`` becomes a folder of safetensors.

    Args:
        source: A ``.cp`` file, a model folder, or a hub name (the question encoder of two).
        target: A path that ends in ``.cp``, or a folder to write.
        context: The context encoder's folder or hub name, where it is a model of its own.
        base: For a ``.cp`` source: the BERT it was trained from.
        profile: Overrides the recognised profile.

    Returns:
        The encoder that was written, on the CPU.

    Raises:
        ModelError: The source cannot be read, or the target cannot express it.
        UnsafeFileError: The ``.cp`` file or ``pytorch_model.bin`` asks for more than arrays and plain containers.
    """
    is_file = place_of(source).is_file()
    if str(source).endswith(".cp") and not is_file:
        raise ModelError(f"{source}: there is no such file; give a checkpoint, a model folder or a hub name")
    if is_file:
        if base is None:
            raise ModelError(
                f"{source} holds weights only; pass "
                + ByFace("base=", cli="--base")
                + " with the folder or hub name of the BERT it was trained from, for example bert-base-uncased"
            )
        encoder = from_checkpoint(source, base=base, profile=profile, device="cpu", dtype="float32")
    else:
        encoder = DualEncoder.from_pretrained(source, context, profile=profile, device="cpu", dtype="float32")
    if str(target).endswith(".cp"):
        to_checkpoint(encoder, target)
    else:
        encoder.save_pretrained(target)
    return encoder


def _settings(params: object) -> dict[str, Any]:
    """The plain values among the checkpoint's ``encoder_params``, flat in older files, nested in newer ones."""
    if not isinstance(params, Mapping):
        return {}
    nested = params.get("encoder")
    merged = {**params, **nested} if isinstance(nested, Mapping) else params
    return {str(name): value for name, value in merged.items() if isinstance(value, str | int | float | bool)}


def _check_case(settings: Mapping[str, Any], tokenizer: TokenizerFiles, base: str) -> None:
    trained_lower, lowercase = settings.get("do_lower_case"), tokenizer.lowercase
    if trained_lower is not None and lowercase is not None and bool(trained_lower) != lowercase:
        raise ModelError(
            f"{tokenizer.name} was trained with do_lower_case={bool(trained_lower)}, the tokenizer of {base} has "
            f"{lowercase}; pass the cased or uncased base that it was trained from"
        )


def _profile(settings: Mapping[str, Any]) -> Profile:
    length = settings.get("sequence_length")
    if not isinstance(length, int):
        return PROFILES["dpr"]
    return replace(PROFILES["dpr"], question_length=length, passage_length=length)


def _tower(role: Role, weights: Mapping[str, Any], folder: ModelFolder, tokenizer: TokenizerFiles) -> Tower:
    prefix = _PREFIXES[role]
    weights_of_role = {name.removeprefix(prefix): array for name, array in weights.items() if name.startswith(prefix)}
    if "embeddings.word_embeddings.weight" not in weights_of_role:
        raise ModelError(
            f"{tokenizer.name}: model_dict has no {prefix}embeddings.word_embeddings.weight, expected a DPR bi-encoder of "
            "two BERT towers; it is another kind of checkpoint (a reader's, or another backbone's)"
        )
    state = renamed(weights_of_role, _PROJECTION)
    state.pop("embeddings.position_ids", None)
    return Tower(_CLASSES[role], _config(folder, state), state, tokenizer)


def _config(folder: ModelFolder, state: State) -> dict[str, Any]:
    """The base's settings with the sizes of the weights."""
    base = folder.json("config.json", default={})
    if base.get("model_type", "bert") not in ("bert", "dpr"):
        raise ModelError(
            f"{folder.name} is a {base['model_type']!r} model, expected the BERT the checkpoint was trained from"
        )
    vocabulary, hidden = state["embeddings.word_embeddings.weight"].shape
    heads = base.get("num_attention_heads") if base.get("hidden_size") == hidden else None
    layers = {name.split(".")[2] for name in state if name.startswith("encoder.layer.")}
    projection = state.get("head.dense.weight")
    return {
        **{
            name: base[name]
            for name in ("_name_or_path", "hidden_act", "layer_norm_eps", "pad_token_id")
            if name in base
        },
        "model_type": "dpr",
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "num_hidden_layers": len(layers),
        "num_attention_heads": heads or max(1, hidden // 64),
        "intermediate_size": state["encoder.layer.0.intermediate.dense.weight"].shape[0],
        "max_position_embeddings": state["embeddings.position_embeddings.weight"].shape[0],
        "type_vocab_size": state["embeddings.token_type_embeddings.weight"].shape[0],
        "projection_dim": 0 if projection is None else projection.shape[0],
    }


def _file_prefixes(prefix: str) -> list[tuple[str, str]]:
    return [("head.dense.", f"{prefix}encode_proj."), ("", prefix)]


def _with_pooler(tower: Tower) -> dict[str, Array]:
    size = int(tower.config["hidden_size"])
    empty = {
        "pooler.dense.weight": np.zeros((size, size), dtype=np.float32),
        "pooler.dense.bias": np.zeros(size, dtype=np.float32),
    }
    return empty | dict(tower.state)


def _params(tower: Tower, profile: Profile) -> dict[str, Any]:
    return {
        "do_lower_case": tower.tokenizer.lowercase is not False,
        "pretrained_model_cfg": str(tower.config.get("_name_or_path") or "bert-base-uncased"),
        "encoder_model_type": "hf_bert",
        "pretrained_file": None,
        "projection_dim": int(tower.config.get("projection_dim") or 0),
        "sequence_length": profile.passage_length,
    }
