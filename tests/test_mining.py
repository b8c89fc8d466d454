"""Hard negatives by value: which passages are taken, which never, and what is said about the rest."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Literal

import pytest
from tiny import TinyEncoder

from dpr_rag import Passage, PassageStore, Ranking
from dpr_rag.corpora import Question, TrainingPassage, TrainingSample, read_training, write_training
from dpr_rag.errors import CorpusError, EncoderMismatchError, TrainingError
from dpr_rag.evaluation import has_answer
from dpr_rag.training import Mining, mine
from dpr_rag.training.inputs import read_minable

Form = Literal["NFC", "NFD"]
PASSAGES = [
    Passage("hamlet", "Hamlet is a tragedy by William Shakespeare", "Hamlet"),
    Passage("faust", "Faust is a tragedy by Goethe", "Faust"),
    Passage("lear", "King Lear is a tragedy about a king", "Lear"),
    Passage("errors", "a comedy by Shakespeare about two twins", "Errors"),
    Passage("prince", "the tragedy of the prince Hamlet", "Prince"),
    Passage("cooking", "how to cook rice", "Rice"),
]
ASKED = Question("1", "who wrote the tragedy Hamlet", ("Shakespeare",), ("hamlet",))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PassageStore]:
    with PassageStore.open(tmp_path / "s", encoder=TinyEncoder()) as opened:
        opened.add(PASSAGES)
        yield opened


def expected(store: PassageStore, leg: str, last: int = 100) -> list[tuple[str, float]]:
    (hits,) = store.rank([ASKED.question], last, ranking=Ranking(leg))
    bad = {"hamlet"} | {one.id for one in PASSAGES if has_answer(ASKED.answers, one.text)}
    return [(hit.passage.id, hit.score) for hit in hits if hit.passage.id not in bad]


def found(sample: TrainingSample) -> list[tuple[str, float | None]]:
    return [(one.id, one.score) for one in sample.hard_negatives]


@pytest.mark.parametrize("leg", ["bm25", "dense"])
def test_negatives_are_the_best_that_hold_no_answer(store: PassageStore, leg: str) -> None:
    (sample,), report = mine([ASKED], store, mining=Mining(leg, negatives=2))
    assert found(sample) == expected(store, leg)[:2]
    assert [one.id for one in sample.positives] == ["hamlet"]
    assert sample.hard_negatives[0].title in {"Prince", "Faust"}
    assert (sample.question, sample.answers) == (ASKED.question, ASKED.answers)
    assert (report.questions, report.samples, report.short, report.lines()) == (1, 1, 0, [])


def test_both_legs_in_turn_without_doubles(store: PassageStore) -> None:
    asked = Question("2", "a king and a prince cook rice for two twins", (), ("hamlet",))
    (sample,), _ = mine([asked], store, mining=Mining("both"))
    rankings = [store.rank([asked.question], 9, ranking=Ranking(leg))[0] for leg in ("bm25", "dense")]
    words, vectors = ([hit.passage.id for hit in hits if hit.passage.id != "hamlet"] for hits in rankings)
    assert words == ["cooking", "errors", "prince", "lear"]
    assert vectors[:3] == ["lear", "errors", "prince"]
    in_turn = [name for pair in zip_longest(words, vectors) for name in pair if name is not None]
    assert [one.id for one in sample.hard_negatives] == list(dict.fromkeys(in_turn))
    assert in_turn[:4] == ["cooking", "lear", "errors", "errors"]


def test_rank_window_counts_every_hit(store: PassageStore) -> None:
    (hits,) = store.rank([ASKED.question], 4, ranking=Ranking("bm25"))
    allowed = [hit.passage.id for hit in hits[1:3] if hit.passage.id in {"faust", "lear", "prince", "cooking"}]
    (sample,), report = mine([ASKED], store, mining=Mining(first=2, last=3))
    assert [one.id for one in sample.hard_negatives] == allowed
    assert report.short == 1
    assert report.lines() == ["1 samples have fewer hard negatives than asked for, 0 of them none"]


@pytest.mark.parametrize("leg", ["bm25", "dense"])
@pytest.mark.parametrize("margin", [0.0, 0.7, 2.5, -1.0])
def test_margin_below_the_best_positive(store: PassageStore, leg: str, margin: float) -> None:
    (hits,) = store.rank([ASKED.question], 10, ranking=Ranking(leg))
    best = next(hit.score for hit in hits if hit.passage.id == "hamlet")
    (sample,), _ = mine([ASKED], store, mining=Mining(leg, margin=margin))
    assert found(sample) == [(name, score) for name, score in expected(store, leg) if score <= best - margin]


def test_margin_where_the_positive_is_far_down(store: PassageStore) -> None:
    far = Question("2", "tragedy king Lear about", (), ("cooking", "faust"))  # BM25 finds no word of it in cooking
    score = store.rank([far.question], 10, {"id": "faust"}, ranking=Ranking("bm25"))[0][0].score
    (near,), _ = mine([far], store, mining=Mining(last=1, margin=-100.0))
    assert [one.id for one in near.hard_negatives] == ["lear"]
    (none,), report = mine([far], store, mining=Mining(last=2, margin=0.0))
    (hits,) = store.rank([far.question], 2, ranking=Ranking("bm25"))
    assert [(hit.passage.id, hit.score > score) for hit in hits] == [("lear", True), ("errors", True)]
    assert [one.id for one in none.hard_negatives] == []
    assert report.unscored == 0
    (some,), _ = mine([far], store, mining=Mining(last=2, margin=score - hits[1].score))
    assert [one.id for one in some.hard_negatives] == ["errors"]
    lone = TrainingSample("tragedy", (), (TrainingPassage("not in the store"),))
    (sample,), report = mine([lone], store, mining=Mining(margin=1.0))
    assert len(sample.hard_negatives) == 4
    assert report.unscored == 1


def test_questions_with_answers_only_take_the_best_that_holds_one(store: PassageStore) -> None:
    asked = Question("3", "tragedy by", ("goethe", "Nobody"))
    (sample,), report = mine([asked], store)
    assert [one.id for one in sample.positives] == ["faust"]
    assert sample.positives[0].score == pytest.approx(
        next(
            hit.score for hit in store.rank(["tragedy by"], 9, ranking=Ranking("bm25"))[0] if hit.passage.id == "faust"
        )
    )
    assert "faust" not in {one.id for one in sample.hard_negatives}
    assert report.without_positive == 0


@pytest.mark.parametrize("leg", ["bm25", "dense"])
def test_a_positive_found_by_its_answer_stands_no_further_down_than_it_may(store: PassageStore, leg: str) -> None:
    asked = Question("3", "tragedy king Lear", ("goethe",))
    (hits,) = store.rank([asked.question], 10, ranking=Ranking(leg))
    rank = [hit.passage.id for hit in hits].index("faust") + 1
    assert rank > 1
    (sample,), _ = mine([asked], store, mining=Mining(leg, positive_last=rank))
    assert [one.id for one in sample.positives] == ["faust"]
    assert [one.id for one in sample.hard_negatives] == [hit.passage.id for hit in hits if hit.passage.id != "faust"]
    none, report = mine([asked], store, mining=Mining(leg, positive_last=rank - 1))
    assert (none, report.without_positive) == ([], 1)
    (known,), _ = mine([Question("4", asked.question, (), ("faust",))], store, mining=Mining(leg, positive_last=1))
    assert [one.id for one in known.positives] == ["faust"]  # what is known needs no rank
    with pytest.raises(TrainingError, match=r"positive_last=101, expected a rank from 1 to last=100"):
        Mining(leg, positive_last=101)


def test_questions_without_positive_are_counted_and_named(store: PassageStore) -> None:
    asked = [
        Question("4", "tragedy", ("Molière",)),
        Question("5", "who is lost", (), ("gone",)),
        Question("6", "comedy", (), ("gone too", "errors")),
        Question("7", "tragedy", (r"William\s+Shake",)),
    ]
    samples, report = mine(asked, store, mining=Mining(regex=True))
    assert [sample.question for sample in samples] == ["comedy", "tragedy"]
    assert [one.id for one in samples[1].positives] == ["hamlet"]
    assert (report.questions, report.samples, report.without_positive, report.missing_positives) == (4, 2, 2, 2)
    assert report.lines() == [
        "2 questions have no positive passage and were left out",
        "2 positive ids are not in the store",
        "2 samples have fewer hard negatives than asked for, 1 of them none",
        "  no positive: 'tragedy'",
        "  not in the store: 'gone'",
        "  no positive: 'who is lost'",
        "  not in the store: 'gone too'",
    ]


def test_training_samples_keep_their_positives(store: PassageStore, tmp_path: Path) -> None:
    positive = TrainingPassage(PASSAGES[4].text, "Prince")  # in the store, without its id
    old = TrainingPassage("an old negative", "Old", "old")
    also = TrainingPassage(PASSAGES[1].text, "Faust", "faust", 9.0)
    write_training(tmp_path / "t.json", [TrainingSample("tragedy Hamlet", (), (positive,), (old,), (old, also))])
    again = list(read_minable(tmp_path / "t.json"))
    (replaced,), _ = mine(again, store, mining=Mining(negatives=2))
    assert replaced.positives == (positive,)
    assert replaced.negatives == (old,)
    assert "Prince" not in {one.title for one in replaced.hard_negatives}
    assert len(replaced.hard_negatives) == 2
    (kept,), _ = mine(again, store, mining=Mining(negatives=2, keep=True))
    assert kept.hard_negatives[:2] == (old, also)
    assert [one.id for one in kept.hard_negatives].count("faust") == 1
    assert len(kept.hard_negatives) == 4
    assert write_training(tmp_path / "out.jsonl", [kept]) == 1
    assert list(read_training(tmp_path / "out.jsonl")) == [kept]


def test_forms_of_questions_are_told_apart(tmp_path: Path) -> None:
    lines = {"question": "who", "answers": ["x"], "positive_ctxs": [{"text": "t", "title": ""}]}
    (tmp_path / "a.jsonl").write_text(json.dumps(lines) + "\n")
    (tmp_path / "b.jsonl").write_text(json.dumps({"question": "who", "answers": ["x"], "positive_ids": ["1"]}) + "\n")
    (tmp_path / "c.csv").write_text('who wrote\t["x"]\n')
    assert [type(next(iter(read_minable(tmp_path / name)))) for name in ("a.jsonl", "b.jsonl", "c.csv")] == [
        TrainingSample,
        Question,
        Question,
    ]


def test_what_cannot_be_mined(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "v") as bare:
        bare.add(PASSAGES, vectors=TinyEncoder().encode_passages(PASSAGES))
        assert len(mine([ASKED], bare)[0]) == 1
        with pytest.raises(EncoderMismatchError):
            mine([ASKED], bare, mining=Mining("dense"))
    with pytest.raises(TrainingError, match="source is 'words', expected one of bm25, dense, both"):
        Mining("words")  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="ranks 5 to 2"):
        Mining(first=5, last=2)
    with pytest.raises(TrainingError, match="margin is nan, expected a number"):
        Mining(margin=float("nan"))
    with pytest.raises(TrainingError, match=r"margin=1\.0 for the scores of both rankings"):
        Mining("both", margin=1.0)


def test_a_positive_is_no_negative_in_other_clothes_and_stands_once(tmp_path: Path) -> None:
    double = Passage("double", "hamlet is a\n Tragedy by William Shakespeare", "Another title")
    with PassageStore.open(tmp_path / "s") as store:
        store.add([*PASSAGES, double], vectors=TinyEncoder().encode_passages([*PASSAGES, double]))
        asked = Question("1", "tragedy Hamlet", (), ("hamlet", "faust", "hamlet"))
        (sample,), report = mine([asked], store)
    assert [one.id for one in sample.positives] == ["hamlet", "faust"]
    assert sorted(one.id for one in sample.hard_negatives) == ["lear", "prince"]
    assert report.missing_positives == 0


def test_where_words_find_no_answer_vectors_may(store: PassageStore) -> None:
    asked = Question("3", "comedy", ("Goethe",))  # whose only word is in another passage
    assert mine([asked], store, mining=Mining("bm25"))[0] == []
    (sample,), _ = mine([asked], store, mining=Mining("both"))
    (hits,) = store.rank(["comedy"], 9, ranking=Ranking("dense"))
    assert [(one.id, one.score) for one in sample.positives] == [
        ("faust", next(hit.score for hit in hits if hit.passage.id == "faust"))
    ]


def test_a_training_set_has_no_split(tmp_path: Path) -> None:
    write_training(tmp_path / "t.json", [TrainingSample("who", (), (TrainingPassage("it"),))])
    with pytest.raises(CorpusError, match=r"t.json: is a training set and has no split 'dev'"):
        read_minable(tmp_path / "t.json", split="dev")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_positive_whose_accents_are_written_otherwise_is_no_negative(store: PassageStore, form: Form) -> None:
    text = "Hélène wrote the café’s tragedy"
    store.add([Passage("same", unicodedata.normalize(form, text), "Other"), Passage("other", "the café’s tragedy")])
    positive = TrainingPassage(unicodedata.normalize("NFD" if form == "NFC" else "NFC", text))
    (sample,), _ = mine([TrainingSample("who wrote the café’s tragedy", (), (positive,))], store)
    assert [one.id for one in sample.hard_negatives if "caf" in one.text] == ["other"]
