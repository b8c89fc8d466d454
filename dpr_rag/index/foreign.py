"""Vectors out of FAISS files that other libraries wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dpr_rag.encoder import Vectors, check_vectors
from dpr_rag.errors import CorpusError, VectorError
from dpr_rag.index.library import import_faiss
from dpr_rag.paths import place_of


def read_faiss_vectors(path: str | Path) -> tuple[Vectors, str]:
    """Read all vectors of a FAISS index file, in the order in which they were added.

    Vectors of compressed kinds come back as closely as FAISS can rebuild them.

    Args:
        path: A file that ``faiss.write_index`` wrote; only open files that you trust, since FAISS checks little.

    Returns:
        float32 [n, dim], and the index's metric: ``inner_product``, ``l2`` or ``other``.

    Raises:
        CorpusError: The file cannot be read, or its kind cannot give vectors back.
    """
    faiss = import_faiss()
    path = place_of(path)
    if not path.is_file():
        raise CorpusError(f"{path}: there is no such file; give the index file of a FAISS store")
    try:
        index = faiss.read_index(str(path))
        inverted = faiss.try_extract_index_ivf(index)
        if inverted is not None:
            inverted.make_direct_map()
        inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexIDMap) else index
        vectors = inner.reconstruct_n(0, inner.ntotal) if inner.ntotal else np.empty((0, inner.d), np.float32)
    except (RuntimeError, MemoryError) as error:  # a damaged header may ask for more memory than there is
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise CorpusError(
            f"{path}: FAISS cannot give its vectors back ({reason:.200}); build the store anew"
        ) from error
    metrics = {faiss.METRIC_INNER_PRODUCT: "inner_product", faiss.METRIC_L2: "l2"}
    try:
        return check_vectors(vectors), metrics.get(index.metric_type, "other")
    except VectorError as error:
        raise CorpusError(f"{path}: {error}") from error
