"""The client answers what the local retriever answers, to the bit, and raises what it raises."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import itertools
import json
import os
import re
import weakref
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from conftest import HashEncoder
from serving import TOKEN, service_on

from dpr_rag import (
    BM25,
    Diversity,
    Hit,
    Passage,
    PassageStore,
    Ranking,
    RemoteRetriever,
    RemoteStore,
    Retriever,
    errors,
)
from dpr_rag.answer import Answer
from dpr_rag.filters import And, Comparison
from dpr_rag.fusion import Calibration
from dpr_rag.passages import RESERVED_KEYS
from dpr_rag.remote.channel import Channel
from dpr_rag.remote.requests import AT_ONCE
from dpr_rag.remote.retrying import Retries
from dpr_rag.remote.wire import STATUS, error_of, error_record, kind_of
from dpr_rag.service.limits import Limits

HERE = "http://localhost"
QUESTIONS = ["a tragedy about a prince", "number 7 or text", "über Größe ☃ \0"]
WORDS = "prince tragedy play number snow river king queen sword letter ghost castle".split()


def passages() -> list[Passage]:
    generator = np.random.default_rng(5)
    return [
        Passage(
            f"p{at}/ü",
            " ".join(generator.choice(WORDS, 12)),
            f"title {at % 5}" if at % 3 else "",
            {"year": 1600 + at, "nested": {"a": [at, None, 0.1 * at]}, "_dpr_rag_source": "/secret/place.txt"},
        )
        for at in range(60)
    ]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PassageStore]:
    with PassageStore.open(tmp_path_factory.mktemp("stores") / "plays.dpr", encoder=HashEncoder(48)) as store:
        store.add(passages())
        yield store


@pytest.fixture(scope="module")
def uds(local: PassageStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with service_on(tmp_path_factory.mktemp("s") / "s", {"plays": local}, token=TOKEN, writable=True) as path:
        yield path


def asked(uds: str, **options: object) -> RemoteRetriever:
    return RemoteRetriever(HERE, token=TOKEN, uds=uds, **options)


def visible(hits: list[list[Hit]]) -> list[list[Hit]]:
    return [
        [
            dataclasses.replace(hit, passage=dataclasses.replace(hit.passage, metadata=hit.passage.visible_metadata))
            for hit in found
        ]
        for found in hits
    ]


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"mode": "bm25"},
        {"mode": "hybrid"},
        {"mode": "hybrid", "weight": 0.1},
        {"mode": "hybrid", "fusion": "rrf", "candidates": 9},
        {"mode": "bm25", "k1": 1.4, "b": 0.9, "phrases": 0.2},
        {"ranking": Ranking("hybrid", 3.3, candidates=7, bm25=BM25(1.2, 0.75, 0.1))},
    ],
)
@pytest.mark.parametrize(
    "call",
    [
        {},
        {"k": 3, "filter": {"year": {"$gte": 1630}}},
        {"filter": And((Comparison("year", "lt", 1650), Comparison("title", "exists", True)))},
        {"diversity": Diversity(20, 0.3)},
    ],
)
def test_hits_equal_the_local_retrievers_to_the_bit(local: PassageStore, uds: str, how: dict, call: dict) -> None:
    expected = visible(Retriever(local, k=7, **how).retrieve_batch(QUESTIONS, **call))
    with asked(uds, k=7, **how) as remote:
        assert remote.retrieve_batch(QUESTIONS, **call) == expected
        assert [remote.retrieve(one, **call) for one in QUESTIONS] == expected
        assert any(expected)

    async def awaited() -> None:
        async with asked(uds, k=7, **how) as remote:
            assert await remote.aretrieve_batch(QUESTIONS, **call) == expected
            assert await asyncio.gather(*(remote.aretrieve(one, **call) for one in QUESTIONS)) == expected

    asyncio.run(awaited())


def test_more_questions_than_a_service_takes_at_once_go_in_parts(local: PassageStore, uds: str) -> None:
    questions = [f"{QUESTIONS[at % 3]} {WORDS[at % 12]} {at}" for at in range(2 * AT_ONCE + 9)]
    vectors = local.encoder.encode_questions(questions)
    expected = visible(Retriever(local, k=3).retrieve_batch(questions))
    assert Limits().questions == AT_ONCE
    with asked(uds, k=3) as remote:
        assert remote.retrieve_batch(questions) == expected
        assert remote.retrieve_by_vectors(vectors) == expected
        assert remote.retrieve_batch(questions, vectors=vectors) == expected
        assert np.array_equal(remote.store.encode_questions(questions), vectors)

    async def awaited() -> None:
        async with asked(uds, k=3) as remote:
            assert await remote.aretrieve_batch(questions) == expected

    asyncio.run(awaited())


@pytest.mark.parametrize("end", ["run", "aclose", "dropped"])
def test_connections_end_with_their_event_loop(uds: str, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[httpx.AsyncClient] = []
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []
    init = httpx.AsyncClient.__init__

    def noted(self: httpx.AsyncClient, **options: Any) -> None:
        made.append(self)
        init(self, **options)

    monkeypatch.setattr(httpx.AsyncClient, "__init__", noted)

    async def retrieved(remote: RemoteRetriever) -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await asyncio.gather(*(remote.aretrieve(one) for one in QUESTIONS))
        if end == "aclose":
            await remote.aclose()
            assert made[-1].is_closed

    async def dropped() -> None:
        await retrieved(asked(uds))
        gc.collect()
        for _ in range(3000):
            if made[-1].is_closed:
                break
            await asyncio.sleep(0.01)
        assert made[-1].is_closed

    for _ in range(3):
        if end == "dropped":
            asyncio.run(dropped())
            continue
        with asked(uds) as remote:
            asyncio.run(retrieved(remote))
            if end == "run":
                asyncio.run(retrieved(remote))
    assert [client.is_closed for client in made] == [True] * (6 if end == "run" else 3)
    made.clear()
    gc.collect()
    assert [loop() for loop in loops] == [None] * len(loops)


def test_a_threshold_leaves_out_the_same_hits(local: PassageStore, uds: str) -> None:
    retriever = Retriever(local, k=9)
    least = retriever.relevance(retriever.retrieve("prince sword")[3].score)
    with asked(uds, k=9) as remote:
        found = remote.retrieve("prince sword", min_relevance=least)
    assert [found] == visible([retriever.retrieve("prince sword", min_relevance=least)])
    assert len(found) == 4


def test_vectors_and_what_else_a_store_tells_are_the_same(local: PassageStore, uds: str) -> None:
    vectors = local.encode_questions(QUESTIONS)
    with asked(uds, k=4) as remote:
        assert np.array_equal(remote.store.encode_questions(QUESTIONS), vectors)
        assert remote.retrieve_by_vectors(vectors) == visible(Retriever(local, k=4).retrieve_by_vectors(vectors))
        assert remote.store.search(vectors, 4, exact=True) == visible(local.search(vectors, 4, exact=True))
        assert remote.ranking == local.ranking
        assert remote.calibration == local.calibration
        assert remote.relevance(1.5) == Retriever(local).relevance(1.5)
        assert remote.store.settled(Ranking("hybrid")) == local.settled(Ranking("hybrid"))
        assert [one.id for one in remote.store.select({"year": {"$lt": 1603}})] == ["p0/ü", "p1/ü", "p2/ü"]
        assert remote.store.get(["p9/ü", "none", "p3/ü"])[0].metadata == local.get(["p9/ü"])[0].visible_metadata
        assert len(remote.store) == 60
        assert remote.retrieve_batch([]) == []


@pytest.mark.parametrize(
    "call",
    [
        lambda one, store: one.retrieve("prince sword", 5, min_relevance=np.float32(0.1)),
        lambda one, store: type(one)(store, mode="hybrid", weight=np.float32(0.5), candidates=np.int64(7)).retrieve(
            "king"
        ),
        lambda one, store: type(one)(store, mode="bm25", k1=np.float32(2), b=Fraction(1, 2)).retrieve("king"),
        lambda one, store: store.select({"year": {"$lt": 1610}}, np.int64(3)),
        lambda one, store: store.search(np.ones((2, 48)), np.int64(3), exact=np.True_),
        lambda one, store: store.rank(["king"], np.int64(3)),
        lambda one, store: store.search(np.empty((0, 7)), 3),
        lambda one, store: store.rank([], 3, vectors=np.empty((0, 7))),
        lambda one, store: store.encode_questions([]).shape,
        lambda one, store: store.encode_questions([]).dtype,
        lambda one, store: ["p3/ü" in store, "p3" in store, 3 in store],
        lambda one, store: store.get(f"p{at}/ü" for at in range(-3000, 3000)),
    ],
    ids=range(12),
)
def test_values_of_any_kind_give_what_they_give_here(local: PassageStore, uds: str, call: Callable[..., Any]) -> None:
    with asked(uds) as remote:
        found, expected = call(remote, remote.store), call(Retriever(local), local)
    assert shown_of(found) == shown_of(expected)


def shown_of(value: Any) -> Any:
    if isinstance(value, list) and value and isinstance(value[0], Passage):
        return [dataclasses.replace(one, metadata=one.visible_metadata) for one in value]
    if isinstance(value, list) and value and isinstance(value[0], Hit):
        return visible([value])
    return visible(value) if isinstance(value, list) and value and isinstance(value[0], list) else value


@pytest.mark.parametrize(
    "call",
    [
        lambda one, store: one.retrieve("x", top_k=3),
        lambda one, store: one.retrieve_batch(["x"], filters={}),
        lambda one, store: one.retrieve_by_vectors([[0.0]], where={}),
        lambda one, store: asyncio.run(one.aretrieve("x", top_k=3)),
        lambda one, store: asyncio.run(one.aretrieve_batch(["x"], score_threshold=0.5)),
        lambda one, store: type(one)(store, min_relevance=0.5),
        lambda one, store: type(one)(store, top_n=5),
        lambda one, store: store.rank(["x"], 1, where={}),
        lambda one, store: store.search([[0.0]], n_results=3),
        lambda one, store: store.add(documents=[]),
        lambda one, store: store.select(filters={}),
        lambda one, store: store.count(where={}),
        lambda one, store: store.delete(where={}),
        lambda one, store: store.rank(None, 3),
        lambda one, store: store.rank(None, 3, vectors=[[0.0] * 48]),
        lambda one, store: store.search(None, 3),
        lambda one, store: store.select({}, True),
        lambda one, store: store.search([[0.0] * 48], 3, exact="no"),
        lambda one, store: store.delete(),
        lambda one, store: store.settled("hybrid"),
        lambda one, store: store.calibration_of("hybrid"),
        lambda one, store: store.calibration_of(None),
        lambda one, store: store.ranking_of("hybrid"),
    ],
    ids=range(23),
)
def test_what_is_said_of_wrong_arguments_is_what_is_said_here(
    local: PassageStore, uds: str, call: Callable[..., Any]
) -> None:
    said = []
    with asked(uds) as remote:
        for one, store in ((remote, remote.store), (Retriever(local), local)):
            with pytest.raises(errors.DprRagError) as raised:
                call(one, store)
            about = re.sub(r"^[\w.]+\(\) has no|, expected .*?(?=; )", "", str(raised.value))
            said.append((type(raised.value), about))
    assert said[0] == said[1]


def test_more_passages_than_a_service_takes_at_once_go_in_parts(tmp_path: Path) -> None:
    many = [Passage(f"m{at}", f"text {at}", "", {"n": at}) for at in range(2300)]
    wide = np.random.default_rng(0).standard_normal((1200, 512)).astype(np.float32)
    encoder = HashEncoder(8)
    with (
        PassageStore.open(tmp_path / "a", encoder=encoder) as store,
        PassageStore.open(tmp_path / "b") as given,
        service_on(tmp_path / "s", {"a": store, "b": given}, token=TOKEN, writable=True) as path,
        RemoteStore(HERE, "a", token=TOKEN, uds=path) as remote,
        RemoteStore(HERE, "b", token=TOKEN, uds=path) as remote_given,
    ):
        for wrong in (Passage("m1", "another"), Passage("m1", "text 1", "", {"n": True})):
            with pytest.raises(
                errors.RepeatedIdError, match=r"the id 'm1' comes twice in one call.*nothing was stored"
            ):
                remote.add([*many, wrong])
        assert store.count() == 0
        assert remote.add([*many, many[7]]) == {"added": 2300, "replaced": 0, "unchanged": 1}
        assert list(store) == many
        assert remote.add(iter(many)) == {"added": 0, "replaced": 0, "unchanged": 2300}
        with pytest.raises(errors.RepeatedIdError, match="with different vectors"):
            remote_given.add([*many[:1199], many[0]], vectors=wide)
        assert remote_given.add(many[:1200], vectors=wide)["added"] == 1200
        assert np.array_equal(np.concatenate([vectors for _, vectors in given.batches()]), wide)


def test_what_is_not_sent_makes_no_other_passage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one request or of several: the service sees neither the file of a passage nor what an adapter keeps in it."""
    sent: list[Any] = []

    def handled(request: httpx.Request) -> httpx.Response:
        sent.extend(json.loads(request.content)["passages"])
        return httpx.Response(200, json={"added": 1, "replaced": 0, "unchanged": 0})

    monkeypatch.setattr("dpr_rag.remote.channel.httpx.HTTPTransport", lambda **_: httpx.MockTransport(handled))
    given = [Passage("p", "text", "", {"n": 1, key: value}) for key in RESERVED_KEYS for value in ("a", "b")]
    others = [Passage(f"m{at}", "text") for at in range(1500)]
    assert RemoteStore(HERE, uds="none").add([*given, *others])["added"] == 2
    assert [one["metadata"] for one in sent[:4]] == [{"n": 1}] * 4


