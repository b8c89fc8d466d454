"""How many clusters of an inverted file are searched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import make_passages

from dpr_rag import PassageStore
from dpr_rag.index import kinds


@pytest.mark.parametrize(
    ("passages", "clusters", "probed"),
    [
        (100, 2, 2),
        (5_000, 128, 90),
        (36_009, 759, 220),
        (1_000_000, 4_000, 505),
        (5_000_000, 8_944, 1_118),
        (21_000_000, 18_330, 2_291),
    ],
)
def test_more_than_an_eighth_of_few_clusters_is_probed(passages: int, clusters: int, probed: int) -> None:
    parameters = kinds.plan("ivf-sq8", passages=passages, dim=384).parameters
    assert (parameters["nlist"], parameters["nprobe"]) == (clusters, probed)
    assert kinds.plan("ivf-sq8:nprobe=3", passages=passages, dim=384).parameters["nprobe"] == 3


def test_clusters_that_were_asked_for_are_probed_in_proportion() -> None:
    def asked(spec: str) -> int:
        return kinds.plan(spec, passages=1_000_000, dim=384).parameters["nprobe"]

    assert [asked(f"ivf:nlist={count}") for count in (16, 400, 64_000)] == [16, 160, 8_000]
    assert asked("ivf:nlist=64000,nprobe=7") == 7


def test_a_factory_string_probes_as_many_clusters_as_a_name(tmp_path: Path) -> None:
    """FAISS by itself probes one, which found a tenth here."""
    generator = np.random.default_rng(3)
    vectors, questions = (generator.standard_normal((size, 24)).astype(np.float32) for size in (5000, 100))
    with PassageStore.open(tmp_path / "store", index="IVF128,Flat") as store:
        store.add(make_passages(5000), vectors=vectors)
        store.optimize()
        by_string = store.measure_index_recall(questions, k=10)
        store.optimize("IVF128,Flat:nprobe=1")
        assert store.measure_index_recall(questions, k=10) < 0.3
        store.optimize("ivf:nlist=128")
        assert by_string == store.measure_index_recall(questions, k=10) > 0.97


def test_questions_that_lie_apart_from_passages_find_nearly_all() -> None:
    """Vectors without clusters; an eighth of theirs found 0.70."""
    generator = np.random.default_rng(3)
    vectors, questions = (generator.standard_normal((size, 24)).astype(np.float32) for size in (5000, 100))
    with PassageStore.temporary(index="ivf") as store:
        store.add(make_passages(5000), vectors=vectors)
        store.optimize()
        assert store.measure_index_recall(questions, k=10) >= 0.97
        store.optimize("ivf:nprobe=16")
        assert store.measure_index_recall(questions, k=10) < 0.9
