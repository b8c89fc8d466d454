"""The second stage in its places: the retriever, cross-encoders of other packages, and the command line."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import HashEncoder, make_passages
from learning import plain_bert
from typer.testing import CliRunner

from dpr_rag import Hit, Passage, PassageStore, Reader, Retriever
from dpr_rag.cli.app import app
from dpr_rag.errors import ArgumentError, VectorError
from dpr_rag.reading.balance import SCALES, balanced
from dpr_rag.reading.profiles import OWN
from dpr_rag.reading.reranking import PairReranker, ranked_anew
from dpr_rag.training.reading import reader_from

QUESTION = "text number 3 title 3"


class Backwards:
    """A reranker for which the last hits are the best; it counts what it is given."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def rerank(self, question: str, hits: Sequence[Hit], k: int | None = None) -> list[Hit]:
        self.seen.append(len(hits))
        return ranked_anew(hits, [float(hit.rank) for hit in hits], k)


class Crossed:
    """What sentence-transformers' CrossEncoder is to a caller."""

    def __init__(self, scores: object = None) -> None:
        self.scores, self.asked = scores, []

    def predict(self, pairs: list[tuple[str, str]]) -> object:
        self.asked += pairs
        return [float(len(text)) for _, text in pairs] if self.scores is None else self.scores


def test_a_retriever_reranks_its_first_hits_and_keeps_both_scores(store: PassageStore, encoder: HashEncoder) -> None:
    store.add(make_passages(40))
    plain = Retriever(store).retrieve(QUESTION, 12)
    reranker = Backwards()
    retriever = Retriever(store, k=3, reranker=reranker, rerank=8, rerank_weight=1)
    found = retriever.retrieve(QUESTION)
    assert [hit.passage for hit in found] == [hit.passage for hit in plain[7:4:-1]]
    assert [(hit.rank, hit.score) for hit in found] == [(1, 8.0), (2, 7.0), (3, 6.0)]
    assert [hit.retrieved for hit in found] == [hit.score for hit in plain[7:4:-1]] == [hit.dense for hit in found]
    more = retriever.retrieve(QUESTION, 12)  # what was not read stands behind, in the order of the search
    assert [hit.passage for hit in more] == [hit.passage for hit in (*plain[7::-1], *plain[8:])]
    assert [hit.score for hit in more[8:]] == [pytest.approx(hit.score - plain[8].score) for hit in plain[8:]]
    assert [hit.retrieved for hit in more[8:]] == [hit.score for hit in plain[8:]]
    assert [hit.rank for hit in more] == list(range(1, 13))
    assert [len(hits) for hits in retriever.retrieve_batch([QUESTION, "number 11"], 5)] == [5, 5]
    assert reranker.seen == [8, 8, 8, 8]
    assert {hit.passage.metadata["half"] for hit in retriever.retrieve(QUESTION, filter={"half": 1})} == {1}
    assert plain[0].retrieved is None
    assert plain[0].answer is None
    with pytest.raises(VectorError, match="a reranker reads questions in words"):
        retriever.retrieve_by_vectors(encoder.encode_questions([QUESTION]))


def test_balanced_scores_by_value() -> None:
    searched, read = [30.0, 20.0, 10.0], [0.0, 6.0, 3.0]
    spread = 1.5**0.5
    assert balanced(searched, read, 0.25, "spread") == pytest.approx(
        [0.75 * spread - 0.25 * spread, 0.25 * spread, -0.75 * spread]
    )
    total = math.log(1 + math.exp(6) + math.exp(3))
    wanted = [0.5 * (0 - total) + 0.5 * spread, 0.5 * (6 - total), 0.5 * (3 - total) - 0.5 * spread]
    assert balanced(searched, read, 0.5, "likelihood") == pytest.approx(wanted)
    for scale in SCALES:
        assert balanced([], [], 0.5, scale) == []
        assert balanced([7.0], [-3.0], 0.5, scale) == [0.0]
        order = balanced(
            [1e9, 1e9 + 1, 1e9 - 1], [5.0, 5.0, 5.0], 0.5, scale
        )  # nothing but the search tells them apart
        assert sorted(range(3), key=lambda at: -order[at]) == [1, 0, 2]
    assert balanced([2.0, 2.0], [1.0, 3.0], 0.5, "spread") == [-0.5, 0.5]
    assert balanced([0.1, 0.1, 0.1], [0.0, 0.0, 0.0], 0.5, "spread") == [0, 0, 0]


