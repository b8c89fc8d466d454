"""Many callers at once: questions share batches, a queue has an end, slow ones are given up, and nothing accepted is lost."""

from __future__ import annotations

import asyncio
import select
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from conftest import HashEncoder
from serving import raw, service_on

from dpr_rag import Passage, PassageStore, RemoteRetriever, Retriever, errors
from dpr_rag.service import Limits, create_app
from dpr_rag.service.batching import Batcher
from dpr_rag.service.connections import TimeoutProtocol
from dpr_rag.service.metrics import Metrics
from dpr_rag.service.workers import Admission, Workers

HERE = "http://localhost"
HEAD = "POST /v1/retrieve HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n"


class Gated(HashEncoder):
    """Says what it encodes together, how many encode at once, and waits for the test."""

    def __init__(self) -> None:
        super().__init__(16)
        self.batches: list[list[str]] = []
        self.open = threading.Event()
        self.open.set()
        self.inside = self.most_inside = 0

    def encode_questions(self, questions: Sequence[str]) -> np.ndarray:
        self.inside += 1
        self.most_inside = max(self.inside, self.most_inside)
        self.batches.append(list(questions))
        assert self.open.wait(60)
        self.inside -= 1
        if any("poison" in question for question in questions):
            raise ValueError("this encoder does not like the question")
        return super().encode_questions(questions)


@pytest.fixture
def gated() -> Gated:
    return Gated()


@pytest.fixture
def store(gated: Gated, tmp_path: Path) -> Iterator[PassageStore]:
    with PassageStore.open(tmp_path / "store", encoder=gated) as opened:
        opened.add([Passage(str(at), f"word{at} common text") for at in range(30)])
        yield opened


async def until(condition: object) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def test_questions_that_come_meanwhile_are_encoded_together(gated: Gated) -> None:
    batcher = Batcher(gated, Limits(batch=4, pause=0.001), Metrics())
    gated.open.clear()
    first = asyncio.create_task(batcher.encode(["first"]))
    await until(lambda: gated.batches)
    others = [asyncio.create_task(batcher.encode([f"q{at}"])) for at in range(6)]
    await asyncio.sleep(0.02)
    gated.open.set()
    found = await asyncio.gather(first, *others)
    batcher.close()
    assert gated.batches == [["first"], ["q0", "q1", "q2", "q3"], ["q4", "q5"]]
    assert gated.most_inside == 1
    for question, vectors in zip(["first", *(f"q{at}" for at in range(6))], found, strict=True):
        assert np.array_equal(vectors, HashEncoder(16).encode_questions([question]))


async def test_a_request_of_many_questions_goes_in_parts_and_comes_whole(gated: Gated) -> None:
    batcher = Batcher(gated, Limits(batch=4), Metrics())
    questions = [f"q{at}" for at in range(10)]
    assert np.array_equal(await batcher.encode(questions), HashEncoder(16).encode_questions(questions))
    assert [len(batch) for batch in gated.batches] == [4, 4, 2]
    assert (await batcher.encode([])).shape == (0, 16)
    batcher.close()


async def test_a_question_that_the_encoder_refuses_fails_alone(gated: Gated) -> None:
    batcher = Batcher(gated, Limits(pause=0.01), Metrics())
    asked = [batcher.encode([text]) for text in ("good", "poison", "better")]
    good, bad, better = await asyncio.gather(*asked, return_exceptions=True)
    batcher.close()
    assert isinstance(bad, ValueError)
    assert np.array_equal(np.concatenate([good, better]), HashEncoder(16).encode_questions(["good", "better"]))


async def test_who_gives_up_waiting_is_not_encoded(gated: Gated) -> None:
    batcher = Batcher(gated, Limits(pause=0.001), Metrics())
    gated.open.clear()
    first = asyncio.create_task(batcher.encode(["first"]))
    await until(lambda: gated.batches)
    gone = asyncio.create_task(batcher.encode(["gone"]))
    stays = asyncio.create_task(batcher.encode(["stays"]))
    await asyncio.sleep(0.01)
    gone.cancel()
    gated.open.set()
    await asyncio.gather(first, stays)
    batcher.close()
    assert gated.batches == [["first"], ["stays"]]


async def test_a_thread_that_works_for_somebody_gone_counts_as_busy() -> None:
    workers, begun, release = Workers(1, "test"), threading.Event(), threading.Event()
    gone = asyncio.create_task(workers.run(lambda: (begun.set(), release.wait(60))))
    await until(begun.is_set)
    gone.cancel()
    after = asyncio.create_task(workers.run(lambda: "done"))
    await asyncio.sleep(0.05)
    assert not after.done()
    release.set()
    assert await after == "done"
    workers.close()


def test_the_entrance_counts_questions_and_lets_a_large_request_in_alone() -> None:
    admission = Admission(10)
    with admission.admit(12):
        with pytest.raises(errors.ServiceBusyError, match="12 questions wait"), admission.admit(1):
            pass
        assert admission.admitted == 12
    with admission.admit(6), admission.admit(4):
        assert admission.admitted == 10
    assert admission.admitted == 0


