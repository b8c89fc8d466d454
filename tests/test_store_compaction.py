"""Compaction runs in the background: ``add`` waits for no build, and nothing is lost, mixed up or left behind."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import HashEncoder, Oracle, assert_equals_oracle, clustered, make_passages

from dpr_rag import Passage, PassageStore
from dpr_rag.errors import IndexKindError, StoreError
from dpr_rag.index import compaction as index_compaction
from dpr_rag.index.library import import_faiss
from dpr_rag.passages import PRIVATE_KEY
from dpr_rag.store import background, background_compaction, compaction, segment_folders

DIM = 16
LIMIT = 100


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_compaction, "TAIL_LIMIT", LIMIT)


class Held:
    """A compaction that stops before its index until it is let through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.may_pass = threading.Event(), threading.Event()
        original = background_compaction.finish_base

        def held(*arguments: Any, **options: Any) -> Any:
            self.reached.set()
            while not self.may_pass.wait(0.001):
                options["checkpoint"]()
            return original(*arguments, **options)

        monkeypatch.setattr(background_compaction, "finish_base", held)
        monkeypatch.setattr(compaction, "finish_base", held)

    def wait(self) -> None:
        assert self.reached.wait(60)

    def release(self) -> None:
        self.may_pass.set()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    made = Held(monkeypatch)
    yield made
    made.release()


def put(store: PassageStore, oracle: Oracle, numbers: range, *, seed: int = 0) -> None:
    passages, vectors = [*make_passages(len(numbers), numbers.start)], clustered(len(numbers), DIM, seed=seed)
    store.add(passages, vectors=vectors)
    oracle.add(passages, vectors)


def take(store: PassageStore, oracle: Oracle, ids: list[str]) -> None:
    assert store.delete(ids) == oracle.delete(ids)


def is_same(store: PassageStore, oracle: Oracle) -> bool:
    for where in (None, {"half": 1}, {"id_number": {"$lt": 150}}):
        assert_equals_oracle(store, oracle, clustered(5, DIM, seed=5), 400, where)
    return True


def folders(store: PassageStore) -> list[str]:
    return sorted(one.name.partition("-")[0] for one in (store.path / "index").iterdir())


def made_with(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line.split()[0] for line in caplog.messages if line.startswith(("building", "extending"))]


def test_add_and_searches_wait_for_no_compaction(tmp_path: Path, held: Held) -> None:
    oracle = Oracle()
    with PassageStore.open(tmp_path / "s", index="flat") as store:
        put(store, oracle, range(150))  # comes back though no base can be finished
        held.wait()
        assert store.info().compaction == "running"
        put(store, oracle, range(150, 400), seed=1)
        take(store, oracle, ["3", "200"])
        assert is_same(store, oracle)
        assert (store.info().base, store.info().tail) == (0, 398)
        assert not store.wait_for_compaction(0.01)
        held.release()
        assert store.wait_for_compaction()
        assert (store.info().base, store.info().tail, store.info().compaction) == (399, 0, "")
        assert is_same(store, oracle)
        assert store.check().indexed == 398