def test_a_reranker_counts_by_its_weight(store: PassageStore) -> None:
    store.add(make_passages(40))
    plain = Retriever(store).retrieve(QUESTION, 12)

    def found(weight: float, k: int = 12) -> list[Hit]:
        return Retriever(store, reranker=Backwards(), rerank=8, rerank_weight=weight).retrieve(QUESTION, k)

    assert [hit.passage for hit in found(0)] == [hit.passage for hit in plain]  # the order of the search, for certain
    assert [hit.passage for hit in found(1)] == [hit.passage for hit in (*plain[7::-1], *plain[8:])]
    scores = balanced([hit.score for hit in plain[:8]], list(range(1, 9)), 0.3, "spread")
    order = sorted(range(8), key=lambda at: -scores[at])
    half = found(0.3)
    assert [hit.passage for hit in half] == [plain[at].passage for at in (*order, 8, 9, 10, 11)]
    assert [hit.score for hit in half[:8]] == pytest.approx([scores[at] for at in order])
    assert [hit.retrieved for hit in half] == [plain[at].score for at in (*order, 8, 9, 10, 11)]
    assert [hit.score for hit in half] == sorted((hit.score for hit in half), reverse=True)
    assert [hit.rank for hit in half] == list(range(1, 13))
    assert found(0.3, 3) == half[:3]


def test_a_reader_that_tells_nothing_apart_costs_nothing(store: PassageStore) -> None:
    """Of a choice among passages the differences count as they are: those of a reader that hesitates stay small."""
    store.add(make_passages(40))
    plain = Retriever(store).retrieve(QUESTION, 8)

    class Hesitant(Backwards):
        scale = "likelihood"

        def rerank(self, question: str, hits: Sequence[Hit], k: int | None = None) -> list[Hit]:
            return ranked_anew(hits, [hit.rank / 1e6 for hit in hits], k)

    class Sure(Hesitant):
        def rerank(self, question: str, hits: Sequence[Hit], k: int | None = None) -> list[Hit]:
            return ranked_anew(hits, [hit.rank * 100.0 for hit in hits], k)

    for reranker, wanted in ((Hesitant(), plain), (Sure(), plain[::-1])):
        found = Retriever(store, reranker=reranker, rerank=8, rerank_weight=0.5).retrieve(QUESTION, 8)
        assert [hit.passage for hit in found] == [hit.passage for hit in wanted]
    assert Reader.scale == "likelihood"


def test_a_reranker_that_leaves_hits_out_or_adds_some_is_taken_by_its_word(store: PassageStore) -> None:
    store.add(make_passages(6))
    first, second, *_ = Retriever(store).retrieve(QUESTION, 6)

    class Picky:
        def rerank(self, question: str, hits: Sequence[Hit], k: int | None = None) -> list[Hit]:
            return [
                replace(hits[1], score=2.0),
                replace(hits[0], score=1.0),
                replace(hits[0], passage=Passage("x", "y")),
            ]

    found = Retriever(store, reranker=Picky(), rerank=6, rerank_weight=0.9).retrieve(QUESTION, 6)
    assert [hit.passage for hit in found] == [second.passage, first.passage]
    assert [hit.retrieved for hit in found] == [second.score, first.score]


def test_a_cross_encoder_of_another_package_reads_title_and_text(store: PassageStore) -> None:
    store.add(make_passages(6))
    crossed = Crossed()
    found = Retriever(store, reranker=crossed, rerank=6, rerank_weight=1).retrieve(QUESTION, 2)
    texts = {
        hit.passage.id: f"{hit.passage.title} {hit.passage.text}" for hit in Retriever(store).retrieve(QUESTION, 6)
    }
    assert sorted(crossed.asked) == sorted((QUESTION, text) for text in texts.values())
    assert [hit.score for hit in found] == sorted(map(float, map(len, texts.values())), reverse=True)[:2]
    assert PairReranker(crossed).rerank(QUESTION, []) == []
    wrong = {r"shape \[1\] for 2": [1.0], "finite": [1.0, float("nan")], r"shape \[2, 2\]": [[1, 2], [3, 4]]}
    for what, scores in wrong.items():
        with pytest.raises(VectorError, match=what):
            PairReranker(Crossed(scores)).rerank(QUESTION, found)


