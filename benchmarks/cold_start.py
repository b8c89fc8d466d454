"""Measure the time of a process that only imports the package, and of one that answers a question from a store.

    python benchmarks/cold_start.py STORE [--question TEXT] [--rounds 9]

Every round starts a new process of each kind; the first round fills the system's file cache and is not counted. Prints median,
minimum and maximum in seconds, as one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from statistics import median

SEARCH = "from dpr_rag.cli import main; main()"


def seconds(*command: str) -> float:
    """Seconds from the start of a process to its end."""
    settings = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL, env=settings)
    return time.perf_counter() - start


def main() -> None:
    """Run the rounds and print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("--question", default="Who wrote Hamlet?")
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    commands = {
        "python alone": ["-c", "pass"],
        "import dpr_rag": ["-c", "import dpr_rag"],
        "dpr-rag search": ["-c", SEARCH, "search", args.store, args.question],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for round_number in range(args.rounds + 1):
        for name, command in commands.items():
            duration = seconds(*command)
            if round_number:
                times[name].append(duration)
    print(json.dumps({name: [round(f(values), 3) for f in (median, min, max)] for name, values in times.items()}))


if __name__ == "__main__":
    main()
