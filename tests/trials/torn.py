"""Logs that are cut off or damaged: the store is what one of its commits left, or says that it is damaged."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path

from test_store_crash import in_child
from trials.crash import Work as Chain
from trials.crash import add, delete, delete_by_filter, keep_records, tune
from trials.fuzz import REFUSALS, _extend, _flip, _noise, _swap_blocks, _zero
from trials.running import Kind
from trials.worlds import KEEP_FROM, World, build, holds, seen

from dpr_rag import PassageStore
from dpr_rag.store import lexicon

SOURCES = 4
COMMITS = 25
LOG = "passages.sqlite-wal"
CUTS = ("cut off", "cut off at a frame", "cut off and filled")
"""What a machine leaves that loses its power: the end of the log is missing, or was never written."""


def chain(number: int, folder: Path) -> Chain:
    """The same commits for the same number."""
    choose = random.Random(f"chain {number}")
    world = World()
    for one in build_world().oracle.passages.values():
        world.oracle.add([one], build_world().oracle.vectors[one.id][None])
    world.records, world.weight = dict(build_world().records), build_world().weight
    work = Chain(folder, [world])
    while len(work.worlds) < COMMITS:
        operation = choose.choice([add, add, add, delete, delete_by_filter, tune, keep_records])
        run = operation(work, choose)
        work.operations.append((operation.__name__, len(work.worlds) - 1, run))
    return work


@cache
def build_world() -> World:
    """What every chain begins with."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return build(Path(folder) / "store", index="flat", count=40)


def prepare(folder: Path) -> None:
    """Stores of killed processes, each with a log of many commits; every second one was written back in between."""
    build(folder / "start", index="flat", count=40)
    for number in range(SOURCES):
        shutil.copytree(folder / "start", folder / str(number))
        work = chain(number, folder / str(number))
        pid = in_child(lambda work=work, number=number: write(work, number))
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status), f"chain {number} could not be written"
        assert (folder / str(number) / LOG).stat().st_size


def write(work: Chain, number: int) -> None:
    """All commits of a chain, and then the end."""
    lexicon.MIN_PASSAGES_TO_WRITE = KEEP_FROM
    store = PassageStore.open(work.folder, encoder=World().encoder)
    for at, (_, _, run) in enumerate(work.operations):
        run(store, lambda: None)
        if number % 2 and at == len(work.operations) // 2:
            store.optimize("hnsw")
        if number % 4 == 1 and at == len(work.operations) * 2 // 3:
            with store._engine.database.reading() as connection:
                connection.execute("COMMIT")
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
                connection.execute("BEGIN")
    assert seen(store) == work.now.seen()
    os.kill(os.getpid(), signal.SIGKILL)


def torn(number: int, place: Path) -> dict[str, float]:
    """Damage one log and open the store."""
    lexicon.MIN_PASSAGES_TO_WRITE = KEEP_FROM
    choose = random.Random(f"torn {number}")
    which = choose.randrange(SOURCES)
    folder = shutil.copytree(place.parent / str(which), place / "store")
    worlds = worlds_of(which)
    how = choose.choice(list(DAMAGES))
    data = bytearray((folder / LOG).read_bytes())
    DAMAGES[how](data, choose)
    (folder / LOG).write_bytes(data)
    if choose.random() < 0.5:
        (folder / "passages.sqlite-shm").unlink(missing_ok=True)
    refusal = ""
    try:
        with PassageStore.open(folder, encoder=World().encoder, read_only=choose.random() < 0.3) as store:
            found = seen(store)
            at = [at for at, world in enumerate(worlds) if world.seen() == found]
            assert at, f"{how}: the store is none that there was"
            holds(store, worlds[at[-1]])
        with PassageStore.open(folder) as store:
            store.optimize()  # the postings or the index of an earlier commit may have been removed since
            store.check()
            holds(store, worlds[at[-1]])
    except REFUSALS as error:
        refusal = str(error)
    if refusal:
        assert how not in CUTS or which % 4 == 1, f"{how}: a log without its end is none that is damaged: {refusal}"
        return {how: 1, "refused": 1}
    return {how: 1, "right": 1, "the last commit": int(at[-1] == len(worlds) - 1)}


@cache
def worlds_of(number: int) -> list[World]:
    """The states of a chain."""
    return chain(number, Path()).worlds


def _cut(data: bytearray, choose: random.Random) -> None:
    del data[choose.randrange(len(data) + 1) :]


def _cut_at_frame(data: bytearray, choose: random.Random) -> None:
    size = int.from_bytes(data[8:12], "big") + 24  # https://sqlite.org/fileformat2.html, section 4.1
    del data[32 + size * choose.randrange((len(data) - 32) // size + 1) :]


def _cut_and_filled(data: bytearray, choose: random.Random) -> None:
    at = choose.randrange(len(data))
    data[at:] = choose.choice([bytes, choose.randbytes])(len(data) - at)


DAMAGES: dict[str, Callable[[bytearray, random.Random], object]] = {
    "cut off": _cut,
    "cut off at a frame": _cut_at_frame,
    "cut off and filled": _cut_and_filled,
    "bits flipped": _flip,
    "block zeroed": _zero,
    "noise in a block": _noise,
    "blocks swapped": _swap_blocks,
    "extended": _extend,
}
TORN = Kind("torn", torn, 10_000, prepare)
