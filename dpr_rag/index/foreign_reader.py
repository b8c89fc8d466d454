"""The process that reads a foreign FAISS file: one line of JSON to the standard output, then the vectors as float32."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dpr_rag.index.library import read_index

LARGEST = 4096
"""Most bytes of vectors for a byte of the file: what a kind needs that keeps one byte of 1,024 dimensions."""
_MEMORY, _COPIES = 4 << 30, 16
_SECONDS, _SLOWEST = 300, 1 << 16  # bytes a second
_BLOCK = 1 << 22


def main(path: Path, out: BinaryIO) -> None:
    """Read a file and write what is in it."""
    size = path.stat().st_size
    _limit(size)
    import faiss

    try:
        index = read_index(path)
        metric = {faiss.METRIC_INNER_PRODUCT: "inner_product", faiss.METRIC_L2: "l2"}.get(index.metric_type, "other")
        inner = _rebuilding(faiss, index)
        count, dim = int(inner.ntotal), int(inner.d)
        if count < 0 or dim < 1 or count * dim * 4 > LARGEST * size:
            _tell(out, problem=f"it claims {count:,} vectors of {dim:,} dimensions in {size:,} bytes")
            return
        step = max(1, _BLOCK // dim)
        parts = (inner.reconstruct_n(at, min(step, count - at)) for at in range(0, count, step))
        first = next(parts, np.empty((0, dim), np.float32))  # most that cannot be rebuilt fails here
        _tell(out, metric=metric, count=count, dim=dim)
        for part in (first, *([] if count <= step else parts)):
            out.write(np.ascontiguousarray(part, "<f4").tobytes())
    except (RuntimeError, MemoryError) as error:
        _tell(out, problem=(str(error).strip() or type(error).__name__).splitlines()[-1])


def _rebuilding(faiss: Any, index: Any) -> Any:
    """The part of an index that can reconstruct its vectors by position."""
    inverted = faiss.try_extract_index_ivf(index)
    if inverted is not None:
        inverted.make_direct_map()
    return faiss.downcast_index(index.index) if isinstance(index, faiss.IndexIDMap) else index


def _tell(out: BinaryIO, **told: Any) -> None:
    out.write(json.dumps(told).encode() + b"\n")


def _limit(size: int) -> None:
    """Limit memory and time in proportion to the file's size, where the system can."""
    with suppress(ImportError, ValueError, OSError):  # there is no such module on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY + _COPIES * size,) * 2)
        seconds = _SECONDS + size // _SLOWEST
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "wb") as pipe:
        os.dup2(2, 1)  # what FAISS prints is no vector
        main(Path(sys.argv[1]), pipe)
