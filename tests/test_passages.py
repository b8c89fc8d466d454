"""What can be a passage, a hit, a question or a vector, and what is said of all else."""

from __future__ import annotations

import dataclasses
import enum
import json
import os
import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import HashEncoder
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from dpr_rag import PRIVATE_KEY, Hit, Passage, PassageStore
from dpr_rag.arguments import is_blank
from dpr_rag.cli import models
from dpr_rag.cli.app import app
from dpr_rag.corpora import LeftOut, open_corpus, read_texts
from dpr_rag.encoder import Encoder, check_vectors
from dpr_rag.errors import BadTextError, CorpusError, DprRagError, PassageError, VectorError
from dpr_rag.passages import MAX_METADATA_DEPTH, check_question

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@given(TEXT, TEXT, st.text(st.characters(exclude_categories=["Cs"])), st.dictionaries(TEXT, JSON))
def test_any_json_and_any_text_is_kept(one: str, text: str, title: str, metadata: dict[str, object]) -> None:
    passage = Passage(one, text, title, metadata)
    assert (passage.id, passage.text, passage.title) == (one, text, title)
    assert json.dumps(passage.metadata) == json.dumps(metadata)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": ""}, "id is empty"),
        ({"id": 5}, "id is int 5, expected a string"),
        ({"id": None}, "id is NoneType None"),
        ({"text": ""}, "passage 'p': text is empty"),
        ({"text": b"bytes"}, "passage 'p': text is bytes"),
        ({"text": "a\ud800b"}, r"passage 'p': text holds the lone surrogate '\\ud800' at character 1"),
        ({"id": "\udfff"}, "lone surrogate"),
        ({"title": None}, "passage 'p': title is NoneType"),
        ({"title": "\ud800"}, "title holds the lone surrogate"),
        ({"metadata": [1]}, r"passage 'p': metadata is list \[1\], expected a dict"),
        ({"metadata": {1: "x"}}, "metadata has the key int 1"),
        ({"metadata": {"a": {"b": [float("nan")]}}}, r"metadata\['a'\]\['b'\]\[0\] is nan"),
        ({"metadata": {"a": float("-inf")}}, "is -inf"),
        ({"metadata": {"a": 2**63}}, "outside the 64-bit integers"),
        ({"metadata": {"a": -(2**63) - 1}}, "outside the 64-bit integers"),
        ({"metadata": {"a": (1, 2)}}, r"metadata\['a'\] is tuple \(1, 2\), expected a JSON value"),
        ({"metadata": {"a": {1}}}, "is set"),
        ({"metadata": {"a": np.array(1)}}, "is ndarray"),
        ({"metadata": {"\ud800": 1}}, "a key of metadata holds the lone surrogate"),
        ({"metadata": {"a": "\ud800"}}, r"metadata\['a'\] holds the lone surrogate"),
        ({"metadata": {"a": nested(MAX_METADATA_DEPTH)}}, "nested deeper than 32 levels"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name(fields: dict[str, object], message: str) -> None:
    with pytest.raises(PassageError, match=message) as caught:
        Passage(**{"id": "p", "text": "t", **fields})
    assert isinstance(caught.value, DprRagError)
    assert isinstance(caught.value, ValueError)


def test_metadata_of_allowed_depth_is_kept() -> None:
    value = nested(MAX_METADATA_DEPTH - 1)
    assert Passage("p", "t", metadata={"a": value}).metadata["a"] == value


def test_a_passage_is_frozen_hashable_and_detached_from_what_it_was_made_of() -> None:
    metadata = {"list": [1]}
    passage = Passage("p", "t", metadata=metadata)
    metadata["list"].append(2)
    assert passage.metadata == {"list": [1]}
    assert len({passage, Passage("p", "t", metadata={"list": [1]})}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        passage.text = "other"  # type: ignore[misc]
    assert not hasattr(passage, "__dict__")


class Colour(str, enum.Enum):  # noqa: UP042 - users have both kinds
    RED = "red"


def test_strings_of_other_classes_become_plain_ones() -> None:
    passage = Passage("p", "t", metadata={Colour.RED: Colour.RED, "n": np.str_("x")})
    assert passage.metadata == {"red": "red", "n": "x"}
    assert [type(value) for value in passage.metadata.values()] == [str, str]


def test_a_hit_knows_its_legs() -> None:
    hit = Hit(Passage("p", "t"), 1.5, 1, dense=1.5)
    assert (hit.dense, hit.bm25) == (1.5, None)


@pytest.mark.parametrize(
    ("question", "message"),
    [("", "question is empty"), (" \n", "blank"), (5, "question is int 5"), ("\ud800", "lone surrogate")],
)
def test_bad_questions_are_refused(question: object, message: str) -> None:
    with pytest.raises(PassageError, match=message):
        check_question(question)


def test_vectors_become_contiguous_float32() -> None:
    given = np.arange(12, dtype=np.float64).reshape(3, 4)[:, ::2]
    checked = check_vectors(given, rows=3, dim=2)
    assert checked.dtype == np.float32
    assert checked.flags.c_contiguous
    assert checked.tolist() == [[0, 2], [4, 6], [8, 10]]


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.ones((2, 0)), r"shape \[2, 0\]"),
        (np.ones((2, 2, 2)), r"shape \[2, 2, 2\], expected \[n, dim\]; give a row of numbers each"),
        (np.ones(2), r"shape \[2\], expected \[n, dim\]; wrap a single vector as \[vector\]"),
        ([None], r"shape \[1\], expected \[n, dim\]; give a row of numbers each"),
        (np.ones((3, 2)), "3 vectors were given for 2 items"),
        (np.ones((2, 3)), "3 dimensions, expected 2"),
        ([[1, 2], [3, None]], r"vector 1 \('b'\) holds NaN"),
        ([[1, 2], [3]], "expected an array of numbers of shape"),
    ],
)
def test_bad_vectors_are_refused(vectors: object, message: str) -> None:
    with pytest.raises(VectorError, match=message):
        check_vectors(vectors, rows=2, dim=2, names=["a", "b"])


