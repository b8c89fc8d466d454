"""Which encoder a command uses: the one that the user names, or the default where the store was filled with it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import typer

from dpr_rag.cli.usage import usage
from dpr_rag.errors import EncoderMismatchError, StoreNotFoundError

if TYPE_CHECKING:
    from dpr_rag import DualEncoder, LibraryEncoder, Ranking
    from dpr_rag.store import StoreInfo

DEFAULT = "default"
"""What ``--model`` calls the default encoder, where it has to be named."""


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """What ``--model``, ``--context-model`` and ``--profile`` said.

    Attributes:
        question: Folder or hub name of the question encoder; None or ``default`` means the default encoder.
        context: Folder or hub name of the context encoder, if it is another one.
        profile: Name of the profile, if it is not to be recognised.
    """

    question: str | None = None
    context: str | None = None
    profile: str | None = None

    def load(self) -> DualEncoder | LibraryEncoder:
        """Load what the user named, or the default encoder.

        Raises:
            typer.BadParameter: A context encoder or a profile was given without ``--model``.
            MissingExtraError: What runs it is not installed.
            ModelError: The model cannot be used.
        """
        from dpr_rag import DualEncoder, load_encoder

        if self.question is not None and self.question != DEFAULT:
            check_profile(self.profile)
            return load_encoder(self.question, self.context, profile=self.profile)
        if self.context or self.profile:
            raise typer.BadParameter("--context-model and --profile need --model beside them", param_hint="--model")
        return DualEncoder.default()


def check_profile(name: str | None) -> None:
    """Refuse a profile that there is not.

    Raises:
        typer.BadParameter: No profile has this name.
    """
    from dpr_rag.encoders.profiles import named_profile

    if name is not None:
        with usage("--profile"):
            named_profile(name)


def ranking_of(path: Path, mode: str | None, weight: float | None, fusion: str | None) -> Ranking:
    """How to rank: as the options say, and for the rest as the store was tuned.

    Raises:
        typer.BadParameter: An option is unknown, or goes with another mode.
        StoreNotFoundError: There is no store.
    """
    from dpr_rag import PassageStore

    with PassageStore.open(path, create=False, read_only=True) as store:
        with usage("--mode"):
            return store.ranking_for(mode, weight, fusion)  # type: ignore[arg-type]  # it refuses what it does not know


def only_reads(path: Path, rankings: Iterable[Ranking]) -> bool:
    """Whether a store is opened read-only to be asked: the first question in words leaves postings for the next process."""
    return not any(ranking.needs_words for ranking in rankings) or not os.access(path, os.W_OK)


def look(path: Path) -> StoreInfo | None:
    """What a store says of itself, or None where there is none; loads no model."""
    from dpr_rag import PassageStore

    try:
        with PassageStore.open(path, create=False, read_only=True) as store:
            return store.info()
    except StoreNotFoundError:
        return None


def encoder_of(path: Path, choice: ModelChoice) -> DualEncoder | LibraryEncoder:
    """Load the encoder for an existing store; what the store names is shown, never loaded.

    Raises:
        StoreNotFoundError: There is no store at the path.
        EncoderMismatchError: No ``--model`` was given and the store was not filled by the default encoder.
    """
    info = look(path)
    if info is None:
        raise StoreNotFoundError(
            f"there is no store at {str(path)!r}; make one with: dpr-rag index CORPUS --store {path}"
        )
    if choice.question is not None:
        return choice.load()
    if info.passages and not info.fingerprint:
        raise EncoderMismatchError(
            f"the store {str(path)!r} holds vectors that came without an encoder; name theirs with --model MODEL --bind"
        )
    encoder = choice.load()
    if is_outdated(info, encoder):
        raise EncoderMismatchError(
            f"the store {str(path)!r} was filled by the default encoder of an earlier version; encode it anew with: "
            f"dpr-rag reencode {quote(str(path))} --model {DEFAULT}"
        )
    if info.fingerprint and encoder.fingerprint != info.fingerprint:
        raise EncoderMismatchError(
            f"the store {str(path)!r} was filled by another encoder than the default one; pass {_advice(info)}"
        )
    return encoder


def is_outdated(info: StoreInfo | None, encoder: DualEncoder | LibraryEncoder) -> bool:
    """Whether the default encoder of an earlier version filled a store."""
    return info is not None and info.source == encoder.source and info.fingerprint != encoder.fingerprint


def _advice(info: StoreInfo) -> str:
    question, _, context = (info.source or "MODEL").partition(" + ")
    models = f"--model {quote(question)}" + (f" --context-model {quote(context)}" if context else "")
    return f"{models}, and the --profile that it was filled with if one was named (fingerprint {info.fingerprint})"
