"""Readers: their numbers are those of transformers' DPRReader on every runtime, windows, spans, and the way back to the text."""

from __future__ import annotations

import copy
import pickle
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_models as tiny
import torch
import transformers
from learning import plain_bert

from dpr_rag import DualEncoder, Hit, Passage
from dpr_rag.answer import Answer
from dpr_rag.errors import ModelError, PassageError
from dpr_rag.lexical.characters import letters_of
from dpr_rag.reading import spans
from dpr_rag.reading.profiles import DPR, OWN, ReaderProfile
from dpr_rag.reading.reader import Reader, Reading
from dpr_rag.reading.spans import Span, _characters_in_both, best_span, characters_of
from dpr_rag.training.reading import reader_from

PASSAGES = [
    Passage("1", "hamlet is a tragedy by the king of denmark .", "hamlet"),
    Passage("2", "it is", ""),
    Passage("3", " ".join(["the king of denmark is a tragedy"] * 6), "the king"),
]
QUESTION = "who wrote hamlet ?"


def published(folder: Path, seed: int = 0) -> Path:
    """A folder with the class, files and names of facebook/dpr-reader-single-nq-base."""
    tiny.seeded(transformers.DPRReader, tiny.bert_config(dpr=True), seed).save_pretrained(folder)
    return tiny.bert_tokenizer(folder)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    folder = tmp_path_factory.mktemp("reader")
    made = reader_from(plain_bert(folder / "bert"), profile=replace(OWN, length=32, overlap=8), seed=2)
    made.save_pretrained(folder / "saved")
    return Reader.from_pretrained(folder / "saved", runtime="openvino", dtype="float32")


def oracle(folder: Path, question: str, passage: Passage) -> tuple[float, list[float], list[float], list[int]]:
    """Transformers' own tokenizer, with a title and a text, and its own model."""
    tokenizer = transformers.DPRReaderTokenizer.from_pretrained(folder)
    model = transformers.DPRReader.from_pretrained(folder, attn_implementation="eager").eval()
    inputs = tokenizer(questions=question, titles=passage.title, texts=passage.text, return_tensors="pt")
    with torch.no_grad():
        out = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
    numbers = (out.start_logits[0].tolist(), out.end_logits[0].tolist(), inputs["input_ids"][0].tolist())
    return float(out.relevance_logits[0]), *numbers


@pytest.mark.parametrize("runtime", ["openvino", "torch"])
def test_a_published_readers_numbers_are_those_of_transformers(tmp_path: Path, runtime: str) -> None:
    folder = published(tmp_path / "dpr-reader")
    reader = Reader.from_pretrained(folder, runtime=runtime, dtype="float32")
    assert reader.profile == DPR
    readings = reader.read(QUESTION, PASSAGES[:2])
    for passage, found in zip(PASSAGES[:2], readings, strict=True):
        relevance, starts, ends, ids = oracle(folder, QUESTION, passage)
        (asked,), (title,), (text,) = (reader.pairs.bodies([one]) for one in (QUESTION, passage.title, passage.text))
        (window,) = reader.pairs.windows(asked, title, text)
        assert window.sequence.ids == ids
        assert found.selection == pytest.approx(relevance, abs=1e-4)
        first = window.sequence.second
        spans = {(s, e): starts[s] + ends[e] for s in range(first, len(ids)) for e in range(s, min(s + 10, len(ids)))}
        start, end = max(spans, key=lambda span: spans[span])
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        assert found.answer.text.split() == tokenizer.decode(ids[start : end + 1]).split()
        totals = [float(torch.logsumexp(torch.tensor(one[first:]), 0)) for one in (starts, ends)]
        assert found.answer.probability == pytest.approx(np.exp(spans[start, end] - sum(totals)), rel=1e-3)
        assert found.none == 0.0


