"""Re-encoding: filling the second vector table with another encoder, then switching to it in one commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dpr_rag.arguments import check_callable, check_count
from dpr_rag.encoder import Encoder, Vectors, check_encoded, check_encoder
from dpr_rag.errors import StoreError
from dpr_rag.faces import ByFace
from dpr_rag.passages import Passage
from dpr_rag.storage.state import Model, State
from dpr_rag.store import recording
from dpr_rag.store.engine import Engine

Progress = Callable[[int, int], None]


def reencode(engine: Engine, encoder: Encoder, *, batch_size: int, progress: Progress | None) -> int:
    """Encode everything stored with another encoder; see ``PassageStore.reencode``."""
    batch_size = check_count("batch_size", batch_size, StoreError)
    check_callable("progress", progress)
    check_encoder(encoder)
    engine.database.refuse_read_only()
    model = recording.described(engine.model_of(encoder), encoder)
    _start(engine, model, encoder)
    encoded = 0
    while not _finished(engine, encoder, model):
        with engine.reading() as reader:
            batch = reader.missing_vectors(reader.state().next_vectors, batch_size)
        if not batch:  # what was lacking has been deleted since
            continue
        passages = [passage for _, passage in batch]
        names = [passage.id for passage in passages]
        vectors = check_encoded(
            encoder, "encode_passages", encoder.encode_passages(passages), rows=len(batch), dim=model.dim, names=names
        )
        _store(engine, batch, vectors, model)
        encoded += len(batch)
        if progress is not None:
            progress(*_done(engine))
    return encoded


def _start(engine: Engine, model: Model, encoder: Encoder) -> None:
    """Record the new encoder, or go on where an interrupted call with the same one stopped."""
    with engine.writing() as writer:
        pending = writer.now.pending
        if pending is None or pending != model:
            writer.start_vectors(recording.noted(model, encoder))
            writer.commit_state()
        elif (noted := recording.noted(pending, encoder)) is not pending:
            writer.now = replace(writer.now, pending=noted)
            writer.put_state()


def _store(engine: Engine, batch: list[tuple[int, Passage]], vectors: Vectors, model: Model) -> None:
    """Commit new vectors, except of passages that were deleted, or encoded by another process, in the meantime."""
    with engine.writing() as writer:
        if not _is_pending(engine, writer.now, model):
            return
        done = writer.last_row_of(writer.now.next_vectors)
        alive = {row for row, _ in writer.after(batch[0][0] - 1, batch[-1][0] - batch[0][0] + 1)}
        kept = [at for at, (row, _) in enumerate(batch) if row in alive and row > done]
        rows, passages = [batch[at][0] for at in kept], [batch[at][1] for at in kept]
        if kept:
            writer.insert_vectors(writer.now.next_vectors, rows, vectors[kept], passages)
            writer.commit_state()


def _finished(engine: Engine, encoder: Encoder, model: Model) -> bool:
    """Switch over if no passage lacks a new vector."""
    with engine.writing() as writer:
        if not _is_pending(engine, writer.now, model):
            engine.encoder = encoder
            return True
        if writer.missing_vectors(writer.now.next_vectors, 1):
            return False
        writer.switch_vectors()
        writer.commit_state()
        engine.encoder = encoder
    return True


def _is_pending(engine: Engine, state: State, model: Model) -> bool:
    """Whether the second table is being filled for this encoder; if not, another process has switched to it already.

    Raises:
        StoreError: Another process re-encodes with another encoder.
    """
    if state.pending != model and (state.pending is not None or state.model != model):
        raise StoreError(
            f"another process has begun to re-encode {engine.folder} with "
            f"{(state.pending or state.model or model).fingerprint!r} meanwhile; let it end, or "
            + ByFace("call reencode() again", cli="run reencode again")
        )
    return state.pending == model


def _done(engine: Engine) -> tuple[int, int]:
    with engine.reading() as reader:
        state = reader.state()
        return reader.count_vectors(state.next_vectors), state.passages
