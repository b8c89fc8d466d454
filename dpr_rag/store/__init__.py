"""The passage store: SQLite as the truth, FAISS segments derived from it."""

from dpr_rag.store.passage_store import PassageStore
from dpr_rag.store.reports import AddReport, CheckReport, StoreInfo

__all__ = ["AddReport", "CheckReport", "PassageStore", "StoreInfo"]
