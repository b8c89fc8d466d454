"""Requests made of the OpenAPI document, right and wrong: none ends in an error of the service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import HashEncoder
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from dpr_rag import Passage, PassageStore
from dpr_rag.service import Limits, create_app

TOKEN = "the-token-of-the-tests"
DIM = 4
OPERATORS = (
    "eq",
    "lt",
    "gte",
    "in",
    "nin",
    "between",
    "like",
    "ilike",
    "text_match",
    "contains",
    "any",
    "all",
    "exists",
    "no",
)
TEXTS = st.text(max_size=20) | st.sampled_from(
    ["a", "1", "plays", "title", "id", "\0", "\ud800", "$and", "a.b", "%", "\\"]
)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))
FILTERS = st.recursive(
    st.dictionaries(
        TEXTS,
        st.dictionaries(st.sampled_from([f"${one}" for one in OPERATORS]), VALUES, max_size=2) | SCALARS,
        max_size=3,
    ),
    lambda inner: st.builds(
        lambda word, parts: {word: parts}, st.sampled_from(["$and", "$or", "$not"]), st.lists(inner, max_size=3) | inner
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[TestClient, dict[str, Any]]]:
    with PassageStore.temporary(encoder=HashEncoder(DIM)) as store:
        store.add(
            [Passage(str(at), f"text {at} a", "title", {"a": at, "b": {"a": "1"}, "c": [at, "x"]}) for at in range(9)]
        )
        app = create_app({"plays": store}, token=TOKEN, writable=True, limits=Limits(hits=50, questions=8, passages=20))
        with TestClient(app, base_url="http://localhost", headers={"authorization": f"Bearer {TOKEN}"}) as client:
            yield client, client.get("/openapi.json").json()


def made_of(schema: dict[str, Any], document: dict[str, Any], name: str = "") -> st.SearchStrategy[Any]:
    """Values that a schema describes, and now and then others."""
    return st.one_of(_fitting(schema, document, name), _fitting(schema, document, name), VALUES)


def _fitting(schema: dict[str, Any], document: dict[str, Any], name: str) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        return _fitting(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document, name)
    if name == "filter":
        return FILTERS
    if "anyOf" in schema:
        return st.one_of([_fitting(one, document, name) for one in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kind = schema.get("type")
    if kind == "object" and "properties" in schema:
        parts = {key: made_of(one, document, key) for key, one in schema["properties"].items()}
        needed = {key: parts.pop(key) for key in schema.get("required", [])}
        return st.fixed_dictionaries(needed, optional=parts)
    if kind == "array":
        items = schema["items"]
        if items.get("type") == "number":
            return st.lists(st.floats(-10, 10), min_size=DIM, max_size=DIM) | st.lists(st.floats(), max_size=DIM)
        return st.lists(made_of(items, document), max_size=3)
    return {
        "string": TEXTS,
        "integer": st.integers(-2, 60),
        "number": st.floats(0, 1) | st.floats(),
        "boolean": st.booleans(),
        "null": st.none(),
    }.get(str(kind), VALUES)


@settings(max_examples=40)
@given(data=st.data())
@pytest.mark.parametrize(
    "path",
    ["retrieve", "encode", "passages", "passages/get", "passages/delete", "passages/count", "ranking", "calibration"],
)
def test_no_request_of_the_document_is_an_error_of_the_service(
    served: tuple[TestClient, dict[str, Any]], path: str, data: st.DataObject
) -> None:
    client, document = served
    schema = document["paths"][f"/v1/{path}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    body = data.draw(made_of(schema, document))
    answer = client.post(f"/v1/{path}", content=json.dumps(body), headers={"content-type": "application/json"})
    assert answer.status_code in {200, 400, 404, 422}, answer.text
    told = answer.json()
    if answer.status_code != 200:
        assert told["error"] in {
            "RequestError",
            "FilterError",
            "VectorError",
            "PassageError",
            "BadTextError",
            "RepeatedIdError",
            "StoreNotFoundError",
        }


@settings(max_examples=60)
@given(
    body=st.binary(max_size=200),
    headers=st.dictionaries(
        st.sampled_from(["accept", "content-encoding", "range", "expect", "x"]), st.text("abc;,=* \t", max_size=30)
    ),
)
def test_no_bytes_are_an_error_of_the_service(
    served: tuple[TestClient, dict[str, Any]], body: bytes, headers: dict[str, str]
) -> None:
    answer = served[0].post("/v1/retrieve", content=body, headers={**headers, "content-type": "application/json"})
    assert answer.status_code in {400, 422}
    assert answer.json()["error"] == "RequestError"