async def test_beyond_its_queue_the_service_says_when_to_come_back(store: PassageStore, gated: Gated) -> None:
    app = create_app({"s": store}, limits=Limits(waiting=3))
    gated.open.clear()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HERE) as client:

        async def ask(at: int) -> httpx.Response:
            return await client.post("/v1/retrieve", json={"questions": f"word{at}", "k": 1})

        accepted = [asyncio.create_task(ask(at)) for at in range(3)]
        await until(lambda: gated.batches)
        refused = await ask(9)
        assert (refused.status_code, refused.json()["error"]) == (429, "ServiceBusyError")
        assert int(refused.headers["retry-after"]) >= 1
        assert (await client.get("/healthz")).status_code == 200
        gated.open.set()
        found = [(await one).json()["results"][0]["hits"][0]["id"] for one in accepted]
        assert found == ["0", "1", "2"]
        assert (await ask(9)).status_code == 200
    app.state.service.close()


async def test_an_answer_that_takes_too_long_is_given_up_with_its_place(store: PassageStore, gated: Gated) -> None:
    app = create_app({"s": store}, limits=Limits(waiting=1, seconds=0.2))
    gated.open.clear()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HERE) as client:
        late = await client.post("/v1/retrieve", json={"questions": "word1"})
        assert (late.status_code, late.json()["error"]) == (504, "ServiceTimeoutError")
        gated.open.set()
        await until(lambda: not gated.inside)
        codes = [504]
        while codes[-1] == 504 and len(codes) < 100:  # on a busy machine the next one may take too long, too
            codes.append((await client.post("/v1/retrieve", json={"questions": "word1"})).status_code)
        assert codes[-1] == 200
    app.state.service.close()


def test_sixty_four_callers_get_the_local_answers(store: PassageStore, gated: Gated, tmp_path: Path) -> None:
    questions = [f"word{at % 30} text common {at}" for at in range(64 * 4)]
    expected = [Retriever(store, k=3).retrieve(one) for one in questions]
    before = len(gated.batches)
    with (
        service_on(tmp_path / "s", {"s": store}) as path,
        RemoteRetriever(HERE, k=3, uds=path) as remote,
        ThreadPoolExecutor(64) as pool,
    ):
        assert list(pool.map(remote.retrieve, questions)) == expected
    assert len(gated.batches) - before < len(questions)  # how many come together depends on the machine's load
    assert gated.most_inside == 1


def test_a_client_waits_out_a_busy_service(store: PassageStore, tmp_path: Path) -> None:
    questions = [f"word{at} text" for at in range(24)]
    expected = [Retriever(store, k=1).retrieve(one) for one in questions]
    with (
        service_on(tmp_path / "s", {"s": store}, limits=Limits(waiting=2)) as path,
        RemoteRetriever(HERE, k=1, uds=path, retries=30) as remote,
        ThreadPoolExecutor(8) as pool,
    ):
        assert list(pool.map(remote.retrieve, questions)) == expected


class Hasty(TimeoutProtocol):
    header_timeout, read_timeout = 0.3, 0.3


HASTY = {"http": Hasty, "http_protocol_class": Hasty, "timeout_keep_alive": 1}


def test_headers_that_do_not_come_are_given_up(store: PassageStore, tmp_path: Path) -> None:
    with service_on(tmp_path / "s", {"s": store}, config=HASTY) as path:
        for sent in (b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: "):
            start = time.monotonic()
            assert raw(path, sent) == b""
            assert time.monotonic() - start < 20
        whole = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
        assert raw(path, whole + b"GET /half").count(b'{"status":"ok"}') == 1


def test_a_body_that_does_not_come_is_given_up(store: PassageStore, tmp_path: Path) -> None:
    with service_on(tmp_path / "s", {"s": store}, limits=Limits(seconds=0.3)) as path:
        answer = raw(path, HEAD.format(99).encode() + b'{"questions": ')
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"ServiceTimeoutError"' in answer


def test_a_hundred_megabytes_are_refused_by_their_length_alone(store: PassageStore, tmp_path: Path) -> None:
    with service_on(tmp_path / "s", {"s": store}) as path:
        answer = raw(path, HEAD.format(100 * 2**20).encode())
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"8,388,608 bytes" in answer


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 100_000 + b"\r\n\r\n",
        b"POST /v1/retrieve HTTP/1.1\r\nhost: localhost\r\ncontent-length: -5\r\n\r\n",
        b"POST /v1/retrieve HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"GET /healthz\x00 HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused_and_the_service_goes_on(
    store: PassageStore, tmp_path: Path, sent: bytes
) -> None:
    with service_on(tmp_path / "s", {"s": store}, config=HASTY) as path:
        assert raw(path, sent)[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 415", b"HTTP/1.1 421", b"HTTP/1.1 431")
        with RemoteRetriever(HERE, k=1, uds=path) as remote:
            assert remote.retrieve("word3")[0].passage.id == "3"


def test_an_answer_that_nobody_reads_is_given_up(store: PassageStore, tmp_path: Path) -> None:
    store.add([Passage(f"long{at}", f"word{at} " + "long" * 12_500) for at in range(60)])
    body = b'{"questions": "long", "k": 60}'
    head = HEAD.format(len(body))
    with (
        service_on(tmp_path / "s", {"s": store}, config=HASTY) as path,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one,
    ):
        one.connect(path)
        one.sendall(head.encode() + body)
        given_up = select.poll()
        given_up.register(one, select.POLLHUP)
        assert given_up.poll(60_000)
        one.settimeout(30)
        received = 0
        try:
            while part := one.recv(1 << 20):
                received += len(part)
        except ConnectionResetError:
            pass
    assert received < 60 * 50_000  # it was cut off, not delivered late
