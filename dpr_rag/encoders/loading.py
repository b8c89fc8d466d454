"""`load_encoder`: a model by itself where dpr-rag runs it, else through sentence-transformers."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from dpr_rag.encoders.dual import DualEncoder
from dpr_rag.encoders.folders import ModelFolder, find_folder
from dpr_rag.encoders.library import LibraryEncoder
from dpr_rag.encoders.profiles import Profile
from dpr_rag.encoders.runtime_choice import RuntimeName
from dpr_rag.errors import MissingExtraError, ModelError, UnsupportedModelError, install
from dpr_rag.faces import ByFace, message_of

_log = logging.getLogger(__name__)


def load_encoder(
    question: str | Path,
    context: str | Path | None = None,
    *,
    profile: str | Profile | None = None,
    question_prompt_name: str | None = None,
    passage_prompt_name: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    runtime: RuntimeName | Literal["sentence-transformers"] | None = None,
) -> DualEncoder | LibraryEncoder:
    """Load any supported model: with dpr-rag's own runtimes if possible, else with sentence-transformers if installed.

    Args:
        question: As for :meth:`DualEncoder.from_pretrained`.
        context: The same.
        profile: The same; a model with a profile is run by dpr-rag.
        question_prompt_name: The same.
        passage_prompt_name: The same.
        device: The same.
        dtype: The same.
        runtime: The same, or ``"sentence-transformers"``.

    Raises:
        ModelError: Nothing runs it, or nothing in its files says how the vectors of its tokens become one.
        MissingExtraError: What would run it is not installed.
    """
    prompts: Any = {"question_prompt_name": question_prompt_name, "passage_prompt_name": passage_prompt_name}
    if runtime == "sentence-transformers":
        if context is not None or profile is not None or dtype is not None:
            raise ModelError(
                "runtime 'sentence-transformers' takes one model, without "
                + ByFace("context, profile and dtype", cli="--context-model, --profile and --precision", page="more")
            )
        return LibraryEncoder.from_pretrained(question, device=device, **prompts)
    try:
        return DualEncoder.from_pretrained(
            question, context, profile=profile, device=device, dtype=dtype, runtime=runtime, **prompts
        )
    except UnsupportedModelError as error:
        if any(argument is not None for argument in (context, profile, dtype, runtime)):
            raise UnsupportedModelError(
                message_of(error)
                + "; sentence-transformers may run it, but takes one model, without "
                + ByFace(
                    "context, profile, dtype and runtime", cli="--context-model, --profile, --precision and --runtime"
                )
            ) from error
        _refuse_unsaid_pooling(find_folder(question), error)
        if find_spec("sentence_transformers") is None:
            raise MissingExtraError(
                message_of(error) + f"; sentence-transformers may run it: {install('sentence-transformers')}"
            ) from error
        _log.info("%s; loading it through sentence-transformers", error)
    return LibraryEncoder.from_pretrained(question, device=device, **prompts)


def _refuse_unsaid_pooling(folder: ModelFolder, error: UnsupportedModelError) -> None:
    """Refuse a folder without modules, whose tokens the library would take the mean of, whatever the model was trained for."""
    if not folder.modules():
        raise UnsupportedModelError(
            message_of(error)
            + "; sentence-transformers may run it, but nothing in the folder says how its token vectors are pooled (no "
            "modules.json): save it with a Transformer and a Pooling module of sentence-transformers, or "
            + ByFace("pass runtime='sentence-transformers'", cli="pass --runtime sentence-transformers")
            + " if the mean of its tokens is right"
        ) from error
