"""Settings of a vector store that can be changed: its view, its ranking, and the handling of blank documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langchain_core.vectorstores import VectorStore

from dpr_rag import Filter, Ranking, Retriever, Store
from dpr_rag.errors import ArgumentError
from dpr_rag.fillable import FilledStore, filled
from dpr_rag.stores import is_store
from langchain_dpr_rag.documents import OnBadText, OnBlank, OnMetadata, Policies
from langchain_dpr_rag.settings import Fusion, Mode


class AdjustableStore(VectorStore):
    """Settings that count from the next call on; setting one checks it together with the others."""

    _store: FilledStore
    _fixed: Mapping[str, Any] | Filter | None = None
    _options: tuple[Mode | None, float | None, Fusion | None] = (None, None, None)
    _policies: Policies = Policies()

    @property
    def store(self) -> FilledStore:
        """The passages; with a ``fixed_filter``, those that it keeps."""
        return self._store

    @store.setter
    def store(self, store: Store) -> None:
        if not is_store(store):
            raise ArgumentError(
                f"store is {type(store).__name__}, expected an open dpr_rag.PassageStore or MilvusStore; open a folder or an "
                "address with path="
            )
        opened = filled(store)
        self._store = opened if self._fixed is None else opened.restricted(self._fixed)

    @property
    def retriever(self) -> Retriever:
        """The core's retriever on the store, as the settings are now."""
        mode, weight, fusion = self._options
        return Retriever(self._store, k=4, mode=mode, weight=weight, fusion=fusion)

    @property
    def mode(self) -> Mode | None:
        """Of searches in words: ``dense``, ``bm25`` or ``hybrid``; None for what the store was tuned to, or else ``dense``."""
        return self._options[0]

    @mode.setter
    def mode(self, mode: Mode | None) -> None:
        self._rank_by(mode, *self._options[1:])

    @property
    def weight(self) -> float | None:
        """With ``hybrid``: λ; None for the one that the store was tuned to or suggests."""
        return self._options[1]

    @weight.setter
    def weight(self, weight: float | None) -> None:
        self._rank_by(self.mode, weight, self.fusion)

    @property
    def fusion(self) -> Fusion | None:
        """With ``hybrid``: ``weighted`` or ``rrf``."""
        return self._options[2]

    @fusion.setter
    def fusion(self, fusion: Fusion | None) -> None:
        self._rank_by(self.mode, self.weight, fusion)

    def _rank_by(self, mode: Mode | None, weight: float | None, fusion: Fusion | None) -> None:
        Ranking.of(mode, weight, fusion)
        self._options = mode, weight, fusion

    @property
    def on_blank(self) -> OnBlank:
        """``skip`` leaves out blank documents with one warning, ``error`` refuses them."""
        return self._policies.on_blank

    @on_blank.setter
    def on_blank(self, on_blank: OnBlank) -> None:
        self._policies = replace(self._policies, on_blank=on_blank)

    @property
    def on_bad_text(self) -> OnBadText:
        """What becomes of lone surrogates: ``error``, ``replace`` by U+FFFD, or ``skip`` their documents with one warning."""
        return self._policies.on_bad_text

    @on_bad_text.setter
    def on_bad_text(self, on_bad_text: OnBadText) -> None:
        self._policies = replace(self._policies, on_bad_text=on_bad_text)

    @property
    def on_metadata(self) -> OnMetadata:
        """``error`` refuses metadata that are no JSON, ``convert`` makes JSON of them by ``dpr_rag.to_json_metadata``."""
        return self._policies.on_metadata

    @on_metadata.setter
    def on_metadata(self, on_metadata: OnMetadata) -> None:
        self._policies = replace(self._policies, on_metadata=on_metadata)
