"""The built-in reader with its real weights: its answers, in every runtime, behind a retriever, and without PyTorch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from langchain_core.documents import Document
from llama_index.postprocessor.dpr_rag import DPRReranker as LlamaReranker

import dpr_rag
import langchain_dpr_rag
from dpr_rag import DualEncoder, Passage, PassageStore, Reader, Retriever
from dpr_rag.cli.reranking import load_reader

FOLDER = Path(dpr_rag.__file__).parent / "reading" / "default"
PASSAGES = [
    Passage(
        "warsaw",
        "Warsaw is the capital and largest city of Poland. It stands on the Vistula River, 260 kilometres from the Baltic Sea, "
        "and about 1.8 million people live there.",
        "Warsaw",
    ),
    Passage(
        "penicillin",
        "Penicillin was discovered in 1928 by the Scottish scientist Alexander Fleming, who noticed that a mould had killed the "
        "bacteria on one of his plates.",
        "Penicillin",
    ),
    Passage(
        "bell",
        "Alexander Graham Bell was born in Edinburgh in 1847. He is known for the first practical telephone, which he patented "
        "in 1876.",
        "Alexander Graham Bell",
    ),
    Passage(
        "lights",
        "The northern lights arise where charged particles of the solar wind meet the upper atmosphere. Oxygen makes them "
        "green, nitrogen blue and purple.",
        "Aurora",
    ),
]
ANSWERS = {
    "Who discovered penicillin?": ("penicillin", "Alexander Fleming"),
    "what river does warsaw stand on": ("warsaw", "Vistula"),
    "When was the telephone patented?": ("bell", "1876"),
    "Which gas makes the northern lights green?": ("lights", "Oxygen"),
}


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader.default(device="cpu")


def test_it_is_described_and_small(reader: Reader) -> None:
    assert reader.source == "dpr-rag-reader-v1"
    assert reader.fingerprint in (FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 30_000_000


@pytest.mark.parametrize("question", ANSWERS)
def test_it_chooses_the_passage_and_finds_the_answer_in_it(reader: Reader, question: str) -> None:
    wanted, answer = ANSWERS[question]
    found = {one.id: read for one, read in zip(PASSAGES, reader.read(question, PASSAGES), strict=True)}
    assert max(found, key=lambda name: found[name].selection) == wanted
    assert answer in found[wanted].answer.text
    assert len(found[wanted].answer.text) < len(answer) + 12
    assert found[wanted].none < 0.5
    assert all(read.none > 0.5 for name, read in found.items() if name != wanted)


def test_it_says_that_there_is_no_answer(reader: Reader) -> None:
    for question in ("Who painted the Mona Lisa?", "how many moons does jupiter have"):
        assert [read.none > 0.5 for read in reader.read(question, PASSAGES)] == [True] * len(PASSAGES)


def test_every_runtime_reads_the_same(reader: Reader) -> None:
    question = next(iter(ANSWERS))
    exact = Reader.default(runtime="openvino", dtype="float32").read(question, PASSAGES)
    for other, most in ((Reader.default(runtime="torch", device="cpu"), 1e-3), (reader, 0.5)):
        read = other.read(question, PASSAGES)
        np.testing.assert_allclose([one.selection for one in read], [one.selection for one in exact], atol=most)
        assert [one.answer.text for one in read[1:2]] == [one.answer.text for one in exact[1:2]]


def test_it_stands_behind_a_retriever(reader: Reader) -> None:
    with PassageStore.temporary(encoder=DualEncoder.default()) as store:
        store.add(PASSAGES)
        retriever = Retriever(store, mode="hybrid", reranker=reader)
        for question, (wanted, answer) in ANSWERS.items():
            hit = retriever.retrieve(question, k=1)[0]
            assert hit.passage.id == wanted
            assert hit.answer is not None
            assert answer in hit.passage.text[hit.answer.start : hit.answer.end]
            assert 0.2 < hit.answer.probability <= 1


def test_both_frameworks_and_the_command_line_take_it_by_themselves() -> None:
    langchain, llama = langchain_dpr_rag.DPRReranker(), LlamaReranker()
    assert (langchain.reranker.source, llama.model) == ("dpr-rag-reader-v1",) * 2
    document = Document(PASSAGES[0].text, metadata={"title": PASSAGES[0].title})
    (found,) = langchain.compress_documents([document], "what river does warsaw stand on")
    assert "Vistula" in found.metadata["dpr_answer"]["text"]
    for name in (None, "default"):
        assert load_reader(name).source == "dpr-rag-reader-v1"


def test_it_runs_without_pytorch() -> None:
    code = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from dpr_rag import Passage, Reader\n"
        "passage = Passage('1', 'Hamlet is a tragedy written by William Shakespeare.', 'Hamlet')\n"
        "sys.stdout.write(Reader.default().read('Who wrote Hamlet?', [passage])[0].answer.text)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "William Shakespeare"
