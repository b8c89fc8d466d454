"""``persist`` for a store whose changes are durable at once: it does nothing, or reports that the store is temporary."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from dpr_rag.errors import StoreError
from dpr_rag.fillable import FilledStore

_log = logging.getLogger(__name__)
_OF_A_CONTEXT = (
    "__"  # StorageContext.persist gives each vector store the name of its namespace, these, and a file's name
)


def persist(store: FilledStore, persist_path: str | os.PathLike[str] = "", *, asked_for: bool = True) -> None:
    """Log that everything is on disk already, and refuse for a temporary store, which will be deleted.

    Args:
        store: What was to be persisted.
        persist_path: Where to; nothing is written there, which a warning says where a user named the place.
        asked_for: Whether a user may have named it, rather than LlamaIndex.

    Raises:
        StoreError: The store is temporary.
    """
    if store.is_temporary:
        raise StoreError(
            f"the store is temporary, in {store.path}, and gone when it is closed, so that nothing of it can be persisted; make "
            "it with DPRVectorStore(path), or copy what it holds with PassageStore.backup(path), which is client.backup(path) "
            "of a vector store without fixed_filter"
        )
    path = os.fspath(persist_path)
    elsewhere = asked_for and path and _OF_A_CONTEXT not in Path(path).name and not _is_place_of(store, path)
    copied = "PassageStore.backup(path)" if isinstance(store.path, Path) else "the command dpr-rag copy"
    _log.log(
        logging.WARNING if elsewhere else logging.INFO,
        "nothing to persist: every change is on disk in %s%s",
        store.path,
        f", and nothing was written to {path}; {copied} makes a copy" if elsewhere else "",
    )


def _is_place_of(store: FilledStore, path: str) -> bool:
    return path == str(store.path) or Path(path).expanduser().resolve() == Path(store.path).resolve()
