"""Runs numbered trials in children, so that none can hang or end the run, and remembers which were done."""

from __future__ import annotations

import json
import logging
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

A_CHILD = 100  # trials, so that what grows in a process does not grow for ever
SHOWN = 3
Trial = Callable[[int, Path], Mapping[str, float]]


@dataclass(frozen=True)
class Kind:
    """Trials of one kind.

    Attributes:
        name: By which it is asked for.
        trial: Takes its number and an empty folder beside what was prepared; returns what to count, or raises what is wrong.
        aim: How many of ``unit`` a release is to be tried with.
        prepare: Fills a folder, once a run, with what all trials begin from.
        unit: What of the counts is aimed at.
        seconds: After so long a trial hangs.
    """

    name: str
    trial: Trial
    aim: int
    prepare: Callable[[Path], object] = lambda folder: None
    unit: str = "trials"
    seconds: float = 300


class Ledger:
    """Which trials were done: runs of consecutive numbers by kind, in a file that is whole whenever the process ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs: dict[str, list[dict[str, Any]]] = json.loads(path.read_text("utf-8")) if path.exists() else {}

    def of(self, kind: Kind) -> list[dict[str, Any]]:
        """The runs of a kind, oldest first."""
        return self.runs.setdefault(kind.name, [])

    def begin(self, kind: Kind, first: int | None) -> dict[str, Any]:
        """A new run, after all others where ``first`` does not say."""
        after = max((run["next"] for run in self.of(kind)), default=0)
        start = after if first is None else first
        run: dict[str, Any] = {"commit": commit(), "date": time.strftime("%Y-%m-%d"), "first": start, "next": start}
        run |= {"seconds": 0.0, "counts": {}, "failures": []}
        self.of(kind).append(run)
        return run

    def save(self) -> None:
        """Write it down in one step."""
        self.path.parent.mkdir(exist_ok=True)
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self.runs, indent=1), "utf-8")
        new.replace(self.path)

    def counts(self, kind: Kind) -> Counter[str]:
        """What all runs of a kind counted; what is called a maximum is no sum."""
        found: Counter[str] = Counter()
        for run in self.of(kind):
            for name, count in run["counts"].items():
                found[name] = max(found[name], count) if name.startswith("most ") else found[name] + count
        return found


def commit() -> str:
    """Of the working tree, with a star where it was changed."""
    with suppress(OSError, subprocess.CalledProcessError):
        return subprocess.run(
            ["git", "describe", "--always", "--dirty=*"], capture_output=True, text=True, check=True
        ).stdout.strip()
    return "unknown"


def go_on(kind: Kind, ledger: Ledger, *, minutes: float | None, trials: int | None, first: int | None) -> None:
    """Run trials of a kind from the next number on, until its aim, the time or the number of trials is reached."""
    if first is None and ledger.counts(kind)[kind.unit] >= kind.aim:
        return
    run = ledger.begin(kind, first)
    last = run["first"] + trials if trials else sys.maxsize
    say(f"{kind.name}: from trial {run['first']} on, at {run['commit']}")
    with tempfile.TemporaryDirectory(prefix="prove-") as folder:
        place = Path(folder)
        place.chmod(0o755)
        alone(lambda: kind.prepare(place))
        until = time.monotonic() + 60 * minutes if minutes else float("inf")
        while run["next"] < last and time.monotonic() < until:
            if first is None and ledger.counts(kind)[kind.unit] >= kind.aim:
                break
            _chunk(kind, run, place, min(last, run["next"] + A_CHILD), until)
            ledger.save()
    ledger.save()


def _chunk(kind: Kind, run: dict[str, Any], place: Path, last: int, until: float) -> None:
    """Trials of one child; one that hangs or ends it has failed, and the next chunk begins after it."""
    start, before = time.monotonic(), run["seconds"]
    ours, its = os.pipe()
    if not (pid := os.fork()):
        os.close(ours)
        os.setpgid(0, 0)
        _run(kind, range(run["next"], last), place, its, until)
        os._exit(0)
    with suppress(OSError):  # the child may have done so, or be gone
        os.setpgid(pid, pid)
    os.close(its)
    over = False
    with os.fdopen(ours, "rb", 0) as lines:
        while not over and (line := _line(lines, kind.seconds)):
            told = json.loads(line)
            over = "over" in told
            if not over:
                run["next"] = told["number"] + 1
                run["seconds"] = before + time.monotonic() - start
                _note(kind, run, told)
    if over:
        os.waitpid(pid, 0)
        return
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    wrong = f"hangs for {kind.seconds:g} s" if line is None else f"the process ended with {code}"
    _note(kind, run, {"number": run["next"], "wrong": wrong})
    run["next"] += 1


def _line(lines: Any, seconds: float) -> bytes | None:
    """The next line; empty at the end, None where none comes in time."""
    ready, _, _ = select.select([lines], [], [], seconds)
    return lines.readline() if ready else None


def _run(kind: Kind, numbers: Iterable[int], place: Path, tell: int, until: float) -> None:
    logging.getLogger().addHandler(logging.NullHandler())  # what damage is warned of is no news here
    parent = os.getppid()
    for number in numbers:
        if os.getppid() != parent:
            return  # nobody listens any more
        told: dict[str, Any] = {"number": number}
        own = Path(tempfile.mkdtemp(prefix="trial-", dir=place))
        try:
            told["counts"] = {"trials": 1, **kind.trial(number, own)}
        except BaseException:
            told["wrong"] = traceback.format_exc()
        shutil.rmtree(own, ignore_errors=True)
        os.write(tell, json.dumps(told).encode() + b"\n")
        if time.monotonic() > until:
            break
    os.write(tell, b'{"over": true}\n')


def _note(kind: Kind, run: dict[str, Any], told: Mapping[str, Any]) -> None:
    counts = run["counts"]
    for name, count in (told.get("counts") or {"trials": 1}).items():
        most = name.startswith("most ")
        counts[name] = max(counts.get(name, 0), count) if most else counts.get(name, 0) + count
    if "wrong" in told:
        run["failures"].append({"number": told["number"], "wrong": told["wrong"]})
        say(f"{kind.name}:{told['number']} FAILED\n{told['wrong']}")


def alone(work: Callable[[], object]) -> None:
    """Run something in a child, so that this process never starts threads of libraries."""
    if not (pid := os.fork()):
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise RuntimeError("what all trials begin from could not be made; the error stands above")


def again(kind: Kind, number: int) -> int:
    """One trial in this process, its folder kept."""
    place = Path(tempfile.mkdtemp(prefix=f"prove-{kind.name}-{number}-"))
    place.chmod(0o755)
    kind.prepare(place)
    own = place / "trial"
    own.mkdir()
    say(f"{kind.name}:{number} in {own}")
    say(str(kind.trial(number, own)))
    return 0


def report(kinds: Iterable[Kind], ledger: Ledger) -> int:
    """Say what all runs counted; 1 where a trial failed."""
    failed = 0
    for kind in kinds:
        runs = [run for run in ledger.of(kind) if run["next"] > run["first"]]
        if not runs:
            continue
        counts = ledger.counts(kind)
        numbers = ", ".join(f"{run['first']} to {run['next'] - 1} at {run['commit']} ({run['date']})" for run in runs)
        minutes = sum(run["seconds"] for run in runs) / 60
        told = ", ".join(
            f"{name} {count:,.4g}" if count % 1 else f"{name} {count:,.0f}" for name, count in counts.items()
        )
        say(f"{kind.name}: {counts[kind.unit]:,.0f} of {kind.aim:,} {kind.unit} in {minutes:.1f} minutes: {told}")
        say(f"  numbers {numbers}")
        failures = [one for run in runs for one in run["failures"]]
        failed += len(failures)
        say(f"  failures: {len(failures)}" + "".join(f" {kind.name}:{one['number']}" for one in failures[:SHOWN]))
    return int(failed > 0)


def say(text: str) -> None:
    """A line for who is watching."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
