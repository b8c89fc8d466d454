"""Runs every example offline, on a small store of docstrings encoded by the default encoder."""

from __future__ import annotations

import importlib
import io
import re
from pathlib import Path
from types import ModuleType

import pytest

from dpr_rag import DualEncoder, PassageStore, Retriever, parse_passages
from dpr_rag.corpora import Question, open_corpus, write_jsonl, write_questions

EXAMPLES = Path(__file__).parent.parent / "examples"
QUESTION = "how do I compress bytes with gzip?"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("examples") / "demo.dpr"
    with PassageStore.open(path, encoder=DualEncoder.default()) as store:
        store.add(open_corpus("python:gzip,atexit,calendar"))
    return path


@pytest.fixture(scope="module")
def best(demo: Path) -> list[str]:
    """The titles that the core retrieves, which every example has to show in this order."""
    with PassageStore.open(demo, encoder=DualEncoder.default()) as store:
        found = [hit.passage.title for hit in Retriever(store).retrieve(QUESTION, 3)]
    assert "gzip.compress" in found
    return found


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> ModuleType:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module(request.param)


def titles(printed: str) -> list[str]:
    """The titles of the source lines, in order."""
    return re.findall(r"^\[\d+\] -?[\d.]+  (\S+):", printed, re.MULTILINE)


@pytest.mark.parametrize("example", ["langchain_rag"], indirect=True)
def test_langchain_chain_names_its_sources(
    example: ModuleType, demo: Path, best: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    example.main([QUESTION, "--store", str(demo), "--k", "3"])
    printed = capsys.readouterr().out
    assert "See [1]" in printed
    assert titles(printed) == best


@pytest.mark.parametrize("example", ["langchain_agent"], indirect=True)
def test_langchain_agent_calls_the_tool_and_reads_it(
    example: ModuleType, demo: Path, best: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    example.main([QUESTION, "--store", str(demo), "--k", "2"])
    printed = capsys.readouterr().out
    assert f"-> look_up({{'query': '{QUESTION}'}})" in printed
    passages = parse_passages(printed[printed.index("<passage ") :].strip())
    assert [passage.title for passage in passages] == best[:2]


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")  # of LlamaIndex's agents
@pytest.mark.parametrize("example", ["langchain_mcp_agent", "llama_index_mcp_agent"], indirect=True)
def test_agents_of_both_frameworks_read_passages_by_the_model_context_protocol(
    example: ModuleType, demo: Path, best: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    example.main([QUESTION, "--store", str(demo)])
    printed = capsys.readouterr().out
    passages = parse_passages(printed[printed.index("<passage ") :].strip())
    assert [passage.title for passage in passages][:3] == best


@pytest.mark.parametrize("example", ["langchain_chatbot", "llama_index_chatbot"], indirect=True)
def test_chatbots_remember_what_was_asked(
    example: ModuleType, demo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{QUESTION}\nand the other way round?\n\nnever asked\n"))
    example.main(["--store", str(demo), "--k", "1"])
    printed = capsys.readouterr().out
    assert len(titles(printed)) == 2
    assert all(title.startswith("gzip.") for title in titles(printed))  # the second question names no gzip


@pytest.mark.parametrize("example", ["llama_index_rag"], indirect=True)
def test_llama_index_query_engine_cites(
    example: ModuleType, demo: Path, best: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    example.main([QUESTION, "--store", str(demo), "--k", "3"])
    printed = capsys.readouterr().out
    assert titles(printed) == best


@pytest.mark.parametrize("example", ["rerank"], indirect=True)
def test_reranking_orders_both_frameworks_alike(
    example: ModuleType, demo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example.main([QUESTION, "--store", str(demo), "--k", "4", "--candidates", "20"])
    first, second = capsys.readouterr().out.removeprefix("LangChain:\n").split("LlamaIndex:\n")
    reranked = [line.split()[-1] for line in first.splitlines()]
    assert reranked == [line.split()[-1] for line in second.splitlines()]
    assert len(reranked) == 4
    scores = [float(line.split()[0]) for line in first.splitlines()]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("example", ["rerank"], indirect=True)
def test_a_real_cross_encoder_scores_pairs(example: ModuleType, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from tiny_models import save_tiny_cross_encoder
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = save_tiny_cross_encoder(tmp_path / "cross")
    texts = ["a text", "another longer text"]
    tokens = AutoTokenizer.from_pretrained(folder)(["a question"] * 2, texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits = AutoModelForSequenceClassification.from_pretrained(folder).eval()(**tokens).logits[:, 0]
    assert example.cross_encoder(str(folder))("a question", texts) == pytest.approx(logits.sigmoid().tolist(), abs=1e-5)


@pytest.mark.parametrize("example", ["langchain_rag"], indirect=True)
def test_a_store_that_is_missing_is_named(example: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        example.main([QUESTION, "--store", str(tmp_path / "nowhere")])


@pytest.mark.parametrize("example", ["train_on_your_own"], indirect=True)
def test_training_tells_before_and_after(
    example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    passages = list(open_corpus("python:gzip,calendar"))[:24]
    write_jsonl(tmp_path / "passages.jsonl", passages)
    asked = [Question(f"q{at}", f"what is {one.title}", (), (one.id,)) for at, one in enumerate(passages)]
    write_questions(tmp_path / "train.jsonl", asked[::2])
    write_questions(tmp_path / "test.jsonl", asked[1::2])
    files = [str(tmp_path / f"{name}.jsonl") for name in ("passages", "train", "test")]
    example.main([*files, "--output", str(tmp_path / "mine"), "--epochs", "2", "--batch", "6"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "12 questions to train on"
    assert any(line.startswith("step 4 of 4, loss ") for line in lines)
    with PassageStore.temporary(encoder=DualEncoder.from_pretrained(tmp_path / "mine")) as store:
        store.add(passages)
        firsts = [Retriever(store, k=1).retrieve(one.question)[0].passage.id for one in asked[1::2]]
    share = sum(first == one.positive_ids[0] for first, one in zip(firsts, asked[1::2], strict=True)) / 12
    assert f"after top-1 {100 * share:.1f}" in "\n".join(lines)
    assert sum(line.startswith("top-") and "points [" in line for line in lines) == 3
