"""Nodes become passages and come back equal; passages of others become nodes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MediaResource,
    Node,
    NodeRelationship,
    ObjectType,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.vector_stores.dpr_rag import DPRVectorStore
from llama_index.vector_stores.dpr_rag.nodes import to_node, to_passage

from dpr_rag import PRIVATE_KEY, RESERVED_KEYS, Passage
from dpr_rag.errors import PassageError

TEXT = "Hamlet is a tragedy."
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20))
OTHER = RelatedNodeInfo(node_id="other", node_type=ObjectType.TEXT, metadata={"page": 2}, hash="abc")
METADATA = {"year": 1601, "title": "Hamlet", "tags": ["play", None, 1.5, True], "where": {"page": 3}}


def nodes() -> list[BaseNode]:
    relationships = {
        NodeRelationship.SOURCE: RelatedNodeInfo(node_id="doc", node_type=ObjectType.DOCUMENT, metadata=METADATA),
        NodeRelationship.NEXT: OTHER,
        NodeRelationship.CHILD: [OTHER, RelatedNodeInfo(node_id="third")],
    }
    rich = {
        "id_": "n",
        "metadata": METADATA,
        "relationships": relationships,
        "excluded_embed_metadata_keys": ["year"],
        "excluded_llm_metadata_keys": ["tags"],
        "metadata_template": "{key}={value}",
        "metadata_separator": "; ",
        "text_template": "{content} ({metadata_str})",
    }
    return [
        TextNode(id_="n", text=TEXT),
        TextNode(text=TEXT, start_char_idx=3, end_char_idx=9, mimetype="text/markdown", **rich),
        Node(text_resource=MediaResource(text=TEXT, mimetype="text/plain"), **rich),
        Document(text=TEXT, **rich),
        Document(id_="n", text_resource=MediaResource(text=TEXT, path=Path("a/b.txt"), url="https://example.org/x")),
        ImageNode(id_="n", text=TEXT, image=PNG.decode(), image_mimetype="image/png", metadata=METADATA),
        ImageNode(id_="n", text=TEXT, image_path="pictures/a.png"),
        ImageDocument(id_="n", text=TEXT, image=PNG),
        Node(id_="n", text_resource=MediaResource(text=TEXT), audio_resource=MediaResource(data=PNG)),
        IndexNode(text=TEXT, index_id="index-7", **rich),
        IndexNode(id_="n", text=TEXT, index_id="i", obj=TextNode(id_="inner", text="within", metadata={"a": 1})),
    ]


@pytest.mark.parametrize("node", nodes(), ids=lambda node: type(node).__name__)
def test_round_trip(node: BaseNode, store: DPRVectorStore, bare: Any) -> None:
    store.add([node])
    (back,) = bare(store.get_nodes([node.node_id]))
    assert type(back) is type(node)
    assert back == node
    assert back.hash == node.hash
    assert list(back.metadata) == list(node.metadata)


def test_adding_leaves_the_node_as_it_was(store: DPRVectorStore) -> None:
    for node in nodes():
        before = node.model_copy(deep=True)
        store.add([node])
        assert node == before


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
keys = st.sampled_from(["title", "id", "doc_id", "ref_doc_id", "text", "embedding", "_node_content"]) | st.text(
    st.characters(codec="utf-8"), max_size=6
)
metadatas = st.dictionaries(keys.filter(lambda key: key != PRIVATE_KEY), json_values, max_size=5)
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
related = st.builds(
    RelatedNodeInfo,
    node_id=texts,
    node_type=st.sampled_from(list(ObjectType)) | st.none(),
    metadata=metadatas,
    hash=st.none() | texts,
)


@settings(max_examples=150, deadline=None)
@given(
    cls=st.sampled_from([TextNode, Document, Node]),
    node_id=texts,
    text=texts,
    metadata=metadatas,
    relationships=st.dictionaries(st.sampled_from(list(NodeRelationship)), related, max_size=3),
    excluded=st.lists(texts, max_size=2),
    template=texts,
)
def test_any_node_comes_back(
    cls: Any, node_id: str, text: str, metadata: dict, relationships: dict, excluded: list[str], template: str
) -> None:
    made = cls(
        id_=node_id,
        text_resource=MediaResource(text=text),
        metadata=metadata,
        relationships=relationships,
        excluded_llm_metadata_keys=excluded,
        metadata_template=template,
    )
    passage = to_passage(made)
    back = to_node(passage)
    assert back == made
    assert repr(back.metadata) == repr(made.metadata)
    assert [repr(back.relationships[key].metadata) for key in relationships] == [
        repr(one.metadata) for one in relationships.values()
    ]
    assert (passage.id, passage.text) == (node_id, text)
    assert passage.title == (metadata.get("title") if isinstance(metadata.get("title"), str) else "")


def test_title_moves_and_stays_the_users(node: Callable[..., TextNode]) -> None:
    passage = to_passage(node("n", TEXT, year=1601, title="Hamlet"))
    assert passage.title == "Hamlet"
    assert passage.visible_metadata == {"year": 1601}
    for title in ("", 7, None, ["Hamlet"]):
        kept = to_passage(node("n", TEXT, title=title))
        assert (kept.title, kept.visible_metadata) == ("", {"title": title})


def test_nothing_is_stored_twice(node: Callable[..., TextNode]) -> None:
    metadata = {"title": "a-title-of-its-own", "note": "a-note-of-its-own"}
    whole = TextNode(
        id_="n",
        text="a-text-of-its-own",
        metadata=metadata,
        embedding=[0.125, 0.375],
        relationships={
            NodeRelationship.SOURCE: RelatedNodeInfo(node_id="doc", metadata=metadata),
            NodeRelationship.PREVIOUS: RelatedNodeInfo(node_id="m", metadata=metadata),
        },
    )
    for made in (whole, Document(id_="n", text=whole.text, metadata=metadata, embedding=[0.125, 0.375])):
        passage = to_passage(made)
        private = json.dumps(passage.metadata[PRIVATE_KEY])
        for word in ("a-text-of-its-own", "a-title-of-its-own", "a-note-of-its-own", "0.125"):
            assert word not in private
        assert to_node(passage) == made.model_copy(update={"embedding": None})


def test_passage_of_others_becomes_a_text_node() -> None:
    made = to_node(Passage(id="7", text=TEXT, title="Hamlet", metadata={"year": 1601}))
    assert made == TextNode(id_="7", text=TEXT, metadata={"title": "Hamlet", "year": 1601})
    assert to_node(Passage(id="7", text=TEXT, title="A", metadata={"title": "B"})).metadata == {"title": "B"}
    foreign = Passage(id="7", text=TEXT, metadata={PRIVATE_KEY: {"of": "another framework"}})
    assert to_node(foreign) == TextNode(id_="7", text=TEXT)


def test_subclass_comes_back_as_what_llama_index_knows() -> None:
    class Clause(TextNode):
        section: str = ""

    class Report(Document):
        pass

    assert to_node(to_passage(Clause(id_="n", text=TEXT, section="2a"))) == TextNode(id_="n", text=TEXT)
    assert to_node(to_passage(Report(id_="n", text=TEXT))) == Document(id_="n", text=TEXT)


def test_metadata_that_cannot_be_kept_is_named(node: Callable[..., TextNode]) -> None:
    with pytest.raises(PassageError, match=r"passage 'n': metadata\['when'\] is set .* expected a JSON value"):
        to_passage(node("n", TEXT, when={1}))
    for key in RESERVED_KEYS:
        with pytest.raises(PassageError, match=f"node 'n': the metadata key '{key}' is reserved"):
            to_passage(node("n", TEXT, **{key: 1}))


@pytest.mark.parametrize(
    "value",
    [
        "node:1",
        ["node:1", "source:1", ["no json"]],
        ["node:1", "source:1", ["7"]],
        ["node:1", "source:1", ['{"class_name": "Unheard"}']],
        ["node:1", "source:1", ['{"relationships": 5}']],
        ["node:1", "source:1", ['{"text_template": []}']],
    ],
)
def test_what_no_node_wrote_under_the_private_key_is_a_plain_node(value: object) -> None:
    passage = Passage("1", "text", "Title", {"year": 1, PRIVATE_KEY: value})
    assert to_node(passage) == TextNode(id_="1", text="text", metadata={"title": "Title", "year": 1})
