"""Encoders on the command line: where and in what precision they run, what is said of them, which prompts they take."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny_models as tiny
import typer
from processors import BYTES, needs_kernels
from typer.testing import CliRunner, Result

import dpr_rag.cli
from dpr_rag import DualEncoder, Passage, PassageStore
from dpr_rag.cli import models
from dpr_rag.cli.app import app
from dpr_rag.corpora import Question, write_questions
from dpr_rag.errors import EncoderMismatchError, ModelError
from dpr_rag.faces import on_face

RUNNING = {"--device", "--runtime", "--precision"}
PASSAGES = [
    Passage("1", "hamlet is a tragedy by the king of denmark .", "hamlet"),
    Passage("2", "who is the king ?", "the king"),
    Passage("3", "the tragedy of denmark", "denmark"),
]
ASKED = [
    Question(f"q{at}", text, ("tragedy",), ("1",)) for at, text in enumerate(["who wrote hamlet", "the king"] * 12)
]


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], prog_name="dpr-rag")


def options_of() -> dict[str, set[str]]:
    """The options of every command."""
    commands = typer.main.get_group(app).commands
    return {name: {option for one in command.params for option in one.opts} for name, command in commands.items()}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sentence-transformers with prompts of three names."""
    folder = tiny.modules(tiny.bert(tmp_path_factory.mktemp("models") / "mine"), pooling="mean", names=("Normalize",))
    prompts = {"query": "query: ", "document": "passage: ", "fact": "who wrote: ", "plain": ""}
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts}))
    return folder


@pytest.fixture
def there(tmp_path: Path, model: Path) -> Path:
    """A folder with a store that the model filled, questions, and a corpus."""
    encoder = DualEncoder.from_pretrained(model, runtime="openvino", dtype="float32", device="cpu")
    with PassageStore.open(tmp_path / "s", encoder=encoder) as opened:
        opened.add(PASSAGES)
    write_questions(tmp_path / "q.jsonl", ASKED)
    lines = [json.dumps({"id": one.id, "text": one.text, "title": one.title}) for one in PASSAGES]
    (tmp_path / "c.jsonl").write_text("\n".join(lines))
    return tmp_path


LINES = {
    "index": ("index", "{there}/c.jsonl", "--store", "{there}/new"),
    "encode": ("encode", "{there}/c.jsonl", "-o", "{there}/out"),
    "search": ("search", "{there}/s", "who wrote hamlet"),
    "evaluate": ("evaluate", "{there}/s", "{there}/q.jsonl"),
    "tune": ("tune", "{there}/s", "{there}/q.jsonl", "--dry-run"),
    "mine": ("mine", "{there}/q.jsonl", "--store", "{there}/s", "-o", "{there}/t.json", "--from", "dense"),
    "reencode": ("reencode", "{there}/s"),
}


def line_of(command: str, there: Path) -> list[str]:
    return [part.format(there=there) for part in LINES[command]]


def test_every_command_that_opens_an_encoder_says_where_it_runs() -> None:
    found = options_of()
    opening = {name for name, options in found.items() if options & {"--model", "--init"}} | {"demo"}
    assert opening == {*LINES, "ask", "train", "demo", "chat", "ui", "mcp", "recover", "serve", "load"}
    assert {name: RUNNING - found[name] for name in opening} == {name: set() for name in opening}


def test_the_commands_load_models_in_three_places() -> None:
    """One for encoders, one for what is trained, one for readers; what these take, all commands take."""
    loading = {"load_encoder", "from_pretrained", "default"}
    found = set()
    for path in Path(dpr_rag.cli.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            name = getattr(called, "attr", getattr(called, "id", ""))
            if name in loading:
                found.add(path.name)
    assert found == {"models.py", "reranking.py", "running.py"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--runtime", "torch", "--device", "cpu", "--precision", "float32"), "PyTorch in float32 on cpu"),
        (("--runtime", "torch", "--device", "cpu", "--precision", "bfloat16"), "PyTorch in bfloat16 on cpu"),
        (("--runtime", "openvino", "--precision", "float32"), "OpenVINO in float32"),
        (("--precision", "int8"), "OpenVINO in int8"),
    ],
)
@pytest.mark.parametrize("command", LINES)
def test_an_encoder_runs_where_the_options_say(
    there: Path, model: Path, command: str, options: tuple[str, ...], told: str
) -> None:
    if command != "search" and "float32" not in options:
        pytest.skip("one command stands for the others")
    if "int8" in options:
        needs_kernels(BYTES)
    done = run(*line_of(command, there), "--model", model, *options)
    assert done.exit_code == 0, done.output
    lines = [line for line in done.stderr.splitlines() if line.startswith("model ")]
    assert len(lines) == 1
    assert told in lines[0]


