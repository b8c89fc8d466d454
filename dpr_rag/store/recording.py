"""What a store was filled with, for people to read: the encoder's profile, what ran it in which precision, and since when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from dpr_rag.encoder import Encoder
from dpr_rag.storage.state import Model

GIVEN = "vectors that were given"
EARLIER = "not recorded"
"""What an earlier version filled a store with; it noted no more than source and fingerprint."""
_PLAIN = (str, int, float, bool, type(None))


def described(model: Model, encoder: Encoder | None) -> Model:
    """A model with what its encoder says of itself."""
    return replace(model, about={"profile": profile_of(encoder), "runs": {}})


def noted(model: Model, encoder: Encoder | None, *, given: bool = False) -> Model:
    """A model with what made vectors now, which is noted the first time with the moment.

    Args:
        model: As it is recorded.
        encoder: The encoder of the store, if it has one.
        given: Whether the vectors were given with the passages.
    """
    about = model.about
    if about is None:
        about = {"profile": profile_of(encoder), "runs": {EARLIER: ""}}
    return _with_runs(model, about, runs_of(encoder, given=given))


def added(model: Model, runs: Mapping[str, str]) -> Model:
    """A model with what else made vectors of the store, see :func:`joined`."""
    return _with_runs(model, model.about or {"profile": None, "runs": {EARLIER: ""}}, runs)


def _with_runs(model: Model, about: Mapping[str, Any], runs: Mapping[str, str]) -> Model:
    every = joined(about["runs"], runs)
    return (
        model if model.about is not None and every == about["runs"] else replace(model, about={**about, "runs": every})
    )


def runs_of(encoder: Encoder | None, *, given: bool) -> dict[str, str]:
    """What makes vectors now, and since when.

    Args:
        encoder: The encoder of the store, if it has one; what stands for one that is elsewhere says under ``runs`` what ran it.
        given: Whether the vectors were given with the passages.
    """
    told = getattr(encoder, "runs", None) if given else None
    if isinstance(told, Mapping):
        return dict(told)
    return {GIVEN if given else _runtime_of(encoder): datetime.now(UTC).isoformat(timespec="seconds")}


def joined(*runs: Mapping[str, str]) -> dict[str, str]:
    """What ran an encoder, of several records: each thing once, with its earliest moment."""
    names = dict.fromkeys(name for one in runs for name in one)
    return {name: min(one[name] for one in runs if name in one) for name in names}


def in_order(runs: Mapping[str, str]) -> dict[str, str]:
    """What ran an encoder, the earliest first."""
    return dict(sorted(runs.items(), key=lambda pair: (pair[1], pair[0])))


def bound(model: Model, encoder: Encoder, earlier: Model) -> Model:
    """A model whose encoder was named after its vectors had been given."""
    runs = {EARLIER: ""} if earlier.about is None else earlier.about["runs"]
    return replace(model, about={"profile": profile_of(encoder), "runs": runs})


def profile_in(model: Model | None) -> dict[str, Any] | None:
    """The profile that is recorded, or None."""
    profile = None if model is None or model.about is None else model.about["profile"]
    return None if profile is None else dict(profile)


def runs_in(model: Model | None) -> dict[str, str] | None:
    """What ran the encoder, and since when, the earliest first; or None where nothing is recorded."""
    if model is None or model.about is None:
        return None
    return in_order(model.about["runs"])


def profile_of(encoder: Encoder | None) -> dict[str, Any] | None:
    """What an encoder says of itself under ``description``, as far as it is plain; one of another maker's may say nothing."""
    found = getattr(encoder, "description", None)
    if not isinstance(found, Mapping):
        return None
    return {str(name): value for name, value in found.items() if type(value) in _PLAIN}


def _runtime_of(encoder: Encoder | None) -> str:
    found = getattr(encoder, "runtime", None)
    return found if isinstance(found, str) and found else "a runtime that the encoder does not name"
