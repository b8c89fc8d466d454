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


def describe_encoder(encoder: Any) -> str:
    """An encoder in one line: what it is, how it reads its input, and what runs it."""
    return printable(f"model {encoder.source}: {describe_profile(encoder.description)}; {encoder.runtime}")


def describe_profile(about: Mapping[str, Any]) -> str:
    """How an encoder turns its input into vectors, in one line.

    Args:
        about: The encoder's description, see ``DualEncoder.description``.
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


def describe_record(name: str, value: object) -> str:
    """A store's record about its encoder, in one line.

    Args:
        name: ``profile``, or ``filled`` for the software that ran it.
        value: The record, or None.
    """
    if not isinstance(value, Mapping):
        return "not recorded"
    if name == "filled":
        return ", ".join(
            f"{software} since {date}" if date else f"{software} before" for software, date in value.items()
        )
    if value.keys() >= _SAID:
        return describe_profile(value)
    return ", ".join(f"{key}={item}" for key, item in value.items()) or "not recorded"


def _prompt(about: Mapping[str, Any], side: str) -> str:
    prompt = about[f"{side}_prompt"]
    return f"{side} prompt {prompt!r}" if prompt else f"no {side} prompt"


def _most(length: int | None) -> str:
    return "any number of" if length is None else str(length)