def test_wide_vectors_go_in_smaller_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []

    def handled(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        sent.append(len(request.content))
        return httpx.Response(200, json={"results": [{"hits": []} for _ in body.get("vectors") or body["questions"]]})

    monkeypatch.setattr("dpr_rag.remote.channel.httpx.HTTPTransport", lambda **_: httpx.MockTransport(handled))
    store = RemoteStore(HERE, uds="none")
    assert store.search(np.full((256, 4096), -1.0000001e-30, np.float32), 3) == [[]] * 256
    assert store.rank(["long " * 10_000] * 256, 3) == [[]] * 256
    assert len(sent) > 4
    assert max(sent) < Limits().body


def test_a_source_of_the_server_never_travels(uds: str) -> None:
    with RemoteStore(HERE, token=TOKEN, uds=uds, private=True) as store:
        found = store.rank(["prince"], 60)[0]
        assert len(found) == 60
        assert not any("secret" in str(hit) for hit in found)


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda one: one.retrieve(" "), errors.PassageError),
        (lambda one: one.retrieve("half \ud800"), errors.BadTextError),
        (lambda one: one.retrieve_batch("prince"), errors.PassageError),
        (lambda one: one.retrieve_batch([5]), errors.PassageError),
        (lambda one: one.retrieve("prince", 0), errors.VectorError),
        (lambda one: one.retrieve("prince", True), errors.VectorError),
        (lambda one: one.retrieve("prince", filter={"year": {"$near": 5}}), errors.FilterError),
        (lambda one: one.retrieve("prince", filter=5), errors.FilterError),
        (lambda one: one.retrieve("prince", filter=lambda passage: True), errors.FilterError),
        (lambda one: one.retrieve("prince", min_relevance=2), errors.VectorError),
        (lambda one: one.retrieve("prince", min_relevance="high"), errors.VectorError),
        (lambda one: one.retrieve_by_vectors([[1.0, 2.0]]), errors.VectorError),
        (lambda one: one.retrieve_by_vectors([[float("nan")] * 48]), errors.VectorError),
        (lambda one: one.retrieve_batch(["a b", "c"], vectors=[[0.5] * 48]), errors.VectorError),
    ],
)
def test_errors_are_of_the_local_classes(local: PassageStore, uds: str, call: object, kind: type[Exception]) -> None:
    with asked(uds) as remote, pytest.raises(kind) as raised:
        call(remote)
    assert type(raised.value) is kind
    assert str(local.path) not in str(raised.value)
    if "lambda passage" not in repr(call) and kind is not errors.FilterError:
        with pytest.raises(kind):
            call(Retriever(local))


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda: RemoteRetriever("plays.dpr"), errors.PathError),
        (lambda: RemoteRetriever("http://"), errors.PathError),
        (lambda: RemoteRetriever("http://[::1:8000"), errors.PathError),
        (lambda: RemoteRetriever("ftp://host"), errors.PathError),
        (lambda: RemoteRetriever("http://user:secret@host"), errors.PathError),
        (lambda: RemoteRetriever("http://host?store=a&token=b"), errors.PathError),
        (lambda: RemoteRetriever(HERE, k=0), errors.VectorError),
        (lambda: RemoteRetriever(HERE, mode="sparse"), errors.VectorError),
        (lambda: RemoteRetriever(HERE, weight=1.0), errors.VectorError),
        (lambda: RemoteRetriever(HERE, mode="dense", ranking=Ranking()), errors.VectorError),
        (lambda: RemoteRetriever(HERE, token="two words"), errors.AccessError),
        (lambda: RemoteRetriever(HERE, token=""), errors.AccessError),
    ],
)
def test_what_cannot_be_asked_is_refused_before(call: object, kind: type[Exception]) -> None:
    with pytest.raises(kind) as raised:
        call()
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("value", [5, -1, 2.5, True, b"text", ["text"], {"a": 1}, object(), float("nan"), "", Passage])
@pytest.mark.parametrize("name", ["address", "store", "token", "timeout", "retries", "uds", "k", "mode", "ranking"])
def test_a_wrong_argument_is_an_error_of_dpr_rag_or_fits(name: str, value: object) -> None:
    fits = {"timeout": (5, 2.5), "retries": (5,), "k": (5,)}.get(name, ())
    given = {"address": HERE, name: value}
    if any(value is one for one in fits) or (
        name in ("timeout", "retries", "k") and value in fits and value is not True
    ):
        RemoteRetriever(**given).close()
        return
    with pytest.raises(errors.DprRagError) as raised:
        RemoteRetriever(**given)
    assert "object at 0x" not in str(raised.value) or len(str(raised.value)) < 400


