"""Words of scripts without spaces: pairs of characters against a reference that asks Unicode's names, and what is found."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpr_rag import BM25, Passage, PassageStore, Ranking, Retriever
from dpr_rag.lexical import LANGUAGES, Analyzer, Corpus, Postings, analysis_of
from dpr_rag.store import calibrating

EAST = ("CJK UNIFIED", "HIRAGANA LETTER", "KATAKANA LETTER", "KATAKANA-HIRAGANA PROLONGED", "HANGUL SYLLABLE")
MIXED = st.text("茶山川水木花𠀋はのをガーヴ한국어ab7 ,。「」・\u3099\n", max_size=30)


def kinds(text: str) -> list[tuple[str, bool]]:
    """Each character with its marks, and whether it is of East Asia."""
    found: list[tuple[str, bool]] = []
    for char in unicodedata.normalize("NFC", text):
        if unicodedata.combining(char) and found and found[-1][0][0].isalnum():
            found[-1] = (found[-1][0] + char, found[-1][1])
        else:
            found.append((char, unicodedata.name(char, "").startswith(EAST)))
    return found


def reference(text: str) -> tuple[list[str], list[str]]:
    """The words of a text in order, and the single characters beside them."""
    words, singles = [], []
    for kind, group in groupby(kinds(text), key=lambda one: (one[1], one[0][0].isalnum() or one[0][0] == "\u3099")):
        chars = [char for char, _ in group]
        if kind[0] and len(chars) > 1:
            words += [one + other for one, other in pairwise(chars)]
            singles += chars
        elif kind[0] or kind[1]:
            words.append("".join(chars).lower())
    return words, singles


def scores(texts: list[str], question: str, bm25: BM25) -> list[float]:
    """BM25 of every text, a passage's length being the number of its pairs and words."""
    made = [reference(text) for text in texts]
    bags = [Counter(words) + Counter(singles) for words, singles in made]
    average = sum(len(words) for words, _ in made) / len(made)
    weights = {}
    for term in reference(question)[0]:
        holding = sum(term in bag for bag in bags)
        if holding:
            weights[term] = math.log(1 + (len(bags) - holding + 0.5) / (holding + 0.5))
    phrases = {pair for pair in pairwise(reference(question)[0]) if set(pair) <= weights.keys()}
    found = []
    for (words, _), bag in zip(made, bags, strict=True):
        norm = bm25.k1 * (1 - bm25.b + bm25.b * len(words) / average) if average else 0
        asked = [(weights.get(term, 0), bag[term]) for term in reference(question)[0]]
        beside = Counter(pairwise(words))
        asked += [(bm25.phrases * (weights[a] + weights[b]), beside[a, b]) for a, b in phrases]
        found.append(sum(weight * often / (often + norm) for weight, often in asked if often))
    return found


@settings(max_examples=200)
@given(MIXED)
def test_words_are_the_references(text: str) -> None:
    assert Analyzer("chinese")._words(text) == reference(text)[0]
    assert Analyzer("none").sequence(text) == Analyzer("thai").sequence(text)


@settings(max_examples=100)
@given(st.lists(MIXED.filter(lambda text: any(map(str.isalnum, text))), min_size=1, max_size=8), MIXED)
def test_scores_are_the_references(texts: list[str], question: str) -> None:
    analyzer, bm25 = Analyzer("japanese"), BM25(phrases=0.5)
    corpus = Corpus([Postings.of([(row, Passage(str(row), text)) for row, text in enumerate(texts)], analyzer)])
    found = corpus.score(analyzer.sequence(question), bm25).at(np.arange(len(texts)))
    assert found.tolist() == pytest.approx(scores(texts, question, bm25))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("绿茶的产地", "绿茶 茶的 的产 产地"),
        ("茶", "茶"),
        ("用Python编写的3个API。", "用 python 编写 写的 3 个 api"),
        ("リンゴを食べる", "リン ンゴ ゴを を食 食べ べる"),
        ("ﾗｰﾒﾝ屋", "ラー ーメ メン ン屋"),
        ("時々", "時々"),
        ("⽇本⼈", "日本 本人"),  # radicals, as texts from PDF have them
        ("𠮷野家", "𠮷野 野家"),
        ("葛\U000e0100飾", "葛飾"),
        ("서울은 큰 도시", "서울 울은 큰 도시"),
        ("KBS는", "kbs 는"),
        ("ภาษาไทย", "ภาษา ษาไท ไทย"),
        ("น้ำ", "น้\u0e4dา"),  # as NFKC writes it
        ("น\u0e4d\u0e49า", "น้\u0e4dา"),  # as texts from PDF have it
        ("ນ\u0ecd\u0ec9າ", "ນ\u0ec9\u0ecdາ"),
        ("แมว2ตัว", "แมว 2 ตัว"),
        ("ปี๒๕๖๗", "ปี ๒๕๖๗"),
        ("ພາສາລາວ", "ພາສາ ສາລາ ລາວ"),
        ("ភាសាខ្មែរ", "ភាសា សាខ្មែ ខ្មែរ"),
        ("မြန်မာ", "မြန် န်မာ"),
        ("བོད་ཡིག", "བོད ཡིག"),  # Tibetan marks its syllables
    ],
)
def test_runs_are_pairs_of_neighbours_and_other_words_stay(text: str, words: str) -> None:
    for language in ("english", "chinese", "hindi", "none"):
        assert Analyzer(language)._words(text) == words.split()
    decomposed = unicodedata.normalize("NFD", text)
    assert Analyzer()._words(decomposed) == words.split()


