"""BM25 against its formula, segment by segment; and the store's words against a dict, through every change."""

from __future__ import annotations

import errno
import logging
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from unicodedata import category, decomposition, normalize

import numpy as np
import pytest
from conftest import HashEncoder
from hypothesis import given, settings
from hypothesis import strategies as st

from dpr_rag import BM25, Diversity, Hit, Passage, PassageStore, Ranking, Retriever
from dpr_rag.errors import EncoderMismatchError, IndexKindError, StoreCorrupted, StoreError, VectorError
from dpr_rag.filters import parse_filter
from dpr_rag.index import matrix
from dpr_rag.lexical import Analyzer, Corpus, Postings, analysis, analysis_of, characters, scoring
from dpr_rag.lexical.postings import append_segment
from dpr_rag.storage.reader import StoreReader
from dpr_rag.storage.writer import StoreWriter
from dpr_rag.store import background, calibrating, lexicon, ranking
from dpr_rag.store.sampling import sample_prose
from dpr_rag.store.snapshot import Snapshot

HANGUL_FILLERS = "\u115f\u1160\u3164\uffa0"
WORDS = st.lists(
    st.sampled_from("crown king prince denmark run running runs the of ö".split()), min_size=1, max_size=12
)
TEXTS = st.lists(WORDS.map(" ".join), min_size=1, max_size=30)


def words_of(analyzer: Analyzer, text: str) -> list[str]:
    return [word.lower() for word in analyzer._words(text)]


def counted(analyzer: Analyzer, text: str) -> Counter[int]:
    return Counter(analyzer.sequence(text))


def formula(texts: dict[str, str], question: str, bm25: BM25, language: str = "english") -> dict[str, float]:
    """Lucene's BM25, one passage and one term at a time, and one pair of neighbours."""
    analyzer = Analyzer(language)
    terms = {name: counted(analyzer, text) for name, text in texts.items()}
    average = sum(sum(one.values()) for one in terms.values()) / len(terms)
    scores = dict.fromkeys(texts, 0.0)
    weights = {}
    for term, asked in counted(analyzer, question).items():
        holding = sum(term in one for one in terms.values())
        weights[term] = weight = math.log(1 + (len(terms) - holding + 0.5) / (holding + 0.5))
        for name, one in terms.items():
            often, length = one[term], sum(one.values())
            if often:
                scores[name] += asked * weight * often / (often + bm25.k1 * (1 - bm25.b + bm25.b * length / average))
    for left, right in set(pairwise(analyzer.sequence(question))):
        for name, one in terms.items():
            often = list(pairwise(analyzer.sequence(texts[name]))).count((left, right))
            if often and bm25.phrases:
                norm = bm25.k1 * (1 - bm25.b + bm25.b * sum(one.values()) / average)
                scores[name] += bm25.phrases * (weights[left] + weights[right]) * often / (often + norm)
    return {name: score for name, score in scores.items() if score}


def best_of(scores: dict[str, float], k: int) -> list[tuple[str, float]]:
    return sorted(scores.items(), key=lambda pair: -pair[1])[:k]


def retrieved(store: PassageStore, question: str) -> list[str]:
    return [hit.passage.id for hit in Retriever(store, k=50, ranking=Ranking("bm25")).retrieve(question)]


def seen(hits: list[Hit]) -> list[tuple[str, float]]:
    return [(hit.passage.id, hit.score) for hit in hits]


def assert_is_formula(store: PassageStore, question: str, bm25: BM25 | None = None, k: int = 50) -> None:
    bm25 = bm25 or BM25()
    texts = {passage.id: f"{passage.title} {passage.text}" for passage in store}
    expected = best_of(formula(texts, question, bm25), k)
    found = seen(Retriever(store, k=k, ranking=Ranking("bm25", bm25=bm25)).retrieve(question))
    assert [name for name, _ in found] == [name for name, _ in expected]
    assert [score for _, score in found] == pytest.approx([score for _, score in expected], rel=1e-9)


@settings(max_examples=60)
@given(
    TEXTS,
    WORDS.map(" ".join),
    st.builds(BM25, st.floats(0, 3), st.floats(0, 1), st.sampled_from([0, 0.3, 2])),
    st.lists(st.integers(1, 9), max_size=6),
)
def test_scores_are_the_formulas_however_passages_lie_in_segments(
    texts: list[str], question: str, bm25: BM25, cuts: list[int]
) -> None:
    analyzer, numbered = Analyzer(), [(row, Passage(str(row), text)) for row, text in enumerate(texts, 1)]
    parts: tuple[Postings, ...] = ()
    at = 0
    for size in [*cuts, len(texts)]:
        parts = append_segment(parts, Postings.of(numbered[at : at + size], analyzer))
        at += size
    expected = formula({str(row): text for row, text in enumerate(texts, 1)}, question, bm25)
    wanted = pytest.approx([expected.get(str(row), 0.0) for row in range(1, len(texts) + 1)])
    for corpus in (Corpus(parts), Corpus([Postings.merged(parts)])):
        scored = corpus.score(analyzer.sequence(question), bm25)
        assert scored.at(np.arange(len(texts))).tolist() == wanted
        rows, scores = scored.best(len(texts))
        assert dict(zip(map(str, rows.tolist()), scores.tolist(), strict=True)) == pytest.approx(expected)
        assert scores.tolist() == sorted(scores, reverse=True)


def test_presence_alone_counts_without_k1() -> None:
    with PassageStore.temporary(encoder=HashEncoder()) as store:
        store.add(
            [Passage(str(at), text) for at, text in enumerate(["king crown king", "crown king", "king of Denmark"])]
        )
        assert_is_formula(store, "the crown king crown", BM25(k1=0, phrases=0.5))


def test_neighbours_of_the_question_lift_a_passage() -> None:
    texts = ["Denmark has a prince", "a tragedy of Hamlet, prince of Denmark, and others", "princes whom Denmark has"]
    with PassageStore.temporary(encoder=HashEncoder()) as store:
        store.add([Passage(str(at), text) for at, text in enumerate(texts)])
        for phrases, first in ((0.0, "0"), (0.3, "1")):
            hits = Retriever(store, ranking=Ranking("bm25", bm25=BM25(phrases=phrases))).retrieve("prince of Denmark")
            assert hits[0].passage.id == first
            assert_is_formula(store, "the tragedy of Hamlet of Denmark", BM25(phrases=phrases))
        plain = {hit.passage.id: hit.score for hit in Retriever(store, mode="bm25").retrieve("prince of Denmark")}
        for hit in Retriever(store, mode="hybrid", weight=2.0).retrieve("prince of Denmark"):
            assert hit.bm25 is not None
            assert hit.dense is not None
            assert hit.score == pytest.approx(hit.bm25 + 2 * hit.dense)
            assert hit.bm25 > plain[hit.passage.id] if hit.passage.id == "1" else hit.bm25 == plain[hit.passage.id]