@pytest.mark.parametrize(
    "given", [{"store": "other"}, {"token": TOKEN}, {"timeout": 30.0}, {"retries": 0}, {"uds": "s"}]
)
def test_what_opens_a_store_is_refused_beside_an_open_one(given: dict[str, Any]) -> None:
    with RemoteStore(HERE) as store:
        with pytest.raises(errors.ArgumentError, match=f"^{next(iter(given))} goes with an address"):
            RemoteRetriever(store, **given)
        assert RemoteRetriever(store, k=3).store is store


def test_every_class_of_error_comes_back_as_itself() -> None:
    for kind in STATUS:
        made = kind("said", "7") if kind is errors.RepeatedIdError else kind("said")
        back = error_of(error_record(kind_of(made), str(made), getattr(made, "passage_id", None)), 500)
        assert type(back) is kind
        assert str(back) == "said"
    assert kind_of(errors.UnsupportedModelError("x")) is errors.ModelError
    assert kind_of(errors.EvaluationError("x")) is errors.DprRagError


@pytest.mark.parametrize(
    "name", ["KeyboardInterrupt", "SystemExit", "__class__", "os.system", "Exception", 7, None, ["a"]]
)
def test_a_name_that_is_not_in_the_table_makes_no_class(name: object) -> None:
    assert type(error_of({"error": name, "message": "said"}, 418)) is errors.ServiceError


