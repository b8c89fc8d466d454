"""How a store ranks where a call does not say: as it was tuned, or else by inner product."""

from __future__ import annotations

from dataclasses import replace

from dpr_rag.fusion import Tuned
from dpr_rag.storage.state import State
from dpr_rag.store.engine import Engine


def tuned(engine: Engine) -> Tuned | None:
    """What the store was tuned to; None where it was not, or for another encoder."""
    return of_state(engine, engine.state())


def of_state(engine: Engine, state: State) -> Tuned | None:
    """What a state of the store says it was tuned to."""
    known = engine.tuned
    if known is None or known[0] != state.generation:
        known = engine.tuned = state.generation, _read(state)
    return known[1]


def _read(state: State) -> Tuned | None:
    if state.tuned is None:
        return None
    found = Tuned.from_dict(state.tuned)
    return found if found.fingerprint == _fingerprint(state) else None


def _fingerprint(state: State) -> str:
    return "" if state.model is None else state.model.fingerprint


def set_tuned(engine: Engine, choice: Tuned | None) -> None:
    """Write a choice into the store, or remove the one that is there, in one commit."""
    with engine.writing() as writer:
        noted = None if choice is None else replace(choice, fingerprint=_fingerprint(writer.now)).as_dict()
        if noted != writer.now.tuned:
            writer.now = replace(writer.now, tuned=noted)
            writer.commit_state()


def told(engine: Engine, state: State) -> str:
    """How the store ranks, for people to read."""
    found = of_state(engine, state)
    if found is None:
        return "dense" + (", as it was tuned for another encoder; tune it again" if state.tuned is not None else "")
    return f"{found.ranking}, tuned on {found.questions:,} questions"