def test_a_foreign_embedder_with_the_four_names_is_an_encoder() -> None:
    class Foreign:
        dim = 2
        fingerprint = "foreign"

        def encode_questions(self, questions: object) -> object: ...

        def encode_passages(self, passages: object) -> object: ...

    assert isinstance(Foreign(), Encoder)
    assert not isinstance(object(), Encoder)


def test_what_an_adapter_keeps_privately_is_not_shown() -> None:
    passage = Passage("1", "text", metadata={"year": 1601, PRIVATE_KEY: ["node"]})
    assert passage.visible_metadata == {"year": 1601}
    assert passage.metadata[PRIVATE_KEY] == ["node"]


PAIR, LONE = "\ud83d\ude00", "a\ud800b"


def test_surrogate_pairs_are_joined_in_every_field() -> None:
    given = {PAIR: [PAIR, {"deep": PAIR}]}
    assert Passage(PAIR, f"x {PAIR}", PAIR, given) == Passage("😀", "x 😀", "😀", {"😀": ["😀", {"deep": "😀"}]})
    assert check_question(f"what is {PAIR}?") == "what is 😀?"


@pytest.mark.parametrize("field", ["id", "text", "title", "metadata", "key"])
def test_lone_surrogates_are_refused_replaced_or_skipped(field: str) -> None:
    fields: dict[str, Any] = {"id": "1", "text": "t", "title": "", "metadata": {}}
    if field == "key":
        fields["metadata"] = {LONE: [PAIR]}
    else:
        fields[field] = {"k": [LONE + PAIR]} if field == "metadata" else LONE + PAIR
    with pytest.raises(BadTextError, match=r"lone surrogate '\\ud800' at character 1"):
        Passage.made(**fields)
    assert Passage.made(**fields, on_bad_text="skip") is None
    mended = Passage.made(**fields, on_bad_text="replace")
    expected = {
        "id": Passage(r"a\ud800b😀", "t"),
        "text": Passage("1", "a\ufffdb😀"),
        "title": Passage("1", "t", "a\ufffdb😀"),
        "metadata": Passage("1", "t", "", {"k": ["a\ufffdb😀"]}),
        "key": Passage("1", "t", "", {r"a\ud800b": ["😀"]}),
    }[field]
    assert mended == expected


def test_what_is_otherwise_wrong_stays_wrong_whatever_becomes_of_bad_text() -> None:
    with pytest.raises(PassageError, match="text is int 5"):
        Passage.made(LONE, 5, on_bad_text="replace")  # type: ignore[arg-type]
    with pytest.raises(PassageError, match="on_bad_text is 'ignore', expected one of error, replace, skip"):
        Passage.made("1", "t", on_bad_text="ignore")  # type: ignore[arg-type]


def test_a_store_finds_by_pairs_what_it_holds_joined(store: PassageStore) -> None:
    store.add([Passage(PAIR, f"word {PAIR}", metadata={PAIR: PAIR}), Passage("2", "other")])
    assert [one.text for one in store.get([PAIR])] == ["word 😀"]
    assert store.count({PAIR: PAIR}) == 1
    assert store.private.write({"c": {PAIR: [PAIR]}}) == 1
    assert store.private.read("c", [PAIR]) == {PAIR: ["😀"]}
    assert store.private.read("c") == {"😀": ["😀"]}
    assert store.delete([PAIR]) == 1


def test_one_bad_page_of_a_hundred(tmp_path: Path) -> None:
    lines = [json.dumps({"id": str(n), "text": f"page {n}"}) for n in range(100)]
    lines[50] = '{"id": "50", "text": "bad \\ud800 page \\ud83d\\ude00"}'
    (tmp_path / "p.jsonl").write_text("\n".join(lines))
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / os.fsdecode(b"caf\xe9.txt")).write_text("page")
    with pytest.raises(CorpusError, match="lone surrogate"):
        list(open_corpus(tmp_path / "p.jsonl"))
    left_out: Counter[str] = Counter()
    assert len(list(open_corpus(tmp_path / "p.jsonl", on_bad_text="skip", left_out=left_out))) == 99
    assert list(open_corpus(tmp_path / "t", on_bad_text="skip", left_out=left_out)) == []
    assert left_out["passage with lone surrogates"] == 2
    assert list(open_corpus(tmp_path / "p.jsonl", on_bad_text="replace"))[50].text == "bad \ufffd page 😀"
    assert [one.id for one in open_corpus(tmp_path / "t", on_bad_text="replace")] == [r"t/caf\udce9.txt#1"]


