"""Names foreign embeddings, so that a store can tell models of the same dimension apart."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from langchain_core.embeddings import Embeddings

from dpr_rag.encoder import is_encoder

_NAMES = ("model", "model_name", "model_id", "model_path", "deployment", "azure_deployment", "endpoint_name", "repo_id")
_MORE_NAMES = ("model_name_or_path", "model_uid", "model_url", "model_uri", "endpoint", "endpoint_url", "route")
_SEEN_THROUGH = {"CacheBackedEmbeddings": "underlying_embeddings", "HypotheticalDocumentEmbedder": "base_embeddings"}

_LOOKED_AT = 64  # of a container: it may be a cache of a million vectors


def seen_through(embeddings: Embeddings) -> Embeddings:
    """What makes the vectors of documents: the same behind LangChain's cache, or behind questions that a model rewrites."""
    inner = getattr(embeddings, _SEEN_THROUGH.get(type(embeddings).__name__, ""), None)
    return seen_through(inner) if isinstance(inner, Embeddings) else embeddings


def class_name(embeddings: Embeddings) -> str:
    """The class with its module."""
    kind = type(embeddings)
    return f"{kind.__module__}.{kind.__qualname__}"


def name_of(embeddings: Embeddings, above: tuple[Embeddings, ...] = ()) -> str | None:
    """The class and the model's name, of a wrapper also what it wraps; None where nothing names the model.

    Other settings are left out, since no rule tells those that make the vectors from those, like the size of a batch,
    that do not. What this returned for a model once it has to return for ever: stores remember it.

    Args:
        embeddings: What is to be named.
        above: The wrappers around it, which end a circle.
    """
    own, inner = _first_string(embeddings, _NAMES), wrapped(embeddings)
    if own is None and not inner:
        return _name_elsewhere(embeddings)
    above = (*above, embeddings)
    parts = [None if any(one is other for other in above) else name_of(one, above) for one in inner]
    if own is None and None in parts:
        return None
    told = [f"({part or class_name(one)})" for part, one in zip(parts, inner, strict=True)]
    return " ".join([class_name(embeddings), *([] if own is None else [own]), *told])


def wrapped(embeddings: Embeddings) -> list[Embeddings]:
    """The embeddings that a wrapper holds, one level down."""
    return _direct(embeddings) or [one for one in _values(embeddings) if isinstance(one, Embeddings)]


def all_within(embeddings: Embeddings, above: tuple[Embeddings, ...] = ()) -> Iterator[Embeddings]:
    """These embeddings and all that they wrap, at any depth."""
    yield embeddings
    for one in wrapped(embeddings):
        if not any(one is other for other in (*above, embeddings)):
            yield from all_within(one, (*above, embeddings))


def _name_elsewhere(embeddings: Embeddings) -> str | None:
    """Names of LangChain's fakes, under rarer attributes, of paths, and of the encoders that are held."""
    if any(kind.__module__.endswith("embeddings.fake") for kind in type(embeddings).__mro__):
        return class_name(embeddings)  # their class and their dimension say all
    own = _first_string(embeddings, _MORE_NAMES) or _first_path(embeddings)
    told = [own] if own else [f"({one.fingerprint})" for one in _values(embeddings) if is_encoder(one)]
    return " ".join([class_name(embeddings), *told]) if told else None


def _first_string(embeddings: Embeddings, names: tuple[str, ...]) -> str | None:
    found = (getattr(embeddings, name, None) for name in names)
    return next((value for value in found if isinstance(value, str) and value), None)


def _first_path(embeddings: Embeddings) -> str | None:
    found = (getattr(embeddings, name, None) for name in (*_NAMES, *_MORE_NAMES))
    return next((os.fspath(value) for value in found if isinstance(value, os.PathLike)), None)


def _direct(embeddings: Embeddings) -> list[Embeddings]:
    return [one for one in _attributes(embeddings).values() if isinstance(one, Embeddings)]


def _attributes(embeddings: Embeddings) -> dict[str, Any]:
    return getattr(embeddings, "__dict__", {})  # a class of the caller's own may have slots alone


def _values(embeddings: Embeddings) -> Iterator[Any]:
    """What an object holds: attributes, private ones of pydantic, slots, and what stands in lists and dicts among them."""
    private = getattr(embeddings, "__pydantic_private__", None) or {}
    slots = [name for kind in type(embeddings).__mro__ for name in getattr(kind, "__slots__", ()) if name[:2] != "__"]
    for value in (
        *_attributes(embeddings).values(),
        *private.values(),
        *(getattr(embeddings, name, None) for name in slots),
    ):
        yield value
        if isinstance(value, list | tuple | Mapping):
            yield from list(islice(value.values() if isinstance(value, Mapping) else value, _LOOKED_AT))