@pytest.mark.parametrize(
    "index", ["flat", "hnsw:efSearch=2000", "hnsw-sq8:efSearch=2000,oversample=10", "ivf-sq8:nprobe=1000,oversample=10"]
)
def test_whatever_happens_meanwhile_counts(index: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Additions, deletions, replacements and compactions in any order, against brute force."""
    choose, oracle = np.random.default_rng(11), Oracle()
    caplog.set_level(logging.INFO, "dpr_rag")
    with PassageStore.open(tmp_path / "s", index=index) as store, PassageStore.open(tmp_path / "s") as other:
        for step in range(25):
            writer = other if step % 3 == 0 else store
            start = int(choose.integers(0, 500))
            put(writer, oracle, range(start, start + 60), seed=step)
            if step % 2:
                take(writer, oracle, [str(one) for one in choose.integers(0, 560, 25)])
            if step % 5 == 4:
                store.wait_for_compaction()
            assert is_same(store, oracle)
        for one in (store, other):
            assert one.wait_for_compaction(60)
            assert is_same(one, oracle)
            assert one.info().compaction == ""
        assert store.check().passages == len(oracle.passages)
        assert folders(store) == ["base"]
    # how much has gone when the background gets its turn decides between the two
    assert "building" in made_with(caplog)
    assert set(made_with(caplog)) <= {"extending", "building"}


NAMED = ["hnsw", "hnsw-sq8", "ivf:nlist=40", "ivf-sq8:nlist=40", "ivf-rabitq:nlist=40", "rabitq", "sq8", "fp16", "flat"]


@pytest.mark.parametrize("index", NAMED)
def test_an_extended_index_finds_what_a_new_one_does(
    index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    vectors, questions = clustered(4000, 32), clustered(40, 32, seed=5)
    monkeypatch.setattr(background_compaction, "TAIL_LIMIT", 500)
    with PassageStore.open(tmp_path / "s", index=index) as store:
        store.add(make_passages(1500), vectors=vectors[:1500])
        store.optimize()
        caplog.set_level(logging.INFO, "dpr_rag")
        for start in range(1500, 4000, 600):
            part = make_passages(min(600, 4000 - start), start)
            store.add(part, vectors=vectors[start : start + 600], batch_size=600)
            store.wait_for_compaction()
        assert set(made_with(caplog)) == {"extending"}
        assert (store.info().base, store.info().tail, store.info().kind) == (3900, 100, index.partition(":")[0])
        extended = store.measure_index_recall(questions, k=10)
        assert store.check().indexed == 3900
        store.optimize()
        assert extended >= max(0.95, store.measure_index_recall(questions, k=10) - 0.02)


@pytest.mark.parametrize(
    ("index", "change"),
    [
        ("sq8", lambda vectors: 20 * vectors),
        ("hnsw-sq8", lambda vectors: 20 * vectors),
        ("ivf", lambda vectors: np.roll(-vectors, 3, axis=1)),
        ("ivf-sq8", lambda vectors: np.roll(-vectors, 3, axis=1)),
    ],
)
def test_vectors_unlike_those_it_was_trained_with_get_a_new_index(
    index: str, change: Callable[[np.ndarray], np.ndarray], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vectors = clustered(1200, 32)
    with PassageStore.open(tmp_path / "s", index=index) as store:
        store.add(make_passages(1000), vectors=vectors[:1000])
        store.optimize()
        caplog.set_level(logging.INFO, "dpr_rag")
        store.add(make_passages(200, 1000), vectors=change(vectors[1000:]))
        store.wait_for_compaction()
        assert "was trained with other vectors than those that came since" in caplog.text
        assert made_with(caplog) == ["building"]
        assert store.measure_index_recall(40, k=10) >= 0.95


def test_clusters_are_found_anew_when_there_are_four_times_as_many_vectors(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vectors = clustered(9000, DIM)
    caplog.set_level(logging.INFO, "dpr_rag")
    with PassageStore.open(tmp_path / "s", index="ivf") as store:
        for start, stop in ((0, 1500), (1500, 2500), (2500, 9000)):
            store.add(make_passages(stop - start, start), vectors=vectors[start:stop], batch_size=9000)
            store.wait_for_compaction()
        assert made_with(caplog) == ["building", "extending", "building"]
        assert store.info().parameters["nlist"] == 230


def test_a_long_vector_that_comes_later_is_looked_at_beside_the_index(tmp_path: Path) -> None:
    vectors = clustered(600, 32)
    vectors[550] *= 50
    with PassageStore.open(tmp_path / "s", index="hnsw-sq8") as store:
        store.add(make_passages(400), vectors=vectors[:400])
        store.optimize()
        store.add(make_passages(200, 400), vectors=vectors[400:])
        store.wait_for_compaction()
        base = store._engine.state().base
        assert base is not None
        assert base["long"] == [550]
        assert store.search(vectors[550:551], 1)[0][0].passage.id == "550"


def test_a_base_of_which_a_quarter_has_gone_is_built_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    oracle = Oracle()
    with PassageStore.open(tmp_path / "s", index="hnsw") as store:
        put(store, oracle, range(800))
        store.optimize()
        caplog.set_level(logging.INFO, "dpr_rag")
        take(store, oracle, [str(at) for at in range(190)])
        put(store, oracle, range(1000, 1110))
        store.wait_for_compaction()
        assert (store.info().base, store.info().deleted) == (910, 190)  # they stay in the graph, and are passed over
        assert is_same(store, oracle)
        take(store, oracle, [str(at) for at in range(190, 240)])
        store.wait_for_compaction()
        assert (store.info().base, store.info().deleted) == (670, 0)
        assert made_with(caplog) == ["extending", "building"]
        assert is_same(store, oracle)
        assert store.check().indexed == 670


@pytest.mark.parametrize(
    ("name", "made"), [("vectors", ["building"]), ("fields", ["extending"]), ("faiss", ["building"])]
)
def test_a_damaged_base_is_not_extended(
    name: str, made: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    oracle = Oracle()
    with PassageStore.open(tmp_path / "s", index="hnsw:efSearch=2000") as store:
        put(store, oracle, range(500))
        store.optimize()
        (file,) = (store.path / "index").rglob(name)
        damaged = bytearray(file.read_bytes())
        damaged[len(damaged) // 2] ^= 4
        file.write_bytes(damaged)
        caplog.set_level(logging.INFO, "dpr_rag")
        put(store, oracle, range(600, 701))
        store.wait_for_compaction()
        assert made_with(caplog) == made
        assert is_same(store, oracle)
        assert store.check().indexed == 601


def test_a_tail_of_which_all_has_gone_is_dropped_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    oracle = Oracle()
    with PassageStore.open(tmp_path / "s") as store:
        put(store, oracle, range(1000))
        store.optimize()
        caplog.set_level(logging.INFO, "dpr_rag")
        put(store, oracle, range(2000, 2099))
        assert is_same(store, oracle)
        take(store, oracle, [str(at) for at in range(2000, 2099)])
        put(store, oracle, range(3000, 3002))
        store.wait_for_compaction()
        take(store, oracle, ["3000", "3001"])
        assert store.wait_for_compaction()
        assert made_with(caplog) == ["extending"]
        assert is_same(store, oracle)


def test_metadata_changed_in_place_is_collected_anew(tmp_path: Path) -> None:
    oracle = Oracle()
    with PassageStore.open(tmp_path / "s") as store:
        put(store, oracle, range(500))
        store.optimize()
        take(store, oracle, ["0", "7", "499"])
        changed = Passage("5", oracle.passages["5"].text, oracle.passages["5"].title, {"half": 1, "id_number": 9999})
        store.add([changed], vectors=oracle.vectors["5"][None])
        oracle.passages["5"] = changed
        put(store, oracle, range(600, 701))
        store.wait_for_compaction()
        assert (store.info().base, store.info().tail, store.info().deleted) == (601, 0, 3)
        assert is_same(store, oracle)
        assert_equals_oracle(store, oracle, clustered(2, DIM), 10, {"id_number": 9999})
        assert store.check().indexed == 598


def test_another_writer_meanwhile(tmp_path: Path, held: Held) -> None:
    oracle = Oracle()
    with PassageStore.open(tmp_path / "s", index="hnsw:efSearch=2000") as store:
        put(store, oracle, range(150))
        held.wait()
        with PassageStore.open(tmp_path / "s") as other:
            take(other, oracle, ["1", "149"])
            put(other, oracle, range(140, 160), seed=3)
            assert is_same(other, oracle)
            held.release()
            other.wait_for_compaction()
        store.wait_for_compaction()
        assert is_same(store, oracle)
        assert store.check().passages == len(oracle.passages)


def test_a_compaction_that_another_process_was_faster_with_is_dropped(tmp_path: Path, held: Held) -> None:
    oracle = Oracle()
    with PassageStore.open(tmp_path / "s") as store:
        put(store, oracle, range(150))
        held.wait()
        held.reached.clear()
        with PassageStore.open(tmp_path / "s") as other:
            thread = threading.Thread(target=other.optimize, args=("hnsw",))
            thread.start()
            held.wait()
            held.release()
            thread.join()
        store.wait_for_compaction()
        assert (store.info().base, folders(store)) == (150, ["base"])
        assert is_same(store, oracle)


def test_optimize_cancels_a_compaction_and_builds_all(tmp_path: Path, held: Held) -> None:
    oracle = Oracle()
    with PassageStore.open(tmp_path / "s") as store:
        put(store, oracle, range(150))
        held.wait()
        put(store, oracle, range(150, 160))
        held.release()
        store.optimize("hnsw")
        assert (store.info().base, store.info().tail, store.info().kind) == (160, 0, "hnsw")
        put(store, oracle, range(200, 301))
        assert store.wait_for_compaction()
        assert store.info().base == 261
        assert folders(store) == ["base"]


def test_closing_cancels_a_compaction(tmp_path: Path, held: Held) -> None:
    oracle = Oracle()
    store = PassageStore.open(tmp_path / "s")
    put(store, oracle, range(150))
    held.wait()
    assert folders(store) == ["building"]
    thread = store._engine.background._thread
    assert thread is not None
    store.close()
    assert not thread.is_alive()
    assert folders(store) == []
    held.release()
    with PassageStore.open(tmp_path / "s") as again:
        assert is_same(again, oracle)
        put(again, oracle, range(150, 151))
        again.wait_for_compaction()
        assert again.info().base == 151


def test_a_temporary_store_that_is_forgotten_ends_its_compaction(held: Held, caplog: pytest.LogCaptureFixture) -> None:
    store = PassageStore.temporary()
    put(store, Oracle(), range(150))
    held.wait()
    path, thread = store.path, store._engine.background._thread
    del store
    assert thread is not None
    thread.join(60)
    assert not path.exists()
    assert caplog.text == ""


def test_a_store_opened_to_be_read_does_not_compact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with PassageStore.open(tmp_path / "s") as store:
        put(store, Oracle(), range(90))
    monkeypatch.setattr(background_compaction, "TAIL_LIMIT", 50)
    with PassageStore.open(tmp_path / "s", read_only=True) as store:
        background_compaction.catch_up(store._engine)
        store.search(clustered(1, DIM), 5)
        assert not store._engine.background.is_running
        assert store.wait_for_compaction()
        assert store.info().base == 0


def test_what_cannot_be_written_is_told_and_tried_again_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    oracle, tries = Oracle(), []

    def full(*_: object) -> None:
        tries.append(1)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(background, "FIRST_PAUSE", 100.0)  # longer than the additions take
    with PassageStore.open(tmp_path / "s") as store:
        with monkeypatch.context() as disk:
            disk.setattr(segment_folders, "Claim", full)
            for at in range(150, 160):
                put(store, oracle, range(at if at > 150 else 0, at + 1))
                assert store.wait_for_compaction()
            assert len(tries) == 1
            assert "cannot be written (No space left on device)" in store.info().compaction
            assert caplog.text.count("is searched without them") == 1
            assert is_same(store, oracle)
            store._engine.background._not_before = 0.0  # a while later
            put(store, oracle, range(160, 161))
            assert store.wait_for_compaction()
            assert len(tries) == 2
            assert store._engine.background._not_before - time.monotonic() > background.FIRST_PAUSE
            with pytest.raises(StoreError, match="No space left"):
                store.optimize()  # what is asked for is tried at once, and fails loudly
        store._engine.background._not_before = 0.0
        put(store, oracle, range(161, 162))
        assert store.wait_for_compaction()
        assert (store.info().base, store.info().compaction) == (162, "")


def test_a_fault_of_a_compaction_is_seen_and_does_not_fail_the_add(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda told: seen.append(told.exc_value))
    monkeypatch.setattr(background_compaction, "build_base", lambda *_: 1 / 0)
    with PassageStore.open(tmp_path / "s") as store:
        put(store, Oracle(), range(150))
        assert store.wait_for_compaction()
        assert [type(one) for one in seen] == [ZeroDivisionError]
        assert "division" in store.info().compaction


def again_with(**metadata: int) -> list[Passage]:
    return [Passage(one.id, one.text, one.title, metadata) for one in make_passages(3)]


CHANGES: dict[str, Callable[[PassageStore], object]] = {
    "add": lambda store: store.add(make_passages(3, 500)).added,
    "replace": lambda store: store.add([Passage("1", "new")]).replaced,
    "metadata": lambda store: store.add(again_with(half=7)).replaced,
    "delete": lambda store: store.delete(["1", "2"]),
    "delete by filter": lambda store: store.delete(filter={"half": 1}),
    "delete in a view": lambda store: store.restricted({"half": 1}).delete(["1"]),
    "an adapter's add": lambda store: store.private.add([Passage("new", make_passages(1)[0].text)], instead={}).added,
    "an adapter's delete": lambda store: store.private.delete_marked(["mark"]),
    "reencode": lambda store: store.reencode(HashEncoder(DIM, salt="other")),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("error", [StoreError("the disk is gone"), OSError(5, "the disk is gone")])
def test_no_error_after_its_commit_fails_a_change(
    change: str, error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who is told that a change failed makes it again."""
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder(DIM)) as store:
        store.add([*make_passages(90), Passage("marked", "text", metadata={PRIVATE_KEY: ["a", "mark"]})])
        engine, before, real = store._engine, store.info().generation, store._engine.state
        failed: list[int] = []

        def state() -> Any:
            seen = real()
            if seen.generation > before:
                failed.append(1)
                raise error
            return seen

        with monkeypatch.context() as patch:
            patch.setattr(engine, "state", state)
            assert CHANGES[change](store)
        assert failed
        assert "what was changed is stored" in caplog.text
        assert "the disk is gone" in engine.background.last_error
        assert store.info().generation > before


