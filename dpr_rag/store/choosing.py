"""How a store ranks where a call does not say: as it was tuned, or else by inner product."""

from __future__ import annotations

from dataclasses import replace

from dpr_rag.errors import EncoderMismatchError
from dpr_rag.fusion import Ranking, RankingOptions, Tuned
from dpr_rag.storage.state import State
from dpr_rag.store.engine import Engine


def of_state(engine: Engine, state: State) -> Tuned | None:
    """What the store was tuned to; None where it was not, or for another encoder or language."""
    known = engine.tuned
    if known is None or known[0] != state.generation:
        known = engine.tuned = state.generation, _read(state)
    return known[1]


def _read(state: State) -> Tuned | None:
    if state.tuned is None:
        return None
    found = Tuned.from_dict(state.tuned)
    return found if (found.fingerprint, found.language) == _made_for(state) else None


def _made_for(state: State) -> tuple[str, str]:
    return "" if state.model is None else state.model.fingerprint, state.language


def set_tuned(engine: Engine, choice: Tuned | None) -> None:
    """Write a choice into the store, or remove the one that is there, in one commit."""
    with engine.writing() as writer:
        noted = None if choice is None else _stamped(choice, writer.now).as_dict()
        if noted != writer.now.tuned:
            writer.now = replace(writer.now, tuned=noted)
            writer.commit_state()


def _stamped(choice: Tuned, state: State) -> Tuned:
    fingerprint, language = _made_for(state)
    for what, its, mine in (("encoder", choice.fingerprint, fingerprint), ("language", choice.language, language)):
        if its not in ("", mine):
            raise EncoderMismatchError(
                f"the choice was made with the {what} {its!r}, and the store has {mine!r} now; tune it again"
            )
    return replace(choice, fingerprint=fingerprint, language=language)


def ranking_of(engine: Engine, state: State, options: RankingOptions | None = None) -> Ranking:
    """The ranking that options say; what they leave open is as tuned."""
    found = of_state(engine, state)
    known = Ranking() if found is None else found.ranking
    return known if options is None else options.over(known)


def told(engine: Engine, state: State) -> str:
    """How the store ranks, for people to read."""
    found = of_state(engine, state)
    if found is None:
        return "dense" + (
            "" if state.tuned is None else ", as it was tuned for another encoder or language; tune it again"
        )
    return f"{found.ranking}, tuned on {found.questions:,} questions"
