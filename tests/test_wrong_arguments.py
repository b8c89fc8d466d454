"""Whatever a public name of the core is given, it answers with an error of dpr-rag that says what to give instead."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import HashEncoder, make_passages

from dpr_rag import (
    BM25,
    Calibration,
    Diversity,
    DualEncoder,
    Filter,
    LibraryEncoder,
    Passage,
    PassageStore,
    Ranking,
    Retriever,
    Tuned,
    check_question,
    format_passages,
    load_encoder,
    parse_passages,
    to_json_metadata,
)
from dpr_rag.encoders.loaded import LoadedEncoder
from dpr_rag.errors import DprRagError, PassageError, StoreError, VectorError
from dpr_rag.fusion import RankingOptions, SearchRequest

PASSAGES = make_passages(5)
VALUES: dict[str, Any] = {
    "None": None,
    "5": 5,
    "0": 0,
    "-1": -1,
    "2.5": 2.5,
    "nan": float("nan"),
    "True": True,
    "text": "text",
    "empty": "",
    "bytes": b"text",
    "[text]": ["text"],
    "[None]": [None],
    "[5]": [5],
    "[bytes]": [b"text"],
    "{}": {},
    "{a: 1}": {"a": 1},
    "array": np.zeros((2, 2)),
    "passage": PASSAGES[0],
    "[passage]": [PASSAGES[0]],
    "class": Passage,
    "object": object(),
}
COUNTS, SHARES = "5", "0"
QUESTIONS = np.zeros((1, 16), np.float32)


class Place:
    """An open store, a retriever on it, and a folder for others."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.encoder = folder, HashEncoder()
        self.store = PassageStore.open(folder / "store", encoder=self.encoder)
        self.store.add(PASSAGES)
        self.retriever = Retriever(self.store)

    def opened(self, **options: Any) -> None:
        PassageStore.open(self.folder / "other", **{"encoder": self.encoder, **options}).close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("place"))
    yield made
    made.store.close()


