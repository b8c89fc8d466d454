"""Weights under other prefixes, tokenizers with other settings, and fingerprints that tell them apart."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny
import transformers
from tiny_models import QUESTIONS, load

from dpr_rag.errors import ModelError

ROWS = len(tiny.VOCABULARY) + 1
TEXTS = [*QUESTIONS, "Who wrote Hamlet? <new> the king", "hamlet<new>denmark", " a a <mask> a", "unheard" * 30]


def ids_of(folder: Path, texts: list[str] = TEXTS) -> list[list[int]]:
    encoder = load(folder, profile="contriever")
    return [sequence.ids for sequence in encoder.sides[0].tokens.questions(texts)]


def plain(folder: Path, texts: list[str] = TEXTS, **options: Any) -> list[list[int]]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)
    return [tokenizer(text.strip(), truncation=True, max_length=64)["input_ids"] for text in texts]


@pytest.mark.parametrize(
    "prefix",
    ["module.", "_orig_mod.", "bert_model.", "0.auto_model.", "encoder.", "module._orig_mod.bert.", "model.bert."],
)
@pytest.mark.parametrize("alone", [True, False])
def test_weights_under_another_prefix(prefix: str, alone: bool, tmp_path: Path) -> None:
    expected = load(tiny.bert(tmp_path / "plain"), profile="contriever")
    folder = tiny.bert(tmp_path / "m")
    others = {} if alone else {"cls.predictions.bias": np.zeros(3)}
    tiny.edit_weights(
        folder,
        lambda state: (
            {prefix + name: tensor for name, tensor in state.items()}
            | {name: next(iter(state.values())).new_zeros(3) for name in others}
        ),
    )
    encoder = load(folder, profile="contriever")
    assert encoder.fingerprint == expected.fingerprint
    np.testing.assert_array_equal(encoder.encode_questions(QUESTIONS), expected.encode_questions(QUESTIONS))


def test_wrapped_towers_and_heads(tmp_path: Path) -> None:
    for at, make in enumerate((tiny.ance, lambda folder: tiny.dpr(folder, "context", projection_dim=24))):
        folder = make(tmp_path / f"m{at}")
        pair = [tiny.dpr(tmp_path / "q", "question", projection_dim=24)] if at else []
        expected = load(*pair, folder).fingerprint
        tiny.edit_weights(folder, lambda state: {f"module.{name}": tensor for name, tensor in state.items()})
        assert load(*pair, folder).fingerprint == expected


def test_weights_of_another_model_are_named(tmp_path: Path) -> None:
    folder = tiny.bert(tmp_path / "m")
    tiny.edit_weights(folder, lambda state: {f"x{name}": tensor for name, tensor in state.items()})
    with pytest.raises(
        ModelError, match=r"weight embeddings\.word_embeddings\.weight is missing \(there are xembeddings"
    ):
        load(folder, profile="contriever")


NEW = {
    "content": "<new>",
    "lstrip": False,
    "rstrip": False,
    "single_word": False,
    "normalized": False,
    "special": False,
}


def with_token(folder: Path, **changes: bool) -> Path:
    """A token beside the vocabulary."""
    place = folder / "tokenizer_config.json"
    at = str(len(tiny.VOCABULARY))
    said = json.loads(place.read_text()) | {
        "added_tokens_decoder": {at: NEW | changes},
        "tokenizer_class": "BertTokenizer",
    }
    place.write_text(json.dumps(said))
    return folder


@pytest.mark.parametrize("flag", ["none", "lstrip", "rstrip", "single_word"])
def test_added_tokens_are_those_of_transformers(flag: str, tmp_path: Path) -> None:
    folder = with_token(tiny.bert(tmp_path / "m", vocab_size=ROWS), **({} if flag == "none" else {flag: True}))
    before = ids_of(folder)
    assert before == plain(folder)
    assert any(len(tiny.VOCABULARY) in ids for ids in before)
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    assert (folder / "tokenizer.json").is_file()
    assert ids_of(folder) == before


def test_fingerprints_tell_tokenizers_apart(tmp_path: Path) -> None:
    made = tiny.bert(tmp_path / "m", vocab_size=ROWS)
    transformers.BertTokenizerFast.from_pretrained(made).save_pretrained(made)
    seen = {"": load(made, profile="contriever").fingerprint}

    def changed(name: str, change: Callable[[dict[str, Any]], None]) -> str:
        folder = Path(shutil.copytree(made, tmp_path / name))
        place = folder / "tokenizer.json"
        said = json.loads(place.read_text())
        change(said)
        place.write_text(json.dumps(said))
        return load(folder, profile="contriever").fingerprint

    at = len(tiny.VOCABULARY)
    for flag in ("none", "lstrip", "rstrip", "single_word", "normalized"):
        token = NEW | {"id": at} | ({} if flag == "none" else {flag: True})
        seen[flag] = changed(flag, lambda said, token=token: said["added_tokens"].append(token))
    seen["longest"] = changed("longest", lambda said: said["model"].update(max_input_chars_per_word=9))
    seen["prefix"] = changed("prefix", lambda said: said["model"].update(continuing_subword_prefix="@@"))
    assert len(set(seen.values())) == len(seen)
    assert changed("same", lambda said: said.update(truncation={"max_length": 9})) == seen[""]


@pytest.mark.parametrize("space", [True, False])
def test_a_space_before_the_first_word(space: bool, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    tiny.roberta(folder)
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"add_prefix_space": space, "tokenizer_class": "RobertaTokenizer"})
    )
    texts = ["a king", "hamlet a"]
    assert ids_of(folder, texts) == plain(folder, texts)


def test_where_positions_begin_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    tiny.roberta(tmp_path / "m")
    first = load(tmp_path / "m", profile="contriever")
    tiny.edit_config(tmp_path / "m", pad_token_id=0)
    second = load(tmp_path / "m", profile="contriever")
    assert not np.allclose(first.encode_questions(QUESTIONS), second.encode_questions(QUESTIONS))
    assert first.fingerprint != second.fingerprint


@pytest.mark.parametrize("kind", ["BertJapaneseTokenizer", "HerbertTokenizer", "KoBertTokenizer"])
def test_tokenizers_that_a_vocabulary_does_not_describe_are_refused(kind: str, tmp_path: Path) -> None:
    folder = tiny.bert(tmp_path / "m")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": kind}))
    with pytest.raises(ModelError, match=f"its tokenizer is a {kind}, which its vocabulary alone does not describe"):
        load(folder, profile="contriever")


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_decoders_are_refused(runtime: str, tmp_path: Path) -> None:
    from dpr_rag import DualEncoder

    folder = tiny.edit_config(tiny.bert(tmp_path / "m"), is_decoder=True)
    with pytest.raises(ModelError, match=r"config\.json says is_decoder"):
        DualEncoder.from_pretrained(folder, profile="contriever", runtime=runtime, dtype="float32")