def test_phrases_are_looked_for_in_the_best_by_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "_PHRASED", 2)
    analyzer = Analyzer()
    texts = ["king crown", "crown king", "crown of the old and very wise king", "crown and king of the Danes"]
    corpus = Corpus([Postings.of([(row, Passage(str(row), text)) for row, text in enumerate(texts)], analyzer)])
    rows, _ = corpus.score(analyzer.sequence("crown king"), BM25(phrases=1)).best(2)
    assert rows.tolist() == [1, 0]
    rows, _ = corpus.score(analyzer.sequence("crown king"), BM25(phrases=1)).best(3)
    assert rows.tolist() == [1, 3, 0]


def test_segments_stay_few_and_ordered() -> None:
    analyzer, parts = Analyzer(), ()
    for row in range(1, 301):
        parts = append_segment(parts, Postings.of([(row, Passage(str(row), f"word{row % 7} common"))], analyzer))
        sizes = [len(part.rows) for part in parts]
        assert all(before >= 2 * after for before, after in pairwise(sizes))
    assert Corpus(parts).rows.tolist() == list(range(1, 301))


def test_words_are_lower_case_stemmed_and_without_stop_words() -> None:
    analyzer = Analyzer()
    assert counted(analyzer, "The RUNNING of the kings") == counted(analyzer, "run king")
    assert counted(analyzer, "the of and") == Counter()
    assert counted(analyzer, "run run").most_common()[0][1] == 2
    plain = Analyzer("none")
    assert counted(plain, "the Running") != counted(plain, "run")
    assert sum(counted(plain, "the Running").values()) == 2


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("hindi", "हिन्दी की किताबें", ["हिन्दी", "की", "किताबें"]),
        ("nepali", "नेपाली भाषाको पुस्तक", ["नेपाली", "भाषाको", "पुस्तक"]),
        ("tamil", "தமிழ் புத்தகங்கள்", ["தமிழ்", "புத்தகங்கள்"]),
        ("arabic", "كِتَابٌ جَدِيد", ["كِتَابٌ", "جَدِيد"]),
        ("yiddish", "בּוּך", ["בּוּך"]),
        ("none", "ก็ดี x̌y ab², it's", ["ก็ดี", "x̌y", "ab2", "it", "s"]),
        ("turkish", "İSTANBUL’da", ["istanbul", "da"]),
        ("english", "Café — “naïve”…", ["café", "naïve"]),
    ],
)
def test_combining_marks_belong_to_their_words(language: str, text: str, words: list[str]) -> None:
    analyzer = Analyzer(language)
    assert [normalize("NFC", word) for word in words] == [analysis._lowered(word) for word in analyzer._words(text)]
    assert counted(analyzer, normalize("NFD", text)) == counted(analyzer, normalize("NFC", text))
    for word in words:
        assert len(counted(analyzer, word)) <= 1


@pytest.mark.parametrize(
    ("language", "texts", "question"),
    [
        ("hindi", ["हिन्दी में किताबें", "हवा"], "किताब"),
        ("arabic", ["كِتَابٌ", "قَلَم"], "الكتاب"),
        ("english", [normalize("NFD", "at a café"), "cafe"], "CAFÉ"),
    ],
)
def test_words_with_marks_are_found_however_they_are_written(
    tmp_path: Path, language: str, texts: list[str], question: str
) -> None:
    with PassageStore.open(tmp_path / "s", language=language) as store:
        store.add([Passage(text, text) for text in texts], vectors=np.eye(2))
        assert texts_of(store, question) == texts[:1]


def test_tokens_are_letters_numbers_marks_and_underscores() -> None:
    analyzer = Analyzer("none")
    for code in (*range(0x20000), *range(0xE0000, 0xE0200)):
        if decomposition(chr(code)).startswith("<") or category(chr(code)) in ("Cf", "Mn"):
            continue  # see below
        plain = normalize("NFC", chr(code).lower())
        of_word = any(char == "_" or category(char)[0] in "LMN" for char in plain)
        assert len(analyzer._words(f". {chr(code)} .")) == (of_word and chr(code) not in HANGUL_FILLERS), hex(code)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("o\ufb03ce", "office"),
        ("\ufb01\ufb02", "fifl"),
        ("\uff26\uff35\uff2c\uff2c\uff17", "full7"),
        ("co\xadop\xaderate", "cooperate"),
        ("data\u200bbase \ufeffword\u2060s", "database words"),
        ("می\u200cخواهم", "میخواهم"),
        ("ក្ន\u200bុង", "ក្ន ុង"),
        ("ภาษา\u200bไทย", "ภาษา ไทย"),
        ("ｶﾞｷﾞ", "ガギ"),
        ("x² CO₂ 1ˢᵗ", "x2 co2 1st"),
        ("10² 10⁶ 3½", "10 2 10 6 3 1 2"),
        ("①② ⑩ ½", "1 2 10 1 2"),
        ("Java™ it´s", "java it s"),
        ("Ⅷ ⅷ 𝐀𝟗 ſt", "viii viii a9 st"),
        ("5㎏ ㈱", "5 kg 株"),
        ("محمدﷺ", "محمد صلى الله عليه وسلم"),
        ("ﻻ ﺍ", "لا ا"),
        ("❤\ufe0f a\u034fb", "ab"),
        ("a\u202eb\u200f", "ab"),
        ("آية۝آية", "آية آية"),
        ("＿x", "_x"),
        ("wait…what a‥b no‼yes what⁇ever", "wait what a b no yes what ever"),
        ("f（x）y Ａ，b c：d；e ／f 5－4 k．m", "f x y a b c d e f 5 4 k m"),
        ("a﹒b a﹐b f⁽x⁾y k₊m 1․2", "a b a b f x y k m 1 2"),
        ("COVID\u201119 non\u2011breaking", "covid 19 non breaking"),
        ("采摘，秋茶", "采摘 秋茶"),
        ("soft\xad\nware soft\xad \r\n  ware soft\xad\u2028ware", "software software software"),
        ("soft\xad ware", "soft ware"),
    ],
)
def test_a_word_is_found_whatever_the_form_of_its_characters(written: str, words: str) -> None:
    assert words_of(Analyzer("none"), written) == words.split()
    assert counted(Analyzer("none"), written) == counted(Analyzer("none"), words)


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("getUserName", "getusername get user name"),
        ("HTTPServer", "httpserver http server"),
        ("get_user_name", "get_user_name get user name"),
        ("max_tokens", "max_tokens max tokens"),
        ("MAX_TOKENS", "max_tokens max tokens"),
        ("__init__", "__init__ init"),
        ("parseJSON2Dict", "parsejson2dict parse json2 dict parsejson json"),
        ("utf8Decoder", "utf8decoder utf8 decoder utf"),
        ("straßeName", "straßename straße name"),
        ("pH URLs DNAs 3D A4B2C3", "ph urls dnas 3d a4b2c3"),
        ("iPhone", "iphone phone"),
        ("McDonald", "mcdonald mc donald"),
        ("Word WORD word", "word word word"),
        ("isEmpty", "isempty is empty"),
        ("userID42", "userid42 user id42 userid id"),
        ("HTTP2Server", "http2server http2 server http"),
        ("HTTP2server", "http2server http server"),
        ("parseHTTPResponse2", "parsehttpresponse2 parse http response2 parsehttpresponse response"),
        ("iPhone15Pro", "iphone15pro phone15 pro iphone phone"),
        ("SQLite3", "sqlite3 sq lite3 sqlite lite"),
        ("iOS17", "ios17 os17 ios os"),
        ("abc42DEF", "abc42def abc def"),
        ("user_id42", "user_id42 user id42 id"),
        ("naïveID٤٢", "naïveid٤٢ naïve id٤٢ naïveid id"),
        ("b2b B2B b2B h2o H2O 3d mp3 MP3 MP3s PS5s", "b2b b2b b2b h2o h2o 3d mp3 mp3 mp3s ps5s"),
        ("python3 COVID19 Covid19 19th 1990s", "python3 covid19 covid19 19th 1990s"),
    ],
)
def test_identifiers_are_followed_by_what_they_are_made_of(word: str, parts: str) -> None:
    analyzer = Analyzer("none")
    assert analyzer.sequence(word) == [analyzer.sequence(part)[0] for part in parts.split()]