Call = Callable[[Place, Any], Any]
# What is called, and the values that are none of the wrong ones.
CALLS: dict[str, tuple[Call, str]] = {
    "add": (lambda p, v: p.store.add(v), "[passage]"),
    "add vectors": (lambda p, v: p.store.add(PASSAGES, vectors=v), "None"),
    "add batch_size": (lambda p, v: p.store.add(PASSAGES, batch_size=v), COUNTS),
    "add progress": (lambda p, v: p.store.add(PASSAGES, progress=v), "None class"),
    "add replace": (lambda p, v: p.store.add(PASSAGES, replace=v), ""),
    "delete": (lambda p, v: p.store.delete(v), "[text]"),
    "delete filter": (lambda p, v: p.store.delete(filter=v), "{a: 1}"),
    "get": (lambda p, v: p.store.get(v), "[text] {} {a: 1}"),
    "get_vectors": (lambda p, v: p.store.get_vectors(v), "[text] {} {a: 1}"),
    "sample": (lambda p, v: p.store.sample(v), COUNTS),
    "count": (lambda p, v: p.store.count(v), "None {} {a: 1}"),
    "optimize": (lambda p, v: p.store.optimize(v), "None"),
    "optimize language": (lambda p, v: p.store.optimize(language=v), "None"),
    "backup": (lambda p, v: p.store.backup(v), "text"),
    "restore": (lambda p, v: PassageStore.restore(v, p.folder / "restored"), ""),
    "restore to": (lambda p, v: PassageStore.restore(p.folder / "nothing", v), ""),
    "reencode": (lambda p, v: p.store.reencode(v), ""),
    "reencode batch_size": (lambda p, v: p.store.reencode(p.encoder, batch_size=v), COUNTS),
    "reencode progress": (lambda p, v: p.store.reencode(p.encoder, progress=v), "None class"),
    "search": (lambda p, v: p.store.search(v, 3), ""),
    "search k": (lambda p, v: p.store.search(QUESTIONS, v), COUNTS),
    "search exact": (lambda p, v: p.store.search(QUESTIONS, 2, exact=v), "True"),
    "search filter": (lambda p, v: p.store.search(QUESTIONS, 2, v), "None {} {a: 1}"),
    "search diversity": (lambda p, v: p.store.search(QUESTIONS, 2, diversity=v), "None"),
    "search min_relevance": (lambda p, v: p.store.search(QUESTIONS, 2, min_relevance=v), f"None {SHARES}"),
    "rank": (lambda p, v: p.store.rank(v, 2), "[text]"),
    "rank ranking": (lambda p, v: p.store.rank(["q"], 2, ranking=v), "None"),
    "rank vectors": (lambda p, v: p.store.rank(["q"], 2, vectors=v), "None"),
    "candidates": (lambda p, v: p.store.candidates(v, Ranking("hybrid")), "[text]"),
    "candidates ranking": (lambda p, v: p.store.candidates(["q"], v), ""),
    "select": (lambda p, v: p.store.select(v), "None {} {a: 1}"),
    "select k": (lambda p, v: p.store.select(None, v), f"None {COUNTS}"),
    "ranking_for": (lambda p, v: p.store.ranking_for(v), "None"),
    "ranking_for weight": (lambda p, v: p.store.ranking_for("hybrid", v), "None 5 0 2.5"),
    "ranking_for fusion": (lambda p, v: p.store.ranking_for("hybrid", None, v), "None"),
    "set_tuned": (lambda p, v: p.store.set_tuned(v), "None"),
    "calibration_of": (lambda p, v: p.store.calibration_of(v), ""),
    "suggested_weight": (lambda p, v: p.store.suggested_weight(v), "None"),
    "settled": (lambda p, v: p.store.settled(v), ""),
    "index recall": (lambda p, v: p.store.measure_index_recall(v), COUNTS),
    "index recall k": (lambda p, v: p.store.measure_index_recall(2, k=v), COUNTS),
    "encode_questions": (lambda p, v: p.store.encode_questions(v), "[text]"),
    "PassageStore": (lambda p, v: PassageStore(v), ""),
    "open": (lambda p, v: PassageStore.open(v, create=False), ""),
    "open encoder": (lambda p, v: p.opened(encoder=v), "None"),
    "open index": (lambda p, v: p.opened(index=v), ""),
    "open dtype": (lambda p, v: p.opened(dtype=v), ""),
    "open timeout": (lambda p, v: p.opened(timeout=v), "5 0 2.5"),
    "open language": (lambda p, v: p.opened(language=v), "None"),
    "open create": (lambda p, v: p.opened(create=v), "True"),
    "open read_only": (lambda p, v: p.opened(read_only=v), "True"),
    "open bind": (lambda p, v: p.opened(bind=v), "True"),
    "temporary encoder": (lambda p, v: PassageStore.temporary(encoder=v).close(), "None"),
    "Retriever": (lambda p, v: Retriever(v), ""),
    "Retriever k": (lambda p, v: Retriever(p.store, k=v), COUNTS),
    "Retriever mode": (lambda p, v: Retriever(p.store, mode=v), "None"),
    "Retriever weight": (lambda p, v: Retriever(p.store, mode="hybrid", weight=v), "None 5 0 2.5"),
    "Retriever fusion": (lambda p, v: Retriever(p.store, mode="hybrid", fusion=v), "None"),
    "Retriever ranking": (lambda p, v: Retriever(p.store, ranking=v), "None"),
    "retrieve": (lambda p, v: p.retriever.retrieve(v), "text"),
    "retrieve k": (lambda p, v: p.retriever.retrieve("q", v), f"None {COUNTS}"),
    "retrieve filter": (lambda p, v: p.retriever.retrieve("q", filter=v), "None {} {a: 1}"),
    "retrieve diversity": (lambda p, v: p.retriever.retrieve("q", diversity=v), "None"),
    "retrieve min_relevance": (lambda p, v: p.retriever.retrieve("q", min_relevance=v), f"None {SHARES}"),
    "retrieve_batch": (lambda p, v: p.retriever.retrieve_batch(v), "[text]"),
    "retrieve_batch k": (lambda p, v: p.retriever.retrieve_batch([], v), f"None {COUNTS}"),
    "retrieve_batch vectors": (lambda p, v: p.retriever.retrieve_batch(["q"], vectors=v), "None"),
    "retrieve_by_vectors": (lambda p, v: p.retriever.retrieve_by_vectors(v), ""),
    "relevance": (lambda p, v: p.retriever.relevance(v), "5 0 -1 2.5 nan"),
    "aretrieve": (lambda p, v: asyncio.run(p.retriever.aretrieve(v)), "text"),
    "aretrieve_batch": (lambda p, v: asyncio.run(p.retriever.aretrieve_batch(v)), "[text]"),
    "Passage id": (lambda p, v: Passage(v, "a"), "text"),
    "Passage text": (lambda p, v: Passage("1", v), "text"),
    "Passage title": (lambda p, v: Passage("1", "a", v), "text empty"),
    "Passage metadata": (lambda p, v: Passage("1", "a", "", v), "{} {a: 1}"),
    "Passage.made": (lambda p, v: Passage.made("1", v), "text"),
    "Passage.made policy": (lambda p, v: Passage.made("1", "a", on_bad_text=v), ""),
    "restricted": (lambda p, v: p.store.restricted(v), "{a: 1}"),
    "to_json_metadata": (lambda p, v: to_json_metadata(v), "{} {a: 1}"),
    "to_json_metadata default": (lambda p, v: to_json_metadata({"a": object()}, default=v), "class"),
    "check_question": (lambda p, v: check_question(v), "text"),
    "format_passages": (lambda p, v: format_passages(v), "[passage]"),
    "format_passages start": (lambda p, v: format_passages(PASSAGES, start=v), "5 0"),
    "parse_passages": (lambda p, v: parse_passages(v), "empty"),
    "Ranking": (lambda p, v: Ranking(v), ""),
    "Ranking weight": (lambda p, v: Ranking("hybrid", v), "None 5 0 2.5"),
    "Ranking fusion": (lambda p, v: Ranking("hybrid", fusion=v), ""),
    "Ranking candidates": (lambda p, v: Ranking("hybrid", candidates=v), COUNTS),
    "Ranking bm25": (lambda p, v: Ranking("hybrid", bm25=v), ""),
    "BM25 k1": (lambda p, v: BM25(v), "5 0 2.5"),
    "BM25 b": (lambda p, v: BM25(b=v), SHARES),
    "BM25 phrases": (lambda p, v: BM25(phrases=v), "None 5 0 2.5"),
    "Diversity": (lambda p, v: Diversity(v), COUNTS),
    "Diversity balance": (lambda p, v: Diversity(balance=v), SHARES),
    "Calibration": (lambda p, v: Calibration(v), "5 0 -1 2.5"),
    "Calibration.relevance": (lambda p, v: Calibration().relevance(v), "5 0 -1 2.5 nan"),
    "Calibration.keeps": (lambda p, v: Calibration().keeps(v), SHARES),
    "Calibration.fit": (lambda p, v: Calibration.fit(v, v), "[5]"),
    "Calibration.anchored": (lambda p, v: Calibration.anchored(v, v), "[5]"),
    "Tuned": (lambda p, v: Tuned(v), ""),
    "Tuned.from_dict": (lambda p, v: Tuned.from_dict(v), ""),
    "Filter.from_dict": (lambda p, v: Filter.from_dict(v), "{} {a: 1}"),
    "Filter.matches": (lambda p, v: Filter.from_dict({"a": 1}).matches(v), "{} {a: 1} passage"),
    "DualEncoder.from_pretrained": (lambda p, v: DualEncoder.from_pretrained(v), "text"),
    "LibraryEncoder.from_pretrained": (lambda p, v: LibraryEncoder.from_pretrained(v), "text"),
    "load_encoder": (lambda p, v: load_encoder(v), "text"),
    "encoder questions": (lambda p, v: LoadedEncoder("x")._checked(v), "[text]"),
}
ADVICE = re.compile(
    r"\b(expected|give|pass|call|choose|wrap|make|fill|drop|ask|name|write|load|check|cannot be fitted)\b"
)


