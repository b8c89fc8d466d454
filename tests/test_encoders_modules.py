"""Folders of sentence-transformers: what their files say of similarity, prompts, lengths, pooling and heads holds."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import tiny_models as tiny
import torch
import transformers
from tiny_models import QUESTIONS

from dpr_rag import DualEncoder, Passage
from dpr_rag.encoders.architectures import bucket_of
from dpr_rag.encoders.folders import find_folder
from dpr_rag.encoders.profiles import PROFILES
from dpr_rag.encoders.recognition import recognise
from dpr_rag.encoders.runtime_choice import RuntimeName
from dpr_rag.errors import ModelError

RUNTIMES = get_args(RuntimeName)


def about(folder: Path, **said: Any) -> Path:
    (folder / "config_sentence_transformers.json").write_text(json.dumps(said))
    return folder


def states(folder: Path, texts: list[str], length: int = 64) -> list[np.ndarray]:
    """The last layer of each text by plain transformers, alone and without padding."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        return [
            model(input_ids=torch.tensor([ids]))[0][0].numpy()
            for ids in tiny.plain_ids(folder, [(text,) for text in texts], length)
        ]


def load(folder: Path, runtime: RuntimeName = "torch", **options: Any) -> DualEncoder:
    return DualEncoder.from_pretrained(folder, runtime=runtime, dtype="float32", device="cpu", **options)


@pytest.mark.parametrize("make", [tiny.xlm_roberta, tiny.mpnet, tiny.bert], ids=lambda make: make.__name__)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_backbones_equal_plain_transformers(make: Callable[[Path], Path], runtime: RuntimeName, tmp_path: Path) -> None:
    folder = about(tiny.modules(make(tmp_path / "m"), pooling="mean"), similarity_fn_name="dot")
    expected = np.stack([state.mean(axis=0) for state in states(folder, QUESTIONS)])
    np.testing.assert_allclose(load(folder, runtime).encode_questions(QUESTIONS), expected, atol=1e-5)


@pytest.mark.parametrize("make", [tiny.xlm_roberta, tiny.mpnet, tiny.bert], ids=lambda make: make.__name__)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_text_that_spells_out_the_padding(make: Callable[[Path], Path], runtime: RuntimeName, tmp_path: Path) -> None:
    """Where positions are counted from the padding's id, its token takes none, alone or in a batch."""
    folder = about(tiny.modules(make(tmp_path / "m"), pooling="mean"), similarity_fn_name="dot")
    encoder = load(folder, runtime)
    tokens = encoder.sides[0].tokens
    spelled = ["who <pad> it [PAD] is", "<pad> who", "who <pad>", "it [PAD]", *QUESTIONS]
    ids = [sequence.ids for sequence in tokens.questions(spelled)]
    assert sum(tokens.pad in one for one in ids) >= 2
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        expected = np.stack([model(input_ids=torch.tensor([one]))[0][0].numpy().mean(axis=0) for one in ids])
    np.testing.assert_allclose(encoder.encode_questions(spelled), expected, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_questions(spelled[:1]), expected[:1], atol=1e-5)


@pytest.mark.parametrize("make", [tiny.xlm_roberta, tiny.mpnet], ids=lambda make: make.__name__)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_pairs_of_title_and_text(make: Callable[[Path], Path], runtime: RuntimeName, tmp_path: Path) -> None:
    folder = about(tiny.modules(make(tmp_path / "m"), pooling="cls"), similarity_fn_name="dot")
    model = transformers.AutoModel.from_pretrained(folder).eval()
    ids = tiny.plain_ids(folder, [("hamlet", "who wrote it"), ("the king", "is a tragedy by denmark")], 64)
    with torch.inference_mode():
        expected = np.stack([model(input_ids=torch.tensor([one]))[0][0, 0].numpy() for one in ids])
    passages = [Passage("1", "who wrote it", "hamlet"), Passage("2", "is a tragedy by denmark", "the king")]
    np.testing.assert_allclose(load(folder, runtime).encode_passages(passages), expected, atol=1e-5)


