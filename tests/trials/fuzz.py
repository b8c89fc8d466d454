"""Damaged files of every kind: an error that says so, or the right answer; never a wrong hit, never a crash, never for ever."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from conftest import HashEncoder
from trials.running import Kind
from trials.worlds import KEEP_FROM, Ask, asks, build, holds, passage

from dpr_rag import PassageStore
from dpr_rag.errors import NotAStoreError, StoreCorrupted, StoreFormatError, StoreNotFoundError
from dpr_rag.store import lexicon

INDEXES = ("flat", "hnsw", "fp16", "ivf-sq8:nprobe=64")
DATABASE = "passages.sqlite"
REFUSALS = (StoreCorrupted, StoreFormatError, NotAStoreError, StoreNotFoundError)
"""What opening or asking a damaged store may raise; each is documented to mean that it cannot be trusted."""
COUNT = 120
ASKED = 6
Answers = dict[str, Any]


def prepare(folder: Path) -> None:
    """For each index a store, the same one some commits before, and a stranger; each closed, and with its log."""
    for index in INDEXES:
        home = folder / index.partition(":")[0]
        home.mkdir()
        world = build(home / "own", index=index)
        shutil.copytree(home / "own", home / "earlier")
        with PassageStore.open(home / "own", encoder=HashEncoder()) as store:
            changed = [passage(at, 2) for at in range(2, COUNT, 25)]
            store.add(changed)
            world.add(changed)
            shutil.copytree(home / "own", home / "between")
            store.delete(["p3", "p40", "p905"])
            world.oracle.delete(["p3", "p40", "p905"])
            holds(store, world, exact=True)
            shutil.copytree(home / "own", home / "own with a log")
            holds(store, world, exact=True)
        build(home / "other", index=index, start=1000)


def damage(number: int, place: Path) -> dict[str, float]:
    """Damage one thing in a copy of a store and ask it everything that chance chooses."""
    lexicon.MIN_PASSAGES_TO_WRITE = KEEP_FROM
    choose = random.Random(f"damage {number}")
    home = place.parent / choose.choice(INDEXES).partition(":")[0]
    own = choose.choice(["own", "own", "own with a log"])
    store = shutil.copytree(home / own, place / "store")
    how = choose.choice(list(DAMAGES))
    before = _log(store)
    DAMAGES[how](store, home, choose)
    # what a log has lost of its end, SQLite takes for what was never committed
    others = MAY_BE.get(how, ("earlier", "between") if _log(store) != before else ())
    questions = asks(0, COUNT)
    chosen = choose.sample(sorted(questions), ASKED)
    allowed = [{one: right(home / name, one) for one in chosen} for name in ("own", *others)]
    told: Counter[str] = Counter({how: 1})
    found = answered(store, {one: questions[one] for one in chosen}, apart=choose.random() < 0.5)
    _judge(found, allowed, how)
    told["refused" if any(isinstance(one, Exception) for one in found.values()) else "right"] += 1
    proved = answered(store, {"check": lambda opened: opened.check().passages}, apart=True)["check"]
    _hold_against(proved, found, allowed, how)
    if choose.random() < 0.3:
        _mended(store, questions, chosen, allowed, how)
    if choose.random() < 0.1 and not others:
        _recovered(store, home, place)
    return told


def _log(store: Path) -> bytes:
    log = store / f"{DATABASE}-wal"
    return log.read_bytes() if log.exists() else b""


@cache
def right(path: Path, question: str) -> object:
    """What the intact store says, which was held against brute force when it was made."""
    with PassageStore.open(path, encoder=HashEncoder(), read_only=True) as store:
        return asks(0, COUNT)[question](store)


def answered(path: Path, questions: dict[str, Ask], *, apart: bool) -> Answers:
    """Every answer of a store opened for it alone, or for all; an error that says so is an answer of its own."""
    found: Answers = {}
    remaining = dict(questions)
    while remaining:
        try:
            with PassageStore.open(path, encoder=HashEncoder(), create=False) as store:
                for name in list(remaining)[: 1 if apart else None]:
                    ask = remaining.pop(name)
                    try:
                        found[name] = ask(store)
                    except REFUSALS as error:
                        found[name] = error
        except REFUSALS as error:
            return found | dict.fromkeys(remaining, error)
    return found


def _judge(found: Answers, allowed: list[Answers], how: str) -> None:
    """One store it must be, in every answer that is none of the refusals."""
    given = {name: value for name, value in found.items() if not isinstance(value, Exception)}
    if how in STALE:
        return  # each of its rows is whole, of another moment: that is check()'s to find
    if not any(all(value == one[name] for name, value in given.items()) for one in allowed):
        wrong = [
            f"{name}: {_brief(value)} INSTEAD OF {_brief(allowed[-1][name])}"
            for name, value in given.items()
            if value != allowed[-1][name]
        ]
        raise AssertionError(f"{how}: wrong answers, in silence, to {len(wrong)} questions: " + " AND ".join(wrong))


def _brief(value: object) -> str:
    """Ids in place of passages."""
    return re.sub(r"Passage\(id=('\w+').*?}\)", r"\1", repr(value))[:600]


def _hold_against(proved: object, found: Answers, allowed: list[Answers], how: str) -> None:
    """What check() calls whole gives all answers, and right ones."""
    if isinstance(proved, Exception):
        return
    refused = {name: str(value) for name, value in found.items() if isinstance(value, Exception)}
    assert not refused, f"{how}: check() found nothing, but there is damage: {refused}"
    assert any(found == one for one in allowed), f"{how}: check() found nothing, but answers are wrong: {list(found)}"


def _mended(store: Path, questions: dict[str, Ask], chosen: list[str], allowed: list[Answers], how: str) -> None:
    """After optimize() as before it: right, or refused. An exact index, as another one has not been held against brute force."""
    built = answered(store, {"optimize": lambda opened: opened.optimize("flat")}, apart=True)["optimize"]
    after = answered(store, {one: questions[one] for one in chosen if one != "sample"}, apart=False)
    _judge(after, allowed, f"{how}, then optimize()")
    if built is None and how not in STALE:
        refused = {name: str(value) for name, value in after.items() if isinstance(value, Exception)}
        proved = answered(store, {"check": lambda opened: opened.check().passages}, apart=True)["check"]
        assert not refused or isinstance(proved, Exception), f"{how}, then optimize(): {refused}"


def _recovered(store: Path, home: Path, place: Path) -> None:
    """What comes out of a damaged store was in it, with the same vectors."""
    try:
        PassageStore.recover(store, place / "recovered")
    except REFUSALS:
        return
    with PassageStore.open(home / "own", read_only=True) as intact, PassageStore.open(place / "recovered") as out:
        every = {one.id: one for one in intact}
        assert [one for one in out if every.get(one.id) != one] == [], "recover() brought what was not there"
        vectors = intact.get_vectors(list(every))
        assert all((vector == vectors[one]).all() for one, vector in out.get_vectors(list(every)).items())
        assert out.check().passages == len(out)


# --- damages: each takes the store's folder, the folder of the others, and chance


def _file(folder: Path, choose: random.Random) -> Path:
    """A file that has something in it: every second time the truth or its log, else what is derived."""
    files = sorted(one for one in folder.rglob("*") if one.is_file() and one.stat().st_size)
    truth = [one for one in files if one.name.startswith(DATABASE)]
    return choose.choice(truth if choose.random() < 0.5 else files)


def _in_place(change: Callable[[bytearray, random.Random], object]) -> Callable[[Path, Path, random.Random], None]:
    def damaged(store: Path, _home: Path, choose: random.Random) -> None:
        file = _file(store, choose)
        data = bytearray(file.read_bytes())
        change(data, choose)
        file.write_bytes(data)

    return damaged


def _flip(data: bytearray, choose: random.Random) -> None:
    for _ in range(choose.choice([1, 1, 1, 2, 8])):
        data[choose.randrange(len(data))] ^= 1 << choose.randrange(8)


def _block(data: bytearray, choose: random.Random) -> slice:
    size = choose.choice([1, 8, 64, 512, 4096, 65536])
    start = choose.randrange(len(data)) // size * size
    return slice(start, min(start + size, len(data)))


def _zero(data: bytearray, choose: random.Random) -> None:
    at = _block(data, choose)
    data[at] = bytes(at.stop - at.start)


def _noise(data: bytearray, choose: random.Random) -> None:
    at = _block(data, choose)
    data[at] = choose.randbytes(at.stop - at.start)


def _shorten(data: bytearray, choose: random.Random) -> None:
    del data[choose.choice([choose.randrange(len(data)), len(data) // 4096 // 2 * 4096, len(data) - 1]) :]


def _extend(data: bytearray, choose: random.Random) -> None:
    size = choose.choice([1, 8, 512, 4096])
    data += choose.choice([bytes(size), choose.randbytes(size), bytes(data[-size:])])


def _swap_blocks(data: bytearray, choose: random.Random) -> None:
    size = choose.choice([4, 8, 64, 512, 4096])
    places = range(0, len(data) - size + 1, size)
    if len(places) > 1:
        one, other = choose.sample(places, 2)
        data[one : one + size], data[other : other + size] = data[other : other + size], data[one : one + size]


def _shift(data: bytearray, choose: random.Random) -> None:
    at = choose.randrange(len(data))
    if choose.random() < 0.5:
        data[at:at] = choose.randbytes(1)
    else:
        del data[at]


def _swap_within(store: Path, _home: Path, choose: random.Random) -> None:
    """Two files of the store, each in the other's place."""
    files = sorted(one for one in store.rglob("*") if one.is_file())
    one, other = choose.sample(files, 2)
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)


