"""Every writing operation, killed at a random moment or step: what was acknowledged is there, and nothing is there by halves."""

from __future__ import annotations

import os
import random
import select
import shutil
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from test_store_crash import in_child
from trials.running import Kind
from trials.worlds import KEEP_FROM, World, build, holds, passage, seen, tuned

from dpr_rag import PassageStore, Retriever
from dpr_rag.storage.database import Database
from dpr_rag.store import lexicon

COUNT = 60
KINDS = ("auto", "flat", "hnsw", "ivf:nprobe=64", "sq8", "fp16", "IVF4,Flat", "HNSW8,SQ8", None)
STEPS = frozenset(
    {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "os.utime", "shutil.copyfile"}
)
TAKES = {
    **{"add": 100, "delete": 42, "delete by filter": 70, "optimize": 128, "change language": 132, "tune": 9},
    **{"keep records": 32, "backup": 115, "recover": 224, "restore": 277, "reencode": 250, "ask words": 45},
    "fork while writing": 100,
}
"""About so many steps, of which one is drawn to be the last."""
_seconds: dict[str, float] = {}
"""How long an operation took when it was last not killed: a moment of the next one is drawn from it."""


@dataclass
class Work:
    """A store's folder with one operation after another done to it, and all that it may be meanwhile.

    Attributes:
        folder: Of the store; its copies lie beside it.
        worlds: What it is before and after every commit.
        operations: What to call one after another with the open store and a function that acknowledges a commit.
    """

    folder: Path
    worlds: list[World]
    operations: list[tuple[str, int, Callable[[PassageStore, Callable[[], None]], PassageStore | None]]] = field(
        default_factory=list
    )
    fresh: int = 5000

    @property
    def now(self) -> World:
        """After all operations."""
        return self.worlds[-1]

    def commits(self, change: Callable[[World], object]) -> None:
        """A commit follows."""
        world = self.now.copy()
        change(world)
        self.worlds.append(world)


def prepare(folder: Path) -> None:
    """A store, and a copy of another one to restore."""
    build(folder / "store", index="hnsw", count=COUNT)
    build(folder / "other", start=2000, count=20, salt="other")
    with PassageStore.open(folder / "other") as store:
        store.backup(folder / "copy")


# --- operations: each notes what it commits, and returns what to run


def add(work: Work, choose: random.Random) -> Callable[..., None]:
    """New passages, others with another text, and others with other metadata, in several commits."""
    known = list(work.now.oracle.passages.values())
    batch = [passage(work.fresh + at) for at in range(choose.randrange(1, 9))]
    work.fresh += len(batch)
    for old in choose.sample(known, min(len(known), choose.randrange(4))):
        text = choose.choice([old.text, f"text again {work.fresh} {old.id}"])
        batch.append(type(old)(old.id, text, old.title, {**old.metadata, "changed": work.fresh}))
    choose.shuffle(batch)
    size = choose.randrange(1, 6)
    for at in range(0, len(batch), size):
        work.commits(lambda world, at=at: world.add(batch[at : at + size]))

    def run(store: PassageStore, done: Callable[[], None]) -> None:
        store.add(batch, batch_size=size, progress=lambda *_: done())

    return run


def delete(work: Work, choose: random.Random) -> Callable[..., None]:
    """By ids, some of which are unknown."""
    ids = choose.sample([*work.now.oracle.passages, "nowhere", "nobody"], min(6, len(work.now.oracle.passages)))
    work.commits(lambda world: world.oracle.delete(ids))

    def run(store: PassageStore, done: Callable[[], None]) -> None:
        store.delete(ids)
        done()

    return run


def delete_by_filter(work: Work, choose: random.Random) -> Callable[..., None]:
    where = choose.choice(
        [{"rare": {"$lt": 3}}, {"color": "red", "half": 1}, {"title": "title 2"}, {"at": {"$gt": 300}}]
    )
    work.commits(lambda world: world.oracle.delete(world.oracle.where(where)))

    def run(store: PassageStore, done: Callable[[], None]) -> None:
        store.delete(filter=where)
        done()

    return run


def optimize(_work: Work, choose: random.Random) -> Callable[..., None]:
    kind = choose.choice(KINDS)
    return lambda store, _done: store.optimize(kind)


def change_language(work: Work, choose: random.Random) -> Callable[..., None]:
    """What was tuned for another language counts no longer."""
    language = choose.choice(["german", "none", "english"])
    work.commits(lambda world: setattr(world, "language", language))
    return lambda store, _done: store.optimize(language=language)


def tune(work: Work, choose: random.Random) -> Callable[..., None]:
    weight = choose.choice([0.25, 2.0, 8.0])

    def change(world: World) -> None:
        world.weight, world.tuned_for = weight, world.language

    work.commits(change)

    def run(store: PassageStore, done: Callable[[], None]) -> None:
        store.set_tuned(tuned(weight))
        done()

    return run


