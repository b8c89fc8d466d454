"""What published models do that a plain folder of modules does not: loaded right, or refused with the reason."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny
import torch
import transformers
from test_encoders_library import modern
from tiny_models import QUESTIONS, load

from dpr_rag import DualEncoder, LibraryEncoder, load_encoder
from dpr_rag.errors import ModelError, UnsupportedModelError

library = pytest.importorskip("sentence_transformers")


def folder_of(folder: Path, *names: str, about: Any = None) -> Path:
    made = tiny.modules(tiny.bert(folder), pooling="cls", names=names)
    for name in names:
        at = names.index(name) + 2
        if name == "Pooling":
            config = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
            (made / f"{at}_Pooling" / "config.json").write_text(json.dumps(config))
    said = {"similarity_fn_name": "cosine", "prompts": {"query": "who "}} if about is None else about
    (made / "config_sentence_transformers.json").write_text(json.dumps(said))
    return made


def edit_types(folder: Path, at: int, kind: str) -> Path:
    listed = json.loads((folder / "modules.json").read_text())
    listed[at]["type"] = kind
    (folder / "modules.json").write_text(json.dumps(listed))
    return folder


@pytest.mark.parametrize("names", [("Pooling", "Normalize"), ("Dense", "Dense"), ("Normalize", "Dense")])
def test_modules_count_each_time_and_in_their_order(names: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match=f"asks for Transformer, Pooling, {', '.join(names)}, expected"):
        load(folder_of(tmp_path / "m", *names))


def test_two_dense_modules_come_through_the_library(tmp_path: Path) -> None:
    made = folder_of(tmp_path / "m", "Dense", "Dense", "Normalize")
    from safetensors.torch import save_file

    for at in (2, 3):
        torch.manual_seed(at)
        weights = {"linear.weight": torch.randn(32, 32), "linear.bias": torch.randn(32)}
        save_file(weights, made / f"{at}_Dense" / "model.safetensors")
        said = {"in_features": 32, "out_features": 32, "bias": True, "activation_function": "torch.nn.Identity"}
        (made / f"{at}_Dense" / "config.json").write_text(json.dumps(said))
    encoder = load_encoder(made)
    assert isinstance(encoder, LibraryEncoder)
    expected = library.SentenceTransformer(str(made), device="cpu").encode_query(QUESTIONS)
    np.testing.assert_allclose(encoder.encode_questions(QUESTIONS), expected, atol=1e-6)


@pytest.mark.parametrize("how", [load_encoder, DualEncoder.from_pretrained, LibraryEncoder.from_pretrained])
def test_code_that_a_model_brings_along_is_not_done_without(how: Any, tmp_path: Path) -> None:
    """Transformers takes its own class of the same type instead, and the vectors are others (ALiBi, attention both ways)."""
    made = folder_of(tmp_path / "m")
    (made / "modeling.py").write_text("raise SystemExit('its code ran')")
    tiny.edit_config(made, auto_map={"AutoConfig": "modeling.Config", "AutoModel": "modeling.BertModel"})
    with pytest.raises(ModelError, match=r"code of its own \(modeling\.BertModel\).*LibraryEncoder\(model, source="):
        how(made)
    assert DualEncoder.from_pretrained(made, profile="tas-b", runtime="torch").profile.name == "tas-b"


def test_a_tokenizer_or_a_configuration_alone_is_no_code_that_encodes(tmp_path: Path) -> None:
    made = tiny.edit_config(folder_of(tmp_path / "m"), auto_map={"AutoConfig": "modeling.Config"})
    assert load(made).profile.pooling == "cls"


@pytest.mark.parametrize("how", [load_encoder, DualEncoder.from_pretrained, LibraryEncoder.from_pretrained])
@pytest.mark.parametrize("at", [0, 1])
def test_modules_of_other_packages_are_none_of_the_librarys(how: Any, at: int, tmp_path: Path) -> None:
    kind = ("custom_st.Transformer", "custom_st.Pooling")[at]
    with pytest.raises(ModelError, match=rf"code of its own \({kind}\)"):
        how(edit_types(folder_of(tmp_path / "m"), at, kind))


def test_pylate_is_late_interaction(tmp_path: Path) -> None:
    made = edit_types(folder_of(tmp_path / "m", "Dense"), 2, "pylate.models.Dense.Dense")
    with pytest.raises(ModelError, match="late-interaction model"):
        load_encoder(made)


def test_tct_colbert_is_refused_with_what_it_does(tmp_path: Path) -> None:
    made = tiny.bert(tmp_path / "castorini" / "tct_colbert-v2-hnp-msmarco")
    with pytest.raises(ModelError, match=r"\[CLS\] \[Q\].*leaves those out of the mean"):
        load_encoder(made)


def test_weights_that_the_library_would_make_up_are_missing(tmp_path: Path) -> None:
    made = modern(tmp_path / "m")
    tiny.edit_weights(made, lambda state: {name: one for name, one in state.items() if "layers.1.mlp.Wi" not in name})
    levels = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        with pytest.raises(
            ModelError, match=r"^\S*/m: weights are missing: layers\.1\.mlp\.Wi\.weight; the model would answer"
        ):
            LibraryEncoder.from_pretrained(made)
    finally:
        transformers.logging.set_verbosity(levels)


def test_a_pooler_that_is_not_asked_may_be_missing(tmp_path: Path) -> None:
    made = folder_of(tmp_path / "m")
    tiny.edit_weights(made, lambda state: {name: one for name, one in state.items() if "pooler" not in name})
    native = load(made).encode_questions(QUESTIONS)
    encoder = load_encoder(made, runtime="sentence-transformers")
    np.testing.assert_allclose(encoder.encode_questions(QUESTIONS), native, atol=1e-6)


@pytest.mark.parametrize(("said", "length"), [(600, 600), (8192, 700), (None, 700), (100, 100)])
def test_a_model_of_no_family_reads_as_much_as_its_files_say(said: int | None, length: int, tmp_path: Path) -> None:
    made = folder_of(tmp_path / "m", "Normalize")
    config = tiny.bert_config(max_position_embeddings=700)
    tiny.seeded(transformers.BertModel, config, 0).save_pretrained(made)
    tiny.modules(made, pooling="cls", length=said, names=["Normalize"])
    profile = load(made).profile
    assert (profile.question_length, profile.passage_length) == (length, length)
    model = library.SentenceTransformer(str(made), device="cpu")
    model.max_seq_length = length  # where the files say more than there are positions, it fails
    expected = model.encode_query(["hamlet " * 900])
    np.testing.assert_allclose(load(made).encode_questions(["hamlet " * 900]), expected, atol=1e-5)


@pytest.mark.parametrize("make", [folder_of, modern])
def test_prompts_of_other_names_are_said_to_be_unused(
    make: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = make(tmp_path / "m")
    said = {"prompts": {"web_search": "who ", "sts": "is "}, "similarity_fn_name": "cosine"}
    (made / "config_sentence_transformers.json").write_text(json.dumps(said))
    with caplog.at_level(logging.WARNING):
        load_encoder(made)
        assert "'web_search', 'sts'" in caplog.text
        assert "question_prompt_name=" in caplog.text
        assert "names no prompts" not in caplog.text
        caplog.clear()
        load_encoder(made, question_prompt_name="web_search")
        assert not [record for record in caplog.records if record.name.startswith("dpr_rag")]
