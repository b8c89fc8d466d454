"""The JSON bodies that a client sends to a service, checked before they are sent; and service addresses."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

from dpr_rag.arguments import check_count, kind
from dpr_rag.encoder import check_vectors
from dpr_rag.errors import ArgumentError, FilterError, PathError, VectorError
from dpr_rag.filters import Where, parse_filter
from dpr_rag.fusion import Ranking, RankingOptions, SearchRequest
from dpr_rag.handed_over import repeated
from dpr_rag.remote.wire import vectors_record

SCHEMES = ("http://", "https://")
AT_ONCE = 256
"""Questions, or vectors, of one request: what a service takes unless it was started with another limit."""
IDS_AT_ONCE = 1000
"""Ids, or passages, of one request: likewise."""
_BYTES_AT_ONCE = 6 * 2**20
_BYTES_OF_NUMBER = 26


def ranking_record(ranking: Ranking | RankingOptions | None) -> dict[str, Any]:
    """The fields of a request that say how to rank; options that are None are left to the service."""
    if isinstance(ranking, Ranking):
        return {"ranking": asdict(ranking)}
    return {} if ranking is None else _without_none(asdict(ranking))


def filter_record(where: Where) -> dict[str, Any] | None:
    """A filter as a JSON object.

    Raises:
        FilterError: It cannot be understood, or is a predicate, which cannot be sent.
    """
    if where is None:
        return None
    if callable(where):
        raise FilterError("a predicate cannot be sent to a service; say the same as a dict of fields and operators")
    return parse_filter(where).to_dict()


def request_record(request: SearchRequest) -> dict[str, Any]:
    """The body of ``/v1/retrieve``; fields that are None are left out.

    Raises:
        FilterError: The filter cannot be understood, or is a predicate.
        VectorError: ``k`` is None; there are neither questions nor vectors; or the vectors are not float [n, dim].
    """
    by_vectors = request.questions is None or request.vectors is not None
    record = {
        "questions": request.questions,
        "k": check_count("k", request.k, VectorError),
        "filter": filter_record(request.filter),
        **ranking_record(request.ranking),
        "exact": request.exact or None,
        "diversity": None if request.diversity is None else asdict(request.diversity),
        "min_relevance": request.min_relevance,
        "vectors": vectors_record(check_vectors(request.vectors)) if by_vectors else None,
    }
    return _without_none(record)


def request_parts(request: SearchRequest) -> Iterator[tuple[dict[str, Any], int]]:
    """The bodies of ``/v1/retrieve`` for a request of any size, see :func:`request_record`, each with its number of searches."""
    record = request_record(request)
    lists: dict[str, Any] = {name: record[name] for name in ("questions", "vectors") if name in record}
    count = max(map(len, lists.values()))
    most = max(1, min(AT_ONCE, _BYTES_AT_ONCE // (sum(map(_longest, lists.values())) or 1)))
    for start in range(0, count or 1, most):
        part = {name: values[start : start + most] for name, values in lists.items()}
        yield {**record, **part}, min(most, count - start)


def spans(lists: Mapping[str, Sequence[Any]]) -> Iterator[slice]:
    """The parts in which passages and their vectors are sent, as slices of these lists; one of nothing where there are none."""
    sizes = [sum(map(_size, row)) for row in zip(*lists.values(), strict=True)]
    start = total = 0
    for at, size in enumerate(sizes):
        if at > start and (at - start == IDS_AT_ONCE or total + size > _BYTES_AT_ONCE):
            yield slice(start, at)
            start = at
            total = 0
        total += size
    yield slice(start, len(sizes))


def refuse_repeated(lists: Mapping[str, Sequence[Any]]) -> None:
    """Refuse an id that comes twice with different contents or vectors, of which one would be lost.

    Args:
        lists: The passages as they are sent, under ``passages``, and perhaps their ``vectors``.

    Raises:
        RepeatedIdError: One does.
    """
    first: dict[str, int] = {}
    records, vectors = lists["passages"], lists.get("vectors")
    for at, record in enumerate(records):
        before = first.setdefault(record["id"], at)
        if before == at:
            continue
        if json.dumps(records[before], sort_keys=True) != json.dumps(record, sort_keys=True):
            raise repeated(record["id"], "nothing was stored")
        if vectors is not None and vectors[before] != vectors[at]:
            raise repeated(record["id"], "nothing was stored", "vectors")


def _size(value: Any) -> int:
    """Bytes of JSON that a passage or a vector takes at most."""
    return _BYTES_OF_NUMBER * len(value) if isinstance(value, list) else len(json.dumps(value))


def _longest(values: Sequence[Any]) -> int:
    """Bytes of JSON that one of these questions or vectors takes at most."""
    return max(map(_size, values), default=0)


def _without_none(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if value is not None}


def check_text(name: str, value: object) -> None:
    """Refuse a value that is not a string, or is empty.

    Raises:
        ArgumentError: It is.
    """
    if not isinstance(value, str) or not value:
        raise ArgumentError(f"{name} is {kind(value)}, expected a string of at least one character; or leave it out")


def split_address(address: str) -> tuple[str, str | None]:
    """Split ``http://host:port?store=NAME`` into the address and the name of the store, or None.

    Raises:
        PathError: It is not an address of a service, or its query has other parameters.
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