def test_an_interrupt_after_a_commit_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with PassageStore.open(tmp_path / "s", encoder=HashEncoder(DIM)) as store:
        monkeypatch.setattr(store._engine.background, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.add(make_passages(LIMIT + 1))
        assert len(store) == LIMIT + 1


def test_what_cannot_be_looked_at_while_a_call_waits_does_not_fail_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: Held
) -> None:
    def unreadable(_: object) -> float:
        raise StoreError("too many open files")

    with PassageStore.open(tmp_path / "s") as store:
        put(store, Oracle(), range(150))
        held.wait()
        with monkeypatch.context() as patch:
            patch.setattr(background_compaction, "_tail_ratio", unreadable)
            put(store, Oracle(), range(200, 300))
        assert len(store) == 250


def test_a_call_waits_for_a_compaction_that_falls_behind_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: Held
) -> None:
    waited: list[float] = []
    wait = background.BackgroundWorker.wait

    def counted(self: background.BackgroundWorker, timeout: float | None = None) -> bool:
        waited.append(timeout or 0.0)
        return wait(self, timeout)

    with PassageStore.open(tmp_path / "s") as store:
        put(store, Oracle(), range(150))
        held.wait()
        monkeypatch.setattr(background.BackgroundWorker, "wait", counted)
        put(store, Oracle(), range(150, 160))
        assert waited == []  # the tail may be twice as long
        put(store, Oracle(), range(200, 300))
        assert waited
        assert max(waited) <= 0.05
        held.release()
        store.wait_for_compaction()
        waited.clear()
        put(store, Oracle(), range(300, 390))
        assert waited == []


