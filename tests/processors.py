"""Processors that this machine does not have, by the flags that Linux lists for them."""

from __future__ import annotations

import os

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


_OWN, _LIMIT = set(processor._info().get("flags", "").split()), os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
_PLAIN_KERNELS = "avx2" in _OWN and _LIMIT not in ("SSE41", "AVX")
_WIDE_KERNELS = "avx512bw" in _OWN and _LIMIT not in ("SSE41", "AVX", "AVX2", "AVX2_VNNI")


def needs_kernels(flags: str) -> None:
    """Skip a test that really encodes on a processor it only stands in for, where OpenVINO has no kernels for that.

    OpenVINO looks at the processor itself, and at the limits that its process began with. Those for bfloat16 and for bytes
    run with AVX-512 and need no more of it.
    """
    if not (_PLAIN_KERNELS if flags == PLAIN else _WIDE_KERNELS):
        pytest.skip("OpenVINO has no kernels here for the processor that this test stands in for")
