"""Single edits of a model folder's JSON files: each loads, or is refused by name."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny

from dpr_rag import DualEncoder
from dpr_rag.errors import ModelError

VALUES: list[Any] = [None, True, -1, 0, 10**9, 1.5, "x", "", [], [1], {}, {"a": 1}]
EDITS = 60


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(data, dict):
        for key in list(data)[:30]:
            yield from places(data[key], (*path, key))
    elif isinstance(data, list):
        for at in range(min(len(data), 2)):
            yield from places(data[at], (*path, at))


def edited(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    first, *rest = path
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[first] = edited(copy[first], tuple(rest), value)
    return copy


def modular(root: Path) -> Path:
    tiny.modules(tiny.mpnet(root), pooling="mean", names=("Dense",), length=32)
    tiny.dense(root, activation="torch.nn.modules.linear.Identity", bias=True)
    said = {
        "prompts": {"query": "who "},
        "default_prompt_name": None,
        "similarity_fn_name": "cosine",
        "truncate_dim": 8,
    }
    (root / "config_sentence_transformers.json").write_text(json.dumps(said))
    return root


@pytest.mark.filterwarnings("ignore")  # of settings that make no sense, libraries also warn
@pytest.mark.parametrize("runtime", ["openvino", "torch"])
@pytest.mark.parametrize("make", [modular, tiny.tas_b], ids=["modules", "distilbert"])
def test_an_edit_loads_or_is_refused_by_name(make: Callable[[Path], Path], runtime: Any, tmp_path: Path) -> None:
    choose = random.Random(f"{make.__name__} {runtime}")
    folder = make(tmp_path / "m")
    files = {path: path.read_text() for path in sorted(folder.rglob("*.json"))}
    edits = [(path, place) for path, text in files.items() for place in places(json.loads(text))]
    refused = 0
    for path, place in choose.sample(edits, min(EDITS, len(edits))):
        value = choose.choice(VALUES)
        path.write_text(json.dumps(edited(json.loads(files[path]), place, value)))
        try:
            encoder = DualEncoder.from_pretrained(folder, runtime=runtime, dtype="float32", device="cpu")
            assert np.isfinite(encoder.encode_questions(["who wrote hamlet"])).all()
        except ModelError as error:
            refused += 1
            assert str(folder) in str(error), (path.name, place, value)  # noqa: PT017
        finally:
            path.write_text(files[path])
    assert 5 < refused < EDITS