@pytest.mark.parametrize("record", [None, 5, [], "text", {}, {"message": 7}, {"error": "FilterError"}])
def test_an_answer_of_something_else_is_a_service_error(record: object) -> None:
    assert type(error_of(record, 502)) is errors.ServiceError


def test_a_wrong_token_is_refused(uds: str) -> None:
    with (
        RemoteRetriever(HERE, uds=uds, token="another") as remote,
        pytest.raises(errors.AccessError, match="the token is missing or another one"),
    ):
        remote.retrieve("prince")


def test_the_token_of_the_environment_counts(uds: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPR_RAG_TOKEN", TOKEN)
    with RemoteRetriever(f"{HERE}/?store=plays", uds=uds) as remote:
        assert len(remote.retrieve("prince", 2)) == 2
        assert remote.store.path == f"{HERE}?store=plays"


def test_the_advice_on_ids_and_passages_is_that_of_a_folder(uds: str, local: PassageStore) -> None:
    one = Passage("1", "a")
    calls: list[Callable[[Any], object]] = [
        *(lambda store, wrong=wrong: store.get(wrong) for wrong in (None, "17", one, [5], [None], [one], [["a"]])),
        *(
            lambda store, wrong=wrong: store.add(wrong)
            for wrong in (None, "text", one, [None], [{"id": "1", "text": "a"}])
        ),
    ]
    with RemoteStore(HERE, token=TOKEN, uds=uds) as store:
        for call in calls:
            with pytest.raises(errors.DprRagError) as there:
                call(local)
            with pytest.raises(type(there.value), match=f"^{re.escape(str(there.value))}$"):
                call(store)


def test_ids_may_be_the_keys_of_a_dict_but_not_in_a_deletion(uds: str) -> None:
    with RemoteStore(HERE, token=TOKEN, uds=uds) as store:
        (hit,) = store.rank(["prince"], 1)[0]
        assert store.get({hit.passage.id: hit.score}) == [hit.passage]
        with pytest.raises(errors.StoreError, match="ids is dict"):
            store.delete({hit.passage.id: hit.score})


@pytest.mark.parametrize("wrong", ["17", b"17", 17])
def test_a_lone_id_is_no_list_of_its_characters(uds: str, wrong: Any) -> None:
    with RemoteStore(HERE, token=TOKEN, uds=uds) as store:
        before = store.count()
        for call in (store.get, store.delete):
            with pytest.raises(errors.StoreError, match="ids is"):
                call(wrong)
        for passages in (wrong, {"17": 1}):
            with pytest.raises(errors.PassageError, match="passages is"):
                store.add(passages)
        with pytest.raises(
            errors.PassageError, match=r"str 'text' is no passage; give a dpr_rag\.Passage\(id=…, text=…\)"
        ):
            store.add(["text"])  # type: ignore[list-item]
        assert store.count() == before


@pytest.mark.parametrize(
    "vectors",
    [
        [[float("nan")] * 48, [1.0] * 48],
        [[float("inf")] * 48, [1.0] * 48],
        [[1.0] * 48, [1.0] * 47],
        [["a"] * 48, ["b"] * 48],
        [None, None],
        [1.0, 2.0],
        [[10**400], [1]],
        [[]] * 2,
        [],
        [[1.0] * 48],
        [[1.0] * 48] * 3,
        iter([[1.0] * 48]),
        iter([[1.0] * 48] * 3),
        5,
        "ab",
        {"a": [1.0], "b": [1.0]},
    ],
    ids=range(16),
)
def test_vectors_that_cannot_be_sent_are_refused_as_a_store_refuses_them(
    monkeypatch: pytest.MonkeyPatch, local: PassageStore, vectors: Any
) -> None:
    store, transport, _ = scripted(monkeypatch)
    again = itertools.tee(vectors) if isinstance(vectors, Iterator) else (vectors, vectors)
    for one, given in zip((store, local), again, strict=True):
        with pytest.raises(errors.VectorError):
            one.add([Passage("a", "a"), Passage("b", "b")], vectors=given)
    assert transport.seen == 0


def test_given_vectors_are_sent_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []

    def handled(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        return httpx.Response(200, json={"added": 2, "replaced": 0, "unchanged": 0})

    monkeypatch.setattr("dpr_rag.remote.channel.httpx.HTTPTransport", lambda **_: httpx.MockTransport(handled))
    store = RemoteStore(HERE, uds="none")
    vectors = np.array([[0.1, 1e-30], [3.0, -2.5]], np.float32)
    for given in (vectors, vectors.tolist(), iter(vectors), vectors.astype(np.float64)):
        assert store.add([Passage("a", "a"), Passage("b", "b")], vectors=given)["added"] == 2
        assert np.array_equal(np.array(sent.pop()["vectors"], np.float32), vectors)
    store.add([], vectors=[])
    assert sent.pop() == {"passages": [], "vectors": []}


@pytest.mark.parametrize("wrong", [None, 5, b"a", object(), ["a"], Passage("1", "a")])
def test_an_id_that_is_no_string_is_refused(monkeypatch: pytest.MonkeyPatch, local: PassageStore, wrong: Any) -> None:
    store, transport, _ = scripted(monkeypatch)
    for one in (store, local):
        for call in (one.get, one.delete):
            with pytest.raises(errors.StoreError, match="an id is"):
                call([wrong])
    assert transport.seen == 0


def test_writes_come_back_by_value(local: PassageStore, uds: str) -> None:
    with RemoteStore(HERE, token=TOKEN, uds=uds) as store:
        assert store.add([Passage("new", "a new text", "t", {"tag": "x"})]) == {
            "added": 1,
            "replaced": 0,
            "unchanged": 0,
        }
        assert store.add([Passage("new", "a new text", "t", {"tag": "x"})])["unchanged"] == 1
        assert local.get(["new"]) == [Passage("new", "a new text", "t", {"tag": "x"})]
        with pytest.raises(errors.RepeatedIdError) as raised:
            store.add([Passage("a", "one"), Passage("a", "two")])
        assert raised.value.passage_id == "a"
        with pytest.raises(errors.FilterError):
            store.delete(filter={})
        with pytest.raises(errors.StoreError):
            store.delete()
        assert store.delete(["new"], filter={"tag": "y"}) == 0
        assert store.delete(filter={"tag": "x"}) == 1
        assert store.delete(["new"]) == 0
    assert local.get(["new"]) == []


class Answering(httpx.BaseTransport):
    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers, self.seen = list(answers), 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.seen += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


BUSY = {"error": "ServiceBusyError", "message": "later"}


def scripted(
    monkeypatch: pytest.MonkeyPatch, *answers: httpx.Response | Exception
) -> tuple[RemoteStore, Answering, list]:
    transport, pauses = Answering(*answers), []
    monkeypatch.setattr("dpr_rag.remote.channel.time", SimpleNamespace(sleep=pauses.append))
    monkeypatch.setattr("dpr_rag.remote.channel.httpx.HTTPTransport", lambda **_: transport)
    return RemoteStore(HERE, uds="none", retries=2), transport, pauses


def test_refusals_are_waited_out_as_long_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = [httpx.Response(429, json=BUSY, headers={"retry-after": "3"}), httpx.Response(503, text="by a proxy")]
    store, transport, pauses = scripted(monkeypatch, *refused, httpx.Response(200, json={"count": 7}))
    assert store.count() == 7
    assert transport.seen == 3
    assert 3 <= pauses[0] <= 3.1
    assert 0 <= pauses[1] <= 0.2


def test_after_the_last_retry_the_refusal_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    store, transport, _ = scripted(monkeypatch, *[httpx.Response(429, json=BUSY)] * 3)
    with pytest.raises(errors.ServiceBusyError, match="later"):
        store.count()
    assert transport.seen == 3


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(500, json={"error": "StoreCorrupted", "message": "m"}), errors.StoreCorrupted),
        (httpx.Response(502, text="<html>"), errors.ServiceError),
        (httpx.Response(302, headers={"location": "http://elsewhere/"}), errors.ServiceError),
        (httpx.Response(200, text="<html>"), errors.ServiceError),
        (httpx.Response(200, json=[1]), errors.ServiceError),
        (httpx.ReadTimeout("slow"), errors.ServiceTimeoutError),
        (httpx.Response(503, headers={"retry-after": "86400"}, json=BUSY), errors.ServiceBusyError),
    ],
)
def test_other_answers_are_not_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, answer: httpx.Response, kind: type[Exception]
) -> None:
    store, transport, pauses = scripted(monkeypatch, answer)
    with pytest.raises(kind) as raised:
        store.count()
    assert type(raised.value) is kind
    assert (transport.seen, pauses) == (1, [])