def _counterpart(file: Path, store: Path, other: Path) -> Path | None:
    """The other store's file of the same part, whatever its folder is called."""
    parts = file.relative_to(store).parts
    if len(parts) < 3:
        found = other.joinpath(*parts)
        return found if found.is_file() else None
    kind = parts[1].partition("-")[0]
    return next(iter(sorted(other.glob(f"index/{kind}-*/{parts[2]}"))), None)


def _from(name: str, *, derived: bool) -> Callable[[Path, Path, random.Random], None]:
    """A file of another store: of those that are derived, or the database with no log beside it."""

    def damaged(store: Path, home: Path, choose: random.Random) -> None:
        if not derived:
            for one in store.glob(f"{DATABASE}-*"):
                one.unlink()
            shutil.copyfile(home / name / DATABASE, store / DATABASE)
            return
        files = sorted(one for one in store.glob("index/*/*") if one.is_file())
        file = choose.choice(files)
        counterpart = _counterpart(file, store, home / name)
        assert counterpart is not None
        shutil.copyfile(counterpart, file)

    return damaged


def _page_from(name: str) -> Callable[[Path, Path, random.Random], None]:
    """A block of another store's file at its place."""

    def damaged(store: Path, home: Path, choose: random.Random) -> None:
        file = _file(store, choose)
        counterpart = _counterpart(file, store, home / name)
        if counterpart is None or not counterpart.stat().st_size:
            return
        data, its = bytearray(file.read_bytes()), counterpart.read_bytes()
        start = choose.randrange(min(len(data), len(its))) // 4096 * 4096
        block = its[start : start + 4096]
        data[start : start + len(block)] = block
        file.write_bytes(data)

    return damaged


