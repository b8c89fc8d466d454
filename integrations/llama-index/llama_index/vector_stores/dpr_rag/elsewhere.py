"""Constructors of other vector stores: each raises an error that names the one to use here."""

from __future__ import annotations

from typing import Any, NoReturn

_OPENED = "DPRVectorStore(path, create=False) opens a store that exists"
_MADE = "DPRVectorStore(path) makes a store, or opens it where there is one"
_MOVED = "DPRVectorStore.from_llama_index(persist_dir, path=...) moves in with what StorageContext.persist wrote"


def _called(name: str, right: str) -> classmethod[Any, ..., NoReturn]:
    def refuse(cls: type[Any], *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError(f"{cls.__name__} has no {name}(); {right}")

    return classmethod(refuse)


class Elsewhere:
    """Names that tutorials for the stores of LlamaIndex use, for their users' sake."""

    from_persist_dir = _called("from_persist_dir", f"{_OPENED}, and {_MOVED}")
    from_persist_path = _called("from_persist_path", f"{_OPENED}, and {_MOVED}")
    from_namespaced_persist_dir = _called("from_namespaced_persist_dir", f"{_OPENED}, and {_MOVED}")
    from_local = _called("from_local", _OPENED)
    from_params = _called("from_params", _MADE)
    from_uri = _called("from_uri", _MADE)
    from_collection = _called("from_collection", _MADE)
    from_table = _called("from_table", _MADE)
