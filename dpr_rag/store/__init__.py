"""The passage store: SQLite as the truth, FAISS segments derived from it."""

from dpr_rag.store.passage_store import PassageStore
from dpr_rag.store.reports import AddReport, CheckReport, RecoverReport, StoreInfo
from dpr_rag.store.sources import UPLOAD, named_source, shown_source, source_of, source_path, with_source

__all__ = [
    "UPLOAD",
    "AddReport",
    "CheckReport",
    "PassageStore",
    "RecoverReport",
    "StoreInfo",
    "named_source",
    "shown_source",
    "source_of",
    "source_path",
    "with_source",
]