def test_what_is_no_reranker_is_refused(store: PassageStore) -> None:
    with pytest.raises(ArgumentError, match=r"reranker is str 'cross-encoder/.*load one with Reader\.from_pretrained"):
        Retriever(store, reranker="cross-encoder/ms-marco-MiniLM-L6-v2")
    with pytest.raises(ArgumentError, match="reranker is the class Backwards, not an instance"):
        Retriever(store, reranker=Backwards)
    with pytest.raises(VectorError, match=r"rerank_weight is 1\.5, expected a number from 0 to 1"):
        Retriever(store, reranker=Backwards(), rerank_weight=1.5)
    with pytest.raises(VectorError, match="rerank is 0, expected an integer of at least 1"):
        Retriever(store, reranker=Backwards(), rerank=0)


def test_the_command_line_reranks_and_points_out_the_answer(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    texts = ["hamlet is a tragedy by the king", "the king of denmark", "it is a king"]
    lines = [json.dumps({"id": str(at), "text": text, "title": "hamlet"}) for at, text in enumerate(texts)]
    corpus.write_text("\n".join(lines) + "\n")
    profile = replace(OWN, length=32, overlap=8, null=False)
    reader_from(plain_bert(tmp_path / "bert"), profile=profile).save_pretrained(tmp_path / "reader")
    run = CliRunner().invoke
    model = ["--model", str(tmp_path / "bert"), "--profile", "dpr"]
    made = run(app, ["index", str(corpus), "--store", str(tmp_path / "s"), *model, "--quiet"])
    assert made.exit_code == 0, made.output
    asked = ["search", str(tmp_path / "s"), "who is king", "--mode", "bm25", "--rerank", str(tmp_path / "reader")]
    found = run(app, [*asked, "--json", "--rerank-first", "2"])
    assert found.exit_code == 0, found.output
    hits = json.loads(found.stdout)["hits"]
    store = PassageStore.open(tmp_path / "s")
    with store:
        wanted = Retriever(
            store, k=5, mode="bm25", reranker=Reader.from_pretrained(tmp_path / "reader"), rerank=2
        ).retrieve("who is king")
    assert [hit["id"] for hit in hits] == [hit.passage.id for hit in wanted]
    for hit, same in zip(hits, wanted, strict=True):
        assert (hit["score"], hit["retrieved"]) == (pytest.approx(same.score, abs=1e-5), same.bm25)
        assert ("answer" in hit) == (hit["rank"] < 3)  # the third was not read
        answer = hit.get("answer", {"text": hit["text"], "start": 0, "end": None, "probability": 0.5})
        assert hit["text"][answer["start"] : answer["end"]] == answer["text"] != ""
        assert 0 < answer["probability"] < 1
    shown = run(app, asked).stdout
    assert f"→ {hits[0]['answer']['text']}" in shown
    questions = tmp_path / "questions.jsonl"
    questions.write_text(json.dumps({"question": "who is king", "answers": ["denmark"]}) + "\n")
    reread = ["--mode", "bm25", "--rerank", str(tmp_path / "reader"), "--rerank-weight", "1", "--quiet"]
    told = run(app, ["evaluate", str(tmp_path / "s"), str(questions), *reread, "--json", "--rerank-first", "2"])
    assert told.exit_code == 0, told.output
    figures = json.loads(told.stdout)
    assert list(figures["systems"]) == ["bm25", "bm25 reranked"]
    runtime = Reader.from_pretrained(tmp_path / "reader").runtime  # in the precision that is quickest on this machine
    assert figures["settings"]["reader"].endswith(f"/reader, {runtime}, of the first 2, with a weight of 1")
    alone = run(app, ["evaluate", str(questions), "--questions", str(questions), *reread[2:]])
    assert alone.exit_code != 0
    refused = run(app, [*asked[:-1], str(tmp_path / "bert")])
    assert refused.exit_code == 1
    assert "an encoder; pass a reader" in refused.output