def test_options_hold_for_the_default_encoder_of_a_store_too(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text('{"id": "1", "text": "Hamlet is a tragedy."}')
    options = ("--runtime", "torch", "--precision", "float32", "--device", "cpu")
    made = run("index", tmp_path / "c.jsonl", "--store", tmp_path / "s", *options)
    assert made.exit_code == 0, made.output
    done = run("search", tmp_path / "s", "who wrote Hamlet?", *options)
    assert done.exit_code == 0, done.output
    for one in (made, done):
        assert "model dpr-rag-mini-v2: " in one.stderr
        assert "PyTorch in float32 on cpu" in one.stderr


@pytest.mark.parametrize("command", [*LINES, "demo", "train", "chat", "mcp"])
@pytest.mark.parametrize(
    ("option", "value", "valid"),
    [
        ("--runtime", "onnx", "auto, openvino, torch, sentence-transformers"),
        ("--precision", "fp8", "auto, float32, bfloat16, float16, int8"),
    ],
)
def test_a_bad_value_is_answered_with_the_valid_ones(
    there: Path, command: str, option: str, value: str, valid: str
) -> None:
    own = {
        "demo": ["demo", "--store", "d"],
        "chat": ["chat", "d"],
        "mcp": ["mcp", "d"],
        "train": ["train", f"{there}/t.json", "-o", f"{there}/out"],
    }
    done = run(*(own.get(command) or line_of(command, there)), option, value)
    assert done.exit_code == 2
    said = " ".join(done.stderr.replace("│", " ").split())
    assert [one for one in (value, *valid.split(", ")) if f"'{one}'" not in said] == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--device", "cuda", "--runtime", "openvino"), "pass --runtime torch for others"),
        (
            ("--runtime", "openvino", "--precision", "float16"),
            "does not run in float16; expected auto, int8, float32, bfloat16",
        ),
        (
            ("--runtime", "torch", "--precision", "int8"),
            "does not run in int8; expected auto, float32, bfloat16, float16",
        ),
        (("--runtime", "sentence-transformers", "--precision", "int8"), "does not run in int8; expected auto"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(
    there: Path, model: Path, options: tuple[str, ...], said: str
) -> None:
    done = run("search", there / "s", "hamlet", "--model", model, *options)
    assert done.exit_code == 2, done.output
    assert said in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.parametrize("device", ["gpu", "cuda:999", "cpu:x", "meta"])
def test_a_device_that_is_not_there_is_answered_with_those_that_may_be(there: Path, model: Path, device: str) -> None:
    done = run("search", there / "s", "hamlet", "--model", model, "--device", device, "--runtime", "torch")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1), done.output
    assert f"device is {device!r}, expected cpu, cuda, cuda:1, mps" in done.stderr


@pytest.mark.parametrize(("runtime", "dtype"), [("torch", "int8"), ("openvino", "float16")])
def test_a_precision_that_a_runtime_has_not_is_put_in_the_words_of_the_options(
    model: Path, runtime: str, dtype: str
) -> None:
    with pytest.raises(ModelError) as refused:
        DualEncoder.from_pretrained(model, device="cpu", runtime=runtime, dtype=dtype)  # type: ignore[arg-type]
    assert on_face(refused.value, "cli").startswith(f"precision is {dtype!r}, expected one of ")
    assert ", or auto" in on_face(refused.value, "cli")


def test_the_profile_is_said_whenever_a_model_is_loaded(there: Path, model: Path) -> None:
    done = run("search", there / "s", "hamlet", "--model", model, "--precision", "float32", "--runtime", "openvino")
    assert done.stderr == (
        f"model {model}: sentence-transformers, mean pooling, compared by cosine, titles as the first of a pair, question prompt "
        "'query: ', passage prompt 'passage: ', questions of 64 and passages of 64 tokens at most; OpenVINO in float32\n"
    )


def test_a_generic_model_without_prompts_is_warned_of(tmp_path: Path, there: Path) -> None:
    for length in (None, 256):  # with 256 tokens it looks as MiniLM's do
        folder = tiny.modules(
            tiny.bert(tmp_path / f"generic{length}"), pooling="mean", names=("Normalize",), length=length
        )
        done = run("index", there / "c.jsonl", "--store", tmp_path / f"n{length}", "--model", folder)
        assert done.exit_code == 0, done.output
        assert "names no prompts for questions and passages" in done.stderr
        assert "pass --profile" in done.stderr


def test_prompts_are_taken_by_name(there: Path, model: Path) -> None:
    named = ("--model", model, "--question-prompt", "fact", "--passage-prompt", "plain", "--precision", "float32")
    done = run("index", there / "c.jsonl", "--store", there / "n", *named)
    assert done.exit_code == 0, done.output
    assert "question prompt 'who wrote: ', no passage prompt" in done.stderr
    found = json.loads(run("search", there / "n", "hamlet", *named, "--json", "-k", 3).stdout)["hits"]
    refused = run("search", there / "n", "hamlet", "--model", model)
    assert refused.exit_code == 1
    assert "name that encoder with --model" in refused.stderr
    plain = there / "plain"
    tiny.modules(tiny.bert(plain), pooling="mean", names=("Normalize",))  # the same weights, and no prompts
    bare = DualEncoder.from_pretrained(plain, runtime="openvino", dtype="float32", device="cpu")
    scores = bare.encode_passages(PASSAGES) @ bare.encode_questions(["who wrote: hamlet"])[0]
    expected = {one.id: float(score) for one, score in zip(PASSAGES, scores, strict=True)}
    assert {hit["id"]: hit["score"] for hit in found} == pytest.approx(expected, abs=1e-5)


def test_a_prompt_that_there_is_not_is_answered_with_those_there_are(there: Path, model: Path) -> None:
    done = run("search", there / "s", "x", "--model", model, "--passage-prompt", "facts")
    assert done.exit_code == 1
    assert done.stderr == (
        f"dpr-rag: error: --passage-prompt is 'facts'; the files of {model} have the prompts 'query', 'document', 'fact', "
        "'plain'; name one of them\n"
    )
    alone = run("search", there / "s", "x", "--passage-prompt", "fact")
    assert alone.exit_code == 2
    assert "--question-prompt and --passage-prompt need --model" in " ".join(alone.stderr.replace("│", " ").split())


def write_samples(path: Path) -> None:
    passage = {"title": "hamlet", "text": "a tragedy"}
    sample = {
        "question": "who",
        "answers": [],
        "positive_ctxs": [passage],
        "negative_ctxs": [],
        "hard_negative_ctxs": [],
    }
    path.write_text(json.dumps([sample, sample | {"question": "what"}]))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--runtime", "openvino"), "openvino does not train; expected torch or auto"),
        (("--precision", "int8"), "int8 does not train; expected float32, bfloat16 or auto"),
        (("--bf16", "--precision", "float32"), "--bf16 and --precision float32 are two precisions"),
    ],
)
def test_training_names_what_it_runs_in(there: Path, options: tuple[str, ...], said: str) -> None:
    write_samples(there / "t.json")
    done = run("train", there / "t.json", "-o", there / "out", *options)
    assert done.exit_code == 2, done.output
    assert said in " ".join(done.stderr.replace("│", " ").split())


