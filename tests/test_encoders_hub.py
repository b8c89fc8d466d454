"""Names on the hub: what is fetched, how families and partners are told by name, and what is said without a network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import tiny_models as tiny
from huggingface_hub.errors import LocalEntryNotFoundError

from dpr_rag import DualEncoder
from dpr_rag.errors import MissingExtraError, ModelError

QUESTION = "facebook/dpr-question_encoder-single-nq-base"
CONTEXT = "facebook/dpr-ctx_encoder-single-nq-base"
CONTRIEVER = "facebook/contriever-msmarco"


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


def test_two_names(hub: list[dict[str, Any]]) -> None:
    encoder = DualEncoder.from_pretrained(QUESTION, CONTEXT, device="cpu")
    assert (encoder.source, encoder.profile.name, encoder.shared) == (f"{QUESTION} + {CONTEXT}", "dpr", False)
    assert [request["name"] for request in hub] == [QUESTION, CONTEXT]
    assert hub[0]["allow_patterns"] == ["*.json", "*.txt", "*.safetensors"]  # nothing pickled, no code


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
    with pytest.raises(MissingExtraError, match=r"fetching it from the hub needs huggingface_hub; pip install"):
        DualEncoder.from_pretrained("owner/model")
