"""Names on the hub: what is fetched, how families and partners are told by name, and what is said without a network."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import tiny_models as tiny
from huggingface_hub.errors import LocalEntryNotFoundError
from huggingface_hub.utils import filter_repo_objects

from dpr_rag import DualEncoder
from dpr_rag.errors import MissingExtraError, ModelError

QUESTION = "facebook/dpr-question_encoder-single-nq-base"
CONTEXT = "facebook/dpr-ctx_encoder-single-nq-base"
CONTRIEVER = "facebook/contriever-msmarco"


class Repository:
    """A repository on the hub and its cache: a snapshot holds what the patterns of the requests so far let through."""

    def __init__(self, remote: Path, cache: Path) -> None:
        self.remote, self.cache = remote, cache
        self.requests: list[list[str]] = []

    def snapshot(self, name: str, *, allow_patterns: list[str], ignore_patterns: list[str]) -> str:
        self.requests.append(allow_patterns)
        files = [path.relative_to(self.remote).as_posix() for path in self.remote.rglob("*") if path.is_file()]
        kept = filter_repo_objects(files, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns)
        for file in kept:
            (self.cache / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.remote / file, self.cache / file)
        return str(self.cache)

    def fetched(self) -> list[str]:
        return sorted(path.relative_to(self.cache).as_posix() for path in self.cache.rglob("*") if path.is_file())


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """A hub with three models, whose cache folders are named by hashes; returns what was asked of it."""
    folders = {QUESTION: tiny.dpr(tmp_path / "4f1a", "question"), CONTEXT: tiny.dpr(tmp_path / "9c0d", "context")}
    folders[CONTRIEVER] = tiny.bert(tmp_path / "77e2")
    asked: list[dict[str, Any]] = []

    def snapshot(name: str, **options: Any) -> str:
        asked.append({"name": name, **options})
        if name not in folders:
            raise LocalEntryNotFoundError("no connection")
        return str(folders[name])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    return asked


def test_two_names_are_two_towers_and_ask_for_no_pickles(hub: list[dict[str, Any]]) -> None:
    encoder = DualEncoder.from_pretrained(QUESTION, CONTEXT, device="cpu")
    assert (encoder.source, encoder.profile.name, encoder.shared) == (f"{QUESTION} + {CONTEXT}", "dpr", False)
    assert [request["name"] for request in hub] == [QUESTION, CONTEXT]
    assert hub[0]["allow_patterns"] == PATTERNS  # nothing pickled, no code


def test_family_is_told_by_the_name(hub: list[dict[str, Any]]) -> None:
    assert DualEncoder.from_pretrained(CONTRIEVER, device="cpu").profile.name == "contriever"


def test_question_encoder_alone_names_its_partner(hub: list[dict[str, Any]]) -> None:
    with pytest.raises(
        ModelError, match=f"{QUESTION} is a question encoder alone; pass its context encoder too: {CONTEXT}$"
    ):
        DualEncoder.from_pretrained(QUESTION, device="cpu")


def test_no_such_model_and_no_network(hub: list[dict[str, Any]]) -> None:
    with pytest.raises(ModelError, match=r"'owner/absent' is no folder here, and the hub cannot be reached"):
        DualEncoder.from_pretrained("owner/absent")


@pytest.mark.parametrize("name", ["./absent", "/absent", "a/b/c", "~/absent"])
def test_paths_are_never_asked_of_the_hub(hub: list[dict[str, Any]], name: str) -> None:
    with pytest.raises(ModelError, match="is not a folder; pass a transformers model folder or a hub name"):
        DualEncoder.from_pretrained(name)
    assert hub == []


def test_without_the_hubs_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"from the hub needs huggingface_hub; pip install huggingface_hub$"):
        DualEncoder.from_pretrained("owner/model")


PATTERNS = ["*.json", "*.txt", "*.safetensors", "*.model", "README.md"]


def repository(monkeypatch: pytest.MonkeyPatch, remote: Path) -> Repository:
    found = Repository(remote, remote.with_name("cache"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", found.snapshot)
    return found


def test_pickled_weights_are_fetched_where_there_is_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    same = DualEncoder.from_pretrained(tiny.bert(tmp_path / "m"), profile="contriever", device="cpu")
    remote = tiny.pickled(tmp_path / "m")
    for name in ("flax_model.msgpack", "modeling.py", "training_args.bin"):
        (remote / name).write_bytes(b"never fetched")
    found = repository(monkeypatch, remote)
    encoder = DualEncoder.from_pretrained(CONTRIEVER, device="cpu")
    assert (encoder.fingerprint, encoder.source) == (same.fingerprint, CONTRIEVER)
    assert found.requests == [PATTERNS, [*PATTERNS, "pytorch_model*.bin"]]
    assert found.fetched() == ["config.json", "pytorch_model.bin", "tokenizer_config.json", "vocab.txt"]


def test_pickled_weights_stay_where_there_are_safetensors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    remote = tiny.bert(tmp_path / "m")
    (remote / "pytorch_model.bin").write_bytes(b"never fetched")
    found = repository(monkeypatch, remote)
    DualEncoder.from_pretrained(CONTRIEVER, device="cpu")
    assert found.requests == [PATTERNS]
    assert "pytorch_model.bin" not in found.fetched()


def test_pickled_head_beside_a_backbone_of_safetensors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    remote = tiny.ance_modules(tmp_path / "m")
    same = DualEncoder.from_pretrained(remote, device="cpu")
    tiny.pickled(remote / "2_Dense")
    (remote / "pytorch_model.bin").write_bytes(b"never fetched")
    found = repository(monkeypatch, remote)
    encoder = DualEncoder.from_pretrained("sentence-transformers/msmarco-roberta-base-ance-firstp", device="cpu")
    assert encoder.fingerprint == same.fingerprint
    assert found.requests == [PATTERNS, [*PATTERNS, "2_Dense/pytorch_model*.bin"]]
    assert [name for name in found.fetched() if name.endswith(".bin")] == ["2_Dense/pytorch_model.bin"]


def test_saved_encoder_on_the_hub_is_complete_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    saved = DualEncoder.from_pretrained(tiny.contriever(tmp_path / "m"), device="cpu")
    saved.save_pretrained(tmp_path / "saved")
    found = repository(monkeypatch, tmp_path / "saved")
    assert DualEncoder.from_pretrained("me/mine", device="cpu").fingerprint == saved.fingerprint
    assert found.requests == [PATTERNS]
