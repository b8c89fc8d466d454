"""Waiting until an index holds what was added."""

from __future__ import annotations

import time

from dpr_rag.errors import ServiceTimeoutError
from dpr_rag.milvus.collection import Collection
from dpr_rag.milvus.conditions import ALL

_PAUSE = 0.2


def wait(collection: Collection, timeout: float) -> int:
    """Seal what was added, and wait until the index holds it, see ``MilvusStore.wait_until_indexed``."""
    collection.refuse_missing()
    if collection.kind.is_exact or collection.is_lite:
        return 0
    collection.flush()
    until, there = time.monotonic() + timeout, collection.counted(ALL)
    while True:
        indexed, pending = collection.indexing()
        if indexed >= there and not pending:
            return indexed
        if time.monotonic() > until:
            raise ServiceTimeoutError(
                f"{collection.address.shown}: the index holds {indexed:,} of {there:,} passages after {timeout:g} s; wait "
                "again, it goes on"
            )
        time.sleep(_PAUSE)