def test_runtimes_agree_and_a_passage_reads_the_same_alone_and_among_others(reader: Reader, tmp_path: Path) -> None:
    reader.save_pretrained(tmp_path / "again")
    torched = Reader.from_pretrained(tmp_path / "again", runtime="torch", dtype="float32", device="cpu")
    assert torched.fingerprint == reader.fingerprint
    wanted = reader.read(QUESTION, PASSAGES)
    for other in (torched.read(QUESTION, PASSAGES), [reader.read(QUESTION, [one])[0] for one in PASSAGES]):
        for one, same in zip(wanted, other, strict=True):
            assert one.selection == pytest.approx(same.selection, abs=1e-4)
            assert one.answer.text == same.answer.text
            assert one.answer.probability == pytest.approx(same.answer.probability, abs=1e-4)
            assert one.none == pytest.approx(same.none, abs=1e-4)
    assert reader.read(QUESTION, []) == []
    with pytest.raises(PassageError, match="is blank"):
        reader.read(" ", PASSAGES)


def test_windows_cover_a_long_text_and_overlap(reader: Reader) -> None:
    (asked,), (title,) = reader.pairs.bodies([QUESTION]), reader.pairs.bodies(["the king"])
    text = list(range(5, 60))
    windows = reader.pairs.windows(asked, title, text)
    room = 32 - 4 - len(asked) - len(title)
    assert reader.pairs.room(asked, title) == room == 22
    assert [one.first for one in windows] == [0, 14, 28, 33]  # steps of room - overlap, the last one to the end
    assert {one.count for one in windows} == {22}
    assert all(len(one.sequence.ids) == 32 for one in windows)
    assert {text[one.first + at] for one in windows for at in range(one.count)} == set(text)
    assert windows[1].sequence.ids[windows[1].sequence.second :] == [*text[14:36], tiny.IDS["[SEP]"]]
    (short,) = reader.pairs.windows(asked, title, text[:22])
    assert short.sequence.truncated is False
    long = reader.pairs.window([7] * 90, [8] * 90, text, 0)  # half of an input is for the text
    assert (long.sequence.second, long.count) == (16, 15)


def test_the_best_of_the_windows_counts(reader: Reader) -> None:
    (whole,) = reader.read(QUESTION, PASSAGES[2:])
    (asked,), (title,), (text,) = (reader.pairs.bodies([one]) for one in (QUESTION, "the king", PASSAGES[2].text))
    windows = reader.pairs.windows(asked, title, text)
    assert len(windows) > 2
    scores = reader._scores(windows, QUESTION)
    assert whole.selection == pytest.approx(max(float(one[0, 2]) for one in scores), abs=1e-5)
    best = []
    for window, own in zip(windows, scores, strict=True):
        first = window.sequence.second
        for at in range(window.count):
            for to in range(at, window.count):
                gap = own[first + at, 0] + own[first + to, 1] - own[0, 0] - own[0, 1]
                best.append((gap, window.first + at, window.first + to))
    _, first, last = max(best)
    tokens = reader.pairs.texts([PASSAGES[2].text])[0]
    assert tokens.places[first][0] >= whole.answer.start
    assert tokens.places[last][1] <= whole.answer.end


def test_a_spans_likelihood_is_the_product_of_two_softmaxes() -> None:
    start, end = np.array([0.1, 2.0, -1.0, 0.5], np.float32), np.array([2.5, 0.2, 1.0, 3.9], np.float32)
    found = best_span(start, end, (0.5, -0.5), first=7, longest=2)
    assert (found.first, found.last) == (10, 10)  # 0.5 + 3.9; 2.0 + 3.9 is longer, and 2.0 + 2.5 ends before it begins
    starts, ends = (np.exp(np.append(one, null)) for one, null in ((start, 0.5), (end, -0.5)))
    assert found.probability == pytest.approx(starts[3] / starts.sum() * ends[3] / ends.sum(), rel=1e-6)
    assert found.none == pytest.approx(starts[4] / starts.sum() * ends[4] / ends.sum(), rel=1e-6)
    assert found.score == pytest.approx(4.4 - 0.0, rel=1e-6)
    unsure = best_span(start, end, None, first=0, longest=3)
    assert (unsure.first, unsure.last, unsure.none) == (1, 3, 0.0)
    assert unsure.score == pytest.approx(5.9, rel=1e-6)
    assert unsure.probability == pytest.approx(starts[1] / starts[:4].sum() * ends[3] / ends[:4].sum(), rel=1e-6)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("the ﬁrst king of den­mark is it", "den­mark"),
        ("  hamlet is\n denmark .", "denmark"),
        ("king　denmark， is", "denmark"),
    ],
)
def test_an_answer_is_whole_words_of_the_passages_own_text(reader: Reader, text: str, answer: str) -> None:
    (tokens,) = reader.pairs.texts([text])
    at = tokens.ids.index(tiny.IDS["den"])
    for first, last in ((at, at), (at + 1, at + 1), (at, at + 1)):
        start, end = characters_of(Span(first, last, 0.0, 0.0, 0.0), tokens, text)
        assert text[start:end] == answer