def test_a_deletion_that_may_have_happened_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    store, transport, _ = scripted(monkeypatch, httpx.ReadError("cut"), httpx.Response(200, json={"deleted": 0}))
    with pytest.raises(errors.ServiceUnavailableError):
        store.delete(["1"])
    assert transport.seen == 1
    store, transport, _ = scripted(monkeypatch, httpx.ConnectError("no"), httpx.Response(200, json={"deleted": 1}))
    assert store.delete(["1"]) == 1


def test_reads_are_sent_again_when_a_connection_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = [httpx.RemoteProtocolError("gone"), httpx.ReadError("cut")]
    store, transport, _ = scripted(monkeypatch, *broken, httpx.Response(200, json={"count": 1}))
    assert store.count() == 1
    assert transport.seen == 3


def test_pauses_are_drawn_at_random_below_a_doubling_bound() -> None:
    drawn = [Retries("x", 9)._next_pause() for _ in range(50)]
    assert len(set(drawn)) > 40
    assert max(drawn) <= 0.1
    retries = Retries("x", 12)
    bounds = [retries._next_pause() for _ in range(12)]
    assert max(bounds) <= 5


def test_nobody_there_is_told_after_the_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    store, transport, _ = scripted(monkeypatch, *[httpx.ConnectError("refused")] * 3)
    with pytest.raises(errors.ServiceUnavailableError, match="is dpr-rag serve running there"):
        store.count()
    assert transport.seen == 3


