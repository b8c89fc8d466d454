"""Measure ``dpr-rag serve`` under load on the loopback, with batches and without, and at twice its capacity.

    python benchmarks/service.py STORE QUESTIONS.jsonl [--callers 64] [--seconds 600] [--first-seconds 60] [--rounds 1]

Three pieces, each against a new service that is warmed up first, and printed as one JSON line:

* ``alone``: 64 callers, each of whom asks again as soon as it is answered; the service encodes question by question.
* ``batched``: the same callers; the service encodes waiting questions together.
* ``twice``: questions come evenly, twice as many a second as ``batched`` answered, whether answers come or not.

Every answer is compared with the first one to the same question, and every question gets one answer: 200, or 429 where too many
are waiting; anything else counts as lost. ``memory`` is the service's resident set in MiB, once a second: at the start, the
medians of the first and of the last fifth, and the maximum. The callers are one process, which takes its part of the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median

import numpy as np

SERVE = "from dpr_rag.cli import main; main()"
WARM = 200
IDLE = 3.0  # seconds; the service closes a connection that is idle for 5
HEAD = "POST /v1/retrieve HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n"


@dataclass
class Seen:
    """The responses that callers received."""

    statuses: Counter[int | str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    answers: dict[int, bytes] = field(default_factory=dict)
    others: int = 0

    def add(self, question: int, status: int, body: bytes, seconds: float) -> None:
        self.statuses[status] += 1
        if status == 200:
            self.waits.append(seconds)
            self.others += self.answers.setdefault(question, body) != body


class Callers:
    """Connections that are kept open, and questions in turn; far cheaper than a client library."""

    def __init__(self, port: int, bodies: list[bytes]) -> None:
        self.port, self.bodies, self.turn = port, bodies, count()
        self.idle: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, responses: Seen) -> None:
        number = next(self.turn) % len(self.bodies)
        start = time.perf_counter()
        try:
            status, body = await asyncio.wait_for(self._post(self.bodies[number]), 120)
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            responses.statuses[type(error).__name__] += 1
        else:
            responses.add(number, status, body, time.perf_counter() - start)

    async def _post(self, body: bytes) -> tuple[int, bytes]:
        reader, writer = await self._connection()
        writer.write(HEAD.format(len(body)).encode() + body)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        answer = await reader.readexactly(int(length.group(1)) if length else 0)
        self.idle.append((time.monotonic(), reader, writer))
        return int(head[9:12]), answer

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self.idle:
            idle_since, reader, writer = self.idle.pop()
            if time.monotonic() - idle_since < IDLE:
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def again_and_again(self, callers: int, seconds: float) -> Seen:
        responses, end = Seen(), time.perf_counter() + seconds

        async def caller() -> None:
            while time.perf_counter() < end:
                await self.ask(responses)

        await asyncio.gather(*(caller() for _ in range(callers)))
        return responses

    async def evenly(self, rate: float, seconds: float) -> Seen:
        responses, start, tasks = Seen(), time.perf_counter(), set()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
            task = asyncio.create_task(self.ask(responses))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
        return responses


@contextmanager
def service(store: str, *options: str) -> Iterator[tuple[int, int]]:
    """Run a service; yields its port and the id of its process."""
    command = [sys.executable, "-c", SERVE, "serve", store, "--port", "0", *options]
    environment = {name: value for name, value in os.environ.items() if name != "DPR_RAG_TOKEN"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        port = re.search(r":(\d+) ", process.stdout.readline())
        assert port is not None
        yield int(port.group(1)), process.pid
        process.terminate()
        assert process.wait(120) == 0


def resident(pid: int) -> float:
    """Resident memory of a process in MiB; Linux only."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def processor_seconds(pid: int) -> float:
    """Seconds of processor time of all threads of a process; Linux only."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def watched(pid: int, memory: list[float]) -> None:
    while True:
        memory.append(resident(pid))
        await asyncio.sleep(1)


async def piece(
    port: int, pid: int, bodies: list[bytes], args: argparse.Namespace, rate: float | None
) -> dict[str, object]:
    seconds = args.seconds if rate is not None or args.first_seconds is None else args.first_seconds
    callers, memory = Callers(port, bodies), []
    warm_up = Seen()
    for _ in range(0, WARM, 8):
        await asyncio.gather(*(callers.ask(warm_up) for _ in range(8)))
    watcher = asyncio.create_task(watched(pid, memory))
    start, cpu_seconds = time.perf_counter(), processor_seconds(pid)
    if rate is None:
        responses = await callers.again_and_again(args.callers, seconds)
    else:
        responses = await callers.evenly(rate, seconds)
    elapsed = time.perf_counter() - start
    cpu_seconds = processor_seconds(pid) - cpu_seconds
    watcher.cancel()
    for _, _, writer in callers.idle:
        writer.close()
    p50, p99 = np.percentile(responses.waits, (50, 99)) * 1000
    fifth = max(1, len(memory) // 5)
    total = sum(responses.statuses.values())
    return {
        "asked": total,
        "answered": responses.statuses[200],
        "refused": responses.statuses[429],
        "lost": total - responses.statuses[200] - responses.statuses[429],
        "statuses": {str(key): value for key, value in responses.statuses.items()},
        "other answers": responses.others,
        "questions/s": round(responses.statuses[200] / elapsed, 1),
        "CPU ms a question": round(cpu_seconds / max(1, responses.statuses[200]) * 1000, 1),
        "p50 ms": round(float(p50), 1),
        "p99 ms": round(float(p99), 1),
        "memory": [round(mib, 1) for mib in (memory[0], median(memory[:fifth]), median(memory[-fifth:]), max(memory))],
    }


def processor() -> str:
    """The CPU's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def main() -> None:
    """Run the pieces and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", help="a folder or an address")
    parser.add_argument("questions", type=Path)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--first-seconds", type=float, help="of the first two pieces (default: as --seconds)")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--waiting", default="512")
    parser.add_argument("--pause", default="2")
    args = parser.parse_args()
    questions = [json.loads(line)["question"] for line in args.questions.read_text("utf-8").splitlines()]
    bodies = [json.dumps({"questions": question, "k": 10}).encode() for question in questions]
    print(json.dumps({"cpu": processor(), "cores": len(os.sched_getaffinity(0)), "load": os.getloadavg()[0]}))
    common = ("--waiting", args.waiting)
    for round_number in range(args.rounds):
        capacity = 0.0
        for name in ("alone", "batched", "twice"):
            options = ("--batch", "1", "--pause", "0") if name == "alone" else ("--pause", args.pause)
            with service(args.store, *common, *options) as (port, pid):
                figures = asyncio.run(piece(port, pid, bodies, args, 2 * capacity if name == "twice" else None))
            capacity = float(str(figures["questions/s"]))
            print(json.dumps({"round": round_number, "piece": name, **figures}), flush=True)


if __name__ == "__main__":
    main()