def in_child(work: Callable[[], bool]) -> int:
    """Fork, and return the child's exit code: 0 where the work says that all is well."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if work() else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_child_forked_during_a_compaction_goes_on_without_it(tmp_path: Path, held: Held) -> None:
    oracle = Oracle()
    with PassageStore.open(tmp_path / "s", index="hnsw:efSearch=2000") as store:
        put(store, oracle, range(150))
        held.wait()

        def work() -> bool:
            idle = not store._engine.background.is_running and store.wait_for_compaction()
            same = is_same(store, oracle)
            held.may_pass = threading.Event()
            held.may_pass.set()
            put(store, oracle, range(500, 510), seed=7)
            done = store.wait_for_compaction(60) and store.info().base == 160
            store.close()
            return idle and same and done

        assert in_child(work) == 0
        oracle.add(make_passages(10, 500), clustered(10, DIM, seed=7))
        held.release()
        assert store.wait_for_compaction(60)
        assert is_same(store, oracle)
        assert folders(store) == ["base"]
        assert store.check().passages == 160


def test_a_fork_waits_for_no_compaction_that_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cancelled and started anew; a child of a process that reads would have to refuse."""
    oracle, reading, begun = Oracle(), threading.Event(), []
    original = compaction.aligned_passages

    def slow(reader: Any, rows: Any, checkpoint: Any, **options: Any) -> Iterator[Passage]:
        begun.append(1)
        for at, passage in enumerate(original(reader, rows, checkpoint, **options)):
            while len(begun) == 1 and at == 3:
                reading.set()
                time.sleep(0.001)
                checkpoint()
            yield passage

    monkeypatch.setattr(compaction, "aligned_passages", slow)
    with PassageStore.open(tmp_path / "s") as store:
        put(store, oracle, range(150))
        assert reading.wait(60)
        assert in_child(lambda: is_same(store, oracle)) == 0
        assert store.wait_for_compaction(60)
        assert (len(begun), store.info().base) == (2, 150)


