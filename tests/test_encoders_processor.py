"""What a processor can do and may do, and that lesser ones get the same vectors."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_models as tiny
from instructions import LEVELS, faiss_levels, flags, onednn_levels
from processors import PLAIN, TILES, a_processor
from tiny_models import QUESTIONS

from dpr_rag import DualEncoder
from dpr_rag.encoders import processor


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("flags", "limit", "abilities"),
    [
        ("sse4_1", "", set()),
        (PLAIN, "", {"avx"}),
        ("avx2 avx avx_vnni", "", {"avx", "vnni"}),
        (TILES, "", {"avx", "vnni", "bf16", "amx"}),
        (TILES, "ALL", {"avx", "vnni", "bf16", "amx"}),
        (TILES, "AVX512_CORE_AMX", {"avx", "vnni", "bf16", "amx"}),
        (TILES, "no such level", {"avx", "vnni", "bf16", "amx"}),
        (TILES, "AVX512_CORE_BF16", {"avx", "vnni", "bf16"}),
        (TILES, "avx512_core_vnni", {"avx", "vnni"}),
        (TILES, "AVX512_CORE", {"avx"}),
        (TILES, "SSE41", set()),
        (PLAIN, "AVX512_CORE_VNNI", {"avx"}),
    ],
)
def test_limits_of_the_environment_count(
    flags: str, limit: str, abilities: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    a_processor(monkeypatch, flags)
    if limit:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    found = processor.this_processor()
    assert found.abilities == abilities
    assert found.limits == ((f"ONEDNN_MAX_CPU_ISA={limit}",) if limit else ())


def test_a_system_that_does_not_list_its_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "_INFO", tmp_path / "missing")
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    processor._info.cache_clear()
    try:
        found = processor.this_processor()
    finally:
        processor._info.cache_clear()
    assert found == replace(found, name=os.uname().machine, abilities=frozenset({"avx"}))


@pytest.mark.parametrize("make", [tiny.contriever, tiny.ance, tiny.tas_b])
def test_a_processor_without_avx_gets_the_same_vectors(
    tmp_path: Path, make: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    a_processor(monkeypatch, "sse4_1 sse4_2")
    model = make(tmp_path / "m")
    exact = DualEncoder.from_pretrained(model, runtime="torch", device="cpu").encode_questions(QUESTIONS)
    found = DualEncoder.from_pretrained(model, device="cpu")
    assert found.runtime == "OpenVINO in float32"
    np.testing.assert_allclose(found.encode_questions(QUESTIONS), exact, atol=1e-5)


def test_which_instruction_sets_the_gate_runs() -> None:
    assert onednn_levels(set()) == []
    assert onednn_levels(["sse4_1", "avx", "avx2", "fma"]) == ["SSE41", "AVX2"]
    xeon = {"sse4_1", "avx2", "fma", "avx_vnni", "avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni"}
    assert onednn_levels(xeon)[2:] == ["AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI"]
    assert onednn_levels({*xeon, "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16"}) == list(LEVELS)
    assert faiss_levels()[0] == "NONE"


@pytest.mark.skipif("avx2" not in flags(), reason="this processor has but one level")
def test_the_limits_reach_the_kernels() -> None:
    code = (
        "import faiss\n"
        "from dpr_rag import DualEncoder\n"
        "encoder = DualEncoder.default(runtime='openvino', dtype='float32')\n"
        "encoder.encode_questions(['who wrote hamlet'])\n"
        "(form,) = encoder.sides[0].runtime._compiled.values()\n"
        "for node in form._model.get_runtime_model().get_ops():\n"
        "    print(node.get_rt_info()['primitiveType'].astype(str))\n"
        "print('FAISS at', faiss.SIMDConfig.get_level_name())"
    )

    def kernels(**limits: str) -> set[str]:
        taken = ("ONEDNN_MAX_CPU_ISA", "FAISS_SIMD_LEVEL")
        env = {name: value for name, value in os.environ.items() if name not in taken} | limits
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env)
        return set(done.stdout.splitlines())

    limited, free = kernels(ONEDNN_MAX_CPU_ISA="SSE41", FAISS_SIMD_LEVEL="NONE"), kernels()
    matrices = ("brgemm_avx", "brgconv_avx")  # which it is differs between makers
    assert any(kernel.startswith(matrices) for kernel in free)
    assert not any(kernel.startswith(matrices) for kernel in limited)
    assert "FAISS at NONE" in limited
    assert "FAISS at NONE" not in free