@given(st.text("aAbBcC042_ ", max_size=12))
def test_whether_a_text_may_hold_identifiers_is_never_a_wrong_no(text: str) -> None:
    words = "".join(char if char.isalnum() or char == "_" else " " for char in text).split()
    assert characters.may_hold_identifiers(text) or not any(map(characters.parts_of, words))


def test_every_compatible_character_of_punctuation_parts_words() -> None:
    for code in range(0x110000):
        char = chr(code)
        stands_for = normalize("NFKC", char)
        if decomposition(char).startswith("<") and all(category(one)[0] == "P" for one in stands_for):
            joins = {"_", "'"} & set(stands_for)
            assert words_of(Analyzer("none"), f"wait{char}what") == ["wait", "what"] or joins, hex(code)


def test_a_non_breaking_hyphen_is_a_hyphen(store: PassageStore) -> None:
    texts = ["The COVID\u201119 pandemic.", "The COVID-19 pandemic.", "x"]
    store.add([Passage(str(at), text) for at, text in enumerate(texts)])
    assert set(retrieved(store, "COVID-19")) == set(retrieved(store, "COVID\u201119")) == {"0", "1"}


def test_an_identifier_is_found_by_its_parts_and_first_where_it_stands_whole(store: PassageStore) -> None:
    texts = [
        "Call getUserName once.",
        "Call get_user_name once.",
        "How to get the name of a user: name, name, user.",
        "x",
    ]
    store.add([Passage(str(at), text) for at, text in enumerate(texts)])
    for question, first in (("getUserName", "0"), ("get_user_name", "1"), ("getusername", "0")):
        assert retrieved(store, question)[0] == first
    assert set(retrieved(store, "user name")) == {"0", "1", "2"}


def test_the_english_possessive_is_no_word() -> None:
    analyzer = Analyzer()
    for text in ("king's", "king’s", "KING’S", "the king＇s", "kings", "(king's)", "the king’s—"):
        assert counted(analyzer, text) == counted(analyzer, "king"), text
    assert counted(analyzer, "the king's café") == counted(analyzer, "king café")
    assert words_of(analyzer, "the letter s, 's, king'sx 'summer") == "the letter s s king sx summer".split()
    assert counted(Analyzer("none"), "king's") != counted(Analyzer("none"), "king")


def test_the_memory_of_words_is_bounded_and_changes_no_term(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "_KEPT_WORDS", 100)
    small, text = Analyzer(), " ".join(f"word{at % 150}" for at in range(600))
    assert counted(small, text) == Counter({next(iter(counted(Analyzer(), f"word{at}"))): 4 for at in range(150)})
    assert len(small._known) <= 100


def test_other_languages_have_their_own_stems_and_stop_words() -> None:
    german = Analyzer("german")
    assert counted(german, "die Häuser") == counted(german, "Haus")
    assert counted(german, "the") != Counter()
    with pytest.raises(IndexKindError, match="language is 'klingon', expected one of arabic"):
        Analyzer("klingon")


@pytest.mark.parametrize("wrong", [{"k1": -1}, {"k1": math.inf}, {"b": 1.1}, {"b": True}])
def test_parameters_are_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(VectorError, match=next(iter(wrong))):
        BM25(**wrong)


PLAYS = [
    Passage("1", "a tragedy by Shakespeare", "Hamlet", {"year": 1601}),
    Passage("2", "a comedy by Shakespeare", "Errors", {"year": 1594}),
    Passage("3", "a tragic play by Goethe", "Faust", {"year": 1808}),
    Passage("4", "the tragedy of a king and of a king's daughters", "Lear", {"year": 1606}),
]


def test_titles_count_and_words_find_what_holds_them(store: PassageStore) -> None:
    store.add(PLAYS)
    retriever = Retriever(store, mode="bm25")
    assert [hit.passage.id for hit in retriever.retrieve("Hamlet")] == ["1"]
    (hit,) = retriever.retrieve("faust")
    assert (hit.bm25, hit.dense, hit.rank) == (hit.score, None, 1)
    assert retriever.retrieve("nothing of the kind") == []
    assert retriever.retrieve("the of") == []
    for question in ("tragedy king", "kings", "Shakespeare's comedy of Errors", "king king tragedy"):
        assert_is_formula(store, question)
        assert_is_formula(store, question, BM25(1.2, 0.75))


