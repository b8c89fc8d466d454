"""Which precision a model runs in is found once for machine and model, when something is first encoded, and remembered."""

from __future__ import annotations

import json
import logging
import os
import stat
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from math import inf
from pathlib import Path

import numpy as np
import pytest
import tiny_models as tiny
from processors import BOTH, BYTES, PLAIN, TILES, a_processor, needs_kernels
from tiny_models import QUESTIONS

from dpr_rag import DualEncoder, Passage, PassageStore
from dpr_rag.encoders import precision, precision_choice, quickest
from dpr_rag.encoders.fast_runtime import FastRuntime
from dpr_rag.encoders.precision import Effect, timed
from dpr_rag.encoders.precision_choice import Choice, describe_choice, saved_choice
from dpr_rag.encoders.quickest import QuickestRuntime
from dpr_rag.encoders.runtime import Batch

GOOD, FAR = Effect(1e-4, 2e-4, 0.0), Effect(1e-3, 2e-3, 0.0)
EVEN = {"bfloat16": 10.0, "int8": 9.0}
Machine = Callable[..., list[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.contriever(tmp_path_factory.mktemp("quickest") / "m")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "dpr-rag" / "choice"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Makes one of given times and effects; what it returns grows by each measurement of times and each check."""

    def make(flags: str, times: Mapping[str, float], effects: Mapping[str, Effect] | None = None) -> list[str]:
        needs_kernels(flags)
        done: list[str] = []

        def time_all(runtimes: Mapping[str, FastRuntime], *_: object) -> dict[str, float]:
            done.append("timed " + " ".join(runtimes))
            return {name: times[name] for name in runtimes if name in times}

        def effect_of(fast: FastRuntime, *_: object) -> Effect:
            done.append(f"checked {fast.dtype}")
            return (effects or {}).get(fast.dtype, GOOD)

        a_processor(monkeypatch, flags)
        monkeypatch.setattr(quickest, "timed", time_all)
        monkeypatch.setattr(quickest, "effect_of", effect_of)
        monkeypatch.setattr(quickest, "quickest_threads", lambda *_: 1)
        return done

    return make


@pytest.mark.parametrize(
    ("flags", "times", "effects", "chosen"),
    [
        (PLAIN, {}, {}, "float32"),
        (BYTES, {}, {}, "int8"),
        (BYTES, {}, {"int8": FAR}, "float32"),
        (BOTH, {"bfloat16": 10, "int8": 7}, {}, "int8"),
        (BOTH, {"bfloat16": 10, "int8": 9}, {}, "bfloat16"),
        (BOTH, {"bfloat16": 10, "int8": 7}, {"int8": FAR}, "bfloat16"),
        (BOTH, {"bfloat16": 10, "int8": 9}, {"bfloat16": FAR}, "int8"),
        (BOTH, {"bfloat16": 10, "int8": 9}, {"bfloat16": FAR, "int8": FAR}, "float32"),
        (BOTH, {"int8": 9}, {}, "int8"),  # bfloat16 does not run here
        (TILES, {"bfloat16": 6, "int8": 9}, {}, "bfloat16"),
        (TILES, {"bfloat16": 10, "int8": 7.9}, {}, "int8"),
        (TILES, {}, {"bfloat16": FAR, "int8": FAR}, "float32"),
    ],
)
def test_the_quickest_precision_that_is_true_is_taken(
    folder: Path,
    machine: Machine,
    flags: str,
    times: dict[str, float],
    effects: dict[str, Effect],
    chosen: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    machine(flags, times, effects)
    with caplog.at_level(logging.WARNING, logger="dpr_rag"):
        encoder = DualEncoder.from_pretrained(folder, device="cpu")
        assert encoder.runtime == f"OpenVINO in {chosen}"
    again = DualEncoder.from_pretrained(folder, device="cpu")
    assert again.runtime == encoder.runtime
    exact = DualEncoder.from_pretrained(folder, runtime="torch", device="cpu").encode_questions(QUESTIONS)
    np.testing.assert_allclose(encoder.encode_questions(QUESTIONS), exact, atol=0.05)
    np.testing.assert_array_equal(again.encode_questions(QUESTIONS), encoder.encode_questions(QUESTIONS))
    for dtype in effects:
        assert (f" in {dtype}: " in caplog.text) == (chosen != dtype)


def test_nothing_is_measured_before_something_is_encoded(folder: Path, machine: Machine, tmp_path: Path) -> None:
    done = machine(BOTH, EVEN)
    encoder = DualEncoder.from_pretrained(folder, device="cpu")
    with PassageStore.open(tmp_path / "s.dpr", encoder=encoder) as store:
        store.add([Passage(id="1", text="given")], vectors=np.ones((1, encoder.dim), np.float32))
        assert (store.count(), encoder.fingerprint != "", done) == (1, True, [])
        store.add([Passage(id="2", text="encoded")])
    assert done == ["timed bfloat16 int8", "checked bfloat16"]
    encoder.encode_questions(QUESTIONS)
    assert DualEncoder.from_pretrained(folder, device="cpu").runtime == "OpenVINO in bfloat16"
    assert len(done) == 2


def test_what_is_kept_and_what_makes_it_void(
    folder: Path, machine: Machine, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done = machine(BOTH, EVEN)

    def measured(model: Path = folder) -> bool:
        before = len(done)
        for _ in range(2):
            assert DualEncoder.from_pretrained(model, device="cpu").runtime == "OpenVINO in bfloat16"
        assert len(done) in (before, before + 2)
        return len(done) > before

    assert measured()
    (file,) = cache.iterdir()
    whole = {"dtype": "bfloat16", "milliseconds": EVEN, "refused": [], "threads": 1, "together": False}
    assert json.loads(file.read_text()) == whole
    damages = [
        b"half a nu", b"[]", b"\xff", b"", b"[" * 100_000, b"null",
        *(json.dumps(whole | part).encode() for part in (
            {"dtype": "float16"}, {"dtype": 8}, {"milliseconds": [1]}, {"milliseconds": {"int8": "9"}}, {"refused": "no"},
            {"refused": [1]}, {"threads": 0}, {"threads": "2"}, {"threads": 1.5}, {"threads": None}, {"together": 1},
        )),
        *(json.dumps({name: whole[name] for name in whole if name != left_out}).encode() for left_out in whole),
    ]  # fmt: skip
    for damage in damages:
        file.write_bytes(damage)
        assert measured(), damage
        assert json.loads(file.read_text()) == whole
    a_processor(monkeypatch, BOTH, "Another processor")
    assert measured()
    assert measured(tiny.contriever(tmp_path / "other", seed=1))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # another share of the machine is no other machine
    assert not measured()
    a_processor(monkeypatch, BOTH)
    assert not measured()


def test_a_precision_by_name_neither_asks_nor_changes_what_is_kept(
    folder: Path, machine: Machine, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = machine(BOTH, EVEN)
    monkeypatch.setattr("dpr_rag.encoders.runtime_choice.effect_of", lambda *_: GOOD)
    for dtype in ("int8", "float32"):
        encoder = DualEncoder.from_pretrained(folder, runtime="openvino", dtype=dtype)
        encoder.encode_questions(QUESTIONS)
        assert encoder.runtime == f"OpenVINO in {dtype}"
    assert (done, cache.exists()) == ([], False)


@pytest.mark.parametrize("kind", ["a file", "not writable", "none"])
def test_a_cache_that_keeps_nothing_costs_time_only(
    folder: Path,
    machine: Machine,
    tmp_path: Path,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = tmp_path / "place"
    if kind == "a file":
        place.write_text("")
    elif kind == "not writable":
        place.mkdir()
        place.chmod(stat.S_IRUSR | stat.S_IXUSR)
        monkeypatch.setattr(os, "replace", refuse)  # root may write all the same
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none" if kind == "none" else str(place))
    done = machine(BOTH, EVEN)
    encoders = [DualEncoder.from_pretrained(folder, device="cpu") for _ in range(2)]
    assert [encoder.runtime for encoder in encoders] == ["OpenVINO in bfloat16"] * 2
    assert len(done) == 4
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    if kind == "not writable":
        assert [one for one in place.rglob("*") if one.is_file()] == []


def refuse(*_: object) -> None:
    raise PermissionError("read-only")


def test_processes_that_start_together_end_with_one_precision(folder: Path, machine: Machine) -> None:
    machine(BOTH, {"bfloat16": 10, "int8": 7})
    first, second = (DualEncoder.from_pretrained(folder, device="cpu") for _ in range(2))
    assert first.runtime == "OpenVINO in int8"
    machine(BOTH, EVEN)  # the other one measures beside more work
    assert second.runtime == "OpenVINO in int8"
    np.testing.assert_array_equal(first.encode_questions(QUESTIONS), second.encode_questions(QUESTIONS))


def test_threads_that_encode_first_together_measure_once(folder: Path, machine: Machine) -> None:
    done = machine(BOTH, EVEN)
    encoder = DualEncoder.from_pretrained(folder, device="cpu")
    assert isinstance(encoder.sides[0].runtime, QuickestRuntime)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: encoder.encode_questions(QUESTIONS), range(8)))
    assert len(done) == 2
    for one in found:
        np.testing.assert_array_equal(one, found[0])


class Slow:
    """Stands for a runtime that takes a time of its own, more every other time, or does not run at all."""

    def __init__(self, clock: list[float], takes: float) -> None:
        self.clock, self.takes, self.calls = clock, takes, 0

    def encode(self, batch: Batch) -> None:
        if self.takes == inf:
            raise RuntimeError("could not create a primitive")
        self.calls += 1
        self.clock[0] += self.takes * (1 if self.calls % 2 else 50)


def test_times_are_the_least_of_several_in_turn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(precision, "thread_time", lambda: clock[0])
    encoder = DualEncoder.from_pretrained(folder, runtime="openvino", dtype="float32")
    runtimes = {"bfloat16": Slow(clock, 0.002), "int8": Slow(clock, 0.001), "other": Slow(clock, inf)}
    found = timed(runtimes, encoder.profile, encoder.sides[0].tokens)  # type: ignore[arg-type]
    assert found == {"bfloat16": 6.0, "int8": 3.0}  # three texts
    assert runtimes["bfloat16"].calls == runtimes["int8"].calls >= 3 * 5


def test_it_is_said_which_and_why(machine: Machine) -> None:
    machine(PLAIN, {})
    assert describe_choice("f") == "float32 (this CPU multiplies neither bytes nor bfloat16)"
    machine(BOTH, {})
    assert describe_choice("f") is None
    precision_choice.save_choice("f question", Choice("bfloat16", {"bfloat16": 59.2, "int8": 56.19}, ()))
    first = "bfloat16 (59.2 ms for some texts; int8 takes 56.2 ms, too little less for its greater error)"
    assert describe_choice("f") == first
    assert saved_choice("f question") == Choice("bfloat16", {"bfloat16": 59.2, "int8": 56.19}, ())
    precision_choice.save_choice("f context", Choice("int8", {"bfloat16": 59.2, "int8": 30}, ()))
    assert describe_choice("f") == f"{first} and int8 (30.0 ms for some texts; bfloat16 takes 59.2 ms)"
    precision_choice.save_choice("f context", Choice("bfloat16", {"bfloat16": 59.2, "int8": 30}, ("int8",)))
    assert describe_choice("f") == f"{first} and bfloat16 (59.2 ms for some texts; int8 is not true to the model)"
    precision_choice.save_choice("g question", Choice("int8", {}, ()))
    assert describe_choice("g") == "int8 (quicker than float32 and true to the model)"
    precision_choice.save_choice("g question", Choice("float32", {}, ("int8",)))
    assert describe_choice("g") == "float32 (int8 is not true to the model)"
    precision_choice.save_choice("g question", Choice("int8", {}, (), 2))
    assert describe_choice("g") == "int8 (quicker than float32 and true to the model; a lone text on 2 threads)"


def test_a_machine_as_it_is(folder: Path) -> None:
    encoder = DualEncoder.from_pretrained(folder, device="cpu")
    encoder.encode_questions(QUESTIONS)
    assert describe_choice(encoder.fingerprint).startswith(encoder.runtime.removeprefix("OpenVINO in "))  # type: ignore[union-attr]
