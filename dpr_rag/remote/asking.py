"""What is sent to a service, checked as far as that takes no store; and addresses as people write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

from dpr_rag.arguments import check_count, check_instance, kind
from dpr_rag.encoder import check_vectors
from dpr_rag.errors import ArgumentError, FilterError, PathError, VectorError
from dpr_rag.filters import Filter, parse_filter
from dpr_rag.fusion import Calibration, Diversity, Wishes
from dpr_rag.passages import Passage
from dpr_rag.remote.wire import options_record

Where = Filter | Mapping[str, Any] | Callable[[Passage], bool] | None
SCHEMES = ("http://", "https://")


def said_of(wishes: Wishes) -> dict[str, Any]:
    """What options say of a ranking, in the service's words."""
    return {name: value for name, value in asdict(wishes).items() if value is not None}


def where_record(where: Where) -> dict[str, Any] | None:
    """A filter as a JSON object.

    Raises:
        FilterError: It cannot be understood, or is a predicate, which cannot travel.
    """
    if where is None:
        return None
    if callable(where):
        raise FilterError("a predicate cannot be sent to a service; say the same as a dict of fields and operators")
    return parse_filter(where).to_dict()


def options_of(
    k: object,
    where: Where,
    said: Mapping[str, Any],
    diversity: Diversity | None,
    min_relevance: float | None,
    vectors: Any,
) -> dict[str, Any]:
    """What a retrieval is asked for beside its questions, checked as far as that takes no store.

    Raises:
        FilterError: The filter cannot be understood, or cannot travel.
        VectorError: Vectors are none, or ``min_relevance`` is not in [0, 1].
    """
    if diversity is not None:
        check_instance("diversity", diversity, Diversity, VectorError)
    if min_relevance is not None:
        Calibration().keeps(min_relevance)  # refuses what is out of range as the store does
    checked = None if vectors is None else check_vectors(vectors)
    return options_record(
        k=check_count("k", k, VectorError),
        where=where_record(where),
        said=said,
        diversity=diversity,
        min_relevance=min_relevance,
        vectors=checked,
    )


def check_text(name: str, value: object) -> None:
    """Refuse what is no string, or an empty one.

    Raises:
        ArgumentError: It is.
    """
    if not isinstance(value, str) or not value:
        raise ArgumentError(f"{name} is {kind(value)}, expected a string of at least one character; or leave it out")


def parted(address: str) -> tuple[str, str | None]:
    """The address without its query, and the store that the query names.

    Raises:
        PathError: It is no address, or names more than a store.
    """
    if not isinstance(address, str) or not address.lower().startswith(SCHEMES):
        raise PathError(f"{address!r:.200} is no address of a service; expected one such as http://127.0.0.1:8000")
    try:
        parts = urlsplit(address)
    except ValueError as error:  # brackets that do not close
        raise PathError(f"{address!r:.200} is no address of a service ({error}); check its host") from error
    query = parse_qs(parts.query, keep_blank_values=True)
    if query.keys() - {"store"} or len(query.get("store", [])) > 1:
        raise PathError(
            f"{address!r:.200} says more than the store's name; leave out all but the query store and its name"
        )
    return urlunsplit(parts._replace(query="")), query.get("store", [None])[0]