@pytest.mark.parametrize("seed", range(40))
def test_places_hold_whatever_was_read_as_plain_letters(reader: Reader, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pieces = [
        *"ab2 ",
        "  ",
        "\n",
        "ﬁ",
        "ﬃ",
        "\u00ad",
        "´",
        "²",
        "10²",
        "\u3000",
        "，",
        "Ａ",
        "½",
        "…",
        "é",
        "\u200d",
        "㎏",
        "漢",
    ]
    text = "".join(rng.choice(pieces, size=60))
    (tokens,) = reader.pairs.texts([text])
    known = _characters_in_both(tokens.read, text)
    assert all(tokens.read[at] == text[place] for at, place in known.items())
    assert list(known.values()) == sorted(set(known.values()))
    assert {tokens.read[at] for at in range(len(tokens.read)) if at not in known} <= set("fi 2A,1⁄.kg\u03012")
    for letter in "abé漢":  # nothing else becomes one of these, so each has its place
        assert [known.get(at) for at, char in enumerate(tokens.read) if char == letter] == [
            at for at, char in enumerate(text) if char == letter
        ]


def test_placing_an_answer_takes_one_pass(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long passage that begins with a space, or has a ligature, was compared with itself for seconds a hit."""
    seen = 0

    def counted(char: str) -> str:
        nonlocal seen
        seen += 1
        return letters_of(char)

    monkeypatch.setattr(spans, "letters_of", counted)
    text = " " + "a king is the ﬁrst of den mark " * 3000
    (tokens,) = reader.pairs.texts([text])
    at = len(tokens.ids) - 2
    start, end = characters_of(Span(at, at, 0.0, 0.0, 0.0), tokens, text)
    assert (text[start:end], start) == ("den", text.rindex("den"))
    assert seen == len(text)


def test_hits_are_ranked_by_selection_and_keep_the_score_of_the_search(reader: Reader) -> None:
    hits = [Hit(one, 9.0 - rank, rank, dense=9.0 - rank) for rank, one in enumerate(PASSAGES, 1)]
    readings = {one.id: read for one, read in zip(PASSAGES, reader.read(QUESTION, PASSAGES), strict=True)}
    found = reader.rerank(QUESTION, hits)
    assert [one.score for one in found] == sorted((one.selection for one in readings.values()), reverse=True)
    assert [one.rank for one in found] == [1, 2, 3]
    shares = np.exp([one.score for one in found]) / np.exp([one.score for one in found]).sum()
    for hit, share in zip(found, shares, strict=True):
        read = readings[hit.passage.id]
        assert hit.retrieved == hit.dense
        if read.none > read.answer.probability:
            assert hit.answer is None
        else:
            assert hit.answer is not None
            assert hit.answer.probability == pytest.approx(read.answer.probability * share, rel=1e-4)
            assert hit.passage.text[hit.answer.start : hit.answer.end] == hit.answer.text != ""
    assert reader.rerank(QUESTION, hits, 1) == found[:1]
    assert reader.rerank(QUESTION, []) == []
    again = reader.rerank(QUESTION, found)
    assert [one.retrieved for one in again] == [one.retrieved for one in found]


@pytest.mark.parametrize("shift", [-1000.0, -80.0, 80.0, 1000.0])
def test_the_shares_of_hits_do_not_depend_on_where_logits_lie(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, shift: float
) -> None:
    hits = [Hit(one, 1.0, rank) for rank, one in enumerate(PASSAGES, 1)]
    answer = Answer("a", 0, 1, 0.5)

    def read(self: Reader, question: str, passages: Sequence[Passage]) -> list[Reading]:
        return [Reading(shift + at, answer, 0.0) for at in range(len(passages))]

    monkeypatch.setattr(Reader, "read", read)
    found = [hit.answer.probability for hit in reader.rerank(QUESTION, hits) if hit.answer is not None]
    weights = np.exp([2.0, 1.0, 0.0])
    assert found == pytest.approx((0.5 * weights / weights.sum()).tolist(), rel=1e-12)


def test_what_is_no_reader_is_refused(tmp_path: Path, reader: Reader) -> None:
    plain = tiny.bert(tmp_path / "bert")
    with pytest.raises(ModelError, match="is BertModel, an encoder; pass a reader"):
        Reader.from_pretrained(plain)
    with pytest.raises(ModelError, match="is DPR's reader, which reads what was retrieved"):
        DualEncoder.from_pretrained(published(tmp_path / "published"))
    state = {name: one for name, one in reader.tower.state.items() if name != "selection.weight"}
    broken = Reader(replace(reader.tower, state=state), profile=reader.profile, source="broken")
    with pytest.raises(ModelError, match="head 'selection' is missing or has the wrong shape"):
        _ = broken.runtime
    with pytest.raises(ModelError, match="is no saved reader"):
        reader.save_pretrained(plain)
    with pytest.raises(ModelError, match="overlap=200"):
        ReaderProfile("mine", overlap=200)
    with pytest.raises(ModelError, match="length is '256', expected int"):
        ReaderProfile("mine", length="256")  # type: ignore[arg-type]
    (tmp_path / "newer").mkdir()
    reader.save_pretrained(tmp_path / "newer")
    (tmp_path / "newer" / "dpr_rag_reader.json").write_text('{"format": 2}')
    with pytest.raises(ModelError, match="expected an object of format 1"):
        Reader.from_pretrained(tmp_path / "newer")


def test_a_reader_is_shared_and_not_pickled(reader: Reader) -> None:
    assert copy.deepcopy(reader) is reader
    with pytest.raises(TypeError, match=r"load it where it is used, with Reader\.from_pretrained"):
        pickle.dumps(reader)


def test_a_readers_old_files_load_and_give_the_same_numbers(tmp_path: Path) -> None:
    folder = published(tmp_path / "new")
    model = transformers.DPRReader.from_pretrained(folder)
    older = tmp_path / "old"
    shutil.copytree(folder, older, ignore=shutil.ignore_patterns("*.safetensors"))
    body = "span_predictor.encoder.bert_model."
    extra = {  # what facebook/dpr-reader-single-nq-base has besides
        f"{body}embeddings.position_ids": torch.arange(64)[None],
        f"{body}pooler.dense.weight": torch.zeros(32, 32),
        f"{body}pooler.dense.bias": torch.zeros(32),
    }
    torch.save({**model.state_dict(), **extra}, older / "pytorch_model.bin")
    one, other = (Reader.from_pretrained(path, runtime="openvino", dtype="float32") for path in (folder, older))
    assert one.fingerprint == other.fingerprint
    assert one.read(QUESTION, PASSAGES) == other.read(QUESTION, PASSAGES)


def test_a_reader_reads_without_pytorch(reader: Reader, tmp_path: Path) -> None:
    reader.save_pretrained(tmp_path / "saved")
    code = f"""
import sys
sys.modules["torch"] = sys.modules["transformers"] = None
from dpr_rag import Passage, Reader
reader = Reader.from_pretrained({str(tmp_path / "saved")!r}, dtype="float32")
(found,) = reader.read({QUESTION!r}, [Passage("1", {PASSAGES[0].text!r}, "hamlet")])
print(found.selection, found.answer.text, sep="|")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    selection, text = done.stdout.strip().split("|")
    (wanted,) = reader.read(QUESTION, PASSAGES[:1])
    assert (float(selection), text) == (pytest.approx(wanted.selection, abs=1e-4), wanted.answer.text)
