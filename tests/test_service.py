"""The service: what it answers by value, whom it lets in, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from conftest import HashEncoder
from starlette.testclient import TestClient

from dpr_rag import Passage, PassageStore, RemoteStore, Retriever
from dpr_rag.errors import (
    AccessError,
    DprRagError,
    RequestError,
    ServiceTimeoutError,
    StoreClosedError,
    StoreCorrupted,
    StoreLocked,
    StoreReplacedError,
)
from dpr_rag.service import Limits, create_app
from dpr_rag.service.bodies import StrictRequest, read_json
from dpr_rag.store import with_source

TOKEN = "the-token-of-the-tests"
BEARER = {"authorization": f"Bearer {TOKEN}"}
Client = Callable[..., TestClient]


@pytest.fixture(scope="module")
def plays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PassageStore]:
    with filled(tmp_path_factory.mktemp("stores") / "plays.dpr") as store:
        yield store


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[PassageStore]:
    with filled(tmp_path / "fresh.dpr") as store:
        yield store


@contextmanager
def filled(path: Path) -> Iterator[PassageStore]:
    with PassageStore.open(path, encoder=HashEncoder(24)) as store:
        store.add(
            [
                Passage("1", "Hamlet is a tragedy", "Hamlet", {"year": 1601}),
                Passage("2", "Faust is a tragic play", "Faust", {"year": 1808, "_dpr_rag_source": "/srv/secret.txt"}),
                Passage("3", "As you like it is a comedy", "", {"year": 1599}),
            ]
        )
        yield store


@pytest.fixture
def client(plays: PassageStore) -> Iterator[Client]:
    made: list[TestClient] = []

    def start(stores: dict[str, PassageStore] | None = None, **options: Any) -> TestClient:
        app = create_app(stores or {"plays": plays}, **options)
        one = TestClient(app, base_url="http://localhost", raise_server_exceptions=False)
        made.append(one.__enter__())
        return one

    yield start
    for one in made:
        one.__exit__(None, None, None)


def test_retrieval_by_value(client: Client, plays: PassageStore) -> None:
    answer = client().post("/v1/retrieve", json={"questions": "Hamlet tragedy", "k": 1})
    (hit,) = Retriever(plays).retrieve("Hamlet tragedy", 1)
    assert answer.json() == {
        "results": [
            {
                "question": "Hamlet tragedy",
                "hits": [
                    {
                        "rank": 1,
                        "score": hit.score,
                        "dense": hit.score,
                        "id": "1",
                        "title": "Hamlet",
                        "text": "Hamlet is a tragedy",
                        "metadata": {"year": 1601},
                    }
                ],
            }
        ]
    }


def test_encoding_by_value(client: Client, plays: PassageStore) -> None:
    one = client()
    answer = one.post("/v1/encode", json={"questions": ["Hamlet", "play"]}).json()
    assert answer["fingerprint"] == "hash-24-"
    assert np.array_equal(np.array(answer["vectors"], np.float32), plays.encode_questions(["Hamlet", "play"]))
    answer = one.post("/v1/encode", json={"passages": [{"title": "Faust", "text": "Faust is a tragic play"}]}).json()
    assert np.array_equal(np.array(answer["vectors"][0], np.float32), plays.get_vectors(["2"])["2"])


def test_several_stores_are_told_apart(client: Client, plays: PassageStore, tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "other", encoder=HashEncoder(8)) as other:
        other.add([Passage("x", "another store")])
        one = client({"plays": plays, "other": other})
        told = one.get("/v1/stores").json()["stores"]
        assert [(store["name"], store["passages"], store["dim"]) for store in told] == [
            ("plays", 3, 24),
            ("other", 1, 8),
        ]
        assert str(tmp_path) not in one.get("/v1/stores").text
        found = one.post("/v1/retrieve", json={"store": "other", "questions": "store"}).json()
        assert [hit["id"] for hit in found["results"][0]["hits"]] == ["x"]
        missing, unknown = (one.post("/v1/retrieve", json={"questions": "a", **more}) for more in ({}, {"store": "no"}))
        assert (missing.status_code, missing.json()["error"]) == (422, "RequestError")
        assert (unknown.status_code, unknown.json()["error"]) == (404, "StoreNotFoundError")
        assert "plays, other" in missing.json()["message"]
        nowhere = one.post("/v1/v1/retrieve", json={"questions": "a"})
        assert (nowhere.status_code, nowhere.json()["message"]) == (
            404,
            "there is no path '/v1/v1/retrieve' here; /openapi.json lists all, and the address for clients ends before /v1",
        )


def test_passages_are_added_read_counted_and_deleted(client: Client, fresh: PassageStore) -> None:
    one = client({"fresh": fresh}, token=TOKEN, writable=True)
    one.headers.update(BEARER)
    given = {"id": "4", "text": "Macbeth", "metadata": {"year": 1606, "deep": [1, {"a": None}]}}
    assert one.post("/v1/passages", json={"passages": [given]}).json() == {"added": 1, "replaced": 0, "unchanged": 0}
    assert one.post("/v1/passages/get", json={"ids": ["4", "no"]}).json() == {"passages": [{"title": "", **given}]}
    year = {"filter": {"year": {"$lt": 1605}}}
    assert one.post("/v1/passages/count", json=year).json() == {"count": 2}
    assert [found["id"] for found in one.post("/v1/passages/get", json={**year, "k": 1}).json()["passages"]] == ["1"]
    assert one.post("/v1/passages/delete", json={"ids": ["4"], **year}).json() == {"deleted": 0}
    assert one.post("/v1/passages/delete", json=year).json() == {"deleted": 2}
    assert [passage.id for passage in fresh] == ["2", "4"]


def test_a_service_only_reads_unless_it_is_told(client: Client, plays: PassageStore) -> None:
    one = client()
    for path, body in (("", {"passages": [{"id": "4", "text": "t"}]}), ("/delete", {"ids": ["1"]})):
        answer = one.post(f"/v1/passages{path}", json=body)
        assert (answer.status_code, answer.json()["error"]) == (403, "StoreReadOnlyError")
    assert len(plays) == 3


@pytest.mark.parametrize("options", [{"writable": True}, {"at_home": False}])
def test_writing_and_other_machines_take_a_token(plays: PassageStore, options: dict) -> None:
    with pytest.raises(AccessError, match="takes a token"):
        create_app({"plays": plays}, **options)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": f"Bearer {TOKEN[:-1]}"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": TOKEN},
        {"authorization": "Bearer \u00e9".encode("latin-1").decode("latin-1")},
        {"x-token": TOKEN},
    ],
)
@pytest.mark.parametrize("path", ["/v1/stores", "/metrics", "/openapi.json", "/v1/retrieve", "/nothing"])
def test_without_the_token_nothing_but_health_is_told(client: Client, headers: dict, path: str) -> None:
    one = client(token=TOKEN)
    encoded = {key: value.encode("latin-1") for key, value in headers.items()}
    answer = one.get(path, headers=encoded)
    assert (answer.status_code, answer.json()["error"]) == (401, "AccessError")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert one.get("/healthz").json() == {"status": "ok"}
    assert (one.head("/healthz").status_code, one.head("/healthz").content) == (200, b"")
    assert one.get("/v1/stores", headers=BEARER).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.", "[::2]"])
def test_a_page_that_gives_this_machine_another_name_is_refused(client: Client, host: str) -> None:
    answer = client().get("/v1/stores", headers={"host": host})
    assert (answer.status_code, answer.json()["error"]) == (421, "RequestError")
    for own in ("localhost", "localhost:8000", "127.0.0.1:9", "[::1]:80"):
        assert client().get("/v1/stores", headers={"host": own}).status_code == 200
    assert client(token=TOKEN).get("/v1/stores", headers={"host": host or "x", **BEARER}).status_code == 200


def test_no_page_of_another_site_may_read_or_ask(client: Client) -> None:
    one, origin = client(), {"origin": "http://evil.example"}
    simple = one.post("/v1/retrieve", content=b'{"questions": "a"}', headers={**origin, "content-type": "text/plain"})
    assert simple.status_code == 415
    asked = one.options("/v1/retrieve", headers={**origin, "access-control-request-method": "POST"})
    assert asked.status_code == 405
    assert asked.json()["message"] == "'/v1/retrieve' takes no OPTIONS; send POST"
    assert (
        "access-control-allow-origin" not in one.post("/v1/retrieve", json={"questions": "a"}, headers=origin).headers
    )


HOSTILE: list[tuple[bytes, int]] = [
    (b"", 422),
    (b"nothing", 400),
    (b"null", 422),
    (b"[]", 422),
    (b"{", 400),
    (b"\xff\xfe{\x00}\x00", 400),
    (b"\xef\xbb\xbf{}", 400),
    (b'{"questions": "a", "questions": "b"}', 400),
    (b'{"questions": "a", "filter": {"x": 1, "x": 2}}', 400),
    (b'{"questions": "a", "min_relevance": NaN}', 400),
    (b'{"questions": "a", "vectors": [[Infinity]]}', 400),
    (b'{"questions": "a", "vectors": [[1e999]]}', 400),
    (b'{"questions": "a", "filter": {"year": {"$lt": 1e999}}}', 400),
    (b'{"questions": "a", "exact": true}', 422),
    (b'{"questions": ["a"], "vectors": [[1, 2]], "exact": true}', 422),
    (b'{"vectors": [[1, 2, 3]], "mode": "bm25", "exact": true}', 422),
    (b"[" * 100_000 + b"]" * 100_000, 400),
    (b'{"questions": "a", "filter": ' + b'{"$not": ' * 3000 + b"{}" + b"}" * 3000 + b"}", 400),
    (b'{"questions": "a", "filter": ' + b'{"$not": ' * 60 + b"{}" + b"}" * 60 + b"}", 422),
    (b'{"questions": "a", "k": ' + b"9" * 5000 + b"}", 400),
    (b'{"questions": "a", "k": ' + b"9" * 400 + b"}", 422),
    (b'{"questions": "a", "k": true}', 422),
    (b'{"questions": "a", "k": 1.0}', 422),
    (b'{"questions": "a", "k": "5"}', 422),
    (b'{"questions": "a", "k": -1}', 422),
    (b'{"questions": "a", "k": 1001}', 422),
    (b'{"questions": "\\ud800"}', 422),
    (b'{"questions": ["a", 5]}', 422),
    (b'{"questions": " "}', 422),
    (b'{"questions": {}}', 422),
    (b'{"questions": "a", "mode": "sparse"}', 422),
    (b'{"questions": "a", "mode": "dense", "weight": 1.0}', 422),
    (b'{"questions": "a", "mode": "hybrid", "weight": -1}', 422),
    (b'{"questions": "a", "mode": "dense", "ranking": {}}', 422),
    (b'{"questions": "a", "ranking": {"bm25": {"k1": -1}}}', 422),
    (b'{"questions": "a", "ranking": {"candidates": 100000}}', 422),
    (b'{"questions": "a", "diversity": {"balance": 2}}', 422),
    (b'{"questions": "a", "diversity": {"candidates": 10000000}}', 422),
    (b'{"questions": "a", "min_relevance": 2}', 422),
    (b'{"questions": "a", "filter": {"$where": "1"}}', 422),
    (b'{"questions": "a", "filter": {"a": {"$like": 5}}}', 422),
    (b'{"questions": "a", "filter": {"\\ud800": 5}}', 422),
    (b'{"questions": "a", "filter": []}', 422),
    (b'{"questions": "a", "vectors": [[1, 2]]}', 422),
    (b'{"vectors": [[1, 2], [3]]}', 422),
    (b'{"vectors": [[]]}', 422),
    (b'{"vectors": [[1, 2, 3]], "mode": "bm25"}', 422),
    (b'{"questions": "a", "top_k": 3}', 422),
    (b'{"questions": "a", "store": "../../etc/passwd"}', 404),
    (b'{"questions": "a", "store": 5}', 422),
    (b"{}", 422),
]


@pytest.mark.parametrize(("body", "status"), HOSTILE)
def test_a_hostile_body_is_refused_by_kind(client: Client, plays: PassageStore, body: bytes, status: int) -> None:
    answer = client().post("/v1/retrieve", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    told = answer.json()
    assert set(told) <= {"error", "message", "passage_id", "cli", "page"}
    assert 0 < len(told["message"]) < 2000
    assert str(plays.path) not in answer.text


def test_what_would_not_count_is_refused_by_name(client: Client, plays: PassageStore) -> None:
    def told(path: str, body: str) -> str:
        answer = client().post(f"/v1/{path}", content=body, headers={"content-type": "application/json"})
        return str(answer.json().get("message"))

    assert told("retrieve", '{"questions": "a", "exact": true}').startswith(
        "exact goes with vectors alone; leave it out"
    )
    ranked = json.dumps({"vectors": [[0.1] * 24], "mode": "bm25", "exact": True})
    assert told("retrieve", ranked).startswith("exact is a search by vectors, and mode 'bm25' needs words")
    assert told("passages/get", '{"ids": ["1", "2"], "k": 1}').startswith("k goes with a filter")
    assert "the number 1e999 is larger" in told("retrieve", '{"questions": "a", "min_relevance": 1e999}')
    vectors = plays.encode_questions(["tragic"]).tolist()
    found = client().post("/v1/retrieve", json={"vectors": vectors, "exact": True, "k": 1}).json()["results"][0]["hits"]
    assert [one["id"] for one in found] == [one.passage.id for one in plays.search(vectors, 1)[0]]


def test_the_message_names_what_was_wrong(client: Client) -> None:
    def told(**body: Any) -> str:
        return client().post("/v1/retrieve", json={"questions": "a", **body}).json()["message"]

    assert told(top_k=3).startswith("body.top_k: ")
    assert (
        "'questions'"
        in client()
        .post("/v1/retrieve", content=b'{"questions": 1, "questions": 2}', headers={"content-type": "application/json"})
        .json()["message"]
    )
    assert told(k=0) == "k is 0, expected an integer of at least 1"


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json"])
def test_another_content_type_is_refused(client: Client, kind: str) -> None:
    answer = client().post(
        "/v1/retrieve", content=b'{"questions": "a"}', headers={"content-type": kind} if kind else {}
    )
    assert (answer.status_code, answer.json()["error"]) == (415, "RequestError")


def test_limits_are_said_with_their_figures(client: Client) -> None:
    limits = Limits(body=2000, questions=2, characters=10, hits=3, passages=2)
    one = client(limits=limits, token=TOKEN, writable=True)
    one.headers.update(BEARER)
    for path, body, status, said in (
        ("retrieve", {"questions": ["a"] * 3}, 422, "takes 2"),
        ("retrieve", {"questions": "x" * 11}, 422, "takes 10"),
        ("retrieve", {"questions": "a", "k": 4}, 422, "takes 3"),
        ("retrieve", {"questions": "a", "filter": {"a": "b" * 2000}}, 413, "2,000 bytes"),
        ("encode", {"questions": ["a"] * 3}, 422, "takes 2"),
        ("encode", {"passages": [{"text": "x" * 11}]}, 422, "takes 10"),
        ("passages", {"passages": [{"id": str(at), "text": "t"} for at in range(3)]}, 422, "takes 2"),
        ("passages/get", {"ids": ["1", "2", "3"]}, 422, "takes 2"),
        ("passages/get", {"filter": {}}, 422, "more than the 2 passages"),
        ("passages/get", {"filter": {}, "k": 3}, 422, "takes 2"),
    ):
        answer = one.post(f"/v1/{path}", json=body)
        assert (answer.status_code, answer.json()["error"]) == (status, "RequestError"), (path, answer.text)
        assert said in answer.json()["message"]
    assert len(one.post("/v1/passages/get", json={"filter": {}, "k": 2}).json()["passages"]) == 2


def test_a_body_without_a_length_is_cut_at_the_limit(client: Client) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(200):
            sent += 1000
            yield b" " * 1000

    answer = client(limits=Limits(body=5000)).post(
        "/v1/retrieve", content=endless(), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413


def test_reserved_keys_are_not_let_in(client: Client, plays: PassageStore) -> None:
    one = client(token=TOKEN, writable=True)
    for key in ("_dpr_rag", "_dpr_rag_source"):
        body = {"passages": [{"id": "9", "text": "t", "metadata": {key: {"marks": ["x"]}}}]}
        answer = one.post("/v1/passages", json=body, headers=BEARER)
        assert (answer.status_code, answer.json()["error"]) == (422, "PassageError")
    assert plays.get(["9"]) == []


@pytest.mark.parametrize("field", ["_dpr_rag_source", "_dpr_rag_source.x"])
@pytest.mark.parametrize("path", ["retrieve", "passages/get", "passages/count", "passages/delete"])
def test_no_filter_finds_out_where_files_of_the_server_lie(client: Client, path: str, field: str) -> None:
    one = client(token=TOKEN, writable=True)
    where = {"$not": {"$or": [{"year": 5}, {field: {"$startswith": "/srv"}}]}}
    body = {"filter": where, **({"questions": "a"} if path == "retrieve" else {})}
    answer = one.post(f"/v1/{path}", json=body, headers=BEARER)
    assert (answer.status_code, answer.json()["error"]) == (422, "FilterError")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StoreCorrupted("/srv/data/plays.dpr: passage 7 is damaged"), 500),
        (StoreReplacedError("/srv/data/plays.dpr holds another store"), 503),
        (StoreClosedError("/srv/data/plays.dpr is closed"), 503),
        (StoreLocked("/srv/data/plays.dpr is being written by process 77"), 503),
        (RuntimeError("/srv/data secret"), 500),
    ],
)
def test_damage_is_named_by_class_and_told_to_the_log_alone(
    client: Client, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(PassageStore, "rank", fail)
    answer = client().post("/v1/retrieve", json={"questions": "a"})
    name = "ServiceError" if isinstance(error, RuntimeError) else type(error).__name__
    assert (answer.status_code, answer.json()["error"]) == (status, name)
    assert "srv" not in answer.text
    if name != "ServiceError":
        assert str(error) in caplog.text


def test_a_store_that_cannot_be_read_is_unwell(client: Client, fresh: PassageStore) -> None:
    one = client({"fresh": fresh})
    fresh.close()
    assert (one.get("/healthz").status_code, one.get("/healthz").json()) == (503, {"status": "failing"})
    assert one.head("/healthz").status_code == 503


def test_a_view_is_served_like_a_store_and_shows_no_more(client: Client, plays: PassageStore) -> None:
    with plays.restricted({"year": {"$lt": 1700}}) as view:
        one = client({"early": view})
        assert one.post("/v1/passages/count", json={}).json() == {"count": 2}
        found = one.post("/v1/retrieve", json={"questions": "Faust tragic play"}).json()
        assert {hit["id"] for hit in found["results"][0]["hits"]} == {"1", "3"}
        (told,) = one.get("/v1/stores").json()["stores"]
        assert (told["name"], told["passages"]) == ("early", 2)


def test_words_alone_need_no_encoder(client: Client, plays: PassageStore) -> None:
    with PassageStore.open(plays.path, read_only=True) as bare:
        one = client({"plays": bare})
        found = one.post("/v1/retrieve", json={"questions": "tragic", "mode": "bm25"}).json()
        assert [hit["id"] for hit in found["results"][0]["hits"]] == ["2"]
        answer = one.post("/v1/retrieve", json={"questions": "tragic"})
        assert (answer.status_code, answer.json()["error"]) == (409, "EncoderMismatchError")
        assert one.post("/v1/encode", json={"questions": ["a"]}).status_code == 409


def test_metrics_count_by_path_and_status(client: Client) -> None:
    one = client()
    for body in ({"questions": ["a", "b"]}, {"questions": " "}):
        one.post("/v1/retrieve", json=body)
    one.get("/anything/at/all")
    told = one.get("/metrics").text
    assert 'dpr_rag_requests_total{path="/v1/retrieve",status="200"} 1.0' in told
    assert 'dpr_rag_requests_total{path="/v1/retrieve",status="422"} 1.0' in told
    assert 'dpr_rag_requests_total{path="other",status="404"} 1.0' in told
    assert "dpr_rag_batch_questions_sum 2.0" in told
    assert "dpr_rag_waiting_questions 0.0" in told


def test_unknown_paths_and_methods_are_errors_of_the_same_form(client: Client) -> None:
    for answer in (
        client().get("/none"),
        client().delete("/v1/retrieve"),
        client().get("/docs"),
        client().get("/redoc"),
    ):
        assert answer.status_code in (404, 405)
        assert answer.json()["error"] == "RequestError"


def test_the_document_describes_every_path_and_field(client: Client) -> None:
    document = client().get("/openapi.json").json()
    assert set(document["paths"]) == {
        "/v1/retrieve",
        "/v1/encode",
        "/v1/passages",
        "/v1/passages/get",
        "/v1/passages/delete",
        "/v1/passages/count",
        "/v1/ranking",
        "/v1/calibration",
        "/v1/stores",
        "/healthz",
        "/metrics",
    }
    for operations in document["paths"].values():
        for operation in operations.values():
            assert operation["description"]
    assert {"questions", "vectors", "k", "filter", "mode", "diversity", "min_relevance", "store"} <= set(
        document["components"]["schemas"]["RetrieveRequest"]["properties"]
    )


@pytest.mark.parametrize("stores", [{}, {"../x": None}, {"a b": None}, {"": None}, {"x" * 65: None}])
def test_names_that_cannot_be_are_refused(stores: dict) -> None:
    with pytest.raises(RequestError):
        create_app(stores)


@pytest.mark.parametrize(
    "options",
    [
        *({"hits": 0}, {"seconds": 0}, {"pause": -1}, {"body": True}, {"batch": "5"}, {"batch": 2.5}, {"threads": 1.5}),
        *(
            {"questions": math.nan},
            {"hits": math.inf},
            {"seconds": math.nan},
            {"pause": math.inf},
            {"seconds": 10**400},
        ),
    ],
)
def test_limits_that_cannot_be_are_refused(options: dict) -> None:
    with pytest.raises(RequestError, match=f"{next(iter(options))} is .*, expected an? (integer|number)"):
        Limits(**options)


@pytest.mark.parametrize("token", ["", " ", "two words", "größer", 5, b"token"])
def test_a_token_that_is_none_opens_nothing(plays: PassageStore, token: Any) -> None:
    with pytest.raises(AccessError, match="the token is empty or holds more than visible ASCII characters"):
        create_app({"plays": plays}, token=token, writable=True, at_home=False)


@pytest.mark.parametrize(
    ("stores", "options", "said"),
    [
        ({"a": "plays.dpr"}, {}, "store is str 'plays.dpr', expected an open store; open one with open_store"),
        ({"a": RemoteStore("http://127.0.0.1:1")}, {}, "is a service, which gives out no vectors"),
        (["plays"], {}, "stores is list .*, expected open stores by name"),
        (None, {"limits": {"hits": 3}}, "limits is dict .*, expected a Limits"),
        (None, {"second": "default"}, "second is the string 'default', expected a SecondStage"),
    ],
)
def test_what_cannot_be_served_is_told_at_once(plays: PassageStore, stores: Any, options: Any, said: str) -> None:
    with pytest.raises(DprRagError, match=said):
        create_app(stores or {"plays": plays}, **options)


def test_a_number_without_end_is_told_in_a_line(client: Client) -> None:
    answer = client().post(
        "/v1/retrieve", content=b'{"k":' + b"9" * 5000 + b"}", headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400
    said = "the body cannot be read as JSON: a number has 5,000 digits, expected 4,300 at most"
    assert answer.json() == {"error": "RequestError", "message": said}


def test_a_k_of_thousands_of_digits_is_told_in_a_line(client: Client) -> None:
    answer = client().post("/v1/retrieve", json={"questions": "tragedy", "k": 10**4000})
    assert answer.status_code == 422
    said = "hits: far more were asked for, and this service takes 1,000 at once; ask for less"
    assert answer.json() == {"error": "RequestError", "message": said}


def test_a_query_beside_the_body_is_refused_and_not_ignored(client: Client) -> None:
    one, body = client(), {"questions": "tragedy"}
    for path in ("/v1/retrieve?k=1", "/v1/passages/count?store=other"):
        answer = one.post(path, json=body)
        assert answer.status_code == 422
        assert answer.json()["message"].startswith(f"the query {path.partition('?')[2]!r} says nothing here")
    assert one.get("/healthz?probe=1").json() == {"status": "ok"}


def test_a_path_with_a_slash_too_many_is_said_to_be_none(client: Client) -> None:
    answer = client().post("/v1/retrieve/", json={"questions": "tragedy"}, follow_redirects=False)
    assert answer.status_code == 404
    assert "no path '/v1/retrieve/' here" in answer.json()["message"]


async def test_a_large_body_waits_for_a_thread_within_the_time_of_a_request(plays: PassageStore) -> None:
    app = create_app({"plays": plays}, limits=Limits(seconds=0.2, threads=1))
    service, ended = app.state.service, Event()
    busy = asyncio.ensure_future(service.searching.run(lambda: ended.wait(20)))
    body = json.dumps({"questions": "a", "filter": {"text": "x" * 70_000}}).encode()
    sent = iter([{"type": "http.request", "body": body}])
    request = StrictRequest(
        {"type": "http", "app": app, "headers": [(b"content-type", b"application/json")]},
        lambda: asyncio.sleep(0, next(sent)),
    )
    try:
        with pytest.raises(ServiceTimeoutError, match=r"not read within 0\.2 s"):
            await asyncio.wait_for(request.json(), 10)
    finally:
        ended.set()
        await busy


def test_a_hit_names_its_file_and_not_where_that_lies(client: Client, tmp_path: Path) -> None:
    sources = {
        "notes/deep/tea.md#1": "/srv/notes/deep/tea.md",
        "7": "/srv/table.csv",
        "upload:whales.md#1": "upload:whales.md",
        "8": "",
    }
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder(24)) as store:
        store.add(with_source(Passage(name, f"text of {name}"), source) for name, source in sources.items())
        store.add([Passage("9", "a text", "", {"source": "https://example.org/a"})])
        one = client({"s": store})
        (found,) = one.post("/v1/retrieve", json={"questions": "text"}).json()["results"]
        got = one.post("/v1/passages/get", json={"filter": {}}).json()["passages"]
    expected = {
        "notes/deep/tea.md#1": "notes/deep/tea.md",
        "7": "table.csv",
        "upload:whales.md#1": "whales.md",
        "8": None,
        "9": "https://example.org/a",
    }
    for hits in (found["hits"], got):
        assert {hit["id"]: hit.get("source") for hit in hits} == expected
        assert "/srv" not in json.dumps(hits)


def test_json_is_read_with_one_meaning() -> None:
    assert read_json(json.dumps({"a": [1, 2.5, None, "ü"]}).encode()) == {"a": [1, 2.5, None, "ü"]}
