"""What is Milvus's own: few requests, partitions of tenants, files of milvus-lite, and everything that can go wrong."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import HashEncoder

pytest.importorskip("milvus_lite")

from dpr_rag import MilvusStore, Passage, Ranking, open_store
from dpr_rag.errors import (
    AccessError,
    ArgumentError,
    EncoderMismatchError,
    ForkedProcessError,
    NotAStoreError,
    PathError,
    ServiceError,
    ServiceUnavailableError,
    StoreError,
    StoreLocked,
    StoreNotFoundError,
    VectorError,
)
from dpr_rag.filters import parse_filter
from dpr_rag.milvus.collection import Collection
from dpr_rag.milvus.partitions import partition_value, partition_values

TENANTS = ("a", "b", 1, True, None, ["a"])


def of_tenants(count: int = 30) -> list[Passage]:
    return [Passage(str(at), f"word{at % 5} text{at}", "", {"tenant": TENANTS[at % 6], "n": at}) for at in range(count)]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"milvus+lite:{tmp_path_factory.mktemp('m') / 'engine.db'}"


@pytest.fixture(scope="module")
def parted(file: str) -> Iterator[MilvusStore]:
    with MilvusStore.open(f"{file}#parted", encoder=HashEncoder(), partition_key="tenant") as store:
        store.add(of_tenants())
        yield store


@pytest.fixture(scope="module")
def plain(file: str) -> Iterator[MilvusStore]:
    with MilvusStore.open(f"{file}#plain", encoder=HashEncoder()) as store:
        store.add(of_tenants())
        yield store


def requests_of(store: MilvusStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked from now on, by name."""
    asked: list[str] = []

    def counting(name: str) -> Any:
        real = getattr(store._collection._client, name)

        def ask(*given: object, **options: object) -> object:
            asked.append(name)
            return real(*given, **options)

        return ask

    for name in ("search", "query"):
        monkeypatch.setattr(store._collection._client, name, counting(name), raising=False)
    return asked


