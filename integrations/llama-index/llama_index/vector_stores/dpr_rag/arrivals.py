"""Records which documents recently got nodes, so that a document store can check that all are there."""

from __future__ import annotations

from collections.abc import Iterable

from llama_index.core.schema import BaseNode


class Arrivals:
    """Documents of which ``add`` has stored nodes since they were last asked for; noted once somebody asks."""

    def __init__(self) -> None:
        self._noted: set[str] | None = None

    def watch(self) -> None:
        """Note documents from now on."""
        self._noted = set() if self._noted is None else self._noted

    def note(self, nodes: Iterable[BaseNode]) -> None:
        """Note the documents of nodes that are stored now."""
        if self._noted is not None:
            self._noted.update(node.ref_doc_id or node.node_id for node in nodes)

    def forget(self, ref_doc_id: str) -> bool:
        """Strike a document out, and tell whether it was noted."""
        if self._noted is None or ref_doc_id not in self._noted:
            return False
        self._noted.discard(ref_doc_id)
        return True