A_HIT = {"id": "1", "text": "a", "score": 1.0, "rank": 1}
AN_ANSWER = {"text": "a", "start": 0, "end": 1, "probability": 0.5}
UNFIT_HITS = [
    *({"score": "1"}, {"score": None}, {"score": True}, {"rank": 1.0}, {"rank": "1"}, {"dense": "x"}, {"bm25": []}),
    *({"retrieved": {}}, {"answer": []}, {"answer": {"text": "a"}}, {"answer": {**AN_ANSWER, "probability": "0.5"}}),
    *({"answer": {**AN_ANSWER, "start": 0.5}}, {"answer": {**AN_ANSWER, "text": 5}}),
]


@pytest.mark.parametrize("unfit", UNFIT_HITS, ids=str)
def test_a_hit_of_another_form_is_a_service_error(monkeypatch: pytest.MonkeyPatch, unfit: dict[str, Any]) -> None:
    answer = {"results": [{"hits": [A_HIT | unfit]}]}
    store, _, _ = scripted(monkeypatch, httpx.Response(200, json=answer))
    with pytest.raises(
        errors.ServiceError, match=r"the service's answer holds no hits .*is another version of dpr-rag there"
    ):
        store.rank(["one"], 3)


def test_a_whole_number_is_a_score(monkeypatch: pytest.MonkeyPatch) -> None:
    hit = {**A_HIT, "score": 0, "dense": 2, "answer": {**AN_ANSWER, "probability": 1}}
    store, _, _ = scripted(monkeypatch, httpx.Response(200, json={"results": [{"hits": [hit]}]}))
    found = store.rank(["one"], 3)
    assert found == [[Hit(Passage("1", "a"), 0.0, 1, 2.0, answer=Answer("a", 0, 1, 1.0))]]
    assert all(type(number) is float for number in (found[0][0].score, found[0][0].dense))