TEXTS = {
    "leaf": "绿茶的产地主要在山区。",
    "lake": "この湖は国内で一番深い。",
    "peak": "この山は国内で一番高い。",
    "cat": "แมวชอบกินปลา",
    "dog": "หมาชอบวิ่งเล่นในสวน",
    "book": "책을 읽는 사람",
    "rice": "បាយជាអាហារសំខាន់",
    "year": "该站于1998年启用。",
    "plain": "A river runs through it.",
}


@pytest.mark.parametrize("language", ["english", "none", "chinese"])
@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("哪里产绿茶", "leaf"),
        ("茶", "leaf"),
        ("一番高い山", "peak"),
        ("湖はどこ", "lake"),
        ("แมวกินอะไร", "cat"),
        ("สวน", "dog"),
        ("책", "book"),
        ("អាហារ", "rice"),
        ("1998年", "year"),
        ("1998", "year"),
        ("river", "plain"),
    ],
)
def test_passages_are_found_in_a_store_of_any_language(
    tmp_path: Path, language: str, question: str, first: str
) -> None:
    with PassageStore.open(tmp_path / "s", language=language) as store:
        store.add([Passage(name, text) for name, text in TEXTS.items()], vectors=np.eye(len(TEXTS)))
        assert Retriever(store, mode="bm25").retrieve(question)[0].passage.id == first


def test_a_lone_character_weighs_what_it_is_worth() -> None:
    """It is found within runs, but gives no length to the passages that hold it."""
    analyzer = Analyzer("none")
    terms, counts, sequence = analyzer.passage(Passage("1", "山茶花 茶"))
    assert len(sequence) == 3
    often = dict(zip(terms.tolist(), counts.tolist(), strict=True))
    assert often[analyzer.sequence("茶")[0]] == 2
    assert often[analyzer.sequence("山")[0]] == 1


def test_words_that_follow_each_other_lift_a_passage() -> None:
    texts = ["山茶花 茶花园", "山茶花园", "花园里有山茶和茶花"]
    with PassageStore.temporary() as store:
        store.add([Passage(str(at), text) for at, text in enumerate(texts)], vectors=np.eye(3))
        hits = Retriever(store, ranking=Ranking("bm25", bm25=BM25(phrases=2))).retrieve("山茶花园")
        assert hits[0].passage.id == "1"


def test_languages_without_stems_need_no_stemmer() -> None:
    for language in ("chinese", "japanese", "korean", "thai", "lao", "khmer", "burmese", "tibetan", "none"):
        assert language in LANGUAGES
        assert "PyStemmer" not in analysis_of(language)
        assert "stop-words" not in analysis_of(language)
    assert "PyStemmer" in analysis_of("english")


def test_long_runs_are_no_burden() -> None:
    """What is remembered of words is the pairs, not whole runs."""
    analyzer = Analyzer("chinese")
    run = "".join(map(chr, range(0x4E00, 0x5E00)))
    assert len(analyzer.sequence(run)) == len(run) - 1
    assert not analyzer._spelled


@pytest.mark.parametrize(
    ("text", "stretch"),
    [
        ("春茶四月在山中采摘", "四月在山中"),
        ("one two\n three  four", "two three"),
        ("ชาฤดูใบไม้ผลิ", "ฤดูใบไม้"),
        ("봄에 딴 차는 맛이", "딴 차는"),
        ("茶", "茶"),
    ],
)
def test_a_store_weighs_its_legs_by_stretches_of_half_a_passage(text: str, stretch: str) -> None:
    assert calibrating.stretch_of(Passage("1", text)) == stretch
