"""Models that only sentence-transformers runs, beside that library's own vectors; kinds of models that are refused."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny
import torch
import transformers
from tiny_models import PASSAGES, QUESTIONS
from typer.testing import CliRunner

from dpr_rag import DualEncoder, LibraryEncoder, Passage, PassageStore, load_encoder
from dpr_rag.cli.app import app
from dpr_rag.encoder import is_encoder
from dpr_rag.errors import EncoderMismatchError, MissingExtraError, ModelError, PassageError, UnsupportedModelError

library = pytest.importorskip("sentence_transformers")


def modern(folder: Path, *, seed: int = 0, similarity: str = "cosine", **said: Any) -> Path:
    """A tiny ModernBERT, whose rotary positions dpr-rag does not run itself."""
    words = tiny.VOCABULARY
    config = transformers.ModernBertConfig(
        **{"vocab_size": len(words), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
        **{"intermediate_size": 48, "max_position_embeddings": 64, "initializer_range": 0.2, "pad_token_id": 0},
        **{"local_attention": 16, "attn_implementation": "eager"},
    )
    tiny.seeded(transformers.ModernBertModel, config, seed).save_pretrained(folder)
    transformers.BertTokenizerFast(
        vocab=str(tiny.bert_tokenizer(folder) / "vocab.txt"), model_max_length=64
    ).save_pretrained(folder)
    tiny.modules(folder, pooling="mean", length=24)
    about = {"similarity_fn_name": similarity, "prompts": {"query": "who ", "document": "passage "}} | said
    (folder / "config_sentence_transformers.json").write_text(json.dumps(about))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return modern(tmp_path_factory.mktemp("modern") / "m")


def by_library(folder: Path, texts: list[str], how: str, *, unit: bool = True) -> np.ndarray:
    model = library.SentenceTransformer(str(folder), device="cpu")
    found = getattr(model, how)(texts)
    return found / np.linalg.norm(found, axis=1, keepdims=True) if unit else found


def test_what_dpr_rag_does_not_run_comes_through_the_library(folder: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="unknown architecture 'ModernBertModel'"):
        DualEncoder.from_pretrained(folder)
    encoder = load_encoder(folder, device=None)
    assert isinstance(encoder, LibraryEncoder)
    assert is_encoder(encoder)
    assert (encoder.dim, encoder.source) == (32, str(folder))
    np.testing.assert_allclose(
        encoder.encode_questions(QUESTIONS), by_library(folder, QUESTIONS, "encode_query"), atol=1e-6
    )
    texts = [f"{one.title} {one.text}".strip() for one in PASSAGES]
    np.testing.assert_allclose(
        encoder.encode_passages(PASSAGES), by_library(folder, texts, "encode_document"), atol=1e-6
    )
    assert encoder.encode_passages([]).shape == (0, 32)


def test_what_it_runs_itself_stays_its_own(tmp_path: Path) -> None:
    assert isinstance(load_encoder(tiny.contriever(tmp_path / "m")), DualEncoder)
    asked = load_encoder(modern(tmp_path / "n"), runtime="sentence-transformers")
    assert isinstance(asked, LibraryEncoder)


@pytest.mark.parametrize(("similarity", "unit"), [("cosine", True), ("dot", False)])
def test_the_similarity_decides_the_length(similarity: str, unit: bool, tmp_path: Path) -> None:
    made = modern(tmp_path / "m", similarity=similarity)
    expected = by_library(made, QUESTIONS, "encode_query", unit=unit)
    np.testing.assert_allclose(LibraryEncoder.from_pretrained(made).encode_questions(QUESTIONS), expected, atol=1e-6)


def test_distances_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="similarity_fn_name is 'euclidean'; dpr-rag ranks by inner product"):
        load_encoder(modern(tmp_path / "m", similarity="euclidean"))


def test_the_first_components_are_kept(tmp_path: Path) -> None:
    encoder = load_encoder(modern(tmp_path / "m", truncate_dim=8))
    found = encoder.encode_questions(QUESTIONS)
    assert (encoder.dim, found.shape[1]) == (8, 8)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_the_fingerprint_covers_what_changes_a_vector(folder: Path, tmp_path: Path) -> None:
    seen = {"": load_encoder(folder).fingerprint}
    seen["weights"] = load_encoder(modern(tmp_path / "weights", seed=1)).fingerprint
    seen["prompts"] = load_encoder(modern(tmp_path / "prompts", prompts={"query": "what "})).fingerprint
    seen["dot"] = load_encoder(modern(tmp_path / "dot", similarity="dot")).fingerprint
    seen["dim"] = load_encoder(modern(tmp_path / "dim", truncate_dim=8)).fingerprint
    made = modern(tmp_path / "length")
    (made / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 20}))
    seen["length"] = load_encoder(made).fingerprint
    assert len(set(seen.values())) == len(seen)
    library.SentenceTransformer(str(folder), device="cpu").save(str(tmp_path / "again"))
    assert load_encoder(tmp_path / "again").fingerprint == seen[""]


def test_cut_passages_are_counted_and_said_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    encoder = load_encoder(folder)
    passages = [Passage("a", "hamlet " * 60), Passage("b", "hamlet"), Passage("c", "x" * 80)]
    encoder.encode_passages(passages)
    encoder.encode_passages(passages)
    assert encoder.truncated == 2
    assert caplog.text.count("1 of 3 passages were cut to 24 tokens") == 1


def test_a_script_that_it_hardly_reads_is_said_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    encoder = load_encoder(folder)
    encoder.encode_passages(PASSAGES)
    encoder.encode_questions(QUESTIONS)
    assert "hardly reads" not in caplog.text
    for _ in range(2):
        encoder.encode_passages([Passage("1", "春茶四月在山中采摘，秋茶则要等到十月。"), Passage("2", "the king")])
    assert caplog.text.count("1 of 2 texts are in a script that the model hardly reads, such as '春茶") == 1
    asked = load_encoder(folder)
    asked.encode_questions(["แมวกินอะไร"])
    assert caplog.text.count("such as 'แมวกินอะไร'") == 1


def test_questions_are_checked(folder: Path) -> None:
    encoder = load_encoder(folder)
    with pytest.raises(PassageError, match="expected a list of them; wrap it as"):
        encoder.encode_questions("who")
    with pytest.raises(PassageError):
        encoder.encode_questions([" "])


def test_a_store_is_bound_to_it(folder: Path, tmp_path: Path) -> None:
    encoder = load_encoder(folder)
    with PassageStore.open(tmp_path / "s", encoder=encoder) as store:
        store.add(PASSAGES)
        hits = store.search(store.encode_questions(QUESTIONS[:1]), 3)[0]
        expected = encoder.encode_passages(PASSAGES) @ encoder.encode_questions(QUESTIONS[:1])[0]
        assert [hit.score for hit in hits] == pytest.approx(np.sort(expected)[::-1][:3], rel=1e-5)
    with pytest.raises(EncoderMismatchError):
        PassageStore.open(tmp_path / "s", encoder=load_encoder(modern(tmp_path / "other", seed=1)))


def test_commands_take_it_by_model(folder: Path, tmp_path: Path) -> None:
    lines = [json.dumps({"id": one.id, "title": one.title, "text": one.text}) for one in PASSAGES]
    (tmp_path / "c.jsonl").write_text("\n".join(lines) + "\n")
    run = CliRunner().invoke

    def command(*arguments: object) -> Any:
        return run(app, [str(one) for one in arguments], prog_name="dpr-rag")

    made = command("index", tmp_path / "c.jsonl", "--store", tmp_path / "s", "--model", folder)
    assert (made.exit_code, made.stdout.split(",")[0]) == (0, f"added {len(PASSAGES)}"), made.output
    found = command("search", tmp_path / "s", "who wrote hamlet", "--model", folder, "--json")
    assert found.exit_code == 0, found.output
    refused = command("index", tmp_path / "c.jsonl", "--store", tmp_path / "s", "--model", folder, "--profile", "e5")
    assert refused.exit_code == 1
    assert "unknown architecture 'ModernBertModel'" in " ".join(refused.stderr.split())


def test_what_is_missing_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dpr_rag.encoders.loading.find_spec", lambda name: None)
    with pytest.raises(
        MissingExtraError, match=r"ModernBertModel.*pip install -c constraints.txt '\.\[sentence-transformers\]'"
    ):
        load_encoder(folder)
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"this needs sentence-transformers .*'\.\[sentence-transformers\]'"):
        LibraryEncoder.from_pretrained(folder)


def test_what_the_library_cannot_load_is_named(folder: Path, tmp_path: Path) -> None:
    made = modern(tmp_path / "m")
    tiny.edit_config(made, model_type="nothing-known")
    with pytest.raises(ModelError, match=f"{made}: sentence-transformers cannot load it"):
        load_encoder(made)
    with pytest.raises(ModelError, match="takes one model, without context, profile and dtype"):
        load_encoder(folder, profile="e5", runtime="sentence-transformers")
    with pytest.raises(ModelError, match="backend is 'tensorrt', expected one of torch, onnx, openvino"):
        LibraryEncoder.from_pretrained(folder, backend="tensorrt")  # type: ignore[arg-type]


def colbert(folder: Path) -> Path:
    return tiny.edit_config(tiny.bert(folder), architectures=["HF_ColBERT"])


def splade(folder: Path) -> Path:
    """A masked language model without modules.json, as SPLADE is often published."""
    model = tiny.seeded(transformers.BertForMaskedLM, tiny.bert_config(), 3)
    model.save_pretrained(tiny.bert_tokenizer(folder / "splade-v3"))
    return folder / "splade-v3"


def sparse(folder: Path) -> Path:
    return tiny.modules(tiny.bert(folder), pooling="max", names=("SpladePooling",))


def typed(folder: Path) -> Path:
    (tiny.modules(tiny.bert(folder), pooling="mean") / "config_sentence_transformers.json").write_text(
        json.dumps({"model_type": "SparseEncoder"})
    )
    return folder


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (colbert, r"late-interaction model \(ColBERT\)"),
        (splade, r"sparse encoder \(SPLADE\)"),
        (sparse, r"sparse encoder \(SPLADE\)"),
        (typed, r"sparse encoder \(SPLADE\)"),
        (tiny.save_tiny_cross_encoder, "a cross-encoder, which scores a question and a passage together"),
    ],
)
def test_models_of_other_kinds_are_refused_with_the_reason(make: Any, kind: str, tmp_path: Path) -> None:
    made = make(tmp_path / "m")
    for load in (load_encoder, DualEncoder.from_pretrained, LibraryEncoder.from_pretrained):
        with pytest.raises(ModelError, match=kind):
            load(made)


def test_tokens_are_not_pooled_by_guess(tmp_path: Path) -> None:
    """Without modules.json the library takes the mean, of models that were trained with [CLS] as well."""
    made = modern(tmp_path / "m")
    (made / "modules.json").unlink()
    with pytest.raises(
        UnsupportedModelError,
        match=r"nothing in the folder says how .* pooled.*runtime='sentence-transformers' if the mean",
    ):
        load_encoder(made)
    assert load_encoder(made, runtime="sentence-transformers").description["pooling"] == "mean"


def test_several_threads_get_the_same(folder: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    encoder = load_encoder(folder)
    expected = encoder.encode_questions(QUESTIONS)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(encoder.encode_questions, [QUESTIONS] * 8):
            np.testing.assert_allclose(found, expected, atol=1e-6)
    assert torch.is_inference_mode_enabled() is False


def test_it_is_shared_and_not_pickled(folder: Path) -> None:
    encoder = load_encoder(folder)
    assert copy.copy(encoder) is copy.deepcopy(encoder) is encoder
    with pytest.raises(TypeError, match=r"load it where it is used, with LibraryEncoder\.from_pretrained"):
        pickle.dumps(encoder)


def test_the_name_of_a_folder_says_nothing_of_an_encoder_saved_there(tmp_path: Path) -> None:
    encoder = DualEncoder.from_pretrained(tiny.contriever(tmp_path / "m"), runtime="torch")
    encoder.save_pretrained(tmp_path / "splade-distilled")
    assert (
        DualEncoder.from_pretrained(tmp_path / "splade-distilled", runtime="torch").fingerprint == encoder.fingerprint
    )
