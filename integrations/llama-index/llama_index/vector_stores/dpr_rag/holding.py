"""The open store of a vector store, and the document and index stores in the same file."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr
from llama_index.core.storage.storage_context import StorageContext
from llama_index.vector_stores.dpr_rag.adding import OnBlank
from llama_index.vector_stores.dpr_rag.arrivals import Arrivals
from llama_index.vector_stores.dpr_rag.converting import OnMetadata
from llama_index.vector_stores.dpr_rag.docstore import DPRDocumentStore, DPRIndexStore
from llama_index.vector_stores.dpr_rag.in_threads import AsyncInThreads
from llama_index.vector_stores.dpr_rag.nodes import OnBadText
from llama_index.vector_stores.dpr_rag.persisting import persist

from dpr_rag import Encoder, Filter
from dpr_rag.errors import ArgumentError
from dpr_rag.fillable import FilledStore, filled
from dpr_rag.stores import is_store


class OnPassageStore(AsyncInThreads):
    """A vector store on an open store; in a folder LlamaIndex can keep all it knows of documents and indexes beside it."""

    model_config = ConfigDict(validate_assignment=True)

    stores_text: bool = True
    flat_metadata: bool = False
    path: str | None = Field(
        default=None,
        frozen=True,
        description="The folder or address that was opened; None for a temporary store or an open one.",
    )
    on_blank: OnBlank = Field(default="skip", description="What to do with nodes whose text is blank.")
    on_bad_text: OnBadText = Field(default="error", description="What to do with lone surrogates.")
    on_metadata: OnMetadata = Field(default="error", description="What to do with metadata that are no JSON.")
    fixed_filter: dict[str, Any] | None = Field(
        default=None, frozen=True, description="What everything is restricted to, as a filter of dpr-rag."
    )
    _store: FilledStore = PrivateAttr()
    _whole: FilledStore = PrivateAttr()
    _owned: bool = PrivateAttr(default=True)
    _arrivals: Arrivals = PrivateAttr(default_factory=Arrivals)

    def _hold(self, opened: FilledStore, fixed: Filter | None) -> None:
        self._whole = opened
        with ExitStack() as on_error:
            on_error.callback(self.close)
            self._store = opened if fixed is None else opened.restricted(fixed)
            on_error.pop_all()

    @property
    def client(self) -> FilledStore:
        """The ``PassageStore`` or ``MilvusStore``, for what LlamaIndex has no words for: ``info``, ``check`` and so on.

        With a ``fixed_filter`` it is a view, which refuses those: they concern the whole store.
        """
        return self._store

    @property
    def encoder(self) -> Encoder | None:
        """The encoder that the store was opened with."""
        return self._store.encoder

    @property
    def docstore(self) -> DPRDocumentStore:
        """A document store in the same file, which knows of the documents what this vector store holds of them.

        Raises:
            StoreError: The store is in a Milvus, which holds nodes alone.
        """
        return DPRDocumentStore(self._store, self._arrivals, convert=self.on_metadata == "convert")

    @property
    def index_store(self) -> DPRIndexStore:
        """An index store in the same file.

        Raises:
            StoreError: As for :attr:`docstore`.
        """
        return DPRIndexStore(self._store)

    def storage_context(self) -> StorageContext:
        """All three as LlamaIndex's ``StorageContext``, which is there again when the folder is opened the next time.

        Raises:
            StoreError: As for :attr:`docstore`.
        """
        return StorageContext.from_defaults(docstore=self.docstore, index_store=self.index_store, vector_store=self)

    @property
    def read_only(self) -> bool:
        """Whether every change is refused."""
        return self._store.read_only

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """Where the store is and how it was opened, for :meth:`from_dict`; not what opens it elsewhere: its encoder."""
        return {**super().to_dict(**kwargs), "read_only": self.read_only}

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> Self:
        """Open the store of a dict that ``to_dict`` made; there has to be one.

        Args:
            data: The dict.
            **kwargs: Further arguments of the class: ``encoder``, which no dict holds, or another ``read_only``.

        Raises:
            ValueError: The dict names no folder: it is of a temporary store, or of one that was given open; or it is of a
                store opened read-only, and the one given open may be written to.
            StoreNotFoundError: There is no store in the folder.
        """
        options: dict[str, Any] = {
            "on_blank": data.get("on_blank", "skip"),
            "on_bad_text": data.get("on_bad_text", "error"),
            "on_metadata": data.get("on_metadata", "error"),
            "fixed_filter": data.get("fixed_filter"),
        }
        read_only, store = bool(data.get("read_only", False)), kwargs.get("store")
        if store is None:
            options |= {"path": data.get("path"), "create": False, "read_only": read_only}
        elif read_only and is_store(store) and not filled(store).read_only:
            raise ArgumentError(
                f"the dict is of a {cls.class_name()} opened read-only, and store= may be written to; open it with read_only=True"
            )
        options |= kwargs
        if options.get("store") is None and options["path"] is None:
            raise ArgumentError(
                f"the dict of a {cls.class_name()} has no path, as that of a temporary store or of one that was given open; "
                "pass path= or store="
            )
        return cls(**options)

    def __getstate__(self) -> dict[str, Any]:
        """Refuse to be pickled, where LlamaIndex would leave out the open store with a warning in the log."""
        raise TypeError(
            f"a {self.class_name()} on {str(self._store.path)!r} is open and cannot be pickled; open it where it is used, from "
            "its path or its to_dict()"
        )

    def __copy__(self) -> Self:
        """A copy on the same open store, which leaves closing to the first."""
        copied = super().__copy__()
        copied._owned = False
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self.__copy__()  # what is open cannot be opened twice

    def persist(self, persist_path: str = "", fs: Any = None) -> None:
        """Write nothing: what ``add`` and ``delete`` returned from is on disk already, in the store's own folder.

        ``StorageContext.persist`` can be called; a warning in the log says so where another place was named.

        Raises:
            StoreError: The store is temporary: what it holds would be gone when it is closed.
        """
        persist(self._store, persist_path)

    def close(self) -> None:
        """Close the store, unless it was given open; a temporary one is gone then."""
        if self._owned:
            self._whole.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
