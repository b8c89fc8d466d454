"""Paths into nested metadata: one meaning by plain evaluation, by SQL and by columns, and a key with dots of its own wins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_filters import select

from dpr_rag import Passage, PassageStore
from dpr_rag.filters import Filter
from dpr_rag.filters.fields import MISSING, looked_up
from dpr_rag.storage.reader import StoreReader

METADATA = [
    {"specs": {"screen": "OLED", "ports": {"usb": 2}}},
    {"specs": {"screen": "LCD", "ports": {"usb": 3.0}}},
    {"specs.screen": "OLED", "specs": {"screen": "LCD"}},
    {"specs": {"ports.usb": 2, "ports": {"usb": 9}}},
    {"specs.ports": {"usb": 2}, "specs": {"ports": {"usb": 9}}},
    {"specs.ports": {"hdmi": 1}, "specs": {"ports": {"usb": 2}}},
    {"specs": [{"screen": "OLED"}]},
    {"specs": "OLED"},
    {"specs": {"screen": None, "list": ["OLED"], "e\u0301": 1}},
    {},
]


def passages() -> list[Passage]:
    return [Passage(str(at), "t", metadata=metadata) for at, metadata in enumerate(METADATA)]


CASES = [
    ({"specs.screen": "OLED"}, [0, 2]),
    ({"specs.screen": {"$ne": "OLED"}}, [1, 3, 4, 5, 6, 7, 8, 9]),
    ({"specs.screen": {"$exists": True}}, [0, 1, 2, 8]),
    ({"specs.screen": {"$is_empty": True}}, [8]),
    ({"specs.screen": {"$gte": "M"}}, [0, 2]),
    ({"specs.ports.usb": 2}, [0, 3, 4, 5]),
    ({"specs.ports.usb": {"$in": [3, 9]}}, [1]),
    ({"specs.list": {"$contains": "OLED"}}, [8]),
    ({"specs.\u00e9": 1}, [8]),
    ({"$not": {"specs.ports.usb": {"$lt": 3}}}, [1, 2, 6, 7, 8, 9]),
    ({"specs.nowhere": {"$exists": False}}, list(range(10))),
    ({"specs.": {"$exists": True}}, []),
    ({".specs": {"$exists": True}}, []),
]


@pytest.mark.parametrize(("where", "expected"), CASES)
def test_a_dotted_path_leads_into_nested_objects(where: dict, expected: list[int]) -> None:
    assert select(passages(), Filter.from_dict(where)) == expected


@pytest.mark.parametrize(("where", "expected"), CASES)
def test_a_store_answers_alike_with_columns_and_without(
    where: dict, expected: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PassageStore.open(tmp_path / "s") as store:
        store.add(passages(), vectors=np.ones((len(METADATA), 4), np.float32))
        assert [int(one.id) for one in store.select(where)] == expected
        store.optimize()
        monkeypatch.setattr(StoreReader, "prove_passages", lambda *_, **__: pytest.fail("all passages were read"))
        assert [int(one.id) for one in store.select(where)] == expected
        assert [dict(one.metadata) for one in store.get([str(at) for at in range(10)])] == METADATA


def test_a_path_of_very_many_parts_ends_where_the_objects_do() -> None:
    assert looked_up({"a": {"a": {"a": 1}}}, "a." * 100_000 + "a") is MISSING