def keep_records(work: Work, choose: random.Random) -> Callable[..., None]:
    """What adapters keep: two collections in one commit."""
    value = choose.randrange(100)

    def change(world: World) -> None:
        world.records.pop("one", None)
        world.records["three"] = value

    work.commits(change)

    def run(store: PassageStore, done: Callable[[], None]) -> None:
        store.private.write({"notes": {"one": None, "three": value}, "more": {"x": [value]}})
        done()

    return run


def backup(work: Work, _choose: random.Random) -> Callable[..., None]:
    target = work.folder.parent / f"backup-{len(work.worlds) - 1}-{work.fresh}"
    work.fresh += 1
    return lambda store, _done: store.backup(target)


def recover(work: Work, _choose: random.Random) -> Callable[..., None]:
    target = work.folder.parent / f"backup-{len(work.worlds) - 1}-{work.fresh}"
    work.fresh += 1
    return lambda store, _done: PassageStore.recover(store.path, target) and None


def restore(work: Work, _choose: random.Random) -> Callable[..., PassageStore]:
    copy = work.folder.parents[1] / "copy"
    with PassageStore.open(copy, read_only=True) as store:
        other = world_of(store, "other")
    work.worlds.append(other)

    def run(store: PassageStore, done: Callable[[], None]) -> PassageStore:
        path = store.path
        store.close()
        PassageStore.restore(copy, path)
        done()
        return PassageStore.open(path, encoder=other.encoder)

    return run


def reencode(work: Work, choose: random.Random) -> Callable[..., None]:
    """Every vector anew, in many commits that show at once."""
    salt = f"salt {choose.randrange(1000)}"

    def change(world: World) -> None:
        world.salt, world.weight = salt, None  # what was tuned counts no longer
        for one, held in world.oracle.passages.items():
            world.oracle.vectors[one] = world.encoder.encode_passages([held])[0]

    work.commits(change)
    encoder, size = work.now.encoder, choose.randrange(7, 40)

    def run(store: PassageStore, done: Callable[[], None]) -> None:
        store.reencode(encoder, batch_size=size)
        done()

    return run


def ask_words(_work: Work, _choose: random.Random) -> Callable[..., None]:
    """The first question in words writes postings."""
    return lambda store, _done: Retriever(store, mode="bm25").retrieve("text number") and None


def fork_while_writing(work: Work, choose: random.Random) -> Callable[..., None]:
    """Children are forked while a thread adds; they look into the store and end."""
    writes = add(work, choose)

    def look(store: PassageStore) -> None:
        with suppress(Exception):  # a child of a thread's transaction may be told that it cannot
            len(store)

    def run(store: PassageStore, done: Callable[[], None]) -> None:
        thread = threading.Thread(target=writes, args=(store, done))
        thread.start()
        children = [in_child(lambda: look(store)) for _ in range(3)]
        thread.join()
        for child in children:
            os.waitpid(child, 0)

    return run


OPERATIONS = {
    "add": add,
    "delete": delete,
    "delete by filter": delete_by_filter,
    "optimize": optimize,
    "change language": change_language,
    "tune": tune,
    "keep records": keep_records,
    "backup": backup,
    "recover": recover,
    "restore": restore,
    "reencode": reencode,
    "ask words": ask_words,
    "fork while writing": fork_while_writing,
}


def world_of(store: PassageStore, salt: str) -> World:
    """A world read off a store that is whole."""
    world = World(salt)
    for passages, vectors in store.batches():
        world.oracle.add(passages, vectors)
    world.records = store.private.read("notes")
    found = store.tuned
    world.weight = None if found is None else found.weight
    return world


def plan(folder: Path, choose: random.Random) -> Work:
    """A store of its own, or none yet, and one to three operations."""
    place = folder / "store"
    if choose.random() < 0.15:
        work = Work(place, [World(filled=False)])
    else:
        shutil.copytree(folder.parent / "store", place)
        with PassageStore.open(place, read_only=True) as store:
            work = Work(place, [world_of(store, "")])
    for name in choose.choices(list(OPERATIONS), k=choose.randrange(1, 4)):
        run = OPERATIONS[name](work, choose)
        work.operations.append((name, len(work.worlds) - 1, run))
    return work


# --- the process that is killed


class Steps:
    """Counts this process's statements of SQLite and calls that touch files; at the one that is fatal, it ends the process."""

    def __init__(self) -> None:
        self.count, self.fatal = 0, -1
        connect = Database._connect

        def traced(database: Database) -> sqlite3.Connection:
            connection = connect(database)
            connection.set_trace_callback(self.one_more)
            return connection

        Database._connect = traced  # type: ignore[method-assign]  # of this process alone
        sys.addaudithook(lambda event, _: self.one_more() if event in STEPS else None)

    def one_more(self, *_: object) -> None:
        """Count; it may be the last."""
        self.count += 1
        if self.count == self.fatal:
            os.killpg(0, signal.SIGKILL)


