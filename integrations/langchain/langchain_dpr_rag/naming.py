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
    own_name, inner = _first_string(embeddings, _NAMES), wrapped(embeddings)
    if own_name is None and not inner:
        return _name_elsewhere(embeddings)
    above = (*above, embeddings)
    parts = [None if any(member is outer for outer in above) else name_of(member, above) for member in inner]
    if own_name is None and None in parts:
        return None
    inner_names = [f"({part or class_name(member)})" for part, member in zip(parts, inner, strict=True)]
    return " ".join([class_name(embeddings), *([] if own_name is None else [own_name]), *inner_names])


def wrapped(embeddings: Embeddings) -> list[Embeddings]:
    """The embeddings that a wrapper holds, one level down."""
    return _direct(embeddings) or [value for value in _values(embeddings) if isinstance(value, Embeddings)]


def all_within(embeddings: Embeddings, above: tuple[Embeddings, ...] = ()) -> Iterator[Embeddings]:
    """These embeddings and all that they wrap, at any depth."""
    yield embeddings
    for inner in wrapped(embeddings):
        if not any(inner is outer for outer in (*above, embeddings)):
            yield from all_within(inner, (*above, embeddings))


def _name_elsewhere(embeddings: Embeddings) -> str | None:
    """The name by less common attributes, by a path, or by encoders inside; LangChain's fakes are named by their class."""
    if any(kind.__module__.endswith("embeddings.fake") for kind in type(embeddings).__mro__):
        return class_name(embeddings)  # their class and their dimension say all
    own_name = _first_string(embeddings, _MORE_NAMES) or _first_path(embeddings)
    names = [own_name] if own_name else [f"({value.fingerprint})" for value in _values(embeddings) if is_encoder(value)]
    return " ".join([class_name(embeddings), *names]) if names else None


def _first_string(embeddings: Embeddings, names: tuple[str, ...]) -> str | None:
    values = (getattr(embeddings, name, None) for name in names)
    return next((value for value in values if isinstance(value, str) and value), None)


def _first_path(embeddings: Embeddings) -> str | None:
    values = (getattr(embeddings, name, None) for name in (*_NAMES, *_MORE_NAMES))
    return next((os.fspath(value) for value in values if isinstance(value, os.PathLike)), None)


def _direct(embeddings: Embeddings) -> list[Embeddings]:
    return [value for value in _attributes(embeddings).values() if isinstance(value, Embeddings)]


def _attributes(embeddings: Embeddings) -> dict[str, Any]:
    return getattr(embeddings, "__dict__", {})  # a class of the caller's own may have slots alone


def _values(embeddings: Embeddings) -> Iterator[Any]:
    """The values of an object: attributes, pydantic's private ones, slots, and the items of lists and dicts among them."""
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
