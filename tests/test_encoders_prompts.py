"""Prompts by name: which text goes before questions and passages, what the fingerprint makes of it, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_models as tiny
from test_encoders_library import modern
from tiny_models import PASSAGES, QUESTIONS

from dpr_rag import DualEncoder, LibraryEncoder, Passage, load_encoder
from dpr_rag.errors import ModelError, UnsupportedModelError

PROMPTS = {"query": "query: ", "document": "passage: ", "fact": "who wrote: ", "plain": ""}


def prompted(folder: Path, **prompts: str) -> Path:
    tiny.modules(tiny.bert(folder), pooling="mean", names=("Normalize",))
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts}))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prompted(tmp_path_factory.mktemp("prompted") / "m", **PROMPTS)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> DualEncoder:
    return tiny.load(prompted(tmp_path_factory.mktemp("bare") / "m"))


@pytest.mark.parametrize("question", [None, "fact", "plain", "document"])
@pytest.mark.parametrize("passage", [None, "fact", "plain", "query"])
def test_a_named_prompt_stands_before_its_side(
    folder: Path, bare: DualEncoder, question: str | None, passage: str | None
) -> None:
    encoder = tiny.load(folder, question_prompt_name=question, passage_prompt_name=passage)
    before, ahead = PROMPTS[question or "query"], PROMPTS[passage or "document"]
    np.testing.assert_allclose(
        encoder.encode_questions(QUESTIONS), bare.encode_questions([before + one for one in QUESTIONS]), atol=1e-6
    )
    plain = [Passage(one.id, one.text) for one in PASSAGES]
    expected = bare.encode_passages([Passage(one.id, ahead + one.text) for one in plain])
    np.testing.assert_allclose(encoder.encode_passages(plain), expected, atol=1e-6)
    assert encoder.description["question_prompt"] == before
    assert encoder.description["passage_prompt"] == ahead


def test_the_fingerprint_knows_texts_of_prompts_and_not_their_names(folder: Path, tmp_path: Path) -> None:
    usual = tiny.load(folder).fingerprint
    assert tiny.load(folder, question_prompt_name="query", passage_prompt_name="document").fingerprint == usual
    others = [
        tiny.load(folder, question_prompt_name="fact"),
        tiny.load(folder, passage_prompt_name="fact"),
        tiny.load(folder, question_prompt_name="plain"),
    ]
    assert len({usual, *(one.fingerprint for one in others)}) == 4
    renamed = prompted(tmp_path / "m", query="who wrote: ", document="passage: ")
    assert tiny.load(renamed).fingerprint == others[0].fingerprint


def test_a_saved_encoder_keeps_the_prompts_that_were_named(folder: Path, tmp_path: Path) -> None:
    encoder = tiny.load(folder, question_prompt_name="fact", passage_prompt_name="plain")
    encoder.save_pretrained(tmp_path / "saved")
    again = tiny.load(tmp_path / "saved")
    assert again.fingerprint == encoder.fingerprint
    with pytest.raises(
        ModelError, match=r"question_prompt_name is 'fact'; the files of .* have no prompts; leave it out"
    ):
        tiny.load(tmp_path / "saved", question_prompt_name="fact")


def test_a_prompt_goes_before_what_a_named_profile_says(folder: Path) -> None:
    encoder = tiny.load(folder, profile="e5", question_prompt_name="fact")
    assert (encoder.profile.question_prefix, encoder.profile.passage_prefix) == ("who wrote: ", "passage: ")


@pytest.mark.parametrize("runtime", [None, "sentence-transformers"])
def test_an_unknown_name_is_answered_with_the_names(folder: Path, runtime: str | None) -> None:
    with pytest.raises(ModelError, match=r"passage_prompt_name is 'facts'.*'query', 'document', 'fact', 'plain'"):
        load_encoder(folder, passage_prompt_name="facts", runtime=runtime, device="cpu")  # type: ignore[arg-type]


def test_a_pooling_without_prompts_is_refused_for_named_ones_too(tmp_path: Path) -> None:
    folder = prompted(tmp_path / "m", fact="who wrote: ")
    pooling = {"pooling_mode": "mean", "include_prompt": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    tiny.load(folder)
    with pytest.raises(UnsupportedModelError, match="leaves the tokens of prompts out of the pooling"):
        tiny.load(folder, question_prompt_name="fact")


def test_the_library_takes_them_by_name_too(tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    folder = modern(tmp_path / "m", prompts=PROMPTS)
    encoder = load_encoder(folder, question_prompt_name="fact", passage_prompt_name="plain", device="cpu")
    assert isinstance(encoder, LibraryEncoder)
    model = library.SentenceTransformer(str(folder), device="cpu")
    options = {"normalize_embeddings": True, "convert_to_numpy": True}
    np.testing.assert_allclose(
        encoder.encode_questions(QUESTIONS), model.encode(QUESTIONS, prompt="who wrote: ", **options), atol=1e-6
    )
    texts = [one.text for one in PASSAGES]
    np.testing.assert_allclose(
        encoder.encode_passages([Passage(one.id, one.text) for one in PASSAGES]),
        model.encode(texts, prompt="", **options),
        atol=1e-6,
    )
    usual = load_encoder(folder, device="cpu")
    same = load_encoder(folder, question_prompt_name="query", device="cpu")
    assert (usual.fingerprint == same.fingerprint, usual.fingerprint == encoder.fingerprint) == (True, False)
    about = encoder.description
    assert (about["pooling"], about["similarity"], about["question_prompt"], about["passage_prompt"]) == (
        *("mean", "cosine", "who wrote: ", ""),
    )
