"""The state machine of the tests with more rules: copies, views, records, another encoder, and a reader beside the writer."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from conftest import assert_equals_oracle
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test
from test_store_machine import DIM, FILTERS, IDS, PASSAGES, VECTORS, StoreMachine
from trials.running import Kind
from trials.worlds import tuned

from dpr_rag import Passage, PassageStore
from dpr_rag.filters import parse_filter

EXAMPLES, LENGTH = 20, 60
KEYS = st.sampled_from(["a", "b", "ü"])
counted = {"steps": 0}


class Whole:
    """An encoder of whole numbers, which float16 holds as well."""

    dim = DIM
    source = "trials"

    def __init__(self, salt: int) -> None:
        self.salt = salt
        self.fingerprint = f"whole {salt}"

    def encode_passages(self, passages: Sequence[Passage]) -> np.ndarray:
        return self.encode_questions([f"{one.title}|{one.text}" for one in passages])

    def encode_questions(self, questions: Sequence[str]) -> np.ndarray:
        made = [[(sum(map(ord, text)) * (at + 2 + self.salt)) % 7 - 3 for at in range(DIM)] for text in questions]
        return np.array(made, np.float32).reshape(len(questions), DIM)


class LargeMachine(StoreMachine):
    """Runs more operations on a store and on the oracle, and a second handle that only reads."""

    reader: PassageStore | None = None
    records: Mapping[str, int] = {}  # never changed, only replaced
    weight: float | None = None
    copies = 0

    @rule(ids=st.lists(IDS, min_size=1, max_size=6), where=FILTERS.filter(lambda where: where is not None))
    def delete_of_ids_by_filter(self, ids: list[str], where: dict) -> None:
        kept = [one for one in ids if one in self.oracle.where(where)]
        assert self.store.delete(ids, filter=where) == self.oracle.delete(kept)

    @rule()
    def backup_and_look_into_it(self) -> None:
        copy = self._place()
        self.store.backup(copy)
        self._is_copy(copy)

    @rule(batch=st.lists(st.tuples(PASSAGES, VECTORS), max_size=3, unique_by=lambda pair: pair[0].id))
    def backup_change_and_restore(self, batch: list[tuple[Passage, list[int]]]) -> None:
        copy = self._place()
        self.store.backup(copy)
        if batch:
            self.store.add([one for one, _ in batch], vectors=[vector for _, vector in batch])
        self._close()
        PassageStore.restore(copy, self.path)
        shutil.rmtree(copy)
        self.store = PassageStore.open(self.path)

    @rule()
    def recover(self) -> None:
        if self.store.dim is not None:
            copy = self._place()
            report = PassageStore.recover(self.path, copy)
            assert not report.lost
            self._is_copy(copy)

    @rule(salt=st.integers(0, 2), size=st.integers(1, 9))
    def reencode(self, salt: int, size: int) -> None:
        encoder = Whole(salt)
        if self.store.dim is None:
            return
        had = self.store.info().fingerprint
        self.store.reencode(encoder, batch_size=size)
        for one, passage in self.oracle.passages.items():
            self.oracle.vectors[one] = encoder.encode_passages([passage])[0]
        if had != encoder.fingerprint:
            self.weight = None

    @rule(changes=st.dictionaries(KEYS, st.one_of(st.none(), st.integers(0, 3)), max_size=3))
    def write_records(self, changes: dict[str, int | None]) -> None:
        self.store.private.write({"notes": changes})
        kept = dict(self.records)
        for key, value in changes.items():
            if value is None:
                kept.pop(key, None)
            else:
                kept[key] = value
        self.records = kept

    @rule(weight=st.sampled_from([None, 0.5, 2.0]))
    def tune(self, weight: float | None) -> None:
        self.store.set_tuned(None if weight is None else tuned(weight))
        self.weight = weight

    @rule(
        where=FILTERS.filter(lambda where: where is not None),
        question=VECTORS,
        more=FILTERS,
        ids=st.lists(IDS, max_size=4),
    )
    def look_through_a_view(self, where: dict, question: list[int], more: dict | None, ids: list[str]) -> None:
        view = self.store.restricted(where)
        inside = set(self.oracle.where(where))
        kept = [one for one in self.oracle.where(more) if one in inside]
        assert view.count(more) == len(kept)
        assert [one.id for one in view] == self.oracle.where(where)
        assert [one.id for one in view.get(ids)] == [one for one in ids if one in inside]
        hits = view.search(np.array([question], np.float32), 15, more)[0]
        assert sorted(hit.passage.id for hit in hits) == sorted(kept)

    @rule(where=FILTERS.filter(lambda where: where is not None), ids=st.lists(IDS, max_size=4))
    def delete_through_a_view(self, where: dict, ids: list[str]) -> None:
        inside = [one for one in ids if one in self.oracle.where(where)]
        assert self.store.restricted(where).delete(ids) == self.oracle.delete(inside)

    @rule(n=st.integers(0, 2), text=st.sampled_from(["x", "v"]), one=IDS, vector=VECTORS)
    def add_through_a_view(self, n: int, text: str, one: str, vector: list[int]) -> None:
        where = {"n": n}
        old = self.oracle.passages.get(one)
        if old is None or parse_filter(where).matches(old):
            made = Passage(one, text, "", where)
            self.store.restricted(where).add([Passage(one, text)], vectors=[vector])
            self.oracle.add([made], np.array([vector], np.float32))

    @rule(question=VECTORS, k=st.integers(1, 15), where=FILTERS)
    def read_beside(self, question: list[int], k: int, where: dict | None) -> None:
        """A handle that stays open over the others' commits."""
        if self.reader is None:
            self.reader = PassageStore.open(self.path, read_only=True)
        if self.store.info().kind != "hnsw":
            assert_equals_oracle(self.reader, self.oracle, np.array([question], np.float32), k, where)
        assert self.reader.count(where) == len(self.oracle.where(where))
        assert list(self.reader) == list(self.oracle.passages.values())

    @rule()
    def reopen(self) -> None:
        self._close()
        self.store = PassageStore.open(self.path)

    @invariant()
    def keeps_the_same(self) -> None:
        counted["steps"] += 1
        if hasattr(self, "store"):
            assert self.store.private.read("notes") == self.records
            found = self.store.tuned
            assert (None if found is None else found.weight) == self.weight

    def teardown(self) -> None:
        if self.reader is not None:
            self.reader.close()
        super().teardown()

    def _place(self) -> Path:
        self.copies += 1
        return self.path.with_name(f"copy {self.copies}")

    def _is_copy(self, copy: Path) -> None:
        with PassageStore.open(copy) as opened:
            assert list(opened) == list(self.oracle.passages.values())
            assert_equals_oracle(opened, self.oracle, np.ones((1, DIM), np.float32), 15)
            assert opened.private.read("notes") == self.records
            opened.check()
        shutil.rmtree(copy)

    def _close(self) -> None:
        self.store.close()
        if self.reader is not None:
            self.reader.close()
            self.reader = None


def steps(number: int, _place: Path) -> dict[str, float]:
    """So many sequences of operations from one seed; hypothesis says the shortest that fails."""
    counted["steps"] = 0
    how: dict[str, Any] = {"database": None, "deadline": None, "suppress_health_check": list(HealthCheck)}
    machine = seed(number)(type("Machine", (LargeMachine,), {}))
    shrinking = (Phase.generate, Phase.shrink)
    run_state_machine_as_test(
        machine, settings=settings(max_examples=EXAMPLES, stateful_step_count=LENGTH, phases=shrinking, **how)
    )
    return {"steps": counted["steps"]}


STEPS = Kind("steps", steps, 2_000_000, unit="steps", seconds=3600)
