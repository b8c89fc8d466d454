"""Reads the files of a sentence-transformers folder: modules, pooling, similarity, prompts and lengths."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dpr_rag.encoders.folders import ModelFolder
from dpr_rag.encoders.profiles import PASS_PROFILE, PROFILES, Pooling, Profile
from dpr_rag.encoders.prompts import LIBRARY_CONFIG, PromptNames, named_prompt, prompts_of, usual_prompts
from dpr_rag.errors import ModelError, UnsupportedModelError

_log = logging.getLogger(__name__)
_MODULE_ORDER = re.compile("Transformer(, Pooling)?(, Dense(, LayerNorm)?)?(, Normalize)?")
_POOLINGS: Mapping[str, Pooling] = {"cls": "cls", "mean": "mean", "max": "max", "lasttoken": "last"}
_FORMER_POOLINGS = {"cls_token": "cls", "mean_tokens": "mean", "max_tokens": "max"}
_THROUGH_LIBRARY = "load it through the library itself, or " + PASS_PROFILE
# The first is what the library writes; the others are from before 2020.
_CONFIGS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
_USUAL_LENGTH = 512
_POSITIONS_AFTER_PADDING = ("roberta", "xlm-roberta", "camembert", "mpnet")
"""Types of models whose positions begin after the padding's id."""
_UNLIMITED = 100_000  # transformers writes 1e30 where a tokenizer has no longest input


def modules_of(folder: ModelFolder) -> dict[str, str]:
    """The modules of the folder, class name to sub-folder, all of which dpr-rag can run; empty for other folders.

    Raises:
        UnsupportedModelError: A module is one that it cannot run, comes twice, or at another place.
    """
    modules = dict(folder.modules())
    listed = ", ".join(name for name, _ in folder.modules())
    if modules and not _MODULE_ORDER.fullmatch(listed):
        raise UnsupportedModelError(
            f"{folder.name}: modules.json asks for {listed}, expected Transformer, Pooling, perhaps Dense, LayerNorm after it, "
            "and Normalize, each once and in this order; dpr-rag does not run other modules"
        )
    if modules and "Pooling" not in modules:
        raise ModelError(
            f"{folder.name}: modules.json has no Pooling module; " + PASS_PROFILE + " to say how vectors are pooled"
        )
    return modules


def profile_of(folder: ModelFolder, modules: Mapping[str, str], family: Profile | None) -> Profile:
    """The profile that the files of a folder describe; what they do not say is the family's.

    Args:
        folder: The model's files.
        modules: What :func:`modules_of` found.
        family: The family that the model is known to belong to.

    Raises:
        UnsupportedModelError: The files ask for something that dpr-rag does not do.
        ModelError: They are damaged.
    """
    generic = replace(PROFILES["minilm"], name="sentence-transformers", question_length=512, passage_length=512)
    base = family or replace(
        generic, question_length=_usable_positions(folder), passage_length=_usable_positions(folder)
    )
    max_length = _max_seq_length(folder)
    settings: dict[str, Any] = folder.top_json(LIBRARY_CONFIG, default={})
    profile = replace(
        base,
        pooling=_pooling(folder, modules["Pooling"]),
        question_length=base.question_length if max_length is None else min(base.question_length, max_length),
        passage_length=base.passage_length if max_length is None else min(base.passage_length, max_length),
        **_head(folder, modules),
        **_similarity(folder, settings, modules, family),
    )
    profile = _with_prompts(folder, profile)
    if profile.question_prefix or profile.passage_prefix:
        _refuse_left_out_prompts(folder, modules["Pooling"])
    if replace(profile, name="minilm") == PROFILES["minilm"]:
        return PROFILES["minilm"]
    return profile


def _max_seq_length(folder: ModelFolder) -> int | None:
    """Most tokens that the model reads: newer files say it in the tokenizer's configuration alone."""
    for name in _CONFIGS:
        length = folder.json(name, default={}).get("max_seq_length")
        if length is not None:
            return _positive(folder, name, "max_seq_length", length)
    name = "tokenizer_config.json"
    length = folder.json(name, default={}).get("model_max_length")
    if isinstance(length, float) and length.is_integer():
        length = int(length)
    return (
        None
        if length is None or (type(length) is int and length > _UNLIMITED)
        else _positive(folder, name, "model_max_length", length)
    )


def _usable_positions(folder: ModelFolder) -> int:
    """Most tokens that a model of no known family can read by its positions, and 512 at least, which `Tokens` may cut."""
    positions, padding = (folder.config.get(name) for name in ("max_position_embeddings", "pad_token_id"))
    if type(positions) is not int:
        return _USUAL_LENGTH
    behind = folder.config.get("model_type") in _POSITIONS_AFTER_PADDING
    return max(_USUAL_LENGTH, positions - (padding + 1 if behind and type(padding) is int else 0))


def _positive(folder: ModelFolder, file: str, key: str, value: object) -> int:
    if type(value) is not int or value < 3:
        raise ModelError(f"{folder.name}: {key} in {file} is {value!r:.60}, expected a number of tokens, at least 3")
    return value