START = """
import sys, threading, time
from pathlib import Path
sys.path[:0] = [sys.argv[2]]
import numpy as np
from conftest import make_passages, clustered
from dpr_rag import PassageStore
from dpr_rag.store import background_compaction, compaction
background_compaction.TAIL_LIMIT = 100
reached = threading.Event()
def held(*arguments, **options):
    reached.set()
    while True:
        time.sleep(0.001)
        options["checkpoint"]()
compaction.finish_base = background_compaction.finish_base = held
store = PassageStore.open(sys.argv[1], index="hnsw")
store.add(make_passages(150), vectors=clustered(150, 16))
assert reached.wait(60)
print("compacting", flush=True)
"""


def process(path: Path, code: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-W", "error", "-c", START + code, str(path), str(Path(__file__).parent)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_process_killed_during_a_compaction_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with process(path, "time.sleep(600)") as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "compacting\n"
        running.send_signal(signal.SIGKILL)
    oracle = Oracle()
    oracle.add(make_passages(150), clustered(150, DIM))
    with PassageStore.open(path) as store:
        assert is_same(store, oracle)
        assert folders(store) == ["building"]
        put(store, oracle, range(150, 151))
        store.wait_for_compaction()
        assert (store.info().base, folders(store)) == (151, ["base"])
        assert store.check().passages == 151


@pytest.mark.parametrize("end", ["", "store.close()", "del store", "raise SystemExit"])
def test_an_interpreter_that_ends_during_a_compaction_leaves_nothing(end: str, tmp_path: Path) -> None:
    with process(tmp_path / "s", end) as running:
        output, errors = running.communicate(timeout=120)
    assert (running.returncode, output, errors) == (0, "compacting\n", "")
    with PassageStore.open(tmp_path / "s") as store:
        assert folders(store) == []
        assert store.check().passages == 150


def test_an_interrupt_while_one_waits_does_not_hide_the_compaction(
    tmp_path: Path, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PassageStore.open(tmp_path / "store") as store:
        put(store, Oracle(), range(150))
        work = store._engine.background
        held.wait()

        def interrupted(timeout: float | None = None) -> bool:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(work._ended, "wait", interrupted)
            with pytest.raises(KeyboardInterrupt):
                store.wait_for_compaction()
        assert work.is_running
        assert not store.wait_for_compaction(timeout=0.05)
        held.release()
        assert store.wait_for_compaction(timeout=1e10)


def test_a_compaction_that_was_requested_during_a_pause_comes_after_it(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "store") as store:
        with store._engine.background.paused():
            put(store, Oracle(), range(150))
            assert store.info().base == 0
        assert store.wait_for_compaction()
        assert store.info().base == 150


def test_a_child_of_a_process_that_paused_compaction_compacts(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "store") as store:
        put(store, Oracle(), range(20))
        inside, leave = threading.Event(), threading.Event()

        def hold() -> None:
            with store._engine.background.paused():
                inside.set()
                leave.wait()

        thread = threading.Thread(target=hold)
        thread.start()
        inside.wait()

        def work() -> bool:
            put(store, Oracle(), range(20, 150))
            return store.wait_for_compaction() and store.info().base == 150

        try:
            assert in_child(work) == 0
        finally:
            leave.set()
            thread.join()


def test_an_index_that_cannot_be_extended_is_built_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise IndexKindError("FAISS cannot extend it")

    oracle = Oracle()
    with PassageStore.open(tmp_path / "store", index="hnsw") as store:
        put(store, oracle, range(150))
        assert store.wait_for_compaction()
        monkeypatch.setattr(index_compaction, "extend", refuse)
        put(store, oracle, range(150, 400))
        assert store.wait_for_compaction()
        assert (store.info().base, store.info().compaction) == (400, "")
        assert is_same(store, oracle)
        assert folders(store) == ["base"]


def test_a_vector_of_zeros_that_is_coded_exactly_has_no_error() -> None:
    faiss = import_faiss()
    halves = faiss.IndexScalarQuantizer(DIM, faiss.ScalarQuantizer.QT_fp16)
    vectors = np.stack([np.zeros(DIM), np.full(DIM, 0.5), np.full(DIM, 0.1)]).astype(np.float32)
    errors = index_compaction._quantization_error(halves, vectors)
    assert errors[:2].tolist() == [0, 0]
    assert 0 < errors[2] < 1e-3