def test_distances_share_rows_as_in_transformers() -> None:
    from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

    distances = np.arange(-600, 601)
    expected = MPNetEncoder.relative_position_bucket(torch.from_numpy(distances)).numpy()
    np.testing.assert_array_equal(bucket_of(distances), expected)


POOLED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "cls": lambda state: state[0],
    "mean": lambda state: state.mean(axis=0),
    "max": lambda state: state.max(axis=0),
    "lasttoken": lambda state: state[-1],
}


@pytest.mark.parametrize("pooling", POOLED)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_pooling_equals_its_formula(pooling: str, runtime: RuntimeName, tmp_path: Path) -> None:
    folder = about(tiny.modules(tiny.bert(tmp_path / "m"), pooling=pooling), similarity_fn_name="dot")
    expected = np.stack([POOLED[pooling](state) for state in states(folder, QUESTIONS)])
    np.testing.assert_allclose(load(folder, runtime).encode_questions(QUESTIONS), expected, atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ["torch.nn.modules.activation.Tanh", "torch.nn.modules.linear.Identity"])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_dense_module_with_its_activation(activation: str, bias: bool, runtime: RuntimeName, tmp_path: Path) -> None:
    folder = tiny.modules(tiny.bert(tmp_path / "m"), pooling="mean", names=("Dense", "Normalize"))
    _, layer = tiny.dense(about(folder, similarity_fn_name="cosine"), activation=activation, bias=bias)
    pooled = torch.from_numpy(np.stack([state.mean(axis=0) for state in states(folder, QUESTIONS)]))
    with torch.inference_mode():
        expected = layer(pooled)
        expected = torch.tanh(expected) if activation.endswith("Tanh") else expected
        expected = torch.nn.functional.normalize(expected).numpy()
    encoder = load(folder, runtime)
    assert encoder.dim == 24
    np.testing.assert_allclose(encoder.encode_questions(QUESTIONS), expected, atol=1e-5)
    encoder.save_pretrained(tmp_path / "saved")
    again = load(tmp_path / "saved", runtime)
    assert again.fingerprint == encoder.fingerprint
    np.testing.assert_array_equal(again.encode_questions(QUESTIONS), encoder.encode_questions(QUESTIONS))


@pytest.mark.parametrize("make", [tiny.xlm_roberta, tiny.mpnet], ids=lambda make: make.__name__)
def test_saved_and_loaded_again(make: Callable[[Path], Path], tmp_path: Path) -> None:
    encoder = load(about(tiny.modules(make(tmp_path / "m"), pooling="mean"), similarity_fn_name="cosine"))
    encoder.save_pretrained(tmp_path / "saved")
    again = load(tmp_path / "saved")
    assert again.fingerprint == encoder.fingerprint
    np.testing.assert_array_equal(again.encode_questions(QUESTIONS), encoder.encode_questions(QUESTIONS))
    plain = transformers.AutoModel.from_pretrained(tmp_path / "saved" / "question")
    assert type(plain).__name__ == encoder.question_tower.architecture


