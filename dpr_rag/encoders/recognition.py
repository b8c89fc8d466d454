"""Recognises the profile of a model folder from its files: ours, sentence-transformers', config.json, its name."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence

from dpr_rag.encoders.folders import ModelFolder
from dpr_rag.encoders.kinds import refuse_other_kinds, refuse_own_code
from dpr_rag.encoders.modules import modules_of, profile_of, with_named_prompts
from dpr_rag.encoders.profiles import OR_OWN, PASS_PROFILE, PROFILES, Profile, named_profile
from dpr_rag.encoders.prompts import PromptNames, prompts_of, warn_of_unused
from dpr_rag.errors import ModelError
from dpr_rag.faces import ByFace

_log = logging.getLogger(__name__)
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
    (r"\be5-(small|base|large)\b[^/]*-instruct\b", "e5-instruct"),
    (r"\be5-(small|base|large)\b", "e5"),
    (r"\bbge-(small|base|large)-en\b", "bge"),
    (r"\bbge-(small|base|large)-zh\b", "bge-zh"),
    (r"\bbge-m3\b", "bge-m3"),
)
_UNKNOWN = (
    "%s is of no family that is known here, and names no prompts for questions and passages; if its card asks for some, "
) + PASS_PROFILE
# a card names its own model in its heading and in the results it brings; one that is based on another model names that, too
_CARD_NAMES = re.compile(r"^(?:#(?!.* based on )|\s*- name:) *(\S.*)$", re.MULTILINE)
_IN_CACHE = re.compile(r"(?:^|/)models--([^/]+?)--([^/]+)/snapshots/")


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
    modules = modules_of(folder)
    if modules:
        return profile_of(folder, modules, family)
    if family is None:
        raise ModelError(
            f"{folder.name}: nothing in the folder tells how its token vectors are pooled (no modules.json, "
            f"architecture {folder.architecture!r}); " + PASS_PROFILE + f" with one of {', '.join(PROFILES)}" + OR_OWN
        )
    return family


def refuse_others(folder: ModelFolder) -> None:
    """Refuse a folder that holds no dual encoder, or code or modules that dpr-rag cannot run.

    Raises:
        ModelError: It is a model of another kind.
        UnsupportedModelError: A module is one that it cannot run.
    """
    refuse_other_kinds(folder, names_of(folder))
    refuse_own_code(folder)
    modules_of(folder)


def recognise_all(
    folders: Sequence[ModelFolder], *, profile: str | Profile | None = None, prompts: PromptNames | None = None
) -> Profile:
    """Return the profile that all towers of one encoder share; warn where a model may lack prompts.

    Args:
        folders: The question encoder's and the context encoder's, or one for both.
        profile: See :func:`recognise`.
        prompts: Which prompts of the files are wanted.

    Raises:
        ModelError: The towers are of different families, or one cannot be recognised.
    """
    profiles = [recognise(folder, profile=profile) for folder in folders]
    if profiles[0] != profiles[-1]:
        raise ModelError(
            f"{folders[0].name} is a model of the family {profiles[0].name!r}, {folders[-1].name} of {profiles[-1].name!r}; "
            "pass two towers that were trained together, or " + ByFace("profile=", cli="--profile")
        )
    used_profile = with_named_prompts(profiles[0], folders[0], folders[-1], prompts) if prompts else profiles[0]
    if profile is None and not prompts and not used_profile.question_prefix:
        for folder in folders:
            _warn(folder, used_profile)
    return used_profile


def _warn(folder: ModelFolder, profile: Profile) -> None:
    """Warn where a model may lack a prompt before its questions."""
    if not folder.modules() or warn_of_unused(prompts_of(folder), folder.name):
        return
    if not profile.passage_prefix and _family(folder) is None:
        _log.warning(_UNKNOWN, folder.name)


def _family(folder: ModelFolder) -> Profile | None:
    name = _ARCHITECTURES.get(folder.architecture)
    if name:
        return PROFILES[name]
    for name in names_of(folder):
        for pattern, family in _NAMES:
            if re.search(pattern, name.lower()):
                return PROFILES[family]
    return None


def names_of(folder: ModelFolder) -> tuple[str, ...]:
    """What the model may be called: as the caller calls it, as the hub's cache and its files do."""
    return tuple(_names(folder))


def _names(folder: ModelFolder) -> Iterator[str]:
    yield "/".join(folder.name.split("/")[-2:])
    if cached := _IN_CACHE.search(f"{folder.top.resolve().as_posix()}/"):
        yield "/".join(cached.groups())
    yield "/".join(folder.top.resolve().parts[-2:])
    yield "/".join(str(folder.config.get("_name_or_path", "")).split("/")[-2:])
    yield from _CARD_NAMES.findall(folder.card())
