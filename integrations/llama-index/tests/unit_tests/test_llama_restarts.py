"""A script that runs again adds nothing: nodes that LlamaIndex gave random ids are recognised by what they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engines import place  # noqa: F401  # a folder, and a Milvus
from llama_index.core import Document, StorageContext, VectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import ImageNode, IndexNode, NodeRelationship, TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.embeddings.dpr_rag import DPREmbedding
from llama_index.retrievers.dpr_rag import DPRRetriever
from llama_index.vector_stores.dpr_rag import DPRVectorStore

from dpr_rag.storage.database import Database

STORIES = {
    "tempest": "A tempest wrecks a ship. An island receives the crew. A duke forgives them all.",
    "lear": "A king divides his realm. A storm drives him mad. A daughter comes back too late.",
}


def documents(*, ids: bool, **changed: str) -> list[Document]:
    return [
        Document(text=changed.get(name, text), metadata={"title": name}, **({"id_": name} if ids else {}))
        for name, text in STORIES.items()
    ]


def splitter() -> SentenceSplitter:
    return SentenceSplitter(chunk_size=14, chunk_overlap=0, include_metadata=False)


def from_documents(store: DPRVectorStore, embedding: DPREmbedding, given: list[Document]) -> None:
    context = StorageContext.from_defaults(vector_store=store)
    VectorStoreIndex.from_documents(
        given, storage_context=context, transformations=[splitter(), embedding], embed_model=embedding
    )


def pipeline(store: DPRVectorStore, embedding: DPREmbedding, given: list[Document]) -> None:
    IngestionPipeline(transformations=[splitter(), embedding], vector_store=store).run(documents=given)


def pipeline_with_docstore_of_its_own(store: DPRVectorStore, embedding: DPREmbedding, given: list[Document]) -> None:
    IngestionPipeline(transformations=[splitter(), embedding], vector_store=store, docstore=SimpleDocumentStore()).run(
        documents=given
    )


def retriever(store: DPRVectorStore, embedding: DPREmbedding, given: list[Document]) -> None:
    DPRRetriever.from_defaults(splitter()(given), vector_store=store)


FLOWS = [from_documents, pipeline, pipeline_with_docstore_of_its_own, retriever]
Flow = Callable[[DPRVectorStore, DPREmbedding, list[Document]], None]


def chains(store: DPRVectorStore) -> list[list[str]]:
    """The texts of every document in the order of their relationships, each of which must lead to a stored node."""
    nodes = {node.node_id: node for node in store.get_nodes()}
    found = []
    for node in nodes.values():
        if node.prev_node is not None:
            assert nodes[node.prev_node.node_id].next_node.node_id == node.node_id
            continue
        chain = [node]
        while chain[-1].next_node is not None:
            chain.append(nodes[chain[-1].next_node.node_id])
            assert chain[-1].ref_doc_id == node.ref_doc_id
        found.append([one.get_content() for one in chain])
    assert sum(map(len, found)) == len(nodes)
    return sorted(found)


@pytest.mark.parametrize("ids", [True, False], ids=["documents with ids", "documents without"])
@pytest.mark.parametrize("flow", FLOWS)
def test_a_second_run_adds_nothing(flow: Flow, ids: bool, tmp_path: Path, make_towers: Any) -> None:
    expected = None
    for _ in range(3):
        towers = make_towers()
        with DPRVectorStore(tmp_path / "plays.dpr", encoder=towers) as store:
            flow(store, DPREmbedding(towers), documents(ids=ids))
            found = chains(store)
            assert [" ".join(chain) for chain in found] == sorted(STORIES.values())
            assert expected in (None, found)
            expected = found
            store.client.check()
    assert all(len(chain) == 3 for chain in found)


def test_what_is_stored_has_the_ids_of_the_last_run(store: DPRVectorStore, towers: Any, bare: Any) -> None:
    for _ in range(2):
        nodes = splitter()(documents(ids=False))
        assert store.add(nodes) == [node.node_id for node in nodes]
        assert [node.node_id for node in store.get_nodes()] == [node.node_id for node in nodes]
        assert bare(store.get_nodes()) == nodes
    assert [call for call in towers.calls if call[0] == "passages"] == [("passages", 6)]
    store.delete(nodes[0].ref_doc_id)
    assert {node.ref_doc_id for node in store.get_nodes()} == {nodes[-1].ref_doc_id}


def test_given_embeddings_of_the_last_run_count(store: DPRVectorStore) -> None:
    for value in (1.0, 2.0):
        node = TextNode(text="one", embedding=[value] * 64)
        store.add([node])
    ((_, vector),) = store.client.get_vectors([node.node_id]).items()
    assert vector.tolist() == [2.0] * 64
    assert len(store.client) == 1


def test_a_changed_document_keeps_what_did_not_change_once(store: DPRVectorStore, embedding: DPREmbedding) -> None:
    from_documents(store, embedding, documents(ids=True))
    from_documents(store, embedding, documents(ids=True, lear=STORIES["lear"].replace("mad", "to despair")))
    texts = [node.get_content() for node in store.get_nodes()]
    assert sorted(texts) == sorted(set(texts))
    assert len(texts) == 7  # only a docstore tells that the old sentence is gone


def similar() -> list[list[TextNode]]:
    """Pairs that differ in one thing that tells them apart; each of the second comes after the first."""
    text = {"text": "The same words"}
    source = TextNode(text="a page").as_related_node_info()
    other = TextNode(text="another page").as_related_node_info()
    return [
        [TextNode(**text, metadata={"page": 1}), TextNode(**text, metadata={"page": 2})],
        [TextNode(**text, metadata={"page": 1}), TextNode(**text, metadata={"page": 1.0})],
        [TextNode(**text, metadata={"title": "A"}), TextNode(**text, metadata={"title": "B"})],
        [TextNode(**text, start_char_idx=0), TextNode(**text, start_char_idx=40)],
        [TextNode(**text), TextNode(**text, id_="chosen")],
        [TextNode(**text, id_="chosen"), TextNode(**text)],
        [TextNode(**text), Document(**text)],
        [ImageNode(**text, image_path="a.png"), ImageNode(**text, image_path="b.png")],
        [IndexNode(**text, index_id="a"), IndexNode(**text, index_id="b")],
        [TextNode(**text), TextNode(**text, relationships={NodeRelationship.SOURCE: source})],
        [
            TextNode(**text, relationships={NodeRelationship.SOURCE: source}),
            TextNode(**text, relationships={NodeRelationship.SOURCE: other}),
        ],
    ]


@pytest.mark.parametrize("pair", similar(), ids=range(len(similar())))
def test_what_differs_is_another_node(pair: list[TextNode], store: DPRVectorStore, bare: Any) -> None:
    for node in pair:
        store.add([node])
    assert bare(store.get_nodes()) == pair


def test_equal_nodes_of_one_call_are_all_kept(store: DPRVectorStore) -> None:
    for _ in range(2):
        nodes = [TextNode(text="The same words") for _ in range(3)]
        assert store.add(nodes) == [node.node_id for node in nodes]
        assert [node.node_id for node in store.get_nodes()] == [node.node_id for node in nodes]


def test_what_a_document_says_twice_is_kept_twice_also_over_several_calls(store: DPRVectorStore) -> None:
    said = Document(id_="d", text="Once more. Once more. Once more.")
    for text in (said.text, said.text, f"At first. {said.text}"):
        nodes = SentenceSplitter(chunk_size=4, chunk_overlap=0)([Document(id_="d", text=text)])
        for node in nodes:
            store.add([node])
        assert [node.get_content() for node in store.get_nodes()][-3:] == ["Once more."] * 3
        assert len(store.client) == len(nodes)


def test_a_passage_that_others_changed_is_another_one(store: DPRVectorStore) -> None:
    node = TextNode(text="The same words")
    store.add([node])
    (passage,) = store.client.get([node.node_id])
    store.client.add([type(passage)(passage.id, "Other words", metadata=passage.visible_metadata)])
    store.add([TextNode(text="The same words")])
    assert sorted(one.get_content() for one in store.get_nodes()) == ["Other words", "The same words"]


@pytest.mark.folder_alone("an engine has no transactions: while a node takes another's place, both are there")
def test_no_reader_sees_a_node_twice_or_not_at_all(store: DPRVectorStore, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []

    def noted(self: Database, **options: Any) -> Any:
        counts.append(len(store.client))
        return writing(self, **options)

    writing = Database.writing
    monkeypatch.setattr(Database, "writing", noted)
    for _ in range(3):
        store.add(splitter()(documents(ids=False)))
        counts.append(len(store.client))
    assert set(counts) == {0, 6}
