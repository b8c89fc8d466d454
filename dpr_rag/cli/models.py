"""Which encoder a command uses: the one that the user names, or the default where the store was filled with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpr_rag.cli.describing import describe_encoder
from dpr_rag.cli.options import ContextModel, Model, Profile
from dpr_rag.cli.running import Running, check_profile
from dpr_rag.cli.terminal import note
from dpr_rag.errors import EncoderMismatchError, StoreNotFoundError
from dpr_rag.paths import is_address

if TYPE_CHECKING:
    from dpr_rag import DualEncoder, LibraryEncoder
    from dpr_rag.store import StoreInfo
    from dpr_rag.store.reports import Facts

DEFAULT = "default"
"""What ``--model`` calls the default encoder, where it has to be named."""


@dataclass(frozen=True, slots=True)
class ModelChoice(Running):
    """The options for the encoder of a command.

    Attributes:
        question: Folder or hub name of the question encoder; None or ``default`` means the default encoder.
        context: Folder or hub name of the context encoder, if it is another one.
        profile: Name of the profile; None recognises it.
        question_prompt: Name of the prompt before questions; None takes the usual one.
        passage_prompt: The same before passages.
    """

    question: Model = None
    context: ContextModel = None
    profile: Profile = None
    question_prompt: Annotated[
        str | None,
        typer.Option(
            "--question-prompt",
            metavar="NAME",
            help="Which prompt of the model's files goes before questions (default: query or question).",
        ),
    ] = None
    passage_prompt: Annotated[
        str | None,
        typer.Option(
            "--passage-prompt",
            metavar="NAME",
            help="The same before passages (default: document, passage or corpus).",
        ),
    ] = None

    def load(self) -> DualEncoder | LibraryEncoder:
        """Load the named encoder or the default one, and note what it is.

        Raises:
            typer.BadParameter: A context encoder, a profile or a prompt was given without ``--model``.
            MissingExtraError: What runs it is not installed.
            ModelError: The model cannot be used.
        """
        from dpr_rag import DualEncoder, load_encoder

        encoder: DualEncoder | LibraryEncoder
        if self.question is not None and self.question != DEFAULT:
            check_profile(self.profile)
            prompts: Any = {"question_prompt_name": self.question_prompt, "passage_prompt_name": self.passage_prompt}
            encoder = load_encoder(self.question, self.context, profile=self.profile, **prompts, **self.as_options())
        elif any(
            option is not None for option in (self.context, self.profile, self.question_prompt, self.passage_prompt)
        ):
            raise typer.BadParameter(
                "--context-model, --profile, --question-prompt and --passage-prompt need --model beside them",
                param_hint="--model",
            )
        else:
            encoder = DualEncoder.default(**self.as_options())
        note(describe_encoder(encoder))
        return encoder


def folder_info(path: Path) -> StoreInfo | None:
    """The information of a folder's store, or None if there is no store; loads no model."""
    from dpr_rag import PassageStore

    try:
        with PassageStore.open(path, create=False, read_only=True) as store:
            return store.info()
    except StoreNotFoundError:
        return None


def facts_of(path: str | Path) -> Facts | None:
    """The information of a folder's store or of a collection, or None if there is none."""
    if not is_address(path):
        return folder_info(Path(path))
    from dpr_rag import MilvusStore

    try:
        with MilvusStore.open(str(path), create=False, read_only=True) as store:
            return store.info()
    except StoreNotFoundError:
        return None


def encoder_of(
    path: str | Path, choice: ModelChoice, *, loaded: DualEncoder | LibraryEncoder | None = None
) -> DualEncoder | LibraryEncoder:
    """Load the encoder for an existing store; a model that only the store names is shown in messages, never loaded.

    Args:
        path: Folder of the store, or address of a Milvus.
        choice: The options for the encoder.
        loaded: The encoder that the same options loaded for another store.

    Raises:
        StoreNotFoundError: There is no store at the path.
        EncoderMismatchError: No ``--model`` was given and the store was not filled by the default encoder.
    """
    info = facts_of(path)
    if info is None and is_address(path):
        raise StoreNotFoundError(
            f"there is no collection at {path}; fill one with: dpr-rag copy STORE {quote(str(path))}"
        )
    if info is None:
        raise StoreNotFoundError(
            f"there is no store at {str(path)!r}; make one with: dpr-rag index CORPUS --store {quote(str(path))}"
        )
    if choice.question is not None:
        return loaded or choice.load()
    if info.passages and not info.fingerprint:
        raise EncoderMismatchError(
            f"the store {str(path)!r} holds vectors that came without an encoder; name theirs with --model MODEL --bind"
        )
    encoder = loaded or choice.load()
    if is_outdated(info, encoder):
        remedy = f"encode it anew with: dpr-rag reencode {quote(str(path))} --model {DEFAULT}"
        if is_address(path):
            remedy = f"copy it to a folder, encode that anew with: dpr-rag reencode FOLDER --model {DEFAULT}, and copy it back"
        raise EncoderMismatchError(
            f"the store {str(path)!r} was filled by the default encoder of an earlier version; {remedy}"
        )
    if info.fingerprint and encoder.fingerprint != info.fingerprint:
        raise EncoderMismatchError(
            f"the store {str(path)!r} was filled by another encoder than the default one; pass {_advice(info)}"
        )
    return encoder


def is_outdated(info: Facts | None, encoder: DualEncoder | LibraryEncoder) -> bool:
    """Whether the default encoder of an earlier version filled a store."""
    from dpr_rag.encoders.dual import DEFAULT_SOURCE, FORMER_DEFAULT_SOURCES

    if info is None or info.fingerprint == encoder.fingerprint:
        return False
    return info.source == encoder.source or (encoder.source == DEFAULT_SOURCE and info.source in FORMER_DEFAULT_SOURCES)


def _advice(info: Facts) -> str:
    question, _, context = (info.source or "MODEL").partition(" + ")
    models = f"--model {quote(question)}" + (f" --context-model {quote(context)}" if context else "")
    other_options = (
        "and the --profile, --question-prompt and --passage-prompt that it was filled with if any were named"
    )
    return f"{models}, {other_options} (fingerprint {info.fingerprint})"
