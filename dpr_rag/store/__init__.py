"""The passage store: SQLite as the truth, FAISS segments derived from it."""

from dpr_rag.store.passage_store import PassageStore
from dpr_rag.store.reports import AddReport, CheckReport, RecoverReport, StoreInfo
from dpr_rag.store.sources import shown_source, source_of, source_path, with_source

__all__ = [
    "AddReport",
    "CheckReport",
    "PassageStore",
    "RecoverReport",
    "StoreInfo",
    "shown_source",
    "source_of",
    "source_path",
    "with_source",
]
