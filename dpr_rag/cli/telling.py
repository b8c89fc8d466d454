"""Descriptions of an encoder: its profile, runtime and precision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dpr_rag.cli.escaping import printable

_TITLES = {"pair": "as the first of a pair", "prefix": "before the text", "none": "left out"}

_SAID = {
    *("profile", "pooling", "similarity", "title", "question_prompt", "passage_prompt", "question_length"),
    *("passage_length", "truncate_dim"),
}


def told_encoder(encoder: Any) -> str:
    """An encoder in one line: what it is, how it reads its input, and what runs it."""
    return printable(f"model {encoder.source}: {told_profile(encoder.description)}; {encoder.runtime}")


def told_profile(about: Mapping[str, Any]) -> str:
    """How an encoder turns its input into vectors, in one line.

    Args:
        about: What the encoder says of itself, see ``DualEncoder.description``.
    """
    parts = [
        str(about["profile"]),
        f"{about['pooling']} pooling",
        f"compared by {about['similarity']}",
        f"titles {_TITLES.get(about['title'], about['title'])}",
        *(_prompt(about, side) for side in ("question", "passage")),
        f"questions of {_most(about['question_length'])} and passages of {_most(about['passage_length'])} tokens at most",
    ]
    if about["truncate_dim"]:
        parts.append(f"the first {about['truncate_dim']} components")
    return ", ".join(parts)


def told_record(name: str, value: object) -> str:
    """What a store has recorded of its encoder, in one line.

    Args:
        name: ``profile``, or ``filled`` for what ran it.
        value: The record, or None.
    """
    if not isinstance(value, Mapping):
        return "not recorded"
    if name == "filled":
        return ", ".join(f"{how} since {when}" if when else f"{how} before" for how, when in value.items())
    if value.keys() >= _SAID:
        return told_profile(value)
    return ", ".join(f"{key}={one}" for key, one in value.items()) or "not recorded"


def _prompt(about: Mapping[str, Any], side: str) -> str:
    prompt = about[f"{side}_prompt"]
    return f"{side} prompt {prompt!r}" if prompt else f"no {side} prompt"


def _most(length: int | None) -> str:
    return "any number of" if length is None else str(length)