def test_words_follow_every_change(store: PassageStore) -> None:
    store.add(PLAYS)
    assert_is_formula(store, "tragedy king")
    store.add([Passage("5", "king of kings")])
    assert_is_formula(store, "tragedy king")
    store.add([Passage("1", "no play at all")])
    retriever = Retriever(store, mode="bm25")
    assert "1" not in [hit.passage.id for hit in retriever.retrieve("tragedy hamlet")]
    assert retriever.retrieve("play at all")[0].passage.id == "1"
    assert_is_formula(store, "tragedy king")  # what was replaced counts no longer
    store.delete(["4"])
    assert [hit.passage.id for hit in retriever.retrieve("king")] == ["5"]
    assert_is_formula(store, "tragedy king")
    store.optimize()
    assert_is_formula(store, "tragedy king")


def test_filters_select_before_the_top_k(store: PassageStore) -> None:
    store.add(PLAYS)
    retriever = Retriever(store, mode="bm25", k=1)
    everything = [hit.passage.id for hit in retriever.retrieve("tragedy Shakespeare king", 4)]
    for where, kept in (({"year": {"$lt": 1605}}, {"1", "2"}), (lambda one: one.id in "24", {"2", "4"})):
        expected = [one for one in everything if one in kept]
        assert [hit.passage.id for hit in retriever.retrieve("tragedy Shakespeare king", 4, where)] == expected
        assert [hit.passage.id for hit in retriever.retrieve("tragedy Shakespeare king", filter=where)] == expected[:1]


def many(count: int, start: int = 0) -> list[Passage]:
    names = np.random.default_rng(start).integers(0, 400, (count, 8))
    return [Passage(str(start + at), " ".join(f"w{name}" for name in row)) for at, row in enumerate(names)]


def test_postings_on_disk_serve_the_next_process(
    tmp_path: Path, encoder: HashEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lexicon, "MIN_PASSAGES_TO_WRITE", 100)
    with PassageStore.open(tmp_path / "s", encoder=encoder) as store:
        store.add(many(150))
        assert store._engine.state().lexical is None  # nobody has asked for words
        Retriever(store, mode="bm25").retrieve("w1")
        assert store._engine.state().lexical["count"] == 150
        store.add(many(20, 150))
        assert store._engine.state().lexical["count"] == 150
        store.delete([str(at) for at in range(30)])
        store.add(many(120, 170))
        store.wait_for_compaction()
        assert store._engine.state().lexical["count"] == 260
        assert_is_formula(store, "w1 w2 w3 w1")
        store.check()
        assert len(list((tmp_path / "s" / "index").glob("words-*"))) == 1
    analyzed: list[str] = []
    real = Analyzer.passage
    monkeypatch.setattr(Analyzer, "passage", lambda self, one: (analyzed.append(one.id), real(self, one))[1])
    with PassageStore.open(tmp_path / "s", encoder=encoder, read_only=True) as store:
        assert_is_formula(store, "w1 w2 w3 w1")
    assert analyzed == []


@pytest.mark.parametrize("name", ["rows", "lengths", "terms", "starts", "places", "counts"])
def test_a_damaged_segment_is_noticed_and_left(
    tmp_path: Path, encoder: HashEncoder, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    with PassageStore.open(tmp_path / "s", encoder=encoder) as store:
        store.add(many(50))
        Retriever(store, mode="bm25").retrieve("w1")
        lexicon.write_postings(store._engine)
    (path,) = (tmp_path / "s" / "index").glob(f"words-*/{name}")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with PassageStore.open(tmp_path / "s", encoder=encoder) as store:
        with pytest.raises(StoreCorrupted, match="optimize"):
            store.check()
        with caplog.at_level(logging.WARNING):
            assert_is_formula(store, "w1 w2")
        assert f"{name} is missing or does not match its checksum" in caplog.text
        store.optimize()
        assert store.check().passages == 50
        assert_is_formula(store, "w1 w2")


def other_words(row: int, passage: Passage) -> Passage | None:
    return Passage("x", "other words")


def other_in_one(row: int, passage: Passage) -> Passage | None:
    return passage if row != 30 else Passage("x", f"{passage.text} w1")


def lacks_one(row: int, passage: Passage) -> Passage | None:
    return None if row == 30 else passage


def lacks_the_last(row: int, passage: Passage) -> Passage | None:
    return None if row == 50 else passage


def lacks_all(row: int, passage: Passage) -> Passage | None:
    return None


def replace_postings(store: PassageStore, postings: Postings) -> None:
    """Put other postings into the place of those on disk, with checksums that fit."""
    state = store._engine.state()
    files = postings.write(store.path / "index" / state.lexical["directory"])
    with store._engine.writing() as writer:
        writer.now = replace(state, lexical={**state.lexical, "files": files})
        writer.commit_state()


@pytest.mark.parametrize("wrong", [other_words, other_in_one, lacks_one, lacks_the_last, lacks_all])
def test_check_holds_the_postings_against_the_texts(
    store: PassageStore, wrong: Callable[[int, Passage], Passage | None]
) -> None:
    store.add(many(50))
    lexicon.write_postings(store._engine)
    store.delete(["3"])
    store.add(many(5, 50))
    assert store.check().passages == 54
    numbered = [(row, wrong(row, one)) for row, one in enumerate(many(50), 1)]
    replace_postings(store, Postings.of([(row, one) for row, one in numbered if one is not None], Analyzer()))
    with pytest.raises(StoreCorrupted, match="hold other words than the passages; optimize"):
        store.check()
    store.optimize()
    assert store.check().passages == 54
    assert_is_formula(store, "w1 w2")


def test_the_language_is_the_stores(tmp_path: Path, encoder: HashEncoder, caplog: pytest.LogCaptureFixture) -> None:
    with PassageStore.open(tmp_path / "s", encoder=encoder, language="german") as store:
        store.add([Passage("1", "die Häuser"), Passage("2", "ein Baum")])
        retriever = Retriever(store, mode="bm25")
        assert [hit.passage.id for hit in retriever.retrieve("Haus")] == ["1"]
        store.optimize(language="none")
        assert retriever.retrieve("Haus") == []
        assert [hit.passage.id for hit in retriever.retrieve("häuser")] == ["1"]
        with pytest.raises(IndexKindError, match="klingon"):
            store.optimize(language="klingon")
    with (
        caplog.at_level(logging.WARNING),
        PassageStore.open(tmp_path / "s", encoder=encoder, language="dutch") as store,
    ):
        assert "keeps its language 'none'" in caplog.text


def test_words_need_no_encoder() -> None:
    with PassageStore.temporary() as store:
        store.add(PLAYS, vectors=np.eye(4))
        assert [hit.passage.id for hit in Retriever(store, mode="bm25").retrieve("Goethe")] == ["3"]
        with pytest.raises(EncoderMismatchError, match="without an encoder"):
            Retriever(store, mode="hybrid").retrieve("Goethe")
        with pytest.raises(VectorError, match="needs questions in words"):
            Retriever(store, mode="bm25").retrieve_by_vectors(np.eye(4))


@pytest.mark.parametrize("weight", [None, 0.05, 2.0])
@pytest.mark.parametrize(("index", "dtype"), [(None, "float32"), ("flat", "float16"), ("hnsw:efSearch=400", "float32")])
def test_hybrid_is_the_fusion_of_both_legs(
    tmp_path: Path, encoder: HashEncoder, index: str | None, dtype: str, weight: float | None
) -> None:
    passages, question = many(400), "w1 w2 w3"
    ranking = Ranking("hybrid", weight, "rrf" if weight is None else "weighted", candidates=20)
    with PassageStore.open(tmp_path / "s", encoder=encoder, dtype=dtype) as store:
        store.add(passages[:300])
        if index:
            store.optimize(index=index)
        store.add(passages[300:])
        store.delete(["7", "120", "280", "301", "390"])
        hits = Retriever(store, k=40, ranking=ranking).retrieve(question)
        known = [
            {hit.passage.id: hit.score for hit in store.rank([question], 400, ranking=leg)[0]}
            for leg in (Ranking(), Ranking("bm25", bm25=ranking.words))
        ]
    assert [hit.rank for hit in hits] == list(range(1, 41))
    places = [{name: at for at, name in enumerate(list(scores)[:40], 1)} for scores in known]
    both = {*places[0], *places[1]}
    assert len(both) > 50

    def score(name: str) -> float:
        if weight is None:
            return sum(1 / (60 + place[name]) for place in places if name in place)
        return known[1].get(name, 0.0) + weight * known[0][name]

    best = sorted(both, key=lambda name: (-score(name), -known[0][name], int(name)))[:40]
    assert [hit.passage.id for hit in hits] == best
    assert [hit.score for hit in hits] == pytest.approx([score(name) for name in best])
    assert [hit.dense for hit in hits] == [known[0][name] for name in best]
    assert [hit.bm25 for hit in hits] == pytest.approx([known[1].get(name, 0.0) for name in best])


def test_damage_that_only_the_lexical_leg_meets_is_noticed(
    tmp_path: Path, encoder: HashEncoder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "BLOCK_BYTES", encoder.dim * 4)  # each vector has a checksum of its own
    question, ranking = "w1 w2 w3", Ranking("hybrid", 0.01, candidates=1)
    with PassageStore.open(tmp_path / "s", encoder=encoder) as store:
        store.add(many(3000))
        store.optimize(index="hnsw")
        exact = {one.passage.id: one.score for one in Retriever(store, k=3000).retrieve(question)}
        found = Retriever(store, k=1, ranking=ranking).retrieve(question)[0].passage.id
        order = [one.id for one in store]
    assert list(exact).index(found) > 200
    path = next((tmp_path / "s").rglob("vectors"))
    content = bytearray(path.read_bytes())
    content[order.index(found) * encoder.dim * 4] ^= 1
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING), PassageStore.open(tmp_path / "s", encoder=encoder) as store:
        Retriever(store, k=1).retrieve(question)
        assert "checksum" not in caplog.text
        (hit,) = Retriever(store, k=1, ranking=ranking).retrieve(question)
    assert "does not match its checksum" in caplog.text
    assert (hit.passage.id, hit.dense) == (found, exact[found])


