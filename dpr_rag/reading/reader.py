"""`Reader`: DPR's second stage, a small cross-encoder that says which passage answers a question, and where."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from dpr_rag.encoders.folders import find_folder
from dpr_rag.encoders.saving import save_folder
from dpr_rag.encoders.towers import Tower, load_tower
from dpr_rag.encoders.weights import Array
from dpr_rag.errors import ModelError
from dpr_rag.forking import cached
from dpr_rag.paths import place_of
from dpr_rag.reading.pairs import PairTokens
from dpr_rag.reading.profiles import DPR, ReaderProfile, reader_profile_from

READER_FILE = "dpr_rag_reader.json"
_FORMAT = 1
_HEADS = {"span": 2, "selection": 1}


class Reader:
    """Scores passages for a question and finds the span that answers it (Karpukhin et al. 2020, section 6.1).

    Args:
        tower: A BERT with the heads ``span`` (start and end of every token) and ``selection`` (of the first token).
        profile: How question and passage become one input.
        source: Where the weights came from, for people to read.

    Attributes:
        tower: The same.
        profile: The same.
        source: The same.

    Raises:
        ModelError: The tower is no reader, or a weight is missing or of the wrong shape.
    """

    def __init__(self, tower: Tower, *, profile: ReaderProfile, source: str) -> None:
        if tower.role != "reader":
            raise ModelError(f"{tower.tokenizer.name} is {tower.architecture}, an encoder; pass a reader (DPRReader)")
        self.tower, self.profile, self.source = tower, profile, source
        self.pairs = PairTokens(tower, profile)

    @classmethod
    def from_pretrained(cls, model: str | Path) -> Reader:
        """Load a reader from a folder or hub name: one that :meth:`save_pretrained` wrote, or a ``DPRReader`` of transformers.

        Raises:
            ModelError: It is no reader, or files are missing or damaged.
        """
        folder = find_folder(model)
        profile = DPR
        if (folder.path / READER_FILE).is_file():
            about, where = folder.json(READER_FILE), f"{folder.name}/{READER_FILE}"
            if not isinstance(about, dict) or about.get("format") != _FORMAT:
                raise ModelError(
                    f"{where}: expected an object of format {_FORMAT}; if a newer dpr-rag wrote it, upgrade"
                )
            profile = reader_profile_from(about.get("profile"), where=where)
        return cls(load_tower(folder), profile=profile, source=str(model))

    def save_pretrained(self, path: str | Path) -> None:
        """Write a folder that :meth:`from_pretrained` loads, and transformers as a ``DPRReader``.

        Raises:
            ModelError: Something other than a saved reader is at the path, or it cannot be written.
        """

        def build(folder: Path) -> None:
            self.tower.write(folder)
            about = {"format": _FORMAT, "profile": self.profile.as_dict(), "source": self.source}
            (folder / READER_FILE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")

        save_folder(place_of(path), build, marked_by=READER_FILE, kind="reader")

    @cached
    def fingerprint(self) -> str:
        """SHA-256 over weights, tokenizer and profile; the same on any runtime and in any precision."""
        settings = self.profile.as_dict()
        del settings["name"]
        return hashlib.sha256(json.dumps([settings, self.tower.digest], sort_keys=True).encode()).hexdigest()


def body_of(tower: Tower) -> Tower:
    """The BERT of a reader, without its heads."""
    state = {name: array for name, array in tower.state.items() if name.partition(".")[0] not in _HEADS}
    return replace(tower, architecture="BertModel", state=state)


def heads_of(tower: Tower) -> tuple[Array, Array]:
    """The heads as one layer: weights [3, hidden] and bias [3], for start, end and selection.

    Raises:
        ModelError: One is missing or of the wrong shape.
    """
    size = int(tower.config["hidden_size"])
    found = []
    for name, rows in _HEADS.items():
        weight, bias = (tower.state.get(f"{name}.{part}") for part in ("weight", "bias"))
        if weight is None or bias is None or weight.shape != (rows, size) or bias.shape != (rows,):
            raise ModelError(
                f"{tower.tokenizer.name}: the reader's head {name!r} is missing or has the wrong shape, expected "
                f"[{rows}, {size}]; fetch or save all of its weights"
            )
        found.append((np.asarray(weight, np.float32), np.asarray(bias, np.float32)))
    return np.concatenate([weight for weight, _ in found]), np.concatenate([bias for _, bias in found])


def with_heads(tower: Tower, weight: Array, bias: Array, body: Mapping[str, Array] | None = None) -> Tower:
    """A reader's tower of a BERT and the two parts of :func:`heads_of`."""
    kept = {name: array for name, array in tower.state.items() if not name.startswith("pooler.")}
    heads = {
        "span.weight": weight[:2],
        "span.bias": bias[:2],
        "selection.weight": weight[2:],
        "selection.bias": bias[2:],
    }
    config = {**tower.config, "model_type": "dpr", "projection_dim": 0}
    return replace(tower, architecture="DPRReader", config=config, state={**kept, **(body or {}), **heads})
