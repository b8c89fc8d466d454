"""Compare ``dpr-rag serve`` over a store in a folder and over an engine, in turn, on the loopback.

    python benchmarks/engines.py QUESTIONS.jsonl STORE STORE… [--callers 64] [--seconds 60] [--rounds 3] [--mode dense]
        [--servers PID,PID]

A STORE is a folder or an address that ``serve`` takes; ``dpr-rag copy`` fills one from the other. Every round starts a service
on each store in turn; every caller sends its next question when the last one is answered. Prints one JSON line a store and
round, as ``service.py`` does, then one a store with the medians of the rounds and their ratios to the first store.
``--servers`` names the processes of the engine, whose resident memory in MiB is printed beside that of the service.
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
    parser.add_argument("--servers", type=lambda text: [int(pid) for pid in text.split(",")], default=[])
    args = parser.parse_args()
    args.first_seconds = None
    questions = [json.loads(line)["question"] for line in args.questions.read_text("utf-8").splitlines()]
    bodies = [json.dumps({"questions": question, "k": 10, "mode": args.mode}).encode() for question in questions]
    print(json.dumps({"cpu": processor(), "cores": len(os.sched_getaffinity(0)), "load": os.getloadavg()[0]}))
    rounds: dict[str, list[dict[str, object]]] = {store: [] for store in args.stores}
    for round_number in range(args.rounds):
        for store in args.stores:
            with service(store) as (port, pid):
                row = asyncio.run(piece(port, pid, bodies, args, None))
            servers = [round(resident(server), 1) for server in args.servers]
            rounds[store].append(row)
            print(json.dumps({"round": round_number, "store": store, **row, "servers": servers}), flush=True)
    medians = {
        store: {name: median(float(str(row[name])) for row in rows) for name in TOLD} for store, rows in rounds.items()
    }
    first = medians[args.stores[0]]
    for store, row in medians.items():
        print(
            json.dumps(
                {"store": store, **row, "to the first": {name: round(row[name] / first[name], 2) for name in TOLD}}
            )
        )


if __name__ == "__main__":
    main()
