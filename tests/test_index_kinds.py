"""Every index kind, with filters and deletions, against the brute-force oracle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import Oracle, assert_equals_oracle, clustered, make_passages, overlap

from dpr_rag import Passage, PassageStore
from dpr_rag.errors import IndexKindError
from dpr_rag.index import kinds

COUNT, DIM = 3000, 32
FILTERS = [
    None,
    {"half": 1},
    {"rare": 7},
    {"id_number": {"$lt": 2700}},
    {"id_number": {"$in": [5, 2000, 9001, 9002]}},
    {"id_number": -1},
    {"$and": [{"half": 0}, {"title": {"$ne": "title 3"}}]},
]
# fully probed, or with an efSearch beyond what the graph could miss, every kind has to be exact after rescoring
EXACT = [
    "auto",
    "flat",
    "ivf:nprobe=1000",
    "ivf-sq8:nprobe=1000,oversample=10",
    "sq8:oversample=10",
    "fp16",
    "hnsw:links=48,efConstruction=200,efSearch=2000",
    "hnsw-sq8:links=48,efConstruction=200,efSearch=2000,oversample=10",
    "IVF20,Flat:nprobe=20",
    "rabitq:oversample=200",
    "ivf-rabitq:nprobe=1000,oversample=200",
    "PCA32,IVF16,SQ8:nprobe=16,oversample=20",
    "PCA24,Flat:oversample=400",
]
APPROXIMATE = ["hnsw", "hnsw-sq8", "ivf", "ivf-sq8", "ivf-rabitq", "rabitq", "sq8", "PQ8x4fs:oversample=40"]


@pytest.mark.parametrize("index", ["IVF20,Flat", "PQ8x4fs", "PCA16,IVF20,SQ8"])
def test_a_store_that_shrinks_below_what_trains_its_index_is_exact_until_it_grows(
    tmp_path: Path, index: str, caplog: pytest.LogCaptureFixture
) -> None:
    vectors = clustered(COUNT, DIM)
    with PassageStore.open(tmp_path / "s", index=index) as store:
        store.add(make_passages(600), vectors=vectors[:600])
        store.optimize()
        assert store.info().kind == index
        store.delete([str(at) for at in range(3, 600)])
        store.optimize()
        assert store.info().kind == "flat"
        assert f"3 passages are too few to train {index}: exact until there are more" in store.info().reason
        assert "3 vectors of 32 dimensions" in caplog.text
        assert [hit.passage.id for hit in store.search(vectors[:1], 5)[0]] == [
            str(at) for at in np.argsort(-(vectors[:3] @ vectors[0]))
        ]
        with pytest.raises(IndexKindError, match=r"3 vectors of 32 dimensions.*choose another index"):
            store.optimize(index="IVF5,Flat")
        store.add(make_passages(COUNT - 10, 10), vectors=vectors[10:])
        store.optimize()
        assert store.info().kind == index
    PassageStore.open(tmp_path / "s").check()


def test_an_index_that_was_trained_and_fails_now_stays_and_the_failure_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PassageStore.open(tmp_path / "s", index="IVF20,Flat") as store:
        store.add(make_passages(COUNT), vectors=clustered(COUNT, DIM))
        store.optimize()
        monkeypatch.setattr("dpr_rag.index.ann.train", fails_to_train)
        with pytest.raises(IndexKindError, match="an assertion of FAISS"):
            store.optimize()
        assert store.info().kind == "IVF20,Flat"


def fails_to_train(*_: object) -> None:
    raise RuntimeError("Error: an assertion of FAISS")


def filled(path: Path, index: str, dtype: str = "float32") -> tuple[PassageStore, Oracle]:
    """A base of 3,000, 375 of them deleted, 100 replaced, and 300 new ones in the tail."""
    store, oracle = PassageStore.open(path, index=index, dtype=dtype), Oracle()
    vectors = clustered(COUNT, DIM).astype(dtype).astype(np.float32)
    store.add(make_passages(COUNT), vectors=vectors)
    oracle.add(make_passages(COUNT), vectors)
    store.optimize()
    gone = [str(at) for at in range(0, COUNT, 8)]
    assert store.delete(gone) == oracle.delete(gone) == 375
    late = [*make_passages(100, 1), *make_passages(300, 9000)]
    others = clustered(400, DIM, seed=9).astype(dtype).astype(np.float32)
    store.add(late, vectors=others)
    oracle.add(late, others)
    return store, oracle


@pytest.fixture(params=EXACT)
def exact(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[PassageStore, Oracle]]:
    store, oracle = filled(tmp_path / "store", request.param)
    yield store, oracle
    store.close()


def test_exact_kinds_equal_the_oracle(exact: tuple[PassageStore, Oracle]) -> None:
    store, oracle = exact
    questions = clustered(12, DIM, seed=5)
    for where in FILTERS:
        for k in (1, 60):
            assert_equals_oracle(store, oracle, questions, k, where)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("index", APPROXIMATE)
def test_approximate_kinds_find_nearly_all(index: str, dtype: str, tmp_path: Path) -> None:
    store, oracle = filled(tmp_path / "store", index, dtype)
    questions = clustered(40, DIM, seed=5)
    everything = [dict(line) for line in oracle.search(questions, 10_000)]
    with store:
        for where in FILTERS:
            best = oracle.search(questions, 10, where)
            found = store.search(questions, 10, where)
            for hits, scores, expected in zip(found, everything, best, strict=True):
                assert len(hits) == len(expected)
                assert [hit.score for hit in hits] == pytest.approx([scores[hit.passage.id] for hit in hits], rel=1e-4)
                assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
            if best[0]:
                assert overlap(found, best) >= 0.95
        assert store.measure_index_recall(40, k=10) >= 0.95


@pytest.mark.untraced
def test_a_filter_selects_before_the_top_k(tmp_path: Path) -> None:
    vectors = clustered(20_500, 16)
    for index in ("hnsw", "ivf-sq8", "flat"):
        with PassageStore.temporary(index=index) as store:
            passages = [Passage(str(at), "t", metadata={"keep": at % 4100 == 0}) for at in range(20_500)]
            store.add(passages, vectors=vectors, batch_size=4000)
            assert store.wait_for_compaction()
            assert store.info().base == 20_500
            question = clustered(1, 16, seed=2)
            kept = [at for at in range(20_500) if at % 4100 == 0]
            expected = sorted(kept, key=lambda at: -float(vectors[at] @ question[0]))
            assert len(expected) == 5
            for k in (3, 5, 50):
                found = [int(hit.passage.id) for hit in store.search(question, k, {"keep": True})[0]]
                assert found == expected[:k]


@pytest.mark.parametrize("index", ["hnsw", "hnsw-sq8:links=16"])
def test_a_filter_by_topic_does_not_mislead_a_graph(index: str) -> None:
    vectors, questions = clustered(8000, 16), clustered(30, 16, seed=2)
    near = np.argsort(np.argsort(vectors @ questions[0])) / 8000
    with PassageStore.temporary(index=index) as store:
        store.add([Passage(str(at), "t", metadata={"near": float(near[at])}) for at in range(8000)], vectors=vectors)
        store.optimize()
        for where, kept in [({"near": {"$lt": 0.5}}, near < 0.5), ({"near": {"$gte": 0.7}}, near >= 0.7)]:
            expected = np.argsort(-np.where(kept, questions @ vectors.T, -np.inf), axis=1, kind="stable")[:, :10]
            hits = store.search(questions, 10, where)
            found = [{int(hit.passage.id) for hit in line} for line in hits]
            same = [len(line & set(best)) / 10 for line, best in zip(found, expected.tolist(), strict=True)]
            assert np.mean(same) >= 0.97
            assert same[0] == 1.0
            alone = [int(hit.passage.id) for hit in store.search(questions[:1], 10, where)[0]]
            assert alone == expected[0].tolist()


def test_product_quantizers_find_nearly_all() -> None:
    vectors, questions = clustered(12_000, 32), clustered(30, 32, seed=5)
    with PassageStore.temporary() as store:
        store.add(make_passages(12_000), vectors=vectors, batch_size=4000)
        for index in ("pq", "ivf-pq"):
            store.optimize(index)
            assert store.info().kind == index
            assert store.measure_index_recall(questions, k=10) >= 0.9
            question = questions[0].astype(np.float64)
            for hit in store.search(questions[:1], 10, {"half": 1})[0]:
                expected = float((vectors[int(hit.passage.id)].astype(np.float64) * question).sum())
                assert hit.score == pytest.approx(expected, rel=1e-4)
                assert hit.passage.metadata["half"] == 1


def test_ties_come_in_order_of_insertion_even_past_the_candidates() -> None:
    ones = np.ones((500, 8), np.float32)
    with PassageStore.temporary(index="flat") as store:
        store.add(make_passages(500), vectors=ones)
        store.optimize()
        store.add(make_passages(500, 500), vectors=ones)
        store.delete(["0", "2", "501"])
        alive = [at for at in range(1000) if at not in (0, 2, 501)]
        for k in (1, 5, 100, 700):
            found = [int(hit.passage.id) for hit in store.search(ones[:1], k)[0]]
            assert found == alive[:k]
            odd = [int(hit.passage.id) for hit in store.search(ones[:1], k, {"half": 1})[0]]
            assert odd == [at for at in alive if at % 2][:k]


def test_ties_in_a_large_segment_under_a_large_filter() -> None:
    with PassageStore.temporary(index="flat") as store:
        store.add(make_passages(6000), vectors=np.ones((6000, 2), np.float32), batch_size=6000)
        store.optimize()
        found = [int(hit.passage.id) for hit in store.search([[1.0, 1.0]], 30, {"half": 1})[0]]
        assert found == list(range(1, 60, 2))


def test_a_question_of_any_length_of_float16_store_is_scored_with_what_is_stored(tmp_path: Path) -> None:
    with PassageStore.temporary(dtype="float16") as store:
        store.add([Passage("a", "t")], vectors=[[0.1, 0.2]])
        stored = np.array([0.1, 0.2], np.float16).astype(np.float64)
        question = np.array([[3.0, 5.0]], np.float32)
        assert store.search(question, 1)[0][0].score == pytest.approx(float(stored @ question[0]), rel=1e-12)
        store.optimize()
        assert store.search(question, 1)[0][0].score == pytest.approx(float(stored @ question[0]), rel=1e-12)


def test_parameters_that_wait_for_another_kind_are_told() -> None:
    few, more, many = (kinds.plan("auto:nprobe=3", passages=count, dim=8) for count in (10, 200_000, 20_000_000))
    assert few.reason.endswith("; nprobe will count once it takes a kind that has such a parameter")
    assert "nprobe will count" in more.reason
    assert (more.name, "nprobe" in more.parameters) == ("hnsw-sq8", False)
    assert (many.parameters["nprobe"], "will count" in many.reason) == (3, False)
    assert kinds.plan("auto:oversample=9", passages=200_000, dim=8).oversample == 9


def test_plans_scale_with_size() -> None:
    small, large = (kinds.plan("ivf", passages=count, dim=384) for count in (10_000, 1_000_000))
    assert (small.factory, large.factory) == ("IVF256,Flat", "IVF4000,Flat")
    assert kinds.plan("auto", passages=10, dim=8).name == "flat"
    assert kinds.plan("auto", passages=200_000, dim=384).name == "hnsw-sq8"
    assert kinds.plan("auto", passages=20_000_000, dim=384).name == "ivf-sq8"
    assert "200,000" in kinds.plan("auto", passages=200_000, dim=384).reason
    assert kinds.plan("hnsw:links=64,efSearch=99", passages=10, dim=8).parameters == {
        "links": 64,
        "efSearch": 99,
        "efConstruction": 128,
    }
    assert kinds.plan("pq", passages=100, dim=8).name == "flat"


@pytest.mark.parametrize(("index", "links"), [("hnsw", 16), ("hnsw-sq8", 16), ("hnsw:links=24", 24)])
def test_a_graph_has_16_links_where_nothing_else_is_asked_for(index: str, links: int) -> None:
    """More links cost memory for every passage, fewer cost index recall."""
    import faiss

    assert kinds.plan(index, passages=1000, dim=8).factory.startswith(f"HNSW{links},")
    assert kinds.plan(index, passages=1000, dim=8).parameters["links"] == links
    with PassageStore.temporary(index=index) as store:
        store.add([Passage(str(at), "t") for at in range(200)], vectors=clustered(200, 8))
        store.optimize()
        assert store.info().parameters["links"] == links
        (path,) = store.path.rglob("faiss")
        whole = faiss.read_index(str(path))  # which owns the graph
        graph = faiss.downcast_index(whole.index) if hasattr(whole, "index") else whole
        assert (graph.hnsw.nb_neighbors(0), graph.hnsw.nb_neighbors(1)) == (2 * links, links)


def test_kinds_that_need_training_wait_for_enough() -> None:
    assert "10,000 passages to train" in kinds.plan("pq", passages=100, dim=8).reason
    assert kinds.plan("ivf-pq", passages=100_000, dim=384).factory == "IVF1264,PQ48"


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("hsnw", "unknown index 'hsnw'; choose auto, flat, hnsw"),
        ("hnsw:links", "index parameter 'links' of 'hnsw:links' is unknown or out of bounds"),
        ("hnsw:nlist=5", "index 'hnsw' has no parameter 'nlist'; it has links, efConstruction, efSearch, oversample"),
        ("flat:efSearch=5", "index 'flat' has no parameter 'efSearch'; it has oversample"),
        ("hnsw:links=0", "out of bounds"),
        ("hnsw:sausage=3", "'sausage=3'"),
        ("hnsw:links=64,links=32", "names the parameter 'links' twice; leave one of them out"),
        ("hnsw:links=" + "9" * 5000, "is unknown or out of bounds; there are"),
        ("hnsw:links=\uff14", "is unknown or out of bounds; there are"),
        ("hnsw:links=1025", "links=1 to 1,024"),
        ("HNSW1000000000,Flat", "1,000,000,000 links, expected 2 to 1,024"),
        ("HNSW1,Flat", "1 links, expected 2"),
        ("hnsw-sq8:links=1", "1 links, expected 2"),
        ("HNSWxyz,Flat", "FAISS cannot read the index 'HNSWxyz,Flat'"),
        ("IDMap,Flat", "plain rows"),
        ("'; DROP", "unknown index"),
    ],
)
def test_unusable_kinds_are_refused_by_name(index: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(IndexKindError, match=message):
        PassageStore.open(tmp_path / "store", index=index)
    assert not (tmp_path / "store").exists()


def test_an_index_faiss_cannot_train_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "store", index="hnsw") as store:
        store.add(make_passages(50), vectors=clustered(50, 8))
        store.optimize()
        before = store.info()
        with pytest.raises(IndexKindError, match="IVF100,Flat"):
            store.optimize("IVF100,Flat")
        assert store.info() == before
        assert store.check().indexed == 50
        assert [folder.name for folder in (tmp_path / "store" / "index").iterdir()] == [
            folder.name for folder in (tmp_path / "store" / "index").glob("base-*")
        ]


def shared_with_exact(path: Path, kind: str, vectors: np.ndarray, questions: np.ndarray) -> tuple[float, list[str]]:
    """Passages of the exact top 10 that an index brings, on average, and the first hits."""
    best = np.argsort(-(questions @ vectors.T), axis=1)[:, :10]
    with PassageStore.open(path, index=kind) as store:
        store.add([Passage(str(at), "x") for at in range(len(vectors))], vectors=vectors)
        store.optimize()
        found = [[hit.passage.id for hit in hits] for hits in store.search(questions, 10)]
    shared = [len(set(ids) & set(map(str, row))) for ids, row in zip(found, best, strict=True)]
    return float(np.mean(shared)), [ids[0] for ids in found]


@pytest.mark.parametrize("kind", ["sq8", "hnsw-sq8", "ivf-sq8"])
@pytest.mark.parametrize("longer", [10.0, 1000.0])
def test_one_long_vector_leaves_the_others_their_steps(
    kind: str, longer: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It comes first for those questions that it fits; the rest of each result is as good as without it."""
    rng = np.random.default_rng(4)
    vectors, questions = (rng.normal(size=(size, 32)).astype(np.float32) for size in (4000, 50))
    usual, _ = shared_with_exact(tmp_path / "usual", kind, vectors, questions)
    assert caplog.text == ""
    vectors[1234] *= longer
    found, first = shared_with_exact(tmp_path / "long", kind, vectors, questions)
    assert found > usual - 0.2
    assert "1 of 4000 vectors are more than 3 times as long as nearly all others" in caplog.text
    scores = questions @ vectors.T
    assert [at for at, one in enumerate(first) if one == "1234"] == np.flatnonzero(
        scores.argmax(axis=1) == 1234
    ).tolist()
