"""`search`, `info`, `evaluate` and `serve` take the address of a store where they take its folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from serving import TOKEN, service_on
from tiny import TinyEncoder
from typer import BadParameter
from typer.testing import CliRunner

from dpr_rag import MilvusStore, Passage, PassageStore
from dpr_rag.cli import models
from dpr_rag.cli.app import app
from dpr_rag.cli.serving import named_stores

TEXTS = ["the prince of denmark", "a forest in england", "the king of scotland"]
HTTP = "http://127.0.0.1:8000"


@pytest.fixture(autouse=True)
def _tiny_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: TinyEncoder(choice.question or "tiny"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PassageStore]:
    with PassageStore.open(tmp_path_factory.mktemp("s") / "plays.dpr", encoder=TinyEncoder("tiny")) as store:
        store.add([Passage(f"p{at}", text, "", {"year": 1600 + at}) for at, text in enumerate(TEXTS)])
        yield store


@pytest.fixture(params=["milvus+lite", "http"])
def address(request: pytest.FixtureRequest, folder: PassageStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    place = request.getfixturevalue("tmp_path")
    if request.param == "http":
        sync = httpx.HTTPTransport
        with service_on(place / "s", {"plays": folder}, token=TOKEN) as uds:
            monkeypatch.setattr(httpx.Client, "_init_transport", lambda self, **_: sync(uds=uds))
            monkeypatch.setenv("DPR_RAG_TOKEN", TOKEN)
            yield HTTP
        return
    pytest.importorskip("milvus_lite")
    told = f"milvus+lite:{place / 'plays.db'}"
    assert run("copy", folder.path, told)[0] == 0
    yield told


def run(*args: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(arg) for arg in args], prog_name="dpr-rag")
    return done.exit_code, done.output


def record(*args: object) -> dict:
    code, told = run(*args, "--json")
    assert code == 0, told
    return json.loads(next(line for line in told.splitlines() if line.startswith("{")))


def test_commands_that_ask_take_an_address(address: str, folder: PassageStore, tmp_path: Path) -> None:
    asked = ("the king", "--k", 2, "--filter", '{"year": {"$gte": 1601}}')
    assert record("search", address, *asked) == record("search", folder.path, *asked)
    assert [hit["id"] for hit in record("search", address, "scotland", "--mode", "bm25", "--k", 1)["hits"]] == ["p2"]
    assert record("info", address)["passages"] == 3
    questions = tmp_path / "questions.jsonl"
    questions.write_text(
        "".join(json.dumps({"question": text, "positive_ids": [f"p{at}"]}) + "\n" for at, text in enumerate(TEXTS))
    )
    there, here = (record("evaluate", place, questions, "--k", 3) for place in (address, folder.path))
    for figures in (there, here):
        figures["systems"]["dense"].pop("latency")
    assert there["systems"] == here["systems"]
    assert there["settings"]["passages"].startswith("3")


def test_what_goes_with_a_folder_is_refused_with_an_address(address: str) -> None:
    for more in (["--language", "german"], ["--bind"]):
        code, told = run("search", address, "a king", *more)
        assert (code, "goes with the folder of a store" in " ".join(told.replace("│", " ").split())) == (2, True)
    if address == HTTP:
        code, told = run("search", address, "a king", "--model", "tiny")
        assert (code, "encodes with its own model" in " ".join(told.replace("│", " ").split())) == (2, True)
    else:
        code, told = run("search", f"{address}#absent", "a king")
        assert (code, "no collection" in told) == (1, True)


def test_a_collection_is_served_under_its_name() -> None:
    assert named_stores(["milvus://127.0.0.1/wiki", "plays=milvus+lite:a=b.db"]) == {
        "wiki": "milvus://127.0.0.1/wiki",
        "plays": "milvus+lite:a=b.db",
    }
    for wrong in (HTTP, f"plays={HTTP}"):
        with pytest.raises(BadParameter, match="is a service already"):
            named_stores([wrong])


def test_a_service_answers_for_a_collection(
    tmp_path: Path, folder: PassageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("milvus_lite")
    address, sync = f"milvus+lite:{tmp_path / 'plays.db'}", httpx.HTTPTransport
    assert run("copy", folder.path, address)[0] == 0
    expected = record("search", folder.path, "the king")
    with (
        MilvusStore.open(address, encoder=TinyEncoder("tiny")) as store,
        service_on(tmp_path / "s", {"plays": store}, token=TOKEN) as uds,
    ):
        monkeypatch.setattr(httpx.Client, "_init_transport", lambda self, **_: sync(uds=uds))
        monkeypatch.setenv("DPR_RAG_TOKEN", TOKEN)
        assert record("search", HTTP, "the king") == expected
