"""Shared by the readers of other libraries' stores: documents as passages, and a warning about other metrics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from logging import getLogger
from pathlib import Path
from typing import Any, NamedTuple

from dpr_rag.corpora.fields import Maker
from dpr_rag.corpora.lines import id_of, tell
from dpr_rag.corpora.records import Found, Opened, Reading
from dpr_rag.errors import CorpusError, PassageError
from dpr_rag.faces import ByFace, message_of
from dpr_rag.metadata import to_json_metadata

INNER_PRODUCT = "inner product"
_TITLE, _ALIKE = "title", 1.01
_log = getLogger(__name__)
_OF_LLAMA_INDEX = ("_node_content", "_node_type")
"""Metadata keys under which LlamaIndex keeps a node a second time in stores of others."""


class Document(NamedTuple):
    """A document of another library's store.

    Attributes:
        id: Its id, not checked.
        text: Its text, None where the store has none.
        metadata: Its metadata, not checked; ``title`` becomes the passage's, and what is no JSON is converted by
            ``to_json_metadata``.
        vector: Its vector, or None.
        file: Where it stands.
    """

    id: Any
    text: Any
    metadata: Any
    vector: Any
    file: Path


def moved(path: Path, documents: Iterable[Document], reading: Reading) -> Iterator[Found]:
    """Make passages of documents.

    Args:
        path: The store, for messages.
        documents: In the order in which they were added.
        reading: How to read them.

    Raises:
        CorpusError: A document that no passage can be, with its file and id.
    """
    with Maker.counting(path, reading.left_out, reading.on_bad_text) as maker:
        for document in documents:
            try:
                metadata = _metadata(document.metadata)
                title = metadata.pop(_TITLE) if isinstance(metadata.get(_TITLE), str) else ""
                passage = maker.make(id_of(document.id), document.text, title, metadata)
            except (CorpusError, PassageError) as error:
                tell(
                    reading.on_bad, CorpusError(f"{document.file}: document {document.id!r:.120}: " + message_of(error))
                )
                continue
            if passage is not None:
                yield Found(passage, document.file, f"{document.file}: document {passage.id!r:.120}", document.vector)


def _metadata(given: Any) -> dict[str, Any]:
    if given is not None and not isinstance(given, Mapping):
        raise CorpusError(f"metadata is {given!r:.60}, expected an object")
    unseen = _OF_LLAMA_INDEX if given and all(key in given for key in _OF_LLAMA_INDEX) else ()
    return to_json_metadata({key: value for key, value in (given or {}).items() if key not in unseen})


def opened(path: Path, kind: str, count: int, dim: int | None, metric: str, items: Iterator[Found]) -> Opened:
    """What a reader of another tool's store returns: its passages, and a description for people.

    Args:
        path: The store's path.
        kind: Such as ``a folder of LlamaIndex``.
        count: Number of its documents.
        dim: Components of its vectors; None where it has none.
        metric: Name of the similarity or distance that it ranks by.
        items: Its passages.
    """
    vectors = "without vectors" if dim is None else f"with vectors of {dim:,} dimensions, ranked by {metric}"
    watched = items if metric == INNER_PRODUCT else _watched(path, metric, items)
    return Opened(watched, f"{kind}: {count:,} documents {vectors}")


def _watched(path: Path, metric: str, items: Iterator[Found]) -> Iterator[Found]:
    """Warn where the inner product ranks vectors otherwise: it agrees with others on vectors of one length alone."""
    least, most = math.inf, 0.0
    for item in items:
        if item.vector is not None:
            length = _length(item.vector)
            least, most = min(least, length), max(most, length)
        yield item
    if most > _ALIKE * least:
        _log.warning(
            "%s: ranked by %s so far, and by inner product from now on, which differs for these vectors of lengths %.3g to %.3g",
            path,
            metric,
            least,
            most,
        )


def _length(vector: Any) -> float:
    try:
        return math.hypot(*vector)
    except TypeError:
        return math.nan  # the store refuses it


def chosen(place: Path, kind: str, names: list[str], part: str | None) -> str:
    """The one of several that is meant.

    Args:
        place: Where they are, for messages.
        kind: What they are, ``collection`` or ``index``.
        names: Theirs.
        part: The one that the user named; None takes the only one.

    Raises:
        CorpusError: There is no such one, or several and none was named.
    """
    if part is None and len(names) == 1:
        return names[0]
    if part in names and part is not None:
        return part
    if not names:
        raise CorpusError(f"{place}: it holds no {kind}; check the path")
    wrong = "" if part is None else f"there is no {kind} {part!r:.80}; "
    raise CorpusError(
        f"{place}: {wrong}it holds {', '.join(names):.300}; name the {kind} with "
        + ByFace("part=NAME", cli="--collection NAME")
    )
