"""The model of this processor, and the instruction sets that OpenVINO may use."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

Ability = Literal["avx", "vnni", "bf16", "amx"]

_INFO = Path("/proc/cpuinfo")
# A limit for oneDNN, the library of OpenVINO's kernels, and a hint that narrows further, by their present and earlier names.
_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_CPU_ISA_HINTS", "DNNL_CPU_ISA_HINTS")
_FLAGS: Mapping[Ability, tuple[str, ...]] = {
    "avx": ("avx",),
    "vnni": ("avx512_vnni", "avx_vnni"),
    "bf16": ("avx512_bf16", "amx_bf16"),
    "amx": ("amx_bf16",),
}
# What oneDNN's levels leave of them; every other level, unset and unknown ones included, leaves all.
_WITHIN: Mapping[str, frozenset[Ability]] = {
    "SSE41": frozenset(),
    **dict.fromkeys(("AVX", "AVX2", "AVX512_CORE"), frozenset({"avx"})),
    **dict.fromkeys(("AVX2_VNNI", "AVX512_CORE_VNNI"), frozenset({"avx", "vnni"})),
    **dict.fromkeys(("AVX2_VNNI_2", "AVX512_CORE_BF16", "AVX512_CORE_FP16"), frozenset({"avx", "vnni", "bf16"})),
    **dict.fromkeys(("AVX10_1_512", "AVX10_2", "AVX10_2_512"), frozenset({"avx", "vnni", "bf16"})),
}


@dataclass(frozen=True, slots=True)
class Processor:
    """A processor as far as the precision of vectors depends on it.

    Attributes:
        name: The maker's name of it, or the machine's type where the system does not say.
        abilities: Eight numbers at once (``avx``), which alone is taken for granted where the system does not say;
            multiplying bytes (``vnni``) and bfloat16 (``bf16``), the latter by tiles of 16 rows (``amx``).
        limits: Settings of this process that narrow what OpenVINO uses.
    """

    name: str
    abilities: frozenset[Ability]
    limits: tuple[str, ...]


def this_processor() -> Processor:
    """The processor of this machine, under the limits of this process's environment."""
    info = _info()
    flags = set(info.get("flags", "avx").split())
    abilities = {ability for ability, names in _FLAGS.items() if flags.intersection(names)}
    for name in _LIMITS[:2]:
        abilities &= _WITHIN.get(os.environ.get(name, "").upper(), abilities)
    limits = tuple(f"{name}={os.environ[name]}" for name in _LIMITS if os.environ.get(name))
    return Processor(info.get("model name") or platform.machine(), frozenset(abilities), limits)


def cores() -> int:
    """How many processors an encoder may use: those of the process, or fewer where ``OMP_NUM_THREADS`` says so.

    Schedulers (Ray, Slurm's scripts, containers) tell their processes by that variable what their share is.
    """
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return min(available, int(limit)) if limit.isdecimal() and int(limit) else available


@cache
def _info() -> Mapping[str, str]:
    """The first processor's lines of Linux's list; nothing where there is none."""
    try:
        lines = _INFO.read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}
