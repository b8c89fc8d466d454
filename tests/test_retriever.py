"""Questions in words: one, many, asynchronous, and refused."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import HashEncoder, make_passages

from dpr_rag import Calibration, Diversity, Passage, PassageStore, Ranking, Retriever
from dpr_rag.errors import EncoderMismatchError, FilterError, PassageError, VectorError
from dpr_rag.fusion import Mode, diversified
from dpr_rag.store import calibrating, ranking

QUESTIONS = ["text number 3 title 3", "number 11", "title 5 text"]


def test_hits_are_those_of_the_encoded_question(store: PassageStore, encoder: HashEncoder) -> None:
    store.add(make_passages(40))
    retriever = Retriever(store, k=4)
    vectors = encoder.encode_questions(QUESTIONS)
    passages = list(store)
    scores = vectors.astype(np.float64) @ encoder.encode_passages(passages).astype(np.float64).T
    for question, line in zip(QUESTIONS, scores, strict=True):
        best = [passages[at] for at in np.argsort(-line, kind="stable")[:4]]
        assert [hit.passage for hit in retriever.retrieve(question)] == best
    assert retriever.retrieve_batch(QUESTIONS) == [retriever.retrieve(question) for question in QUESTIONS]
    assert len(retriever.retrieve(QUESTIONS[0], 7)) == 7
    assert {hit.passage.metadata["half"] for hit in retriever.retrieve(QUESTIONS[0], filter={"half": 1})} == {1}
    assert retriever.retrieve_batch([]) == []


def test_asynchronous_calls_leave_the_event_loop_free(store: PassageStore, encoder: HashEncoder) -> None:
    store.add(make_passages(10))
    retriever = Retriever(store, k=2)
    release = threading.Event()

    class Slow(HashEncoder):
        def encode_questions(self, questions: object) -> np.ndarray:
            assert release.wait(60), "the event loop was blocked"
            return super().encode_questions(questions)

    async def both() -> tuple[object, object]:
        slow = [asyncio.create_task(retriever.aretrieve(QUESTIONS[0]))]
        slow.append(asyncio.create_task(retriever.aretrieve_batch(QUESTIONS, k=1, filter={"half": 0})))
        await asyncio.sleep(0.05)
        release.set()
        return await slow[0], await slow[1]

    expected = retriever.retrieve(QUESTIONS[0]), retriever.retrieve_batch(QUESTIONS, 1, {"half": 0})
    store._engine.encoder = Slow()
    assert asyncio.run(both()) == expected


def test_bad_calls_are_refused(store: PassageStore, encoder: HashEncoder) -> None:
    store.add(make_passages(3))
    retriever = Retriever(store)
    for question in ("", "  ", None, 5):
        with pytest.raises(PassageError, match="question"):
            retriever.retrieve(question)  # type: ignore[arg-type]
    with pytest.raises(PassageError, match=r"call retrieve\(\) for one"):
        retriever.retrieve_batch("who?")
    for k in (0, -1, True, 1.5):
        with pytest.raises(VectorError, match="k is"):
            Retriever(store, k=k)  # type: ignore[arg-type]
    with pytest.raises(VectorError, match="k is 0"):
        retriever.retrieve("who?", k=0)
    with PassageStore.open(store.path) as bare, pytest.raises(EncoderMismatchError, match="without an encoder"):
        Retriever(bare).retrieve("who?")


def test_diversity_chooses_among_the_candidates_by_their_stored_vectors(
    store: PassageStore, encoder: HashEncoder
) -> None:
    passages = make_passages(40)
    store.add(passages)
    (question,) = encoder.encode_questions(QUESTIONS[:1])
    best = Retriever(store).retrieve(QUESTIONS[0], 15)
    chosen = diversified(question, encoder.encode_passages([hit.passage for hit in best]), 5, 0.4)
    hits = Retriever(store).retrieve(QUESTIONS[0], 5, diversity=Diversity(candidates=15, balance=0.4))
    assert [hit.passage.id for hit in hits] == [best[at].passage.id for at in chosen]
    assert [hit.score for hit in hits] == [best[at].score for at in chosen]
    assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("mode", ["bm25", "hybrid"])
def test_diversity_balances_scores_from_0_to_1_with_cosines(store: PassageStore, mode: Mode) -> None:
    store.add(make_passages(40))
    hits = Retriever(store, k=20, mode=mode).retrieve("text number 3 title 3 11")
    vectors = store.get_vectors([hit.passage.id for hit in hits])
    scores = np.array([hit.score for hit in hits])
    relevance = (scores - scores[-1]) / (scores[0] - scores[-1])
    units = np.stack([vectors[hit.passage.id] / np.linalg.norm(vectors[hit.passage.id]) for hit in hits])
    chosen = [0]
    while len(chosen) < 6:
        gains = {
            at: 0.5 * relevance[at] - 0.5 * max(float(units[at] @ units[one]) for one in chosen)
            for at in range(len(hits))
            if at not in chosen
        }
        chosen.append(max(gains, key=lambda at: gains[at]))
    found = Retriever(store, k=6, mode=mode).retrieve("text number 3 title 3 11", diversity=Diversity(20, 0.5))
    assert [hit.passage.id for hit in found] == [hits[at].passage.id for at in chosen]
    assert chosen != list(range(6))


def test_vectors_that_are_known_already_are_not_encoded_again(store: PassageStore, encoder: HashEncoder) -> None:
    store.add(make_passages(20))
    vectors = encoder.encode_questions(QUESTIONS)
    with PassageStore.open(store.path) as bare:
        for ranking in (Ranking(), Ranking("hybrid", 0.5), Ranking("bm25")):
            expected = store.rank(QUESTIONS, 4, ranking=ranking)
            assert bare.rank(QUESTIONS, 4, ranking=ranking, vectors=vectors) == expected
    with pytest.raises(PassageError, match="wrap it as"):
        store.rank("two words", 2)
    with pytest.raises(PassageError, match="question"):
        store.rank([" "], 2)


@pytest.mark.parametrize("mode", ["dense", "bm25", "hybrid"])
def test_diversity_among_nothing_is_nothing(store: PassageStore, mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add(make_passages(30))
    retriever = Retriever(store, mode=mode)
    assert retriever.retrieve(QUESTIONS[0], 5, {"half": 7}, diversity=Diversity()) == []
    found = retriever.retrieve_batch(["zyzzyva", QUESTIONS[0]], 5, diversity=Diversity())
    assert [len(line) for line in found] == [0 if mode == "bm25" else 5, 5]
    keep_none = Calibration(slope=1e-6, offset=-9)
    monkeypatch.setattr(calibrating, "calibration", lambda *_: keep_none)
    assert retriever.retrieve(QUESTIONS[0], 5, diversity=Diversity(), min_relevance=0.5) == []


@pytest.mark.parametrize("mode", ["dense", "bm25", "hybrid"])
def test_diversity_chooses_among_20_by_an_even_balance_where_nothing_is_said(store: PassageStore, mode: Mode) -> None:
    store.add([Passage(str(at), f"word {'x' * at} number {at}") for at in range(40)])
    retriever = Retriever(store, mode=mode)
    ranked = retriever.retrieve("word number 3 7 11", 40)
    assert len(ranked) == 40
    found = retriever.retrieve("word number 3 7 11", 8, diversity=Diversity())
    assert found == retriever.retrieve("word number 3 7 11", 8, diversity=Diversity(candidates=20, balance=0.5))
    whole = retriever.retrieve("word number 3 7 11", 20, diversity=Diversity())
    assert {hit.passage.id for hit in whole} == {hit.passage.id for hit in ranked[:20]}
    assert [hit.passage.id for hit in found] == [hit.passage.id for hit in whole[:8]]


def test_diversity_holds_to_the_filter_and_to_k(store: PassageStore) -> None:
    store.add(make_passages(40))
    hits = Retriever(store).retrieve(QUESTIONS[0], 30, {"half": 1}, diversity=Diversity(candidates=3))
    assert sorted(int(hit.passage.id) for hit in hits) == list(range(1, 40, 2))
    for k in (0, -3, True, 2.5):
        with pytest.raises(VectorError, match=f"k is {k}"):
            Retriever(store).retrieve(QUESTIONS[0], k, diversity=Diversity())


def test_a_misspelt_option_is_refused(store: PassageStore) -> None:
    with pytest.raises(TypeError, match="min_relevence"):
        Retriever(store).retrieve("x", min_relevence=0.9)


def test_diversity_reads_vectors_of_the_generation_that_was_searched(
    store: PassageStore, encoder: HashEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(make_passages(40))
    expected = Retriever(store).retrieve(QUESTIONS[0], 5, diversity=Diversity())
    choose = ranking.diversified

    def interrupted(*given: object) -> list[int]:
        with PassageStore.open(store.path, encoder=encoder) as other:
            other.delete([hit.passage.id for hit in expected])
            other.reencode(HashEncoder(7))
        return choose(*given)

    monkeypatch.setattr(ranking, "diversified", interrupted)
    assert Retriever(store).retrieve(QUESTIONS[0], 5, diversity=Diversity()) == expected


def test_a_predicate_selects_before_the_top_k(store: PassageStore, encoder: HashEncoder) -> None:
    store.add(make_passages(40))
    few = {"3", "17", "31"}
    hits = Retriever(store, k=10).retrieve(QUESTIONS[0], filter=lambda passage: passage.id in few)
    by_ids = Retriever(store, k=10).retrieve(QUESTIONS[0], filter={"id": {"$in": sorted(few)}})
    assert {hit.passage.id for hit in hits} == few
    assert hits == by_ids
    assert store.count(lambda passage: passage.title == "title 3") == store.count({"title": "title 3"}) > 0
    assert store.delete(filter=lambda passage: passage.id in few) == 3
    assert store.get(sorted(few)) == []
    with pytest.raises(ZeroDivisionError):
        store.count(lambda passage: 1 / 0)
    with pytest.raises(FilterError, match="the predicate failed on passage '0'"):
        store.count(lambda passage: b"\xff".decode())
    assert len(store) == 37


def test_a_threshold_leaves_out_what_is_less_relevant() -> None:
    words = np.random.default_rng(5).integers(0, 3000, (60, 12))
    texts = [" ".join(f"w{word}" for word in row) for row in words]
    with PassageStore.temporary(encoder=HashEncoder(64)) as store:
        store.add(Passage(str(at), text) for at, text in enumerate(texts))
        retriever = Retriever(store, k=60)
        question = " ".join(texts[3].split()[:5])
        hits = retriever.retrieve(question)
        relevances = [retriever.relevance(hit.score) for hit in hits]
        assert relevances == sorted(relevances, reverse=True)
        assert hits[0].passage.id == "3"
        assert relevances[0] > 0.6 > 0.4 > relevances[1]
        assert [hit.passage.id for hit in retriever.retrieve(question, min_relevance=0.5)] == ["3"]
        assert retriever.retrieve(question, min_relevance=relevances[6]) == hits[:7]
        assert retriever.retrieve(question, min_relevance=0.0) == hits
        with pytest.raises(VectorError, match="min_relevance"):
            retriever.retrieve(question, min_relevance=75)


def test_relevance_is_fitted_anew_when_the_store_has_grown(store: PassageStore) -> None:
    retriever = Retriever(store)
    assert retriever.relevance(0.0) == 0.5  # an empty store knows nothing
    store.add(make_passages(30))
    fitted = retriever.relevance(20.0)
    assert fitted != Calibration().relevance(20.0)
    store.add(make_passages(20, 30))
    assert retriever.relevance(20.0) == fitted
    store.add([Passage(str(at), f"other words {at} " * 5) for at in range(100, 200)])
    assert retriever.relevance(20.0) != fitted
    assert Retriever(store).relevance(20.0) == retriever.relevance(20.0)


def test_the_calibration_is_fitted_once_for_all(store: PassageStore, encoder: HashEncoder) -> None:
    store.add(make_passages(30))
    encoded: list[int] = []
    encode = encoder.encode_questions
    encoder.encode_questions = lambda questions: (encoded.append(len(questions)), encode(questions))[1]
    with ThreadPoolExecutor(4) as threads:
        found = set(threads.map(lambda _: Retriever(store).calibration, range(8)))
    assert len(found) == 1
    assert encoded == [30]


def test_relevance_without_an_encoder_compares_the_stored_vectors() -> None:
    with PassageStore.temporary() as store:
        store.add(make_passages(2), vectors=[[10.0, 0.0], [0.0, 10.0]])
        relevance = Retriever(store).relevance
        assert relevance(100.0) > 0.6
        assert relevance(0.0) < 0.4
        hits = Retriever(store).retrieve_by_vectors([[9.0, 1.0]], min_relevance=0.5)
        assert [hit.passage.id for hit in hits[0]] == ["0"]


def test_samples_hardly_change_when_a_passage_goes(store: PassageStore) -> None:
    store.add(make_passages(500))
    before = [passage.id for passage in store.sample(64)[0]]
    store.delete([before[7]])
    after = [passage.id for passage in store.sample(64)[0]]
    assert len({*before} - {*after}) == 1
    assert len({*after} - {*before}) == 1
    assert len({int(name) // 50 for name in after}) == 10  # from everywhere


def test_the_only_passage_with_a_word_comes_first_in_hybrid(store: PassageStore, encoder: HashEncoder) -> None:
    store.add([*make_passages(300), Passage("code", "nothing else like it stands here, QRT88 at the end")])
    question = "zebra QRT88"
    dense = [hit.passage.id for hit in Retriever(store, k=301, mode="dense").retrieve(question)]
    assert dense.index("code") > 3
    hits = Retriever(store, k=3, mode="hybrid", weight=0.01).retrieve(question)
    assert hits[0].passage.id == "code"
    assert (hits[0].bm25 or 0) > 1
    assert hits[1].bm25 == 0


def test_vectors_and_samples_are_what_was_stored(store: PassageStore, encoder: HashEncoder) -> None:
    passages = make_passages(12)
    store.add(passages)
    store.delete(["4"])
    vectors = store.get_vectors(["7", "4", "nowhere", "2"])
    assert sorted(vectors) == ["2", "7"]
    for one, vector in vectors.items():
        assert np.array_equal(vector, encoder.encode_passages([passages[int(one)]])[0])
    drawn, drawn_vectors = store.sample(5)
    assert len({passage.id for passage in drawn} - {"4"}) == 5
    assert np.array_equal(drawn_vectors, encoder.encode_passages(drawn))
    assert store.sample(5)[0] == drawn
    for count in (0, -1, "x", True):
        with pytest.raises(VectorError, match="count is"):
            store.sample(count)
    assert sorted(passage.id for passage in store.sample(99)[0]) == sorted(set(map(str, range(12))) - {"4"})
