"""What of a node is encoded, on its way through LlamaIndex's batching, which knows strings alone."""

from __future__ import annotations

from collections.abc import Sequence

from llama_index.core.schema import BaseNode, MetadataMode

from dpr_rag import Passage
from dpr_rag.arguments import check_text

TITLE = "title"


class TitledText(str):
    """A text that remembers the title and the id of the node it is from."""

    passage_title: str
    node_id: str

    @classmethod
    def of(cls, node: BaseNode, *, embed_metadata: bool) -> TitledText:
        """Take the text of a node, with the metadata that its author wants embedded if that is asked for."""
        title = node.metadata.get(TITLE)
        text = cls(_mended(_with_metadata(node) if embed_metadata else node.get_content(MetadataMode.NONE)))
        text.passage_title, text.node_id = title if isinstance(title, str) else "", node.node_id
        return text

    @classmethod
    def from_passage(cls, passage: Passage) -> TitledText:
        """Take text and title of a passage."""
        text = cls(passage.text)
        text.passage_title, text.node_id = passage.title, passage.id
        return text


def _mended(text: str) -> str:
    """The text as it is encoded: LlamaIndex's own events refuse surrogates, those of pairs as well."""
    passage = Passage.made("text", text, on_bad_text="replace") if text else None
    return text if passage is None else passage.text


def _with_metadata(node: BaseNode) -> str:
    """The node's own template, without the title, which is encoded beside the text."""
    excluded = [*node.excluded_embed_metadata_keys, TITLE]
    return node.model_copy(update={"excluded_embed_metadata_keys": excluded}).get_content(MetadataMode.EMBED)


def title_of(text: str) -> str:
    """The title that goes with a text, or an empty string."""
    return text.passage_title if isinstance(text, TitledText) else ""


def as_passages(texts: Sequence[str]) -> list[Passage]:
    """Passages to encode; an empty text, which LlamaIndex may ask for and no passage can have, becomes a space."""
    return [passage for at, text in enumerate(texts) if (passage := _to_encode(at, text)) is not None]


def _to_encode(at: int, text: str) -> Passage | None:
    text_given(text)
    name = text.node_id if isinstance(text, TitledText) else f"text {at}"
    # a store says what becomes of bad text; a vector says nothing of it
    return Passage.made(name, str.__str__(text) or " ", title_of(text), on_bad_text="replace")


def text_given(text: object) -> str:
    """What is to be embedded as a string.

    Raises:
        ArgumentError: It is no string.
    """
    return check_text(text, several="embed one after the other, or call the method for several")
