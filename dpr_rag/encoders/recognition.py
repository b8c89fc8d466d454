"""Recognises the profile of a model folder from its files: ours, sentence-transformers', config.json, its name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dpr_rag.encoders.folders import ModelFolder
from dpr_rag.encoders.profiles import PROFILES, Pooling, Profile, named_profile
from dpr_rag.errors import ModelError

_ARCHITECTURES = {
    "DPRQuestionEncoder": "dpr",
    "DPRContextEncoder": "dpr",
    "Contriever": "contriever",
    "AnceEncoder": "ance",
    "RobertaDot_NLL_LN": "ance",
}
_NAMES = (
    (r"\bdpr-(question|ctx)[-_]encoder", "dpr"),
    (r"\b(roberta-base-)?ance[-_](msmarco|dpr|firstp)", "ance"),
    (r"\btas[-_]b\b", "tas-b"),
    (r"\bm?contriever\b", "contriever"),
    (r"\ball-minilm-l\d+\b", "minilm"),
    (r"(^|[/_])e5-(small|base|large)\b", "e5"),
    (r"(^|[/_])bge-(small|base|large)-en\b", "bge"),
)
_MODULES = {"Transformer", "Pooling", "Normalize", "Dense", "LayerNorm"}
_QUESTION_PROMPTS = ("query", "question")
_PASSAGE_PROMPTS = ("document", "passage", "corpus")


def recognise(folder: ModelFolder, *, profile: str | Profile | None = None) -> Profile:
    """Return the profile of a model folder; one that is passed wins over everything in the folder.

    Args:
        folder: The model's files.
        profile: A name from ``PROFILES`` or a profile of the caller's own.

    Raises:
        ModelError: Nothing in the folder tells the pooling, or its sentence-transformers modules cannot be run.
    """
    if profile is not None:
        return named_profile(profile)
    family = _family(folder)
    modules = _modules(folder)
    if modules:
        return _from_modules(folder, modules, family)
    if family is None:
        raise ModelError(
            f"{folder.name}: nothing in the folder tells how its token vectors are pooled (no modules.json, "
            f"architecture {folder.architecture!r}); pass profile= with one of {', '.join(PROFILES)}, or a Profile of your own"
        )
    return family


def recognise_all(folders: Sequence[ModelFolder], *, profile: str | Profile | None = None) -> Profile:
    """Return the profile that all towers of one encoder share.

    Raises:
        ModelError: The towers are of different families, or one cannot be recognised.
    """
    found = [recognise(folder, profile=profile) for folder in folders]
    if found[0] != found[-1]:
        raise ModelError(
            f"{folders[0].name} is a model of the family {found[0].name!r}, {folders[-1].name} of {found[-1].name!r}; "
            "pass two towers that were trained together, or profile="
        )
    return found[0]


def _family(folder: ModelFolder) -> Profile | None:
    known = _ARCHITECTURES.get(folder.architecture)
    if known:
        return PROFILES[known]
    for name in (folder.name, str(folder.config.get("_name_or_path", ""))):
        for pattern, family in _NAMES:
            if re.search(pattern, "/".join(name.split("/")[-2:]).lower()):
                return PROFILES[family]
    return None


def _modules(folder: ModelFolder) -> dict[str, str]:
    """The sentence-transformers modules of the folder, class name to sub-folder, all of which dpr-rag can run."""
    modules = dict(folder.modules())
    unknown = [name for name in modules if name not in _MODULES]
    if unknown or ("Dense" in modules) != ("LayerNorm" in modules):
        raise ModelError(
            f"{folder.name}: modules.json asks for {', '.join(modules)}, expected Transformer, Pooling, perhaps Normalize, "
            "and Dense only together with LayerNorm; dpr-rag does not run other modules"
        )
    if modules and "Pooling" not in modules:
        raise ModelError(
            f"{folder.name}: modules.json has no Pooling module; pass profile= to say how vectors are pooled"
        )
    activation = folder.json(f"{modules.get('Dense', '')}/config.json", default={}).get(
        "activation_function", "Identity"
    )
    if "Dense" in modules and not str(activation).endswith("Identity"):
        raise ModelError(f"{folder.name}: its Dense module has the activation {activation}, expected Identity")
    return modules


def _from_modules(folder: ModelFolder, modules: Mapping[str, str], family: Profile | None) -> Profile:
    generic = replace(PROFILES["minilm"], name="sentence-transformers", question_length=512, passage_length=512)
    base = family or generic
    longest = folder.json("sentence_bert_config.json", default={}).get("max_seq_length") or 512
    found = replace(
        base,
        pooling=_pooling(folder, modules["Pooling"]),
        normalise="Normalize" in modules,
        question_length=min(base.question_length, longest),
        passage_length=min(base.passage_length, longest),
        head="ance" if "LayerNorm" in modules else "none",
    )
    found = _with_prompts(folder, found)
    return PROFILES["minilm"] if replace(found, name="minilm") == PROFILES["minilm"] else found


def _pooling(folder: ModelFolder, path: str) -> Pooling:
    config = folder.json(f"{path}/config.json", default={})
    modes = {name for name in config if name.startswith("pooling_mode_") and config[name]}
    if config.get("pooling_mode"):
        given = config["pooling_mode"]
        modes = {given} if isinstance(given, str) else set(given)
    if modes in ({"pooling_mode_cls_token"}, {"cls"}):
        return "cls"
    if modes in ({"pooling_mode_mean_tokens"}, {"mean"}):
        return "mean"
    raise ModelError(f"{folder.name}: {path}/config.json pools by {sorted(modes)}, expected cls or mean alone")


def _with_prompts(folder: ModelFolder, profile: Profile) -> Profile:
    prompts: dict[str, Any] = folder.json("config_sentence_transformers.json", default={}).get("prompts") or {}
    question = next((prompts[name] for name in _QUESTION_PROMPTS if prompts.get(name)), profile.question_prefix)
    passage = next((prompts[name] for name in _PASSAGE_PROMPTS if prompts.get(name)), profile.passage_prefix)
    return replace(profile, question_prefix=question, passage_prefix=passage)
