"""Ask the same passages by ``dpr-rag serve`` over a folder and over an engine, in turn, on the loopback.

    python benchmarks/engines.py QUESTIONS.jsonl STORE STORE… [--callers 64] [--seconds 60] [--rounds 3] [--mode dense]
        [--servers PID,PID]

A STORE is a folder or an address that ``serve`` takes; ``dpr-rag copy`` fills one from the other. Every round starts a service
on each, in turn, and lets the callers ask again and again. One JSON line a store and round, as ``service.py`` prints
them, then one with the medians of the rounds and the ratio of each store to the first. ``--servers`` names the processes of
the engine, whose memory in MiB is told beside that of the service.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from pathlib import Path
from statistics import median

from service import piece, processor, resident, service

TOLD = ("questions/s", "p50 ms", "p99 ms")


def main() -> None:
    """Run the rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", type=Path)
    parser.add_argument("stores", nargs="+")
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mode", default="dense")
    parser.add_argument("--servers", type=lambda text: [int(one) for one in text.split(",")], default=[])
    args = parser.parse_args()
    args.first_seconds = None
    lines = [json.loads(line)["question"] for line in args.questions.read_text("utf-8").splitlines()]
    bodies = [json.dumps({"questions": one, "k": 10, "mode": args.mode}).encode() for one in lines]
    print(json.dumps({"cpu": processor(), "cores": len(os.sched_getaffinity(0)), "load": os.getloadavg()[0]}))
    rounds: dict[str, list[dict[str, object]]] = {store: [] for store in args.stores}
    for at in range(args.rounds):
        for store in args.stores:
            with service(store) as (port, pid):
                found = asyncio.run(piece(port, pid, bodies, args, None))
            servers = [round(resident(one), 1) for one in args.servers]
            rounds[store].append(found)
            print(json.dumps({"round": at, "store": store, **found, "servers": servers}), flush=True)
    medians = {
        store: {name: median(float(str(one[name])) for one in found) for name in TOLD}
        for store, found in rounds.items()
    }
    first = medians[args.stores[0]]
    for store, found in medians.items():
        print(
            json.dumps(
                {"store": store, **found, "to the first": {name: round(found[name] / first[name], 2) for name in TOLD}}
            )
        )


if __name__ == "__main__":
    main()
