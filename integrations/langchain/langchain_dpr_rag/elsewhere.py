"""Methods of other vector stores: each raises an error that names the method to call here."""

from __future__ import annotations

from typing import Any, NoReturn

_SAVED = "nothing to save: what an addition or a deletion returned from is on disk, in the folder given as path="
_EMPTIED = "delete() deletes all documents; remove the folder to be rid of the store"
_OPENED = "DPRVectorStore(embedding, path=..., create=False) opens a store that exists"
_REPLACED = "add_documents(documents, ids=...) replaces what has the same id"


def _called(name: str, right: str) -> classmethod[Any, ..., NoReturn]:
    def refuse(cls: type[Any], *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError(f"{cls.__name__} has no {name}(); {right}")

    return classmethod(refuse)


class Elsewhere:
    """Names that tutorials for Chroma, FAISS, Qdrant and PGVector use, for their users' sake."""

    save_local = _called("save_local", _SAVED)
    persist = _called("persist", _SAVED)
    dump = _called("dump", _SAVED)
    load_local = _called(
        "load_local",
        f"{_OPENED}, and DPRVectorStore.from_langchain_faiss(folder, embedding) moves in with what FAISS saved",
    )
    load = _called("load", _OPENED)
    from_existing_collection = _called("from_existing_collection", _OPENED)
    from_existing_index = _called("from_existing_index", _OPENED)
    get = _called("get", "get_by_ids(ids) has documents by id, and vector_store.store all passages: for passage in it")
    update_document = _called("update_document", _REPLACED)
    update_documents = _called("update_documents", _REPLACED)
    upsert = _called("upsert", _REPLACED)
    delete_collection = _called("delete_collection", _EMPTIED)
    reset_collection = _called("reset_collection", _EMPTIED)
    drop_tables = _called("drop_tables", _EMPTIED)
