"""The contract of stores: a folder, a file of milvus-lite and a server of Milvus give the same for the same data."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import HashEncoder, Oracle, assert_equals_oracle
from engines import Server

from dpr_rag import Diversity, MilvusStore, Passage, PassageStore, Ranking, RemoteStore, Retriever, open_store
from dpr_rag.errors import (
    ArgumentError,
    EncoderMismatchError,
    FilterError,
    IndexKindError,
    NotAcknowledgedError,
    PassageError,
    PathError,
    RepeatedIdError,
    ServiceUnavailableError,
    StoreError,
    StoreNotFoundError,
    StoreReadOnlyError,
    VectorError,
)
from dpr_rag.filters import Filter
from dpr_rag.milvus.kinds import Kind
from dpr_rag.stores import Store, is_store

KINDS = ("folder", "lite", "server")
ODD = 'quote " backslash \\ percent % under _ é \u0065\u0301 nul \0 line\n 東京 ${x}'
METADATA = [
    {},
    {"a": None},
    {"a": 1, "b": "x"},
    {"a": 1.0, "b": "y", "tags": ["x", 1, None, True]},
    {"a": True},
    {"a": "1", "z": {"y": [1, "2"], "w": {"v": 5}}},
    {"a": 2**62 + 1, "z.y": "dotted"},
    {"a": -3.5, "z": {"y": None}},
    {"a": [], "b": ""},
    {"a": [1, "x"], "b": {}},
    {"a": ["x", 1], "id": "own", "title": "own title"},
    {ODD: ODD, "b": "cafe\u0301"},
    {"b": "café", "a": 1e300},
    {"\u0065\u0301": 7, "a": [[1], {"k": 2}]},
    {"a": 0, "b": "100%"},
    {"a": -0.0, "b": "1_0"},
    {"a": False, "b": "a\\b"},
    {"year": 1995, "lang": "en"},
    {"year": 2005.5, "lang": "de"},
    {"year": "2000", "lang": "EN"},
]
FILTERS = [
    {},
    *({"a": value} for value in (None, 1, True, False, "1", -3.5, 0, 2**62 + 1, 2**62, 1e300)),
    *({"a": {"$eq": value}} for value in ([], [1, "x"], ["x", 1])),
    *({"a": {operator: 1}} for operator in ("$ne", "$lt", "$lte", "$gt", "$gte", "$contains")),
    *({"a": {"$ne": value}} for value in (None, [], "1")),
    *({"a": {operator: [1, "x", None]}} for operator in ("$in", "$nin", "$any", "$all")),
    *({"a": {operator: []}} for operator in ("$in", "$nin", "$any", "$all")),
    *({"a": {operator: wanted}} for operator in ("$exists", "$is_empty") for wanted in (True, False)),
    *({"title": {operator: wanted}} for operator in ("$exists", "$is_empty") for wanted in (True, False)),
    *({"b": {operator: "1%"}} for operator in ("$like", "$ilike", "$startswith", "$endswith", "$text_match")),
    *({"b": {"$like": pattern}} for pattern in ("%é", "1\\_0", "100\\%", "a\\\\b", "%")),
    *({"b": {operator: "x"}} for operator in ("$lt", "$lte", "$gt", "$gte")),
    {"b": {"$text_match_insensitive": "CAFÉ"}},
    {"b": "café"},
    {"b": {"$ne": "cafe\u0301"}},
    {ODD: ODD},
    {ODD: {"$ne": ODD}},
    {"é": 7},
    {"z.y": "dotted"},
    {"z.y": {"$contains": "2"}},
    {"z.y": {"$is_empty": True}},
    {"z.w.v": {"$gte": 5}},
    {"z": {"$exists": True}},
    {"tags": {"$all": ["x", True]}},
    {"year": {"$between": [1990, 2006]}},
    {"year": {"$gte": 1990, "$lt": 2005.5}},
    {"$not": {"year": {"$gte": 2000}}},
    {"$not": [{"year": {"$gte": 2000}}, {"lang": "en"}]},
    {"$or": [{"year": {"$lt": 2000}}, {"$and": [{"lang": "EN"}, {"b": {"$exists": False}}]}]},
    {"$and": [{"$not": {"$or": [{"a": 1}, {"b": {"$startswith": "x"}}]}}, {"a": {"$exists": True}}]},
    {"$and": []},
    {"$or": []},
    {"id": "own"},
    {"id": {"$in": [f"p5{ODD}", "nobody"]}},
    {"id": {"$nin": [f"p5{ODD}"]}},
    {"title": "Title 3"},
    {"title": {"$ne": "Title 3"}},
]


def passages(count: int = 60) -> list[Passage]:
    names = ["Title 3", "", "café", "own"]
    return [
        Passage(f"p{at}{ODD}", f"word{at % 7} text{at} {ODD}", names[at % 4], METADATA[at % len(METADATA)])
        for at in range(count)
    ]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("pymilvus")
    running = Server(tmp_path_factory.mktemp("milvus"))
    running.start()
    yield running
    running.stop()


def address_of(kind: str, name: str, request: pytest.FixtureRequest) -> str:
    if kind == "server":
        return request.getfixturevalue("server").address(name)
    folder: Path = request.getfixturevalue("tmp_path_factory").getbasetemp()
    if kind == "lite":
        pytest.importorskip("milvus_lite")
        return f"milvus+lite:{folder / 'engine.db'}#{name}"
    return str(folder / f"{name}.dpr")


class World:
    """A store and what it must answer."""

    def __init__(self, store: PassageStore | MilvusStore) -> None:
        self.store, self.oracle, self.given = store, Oracle(), passages()
        vectors = store.encoder.encode_passages(self.given)
        store.add(self.given, batch_size=25)
        self.oracle.add(self.given, vectors)
        self.questions = store.encoder.encode_questions(["word1 text8", "word3", "elsewhere"])


@pytest.fixture(scope="module", params=KINDS)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    address = address_of(request.param, "contract", request)
    with open_store(address, encoder=HashEncoder()) as store:
        yield World(store)


def test_every_kind_is_a_store(world: World) -> None:
    assert is_store(world.store)
    assert not is_store(PassageStore)
    assert not is_store("wiki.dpr")
    assert is_store(RemoteStore("http://127.0.0.1:9"))


@pytest.mark.parametrize("k", [1, 5, 200])
def test_the_best_are_those_of_brute_force(world: World, k: int) -> None:
    assert_equals_oracle(world.store, world.oracle, world.questions, k)


def test_filters_mean_the_same(world: World) -> None:
    asked = [*FILTERS, *({"$not": one} for one in FILTERS if one)]
    if str(world.store.path).startswith("milvus://"):
        asked = asked[::2]  # each is a request or two; milvus-lite is asked all of them
    with ThreadPoolExecutor(16) as pool:  # a server waits a fifth of a second before it answers any
        kept = list(pool.map(lambda one: [passage.id for passage in world.store.select(one)], asked))
        counts = list(pool.map(world.store.count, asked))
    for one, ids, count in zip(asked, kept, counts, strict=True):
        assert ids == world.oracle.where(one), one
        assert count == len(ids), one
    for one in FILTERS[::9]:
        assert_equals_oracle(world.store, world.oracle, world.questions[:1], 4, one)


def test_functions_and_views_select(world: World) -> None:
    assert world.store.count(lambda passage: passage.title == "café") == 15
    view = world.store.restricted({"lang": "en"})
    assert view.count() == 3
    assert [one.id for one in view] == world.oracle.where({"lang": "en"})
    assert view.count({"lang": {"$ne": "en"}}) == 0
    assert view.get([world.given[0].id]) == []
    with pytest.raises(PassageError, match="outside of this view"):
        view.add([Passage(world.given[0].id, "mine now")])


def test_what_went_in_comes_out(world: World) -> None:
    assert list(world.store) == world.given
    assert [repr(one.metadata) for one in world.store] == [repr(one.metadata) for one in world.given]
    asked = [world.given[7].id, "nobody", world.given[3].id]
    assert world.store.get(asked) == [world.given[7], world.given[3]]
    vectors = world.store.get_vectors(asked)
    assert set(vectors) == {world.given[7].id, world.given[3].id}
    assert np.array_equal(vectors[asked[0]], world.oracle.vectors[asked[0]])
    assert len(world.store) == 60


def test_batches_bring_all_vectors_in_order(world: World) -> None:
    pages = list(world.store.batches(25))
    assert [len(page) for page, _ in pages] == [25, 25, 10]
    assert [one for page, _ in pages for one in page] == world.given
    for page, vectors in pages:
        assert vectors.dtype == np.float32
        assert np.array_equal(vectors, np.stack([world.oracle.vectors[one.id] for one in page]))
    seen = [one.id for page, _ in world.store.restricted({"lang": "en"}).batches(2) for one in page]
    assert seen == world.oracle.where({"lang": "en"})


def test_samples_are_the_same_again(world: World) -> None:
    drawn, vectors = world.store.sample(10)
    assert len({one.id for one in drawn}) == 10
    assert [one.id for one in world.store.sample(10)[0]] == [one.id for one in drawn]
    assert all(np.array_equal(vectors[at], world.oracle.vectors[one.id]) for at, one in enumerate(drawn))


def test_retrievers_ask_in_words(world: World) -> None:
    retriever = Retriever(world.store, k=3)
    expected = world.oracle.search(world.questions[:1], 3)[0]
    hits = retriever.retrieve("word1 text8")
    assert [(hit.passage.id, hit.dense, hit.bm25) for hit in hits] == [
        (one, hit.score, None) for (one, _), hit in zip(expected, hits, strict=True)
    ]
    assert 0 <= retriever.relevance(hits[2].score) <= retriever.relevance(hits[0].score) <= 1
    chosen = retriever.retrieve("word1 text8", diversity=Diversity(20, 0.5))
    assert chosen[0].passage == hits[0].passage


def test_many_questions_are_asked_as_each_is(world: World) -> None:
    asked = [f"word{at % 7} text{at}" for at in range(12)]
    modes = ("dense",) if str(world.store.path).startswith("milvus://") else ("dense", "bm25", "hybrid")
    for mode in modes:
        how = Ranking(mode, weight=0.5 if mode == "hybrid" else None)
        each = [world.store.rank([one], 5, {"lang": {"$ne": "de"}}, ranking=how)[0] for one in asked[:3]]
        together = world.store.rank(asked, 5, {"lang": {"$ne": "de"}}, ranking=how)
        for one, other in zip(each, together, strict=False):
            assert [hit.passage for hit in one] == [hit.passage for hit in other]
            assert [hit.score for hit in one] == pytest.approx([hit.score for hit in other], rel=1e-6)


def test_words_rank_where_the_engine_has_them(world: World) -> None:
    if world.store.path and "milvus://" in str(world.store.path):
        for mode in ("bm25", "hybrid"):
            with pytest.raises(VectorError, match=r"v2\.3\.5-lite has no BM25, which 2\.5 brought"):
                world.store.rank(["text8"], 3, ranking=Ranking(mode))
        return
    hits = world.store.rank(["text8"], 3, ranking=Ranking("bm25"))[0]
    assert [hit.passage.id for hit in hits] == [world.given[8].id]
    assert hits[0].score == hits[0].bm25 > 0
    both = world.store.rank(["text8 word1"], 5, ranking=Ranking("hybrid", weight=0.5))[0]
    assert both[0].passage.id == world.given[8].id
    assert all(hit.score == pytest.approx(hit.bm25 + 0.5 * hit.dense) for hit in both)
    vector = world.store.encode_questions(["text8 word1"])[0]
    assert [hit.dense for hit in both] == pytest.approx(
        [float(vector @ world.oracle.vectors[hit.passage.id]) for hit in both], rel=1e-4
    )
    by_itself = world.store.rank(["text8 word1"], 5, ranking=Ranking("hybrid"))[0]  # with λ of the question's own
    assert by_itself[0].passage.id == world.given[8].id


def test_questions_of_a_generator_are_all_answered(world: World) -> None:
    asked = ["word1 text8", "word2 text9"]
    assert world.store.rank((one for one in asked), 3) == world.store.rank(asked, 3)
    assert len(world.store.rank(iter(asked), 3)) == 2


def test_no_vectors_have_no_hits_whatever_their_width(world: World) -> None:
    for width in (7, world.store.dim):
        assert world.store.search(np.empty((0, width)), 3) == []
        assert world.store.rank([], 3, vectors=np.empty((0, width))) == []


def test_names_of_other_libraries_are_told_the_right_one(world: World) -> None:
    store: Any = world.store
    for call, right in (
        (lambda: store.search(world.questions, n_results=3), "k"),
        (lambda: store.rank(["text"], 3, where={}), "filter"),
        (lambda: store.select(filters={}), "filter"),
        (lambda: store.count(where={}), "filter"),
        (lambda: store.delete(where={}), "filter"),
        (lambda: store.add(documents=[]), "passages"),
        (lambda: type(store).open(persist_directory="x"), "path" if isinstance(store, PassageStore) else "address"),
    ):
        with pytest.raises(ArgumentError, match=f"here it is '{right}'|expected address,"):
            call()


def test_errors_are_the_same(world: World) -> None:
    store, one = world.store, Passage("new", "text")
    for wrong, error in (
        (lambda: store.search(world.questions[:, :3], 2), VectorError),
        (lambda: store.search(world.questions, 0), VectorError),
        (lambda: store.rank([" "], 2), PassageError),
        (lambda: store.add([one, Passage("new", "other")]), RepeatedIdError),
        (lambda: store.add([Passage("new", " ")]), PassageError),
        (lambda: store.add([one], vectors=np.ones((1, 3))), VectorError),
        (lambda: store.add([one], vectors=np.ones((2, 16))), VectorError),
        (lambda: store.add([one, Passage("next", "text")], vectors=[[1.0] * 16, [1.0] * 15]), VectorError),
        (lambda: store.add([one], vectors=[["1.0"] * 16]), VectorError),
        (lambda: store.add([one], vectors=[[float("nan")] * 16]), VectorError),
        (lambda: store.add([one], vectors=[None]), VectorError),
        (lambda: store.add([one], vectors=iter([])), VectorError),
        (lambda: store.add([one], vectors=5), VectorError),
        (lambda: store.delete(), StoreError),
        (lambda: store.delete(filter={}), FilterError),
        (lambda: store.delete("new"), StoreError),
        (lambda: store.delete({"a": 1}), StoreError),
        (lambda: store.delete([one]), StoreError),
        (lambda: store.get("new"), StoreError),
        (lambda: store.get_vectors([7]), StoreError),
        (lambda: next(store.batches(0)), StoreError),
    ):
        with pytest.raises(error):
            wrong()
    assert store.count() == 60


def test_parameters_of_an_index_are_called_as_in_a_folder_and_once() -> None:
    assert Kind.parse("ivf-sq8:nlist=16,nprobe=8") == Kind.parse("ivf-sq8:lists=16,probes=8")
    for wrong in ("hnsw:links=8,links=9", "ivf-flat:nlist=8,lists=9"):
        with pytest.raises(IndexKindError, match="twice; leave one of them out"):
            Kind.parse(wrong)
    with pytest.raises(IndexKindError, match="is no parameter of hnsw with a positive integer"):
        Kind.parse(f"hnsw:links={'9' * 5000}")


@pytest.mark.parametrize("kind", KINDS)
def test_passages_come_and_go(kind: str, request: pytest.FixtureRequest) -> None:
    address, given, oracle = address_of(kind, "changing", request), passages(12), Oracle()
    encoder = HashEncoder()
    with open_store(address, encoder=encoder) as store:
        assert store.add(given).added == 12
        again = store.add(given)
        assert (again.unchanged, encoder.passages_encoded) == (12, 12)
        oracle.add(given, encoder.encode_passages(given))
        changed = [
            Passage(given[0].id, "a new text"),
            Passage(given[1].id, given[1].text, given[1].title, {"lang": "fr"}),
        ]
        assert store.add(changed).replaced == 2
        oracle.add(changed, encoder.encode_passages(changed))
        assert [one.id for one in store] == list(oracle.passages)
        assert store.get([given[1].id])[0].metadata == {"lang": "fr"}
        assert store.delete([given[2].id, "nobody", given[2].id]) == oracle.delete([given[2].id])
        assert store.delete(filter={"a": {"$lt": 0}}) == oracle.delete(oracle.where({"a": {"$lt": 0}})) == 1
        assert store.delete([given[3].id, given[4].id], filter={"a": True}) == oracle.delete([given[4].id])
        assert store.restricted({"a": 1}).delete([given[5].id]) == 0
        assert store.delete([given[5].id, given[5].id], filter={}) == oracle.delete([given[5].id])
        assert_equals_oracle(store, oracle, encoder.encode_questions(["word1 text8"]), 20)
    with pytest.raises(EncoderMismatchError, match="hash-16-other"):
        open_store(address, encoder=HashEncoder(salt="other"))
    with open_store(address, read_only=True) as store:
        assert store.count() == 8
        with pytest.raises(StoreReadOnlyError):
            store.delete([given[0].id])
        with pytest.raises(StoreReadOnlyError):
            store.add(given)
        with pytest.raises(EncoderMismatchError):
            store.encode_questions(["a question"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_that_is_not_there_is_told(kind: str, request: pytest.FixtureRequest) -> None:
    address = address_of(kind, "absent", request)
    with pytest.raises(StoreNotFoundError):
        open_store(address, create=False)


@pytest.mark.parametrize(
    ("passage", "named"),
    [
        (Passage("i" * 65_536, "text"), "id has 65,536"),
        (Passage("big", "é" * 32_768), "text has 65,536.*65,535 bytes of UTF-8 in a VARCHAR"),
        (Passage("big", "text", "t" * 65_536), "title has 65,536"),
        (Passage("big", "text", "", {"a": "x" * 65_530}), "metadata has 65,53.*65,536 bytes of JSON"),
        (Passage("big", "text", "", {"a": [str(at) for at in range(4_096)]}), "metadata has 4,0.*facts"),
    ],
)
def test_what_milvus_cannot_hold_is_refused_by_name(passage: Passage, named: str) -> None:
    from dpr_rag.milvus.records import record_of

    with pytest.raises(PassageError, match=named) if "4,0" not in named else pytest.raises(PassageError, match="4,096"):
        record_of(passage, np.ones(2, np.float32), 1, words=False)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("milvus://", "no address of a collection"),
        ("milvus://u:p@host/a", "holds no user and no password"),
        ("milvus://host:x/a", "Port could not be cast"),
        ("milvus://host/a b", "cannot name a collection"),
        ("milvus+lite:file.sqlite", r"names end in \.db"),
    ],
)
def test_addresses_that_are_none_are_refused(address: str, said: str) -> None:
    with pytest.raises(PathError, match=said):
        open_store(address)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("mivlus://host:19530/notes", "milvus://host:19530/notes"),
        ("milvus:/host", "milvus://host"),
        ("milvus:host:19530/notes", "milvus://host:19530/notes"),
        ("milvus//host/notes", "milvus://host/notes"),
        ("milvus+light:notes.db", "milvus+lite:notes.db"),
        ("milvus-lite:notes.db", "milvus+lite:notes.db"),
        ("milvus_lite:notes.db#plays", "milvus+lite:notes.db#plays"),
        ("MILVUSLITE:notes.db", "milvus+lite:notes.db"),
        ("milvus+tsl://host/notes", "milvus+tls://host/notes"),
        ("htpp://host:8000", "http://host:8000"),
        ("https:/host", "https://host"),
    ],
)
def test_a_misspelt_address_is_refused_with_the_right_one(
    given: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PathError, match=f"no address as it is written; write {re.escape(meant)}$"):
        open_store(given)
    assert list(tmp_path.iterdir()) == []


def test_folders_whose_names_resemble_no_address_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "milvus:notes").mkdir()
    for given in ("milvus:notes", "wiki:notes", "wiki//notes", "milvus/notes", "./milvus:host"):
        with open_store(given) as store:
            assert store.count() == 0
    with pytest.raises(PathError, match="holds no user and no password") as caught:
        open_store("mivlus://user:secret@host/notes")
    assert "secret" not in str(caught.value)


def test_an_address_is_never_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PathError, match="open_store opens what lies there"):
        PassageStore.open("milvus+lite:file.db")
    with pytest.raises(ArgumentError, match="leave it out"):
        open_store("folder", token="secret")
    with pytest.raises(ArgumentError, match="has its own encoder"):
        open_store("http://127.0.0.1:9", encoder=HashEncoder())
    assert list(tmp_path.iterdir()) == []


def test_an_engine_that_is_not_there_is_told() -> None:
    pytest.importorskip("pymilvus")
    with pytest.raises(ServiceUnavailableError, match=r"milvus://127\.0\.0\.1:9/wiki does not answer"):
        open_store("milvus://127.0.0.1:9/wiki", timeout=1)


@pytest.mark.timeout(900)
def test_compressed_indexes_give_exact_scores(server: Server) -> None:
    vectors = np.random.default_rng(0).standard_normal((1_100, 16), dtype=np.float32)
    given = [Passage(str(at), f"text {at}") for at in range(1_100)]
    kinds = ("hnsw:links=8,efConstruction=40,efSearch=64", "ivf-flat:lists=16,probes=8", "ivf-sq8:lists=16,probes=8")

    def filled(index: str) -> str:
        address = server.address(index.split(":")[0].replace("-", "_"))
        with open_store(address, index=index, timeout=60) as store:
            store.add(given, vectors=vectors)
            assert store.wait_until_indexed(500) == 1_100
        return address

    def waited() -> int:
        """The server builds none below 1,024 rows, which it searches exactly, and counts them."""
        with open_store(server.address("small"), index="hnsw", timeout=60) as store:
            store.add([Passage(str(at), "text") for at in range(30)], vectors=np.eye(30, 16, dtype=np.float32) + 1)
            return store.wait_until_indexed(500)

    with ThreadPoolExecutor(4) as pool:
        small, addresses = pool.submit(waited), list(pool.map(filled, kinds))
    assert small.result() == 30  # an index that is never built is not waited for
    best = vectors[:20] @ vectors.T
    wanted = [set(np.argsort(-row)[:10].tolist()) for row in best]
    for index, address in zip(kinds, addresses, strict=True):
        with open_store(address, read_only=True) as store:
            assert store.info().kind == index.partition(":")[0].upper().replace("-", "_")
            hits = store.search(vectors[:20], 10)
            found = [{int(hit.passage.id) for hit in row} for row in hits]
            assert sum(len(a & b) for a, b in zip(found, wanted, strict=True)) >= 160
            for at, row in enumerate(hits):
                exact = [best[at][int(hit.passage.id)] for hit in row]
                assert [hit.score for hit in row] == pytest.approx(exact, rel=1e-5)
            assert [
                {int(hit.passage.id) for hit in row} for row in store.search(vectors[:3], 10, exact=True)
            ] == wanted[:3]


@pytest.mark.parametrize("method", ["by_keys", "upsert"])
def test_an_engine_that_goes_away_is_told_with_what_it_lacks(
    method: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dpr_rag.milvus.collection import Collection

    asked, real = [0], getattr(Collection, method)

    def goes_away(*given: object, **options: object) -> object:
        asked[0] += 1
        if asked[0] > 2:
            raise ServiceUnavailableError("it went away")
        return real(*given, **options)

    with open_store(address_of("lite", f"leaving_{method}", request), encoder=HashEncoder()) as store:
        monkeypatch.setattr(Collection, method, goes_away)
        with pytest.raises(NotAcknowledgedError, match="10 passages of this call were acknowledged") as raised:
            store.add(passages(15), batch_size=5)
        monkeypatch.undo()
        assert raised.value.acknowledged == store.count() == 10
        assert raised.value.passage_ids == tuple(one.id for one in passages(15)[10:])


def test_what_a_killed_server_acknowledged_is_there(server: Server) -> None:
    address, encoder = server.address("killed"), HashEncoder()
    acknowledged: list[int] = []
    open_store(address, encoder=encoder, timeout=60).close()  # it takes its time to load a new collection
    with open_store(address, encoder=encoder, timeout=60) as store:
        killer = threading.Timer(0, server.kill)

        def told(report: object) -> None:
            acknowledged.append(report.total)
            if report.total == 600:
                killer.start()

        with pytest.raises((NotAcknowledgedError, ServiceUnavailableError)) as raised:
            store.add((Passage(str(at), f"word{at}") for at in range(100_000)), batch_size=200, progress=told)
        assert acknowledged[-1] >= 600
        store._collection._timeout = 3  # nothing is going to come any more
        with pytest.raises(ServiceUnavailableError, match=r"does not answer \(count:"):
            store.count()
        with pytest.raises(ServiceUnavailableError):
            list(store)
    killer.join()
    server.stop()
    server.start()
    with open_store(address, encoder=encoder, timeout=60) as store:
        there = {one.id for one in store}
        assert {str(at) for at in range(acknowledged[-1])} <= there
        assert isinstance(raised.value, ServiceUnavailableError)
        assert f"{acknowledged[-1]:,} passages of this call were acknowledged" in str(raised.value)
        assert raised.value.passage_ids[0] == str(acknowledged[-1])


def test_the_protocol_is_what_a_retriever_asks() -> None:
    used = {"path", "encoder", "ranking", "rank", "search", "ranking_of", "calibration_of", "encode_questions"}
    assert used <= {name for name in dir(Store) if not name.startswith("_")}
    assert isinstance(Filter.from_dict({"a": 1}), Filter)