def test_how_long_an_attempt_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    for timeout in (0, 0.0009):
        with pytest.raises(
            errors.ArgumentError, match=rf"^timeout is {timeout}, expected a number of seconds of at least 0\.001$"
        ):
            RemoteStore(HERE, uds="none", timeout=timeout)
    for timeout, waited in ((0.001, 0.001), (1e10, 2_000_000), (1e300, 2_000_000)):  # which no socket can wait for
        assert RemoteStore(HERE, uds="none", timeout=timeout)._channel._timeout == waited


def test_a_failure_without_words_is_called_by_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    store, _, _ = scripted(monkeypatch, *[httpx.ConnectTimeout("")] * 3)
    with pytest.raises(errors.ServiceUnavailableError, match=r"cannot be asked \(ConnectTimeout\); is dpr-rag serve"):
        store.count()


@pytest.mark.parametrize("answer", [{}, {"results": 5}, {"results": [{"hits": [{}]}]}, {"results": []}])
def test_an_answer_without_hits_is_told(monkeypatch: pytest.MonkeyPatch, answer: dict) -> None:
    store, _, _ = scripted(monkeypatch, httpx.Response(200, json=answer))
    with pytest.raises(errors.ServiceError):
        store.rank(["one"], 3)


ASKED: dict[str, Callable[[RemoteStore], object]] = {
    "rank": lambda store: store.rank(["one"], 3),
    "search": lambda store: store.search([[1.0]], 3),
    "get": lambda store: store.get(["1"]),
    "select": lambda store: store.select({"a": 1}),
    "count": lambda store: store.count(),
    "len": len,
    "add": lambda store: store.add([Passage("1", "a")]),
    "delete": lambda store: store.delete(["1"]),
    "encode": lambda store: store.encode_questions(["one"]),
    "ranking": lambda store: store.ranking,
    "settled": lambda store: store.settled(Ranking()),
    "calibration": lambda store: store.calibration,
}
UNFIT: list[dict[str, Any]] = [
    {},
    dict.fromkeys(("passages", "count", "deleted", "vectors", "ranking", "slope", "offset", "results", "added")),
    {"passages": 5, "count": "many", "deleted": [1], "vectors": [[1.0], [1.0, 2.0]], "ranking": [], "slope": 1.0},
    {"passages": [{}], "count": 1e400, "deleted": {}, "vectors": ["text"], "ranking": {"k": 1}, "added": "few"},
    {"passages": ["text"], "slope": 1.0, "offset": 1e400, "ranking": {"mode": "sparse", "bm25": {}}, "vectors": 5},
    {"passages": [{"id": 5, "text": 5}], "ranking": {"bm25": {"k1": -1}}, "vectors": [], "slope": "a", "offset": "b"},
    {
        "passages": [{"id": "1", "text": "a", "metadata": 5}],
        "vectors": [[1e400]],
        "ranking": {"weight": "x", "bm25": 5},
    },
]


@pytest.mark.parametrize("answer", UNFIT, ids=range(len(UNFIT)))
@pytest.mark.parametrize("name", ASKED)
def test_an_answer_of_another_form_is_a_service_error(
    monkeypatch: pytest.MonkeyPatch, name: str, answer: dict[str, Any]
) -> None:
    store, _, _ = scripted(monkeypatch, httpx.Response(200, content=json.dumps(answer)))
    with pytest.raises(errors.ServiceError, match="is another version of dpr-rag there"):
        ASKED[name](store)


