"""Prompts by name: those that a sentence-transformers folder has, and which of them go before questions and passages."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from dpr_rag.encoders.folders import ModelFolder
from dpr_rag.encoders.profiles import PASS_PROFILE
from dpr_rag.errors import ModelError
from dpr_rag.faces import ByFace

_log = logging.getLogger(__name__)
LIBRARY_CONFIG = "config_sentence_transformers.json"
_QUESTION = ("query", "question")
_PASSAGE = ("document", "passage", "corpus")
USUAL = (*_QUESTION, *_PASSAGE)


@dataclass(frozen=True, slots=True)
class PromptNames:
    """Which of a model's prompts a caller wants.

    Attributes:
        question: Name of the prompt before questions; None leaves it to the model's files.
        passage: The same before passages.
    """

    question: str | None = None
    passage: str | None = None

    def __bool__(self) -> bool:
        return self.question is not None or self.passage is not None

    @property
    def given(self) -> list[tuple[str, str]]:
        """The side and the name of each prompt that was named."""
        pairs = (("question", self.question), ("passage", self.passage))
        return [(side, name) for side, name in pairs if name is not None]


def prompts_of(folder: ModelFolder) -> dict[str, str]:
    """The prompts that a folder's files have, by name; an empty text is a prompt, too.

    Raises:
        ModelError: They are no object of texts.
    """
    prompts = folder.top_json(LIBRARY_CONFIG, default={}).get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(text, str | None) for text in prompts.values()):
        raise ModelError(f"{folder.name}: the prompts are {prompts!r:.80}, expected an object of texts by name")
    return {name: text or "" for name, text in prompts.items()}


def usual_prompts(prompts: Mapping[str, str]) -> tuple[str | None, str | None]:
    """The prompts for questions and for passages by the names that the library gives them, None where there is none."""
    question, passage = (
        next((prompts[name] for name in names if prompts.get(name)), None) for names in (_QUESTION, _PASSAGE)
    )
    return question, passage


_PASS_ONE = ByFace(
    "pass question_prompt_name= or passage_prompt_name=", cli="pass --question-prompt or --passage-prompt"
)


def warn_of_unused(prompts: Mapping[str, str], model: str) -> bool:
    """Warn of prompts that are unused because their names mean neither questions nor passages; return whether there are any."""
    unused = [name for name, text in prompts.items() if text and name not in USUAL]
    if unused:
        text = "%s: the prompts %s are for neither questions nor passages by their names, and none is used; %s if one should be"
        _log.warning(text, model, ", ".join(map(repr, unused)), _PASS_ONE)
    return bool(unused)


def named_prompt(prompts: Mapping[str, str], name: str, side: str, model: str) -> str:
    """The text of a prompt.

    Raises:
        ModelError: The model has none of this name.
    """
    if name in prompts:
        return prompts[name]
    available = f"the prompts {', '.join(map(repr, prompts))}" if prompts else "no prompts"
    remedy = "name one of them" if prompts else "leave it out, or " + PASS_PROFILE + " with prompts"
    raise ModelError(
        ByFace(f"{side}_prompt_name", cli=f"--{side}-prompt", page=f"the prompt of a {side}")
        + f" is {name!r:.120}; the files of {model} have {available}; "
        + remedy
    )