@pytest.mark.parametrize("name", CALLS)
def test_wrong_arguments_are_told_what_fits_and_nothing_is_lost(name: str, place: Place) -> None:
    call, right = CALLS[name]
    fitting = {one for one in VALUES if re.search(rf"(^| ){re.escape(one)}( |$)", right)}
    before = list(place.store)
    told = {}
    for wrong in VALUES.keys() - fitting:
        with pytest.raises(DprRagError) as raised:
            call(place, VALUES[wrong])
        told[wrong] = str(raised.value)
        assert list(place.store) == before, wrong
    assert [wrong for wrong, text in told.items() if not ADVICE.search(text)] == []


@pytest.mark.parametrize("name", [name for name, (_, right) in CALLS.items() if right and "text" not in right.split()])
def test_the_right_ones_are_taken(name: str, place: Place) -> None:
    call, right = CALLS[name]
    for fitting in VALUES:
        if re.search(rf"(^| ){re.escape(fitting)}( |$)", right) and fitting != "class":
            call(place, VALUES[fitting])
    assert len(place.store) == 5


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda p: p.store.add(None), PassageError, "NoneType None, expected a list of passages; give a dpr_rag"),
        (lambda p: p.store.add("text"), PassageError, "the string 'text', expected a list of passages; give a dpr_rag"),
        (lambda p: p.store.add(["s"]), PassageError, "str 's' is no passage; give a dpr_rag.Passage(id=…, text=…)"),
        (lambda p: Retriever("path"), DprRagError, "store is str 'path', expected an open PassageStore; open one with"),
        (lambda p: p.store.get(None), StoreError, "ids is NoneType None, expected a list of ids; give [] for none"),
        (lambda p: p.store.delete(None), StoreError, "delete() got neither ids nor a filter; give one of them, or both for"),
        (lambda p: p.store.delete("id"), StoreError, "ids is the string 'id', expected a list of ids; wrap it as ['id']"),
        (lambda p: p.store.delete({"year": 1}), StoreError, "to delete what a filter keeps, pass filter="),
        (lambda p: p.store.delete([PASSAGES[0]]), StoreError, "expected a string; give its .id"),
        (lambda p: p.retriever.retrieve(None), PassageError, "question is NoneType None, expected a string; ask with at least"),
        (lambda p: p.retriever.retrieve(b"who"), PassageError, "expected a string; decode it, as with .decode('utf-8')"),
        (lambda p: p.retriever.retrieve(["a", "b"]), PassageError, "pass one string for each, as retrieve_batch() takes them"),
        (lambda p: p.retriever.retrieve({"x": 1, "query": "a"}), PassageError, "pick the string out of it, as with ['query']"),
        (lambda p: p.retriever.retrieve(5), PassageError, "question is int 5, expected a string; convert it with str()"),
        (lambda p: p.retriever.retrieve("q", "5"), VectorError, "k is '5', expected an integer of at least 1"),
        (lambda p: p.retriever.retrieve("q", True), VectorError, "k is True, expected an integer of at least 1"),
        (lambda p: Passage("1", ["a", "b"]), PassageError, "text is list ['a', 'b'], expected a string; join the parts to one"),
        (lambda p: Passage("1", None), PassageError, "text is NoneType None, expected a string; fill it in, or leave it out"),
        (lambda p: p.opened(read_only="false"), DprRagError, "read_only is the string 'false', expected True or False"),
        (lambda p: p.opened(encoder="my-model"), DprRagError, "; load a model by its name with load_encoder"),
    ],
)  # fmt: skip
def test_what_is_said(call: Callable[[Place], Any], kind: type[DprRagError], said: str, place: Place) -> None:
    with pytest.raises(kind) as raised:
        call(place)
    assert said in str(raised.value)


