"""Documents in a store's own file: known after a restart, and made anew where a process died before their nodes were there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import Document, StorageContext, SummaryIndex, VectorStoreIndex, load_index_from_storage
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import TextNode
from llama_index.embeddings.dpr_rag import DPREmbedding
from llama_index.vector_stores.dpr_rag import DPRKeyValueStore, DPRVectorStore

from dpr_rag.storage.database import Database

STORIES = {
    "tempest": "A tempest wrecks a ship. An island receives the crew. A duke forgives them all.",
    "lear": "A king divides his realm. A storm drives him mad. A daughter comes back too late.",
    "faust": "A scholar makes a pact.",
}
CHANGED = {"lear": "A king divides his realm. A fool tells the truth."}
Open = Callable[[], AbstractContextManager[DPRVectorStore]]


def documents(stories: dict[str, str] = STORIES) -> list[Document]:
    return [Document(id_=name, text=text, metadata={"title": name}) for name, text in stories.items()]


@pytest.fixture
def calls() -> list[tuple[str, int]]:
    """What the encoder of the store that was opened last was asked for."""
    return []


@pytest.fixture
def reopen(tmp_path: Path, make_towers: Any, calls: list[tuple[str, int]]) -> Open:
    @contextmanager
    def opened() -> Iterator[DPRVectorStore]:
        towers = make_towers()
        calls.clear()
        towers.calls = calls
        with DPRVectorStore(tmp_path / "plays.dpr", encoder=towers) as store:
            yield store

    return opened


def steps(store: DPRVectorStore) -> list[Any]:
    splitter = SentenceSplitter(chunk_size=14, chunk_overlap=0, include_metadata=False)
    return [splitter, DPREmbedding(store.encoder)]


def first_index(store: DPRVectorStore, given: list[Document]) -> VectorStoreIndex:
    made = steps(store)
    return VectorStoreIndex.from_documents(
        given, storage_context=store.storage_context(), transformations=made, embed_model=made[-1]
    )


def index_again(store: DPRVectorStore) -> VectorStoreIndex:
    made = steps(store)
    context = store.storage_context()
    return load_index_from_storage(context, transformations=made, embed_model=made[-1])


def run(store: DPRVectorStore, given: list[Document], strategy: str = "upserts", **options: Any) -> list[Any]:
    made = IngestionPipeline(
        transformations=steps(store),
        vector_store=store,
        docstore=store.docstore,
        docstore_strategy=DocstoreStrategy(strategy),
    )
    return list(made.run(documents=given, **options))


def told(store: DPRVectorStore) -> dict[str, str]:
    """The texts of every document, put together in the order of their relationships."""
    nodes = {node.node_id: node for node in store.get_nodes()}
    found: dict[str, str] = {}
    for node in nodes.values():
        if node.prev_node is None:
            assert node.ref_doc_id not in found
            texts, at = [node.get_content()], node
            while at.next_node is not None:
                at = nodes[at.next_node.node_id]
                texts.append(at.get_content())
            found[node.ref_doc_id] = " ".join(texts)
    assert sum(len(text.split(". ")) for text in found.values()) == len(nodes)
    return found


@pytest.mark.parametrize("strategy", ["upserts", "duplicates_only", "upserts_and_delete"])
def test_a_pipeline_skips_what_did_not_change_after_a_restart(
    strategy: str, reopen: Open, calls: list[tuple[str, int]]
) -> None:
    with reopen() as store:
        assert len(run(store, documents(), strategy)) == 7
        ids = [node.node_id for node in store.get_nodes()]
    with reopen() as store:
        assert run(store, documents(), strategy) == []
        assert [node.node_id for node in store.get_nodes()] == ids
        assert calls == []
        assert store.docstore.get_document("lear").text == STORIES["lear"]
        store.client.check()


@pytest.mark.parametrize("store_doc_text", [True, False])
@pytest.mark.parametrize("strategy", ["upserts", "upserts_and_delete"])
def test_a_pipeline_upserts_after_a_restart(strategy: str, store_doc_text: bool, reopen: Open) -> None:
    with reopen() as store:
        run(store, documents(), strategy, store_doc_text=store_doc_text)
    fewer = {name: CHANGED.get(name, text) for name, text in STORIES.items() if name != "faust"}
    with reopen() as store:
        assert len(run(store, documents(fewer), strategy, store_doc_text=store_doc_text)) == 2
        kept = {"faust": STORIES["faust"]} if strategy == "upserts" else {}
        assert told(store) == fewer | kept
    with reopen() as store:
        assert run(store, documents(fewer), strategy) == []


def test_a_pipeline_in_async(reopen: Open) -> None:
    async def arun(store: DPRVectorStore, given: list[Document]) -> int:
        pipeline = IngestionPipeline(
            transformations=steps(store),
            vector_store=store,
            docstore=store.docstore,
            docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE,
        )
        return len(await pipeline.arun(documents=given))

    for given, expected in ((STORIES, 7), (STORIES, 0), (CHANGED, 2), (CHANGED, 0)):
        with reopen() as store:
            assert asyncio.run(arun(store, documents(given))) == expected
            assert told(store) == given


def test_an_index_is_there_after_a_restart(reopen: Open, calls: list[tuple[str, int]]) -> None:
    with reopen() as store:
        first_index(store, documents())
    with reopen() as store:
        index = index_again(store)
        assert index.refresh_ref_docs(documents()) == [False] * 3
        assert calls == []
        (found,) = index.as_retriever(similarity_top_k=1).retrieve("A storm drives him mad.")
        assert found.node.ref_doc_id == "lear"
        index.insert(Document(id_="rice", text="Rice boils."))
    with reopen() as store:
        index = index_again(store)
        assert asyncio.run(index.arefresh_ref_docs(documents(STORIES | CHANGED))) == [False, True, False]
        index.delete_ref_doc("tempest", delete_from_docstore=True)
        assert index.refresh_ref_docs([Document(id_="rice", text="Rice boils.")]) == [False]
    with reopen() as store:
        assert told(store) == {"lear": CHANGED["lear"], "faust": STORIES["faust"], "rice": "Rice boils."}
        assert index_again(store).refresh_ref_docs(documents(STORIES | CHANGED)) == [True, False, False]
        assert told(store) == STORIES | CHANGED | {"rice": "Rice boils."}
        store.client.check()


def test_any_number_of_runs_leave_one_index_and_those_with_names(reopen: Open) -> None:
    with reopen() as store:
        first_index(store, documents()).set_index_id("mine")
    for _ in range(2):
        with reopen() as store:
            first_index(store, documents())
    with reopen() as store:
        structs = store.index_store.index_structs()
        assert len(structs) == 2
        assert told(store) == STORIES
        made = steps(store)
        named = load_index_from_storage(store.storage_context(), index_id="mine", embed_model=made[-1])
        assert named.index_id == "mine"


def test_nodes_that_came_without_a_docstore_are_known_by_themselves(reopen: Open, calls: list[tuple[str, int]]) -> None:
    with reopen() as store:
        IngestionPipeline(transformations=steps(store), vector_store=store).run(documents=documents())
    with reopen() as store:
        assert run(store, documents(STORIES | CHANGED))[0].ref_doc_id == "lear"
        assert told(store) == STORIES | CHANGED
        assert calls == [("passages", 2)]


def test_a_hash_without_nodes_is_none(reopen: Open) -> None:
    with reopen() as store:
        docstore = store.docstore
        docstore.set_document_hash("lear", "h")
        assert docstore.get_document_hash("lear") is None
        assert docstore.get_all_document_hashes() == {"incomplete lear": "lear"}
        store.add([TextNode(id_="n", text="A king.")])
        assert docstore.get_document_hash("lear") is None


def test_what_a_parser_does_not_say_is_taken_as_whole_once_it_was(reopen: Open, node: Any) -> None:
    """Nodes without hashes and relationships, of which LlamaIndex notes the document after they were added."""
    with reopen() as store:
        docstore = store.docstore
        store.add([node("a", "one", "d"), node("b", "two", "d")])
        assert docstore.get_document_hash("d") == "incomplete"
        docstore.set_document_hash("d", "h")
        docstore.set_document_hash("d", "newer")
        assert docstore.get_document_hash("d") == "incomplete"
        store.add([node("a", "one", "d"), node("b", "two", "d")])
        docstore.set_document_hash("d", "h")
    with reopen() as store:
        assert store.docstore.get_document_hash("d") == "h"
        assert store.docstore.get_all_document_hashes() == {"h": "d"}
        store.docstore.set_document_hash("d", "h")
        assert store.docstore.get_document_hash("d") == "h"
        store.delete("d")
        store.add([node("a", "one", "d"), node("b", "two", "d")])
        assert store.docstore.get_document_hash("d") == "incomplete"
        store.clear()
        store.docstore.set_document_hash("d", "h")
        store.add([node("a", "one", "d")])
        assert store.docstore.get_document_hash("d") == "incomplete"


def test_an_index_of_another_kind_keeps_its_nodes_in_the_docstore(reopen: Open) -> None:
    with reopen() as store:
        SummaryIndex.from_documents(documents(), storage_context=store.storage_context())
    with reopen() as store:
        index = load_index_from_storage(store.storage_context())
        assert index.refresh_ref_docs(documents(STORIES | CHANGED)) == [False, True, False]
        texts = sorted(node.get_content() for node in index.docstore.get_nodes(index.index_struct.nodes))
        assert texts == sorted((STORIES | CHANGED).values())


def test_values_that_cannot_be_kept_are_named(reopen: Open) -> None:
    with reopen() as store, pytest.raises(ValueError, match="the value is not JSON"):
        store.docstore.add_documents([Document(id_="d", text="t", metadata={"what": object()})])


async def test_a_key_value_store_for_whatever_llama_index_keeps(reopen: Open) -> None:
    with reopen() as store:
        values = DPRKeyValueStore(store.client)
        values.put("a", {"n": 1})
        await values.aput_all([("b", {"n": 2}), ("c", {"n": 3})])
    with reopen() as store:
        values = DPRKeyValueStore(store.client)
        assert await values.aget("a") == {"n": 1}
        assert values.get("a", collection="other") is None
        assert await values.adelete("b") is True
        assert values.delete("b") is False
        assert await values.aget_all() == {"a": {"n": 1}, "c": {"n": 3}}


def by_from_documents(store: DPRVectorStore, stories: dict[str, str]) -> None:
    first_index(store, documents(stories))


def by_refreshing(store: DPRVectorStore, stories: dict[str, str]) -> None:
    made = steps(store)
    index = VectorStoreIndex([], storage_context=store.storage_context(), transformations=made, embed_model=made[-1])
    index.refresh_ref_docs(documents(stories))


def by_upserts(store: DPRVectorStore, stories: dict[str, str]) -> None:
    run(store, documents(stories))


def by_duplicates(store: DPRVectorStore, stories: dict[str, str]) -> None:
    run(store, documents(stories), "duplicates_only")


@pytest.mark.parametrize(
    ("before", "flow", "after"),
    [
        ({}, by_from_documents, by_refreshing),
        ({}, by_from_documents, by_upserts),
        ({}, by_refreshing, by_refreshing),
        ({}, by_upserts, by_upserts),
        ({}, by_duplicates, by_duplicates),
        ({}, by_duplicates, by_refreshing),
        (STORIES, by_refreshing, by_refreshing),
        (STORIES, by_upserts, by_upserts),
        (STORIES, by_from_documents, by_refreshing),
    ],
)
def test_a_process_may_die_before_any_commit(
    before: dict[str, str],
    flow: Callable[[DPRVectorStore, dict[str, str]], None],
    after: Callable[[DPRVectorStore, dict[str, str]], None],
    tmp_path: Path,
    make_towers: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next run leaves every document whole and once, be it asked for the same version or for the one before."""
    for wanted in (STORIES | CHANGED,) if flow is by_duplicates else (STORIES | CHANGED, STORIES):
        for commits in range(100):
            path = tmp_path / f"{len(wanted['lear'])}-{commits}"
            if before:
                with DPRVectorStore(path, encoder=make_towers()) as store:
                    by_upserts(store, before)
            with DPRVectorStore(path, encoder=make_towers()) as store, monkeypatch.context() as context:
                died = dying(context, commits)
                _ignoring_death(lambda store=store: flow(store, STORIES | CHANGED))
            with DPRVectorStore(path, encoder=make_towers()) as store:
                after(store, wanted)
                assert told(store) == wanted, commits
                store.client.check()
            if not died:
                break
        assert commits > 2


def dying(monkeypatch: pytest.MonkeyPatch, commits: int) -> list[bool]:
    """Let so many write transactions pass; the list is filled when one more was begun."""
    writing, begun, died = Database.writing, [], []

    def counted(self: Database, **options: Any) -> Any:
        begun.append(True)
        if len(begun) > commits:
            died.append(True)
            raise KeyboardInterrupt
        return writing(self, **options)

    monkeypatch.setattr(Database, "writing", counted)
    return died


def _ignoring_death(action: Callable[[], None]) -> None:
    try:
        action()
    except KeyboardInterrupt:
        return


def test_storage_context_is_llama_indexs_own(reopen: Open) -> None:
    with reopen() as store:
        context = store.storage_context()
        assert type(context) is StorageContext
        assert context.vector_store is store
        context.persist(str(store.client.path.parent / "elsewhere"))