def test_what_a_hybrid_ranking_chooses_from(store: PassageStore, encoder: HashEncoder) -> None:
    store.add(many(60))
    asked, ranking = ["w1 w2 w3", "w4 w5"], Ranking("hybrid", candidates=9)
    found = store.candidates(asked, ranking)
    for at, question in enumerate(asked):
        lists = (found.legs[at].dense, found.legs[at].bm25, found.alone[at])
        for listed, leg in zip(lists, (Ranking(), Ranking("bm25", bm25=ranking.words), Ranking("bm25")), strict=True):
            hits = store.rank([question], 9, ranking=leg)[0]
            assert [found.passages[row] for row in listed.rows.tolist()] == [hit.passage for hit in hits]
            assert listed.scores.tolist() == [hit.score for hit in hits]
    with pytest.raises(VectorError, match="mode is 'bm25', expected 'hybrid'"):
        store.candidates(asked, Ranking("bm25"))
    for call in (
        store.candidates,
        lambda questions, ranking, **given: store.rank(questions, 3, ranking=ranking, **given),
    ):
        with pytest.raises(VectorError, match="1"):
            call(asked, ranking, vectors=encoder.encode_questions(asked[:1]))


@pytest.mark.parametrize("mode", ["dense", "bm25", "hybrid"])
def test_filters_deletions_diversity_and_thresholds_hold_in_every_mode(store: PassageStore, mode: str) -> None:
    store.add([Passage(one.id, one.text, metadata={"even": int(one.id) % 2 == 0}) for one in many(200)])
    store.delete([str(at) for at in range(50)])
    fusions = {"hybrid": ((None, "rrf"), (None, "weighted"), (0.1, "weighted"))}.get(mode, ((None, None),))
    question = " ".join(next(iter(store.get(["77"]))).text.split()[::2])
    for weight, fusion in fusions:
        retriever = Retriever(store, k=12, mode=mode, weight=weight, fusion=fusion)
        hits = retriever.retrieve(question, filter={"even": False})
        assert hits[0].passage.id == "77"
        assert all(int(hit.passage.id) % 2 and int(hit.passage.id) >= 50 for hit in hits)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        diverse = retriever.retrieve(question, 5, {"even": False}, diversity=Diversity(candidates=12, balance=0.0))
        assert diverse[0] == hits[0]
        assert {hit.passage.id for hit in diverse} <= {hit.passage.id for hit in hits}
        plain = retriever.retrieve(question, 5, {"even": False}, diversity=Diversity(candidates=12, balance=1.0))
        assert [hit.passage.id for hit in plain] == [hit.passage.id for hit in hits[:5]]
        relevances = [retriever.relevance(hit.score) for hit in hits]
        assert 1 >= relevances[0] >= relevances[-1] >= 0
        assert retriever.retrieve(question, filter={"even": False}, min_relevance=relevances[2])[:3] == hits[:3]
        assert retriever.retrieve(question, min_relevance=(relevances[0] + 1) / 2) == []


def test_modes_are_checked(store: PassageStore) -> None:
    with pytest.raises(VectorError, match="mode is 'sparse', expected one of dense, bm25, hybrid"):
        Retriever(store, mode="sparse")
    with pytest.raises(VectorError, match="weight goes with mode='hybrid'"):
        Retriever(store, weight=1.0)
    with pytest.raises(VectorError, match="ranking was given together with mode"):
        Retriever(store, mode="bm25", ranking=Ranking())