def test_numbers_of_numpy_count_as_pythons_own(place: Place) -> None:
    three = np.int64(3)
    assert len(place.retriever.retrieve("text", three)) == len(Retriever(place.store, k=three).retrieve("text")) == 3
    assert Ranking("hybrid", np.float32(0.5)) == Ranking("hybrid", 0.5)
    assert [type(one) for one in (BM25(np.float32(1)).k1, Diversity(three).candidates)] == [float, int]
    store, vectors = place.store, place.store.get_vectors(["1"])["1"][None]
    assert store.search(vectors, three) == store.search(vectors, 3, exact=np.True_)
    assert len(store.rank(["text"], three)[0]) == len(store.select({}, three)) == 3
    options = RankingOptions("hybrid", np.float32(0.5), candidates=three, k1=np.float32(1), b=np.float16(1))
    request = SearchRequest(["text"], three, min_relevance=np.float32(0.5), exact=np.False_)
    assert place.retriever.relevance(np.float32(0.1)) == place.retriever.relevance(float(np.float32(0.1)))
    made = (Calibration(np.float32(2), np.int8(1)), Tuned(Ranking(), weight=np.float32(1)), options, request)
    for one in made:
        values = [getattr(one, name) for name in type(one).__dataclass_fields__]
        assert not [value for value in values if type(value).__module__ == "numpy"]


def test_exact_is_true_or_false(place: Place) -> None:
    for call in (lambda: place.store.search([[0.0] * place.store.dim], 1, exact="no"), lambda: SearchRequest(exact=1)):
        with pytest.raises(VectorError, match=r"exact is .*, expected a bool: True or False"):
            call()


def test_integers_too_large_for_a_float_are_refused_by_name() -> None:
    with PassageStore.temporary() as store:
        for vectors in ([[10**400, 0]], [[10**5000]]):
            with pytest.raises(VectorError):
                store.add([Passage("b", "text")], vectors=vectors)
            with pytest.raises(VectorError):
                store.search(vectors, 1)
        with pytest.raises(StoreError, match="an id is int of 16610 bits, expected a string"):
            store.get([10**5000])  # type: ignore[list-item]
        with pytest.raises(VectorError, match="min_relevance is"):
            store.search([[1.0]], 1, min_relevance=10**400)