def act(work: Work, tell: int, fatal: int, step: int) -> None:
    """Do everything, telling each commit; the operation of the number ``fatal`` is the last, and not to end."""
    os.setpgid(0, 0)
    lexicon.MIN_PASSAGES_TO_WRITE = KEEP_FROM
    steps = Steps()

    def say(text: str) -> None:
        os.write(tell, f"{text}\n".encode())

    store = PassageStore.open(work.folder, encoder=work.worlds[0].encoder)
    for at, (name, _, run) in enumerate(work.operations[: fatal + 1]):
        say(f"begin {at}")
        start, before = time.monotonic(), steps.count
        if at == fatal:
            steps.fatal = before + step
        store = run(store, lambda: say("commit")) or store
        say(f"end {at} {steps.count - before} {time.monotonic() - start} {name}")
    store.close()


def kill(number: int, folder: Path) -> dict[str, float]:
    """Run a plan in a process, kill it in one of the operations, and look at what it left."""
    lexicon.MIN_PASSAGES_TO_WRITE = KEEP_FROM
    choose = random.Random(f"kill {number}")
    work = plan(folder, choose)
    fatal = choose.randrange(len(work.operations))
    name = work.operations[fatal][0]
    by_step, share = choose.random() < 0.6, choose.random()
    step = 1 + int(share * TAKES[name]) if by_step else sys.maxsize
    told, tell = os.pipe()
    pid = in_child(lambda: act(work, tell, fatal, step))
    os.close(tell)
    with suppress(OSError):
        os.setpgid(pid, pid)
    acknowledged = 0
    with os.fdopen(told, "rb", 0) as lines:
        wait: float | None = None
        while True:
            ready, _, _ = select.select([lines], [], [], wait)
            if not ready:
                os.killpg(pid, signal.SIGKILL)
                wait = None
                continue
            if not (line := lines.readline().decode()):
                break
            if line.startswith("commit"):
                acknowledged += 1
            elif line.startswith("end"):
                at, _, seconds, ended = line.split(maxsplit=4)[1:]
                acknowledged = work.operations[int(at)][1]
                _seconds[ended.strip()] = float(seconds)
            elif int(line.split()[1]) == fatal and not by_step:
                wait = share * _seconds.get(name, 0.05)
    _, status = os.waitpid(pid, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert killed or status == 0, f"{name}: the process ended with {os.waitstatus_to_exitcode(status)}"
    _look(work, acknowledged, choose, killed=killed, done=work.operations[fatal][1])
    return {"killed": int(killed), f"killed in {name}": int(killed), "ended before": int(not killed)}


def _look(work: Work, acknowledged: int, choose: random.Random, *, killed: bool, done: int) -> None:
    """The store is what was acknowledged, or one commit further; it is whole, and can be used."""
    may_be = range(acknowledged, min(acknowledged + 2, len(work.worlds)) if killed else done + 1)
    assert killed or acknowledged == done
    if not (work.folder / "passages.sqlite").exists():
        assert killed, "there is no store"
        assert work.worlds[0].seen() == World().seen(), "the store is gone"
        return
    with PassageStore.open(work.folder, read_only=choose.random() < 0.3) as store:
        found = seen(store)
        if not any(found == work.worlds[at].seen() for at in may_be):
            near = [at for at, world in enumerate(work.worlds) if world.seen() == found]
            raise AssertionError(
                f"{[name for name, *_ in work.operations]}: expected a state of {may_be}, found {near}"
            )
        world = next(work.worlds[at] for at in may_be if work.worlds[at].seen() == found).copy()
        assert store.check().passages == len(world.oracle.passages)
        if world.oracle.passages:
            holds(store, world)
        if not store.info().fingerprint:
            world.weight = None  # tuned before anything was there, for no encoder
    _look_at_copies(work)
    with PassageStore.open(work.folder, encoder=world.encoder) as store:
        more = [passage(9000), passage(9001)]
        store.add(more)
        world.add(more)
        store.optimize()
        assert seen(store) == world.seen()
        holds(store, world)
        store.backup(work.folder.parent / "last backup")
        named = {one["directory"] for one in (store._engine.state().base, store._engine.state().lexical) if one}
        left = {one.name for one in (work.folder / "index").iterdir()}
        assert left == named, f"the index folder keeps {left - named}"
        for left in work.folder.parent.glob(
            "*.partial-*"
        ):  # a copy that was killed; the next one of its name clears up
            again = left.with_name(left.name.partition(".partial-")[0])
            shutil.rmtree(again, ignore_errors=True)  # an earlier one may have been whole
            store.backup(again)
            assert not left.exists(), f"{left.name} is left"
            shutil.rmtree(again)


def _look_at_copies(work: Work) -> None:
    """A backup or what was recovered is there as a whole, or not at all."""
    for copy in sorted(work.folder.parent.glob("backup-*-*")):
        if ".partial-" in copy.name:
            continue
        at = int(copy.name.split("-")[1])
        with PassageStore.open(copy, read_only=True, create=False) as store:
            assert seen(store) == work.worlds[at].seen(), f"{copy.name} is another store"
            store.check()


KILL = Kind("kill", kill, 3000, prepare, unit="killed")