COUNTS: dict[str, Callable[[RemoteStore], object]] = {name: ASKED[name] for name in ("count", "len", "add", "delete")}


@pytest.mark.parametrize("value", ["5", True, 1.9, 2.0], ids=repr)
@pytest.mark.parametrize("name", [*COUNTS, "calibration"])
def test_no_number_is_made_of_another_type(monkeypatch: pytest.MonkeyPatch, name: str, value: object) -> None:
    answer = dict.fromkeys(("count", "deleted", "added", "replaced", "unchanged", "slope", "offset"), value)
    store, _, _ = scripted(monkeypatch, httpx.Response(200, json=answer))
    if name == "calibration" and isinstance(value, float):
        assert store.calibration == Calibration(value, value)
        return
    what, kind = ("calibration", "float") if name == "calibration" else ("counts?", "int")
    with pytest.raises(
        errors.ServiceError, match=rf"answer holds no {what} \({value!r} is no {kind}\); is another version"
    ):
        ASKED[name](store)


def test_whole_numbers_are_counts_and_a_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"count": 3, "deleted": 2, "added": 1, "replaced": 0, "unchanged": 4, "slope": 2, "offset": -1}
    store, _, _ = scripted(monkeypatch, *[httpx.Response(200, json=answer) for _ in range(5)])
    assert [asked(store) for asked in COUNTS.values()] == [3, 3, {"added": 1, "replaced": 0, "unchanged": 4}, 2]
    assert repr(store.calibration) == repr(Calibration(2.0, -1.0))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of a process with threads; the child asks and ends
def test_a_forked_child_asks_by_connections_of_its_own(uds: str) -> None:
    with asked(uds, k=3) as remote:
        expected = remote.retrieve("prince")
        if not (child := os.fork()):
            code = 1
            try:
                code = int(remote.retrieve("prince") != expected)
            finally:
                os._exit(code)
        found = [remote.retrieve("prince") for _ in range(5)]
        assert os.waitpid(child, 0)[1] == 0
    assert found == [expected] * 5


def test_a_closed_client_says_so(uds: str) -> None:
    remote = asked(uds)
    remote.close()
    with pytest.raises(errors.StoreClosedError):
        remote.retrieve("prince")


def test_a_client_that_is_closed_during_a_pause_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    store, transport, _ = scripted(monkeypatch, *[httpx.Response(429, json=BUSY)] * 3)
    monkeypatch.setattr("dpr_rag.remote.channel.time", SimpleNamespace(sleep=lambda _: store.close()))
    with pytest.raises(errors.StoreClosedError, match="was closed here; open it again"):
        store.count()
    assert transport.seen == 1


def test_a_client_that_is_closed_just_before_a_request_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    store, transport, _ = scripted(monkeypatch)
    client = store._channel._client_of_process()
    store.close()
    monkeypatch.setattr(store._channel, "_client_of_process", lambda: client)
    with pytest.raises(errors.StoreClosedError):
        store.count()
    assert transport.seen == 0


@pytest.mark.parametrize("close", ["close", "aclose"])
def test_a_client_that_is_closed_while_an_event_loop_pauses_says_so(
    monkeypatch: pytest.MonkeyPatch, close: str
) -> None:
    class Busy(httpx.AsyncBaseTransport):
        seen = 0

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            self.seen += 1
            return httpx.Response(429, json=BUSY)

    transport = Busy()
    monkeypatch.setattr("dpr_rag.remote.channel.httpx.AsyncHTTPTransport", lambda **_: transport)
    store = RemoteStore(HERE, uds="none", retries=2)

    async def closing(_: float) -> None:
        done = getattr(store, close)()
        if done is not None:
            await done

    # in this module alone: the service of these tests sleeps in a loop of its own, and would close the client
    its_own = SimpleNamespace(sleep=closing, get_running_loop=asyncio.get_running_loop)
    monkeypatch.setattr("dpr_rag.remote.channel.asyncio", its_own)
    with pytest.raises(errors.StoreClosedError):
        asyncio.run(store.arank(["one"], 3))
    assert transport.seen == 1


def test_copies_are_the_object_itself_and_pickling_is_refused(uds: str) -> None:
    import copy
    import pickle

    with RemoteStore(HERE, token=TOKEN, uds=uds) as store:
        assert copy.deepcopy(store) is store
        with pytest.raises(TypeError, match="from its address"):
            pickle.dumps(store)


@pytest.mark.parametrize(
    ("address", "by_proxy"),
    [
        ("http://127.0.0.1:8000", False),
        ("http://localhost", False),
        ("http://[::1]:8000", False),
        ("https://rag.example", True),
    ],
)
def test_what_goes_to_this_machine_goes_through_no_proxy(address: str, by_proxy: bool) -> None:
    channel = Channel(address, token=TOKEN, timeout=1.0, retries=0)
    assert channel._settings()["trust_env"] is by_proxy
