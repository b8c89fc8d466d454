"""Ligatures, full-width letters and the like are read as plain letters where a tokenizer would make nothing of them."""

from __future__ import annotations

import logging
import unicodedata
from pathlib import Path

import pytest
import tiny_models as tiny
import transformers

from dpr_rag import DualEncoder, Passage
from dpr_rag.encoders.folders import find_folder
from dpr_rag.encoders.plain_letters import PlainLetters
from dpr_rag.encoders.profiles import PROFILES
from dpr_rag.encoders.tokens import Tokens
from dpr_rag.encoders.towers import load_tower

DEFAULT = Path(str(DualEncoder.default.__code__.co_filename)).parent / "default" / "question"
SAME = {
    "coﬀee": "coffee",
    "the oﬃce of ﬁnance, a ﬂower": "the office of finance, a flower",
    "Ｔｈｅ ｃａｔ": "The cat",
    "𝐍𝐞𝐰 𝒀𝑜𝓇𝕜": "New York",
    "ⓒⓐⓣ": "c a t",
    "Ⅻ": "XII",
    "5㎏": "5 kg",
    "ｶﾀｶﾅ": "カタカナ",
    "ﻻ ﺏ": "لا ب",
    "in­for­mation": "information",
    "what﹖": "what?",
}


def of_default() -> Tokens:
    return Tokens(load_tower(find_folder(DEFAULT)), PROFILES["minilm"])


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return of_default()


@pytest.mark.parametrize("given", SAME)
def test_other_shapes_of_letters_are_read_as_the_letters(tokens: Tokens, given: str) -> None:
    assert tokens.questions([given]) == tokens.questions([SAME[given]])
    passages = [Passage("1", given, title=given), Passage("1", SAME[given], title=SAME[given])]
    assert tokens.passages(passages[:1]) == tokens.passages(passages[1:])


def test_what_the_vocabulary_holds_is_read_as_the_published_model_reads_it(tokens: Tokens) -> None:
    published = transformers.AutoTokenizer.from_pretrained(DEFAULT)
    held = [one for one in published.get_vocab() if len(one) == 1 and not "ﬀ" <= one <= "ﬆ"]
    forms = [one for one in held if unicodedata.decomposition(one).startswith("<")]
    assert {"²", "½", "…", "™", "～"} < set(forms)
    texts = [f"{one} a{one} 10{one}" for one in held]
    expected = published(texts)["input_ids"]
    assert [one.ids for one in tokens.questions(texts)] == [list(ids) for ids in expected]


@pytest.mark.parametrize("make", [tiny.bert, tiny.ance, tiny.xlm_roberta, tiny.mpnet])
def test_texts_without_such_characters_have_the_ids_of_transformers(make: object, tmp_path: Path) -> None:
    folder = make(tmp_path / "m")  # type: ignore[operator]
    texts = [*tiny.texts(20, longest=30), "Où l’été wrote — “Hamlet” 😀 春茶"]
    found = Tokens(load_tower(find_folder(folder)), PROFILES["contriever"]).questions(texts)
    assert [one.ids for one in found] == tiny.plain_ids(folder, [(text,) for text in texts], 64)


def test_what_the_tokenizers_normaliser_has_a_form_of_is_left_to_it(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    own = Tokenizer.from_file(str(tiny.xlm_roberta(tmp_path / "m") / "tokenizer.json"))
    text = "coﬀee ３½ 10² ｶﾞ …"
    assert PlainLetters(own, "<unk>").read(text) == text


def test_pieces_of_bytes_are_no_token_of_their_own(tmp_path: Path) -> None:
    found = Tokens(load_tower(find_folder(tiny.ance(tmp_path / "m"))), PROFILES["ance"])
    assert found.questions(["ｈｅ ¹⁰é x⁷\ufeff 10⁷"]) == found.questions(["he 10é x7 10 7"])


def test_a_character_of_an_added_token_stays() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    own = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    own.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    own.add_tokens(["①②"])
    letters = PlainLetters(own, "[UNK]")
    assert own.encode(letters.read("a ①② ③")).tokens == ["a", "①②", "[UNK]"]
    assert letters.read("a ①② ③") == "a ①② 3"
    plain = "ascii is not looked at"
    assert letters.read(plain) is plain


def test_a_text_is_cut_after_it_was_read(tokens: Tokens) -> None:
    (cut,) = tokens.passages([Passage("1", "ｔｈｅ" + " ｔｈｅ" * 300)])
    assert cut == tokens.passages([Passage("1", "the" + " the" * 300)])[0]
    assert cut.truncated


def test_such_a_text_is_no_script_that_the_model_hardly_reads(tokens: Tokens, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        tokens.questions(["Ｔｈｅ ｃａｔ ｏｎ ｔｈｅ ｍａｔ"])
    assert caplog.messages == []