def test_scores_are_calibrated_with_few_requests(plain: MilvusStore, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = requests_of(plain, monkeypatch)
    assert plain.calibration.relevance(100.0) > 0.5
    assert len(asked) <= 8
    asked.clear()
    assert len(plain.rank([f"word{at % 5} text{at}" for at in range(8)], 3, ranking=Ranking("hybrid"))) == 8
    assert len(asked) <= 8  # three of them draw the sample for λ, once


def test_a_sample_has_as_many_as_there_are(plain: MilvusStore) -> None:
    for wanted in (1, 29, 30, 1_000):
        drawn, vectors = plain.sample(wanted)
        assert len({one.id for one in drawn}) == len(vectors) == min(wanted, 30)
    assert [one.id for one in plain.sample(5)[0]] == [one.id for one in plain.sample(30)[0]][:5]


def test_answers_that_are_too_large_come_by_pages(plain: MilvusStore, monkeypatch: pytest.MonkeyPatch) -> None:
    plain.add([Passage(f"more{at}", f"word{at}", "", {"n": -1}) for at in range(250)])
    vectors = plain.encode_questions(["word1 text6", "word9"])
    expected, real, asked = plain.search(vectors, 240), Collection._search, []

    def refuse(self: Collection, questions: object, limit: int, expression: str, fields: list[str], **how: bool) -> Any:
        asked.append(fields)
        if len(fields) > 1:
            raise ServiceError("the answer is too large")
        return real(self, questions, limit, expression, fields, **how)

    monkeypatch.setattr(Collection, "_search", refuse)
    assert plain.search(vectors, 240) == expected
    assert asked[-1] == ["key"]
    with pytest.raises(ServiceError, match="too large"):  # which it is not
        plain.search(vectors, 3)
    monkeypatch.undo()
    plain.delete(filter={"n": -1})


def test_tenants_are_kept_in_partitions(parted: MilvusStore, plain: MilvusStore) -> None:
    assert parted.info().partition_key == "tenant"
    assert plain.info().partition_key is None
    filters = [
        *({"tenant": one} for one in TENANTS),
        *({"tenant": {"$in": list(some)}} for some in (("a", "b"), (1, None), ())),
        *({"tenant": {operator: "a"}} for operator in ("$ne", "$contains")),
        {"tenant": {"$exists": False}},
        {"$not": {"tenant": "a"}},
        {"$and": [{"tenant": "a"}, {"n": {"$lt": 10}}]},
        {"$and": [{"tenant": "a"}, {"tenant": "b"}]},
        {"$or": [{"tenant": "a"}, {"tenant": 1}]},
        {"$or": [{"tenant": "a"}, {"n": 1}]},
    ]
    vector = plain.encode_questions(["word1 text7"])
    for one in filters:
        expected = [passage.id for passage in of_tenants() if parse_filter(one).matches(passage)]
        assert [passage.id for passage in parted.select(one)] == expected, one
        assert parted.count(one) == len(expected), one
        found = [[(hit.passage.id, hit.score) for hit in store.search(vector, 40, one)[0]] for store in (parted, plain)]
        assert found[0] == found[1], one


def test_a_tenants_passages_move_with_it(parted: MilvusStore) -> None:
    moved = Passage("0", "word0 text0", "", {"tenant": "b", "n": 0})
    view = parted.restricted({"tenant": "b"})
    before = view.count()
    assert parted.add([moved]).replaced == 1
    assert (view.count(), parted.count(), parted.get(["0"])) == (before + 1, 30, [moved])
    assert parted.restricted({"tenant": "a"}).get(["0"]) == []
    assert view.add([Passage("new", "word")]).added == 1
    assert parted.get(["new"])[0].metadata == {"tenant": "b"}
    assert view.delete(["new"]) == 1
    assert parted.add(of_tenants()[:1]).replaced == 1


@pytest.mark.parametrize(
    ("where", "tenants"),
    [
        ({"tenant": "a"}, {"a"}),
        ({"tenant": {"$in": ["a", "b"]}}, {"a", "b"}),
        ({"$and": [{"tenant": "a"}, {"n": 1}]}, {"a"}),
        ({"$or": [{"tenant": "a"}, {"tenant": "b"}]}, {"a", "b"}),
        ({"$or": [{"tenant": "a"}, {"n": 1}]}, None),
        ({"$not": {"tenant": "a"}}, None),
        ({"tenant": {"$ne": "a"}}, None),
        ({"tenant": {"$gte": "a"}}, None),
        ({"other": "a"}, None),
        ({}, None),
    ],
)
def test_a_filter_asks_the_partitions_that_can_hold_what_it_keeps(
    where: dict[str, Any], tenants: set[str] | None
) -> None:
    found = partition_values(parse_filter(where), "tenant")
    wanted = None
    if tenants is not None:
        wanted = {partition_value(Passage("x", "text", "", {"tenant": one}), "tenant") for one in tenants}
    assert found == wanted


def test_a_partition_key_is_settled_when_a_collection_is_made(
    parted: MilvusStore, plain: MilvusStore, file: str
) -> None:
    for name, said in (("parted", "with the partition key 'tenant'"), ("plain", "without a partition key")):
        with pytest.raises(StoreError, match=f"was made {said}, not with 'user'"):
            MilvusStore.open(f"{file}#{name}", partition_key="user")
    with pytest.raises(ArgumentError, match="expected a field of the metadata"):
        MilvusStore.open(f"{file}#plain", partition_key=" ")
    with pytest.raises(ArgumentError, match="partition_key goes with a new collection of a Milvus"):
        open_store("folder", partition_key="tenant")
    with pytest.raises(ArgumentError, match="partition_key goes with a new collection of a Milvus"):
        open_store("http://127.0.0.1:9", partition_key="tenant")


def test_a_file_is_free_when_the_last_store_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "engine.db"
    stores = [open_store(f"milvus+lite:{path}#c{at}", encoder=HashEncoder()) for at in range(2)]
    stores[0].add([Passage("1", "text")])
    for store, is_free in ((stores[1], False), (stores[0], True)):
        store.close()
        store.close()
        with open(path / "LOCK") as lock:
            if is_free:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with pytest.raises(StoreLocked, match="in use by another process"):
                    open_store(f"milvus+lite:{path}")
            else:
                with pytest.raises(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with open_store(f"milvus+lite:{path}#c0", create=False) as store:
        assert store.count() == 1


def test_what_is_not_there_is_not_made(tmp_path: Path) -> None:
    for options in ({"create": False}, {"read_only": True}):
        with pytest.raises(StoreNotFoundError, match="there is no collection"):
            open_store(f"milvus+lite:{tmp_path / 'engine.db'}", **options)
    assert list(tmp_path.iterdir()) == []


def test_what_milvus_lite_did_not_make_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file.db").write_text("SQLite format 3")
    (tmp_path / "folder.db").mkdir()
    (tmp_path / "folder.db" / "letter.txt").write_text("dear")
    for name, said in (("file", "is a file, and milvus-lite keeps a folder"), ("folder", "milvus-lite did not make")):
        with pytest.raises(NotAStoreError, match=said):
            open_store(f"milvus+lite:{tmp_path / name}.db")
    assert [one.name for one in (tmp_path / "folder.db").iterdir()] == ["letter.txt"]
    with pytest.raises(StoreError, match="cannot be written"):
        open_store("milvus+lite:/proc/engine.db")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match=r"cannot be written.*permissions"):
        open_store(f"milvus+lite:{tmp_path / 'engine.db'}")
    tmp_path.chmod(0o700)


def test_a_collection_that_somebody_else_made_is_refused(plain: MilvusStore, file: str) -> None:
    plain._collection._client.create_collection("strange", dimension=4)
    with pytest.raises(NotAStoreError, match="that dpr-rag did not make; name another one"):
        open_store(f"{file}#strange")
    assert plain.count() == 30


def test_another_encoder_is_refused_by_name(plain: MilvusStore, file: str) -> None:
    for other in (HashEncoder(salt="x"), HashEncoder(dim=8)):
        with pytest.raises(EncoderMismatchError, match=r"'hash-16-' .16 dimensions.*open it with that encoder"):
            open_store(f"{file}#plain", encoder=other)
    with open_store(f"{file}#bare") as bare:
        bare.add([Passage("1", "text")], vectors=np.ones((1, 16)))
    with pytest.raises(EncoderMismatchError, match=r"without an encoder .*; open it with none"):
        open_store(f"{file}#bare", encoder=HashEncoder())


def test_a_collection_without_its_index_gets_it(plain: MilvusStore, file: str) -> None:
    with open_store(f"{file}#torn", encoder=HashEncoder()) as store:
        store.add(of_tenants(3))
        client = store._collection._client
        client.release_collection("torn")
        client.drop_index("torn", "vector")
    with open_store(f"{file}#torn", encoder=HashEncoder()) as store:
        assert len(store.rank(["word1"], 3)[0]) == 3


def test_two_who_make_a_collection_at_once_share_it(file: str) -> None:
    with open_store(f"{file}#both") as one, open_store(f"{file}#both") as two, open_store(f"{file}#both") as three:
        one.add([Passage("1", "text")], vectors=np.ones((1, 4)))
        assert two.add([Passage("2", "text")], vectors=np.ones((1, 4))).added == 1
        assert one.count() == two.count() == 2
        with pytest.raises(VectorError, match="4"):
            three.add([Passage("3", "text")], vectors=np.ones((1, 5)))
    with open_store(f"{file}#third") as one, open_store(f"{file}#third") as two:
        late = two._target
        one.add([Passage("1", "text")], vectors=np.ones((1, 16)))
        with pytest.raises(EncoderMismatchError, match="vectors that came without an encoder"):
            replace(late, encoder=HashEncoder()).make(16)


def test_a_collection_that_is_dropped_meanwhile_is_told(file: str) -> None:
    with open_store(f"{file}#gone", encoder=HashEncoder()) as store:
        store.add(of_tenants(3))
        store._collection._client.drop_collection("gone")
        for ask in (store.count, lambda: list(store), lambda: store.rank(["word1"], 1)):
            with pytest.raises(StoreNotFoundError, match="was dropped by somebody; open it again"):
                ask()


def test_an_engine_that_ends_between_two_pages_is_told(tmp_path: Path) -> None:
    store = open_store(f"milvus+lite:{tmp_path / 'engine.db'}", encoder=HashEncoder())
    store.add([Passage(str(at), f"word{at}") for at in range(450)])
    pages = store.batches(200)
    assert len(next(pages)[0]) == 200
    store._collection._timeout = 1
    store._collection._connection._served.stop()
    for ask in (lambda: next(pages), lambda: store.rank(["word1"], 1)):
        with pytest.raises(ServiceUnavailableError, match=r"does not answer \((query|search):"):
            ask()
    store.close()


_KILLED = """
import os, sys
from dpr_rag import MilvusStore, Passage
store = MilvusStore.open(sys.argv[1])
for at in range(4):
    store.add([Passage(f"{at} {part}", "text") for part in range(50)], vectors=[[float(part + 1)] for part in range(50)])
store.delete(["0 0"])
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_process_was_acknowledged_is_there(tmp_path: Path) -> None:
    address = f"milvus+lite:{tmp_path / 'engine.db'}"
    assert subprocess.run([sys.executable, "-c", _KILLED, address], check=False, timeout=120).returncode == -9
    with open_store(address, create=False) as store:
        assert store.count() == len(list(store)) == 199
        assert store.search([[1.0]], 1)[0][0].score == 50.0


def test_threads_share_a_store(file: str) -> None:
    with open_store(f"{file}#threads", encoder=HashEncoder()) as store:

        def work(at: int) -> int:
            store.add([Passage(f"{at} {part}", f"word{part} of{at}") for part in range(20)], batch_size=5)
            return len(store.rank([f"word3 of{at}"], 5)[0])

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(work, range(8))) == [5] * 8
        assert store.count() == len({one.id for one in store}) == 160


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_is_refused_and_the_parent_goes_on(plain: MilvusStore, file: str) -> None:
    asks = (plain.count, lambda: open_store(f"{file}#plain"), lambda: open_store("milvus://127.0.0.1:9/x"))
    child = os.fork()
    if not child:
        refused = 0
        for ask in asks:
            try:
                ask()
            except ForkedProcessError as error:
                refused += "does not survive a fork" in str(error)
        plain.close()
        os._exit(refused)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == len(asks)
    assert plain.count() == 30


def test_an_idle_connection_lives(plain: MilvusStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import grpc

    opened: list[dict[str, Any]] = []
    real = grpc.insecure_channel

    def channel(target: str, options: Any = None, **more: Any) -> Any:
        opened.append(dict(options))
        return real(target, options=options, **more)

    monkeypatch.setattr(grpc, "insecure_channel", channel)
    open_store(f"milvus+lite:{tmp_path / 'engine.db'}").close()
    # whoever asks more often than every five minutes whether a server of gRPC's is alive is shut out by it
    assert opened[0]["grpc.keepalive_time_ms"] > 300_000
    assert opened[0]["grpc.enable_http_proxy"] == 0
    with pytest.raises(ServiceUnavailableError):
        open_store("milvus://127.0.0.1:9/wiki", timeout=0.5)
    assert opened[1]["grpc.enable_http_proxy"] == 0


def test_a_server_that_wants_a_token_is_told(plain: MilvusStore) -> None:
    from pymilvus.exceptions import MilvusException

    with (
        pytest.raises(AccessError, match="pass token='user:password' or an API key, or set MILVUS_TOKEN"),
        plain._collection._errors("connect"),
    ):
        raise MilvusException(code=1800, message="auth check failure, please check api key is correct")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("milvus://host/wiki?token=x", "no address of a collection"),
        ("milvus://host/wiki#x", "no address of a collection"),
        ("milvus://host/a/b", "cannot name a collection"),
        ("milvus://host/köln", "use ASCII letters"),
        ("milvus://host/1st", "cannot name a collection"),
        ("milvus://host/" + "a" * 256, "cannot name a collection"),
        ("milvus://host:0/a", "expected milvus://host:19530/collection"),
        ("milvus://host:99999/a", "Port out of range"),
        ("milvus://ho st/a", "no address of a collection"),
        ("milvus://[::1]/a", "pymilvus does not connect to addresses of IPv6; give a host's name"),
        ("milvus://[::1/a", "Invalid IPv6"),
        ("milvus://user@host/a", "holds no user and no password"),
        ("milvus+lite:", "names no file"),
        ("milvus+lite:/tmp/a.db#", "cannot name a collection"),
        ("milvus+lite:/tmp/a.db#a-b", "cannot name a collection"),
        ("milvus+lite:/tmp/a\0.db", "NUL"),
    ],
)
def test_addresses_are_read_to_the_letter(address: str, said: str) -> None:
    with pytest.raises(PathError, match=said) as raised:
        open_store(address)
    assert "secret" not in str(raised.value)


def test_secrets_of_an_address_are_not_repeated() -> None:
    for wrong in ("milvus://user:secret@host:x/a", "milvus://user:secret@[::1/a", "MILVUS://user:secret@host/a"):
        with pytest.raises(PathError) as raised:
            open_store(wrong)
        assert "secret" not in str(raised.value)


def test_an_address_may_be_written_in_capitals(tmp_path: Path) -> None:
    with MilvusStore.open(f"MILVUS+Lite:{tmp_path / 'Engine.db'}#Wiki", encoder=HashEncoder()) as store:
        assert store.path == f"milvus+lite:{tmp_path / 'Engine.db'}#Wiki"
    with pytest.raises(ServiceUnavailableError, match=r"milvus://127\.0\.0\.1:9/Wiki does not answer"):
        open_store("Milvus://127.0.0.1:9/Wiki", timeout=0.5)