def test_three_passages_suggest_a_weight(store: PassageStore) -> None:
    texts = ("alpha beta gamma delta", "zeta beta gamma epsilon", "eta theta iota kappa")
    store.add([Passage(str(at), text) for at, text in enumerate(texts)])
    assert store.suggested_weight() != 1.0


def test_the_suggested_weight_lets_both_legs_differ_by_as_much(store: PassageStore, encoder: HashEncoder) -> None:
    store.add(many(300))
    passages, vectors = store.sample(64)
    spreads = []
    for at, passage in enumerate(passages):
        question = calibrating.stretch_of(passage)
        words = {hit.passage.id: hit.score for hit in Retriever(store, k=300, mode="bm25").retrieve(question)}
        others = [place for place in range(64) if place != at]
        products = vectors[others].astype(np.float64) @ encoder.encode_questions([question])[0].astype(np.float64)
        spreads.append((np.std([words.get(passages[place].id, 0.0) for place in others]), np.std(products)))
    weight = store.suggested_weight()
    assert weight == pytest.approx(
        np.mean([one for one, _ in spreads]) / np.mean([one for _, one in spreads]), rel=1e-5
    )


def test_hybrid_finds_a_weight_for_each_question(store: PassageStore, encoder: HashEncoder) -> None:
    store.add(many(300))
    drawn = sample_prose(store._engine, 256)[2].astype(np.float64)
    for question in ("w1 w2 w3", "w7 w90", "nothing known"):
        spread = np.std(drawn @ encoder.encode_questions([question])[0].astype(np.float64))
        words = Retriever(store, k=1, ranking=Ranking("bm25", bm25=BM25(phrases=0.5))).retrieve(question)
        best = words[0].score if words else 0.0
        hits = Retriever(store, k=20, mode="hybrid").retrieve(question)
        weight = max(best, 1.0) / (5 * spread)
        assert [hit.score for hit in hits] == pytest.approx([hit.dense + hit.bm25 / weight for hit in hits])
        assert hits == Retriever(store, k=20).store.rank([question, "w5"], 20, ranking=Ranking("hybrid"))[0]


def test_too_few_passages_suggest_an_even_weight(store: PassageStore) -> None:
    store.add(many(2))
    assert store.suggested_weight() == 1.0


def test_passages_that_are_gone_score_nothing(store: PassageStore) -> None:
    store.add(PLAYS)
    everything = ranking.scores_of(store._engine, ["tragedy king", "Goethe"], np.arange(1, 5), BM25())
    store.delete(["4"])
    store.optimize()
    left = ranking.scores_of(store._engine, ["tragedy king", "Goethe"], np.array([1, 2, 3, 4, 9]), BM25())
    assert left[:, 3:].tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert (left[:, :3] > 0).tolist() == (everything[:, :3] > 0).tolist()
    assert everything[0, 3] > 0


def test_the_phrases_of_passages_that_are_gone_score_nothing(store: PassageStore) -> None:
    store.add(PLAYS)
    before = ranking.scores_of(store._engine, ["tragedy by Shakespeare"], np.arange(1, 5), BM25(phrases=9))
    store.delete(["1"])  # others hold both words, but not side by side
    after = ranking.scores_of(store._engine, ["tragedy by Shakespeare"], np.arange(1, 5), BM25(phrases=9))
    assert before[0, 0] > before[0, 1:].max() > 0
    assert after[0, 0] == 0
    assert (after[0, 1:] > 0).tolist() == [True, False, True]


def test_statistics_count_only_what_is_stored(tmp_path: Path, encoder: HashEncoder) -> None:
    with PassageStore.open(tmp_path / "s", encoder=encoder) as store:
        store.add(many(120))
        Retriever(store, mode="bm25").retrieve("w1")
        lexicon.write_postings(store._engine)
        store.delete([str(at) for at in range(40)])
        store.add(Passage(str(at), f"w1 new words {'and more ' * at}") for at in range(60, 90))
        assert_is_formula(store, "w1 w2 w3 w1", k=200)
        store.add([Passage("77", "w1", metadata={"n": 1})])
        assert_is_formula(store, "w1 w2 w3 w1", k=200)
        found = seen(Retriever(store, k=200, mode="bm25").retrieve("w1 w2 w3 w1"))
        with PassageStore.open(tmp_path / "s", encoder=encoder) as fresh:
            assert seen(Retriever(fresh, k=200, mode="bm25").retrieve("w1 w2 w3 w1")) == found
        store.optimize()
        assert seen(Retriever(store, k=200, mode="bm25").retrieve("w1 w2 w3 w1")) == found


def texts_of(store: PassageStore, question: str) -> list[str]:
    return [hit.passage.text for hit in Retriever(store, mode="bm25").retrieve(question)]


def before_words(monkeypatch: pytest.MonkeyPatch, change: Callable[[], None]) -> None:
    """Have something happen once, between a search's snapshot and its look at the words."""
    real, done = ranking.lexicon, []

    def slowly(*given: Any) -> Any:
        if not done:
            done.append(True)
            change()
        return real(*given)

    monkeypatch.setattr(ranking, "lexicon", slowly)


