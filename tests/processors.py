"""Processors that this machine does not have, by the flags that Linux lists for them."""

from __future__ import annotations

import pytest

from dpr_rag.encoders import processor

PLAIN, BYTES, BOTH, TILES = (
    "avx avx2",
    "avx avx2 avx512_vnni",
    "avx avx2 avx512_vnni avx512_bf16",
    "avx avx2 avx512_vnni avx512_bf16 amx_bf16 amx_int8 amx_tile",
)


def a_processor(monkeypatch: pytest.MonkeyPatch, flags: str, name: str = "A processor") -> None:
    """Stand in for the system's list, without a limit of the environment."""
    for limit in processor._LIMITS:
        monkeypatch.delenv(limit, raising=False)
    monkeypatch.setattr(processor, "_info", lambda: {"flags": flags, "model name": name})
