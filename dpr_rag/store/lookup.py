"""Finding, counting and deleting passages by id and by filter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dpr_rag.arguments import check_count, kind
from dpr_rag.encoder import Vectors
from dpr_rag.errors import FilterError, StoreError, VectorError
from dpr_rag.faces import ByFace
from dpr_rag.filters import Filter, Where
from dpr_rag.filters.evaluating import compared_fields
from dpr_rag.handed_over import ids_of
from dpr_rag.passages import Passage, is_text, rejoined
from dpr_rag.storage.reader import Condition, StoreReader, fits
from dpr_rag.store.engine import Engine
from dpr_rag.store.scope import WHOLE, Scope
from dpr_rag.store.snapshot import Snapshot


def get(engine: Engine, ids: Iterable[str], scope: Scope) -> list[Passage]:
    """Passages by id; see ``PassageStore.get``."""
    wanted = checked_ids(ids)
    with engine.reading() as reader:
        known = engine.known(reader, wanted)
    passages = [known[passage_id][1] for passage_id in wanted if passage_id in known]
    return [passage for passage in passages if scope.holds(passage)]


def get_vectors(engine: Engine, ids: Iterable[str], scope: Scope) -> dict[str, Vectors]:
    """Stored vectors by id; see ``PassageStore.get_vectors``."""
    wanted = checked_ids(ids)
    with engine.reading() as reader:
        known = engine.known(reader, wanted)
        rows = {row: passage_id for passage_id, (row, passage) in known.items() if scope.holds(passage)}
        return {rows[row]: vector for row, vector in reader.vectors_of(reader.state(), rows).items()}


def select(engine: Engine, condition: Condition | None, k: int | None) -> list[Passage]:
    """Passages that a filter keeps, in order of insertion; see ``PassageStore.select``."""
    k = None if k is None else check_count("k", k, VectorError, more=", or None for all")

    def selected(reader: StoreReader, snapshot: Snapshot) -> list[Passage]:
        if condition is not None:
            engine.prove_for(reader, snapshot, condition)
        rows = snapshot.kept(reader, condition)[:k].tolist()
        passages = reader.by_rows(rows)
        return [passages[row] for row in rows]

    return engine.with_snapshot(selected)


def count(engine: Engine, condition: Condition | None) -> int:
    """How many passages a filter keeps; see ``PassageStore.count``."""
    if condition is None:
        with engine.reading() as reader:
            return reader.current_state().passages

    def counted(reader: StoreReader, snapshot: Snapshot) -> int:
        engine.prove_for(reader, snapshot, condition)
        return sum(selection.count for selection in snapshot.select(reader, condition))

    return engine.with_snapshot(counted)


def check_deletable(condition: Condition | None) -> None:
    """Refuse a filter by which everything or nothing would be deleted.

    Raises:
        FilterError: It asks about no field.
    """
    if isinstance(condition, Filter) and not compared_fields(condition):
        raise FilterError(
            "this filter asks about no field, and would delete everything or nothing; to delete everything, give "
            + ByFace('{"id": {"$exists": True}}', cli="""--filter '{"id": {"$exists": true}}'""")
        )


def check_deletion(ids: Iterable[str] | None, where: Where) -> tuple[list[str] | None, Condition | None]:
    """Check the arguments of ``delete``, and return them: the ids or None, and the filter or None.

    Raises:
        StoreError: Neither was given, or the ids are none.
        FilterError: A filter alone asks about no field.
    """
    if ids is None and where is None:
        raise StoreError(
            "delete() got neither ids nor a filter; give one of them, or both for the passages that fit both"
        )
    if isinstance(ids, Mapping):
        raise StoreError(f"ids is {kind(ids)}, expected a list of ids; to delete what a filter keeps, pass filter=")
    wanted, condition = None if ids is None else checked_ids(ids), WHOLE.condition(where)
    if wanted is None:  # ids alone bound what goes
        check_deletable(condition)
    return wanted, condition


def delete(engine: Engine, ids: Iterable[str] | None, where: Where, scope: Scope) -> int:
    """Delete passages in one commit; see ``PassageStore.delete``."""
    wanted, given = check_deletion(ids, where)
    condition = scope.condition(given)
    engine.database.refuse_read_only()
    if wanted is None and isinstance(condition, Filter) and engine.state().base is not None:
        engine.with_snapshot(lambda reader, snapshot: None)  # so that the base's fields are at hand below
    _prove_beforehand(engine, wanted or [])
    with engine.writing() as writer:
        rows = _rows_to_delete(engine, writer, wanted, condition)
        if rows:
            writer.remove(rows)
            writer.commit_state()
    return len(rows)


def _rows_to_delete(
    engine: Engine, writer: StoreReader, ids: Sequence[str] | None, condition: Condition | None
) -> list[int]:
    """Row numbers of the passages with these ids that the filter keeps, or, without ids, of all that it keeps; verified."""
    if ids is not None:
        known = engine.known(writer, ids).values()
        return [row for row, passage in known if condition is None or fits(condition, passage)]
    rows: list[int] = [] if condition is None else engine.rows_to_delete(writer, condition).tolist()
    writer.by_rows(rows)  # proves what goes: a wrong checksum would spoil the sum of all others
    return rows


def _prove_beforehand(engine: Engine, ids: Sequence[str]) -> None:
    """Prove the index on ids where an id is unknown, while others may still write."""
    if ids and not engine.proved_ids:
        with engine.reading() as reader:
            engine.known(reader, ids)


def checked_ids(ids: Iterable[str]) -> list[str]:
    """Ids as a list, without those that no passage can have; a lone string is a mistake, not a list of characters."""
    return [passage_id for passage_id in map(rejoined, ids_of(ids)) if is_text(passage_id)]
