"""Model folders made to do harm: sizes and tables without end are refused before memory is claimed for them."""

from __future__ import annotations

import base64
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dpr_rag.encoders
from dpr_rag import DualEncoder
from dpr_rag.encoders.weights import read_safetensors
from dpr_rag.errors import ModelError

DEFAULT = Path(dpr_rag.encoders.__file__).parent / "default" / "question"
USE = (
    "import sys; from dpr_rag import DualEncoder; "
    "encoder = DualEncoder.from_pretrained(sys.argv[1], profile='minilm', device='cpu', runtime='openvino'); "
    "encoder.encode_questions(['who ' + 'a' * 40 + '!'])"
)
MEMORY = 8 << 30
# threads take address space, and a container may show the cores of its whole machine
FEW = {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "RAYON_NUM_THREADS": "2", "MALLOC_ARENA_MAX": "2"}


def changed(folder: Path, file: str, change: Callable[[dict[str, Any]], object]) -> Path:
    shutil.copytree(DEFAULT, folder)
    content = json.loads((folder / file).read_text("utf-8"))
    change(content)
    (folder / file).write_text(json.dumps(content), "utf-8")
    return folder


def said_by(folder: Path) -> str:
    """The last line that a process with little memory and time wrote before it ended."""
    done = subprocess.run(
        [sys.executable, "-c", USE, str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **FEW},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    )
    assert done.returncode == 1, done.stderr[-1000:]
    return done.stderr.strip().splitlines()[-1]


def encoded(folder: Path, runtime: str) -> None:
    kinds: dict[str, Any] = {"runtime": runtime}
    DualEncoder.from_pretrained(folder, profile="minilm", device="cpu", **kinds).encode_questions(["who?"])


def tensors(path: Path, header: dict[str, Any], data: bytes = b"") -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [0, 2**62], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [0, 2**63, 2**62], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [1] * 100, "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]},
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]},
    ],
)
def test_a_tensor_that_cannot_be_is_an_error_of_the_model(tmp_path: Path, entry: dict[str, Any]) -> None:
    data = b"1234" if entry["data_offsets"] != [0, 0] else b""
    with pytest.raises(ModelError, match=r"x\.safetensors"):
        read_safetensors(tensors(tmp_path / "x.safetensors", {"a": entry}, data))


def test_more_tensors_than_any_encoder_has_are_refused_at_once(tmp_path: Path) -> None:
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    path = tensors(tmp_path / "x.safetensors", {f"t{at}": empty for at in range(100_001)})
    with pytest.raises(ModelError, match=r"x\.safetensors holds 100,001 tensors, expected at most 100,000"):
        read_safetensors(path)


@pytest.mark.parametrize("runtime", ["openvino", "torch"])
@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"hidden_size": 12 * 10**8}, "hidden_size in config.json is 1200000000"),
        ({"vocab_size": 10**9}, "vocab_size in config.json is 1000000000"),
        ({"max_position_embeddings": 10**9}, "max_position_embeddings in config.json is 1000000000"),
        ({"intermediate_size": 10**9}, "intermediate_size in config.json is 1000000000"),
        ({"type_vocab_size": 10**9}, "type_vocab_size in config.json is 1000000000"),
        (
            {"num_hidden_layers": 10**9},
            "num_hidden_layers in config.json is 1000000000, and there are weights of 6 layers",
        ),
    ],
)
def test_sizes_are_held_against_the_weights_before_memory_is_claimed(
    tmp_path: Path, sizes: dict[str, int], said: str, runtime: str
) -> None:
    if runtime == "torch":
        pytest.importorskip("torch")
    folder = changed(tmp_path / "model", "config.json", lambda config: config.update(sizes))
    with pytest.raises(ModelError) as caught:
        encoded(folder, runtime)
    assert said in str(caught.value)


def regex(pattern: str) -> Callable[[dict[str, Any]], object]:
    step = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return lambda found: found.update(pre_tokenizer=step)


def doubling(found: dict[str, Any]) -> None:
    step = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
    found["normalizer"] = {"type": "Sequence", "normalizers": [step] * 30}


def charsmap(found: dict[str, Any]) -> None:
    packed = base64.b64encode(b"\xff" * 64).decode()
    found["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": packed}


def no_unknown(found: dict[str, Any]) -> None:
    vocabulary = {"[CLS]": 0, "[SEP]": 1, "[PAD]": 2}
    found["model"] = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "none"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (regex("(a+)+$"), "its tokenizer gives up on a text"),
        (doubling, "can make a text 1.07e+09 times longer, expected 1000 times at most"),
        (charsmap, "the precompiled_charsmap in tokenizer.json is damaged"),
        (no_unknown, "its tokenizer gives up on a text"),
    ],
)
def test_a_tokenizer_that_would_hang_or_end_the_process_is_an_error_of_the_model(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    line = said_by(changed(tmp_path / "model", "tokenizer.json", change))
    assert line.startswith("dpr_rag.errors.ModelError")
    assert said in line
