"""The default encoder with its real weights: against plain transformers, in every runtime, and without PyTorch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

import dpr_rag
from dpr_rag import DualEncoder, Passage, PassageStore, Retriever
from dpr_rag.corpora import open_corpus
from dpr_rag.encoders import towers
from dpr_rag.encoders.weights import State
from langchain_dpr_rag import DPRRetriever

FOLDER = Path(dpr_rag.__file__).parent / "encoders" / "default"
QUESTIONS = ["Who wrote Hamlet?", "how do I compress bytes with gzip?", "naïve café ’quoted’ 日本", "a " * 400]
PASSAGES = [
    Passage(id="1", title="Hamlet", text="Hamlet is a tragedy written by William Shakespeare."),
    Passage(
        id="2", title="gzip.compress", text="Compress the data, returning a bytes object with the compressed data."
    ),
    Passage(id="3", text="A passage without a title."),
    Passage(id="4", title="A long one", text="Elsinore castle lies by the sound. " * 60),
]


@pytest.fixture(scope="module")
def encoder() -> DualEncoder:
    return DualEncoder.default(device="cpu", runtime="torch")


@pytest.fixture(scope="module")
def plain() -> tuple[transformers.PreTrainedTokenizerBase, torch.nn.Module]:
    folder = FOLDER / "question"
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32)
    return transformers.AutoTokenizer.from_pretrained(folder), model.eval()


def _mean_normalised(plain: tuple, texts: list[tuple[str, ...]], length: int) -> np.ndarray:
    tokenizer, model = plain
    rows = []
    for text in texts:
        inputs = tokenizer(*text, truncation=True, max_length=length, return_tensors="pt")
        with torch.inference_mode():
            mean = model(**inputs).last_hidden_state[0].mean(dim=0)
        rows.append((mean / mean.norm()).numpy())
    return np.stack(rows)


def test_vectors_equal_plain_transformers(encoder: DualEncoder, plain: tuple) -> None:
    expected = _mean_normalised(plain, [(text.strip(),) for text in QUESTIONS], 256)
    np.testing.assert_allclose(encoder.encode_questions(QUESTIONS), expected, atol=1e-5)
    pairs = [(passage.title, passage.text) if passage.title else (passage.text,) for passage in PASSAGES]
    np.testing.assert_allclose(encoder.encode_passages(PASSAGES), _mean_normalised(plain, pairs, 512), atol=1e-5)
    assert encoder.truncated == 1


def test_openvino_gives_the_same_vectors_and_what_is_chosen_nearly(encoder: DualEncoder) -> None:
    exact = DualEncoder.default(runtime="openvino", dtype="float32")
    fast = DualEncoder.default(device="cpu")
    expected = np.concatenate([encoder.encode_questions(QUESTIONS), encoder.encode_passages(PASSAGES)])
    found = np.concatenate([exact.encode_questions(QUESTIONS), exact.encode_passages(PASSAGES)])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    rounded = np.concatenate([fast.encode_questions(QUESTIONS), fast.encode_passages(PASSAGES)])
    cosines = (rounded * expected).sum(axis=1)
    assert cosines.min() > 0.985  # less would be another model
    assert encoder.fingerprint == exact.fingerprint == fast.fingerprint


def test_it_finds_the_right_passage(encoder: DualEncoder) -> None:
    for one in (encoder, DualEncoder.default()):
        scores = one.encode_questions(QUESTIONS[:2]) @ one.encode_passages(PASSAGES).T
        assert scores.argmax(axis=1).tolist() == [0, 1]


def test_a_question_finds_the_same_alone_and_in_a_batch(tmp_path: Path) -> None:
    found = [one for one in open_corpus("python:json,gzip,zlib,csv,pathlib,shutil,textwrap") if len(one.text) > 60]
    questions = [" ".join(one.text.split()[2:12]) for one in found[::3]] + QUESTIONS
    with PassageStore.open(tmp_path / "s.dpr", encoder=DualEncoder.default(device="cpu")) as store:
        store.add(found)
        retriever = Retriever(store, k=10)
        batched = retriever.retrieve_batch(questions)
        for question, expected in zip(questions, batched, strict=True):
            hits = retriever.retrieve(question)
            assert [hit.passage.id for hit in hits] == [hit.passage.id for hit in expected]
            np.testing.assert_allclose([hit.score for hit in hits], [hit.score for hit in expected], atol=1e-5)
        langchain = DPRRetriever(store=store, k=4)
        together = langchain.batch(questions)
        assert [langchain.invoke(one) for one in questions] == together
        assert [len(documents) for documents in together] == [4] * len(questions)
    assert len(questions) > 40


def test_it_is_named_and_described(encoder: DualEncoder) -> None:
    assert (encoder.source, encoder.dim, encoder.shared) == ("dpr-rag-mini-v2", 384, True)
    about = json.loads((FOLDER / "dpr_rag.json").read_text(encoding="utf-8"))
    assert about["source"] == encoder.source
    card = (FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert encoder.fingerprint in card
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 50_000_000


def test_it_runs_without_pytorch_and_without_a_network() -> None:
    code = (
        "import socket, sys\n"
        "def no(*_): raise AssertionError('a socket was opened')\n"
        "socket.socket.connect = socket.getaddrinfo = no\n"
        "sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from dpr_rag import DualEncoder\n"
        "found = DualEncoder.default().encode_questions(['Who wrote Hamlet?'])\n"
        "sys.stdout.write(f'{found.shape} {float(found[0] @ found[0]):.3f} {\"openvino_telemetry\" in sys.modules}')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "(1, 384) 1.000 False"


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_reaches_python_after_encoders_came_and_went() -> None:
    code = (
        "import gc, signal, sys\n"
        "from dpr_rag import DualEncoder\n"
        "first, second = DualEncoder.default(), DualEncoder.default()\n"
        "del first; gc.collect(); del second; gc.collect()\n"
        "try: signal.raise_signal(signal.SIGINT)\n"
        "except KeyboardInterrupt: sys.stdout.write('caught')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "caught")


def test_weights_of_one_tower_for_both_are_hashed_once(encoder: DualEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    real, hashed = towers.hash_weights, []

    def counted(state: State) -> str:
        hashed.append(state)
        return real(state)

    monkeypatch.setattr(towers, "hash_weights", counted)
    again = DualEncoder.default(device="cpu", runtime="torch")
    assert again.fingerprint == again.fingerprint == encoder.fingerprint
    assert len(hashed) == 1
