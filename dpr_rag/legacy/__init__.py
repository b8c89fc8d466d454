"""Old pickled formats, read by allow-list: nothing but numpy arrays and plain containers is ever built."""

from __future__ import annotations

from dpr_rag.legacy.checkpoints import CHECKPOINT_FIELDS, read_checkpoint, write_checkpoint
from dpr_rag.legacy.shards import read_chroma_labels, read_embeddings, read_langchain_docstore
from dpr_rag.legacy.standins import Skipped
from dpr_rag.legacy.state_dicts import read_state_dict

__all__ = [
    "CHECKPOINT_FIELDS",
    "Skipped",
    "read_checkpoint",
    "read_chroma_labels",
    "read_embeddings",
    "read_langchain_docstore",
    "read_state_dict",
    "write_checkpoint",
]
