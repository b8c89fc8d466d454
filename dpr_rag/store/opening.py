"""Opening and creating a store's folder."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dpr_rag.arguments import check_flag, check_seconds
from dpr_rag.encoder import Encoder, check_encoder
from dpr_rag.errors import (
    MAKE_ONE,
    RESTORE,
    EncoderMismatchError,
    NotAStoreError,
    StoreCorrupted,
    StoreError,
    StoreNotFoundError,
    unknown,
)
from dpr_rag.faces import ByFace
from dpr_rag.filters import SQL_FUNCTIONS
from dpr_rag.index import ann, kinds
from dpr_rag.index.matrix import DTYPES
from dpr_rag.lexical import Analyzer
from dpr_rag.paths import write_failure, writing_to
from dpr_rag.storage.claims import Claim, remove_abandoned
from dpr_rag.storage.database import Database
from dpr_rag.storage.holding import was_written
from dpr_rag.storage.schema import FILE_NAME
from dpr_rag.storage.state import State, new_name, new_salt
from dpr_rag.store import recording
from dpr_rag.store.engine import Engine

ENGLISH = "english"
_TEMPORARY = "dpr-rag-"
_OTHER_DTYPES = {
    **dict.fromkeys(("fp16", "f16", "half"), "float16"),
    **dict.fromkeys(("fp32", "f32", "float"), "float32"),
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """How to open a store; see ``PassageStore.open``."""

    create: bool = True
    read_only: bool = False
    index: str = "auto"
    dtype: str = "float32"
    bind: bool = False
    timeout: float = 30.0
    language: str | None = None


def open_engine(folder: Path, encoder: Encoder | None, settings: Settings) -> Engine:
    """Open or create the store in a folder; see ``PassageStore.open`` for what is refused."""
    _check(encoder, settings)
    timeout = check_seconds("timeout", settings.timeout, StoreError)
    _prepare_folder(folder, settings)
    may_create = settings.create and not settings.read_only
    database = Database(
        folder,
        read_only=settings.read_only,
        timeout=timeout,
        functions=SQL_FUNCTIONS,
        initial=_first_state(settings).encode() if may_create else None,
    )
    engine = Engine(folder, database, encoder)
    try:
        _settle(engine, settings)
    except BaseException:
        engine.close()
        raise
    return engine


def _first_state(settings: Settings) -> State:
    language = settings.language or ENGLISH
    return State(dtype=settings.dtype, index=settings.index, language=language, store=new_name(), salt=new_salt())


def open_temporary(encoder: Encoder | None, settings: Settings) -> tuple[Engine, Callable[[], None]]:
    """Create a store in a temporary folder; returns it and a function that removes the folder, except in a forked child."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))  # tempfile would say that there is no folder
        place = Path(tempfile.gettempdir())
        remove_abandoned(place, _TEMPORARY)
        claim = Claim(place, _TEMPORARY, mode=0o700)
    except OSError as error:
        raise StoreError(f"a temporary store cannot be made {write_failure(error)}") from error
    remove = partial(_remove_own, claim, os.getpid())
    try:
        return open_engine(claim.path / "store", encoder, settings), remove
    except BaseException:
        remove()
        raise


def _remove_own(claim: Claim, owner: int) -> None:
    if os.getpid() == owner:
        claim.release()


def _check(encoder: Encoder | None, settings: Settings) -> None:
    if encoder is not None:
        check_encoder(encoder)
    for name in ("create", "read_only", "bind"):
        check_flag(name, getattr(settings, name))
    if not isinstance(settings.dtype, str) or settings.dtype not in DTYPES:
        raise StoreError(unknown("dtype", settings.dtype, DTYPES, _OTHER_DTYPES))
    Analyzer(ENGLISH if settings.language is None else settings.language)
    name, _ = kinds.parse(settings.index)
    if name != "auto" and name not in kinds.KINDS:
        ann.check_factory(name, None if encoder is None else encoder.dim)


def _prepare_folder(folder: Path, settings: Settings) -> None:
    """Create the folder if there is none and ``create`` allows it."""
    if (folder / FILE_NAME).is_file():
        return
    foreign = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if foreign and not (folder / FILE_NAME).is_file():  # another process may be creating it at this moment
        if folder.is_dir() and was_written(folder):
            raise StoreCorrupted(f"{folder} has lost its {FILE_NAME}; " + RESTORE + f", or remove {folder}")
        raise NotAStoreError(f"{folder} exists, but is no dpr-rag store; choose another path")
    if not foreign and (not settings.create or settings.read_only):
        raise StoreNotFoundError(f"there is no store at {folder}; " + MAKE_ONE)
    with writing_to(folder, StoreError):
        folder.mkdir(parents=True, exist_ok=True)


def _changed_by(setting: str, wanted: str) -> ByFace:
    return ByFace(
        f"optimize({setting}={wanted!r}) changes it", cli=f"change it with: dpr-rag optimize DIR --{setting} {wanted}"
    )


def _settle(engine: Engine, settings: Settings) -> None:
    """Warn of arguments that differ from the stored settings, and bind the encoder if that was asked for."""
    state = engine.state()
    if settings.index not in ("auto", state.index):
        _log.warning("%s keeps its index %r; %s", engine.folder, state.index, _changed_by("index", settings.index))
    if settings.language not in (None, state.language):
        changed = _changed_by("language", settings.language)
        _log.warning("%s keeps its language %r; %s", engine.folder, state.language, changed)
    if settings.bind and engine.encoder is not None and state.model is not None and not state.model.fingerprint:
        _bind(engine, engine.encoder)
    else:
        engine.check_model(state)


def _bind(engine: Engine, encoder: Encoder) -> None:
    model = engine.model_of(encoder)
    with engine.writing() as writer:
        if writer.now.model is None or writer.now.model.dim != model.dim:
            raise EncoderMismatchError(
                f"{engine.folder} holds vectors of {writer.now.model and writer.now.model.dim} dimensions, the encoder "
                f"makes {model.dim}; bind the encoder that made them"
            )
        writer.now = replace(writer.now, model=recording.bound(model, encoder, writer.now.model))
        writer.commit_state()