@pytest.mark.parametrize(
    ("named", "names", "unit"),
    [
        ("cosine", (), True),
        ("cosine", ("Normalize",), True),
        ("dot", (), False),
        ("dot", ("Normalize",), True),
        (None, ("Normalize",), True),
        (None, (), True),
    ],
)
def test_the_similarity_decides_the_length(
    named: str | None, names: tuple[str, ...], unit: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What a model saved without Normalize is compared by: its cosine is the inner product of vectors of length 1."""
    folder = about(tiny.modules(tiny.bert(tmp_path / "m"), pooling="mean", names=names), similarity_fn_name=named)
    lengths = np.linalg.norm(load(folder).encode_questions(QUESTIONS), axis=1)
    assert np.allclose(lengths, 1, atol=1e-6) == unit
    told = "does not say how its vectors are compared: by cosine" in caplog.text
    assert told == (named is None and not names)


def test_a_family_keeps_its_inner_product(tmp_path: Path) -> None:
    folder = tiny.modules(tiny.tas_b(tmp_path / "m"), pooling="cls")
    assert recognise(find_folder(folder)) == PROFILES["tas-b"]
    folder = tiny.modules(tiny.bert(tmp_path / "multi-qa-bert-dot-v1"), pooling="cls")
    assert recognise(find_folder(folder)).normalise is False


@pytest.mark.parametrize("named", ["euclidean", "manhattan", "maxsim", 3])
def test_other_similarities_are_refused(named: object, tmp_path: Path) -> None:
    folder = about(tiny.modules(tiny.bert(tmp_path / "m"), pooling="mean"), similarity_fn_name=named)
    with pytest.raises(ModelError, match=f"similarity_fn_name is {named!r}; .* expected cosine or dot"):
        load(folder)


@pytest.mark.parametrize(("named", "unit"), [("cosine", True), ("dot", False)])
def test_the_first_components_are_kept(named: str, unit: bool, tmp_path: Path) -> None:
    folder = tiny.modules(tiny.bert(tmp_path / "m"), pooling="mean")
    about(folder, similarity_fn_name=named, truncate_dim=12)
    expected = np.stack([state.mean(axis=0)[:12] for state in states(folder, QUESTIONS)])
    expected = expected / np.linalg.norm(expected, axis=1, keepdims=True) if unit else expected
    encoder = load(folder)
    assert (encoder.dim, encoder.profile.kept) == (12, 12)
    np.testing.assert_allclose(encoder.encode_questions(QUESTIONS), expected, atol=1e-5)
    assert encoder.fingerprint != load(about(folder, similarity_fn_name=named)).fingerprint


def test_prompts_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tiny.modules(tiny.bert(tmp_path / "m"), pooling="mean")
    about(folder, similarity_fn_name="cosine", prompts={"query": "query: ", "document": "", "passage": "passage: "})
    profile = recognise(find_folder(folder))
    assert (profile.question_prefix, profile.passage_prefix) == ("query: ", "passage: ")
    about(folder, prompts={"clustering": "topic: "}, default_prompt_name="clustering", similarity_fn_name="cosine")
    profile = load(folder).profile
    assert (profile.question_prefix, profile.passage_prefix) == ("", "")
    assert "the prompts 'clustering' are for neither questions nor passages" in caplog.text


def test_prompts_that_are_left_out_of_the_pooling_are_refused(tmp_path: Path) -> None:
    folder = tiny.modules(tiny.bert(tmp_path / "m"), pooling="mean")
    place = folder / "1_Pooling" / "config.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"include_prompt": False}))
    load(about(folder, similarity_fn_name="cosine"))
    with pytest.raises(ModelError, match="leaves the tokens of prompts out of the pooling"):
        load(about(folder, similarity_fn_name="cosine", prompts={"query": "query: "}))


@pytest.mark.parametrize(
    ("files", "length"),
    [
        ({"sentence_bert_config.json": {"max_seq_length": 20}}, 20),
        (
            {"sentence_bert_config.json": {"max_seq_length": None}, "tokenizer_config.json": {"model_max_length": 24}},
            24,
        ),
        ({"sentence_bert_config.json": {}, "tokenizer_config.json": {"model_max_length": 24}}, 24),
        ({"sentence_distilbert_config.json": {"max_seq_length": 16}}, 16),
        ({"tokenizer_config.json": {"model_max_length": 1e30}}, 64),
        ({"sentence_roberta_config.json": {"max_seq_length": 18, "do_lower_case": False}}, 18),
    ],
)
def test_the_length_stands_in_one_of_several_files(files: dict[str, Any], length: int, tmp_path: Path) -> None:
    folder = about(tiny.modules(tiny.bert(tmp_path / "m"), pooling="mean"), similarity_fn_name="dot")
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    expected = np.stack([state.mean(axis=0) for state in states(folder, QUESTIONS, length)])
    np.testing.assert_allclose(load(folder).encode_questions(QUESTIONS), expected, atol=1e-5)


@pytest.mark.parametrize("value", ["512", 0, 2.5, True])
def test_a_length_that_is_none_is_named(value: object, tmp_path: Path) -> None:
    folder = tiny.modules(tiny.bert(tmp_path / "m"), pooling="mean")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": value}))
    with pytest.raises(ModelError, match=f"max_seq_length in sentence_bert_config.json is {value!r}"):
        load(folder)


def test_a_transformer_in_a_sub_folder(tmp_path: Path) -> None:
    """As written before 2022: ``0_Transformer/`` holds what today lies at the top."""
    folder = about(tiny.modules(tiny.bert(tmp_path / "m"), pooling="mean", length=20), similarity_fn_name="cosine")
    expected = load(folder)
    inside = folder / "0_Transformer"
    inside.mkdir()
    for path in list(folder.iterdir()):
        if path.is_file() and path.name not in ("modules.json", "config_sentence_transformers.json"):
            path.rename(inside / path.name)
    listed = json.loads((folder / "modules.json").read_text())
    listed[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(listed))
    encoder = load(folder)
    assert (encoder.profile, encoder.fingerprint) == (expected.profile, expected.fingerprint)
    np.testing.assert_array_equal(encoder.encode_questions(QUESTIONS), expected.encode_questions(QUESTIONS))
    listed[0]["path"] = "../elsewhere"
    (folder / "modules.json").write_text(json.dumps(listed))
    with pytest.raises(ModelError, match=r"names the folder '\.\./elsewhere', expected one inside"):
        load(folder)


def test_lower_case_before_the_tokenizer(tmp_path: Path) -> None:
    folder = about(tiny.modules(tiny.bert(tmp_path / "m"), pooling="mean"), similarity_fn_name="cosine")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    cased = load(folder)
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 64, "do_lower_case": True}))
    lowered = load(folder)
    texts = ["Who wrote Hamlet?"]
    np.testing.assert_array_equal(lowered.encode_questions(texts), cased.encode_questions(["who wrote hamlet?"]))
    assert not np.array_equal(cased.encode_questions(texts), lowered.encode_questions(texts))
    assert cased.fingerprint != lowered.fingerprint
    lowered.save_pretrained(tmp_path / "saved")
    np.testing.assert_array_equal(load(tmp_path / "saved").encode_questions(texts), lowered.encode_questions(texts))


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("models--intfloat--e5-base-v2/snapshots/0123abcd", "e5"),
        ("models--intfloat--multilingual-e5-large/snapshots/0123abcd", "e5"),
        ("models--intfloat--multilingual-e5-large-instruct/snapshots/0123abcd", "e5-instruct"),
        ("models--BAAI--bge-small-en-v1.5/snapshots/0123abcd", "bge"),
        ("models--BAAI--bge-base-zh-v1.5/snapshots/0123abcd", "bge-zh"),
        ("models--BAAI--bge-m3/snapshots/0123abcd", "bge-m3"),
        ("multilingual-e5-small", "e5"),
    ],
)
@pytest.mark.parametrize("through", ["path", "link", "inside"])
def test_models_of_the_hubs_cache_are_recognised(
    model: str, family: str, through: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny.modules(tiny.bert(tmp_path / model), pooling="mean", names=("Normalize",))
    given: Path = folder
    if through == "inside":
        monkeypatch.chdir(folder)
        given = Path()
    elif through == "link":
        given = tmp_path / "mine"
        given.symlink_to(folder)
    assert recognise(find_folder(given)).name == family
    assert recognise(find_folder(given), profile="contriever") == PROFILES["contriever"]


@pytest.mark.parametrize(
    ("card", "family"),
    [
        ("---\nmodel-index:\n- name: e5-base-v2\n  results: []\n---\n# Text embeddings\n", "e5"),
        ("# multilingual-e5-base\n\nsome words", "e5"),
        ("# SentenceTransformer based on intfloat/e5-base\n", "sentence-transformers"),
        ("a text that speaks of e5-base\n", "sentence-transformers"),
    ],
)
def test_a_renamed_model_is_recognised_by_its_card(card: str, family: str, tmp_path: Path) -> None:
    folder = tiny.modules(tiny.bert(tmp_path / "renamed"), pooling="mean", names=("Normalize",))
    (folder / "README.md").write_text(card, encoding="utf-8")
    assert recognise(find_folder(folder)).name == family


def test_a_model_of_no_known_family_is_said_to_have_no_prompts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tiny.modules(tiny.bert(tmp_path / "m"), pooling="mean", names=("Normalize",))
    with caplog.at_level(logging.WARNING):
        load(folder)
        assert "names no prompts for questions and passages" in caplog.text
        caplog.clear()
        load(folder, profile="e5")
        load(about(folder, prompts={"query": "query: "}))
        assert caplog.text == ""


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("WeightedLayerPooling",), "modules.json asks for Transformer, Pooling, WeightedLayerPooling"),
        (("LayerNorm",), "LayerNorm after it"),
        (("LSTM",), "dpr-rag does not run other modules"),
    ],
)
def test_other_modules_are_refused(names: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message):
        load(tiny.modules(tiny.bert(tmp_path / "m"), pooling="mean", names=names))


@pytest.mark.parametrize("mode", ["weightedmean", ["cls", "mean"], "mean_sqrt_len_tokens", 3])
def test_other_poolings_are_refused(mode: object, tmp_path: Path) -> None:
    folder = tiny.modules(tiny.bert(tmp_path / "m"), pooling="mean")
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": mode}))
    with pytest.raises(ModelError, match=r"expected one of cls, mean, max, lasttoken; load it through the library"):
        load(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"activation_function": "torch.nn.modules.activation.GELU"},
        {"use_residual": True},
        {"module_input_name": "token_embeddings"},
    ],
)
def test_other_dense_modules_are_refused(change: dict[str, object], tmp_path: Path) -> None:
    folder = tiny.modules(tiny.bert(tmp_path / "m"), pooling="mean", names=("Dense",))
    tiny.dense(folder, activation="torch.nn.modules.linear.Identity", bias=True)
    place = folder / "2_Dense" / "config.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | change))
    with pytest.raises(ModelError, match="its Dense module"):
        load(folder)


@pytest.mark.parametrize(
    ("make", "kind"), [(tiny.bert, "BertModel"), (tiny.mpnet, "MPNetModel"), (tiny.xlm_roberta, "XLMRobertaModel")]
)
def test_a_configuration_without_its_class_is_read_by_its_type(
    make: Callable[[Path], Path], kind: str, tmp_path: Path
) -> None:
    folder = about(tiny.modules(make(tmp_path / "m"), pooling="mean"), similarity_fn_name="cosine")
    expected = load(folder).fingerprint
    tiny.edit_config(folder, architectures=None)
    encoder = load(folder)
    assert (encoder.question_tower.architecture, encoder.fingerprint) == (kind, expected)


def test_files_of_another_shape_are_named(tmp_path: Path) -> None:
    made = about(tiny.modules(tiny.bert(tmp_path / "m"), pooling="mean"), similarity_fn_name="cosine")
    for name in ("modules.json", "config_sentence_transformers.json", "1_Pooling/config.json", "tokenizer_config.json"):
        folder = Path(shutil.copytree(made, tmp_path / name.replace("/", "-")))
        (folder / name).write_text('"text"' if name == "modules.json" else "[1]")
        with pytest.raises(ModelError, match=r"holds|is no list"):
            load(folder)
