"""Opening a store, in a folder or at an address, with what a user passes as ``embedding``."""

from __future__ import annotations

import os
from typing import Any

from dpr_rag import DualEncoder, Encoder, MilvusStore, PassageStore, is_address, is_service
from dpr_rag.errors import ArgumentError, EncoderMismatchError, PathError
from dpr_rag.fillable import FilledStore
from langchain_dpr_rag.foreign import EmbeddingsEncoder

_OF_A_FOLDER = ("dtype", "bind", "language")
_OF_A_MILVUS = ("token", "partition_key")


def open_store(
    path: str | os.PathLike[str] | None, encoder: Encoder | None, *, create: bool, read_only: bool, **options: Any
) -> FilledStore:
    """Open or create a store, temporary without a path; None takes the default encoder.

    Args:
        path: The store's folder, the address of a Milvus, or None.
        encoder: What the store is bound to.
        create: Make a store where there is none.
        read_only: Refuse every change, and create nothing.
        **options: Further arguments of ``PassageStore.open``; a temporary store takes ``index`` and ``dtype``, a Milvus
            ``index``, ``timeout``, ``token`` and ``partition_key``.

    Raises:
        ValueError: Nothing can be opened without a path, and nothing may be created.
        StoreNotFoundError: There is none at the path, and none was to be created.
    """
    if path is None and (read_only or not create):
        raise ArgumentError("create=False and read_only=True are for a store that exists; give its path")
    chosen = DualEncoder.default() if encoder is None else encoder
    if path is not None:
        return open_at(path, chosen, create=create, read_only=read_only, **options)
    if isinstance(chosen, EmbeddingsEncoder) and not chosen.is_named:
        chosen = EmbeddingsEncoder(chosen.embeddings, "nameless, as no other process will ask")
    return PassageStore.temporary(encoder=chosen, **_without_those_of_a_milvus(options))


def open_at(path: str | os.PathLike[str], encoder: Encoder | None, **options: Any) -> FilledStore:
    """Open the store in a folder or a Milvus, also under the name that a cache gave its embeddings in earlier versions.

    Raises:
        EncoderMismatchError: Something else embedded its passages, or nothing names the embeddings.
    """
    try:
        return _opened(path, encoder, **options)
    except EncoderMismatchError as error:
        if not isinstance(encoder, EmbeddingsEncoder) or not encoder.is_named:
            raise
        if encoder.former is not None:
            try:
                return _opened(path, encoder.former, **options)
            except EncoderMismatchError:
                pass
        raise EncoderMismatchError(
            f"{error}; where it is the same model under another name, pass fingerprint= with the name in the store"
        ) from error


def _without_those_of_a_milvus(options: dict[str, Any]) -> dict[str, Any]:
    for name in _OF_A_MILVUS:
        if options.get(name) is not None:
            raise ArgumentError(f"{name} goes with the address of a Milvus, and this is none; leave it out")
    return {name: value for name, value in options.items() if name not in _OF_A_MILVUS}


def _opened(path: str | os.PathLike[str], encoder: Encoder | None, **options: Any) -> FilledStore:
    if is_service(path):
        raise PathError(
            f"{path!r:.200} is an address of a service, which can be searched but not filled from here; "
            "DPRRetriever.from_store(address) searches it, and documents are added where they are stored"
        )
    if isinstance(path, str) and is_address(path):
        for name in _OF_A_FOLDER:
            if name in options:
                raise ArgumentError(f"{name} goes with a folder, and {path!r:.200} is a Milvus; leave it out")
        return MilvusStore.open(path, encoder=encoder, **options)
    return PassageStore.open(path, encoder=encoder, **_without_those_of_a_milvus(options))
