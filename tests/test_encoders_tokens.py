"""Token ids and segments, written out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_models as tiny

from dpr_rag import DualEncoder, Passage
from dpr_rag.encoders.folders import find_folder
from dpr_rag.encoders.profiles import PROFILES, Profile
from dpr_rag.encoders.runtime import batches
from dpr_rag.encoders.tokens import Tokens, TokenSequence, longest_first, normalize_passage
from dpr_rag.encoders.towers import load_tower
from dpr_rag.errors import ModelError

CLS, SEP, UNK = 2, 3, 1
DPR = PROFILES["dpr"]


def ids(*words: str) -> list[int]:
    return [tiny.IDS[word] for word in words]


def tokens(folder: Path, profile: Profile = DPR) -> Tokens:
    return Tokens(load_tower(find_folder(folder)), profile)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.bert(tmp_path_factory.mktemp("bert") / "m")


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.ance(tmp_path_factory.mktemp("roberta") / "m")


def passage(text: str, title: str = "") -> Passage:
    return Passage(id="1", text=text, title=title)


def test_title_pair_has_zero_segments(bert: Path) -> None:
    found = tokens(bert).passages([passage("  Hamlet is a\ntragedy. ", " The King ")])
    expected = [CLS, *ids("the", "king"), SEP, *ids("hamlet", "is", "a", "tragedy", "."), SEP]
    assert found == [TokenSequence(expected, second=4, truncated=False)]
    (batch,) = batches(found, budget=100, pad=0, segments=DPR.segments)
    assert batch.ids.tolist() == [expected]
    assert batch.segments.tolist() == [[0] * 10]
    assert batch.mask.tolist() == [[1] * 10]


def test_minilm_pair_has_segments_as_tokenised(bert: Path) -> None:
    found = tokens(bert, PROFILES["minilm"]).passages([passage("is a king", "hamlet"), passage("king")])
    (batch,) = batches(found, budget=100, pad=0, segments=PROFILES["minilm"].segments)
    assert batch.ids.tolist() == [
        [CLS, *ids("hamlet"), SEP, *ids("is", "a", "king"), SEP],
        [CLS, *ids("king"), SEP, 0, 0, 0, 0],
    ]
    assert batch.segments.tolist() == [[0, 0, 0, 1, 1, 1, 1], [0] * 7]
    assert batch.mask.tolist() == [[1] * 7, [1, 1, 1, 0, 0, 0, 0]]


@pytest.mark.parametrize("title", ["", "  \t"])
def test_empty_title_is_no_pair(bert: Path, title: str) -> None:
    found = tokens(bert).passages([passage("a king", title)])
    assert found == [TokenSequence([CLS, *ids("a", "king"), SEP], second=4, truncated=False)]


def test_word_pieces_and_unknown_words(bert: Path) -> None:
    assert tokens(bert).questions(["Denmark unheard"])[0].ids == [CLS, *ids("den", "##mark"), UNK, SEP]


def test_apostrophe_becomes_plain_in_questions_only(bert: Path) -> None:
    assert tokens(bert).questions(["king’ is"])[0].ids == [CLS, *ids("king", "'", "is"), SEP]
    assert tokens(bert).passages([passage("king’ is")])[0].ids == [CLS, *ids("king", "’", "is"), SEP]
    assert tokens(bert, PROFILES["contriever"]).questions(["king’"])[0].ids == [CLS, *ids("king", "’"), SEP]


def test_prefixes_stand_before_questions_and_titles(bert: Path) -> None:
    e5 = tokens(bert, PROFILES["e5"])
    assert e5.questions([" a king"])[0].ids == [CLS, *ids("query", ":", "a", "king"), SEP]
    found = e5.passages([passage("is king", "hamlet"), passage("is king")])
    assert found[0].ids == [CLS, *ids("passage", ":", "hamlet", "is", "king"), SEP]
    assert found[1].ids == [CLS, *ids("passage", ":", "is", "king"), SEP]


def test_prefix_of_a_pair_stands_before_its_title(bert: Path) -> None:
    pair = Profile("own", "cls", "pair", passage_prefix="passage: ")
    found = tokens(bert, pair).passages([passage("is king", "hamlet"), passage("is king")])
    assert found[0].ids == [CLS, *ids("passage", ":", "hamlet"), SEP, *ids("is", "king"), SEP]
    assert found[1].ids == [CLS, *ids("passage", ":", "is", "king"), SEP]


def test_title_policy_none_leaves_the_title_out(bert: Path) -> None:
    assert tokens(bert, PROFILES["tas-b"]).passages([passage("is king", "hamlet")])[0].ids == [
        CLS,
        *ids("is", "king"),
        SEP,
    ]


def test_truncation_ends_with_the_separator(bert: Path) -> None:
    short = Profile("short", "cls", "pair", question_length=6, passage_length=8)
    (question,) = tokens(bert, short).questions(["who wrote a hamlet of the king"])
    assert question == TokenSequence([CLS, *ids("who", "wrote", "a", "hamlet"), SEP], second=6, truncated=True)
    text = "is a king of the"
    assert tokens(bert, short).passages([passage(text, "hamlet")])[0] == TokenSequence(
        [CLS, *ids("hamlet"), SEP, *ids("is", "a", "king", "of"), SEP], second=3, truncated=True
    )
    assert tokens(bert, short).passages([passage("is", text)])[0].ids == [
        CLS,
        *ids("is", "a", "king", "of"),
        SEP,
        *ids("is"),
        SEP,
    ]
    assert tokens(bert, short).passages([passage(text, text)])[0].ids == [
        CLS,
        *ids("is", "a"),
        SEP,
        *ids("is", "a", "king"),
        SEP,
    ]
    exact = tokens(bert, short).passages([passage("a a a a a a")])[0]
    assert exact == TokenSequence([CLS, *ids(*"aaaaaa"), SEP], second=8, truncated=False)


def test_length_is_capped_by_the_models_positions(bert: Path) -> None:
    assert len(tokens(bert).passages([passage("a " * 500)])[0].ids) == 64  # DPR's profile allows 256


@pytest.mark.parametrize("room", range(1, 12))
def test_longest_first_equals_the_tokenizers_library(bert: Path, room: int) -> None:
    tokenizer = tokens(bert).tokenizer
    tokenizer.enable_truncation(room)
    for first in range(1, 9):
        for second in range(1, 9):
            encoded = tokenizer.encode("a " * first, "a " * second, add_special_tokens=False)
            segments = encoded.sequence_ids
            assert longest_first(first, second, room) == (segments.count(0), segments.count(1))


def test_roberta_ids_pad_and_length(roberta: Path) -> None:
    found = tokens(roberta, PROFILES["ance"])
    letters = {letter: 4 + at for at, letter in enumerate(map(chr, range(33, 127)))}
    space_a, space = 4 + 94 + 1, 4 + 94
    assert found.questions([" b a"])[0].ids == [0, letters["b"], space_a, 2]
    assert found.passages([passage("bc", "b")])[0].ids == [0, letters["b"], space, letters["b"], letters["c"], 2]
    assert found.pad == 1
    (batch,) = batches(found.questions(["a", "bcd"]), budget=100, pad=found.pad, segments="zero")
    assert batch.ids.tolist() == [[0, letters["b"], letters["c"], letters["d"], 2], [0, letters["a"], 2, 1, 1]]
    assert batch.rows == [1, 0]
    assert len(found.passages([passage("b" * 500)])[0].ids) == 64  # 66 positions, of which RoBERTa uses 64


def test_roberta_pair_has_two_separators(roberta: Path) -> None:
    pair = Profile("own", "cls", "pair", head="ance", passage_length=7)
    assert tokens(roberta, pair).passages([passage("bcd", "b")])[0] == TokenSequence(
        [0, 69, 2, 2, 69, 70, 2], second=4, truncated=True
    )


@pytest.mark.parametrize(("flag", "expected"), [(None, "hamlet"), (True, "hamlet"), (False, "Hamlet")])
@pytest.mark.parametrize("written_as", ["vocab.txt", "tokenizer.json"])
def test_lower_casing_flag(tmp_path: Path, flag: bool | None, expected: str, written_as: str) -> None:
    folder = tiny.bert(tmp_path / "m")
    if written_as == "tokenizer.json":  # its own normalizer says lowercase; it also cuts and pads, which must not count
        tokenizer = tokens(folder).tokenizer
        tokenizer.enable_truncation(4)
        tokenizer.enable_padding(length=4)
        tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "vocab.txt").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps({} if flag is None else {"do_lower_case": flag}))
    assert tokens(folder).questions(["Hamlet is a king."])[0].ids == [CLS, *ids(expected, "is", "a", "king", "."), SEP]


def test_special_tokens_are_taken_from_the_files(tmp_path: Path) -> None:
    folder = tiny.bert(tmp_path / "m")
    named = {"cls_token": {"content": "the"}, "sep_token": "of"}
    (folder / "special_tokens_map.json").write_text(json.dumps(named))
    assert tokens(folder).questions(["king"])[0].ids == ids("the", "king", "of")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (tiny.VOCABULARY[5:], r"special token '\[CLS\]' is not in the vocabulary"),
        ([*tiny.VOCABULARY, "more"], "the tokenizer has 29 tokens, the model's embeddings 28 rows"),
    ],
)
def test_tokenizer_of_another_model_is_refused(tmp_path: Path, words: list[str], message: str) -> None:
    folder = tiny.bert(tmp_path / "m")
    tiny.bert_tokenizer(folder, words=words)
    with pytest.raises(ModelError, match=message):
        DualEncoder.from_pretrained(folder, profile="contriever", device="cpu", runtime="torch")


def test_no_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = tiny.bert(tmp_path / "m")
    (folder / "vocab.txt").unlink()
    with pytest.raises(ModelError, match="no tokenizer in"):
        DualEncoder.from_pretrained(folder, profile="contriever", device="cpu", runtime="torch")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one\ntwo", "one two"),
        ("the king’s", "the king's"),
        ('"quoted"', "quoted"),
        ('""twice""', '"twice"'),
        ('in "the" middle', 'in "the" middle'),
        ('"', ""),
    ],
)
def test_normalize_passage(text: str, expected: str) -> None:
    assert normalize_passage(text) == expected


def test_batches_keep_the_budget_and_every_row() -> None:
    sequences = [TokenSequence([7] * length, length, truncated=False) for length in (3, 9, 1, 4, 4, 12, 2)]
    found = list(batches(sequences, budget=10, pad=0, segments="zero"))
    assert [batch.rows for batch in found] == [[5], [1], [3, 4], [0, 6, 2]]
    assert [batch.ids.shape for batch in found] == [(1, 12), (1, 9), (2, 4), (3, 3)]
    assert found[3].ids.tolist() == [[7, 7, 7], [7, 7, 0], [7, 0, 0]]


def test_loading_a_tokenizer_needs_no_torch(bert: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from dpr_rag.encoders.folders import find_folder; from dpr_rag.encoders.towers import load_tower\n"
        "from dpr_rag.encoders.tokens import Tokens; from dpr_rag.encoders.recognition import recognise\n"
        f"folder = find_folder({str(bert)!r}); profile = recognise(folder, profile='dpr')\n"
        "found = Tokens(load_tower(folder), profile).questions(['a king'])[0].ids\n"
        "sys.stdout.write(repr((found, load_tower(folder).digest != '', 'torch' in sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == repr(([CLS, *ids("a", "king"), SEP], True, False))
