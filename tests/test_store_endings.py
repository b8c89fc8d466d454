"""How a program may end or be interrupted with a store open: nothing acknowledged is lost, and nothing hangs."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import HashEncoder, make_passages

from dpr_rag import Passage, PassageStore, Retriever

SCRIPT = """
import os, signal, sys, threading
sys.path.insert(0, sys.argv[2])
from conftest import HashEncoder, make_passages
from dpr_rag import PassageStore, Retriever
store = PassageStore.open(sys.argv[1], encoder=HashEncoder())
store.add(make_passages(60))
store.optimize("hnsw")
store.add(make_passages(5, 100))
Retriever(store, mode="hybrid").retrieve("text number 7")
def search():
    while True:
        Retriever(store).retrieve("text number 7")
thread = threading.Thread(target=search, daemon=True)
{how}
"""
ENDINGS = {
    "end of the script": ("", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "a thread searches": ("thread.start()", 0),
    "an error": ("raise KeyError('x')", 1),
    "inside a transaction": ("with store._engine.writing() as writer:\n    writer.remove([1, 2]); sys.exit(4)", 4),
    "os._exit in a transaction": ("with store._engine.writing() as writer:\n    writer.remove([1, 2]); os._exit(5)", 5),
    "SIGTERM": ("thread.start(); os.kill(os.getpid(), signal.SIGTERM); threading.Event().wait()", -signal.SIGTERM),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_a_program_that_ends_with_a_store_open_loses_nothing(name: str, tmp_path: Path) -> None:
    how, code = ENDINGS[name]
    command = [sys.executable, "-c", SCRIPT.format(how=how), str(tmp_path / "store"), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert ("KeyError: 'x'" in done.stderr) if name == "an error" else (done.stderr == "")
    with PassageStore.open(tmp_path / "store", encoder=HashEncoder(), timeout=0) as store:
        assert [int(passage.id) for passage in store] == [*range(60), *range(100, 105)]
        assert store.check().passages == 65
        store.add(make_passages(1, 200))


INTERRUPTED = """
import random, signal, sys
sys.path.insert(0, sys.argv[2])
import numpy as np
from conftest import HashEncoder, make_passages
from dpr_rag import PassageStore, Retriever
def interrupt(_number, _frame):
    raise KeyboardInterrupt
choose, interrupted = random.Random(2), 0
signal.signal(signal.SIGALRM, interrupt)
with PassageStore.open(sys.argv[1], encoder=HashEncoder()) as store:
    for trial in range(60):
        known = len(store) // 5
        try:
            signal.setitimer(signal.ITIMER_REAL, choose.uniform(0.0005, 0.03))
            store.add(make_passages(20, trial * 20), batch_size=5)
            Retriever(store, mode="bm25").retrieve("text number")
            store.optimize()
            signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            interrupted += 1
        ids = [int(passage.id) for passage in store]
        batches = [ids[at : at + 5] for at in range(0, len(ids), 5)]
        assert all(batch == list(range(batch[0], batch[0] + 5)) for batch in batches), "a torn batch"
        assert known <= len(ids) // 5 <= known + 4
    assert store.check().passages == len(ids)
    found = store.search(np.ones((1, 16)), 2000)[0]
    assert sorted(int(hit.passage.id) for hit in found) == sorted(ids)
sys.stdout.write(str(interrupted))
"""


def test_ctrl_c_at_any_moment_leaves_whole_batches_and_a_store_that_goes_on(tmp_path: Path) -> None:
    """In a process of its own: an interrupt may come inside of what traces this one, which holds locks."""
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path / "store"), str(Path(__file__).parent)]
    own = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=own)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20


class SlowEncoder(HashEncoder):
    """Takes a while, and says when it has begun."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()

    def encode_passages(self, passages: list[Passage]) -> np.ndarray:
        self.begun.set()
        time.sleep(0.2)
        return super().encode_passages(passages)

    def encode_questions(self, questions: list[str]) -> np.ndarray:
        self.begun.set()
        time.sleep(0.1)
        return super().encode_questions(questions)


async def test_cancelled_tasks_leave_the_store_as_their_threads_do(tmp_path: Path) -> None:
    encoder = SlowEncoder()
    with PassageStore.open(tmp_path / "store", encoder=encoder) as store:
        store.add(make_passages(30))
        for at in range(3):
            encoder.begun.clear()
            adding = asyncio.create_task(asyncio.to_thread(store.add, make_passages(5, 100 + 5 * at)))
            asking = asyncio.create_task(asyncio.to_thread(Retriever(store).retrieve, "text number 7"))
            await asyncio.to_thread(encoder.begun.wait, 30)
            adding.cancel()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await adding
            with pytest.raises(asyncio.CancelledError):
                await asking
            hits = await asyncio.to_thread(Retriever(store).retrieve, "text number 7 title 0")
            assert hits[0].passage.id == "7"
        for _ in range(300):  # what was begun goes on in its thread, and is whole
            if len(store) == 45:
                break
            await asyncio.sleep(0.1)
        ids = [int(passage.id) for passage in store]
        assert ids[:30] == [*range(30)]
        # each call's are together, and which thread came first is not said
        assert sorted(ids[at : at + 5] for at in (30, 35, 40)) == [[*range(at, at + 5)] for at in (100, 105, 110)]
        assert store.check().passages == 45
