"""Waiting until an index holds what was added."""

from __future__ import annotations

import time

from dpr_rag.errors import ServiceTimeoutError
from dpr_rag.milvus.collection import Collection
from dpr_rag.milvus.conditions import ALL

_PAUSE = 0.2


def wait(collection: Collection, timeout: float) -> int:
    """Seal the segments, and wait until all rows are indexed, see ``MilvusStore.wait_until_indexed``."""
    collection.refuse_missing()
    if collection.kind.is_exact or collection.is_lite:
        return 0
    collection.flush()
    deadline, count = time.monotonic() + timeout, collection.count(ALL)
    while True:
        indexed, pending = collection.indexing()
        if indexed >= count and not pending:
            return indexed
        if time.monotonic() > deadline:
            raise ServiceTimeoutError(
                f"{collection.address.shown}: the index holds {indexed:,} of {count:,} passages after {timeout:g} s; wait "
                "again, it goes on"
            )
        time.sleep(_PAUSE)
