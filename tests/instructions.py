"""Run the tests of encoders and indexes as on lesser processors: under every instruction set below this processor's own.

    python tests/instructions.py [OPTIONS OF PYTEST]

OpenVINO and FAISS take other kernels under each (``ONEDNN_MAX_CPU_ISA``, ``FAISS_SIMD_LEVEL``). The highest that there is
needs no run: it is what every other run of the tests takes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ENCODERS = tuple(
    f"tests/test_encoders_{name}.py" for name in ("fast", "precision", "quickest", "processor", "default", "together")
)
INDEXES = ("tests/test_index_kinds.py", "tests/test_index_foreign.py")
# oneDNN's levels with the flags that Linux lists for a processor that has them, lowest first
LEVELS = {
    "SSE41": {"sse4_1"},
    "AVX2": {"avx2", "fma"},
    "AVX2_VNNI": {"avx_vnni"},
    "AVX512_CORE": {"avx512f", "avx512bw", "avx512vl", "avx512dq"},
    "AVX512_CORE_VNNI": {"avx512_vnni"},
    "AVX512_CORE_BF16": {"avx512_bf16"},
    "AVX512_CORE_AMX": {"amx_tile", "amx_int8", "amx_bf16"},
}
FAISS_LEVELS = ("NONE", "AVX2", "AVX512", "AVX512_SPR")
_AT_ONCE = 2


def flags() -> set[str]:
    """The processor's own, from Linux's list; none where there is no such list."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    return set(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())


def onednn_levels(found: Collection[str]) -> list[str]:
    """All of oneDNN's levels that a processor with these flags has."""
    return [level for level, needed in LEVELS.items() if needed <= set(found)]


def faiss_levels() -> list[str]:
    """All levels that FAISS has code for and this processor can run; asked for another, it would be killed."""
    code = (
        "import faiss\n"
        f"for name in {FAISS_LEVELS!r}:\n"
        "    if faiss.SIMDConfig.is_simd_level_available(getattr(faiss, 'SIMDLevel_' + name)): print(name)"
    )
    env = {name: value for name, value in os.environ.items() if name != "FAISS_SIMD_LEVEL"}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env)
    return done.stdout.split()


def runs() -> Iterator[tuple[dict[str, str], tuple[str, ...]]]:
    """Settings of the environment, and the tests that they concern."""
    for level in onednn_levels(flags())[:-1]:
        yield {"ONEDNN_MAX_CPU_ISA": level}, ENCODERS
    for level in faiss_levels()[:-1]:
        yield {"FAISS_SIMD_LEVEL": level}, INDEXES


def _run(run: tuple[dict[str, str], tuple[str, ...]]) -> tuple[str, int, float, str]:
    """The settings of a run, its exit status, how long it took, and what it printed."""
    settings, files = run
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", *sys.argv[1:], *files]
    done = subprocess.run(
        command,
        check=False,
        env={**os.environ, **settings},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    name = " ".join(f"{variable}={value}" for variable, value in settings.items())
    return name, done.returncode, time.monotonic() - started, done.stdout


def main() -> None:
    """Run all; the exit status says whether one of them failed."""
    here = [*onednn_levels(flags()), *faiss_levels()]
    absent = [level for level in (*LEVELS, *FAISS_LEVELS) if level not in here]
    sys.stdout.write(f"-- this processor has {', '.join(here)}, and skips {', '.join(absent) or 'none'}\n")
    failed = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for name, code, seconds, output in pool.map(_run, runs()):
            sys.stdout.write(f"{output}-- {name}: {'passed' if code == 0 else 'FAILED'} in {seconds:.0f} s\n")
            sys.stdout.flush()
            failed += [name] if code else []
    raise SystemExit(f"failed under {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