def _pooling(folder: ModelFolder, path: str) -> Pooling:
    config = folder.top_json(f"{path}/config.json", default={})
    flags = {name.removeprefix("pooling_mode_") for name in config if name.startswith("pooling_mode_") and config[name]}
    modes = {_FORMER_POOLINGS.get(name, name) for name in flags}
    if mode := config.get("pooling_mode"):
        modes = {str(item) for item in mode} if isinstance(mode, list) else {str(mode)}
    if not modes:
        modes = {"mean"}
    poolings = [_POOLINGS[mode] for mode in modes if mode in _POOLINGS]
    if len(modes) == len(poolings) == 1:
        return poolings[0]
    raise UnsupportedModelError(
        f"{folder.name}: {path}/config.json pools by {sorted(modes)}, expected one of {', '.join(_POOLINGS)}; "
        + _THROUGH_LIBRARY
    )


def _refuse_left_out_prompts(folder: ModelFolder, path: str) -> None:
    if folder.top_json(f"{path}/config.json", default={}).get("include_prompt") is False:
        raise UnsupportedModelError(
            f"{folder.name}: {path}/config.json leaves the tokens of prompts out of the pooling, which dpr-rag does not; "
            + _THROUGH_LIBRARY
        )


def _head(folder: ModelFolder, modules: Mapping[str, str]) -> dict[str, Any]:
    if "Dense" not in modules:
        return {"head": "none"}
    config = folder.top_json(f"{modules['Dense']}/config.json", default={})
    # where the file does not say, the library takes Tanh
    activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh")).rsplit(".", 1)[-1]
    residual = " and adds its input" if config.get("use_residual") else ""
    if activation not in ("Identity", "Tanh") or residual:
        raise UnsupportedModelError(
            f"{folder.name}: its Dense module has the activation {activation}{residual}, expected Identity or Tanh alone; "
            + _THROUGH_LIBRARY
        )
    if any(
        config.get(name) not in (None, "sentence_embedding") for name in ("module_input_name", "module_output_name")
    ):
        raise UnsupportedModelError(
            f"{folder.name}: its Dense module changes tokens, not the pooled vector; " + _THROUGH_LIBRARY
        )
    if "LayerNorm" in modules:
        if activation != "Identity":
            raise UnsupportedModelError(
                f"{folder.name}: its Dense module has the activation {activation}, expected Identity before a LayerNorm"
            )
        return {"head": "ance"}
    return {"head": "dense", "activation": "tanh" if activation == "Tanh" else ""}


def _similarity(
    folder: ModelFolder, settings: Mapping[str, Any], modules: Mapping[str, str], family: Profile | None
) -> dict[str, Any]:
    """Whether vectors are scaled to length 1, and how many components are kept.

    An inner product of vectors of length 1 is their cosine. Files that name no similarity were written before the library
    had any: it compares such models by cosine, and so does dpr-rag, unless the model's family has another similarity.
    """
    similarity, unit = settings.get("similarity_fn_name"), "Normalize" in modules
    if similarity not in (None, "cosine", "dot"):
        raise UnsupportedModelError(
            f"{folder.name}: similarity_fn_name is {similarity!r:.60}; dpr-rag ranks by inner product, expected cosine or dot"
        )
    kept = settings.get("truncate_dim") or 0
    if type(kept) is not int or kept < 0:
        raise ModelError(f"{folder.name}: truncate_dim is {kept!r:.60}, expected a number of components")
    if kept and similarity == "dot" and unit:
        raise UnsupportedModelError(
            f"{folder.name}: truncate_dim after Normalize, to be compared by dot; " + _THROUGH_LIBRARY
        )
    if similarity is None and not unit and family is None and "-dot-" not in folder.name:
        _log.warning(
            "%s does not say how its vectors are compared: by cosine, as in sentence-transformers; %s to change it",
            folder.name,
            PASS_PROFILE,
        )
        return {"normalise": True, "kept": kept}
    return {"normalise": unit or similarity == "cosine", "kept": kept}


def _with_prompts(folder: ModelFolder, profile: Profile) -> Profile:
    """The prompts named for questions and for passages; the family's where the file has none.

    A default prompt is for those who do not say what they encode; the library's ``encode_query`` and ``encode_document`` do
    without it as well.
    """
    prompts = prompts_of(folder)
    question, passage = usual_prompts(prompts)
    return replace(
        profile,
        question_prefix=profile.question_prefix if question is None else question,
        passage_prefix=profile.passage_prefix if passage is None else passage,
    )


def with_named_prompts(profile: Profile, question: ModelFolder, passage: ModelFolder, names: PromptNames) -> Profile:
    """A profile with the prompts that a caller named.

    Args:
        profile: What counts where nothing is named.
        question: The folder whose files have the question's prompt.
        passage: The folder whose files have the passage's.
        names: The names.

    Raises:
        ModelError: A folder has no prompt of that name.
        UnsupportedModelError: It leaves prompts out of the pooling, which dpr-rag does not.
    """
    folders = {"question": question, "passage": passage}
    texts = {
        side: named_prompt(prompts_of(folders[side]), name, side, folders[side].name) for side, name in names.given
    }
    prompted = replace(
        profile,
        question_prefix=texts.get("question", profile.question_prefix),
        passage_prefix=texts.get("passage", profile.passage_prefix),
    )
    for folder in folders.values():
        pooling = dict(folder.modules()).get("Pooling")
        if pooling is not None and (prompted.question_prefix or prompted.passage_prefix):
            _refuse_left_out_prompts(folder, pooling)
    return prompted