@pytest.mark.parametrize("kept", [False, True])
def test_a_passage_replaced_while_a_search_runs_is_found_old_or_new(
    store: PassageStore, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    store.add(PLAYS[:2])
    if kept:
        lexicon.write_postings(store._engine)
    store.add(PLAYS[2:])

    def replaced() -> None:
        store.add([Passage("3", "a new play by Goethe")])
        assert texts_of(store, "Goethe") == ["a new play by Goethe"]

    before_words(monkeypatch, replaced)
    assert texts_of(store, "Goethe") == ["a new play by Goethe"]


def test_a_search_stays_in_its_generation_while_others_go_ahead(
    store: PassageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(PLAYS)
    before = seen(Retriever(store, mode="bm25").retrieve("tragedy king"))

    def changed() -> None:
        store.add([Passage("1", "a king"), Passage("5", "king of kings")])
        lexicon.write_postings(store._engine)
        assert seen(Retriever(store, mode="bm25").retrieve("tragedy king")) != before

    builds = []
    real = Postings.of
    monkeypatch.setattr(Postings, "of", lambda *given: (builds.append(1), real(*given))[1])
    store.delete(["5"])  # another generation, so that the search has to look again
    builds.clear()
    before_words(monkeypatch, changed)
    found = seen(Retriever(store, mode="bm25").retrieve("tragedy king"))
    assert found != before  # the old text of 1 is in no postings any more, so that the search began anew
    assert_is_formula(store, "tragedy king")
    assert len(builds) == 1


def test_a_language_changed_while_a_search_runs_counts(store: PassageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add([Passage("1", "die Häuser"), Passage("2", "ein Baum")])

    def changed() -> None:
        store.optimize(language="german")
        assert texts_of(store, "Haus") == ["die Häuser"]

    before_words(monkeypatch, changed)
    assert texts_of(store, "Haus") == ["die Häuser"]


def test_postings_that_lack_passages_are_not_used(
    store: PassageStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(PLAYS)
    lexicon.write_postings(store._engine)
    some = [(row, one) for row, one in enumerate(PLAYS, 1) if row != 3]
    replace_postings(store, Postings.of(some, Analyzer()))
    with caplog.at_level(logging.WARNING):
        assert texts_of(store, "Goethe") == ["a tragic play by Goethe"]
    assert "lacks row 3" in caplog.text


def test_a_passage_lost_from_the_store_is_noticed_by_words(store: PassageStore) -> None:
    store.add(PLAYS)
    with store._engine.writing() as writer:
        writer.connection.execute("DELETE FROM passage WHERE row = 3")
    with pytest.raises(StoreCorrupted, match="row 3 is indexed but missing"):
        texts_of(store, "Shakespeare")


def test_masks_of_recent_filters_are_remembered(store: PassageStore) -> None:
    store.add(PLAYS)
    texts_of(store, "king")
    filters = [parse_filter({"year": {"$lt": year}}) for year in range(1590, 1640)]

    def masks(reader: StoreReader, snapshot: Snapshot) -> None:
        known = lexicon.lexicon(store._engine, reader, snapshot)
        first, second = (known.alive(reader, snapshot, one) for one in filters[:2])
        assert known.alive(reader, snapshot, filters[0]) is first
        assert known.alive(reader, snapshot, filters[1]) is second
        found = [known.alive(reader, snapshot, one) for one in filters]
        assert [int(mask.sum()) for mask in found] == [
            sum(one.metadata["year"] < year for one in PLAYS) for year in range(1590, 1640)
        ]
        assert list(known.masks) == filters[-32:]

    store._engine.with_snapshot(masks)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Postings of few passages are worth keeping already."""
    monkeypatch.setattr(lexicon, "MIN_PASSAGES_TO_WRITE", 100)


def kept_of(store: PassageStore) -> int:
    lexical = store._engine.state().lexical
    return 0 if lexical is None else lexical["count"]


def folders_of(store: PassageStore) -> list[str]:
    return [path.name for path in (store.path / "index").iterdir()]


@pytest.mark.usefixtures("eager")
def test_a_question_does_not_wait_for_a_writer(
    tmp_path: Path, encoder: HashEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    with PassageStore.open(tmp_path / "s", encoder=encoder, timeout=300) as store:
        store.add(many(150))
        with PassageStore.open(tmp_path / "s") as other, other._engine.writing(), caplog.at_level(logging.INFO):
            started = time.monotonic()
            assert_is_formula(store, "w1 w2")
            assert time.monotonic() - started < 200  # writers wait longer
        assert "postings stay in memory" in caplog.text
        assert (kept_of(store), folders_of(store)) == (0, [])
        store.add(many(1, 150))
        assert_is_formula(store, "w1 w2")
        assert kept_of(store) == 151


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("use", ["search", "add"])
def test_a_full_disk_keeps_postings_in_memory(
    store: PassageStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, use: str
) -> None:
    store.add(many(90))
    Retriever(store, mode="bm25").retrieve("w1")
    if use == "add":
        lexicon.write_postings(store._engine)
    tried = []
    monkeypatch.setattr(background, "FIRST_PAUSE", 100.0)  # longer than this test takes

    def full(*_: object) -> None:
        tried.append(1)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Postings, "write", full)
        assert store.add(many(200, 90)).added == 200
        store.wait_for_compaction()
        assert_is_formula(store, "w1 w2")
        assert_is_formula(store, "w1 w2")
    assert tried == ([1] if use == "search" else [1, 1])  # in the background, and once by the first question
    assert "No space left on device" in caplog.text
    assert not [name for name in folders_of(store) if name.startswith("building")]
    store.add(many(1, 290))
    assert_is_formula(store, "w1 w2")
    assert kept_of(store) == 291


@pytest.mark.usefixtures("eager")
def test_a_commit_that_fails_leaves_no_postings_behind(store: PassageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add(many(150))

    def full(_: object) -> None:
        raise StoreError("the database is full")

    with monkeypatch.context() as patched:
        patched.setattr(StoreWriter, "commit_state", full)
        assert_is_formula(store, "w1 w2")
    assert (kept_of(store), folders_of(store)) == (0, [])


@pytest.mark.usefixtures("eager")
def test_damage_is_no_reason_to_go_on(store: PassageStore) -> None:
    store.add(many(150))
    with store._engine.writing() as writer:
        writer.connection.execute("UPDATE passage SET text = 'other' WHERE row = 7")
    with pytest.raises(StoreCorrupted, match="passage '6'"):
        lexicon.write_first(store._engine)


@pytest.mark.usefixtures("eager")
def test_damage_that_postings_meet_fails_no_add(store: PassageStore, caplog: pytest.LogCaptureFixture) -> None:
    store.add(many(90))
    lexicon.write_postings(store._engine)
    store.add(many(90, 90))
    with store._engine.writing() as writer:
        writer.connection.execute("UPDATE passage SET text = 'other' WHERE row = 107")
    assert store.add(many(90, 200)).added == 90
    assert store.wait_for_compaction()
    assert "passage '106'" in store.info().compaction
    assert "what was changed is stored" in caplog.text
    assert kept_of(store) == 90


class HeldPostings:
    """Postings whose passages are read no further than to the third until they are let through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.may_pass, self.begun = threading.Event(), threading.Event(), 0
        original = lexicon.with_checkpoints

        def held(items: Any, checkpoint: Any, **options: Any) -> Iterator[Any]:
            self.begun += 1
            for at, item in enumerate(original(items, checkpoint, **options)):
                while at == 3 and not self.may_pass.wait(0.001):
                    self.reached.set()
                    checkpoint()
                yield item

        monkeypatch.setattr(lexicon, "with_checkpoints", held)


@pytest.fixture
def held(store: PassageStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldPostings]:
    """A store that was asked for words, and writes the postings of 300 passages after 90 were written."""
    monkeypatch.setattr(lexicon, "MIN_PASSAGES_TO_WRITE", 100)
    store.add(many(90))
    lexicon.write_postings(store._engine)
    made = HeldPostings(monkeypatch)
    store.add(many(210, 90))
    assert made.reached.wait(60)
    yield made
    made.may_pass.set()


def test_no_add_waits_for_postings(store: PassageStore, held: HeldPostings) -> None:
    assert store.info().compaction == "running"
    assert store.add(many(5, 300)).added == 5
    assert store.delete(["7"]) == 1
    assert not store.wait_for_compaction(0.01)
    assert kept_of(store) == 90
    held.may_pass.set()
    assert store.wait_for_compaction(60)
    assert (kept_of(store), store.info().compaction) == (300, "")
    assert_is_formula(store, "w1 w2")
    assert store.check().passages == 304


def test_closing_cancels_postings(tmp_path: Path, store: PassageStore, held: HeldPostings) -> None:
    thread = store._engine.background._thread
    assert any(name.startswith("building") for name in folders_of(store))
    store.close()
    assert thread is not None
    assert not thread.is_alive()
    assert [name.partition("-")[0] for name in folders_of(store)] == ["words"]
    held.may_pass.set()
    with PassageStore.open(store.path, encoder=HashEncoder()) as again:
        assert kept_of(again) == 90
        again.delete(["7"])
        assert again.wait_for_compaction(60)
        assert kept_of(again) == 299


def test_optimize_writes_the_postings_that_it_cancels(store: PassageStore, held: HeldPostings) -> None:
    threading.Timer(0.2, held.may_pass.set).start()
    store.optimize()
    assert kept_of(store) == 300
    assert store.wait_for_compaction(60)
    assert store.info().compaction == ""
    assert_is_formula(store, "w1 w2")


def test_a_fork_waits_for_no_postings(store: PassageStore, held: HeldPostings) -> None:
    """They are cancelled and begun anew; a child of a process that reads would have to refuse."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if store.count() == 300 and not store._engine.background.is_running else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    held.may_pass.set()
    assert store.wait_for_compaction(60)
    assert kept_of(store) == 300
    assert held.begun > 1


@pytest.mark.usefixtures("eager")
def test_first_questions_at_once_build_and_write_once(store: PassageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add(many(150))
    expected = formula({one.id: one.text for one in many(150)}, "w1 w2", BM25())
    analyzed: list[str] = []
    written: list[Path] = []
    analyze, write = Analyzer.passage, Postings.write
    monkeypatch.setattr(Analyzer, "passage", lambda self, one: (analyzed.append(one.id), analyze(self, one))[1])
    monkeypatch.setattr(Postings, "write", lambda self, path: (written.append(path), write(self, path))[1])
    start = threading.Barrier(8)

    def ask(_: int) -> list[tuple[str, float]]:
        start.wait()
        return seen(Retriever(store, k=200, mode="bm25").retrieve("w1 w2"))

    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(ask, range(8)):
            assert dict(found) == pytest.approx(expected)
    assert sorted(analyzed) == sorted(one.id for one in many(150))
    assert (len(written), kept_of(store)) == (1, 150)


@pytest.mark.usefixtures("eager")
def test_what_is_due_is_written_once_and_by_one_thread(store: PassageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add(many(90))
    lexicon.write_postings(store._engine)
    written: list[int] = []
    write = Postings.write
    monkeypatch.setattr(Postings, "write", lambda self, path: (written.append(1), write(self, path))[1])
    holding, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        with store._engine.postings_lock:
            holding.set()
            may_end.wait()

    with ThreadPoolExecutor(3) as pool:
        builder = pool.submit(hold)
        holding.wait()
        try:  # neither an addition nor a question waits for whoever builds
            for one in [pool.submit(store.add, many(150, start)) for start in (200, 400)]:
                one.result()
            assert_is_formula(store, "w1 w2")
            assert store.wait_for_compaction()
        finally:
            may_end.set()
        builder.result()
        assert written == []
        for one in [pool.submit(store.delete, [name]) for name in "12"]:
            one.result()
    assert store.wait_for_compaction()
    assert (len(written), kept_of(store)) in ((1, 388), (1, 389))


@pytest.mark.usefixtures("eager")
def test_postings_are_written_anew_when_much_was_deleted(store: PassageStore) -> None:
    store.add(many(700))
    Retriever(store, mode="bm25").retrieve("w1")
    store.delete([str(at) for at in range(140)])
    assert store.wait_for_compaction()
    assert kept_of(store) == 700
    store.delete(["140"])
    assert store.wait_for_compaction()
    assert kept_of(store) == 559
    assert_is_formula(store, "w1 w2")
    store.check()


def test_postings_of_another_analysis_are_not_used(tmp_path: Path, encoder: HashEncoder) -> None:
    with PassageStore.open(tmp_path / "s", encoder=encoder) as store:
        store.add(PLAYS)
        lexicon.write_postings(store._engine)
        old = {name: value for name, value in store._engine.state().lexical.items() if name != "analysis"}
        for lexical in (old, {**old, "analysis": "another"}):
            replace_postings(store, Postings.of([(row, Passage("x", "king king")) for row in range(1, 5)], Analyzer()))
            with store._engine.writing() as writer:
                writer.now = replace(writer.now, lexical={**lexical, "files": writer.now.lexical["files"]})
                writer.commit_state()
            # as a process that has asked for no words yet
            store._engine.lexicon, store._engine.has_replaced_postings = None, False
            assert store.check().passages == 4
            with PassageStore.open(tmp_path / "s", encoder=encoder, read_only=True) as reader:
                assert_is_formula(reader, "tragedy king")
            assert_is_formula(store, "tragedy king")
            assert store._engine.state().lexical["analysis"] == analysis_of("english")


@pytest.mark.parametrize("cause", ["add", "search"])
def test_damaged_postings_are_written_anew_however_few(tmp_path: Path, encoder: HashEncoder, cause: str) -> None:
    with PassageStore.open(tmp_path / "s", encoder=encoder) as store:
        store.add(many(50))
        lexicon.write_postings(store._engine)
    (path,) = (tmp_path / "s" / "index").glob("words-*/terms")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with PassageStore.open(tmp_path / "s", encoder=encoder) as store:
        Retriever(store, mode="bm25").retrieve("w1")  # notices
        if cause == "add":
            store.add(many(1, 50))
            store.wait_for_compaction()
        else:
            Retriever(store, mode="bm25").retrieve("w1")
        assert kept_of(store) == len(store)
        store.check()
    with PassageStore.open(tmp_path / "s", read_only=True) as store:
        assert_is_formula(store, "w1 w2")
        assert store._engine.unusable == []
