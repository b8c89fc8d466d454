"""Provenance of a store's vectors, for people to read: profile of the encoder, runtimes and precisions, dates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from dpr_rag.encoder import Encoder
from dpr_rag.storage.state import Model

GIVEN = "vectors that were given"
EARLIER = "not recorded"
"""Stands for runs of an earlier version, which recorded source and fingerprint alone."""
_PLAIN = (str, int, float, bool, type(None))


def described(model: Model, encoder: Encoder | None) -> Model:
    """The same model, with the profile of its encoder and no runs yet."""
    return replace(model, about={"profile": profile_of(encoder), "runs": {}})


def noted(model: Model, encoder: Encoder | None, *, given: bool = False) -> Model:
    """The same model, with the run that makes vectors now; a new one is recorded with the present time.

    Args:
        model: The recorded one.
        encoder: The encoder of the store, if it has one.
        given: Whether the vectors were given with the passages.
    """
    about = model.about
    if about is None:
        about = {"profile": profile_of(encoder), "runs": {EARLIER: ""}}
    return _with_runs(model, about, runs_of(encoder, given=given))


def added(model: Model, runs: Mapping[str, str]) -> Model:
    """The same model, with further runs; see :func:`joined`."""
    return _with_runs(model, model.about or {"profile": None, "runs": {EARLIER: ""}}, runs)


def _with_runs(model: Model, about: Mapping[str, Any], runs: Mapping[str, str]) -> Model:
    every = joined(about["runs"], runs)
    return (
        model if model.about is not None and every == about["runs"] else replace(model, about={**about, "runs": every})
    )


def runs_of(encoder: Encoder | None, *, given: bool) -> dict[str, str]:
    """The run that makes vectors now: its time (ISO 8601, UTC) by its name.

    Args:
        encoder: The encoder of the store, if it has one; a stand-in for a remote one has an attribute ``runs``.
        given: Whether the vectors were given with the passages.
    """
    recorded = getattr(encoder, "runs", None) if given else None
    if isinstance(recorded, Mapping):
        return dict(recorded)
    return {GIVEN if given else _runtime_of(encoder): datetime.now(UTC).isoformat(timespec="seconds")}


def joined(*runs: Mapping[str, str]) -> dict[str, str]:
    """Several records of runs as one: each run once, at its earliest time."""
    names = dict.fromkeys(name for record in runs for name in record)
    return {name: min(record[name] for record in runs if name in record) for name in names}


def in_order(runs: Mapping[str, str]) -> dict[str, str]:
    """Runs by time, the earliest first."""
    return dict(sorted(runs.items(), key=lambda pair: (pair[1], pair[0])))


def bound(model: Model, encoder: Encoder, earlier: Model) -> Model:
    """A model for ``bind=True``: the encoder is named after its vectors were given."""
    runs = {EARLIER: ""} if earlier.about is None else earlier.about["runs"]
    return replace(model, about={"profile": profile_of(encoder), "runs": runs})


def profile_in(model: Model | None) -> dict[str, Any] | None:
    """The profile that is recorded, or None."""
    profile = None if model is None or model.about is None else model.about["profile"]
    return None if profile is None else dict(profile)


def runs_in(model: Model | None) -> dict[str, str] | None:
    """Times of runs by name, the earliest first; None where nothing is recorded."""
    if model is None or model.about is None:
        return None
    return in_order(model.about["runs"])


def profile_of(encoder: Encoder | None) -> dict[str, Any] | None:
    """The scalar entries of an encoder's ``description``; None where a foreign encoder has none."""
    description = getattr(encoder, "description", None)
    if not isinstance(description, Mapping):
        return None
    return {str(name): value for name, value in description.items() if type(value) in _PLAIN}


def _runtime_of(encoder: Encoder | None) -> str:
    runtime = getattr(encoder, "runtime", None)
    return runtime if isinstance(runtime, str) and runtime else "a runtime that the encoder does not name"