UNSEEN = [
    "\u200b",
    "\ufeff",
    "\xad",
    "\u200e",
    "\u3164",
    "\u2800",
    "\0",
    "\x07\x1b",
    "\ufffd",
    "\ufe0f",
    "\u2060 \u200d\n",
]


@pytest.mark.parametrize("text", ["", " \t\u3000", *UNSEEN, "".join(UNSEEN)])
def test_what_is_not_seen_is_blank(text: str) -> None:
    assert is_blank(text)
    assert not is_blank(f"{text}?{text}")


def test_control_and_format_characters_are_blank_but_for_those_with_a_shape() -> None:
    shown = re.compile("[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd\U00013430-\U0001345f]")
    for char in map(chr, (*range(0xD800), *range(0xE000, 0x110000))):
        kind = unicodedata.category(char)
        if kind in ("Cc", "Cf", "Zs", "Zl", "Zp") or char.isspace():
            assert is_blank(char) != bool(shown.match(char)), hex(ord(char))
        elif kind[0] in "LNPS" and char not in "\u115f\u1160\u3164\uffa0\u2800\ufffc\ufffd\U0001d159":
            assert not is_blank(char), hex(ord(char))


@pytest.mark.parametrize("text", UNSEEN)
def test_what_is_not_seen_is_neither_asked_nor_stored(text: str, tmp_path: Path, store: PassageStore) -> None:
    with pytest.raises(PassageError, match="blank"):
        check_question(text)
    with pytest.raises(PassageError, match="passage 'b': text and title are blank"):
        store.add([Passage("a", "words"), Passage("b", text, text)])
    assert len(store) == 0
    lines = [
        {"id": "1", "text": text, "title": text},
        {"id": "2", "text": text, "title": "T"},
        {"id": "3", "text": "\ud800"},
    ]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, lines)))
    left_out = LeftOut()
    found = list(open_corpus(tmp_path / "p.jsonl", on_bad_text="replace", left_out=left_out))
    assert [(one.id, one.text) for one in found] == [("2", "T")]
    assert dict(left_out) == {"passage without text and title": 2}
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "page.txt").write_text(f"{text}\n\n{text}", "utf-8")
    assert list(read_texts(tmp_path / "t")) == []


@pytest.mark.parametrize(
    ("policy", "code", "told"),
    [
        ("error", 1, "or pass --on-bad-text replace or skip"),
        ("skip", 0, "left out: 1 passage with lone surrogates"),
        ("replace", 0, "added 2"),
    ],
)
def test_index_says_what_became_of_bad_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str, code: int, told: str
) -> None:
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: HashEncoder())
    (tmp_path / "p.jsonl").write_text('{"id": "1", "text": "fine"}\n{"id": "2", "text": "bad \\ud800"}\n')
    line = ["index", tmp_path / "p.jsonl", "--store", tmp_path / "s.dpr", "--on-bad-text", policy]
    done = CliRunner().invoke(app, list(map(str, line)))
    assert (done.exit_code, told in done.output) == (code, True), done.output


def test_a_number_of_numpy_is_kept_as_pythons_own() -> None:
    kept = Passage("a", "t", metadata={"x": [np.float32(1), np.int64(2)], "y": np.bool_(True)}).metadata
    assert repr(kept) == "{'x': [1.0, 2], 'y': True}"


def test_keys_that_become_one_by_their_surrogates_are_refused() -> None:
    twice = {"\ud83d\ude00": 1, "😀": 2}
    for metadata, where in ((twice, "metadata"), ({"x": [twice]}, r"metadata\['x'\]\[0\]")):
        with pytest.raises(PassageError, match=rf"passage 'a': {where} has two keys that are '😀' as text"):
            Passage("a", "text", metadata=metadata)
    for beside in (twice, {"\ud800": 1, "\\ud800": 2}):
        with pytest.raises(PassageError, match="metadata has two keys that are"):
            Passage.made("a", "\udc00", metadata={"y": "\ud800", **beside}, on_bad_text="replace")


def test_integers_of_any_size_are_refused_by_name() -> None:
    large = 10**5000
    with pytest.raises(
        PassageError, match=r"passage 'a': metadata\['x'\] is of 16610 bits, outside the 64-bit integers"
    ):
        Passage("a", "text", metadata={"x": large})
    with pytest.raises(PassageError, match="metadata has the key int of 16610 bits"):
        Passage("a", "text", metadata={large: 1})
    with pytest.raises(PassageError, match="passage of 16610 bits: id is int of 16610 bits"):
        Passage(large, "text")  # type: ignore[arg-type]