def _lost(store: Path, _home: Path, choose: random.Random) -> None:
    _file(store, choose).unlink()


def _emptied(store: Path, _home: Path, choose: random.Random) -> None:
    _file(store, choose).write_bytes(b"")


def _folder_lost(store: Path, _home: Path, choose: random.Random) -> None:
    shutil.rmtree(choose.choice(sorted(one for one in store.rglob("*") if one.is_dir())))


def _log_of(name: str) -> Callable[[Path, Path, random.Random], None]:
    """The log of another store beside a database that was closed."""

    def damaged(store: Path, home: Path, _choose: random.Random) -> None:
        for one in store.glob(f"{DATABASE}*"):
            one.unlink()
        shutil.copyfile(home / name / DATABASE, store / DATABASE)
        shutil.copyfile(home / "own with a log" / f"{DATABASE}-wal", store / f"{DATABASE}-wal")

    return damaged


def _note_changed(store: Path, _home: Path, choose: random.Random) -> None:
    """The writer's note and the names of fields are JSON: other JSON stands there."""
    files = sorted(one for one in store.rglob("*.json") if one.is_file())
    if files:
        choose.choice(files).write_text(json.dumps(choose.choice([None, [], {}, 0, {"pid": 1}, [[1]], "x"])), "utf-8")


DAMAGES: dict[str, Callable[[Path, Path, random.Random], None]] = {
    "bits flipped": _in_place(_flip),
    "block zeroed": _in_place(_zero),
    "noise in a block": _in_place(_noise),
    "cut off": _in_place(_shorten),
    "extended": _in_place(_extend),
    "blocks swapped": _in_place(_swap_blocks),
    "a byte more or less": _in_place(_shift),
    "files swapped": _swap_within,
    "derived file of a stranger": _from("other", derived=True),
    "derived file from earlier": _from("earlier", derived=True),
    "database of a stranger": _from("other", derived=False),
    "database from earlier": _from("earlier", derived=False),
    "block of a stranger": _page_from("other"),
    "block from earlier": _page_from("earlier"),
    "file lost": _lost,
    "file emptied": _emptied,
    "folder lost": _folder_lost,
    "log beside a stranger": _log_of("other"),
    "log beside an earlier copy": _log_of("earlier"),
    "other JSON": _note_changed,
}
MAY_BE = {
    "database of a stranger": ("other",),
    "database from earlier": ("earlier",),
    "log beside a stranger": ("other",),
    "log beside an earlier copy": ("earlier",),
}
"""Which other stores a damage may leave, each as a whole."""
STALE = {"block from earlier"}
"""Damages that leave whole rows of another moment, which single answers cannot tell; check() can."""
DAMAGE = Kind("damage", damage, 20_000, prepare)
