"""Compare encoding by Ray's workers with this process, in turn: passages a second and core.

    OMP_NUM_THREADS=1 python benchmarks/scaling.py CORPUS --count 4000 --workers 1 --repeats 3

Both encode the same passages with the default encoder to parts of ``--part-size``, and both are timed from the first finished
part to the last, so that starting Ray and loading the model, which happen once, are not in the rate; the program prints
how long they took. Ray gives each worker one core and tells it by ``OMP_NUM_THREADS``; set it to 1 for this process, too.
It projects the rate to the 21,015,324 passages of DPR's Wikipedia, assuming independent workers and texts as long as these.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from dpr_rag import DualEncoder, Passage
from dpr_rag.corpora import open_corpus
from dpr_rag.encoders.processor import cores, this_processor
from dpr_rag.scaling import encode, encode_on_ray

WIKIPEDIA = 21_015_324


def rate(run: Callable[[Callable[[int], None]], Any]) -> tuple[float, float]:
    """Passages a second after the first part, and seconds until that was finished."""
    reports: list[tuple[float, int]] = []
    start = time.perf_counter()
    run(lambda count: reports.append((time.perf_counter(), count)))
    (first_time, first_count), (last_time, last_count) = reports[0], reports[-1]
    return (last_count - first_count) / (last_time - first_time), first_time - start


def pair(passages: list[Passage], encoder: DualEncoder, args: argparse.Namespace) -> tuple[float, float]:
    """Passages a second and core of this process and of Ray, one after the other."""
    with tempfile.TemporaryDirectory(prefix="scaling-") as temporary:
        folder, rows = Path(temporary), args.part_size
        kwargs: dict[str, Any] = {"address": args.address, "workers": args.workers, "rows": rows}
        local, _ = rate(lambda log: encode(passages, encoder, folder / "a", rows=rows, progress=log))
        ray, wait = rate(lambda log: encode_on_ray(passages, DualEncoder.default, folder / "b", progress=log, **kwargs))
    local, ray = local / cores(), ray / args.workers
    print(
        f"here {local:.1f}, Ray {ray:.1f} passages/s and core, ratio {ray / local:.2f}; first part {wait:.0f} s",
        flush=True,
    )
    return local, ray


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--part-size", type=int, default=200)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--address", help="of a Ray cluster; none starts one on this machine")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    passages: list[Passage] = list(islice(open_corpus(args.corpus), args.count))
    encoder = DualEncoder.default()
    encoder.encode_passages(passages[:8])
    print(
        f"{this_processor().name}, {platform.python_version()}, {encoder.runtime}, {cores()} core here, {args.workers} workers"
    )
    pairs = [pair(passages, encoder, args) for _ in range(args.repeats)]
    ratios, rays = [ray / local for local, ray in pairs], [ray for _, ray in pairs]
    hours = WIKIPEDIA / median(rays) / 3600
    print(
        f"median ratio {median(ratios):.2f}; {WIKIPEDIA:,} passages: {hours:,.0f} hours of one core, {hours / 64:,.1f} of 64"
    )


if __name__ == "__main__":
    main()
