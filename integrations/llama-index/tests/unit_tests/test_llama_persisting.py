"""``persist``: nothing to do where everything is on disk, and refused where it would lose what there is."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import StorageContext
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import TextNode
from llama_index.vector_stores.dpr_rag import DPRVectorStore

from dpr_rag import PassageStore
from dpr_rag.errors import ArgumentError, StoreError, StoreReadOnlyError


def test_a_temporary_store_refuses_to_be_persisted(tmp_path: Path, towers: Any) -> None:
    with DPRVectorStore(encoder=towers) as store:
        with pytest.raises(StoreError, match=r"is temporary, .* make it with DPRVectorStore\(path\)"):
            store.persist(str(tmp_path / "s"))
        with pytest.raises(StoreError, match="is temporary"):
            store.storage_context().persist(str(tmp_path / "context"))
        with pytest.raises(StoreError, match="is temporary"):
            StorageContext.from_defaults(vector_store=store).persist(str(tmp_path / "context"))
        with pytest.raises(StoreError, match="is temporary"):
            StorageContext.from_defaults(index_store=store.index_store).persist(str(tmp_path / "context"))
        with pytest.raises(StoreError, match="is temporary"):
            IngestionPipeline(transformations=[], docstore=store.docstore).persist(str(tmp_path / "pipeline"))


def test_a_store_or_view_given_open_is_temporary_too(towers: Any) -> None:
    with PassageStore.temporary(encoder=towers) as given:
        for fixed in (None, {"tenant": "a"}):
            with pytest.raises(StoreError, match="is temporary"):
                DPRVectorStore(store=given, fixed_filter=fixed).persist()


def test_what_the_refusal_advises_keeps_the_nodes(tmp_path: Path, towers: Any) -> None:
    with DPRVectorStore(encoder=towers) as store:
        store.add([TextNode(id_="1", text="play")])
        store.client.backup(tmp_path / "kept.dpr")
    with DPRVectorStore(tmp_path / "kept.dpr", encoder=towers, create=False) as again:
        assert [node.node_id for node in again.get_nodes()] == ["1"]


def test_a_store_on_disk_says_what_was_not_written(
    tmp_path: Path, towers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "llama_index.vector_stores.dpr_rag")
    with DPRVectorStore(tmp_path / "s", encoder=towers) as store:
        for place in ("", str(tmp_path / "s")):
            store.persist(place)
        store.storage_context().persist(str(tmp_path / "context"))
        said = {(one.levelname, one.getMessage()) for one in caplog.records}
        assert said == {("INFO", f"nothing to persist: every change is on disk in {tmp_path / 's'}")}
        caplog.clear()
        store.persist(str(tmp_path / "other"))
        (warning,) = caplog.records
        assert warning.levelname == "WARNING"
        assert f"nothing was written to {tmp_path / 'other'}; PassageStore.backup(path) makes a copy" in caplog.text
        assert not (tmp_path / "other").exists()


def test_a_dict_of_a_read_only_store_opens_it_read_only(tmp_path: Path, towers: Any) -> None:
    node = TextNode(id_="1", text="play")
    with DPRVectorStore(tmp_path / "s", encoder=towers) as store:
        store.add([node])
        assert not store.read_only
    with DPRVectorStore(tmp_path / "s", encoder=towers, read_only=True) as store:
        told, written = store.to_dict(), store.to_json()
        with DPRVectorStore.from_dict(store.to_dict(), store=store.client) as again:
            assert again.read_only
    for made in (DPRVectorStore.from_dict(told, encoder=towers), DPRVectorStore.from_json(written, encoder=towers)):
        with made, pytest.raises(StoreReadOnlyError):
            made.add([TextNode(id_="2", text="another")])
    with DPRVectorStore.from_dict(told, encoder=towers, read_only=False) as store:
        assert store.add([node]) == ["1"]
        with pytest.raises(ArgumentError, match="of a DPRVectorStore opened read-only, and store= may be written to"):
            DPRVectorStore.from_dict(told, store=store.client)
    with DPRVectorStore.from_dict({key: told[key] for key in told if key != "read_only"}, encoder=towers) as store:
        assert not store.read_only  # of a dict that an earlier version made
