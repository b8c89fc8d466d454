"""Metadata by field, extended by further passages, is what collecting all of it at once would have made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpr_rag import Passage
from dpr_rag.derived import file_checksum
from dpr_rag.storage import collecting
from dpr_rag.storage.collecting import ColumnsBuilder
from dpr_rag.storage.fields import CONTENTS, FIELDS, Fields

VALUES = st.one_of(
    st.sampled_from([1, 1.0, True, False, None, 0, -0.0, "", "1", "é", "zz", [1], [1.0], {"a": 1}]),
    st.integers(-3, 300),
    st.text(max_size=2),
)
METADATA = st.lists(st.dictionaries(st.sampled_from(["n", "m", "o.p", "q"]), VALUES, max_size=3), max_size=25)


def passages(metadata: Sequence[dict[str, Any]]) -> list[Passage]:
    return [Passage(f"id {at * 7 % 25}", "x", f"title {at % 3}", one) for at, one in enumerate(metadata)]


def written(
    folder: Path, passages: Sequence[Passage | None], after: Fields | None = None
) -> tuple[Fields, bytes, dict[str, Any]]:
    folder.mkdir()
    collected = ColumnsBuilder()
    for one in passages:
        if one is None:
            collected.skip(1)
        else:
            collected.add(one)
    files = {name: file_checksum(folder / name) for name in collected.write(folder, after)}
    contents = json.loads((folder / CONTENTS).read_text())
    return Fields(folder, files), (folder / FIELDS).read_bytes(), contents


@given(metadata=METADATA, cut=st.integers(1, 26), gone=st.sets(st.integers(1, 25)))
def test_two_steps_are_one(
    tmp_path_factory: pytest.TempPathFactory, metadata: list[dict[str, Any]], cut: int, gone: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("columns")
    made = [None if at in gone else one for at, one in enumerate(passages([{"n": 1}, *metadata]))]
    fields, *at_once = written(folder / "once", made)
    first, *_ = written(folder / "first", made[:cut])
    both, *in_two = written(folder / "both", made[cut:], first)
    assert in_two == at_once
    assert both.count == len(made)
    for at, one in enumerate(made):
        assert both.at(at) == fields.at(at)
        assert one is None or both.fit(at, one)


def test_what_is_left_out_stays_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "MOST_BYTES", 5_000)
    many, few = [{"n": f"value {at}", "m": 1} for at in range(30)], [{"n": "value 3", "m": 2}]
    first, _, contents = written(tmp_path / "first", passages(many))
    assert "n" in contents["left_out"]
    assert "m" in contents["columns"]
    _, _, contents = written(tmp_path / "both", passages(few), first)
    assert "n" in contents["left_out"]
    assert contents["columns"]["m"]["values"] == 2
    small, _, _ = written(tmp_path / "small", passages(few))
    _, _, contents = written(tmp_path / "grown", passages(many), small)
    assert "n" in contents["left_out"]


def test_fields_beyond_the_first_stay_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "MOST_FIELDS", 4)
    first, _, contents = written(tmp_path / "first", passages([{"n": 1}]))
    assert contents["complete"]
    both, _, contents = written(tmp_path / "both", passages([{"m": 1}, {"o": 1, "n": 2}]), first)
    assert not contents["complete"]
    assert list(contents["columns"]) == ["id", "title", "n", "m"]
    third, _, contents = written(tmp_path / "third", passages([{"n": 3}]), both)
    assert (contents["complete"], third.count) == (False, 4)
