"""The default ranking of a store: as it was tuned, or else by inner product."""

from __future__ import annotations

from dataclasses import replace

from dpr_rag.errors import EncoderMismatchError
from dpr_rag.fusion import Ranking, RankingOptions, Tuned
from dpr_rag.storage.state import State
from dpr_rag.store.engine import Engine


def tuned_of(engine: Engine, state: State) -> Tuned | None:
    """The ranking that the store was tuned to; None if it was not, or for another encoder or language."""
    known = engine.tuned
    if known is None or known[0] != state.generation:
        known = engine.tuned = state.generation, _read(state)
    return known[1]


def _read(state: State) -> Tuned | None:
    if state.tuned is None:
        return None
    tuned = Tuned.from_dict(state.tuned)
    return tuned if (tuned.fingerprint, tuned.language) == _encoder_and_language(state) else None


def _encoder_and_language(state: State) -> tuple[str, str]:
    return "" if state.model is None else state.model.fingerprint, state.language


def set_tuned(engine: Engine, choice: Tuned | None) -> None:
    """Write a choice into the store, or remove the one that is there, in one commit."""
    with engine.writing() as writer:
        record = None if choice is None else _stamped(choice, writer.now).as_dict()
        if record != writer.now.tuned:
            writer.now = replace(writer.now, tuned=record)
            writer.commit_state()


def _stamped(choice: Tuned, state: State) -> Tuned:
    fingerprint, language = _encoder_and_language(state)
    for what, its, mine in (("encoder", choice.fingerprint, fingerprint), ("language", choice.language, language)):
        if its not in ("", mine):
            raise EncoderMismatchError(
                f"the choice was made with the {what} {its!r}, and the store has {mine!r} now; tune it again"
            )
    return replace(choice, fingerprint=fingerprint, language=language)


def ranking_of(engine: Engine, state: State, options: RankingOptions | None = None) -> Ranking:
    """The ranking with these options; those left open are as the store was tuned, or else the defaults."""
    tuned = tuned_of(engine, state)
    default = Ranking() if tuned is None else tuned.ranking
    return default if options is None else options.over(default)


def description(engine: Engine, state: State) -> str:
    """The default ranking in words, for ``info``."""
    tuned = tuned_of(engine, state)
    if tuned is None:
        return "dense" + (
            "" if state.tuned is None else ", as it was tuned for another encoder or language; tune it again"
        )
    return f"{tuned.ranking}, tuned on {tuned.questions:,} questions"