def test_training_runs_where_and_in_what_precision_the_options_say(
    there: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_samples(there / "t.json")
    given: dict[str, object] = {}

    def train(*args: object, **options: object) -> object:
        given.update(options)
        raise KeyboardInterrupt

    monkeypatch.setattr("dpr_rag.training.train", train)
    run("train", there / "t.json", "-o", there / "out", "--init", model, "--device", "cpu", "--precision", "bfloat16")
    assert given["device"] == "cpu"
    assert given["settings"].bf16 is True  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("place", "remedy"),
    [
        ("s.dpr", "encode it anew with: dpr-rag reencode s.dpr --model default"),
        (
            "milvus://host:19530/wiki",
            "copy it to a folder, encode that anew with: dpr-rag reencode FOLDER --model default, and copy it back",
        ),
    ],
)
def test_a_store_of_a_former_default_encoder_is_told_its_remedy(
    place: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = SimpleNamespace(passages=3, dim=384, fingerprint="former", source="dpr-rag-mini-v1", profile=None)
    default = SimpleNamespace(source=DualEncoder.default().source, fingerprint="latest")
    monkeypatch.setattr(models, "facts_of", lambda path: facts)
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: default)
    with pytest.raises(EncoderMismatchError) as error:
        models.encoder_of(place, models.ModelChoice())
    assert str(error.value) == (
        f"the store {place!r} was filled by the default encoder of an earlier version; {remedy}"
    )
