"""The record of the encoder in each part, and the encoder that stands for it when parts are loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from dpr_rag.corpora.magic import exists
from dpr_rag.corpora.parts import Mark, read_mark
from dpr_rag.encoder import Encoder
from dpr_rag.errors import CorpusError, EncoderMismatchError
from dpr_rag.faces import ByFace
from dpr_rag.passages import Passage
from dpr_rag.paths import place_of
from dpr_rag.scaling.cutting import Part
from dpr_rag.storage.schema import FILE_NAME
from dpr_rag.store.recording import profile_of


def marked(part: Part, encoder: Encoder) -> Mark:
    """The mark of a part whose passages an encoder encodes."""
    return Mark(
        part.number,
        len(part.passages),
        part.before,
        part.after,
        part.last,
        dim=encoder.dim,
        fingerprint=encoder.fingerprint,
        source=_text(encoder, "source"),
        profile=profile_of(encoder),
        runtime=_text(encoder, "runtime"),
        filled=encoder.runs if isinstance(encoder, Elsewhere) else None,
    )


def _text(encoder: Encoder, name: str) -> str:
    found = getattr(encoder, name, "")
    return found if isinstance(found, str) else ""


def folder_of_parts(out: str | Path) -> Path:
    """The folder that parts are written to.

    Raises:
        CorpusError: It is that of a store, which holds nothing but what is the store's own.
        PathError: It is no path.
        UnreadableError: It may not be looked into.
    """
    place = place_of(out)
    if exists(place / FILE_NAME):
        raise CorpusError(f"{place} is a store; write the parts to a folder of their own")
    return place


def is_there(folder: Path, mark: Mark) -> bool:
    """Whether a part was written by an earlier run.

    Raises:
        CorpusError: Another one has its name.
    """
    file = folder / mark.name
    if not exists(file):
        return False
    found = read_mark(file)
    if (found.fingerprint, found.dim) != (mark.fingerprint, mark.dim):
        raise CorpusError(
            f"{file}: is of the encoder {found.fingerprint!r}, not of {mark.fingerprint!r}; encode to a new folder"
        )
    # what ran the encoder may differ between machines
    about = {name: getattr(found, name) for name in ("source", "profile", "runtime", "vectors", "filled")}
    if found != replace(mark, **about):
        raise CorpusError(
            f"{file}: is part {found.number} of another corpus, or was cut by another "
            + ByFace("rows=", cli="--part-size", page="size")
            + "; encode to a new folder"
        )
    return True


class Elsewhere:
    """The encoder that made the vectors of parts, where it is not at hand: it says what it is, and encodes nothing.

    Attributes:
        dim: Components per vector.
        fingerprint: What identifies it.
        source: Where its weights came from, plain text for people.
        description: What it said of how it reads, or None.
        runs: What ran it, and since when, as ``info().filled`` of a store says it.
    """

    def __init__(self, mark: Mark, runs: Mapping[str, str]) -> None:
        """Stand for the encoder of a part."""
        self.dim, self.fingerprint, self.source = mark.dim, mark.fingerprint, mark.source
        self.description, self.runs = mark.profile, dict(runs)

    def encode_questions(self, questions: Sequence[str]) -> NoReturn:
        """Encode nothing.

        Raises:
            EncoderMismatchError: Always.
        """
        self._refuse()

    def encode_passages(self, passages: Sequence[Passage]) -> NoReturn:
        """Encode nothing.

        Raises:
            EncoderMismatchError: Always.
        """
        self._refuse()

    def _refuse(self) -> NoReturn:
        named = f" ({self.source})" if self.source else ""
        raise EncoderMismatchError(
            f"the passages were encoded elsewhere, and the model that did it{named} is not loaded; "
            + ByFace("pass encoder=, the model itself", cli="name it with --model")
        )
