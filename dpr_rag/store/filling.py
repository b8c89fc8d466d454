"""Recording which runs made the vectors of a store, where they were copied from another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dpr_rag.errors import StoreError
from dpr_rag.store import recording
from dpr_rag.store.engine import Engine


def note(engine: Engine, runs: Mapping[str, str]) -> None:
    """Record further runs; see ``PassageStore.note_filled``."""
    if not isinstance(runs, Mapping) or not all(isinstance(text, str) for pair in runs.items() for text in pair):
        raise StoreError(f"runs is {runs!r:.80}, expected text by text: what ran an encoder, and since when")
    with engine.writing() as writer:
        model = writer.now.model
        recorded = None if model is None else recording.added(model, runs)
        if recorded is not model:
            writer.now = replace(writer.now, model=recorded)
            writer.commit_state()
