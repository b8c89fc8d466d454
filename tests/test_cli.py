"""The commands, run in this process with a deterministic encoder: what they write, and how they end."""

from __future__ import annotations

import json
import re
import signal
from contextlib import suppress
from pathlib import Path
from threading import Event

import pytest
from tiny import TinyEncoder
from typer.testing import CliRunner, Result

from dpr_rag import Passage, PassageStore, __version__
from dpr_rag.cli import models
from dpr_rag.cli.app import app

CORPUS = [
    {"id": "1", "title": "Hamlet", "text": "Hamlet is a tragedy written by William Shakespeare.", "year": 1601},
    {"id": "2", "title": "Faust", "text": "Faust is a tragic play by Goethe.", "year": 1808},
    {"id": "3", "title": "Emma", "text": "Emma is a novel about youthful hubris.", "year": 1815},
]


@pytest.fixture(autouse=True)
def _tiny_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: TinyEncoder(choice.question or "tiny"))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "books.jsonl"
    records = [{**{k: r[k] for k in ("id", "title", "text")}, "metadata": {"year": r["year"]}} for r in CORPUS]
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


def run(*args: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], input=stdin, prog_name="dpr-rag")


@pytest.fixture
def store(tmp_path: Path, corpus: Path) -> Path:
    path = tmp_path / "books.dpr"
    done = run("index", corpus, "--store", path)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("added 3, replaced 0, unchanged 0 in ")
    return path


def ids(done: Result) -> list[list[str]]:
    assert done.exit_code == 0, done.output
    return [[hit["id"] for hit in json.loads(line)["hits"]] for line in done.stdout.splitlines()]


def test_index_again_changes_nothing(store: Path, corpus: Path) -> None:
    assert run("index", corpus, "--store", store).stdout.startswith("added 0, replaced 0, unchanged 3 in ")


def test_search_shows_rank_score_title_id_and_text(store: Path) -> None:
    done = run("search", store, "Who wrote Hamlet?", "-k", 1)
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "Who wrote Hamlet?",
        "    1    2.0000  Hamlet  [1]",
        "       Hamlet is a tragedy written by William Shakespeare.",
        "",
    ]


def test_search_json_holds_whole_hits(store: Path) -> None:
    done = run("search", store, "Hamlet", "--json", "-k", 1)
    assert json.loads(done.stdout) == {
        "question": "Hamlet",
        "hits": [
            {
                "rank": 1,
                "score": 2.0,
                "dense": 2.0,
                "id": "1",
                "title": "Hamlet",
                "text": CORPUS[0]["text"],
                "metadata": {"year": 1601},
            }
        ],
    }


def test_search_by_words_and_by_both(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (hits,) = [
        json.loads(line)["hits"]
        for line in run("search", store, "Faust", "--json", "--mode", "hybrid").stdout.splitlines()
    ]
    assert {*hits[0]} >= {"score", "dense", "bm25"}
    assert hits[0]["title"] == "Faust"
    weighted = run("search", store, "Faust", "--json", "--mode", "hybrid", "--weight", "0.5")
    first = json.loads(weighted.stdout)["hits"][0]
    assert first["score"] == pytest.approx(first["bm25"] + 0.5 * first["dense"])

    def load(choice: models.ModelChoice) -> None:
        raise AssertionError("words need no model")

    monkeypatch.setattr(models.ModelChoice, "load", load)
    (hit,) = json.loads(run("search", store, "faust", "--json", "--mode", "bm25").stdout)["hits"]
    assert (hit["title"], hit["score"]) == ("Faust", hit["bm25"])


def test_modes_that_there_are_not_are_wrong_usage(store: Path) -> None:
    for args, said in (
        (["--mode", "sparse"], "mode is 'sparse'"),
        (["--weight", "2"], "--weight goes with --mode hybrid"),
    ):
        done = run("search", store, "x", *args)
        assert done.exit_code == 2
        assert said in done.stderr


def test_search_reads_questions_from_everywhere(store: Path, tmp_path: Path) -> None:
    asked = tmp_path / "questions.txt"
    asked.write_text("Goethe\n\n  youthful hubris \n", "utf-8")
    assert ids(run("search", store, "Hamlet", "--file", asked, "--json", "-k", 1)) == [["1"], ["2"], ["3"]]
    assert ids(run("search", store, "-", "--json", "-k", 1, stdin="Goethe\nHamlet\n")) == [["2"], ["1"]]
    assert ids(run("search", store, "--file", "-", "--json", "-k", 1, stdin="Goethe\n")) == [["2"]]


def test_search_filters(store: Path) -> None:
    done = run("search", store, "a tragedy by Shakespeare", "--filter", '{"year": {"$gte": 1800}}', "--json")
    assert sorted(ids(done)[0]) == ["2", "3"]


def test_search_without_hits_says_so(store: Path) -> None:
    assert "no passage matches" in run("search", store, "Hamlet", "--filter", '{"year": 1}').stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["search", "{store}"], "ask at least one question"),
        (["search", "{store}", "x", "--filter", "{year: 1}"], "is not JSON"),
        (["search", "{store}", "x", "--filter", "[1]"], "is no JSON object"),
        (["search", "{store}", "x", "--filter", '{"year": 1, "year": 2}'], "key 'year' stands twice in one object"),
        (["delete", "{store}", "--filter", '{"$and": [{"a": 1, "a": 2}]}'], "key 'a' stands twice in one object"),
        (["search", "{store}", "x", "--filter", "9" * 5_000], "is not JSON"),
        (["search", "{store}", "x", "-k", "0"], "greater than or equal to 1"),
        (["delete", "{store}"], "name passages by ID"),
        (["delete", "{store}", "1", "--filter", "{}"], "and not by both"),
        (["index", "books.jsonl"], "--store"),
        (["dance"], "dance"),
    ],
)
def test_wrong_usage_ends_with_2(store: Path, args: list[str], message: str) -> None:
    done = run(*[arg.format(store=store) if arg == "{store}" else arg for arg in args])
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.replace("│", " ").split())


def test_piped_questions_must_be_text(store: Path) -> None:
    asked = "wer schrieb Räuber?\n".encode("latin-1")
    done = CliRunner().invoke(app, ["search", str(store), "-"], input=asked, prog_name="dpr-rag")
    assert done.exit_code == 1
    assert done.stderr.startswith("dpr-rag: error: standard input: the questions are not UTF-8 (byte 0xe4")


def test_a_byte_order_mark_is_no_part_of_a_question(store: Path, tmp_path: Path) -> None:
    asked = b"\xef\xbb\xbfcats\n\xef\xbb\xbfdogs\n"
    (tmp_path / "asked.txt").write_bytes(asked)
    for args, data in (["-"], asked), (["--file", "-"], asked), (["--file", str(tmp_path / "asked.txt")], None):
        done = CliRunner().invoke(app, ["search", str(store), "--json", *args], input=data, prog_name="dpr-rag")
        assert [json.loads(line)["question"] for line in done.stdout.splitlines()] == ["cats", "dogs"]


def test_questions_end_at_line_breaks_alone(store: Path, tmp_path: Path) -> None:
    asked = "cats\u2028and\x0cdogs\rbirds\r\n\nfish".encode()
    (tmp_path / "asked.txt").write_bytes(asked)
    for args, data in (["-"], asked), (["--file", str(tmp_path / "asked.txt")], None):
        done = CliRunner().invoke(app, ["search", str(store), "--json", *args], input=data, prog_name="dpr-rag")
        questions = [json.loads(line)["question"] for line in done.stdout.split("\n") if line]
        assert questions == ["cats\u2028and\x0cdogs", "birds", "fish"]


def test_a_search_says_that_a_store_is_empty(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "a b.dpr", encoder=TinyEncoder("tiny")):
        pass
    said = f"the store {tmp_path / 'a b.dpr'} is empty; fill it with: dpr-rag index CORPUS --store '{tmp_path / 'a b.dpr'}'\n"
    for mode in "dense", "bm25":
        done = run("search", tmp_path / "a b.dpr", "cats", "--mode", mode)
        assert (done.exit_code, done.stderr) == (0, said)


@pytest.mark.parametrize(
    "args",
    [
        ["index", "/dev/zero", "--store", "{new}"],
        *(["index", "/dev/zero", "--store", "{new}", "--format", form] for form in ("text", "jsonl", "json", "csv")),
        ["index", "{there}/link.pdf", "--store", "{new}"],
        ["index", "{there}/books.jsonl", "--store", "{new}", "--vectors", "/dev/zero"],
        ["search", "{store}", "--file", "/dev/zero"],
        ["evaluate", "{store}", "/dev/zero"],
        ["train", "/dev/zero", "--output", "{new}"],
    ],
)
def test_a_device_is_no_file(store: Path, tmp_path: Path, args: list[str]) -> None:
    (tmp_path / "link.pdf").symlink_to("/dev/zero")
    done = run(*[arg.format(store=store, there=tmp_path, new=tmp_path / "new") for arg in args])
    assert done.exit_code == 1
    assert re.fullmatch(
        r"dpr-rag: error: \S+: is a device, expected a file or a pipe; copy what is on it to a file first\n",
        done.stderr,
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["search", "{there}/none.dpr", "x"], "none.dpr"),
        (["info", "{there}/none.dpr"], "none.dpr; check the path, or make one with: dpr-rag index CORPUS --store DIR"),
        (["delete", "{there}/none.dpr", "1"], "none.dpr"),
        (["check", "{there}/none.dpr"], "none.dpr"),
        (["index", "{there}/none.jsonl", "--store", "{there}/new.dpr"], "none.jsonl"),
        (["search", "{store}", "x", "--file", "{there}/none.txt"], "none.txt"),
        (["search", "{store}", "x", "--model", "other"], "other-64"),
        (["search", "{store}", "--file", "{latin}"], "latin.txt: the questions are not UTF-8 (byte 0xe4"),
    ],
)
def test_an_error_is_one_line_and_ends_with_1(store: Path, tmp_path: Path, args: list[str], message: str) -> None:
    latin = tmp_path / "latin.txt"
    latin.write_bytes("wer schrieb Räuber?".encode("latin-1"))
    done = run(*[arg.format(store=store, there=tmp_path, latin=latin) for arg in args])
    assert done.exit_code == 1
    assert done.stderr.startswith("dpr-rag: error: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert "Traceback" not in done.output


def test_failed_index_leaves_no_store(tmp_path: Path) -> None:
    assert run("index", tmp_path / "none.jsonl", "--store", tmp_path / "new.dpr").exit_code == 1
    assert not (tmp_path / "new.dpr").exists()


def test_another_stores_model_is_named_and_not_loaded(tmp_path: Path, corpus: Path) -> None:
    path = tmp_path / "foreign.dpr"
    assert run("index", corpus, "--store", path, "--model", "org/foreign").exit_code == 0
    refused = run("search", path, "Hamlet")
    assert refused.exit_code == 1
    assert "--model org/foreign" in refused.stderr
    assert ids(run("search", path, "Hamlet", "--model", "org/foreign", "--json", "-k", 1)) == [["1"]]


def test_malformed_lines_stop_or_are_counted(tmp_path: Path, corpus: Path) -> None:
    corpus.write_text(corpus.read_text("utf-8") + "{broken\n", "utf-8")
    stopped = run("index", corpus, "--store", tmp_path / "a.dpr")
    assert stopped.exit_code == 1
    assert "books.jsonl" in stopped.stderr
    done = run("index", corpus, "--store", tmp_path / "b.dpr", "--skip-bad")
    assert done.exit_code == 0
    assert done.stdout.startswith("added 3,")
    assert "skipped 1 malformed entr" in done.stderr


def test_delete_by_id_and_by_filter(store: Path) -> None:
    assert run("delete", store, "1", "nobody").stdout == "deleted 1; 2 left\n"
    assert run("delete", store, "--filter", '{"year": 1808}').stdout == "deleted 1; 1 left\n"
    with PassageStore.open(store, read_only=True) as opened:
        assert [passage.id for passage in opened] == ["3"]


def test_info_says_what_the_store_holds(store: Path) -> None:
    facts = json.loads(run("info", store, "--json", "--recall").stdout)
    assert facts["passages"] == 3
    assert facts["dim"] == 64
    assert facts["fingerprint"] == "tiny-64"
    assert facts["source"] == "tiny"
    assert facts["index_recall"] == 1.0
    table = run("info", store).stdout
    assert [line.split()[-1] for line in table.splitlines() if line.startswith("fingerprint")] == ["tiny-64"]


def test_check_backup_optimize_and_reencode(store: Path, tmp_path: Path) -> None:
    assert run("check", store).stdout.startswith("3 passages at generation ")
    assert run("optimize", store, "--index", "hnsw").stdout.startswith("hnsw ")
    assert json.loads(run("info", store, "--json").stdout)["index"] == "hnsw"
    assert run("backup", store, tmp_path / "copy.dpr").stdout == f"copied to {tmp_path / 'copy.dpr'}\n"
    assert ids(run("search", tmp_path / "copy.dpr", "Goethe", "--json", "-k", 1)) == [["2"]]
    assert run("delete", store, "2").stdout == "deleted 1; 2 left\n"
    assert run("restore", tmp_path / "copy.dpr", store).stdout == f"restored 3 passages to {store}\n"
    assert ids(run("search", store, "Goethe", "--json", "-k", 1)) == [["2"]]
    refused = run("restore", tmp_path / "nothing", store)
    assert (refused.exit_code, refused.stderr) == (
        1,
        f"dpr-rag: error: there is no store at {tmp_path / 'nothing'}; give the folder that dpr-rag backup made\n",
    )
    assert run("reencode", store).exit_code == 2
    assert run("reencode", store, "--model", "newer").stdout.startswith("encoded 3 again in ")
    assert json.loads(run("info", store, "--json").stdout)["fingerprint"] == "newer-64"


def test_a_backup_of_a_damaged_store_is_not_called_a_copy(store: Path, tmp_path: Path) -> None:
    file = store / "passages.sqlite"
    with PassageStore.open(store) as opened:
        text = next(iter(opened)).text.encode()
    file.write_bytes(file.read_bytes().replace(text, b"X" + text[1:]))
    done = run("backup", store, tmp_path / "copy.dpr")
    assert done.exit_code == 1
    assert f"copied to {tmp_path / 'copy.dpr'}, and the copy is damaged as the store is" in done.stderr


@pytest.mark.parametrize("given", ["", "  "])
def test_an_empty_path_is_not_the_current_folder(
    given: str, store: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As from a variable of the shell that is not set."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "note.txt").write_text("a note")
    monkeypatch.chdir(tmp_path / "here")
    for arguments in (
        ("index", given, "--store", store),
        ("index", corpus, "--store", given),
        ("search", given, "who"),
    ):
        done = run(*arguments)
        assert done.exit_code in (1, 2)
        assert "write . for the current folder" in " ".join(done.output.replace("│", " ").split())
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["note.txt"]


def test_index_notes_settings_that_stay(store: Path, corpus: Path) -> None:
    done = run("index", corpus, "--store", store, "--index", "hnsw", "--dtype", "float16")
    assert done.exit_code == 0
    assert f"dpr-rag optimize {store} --index hnsw" in done.stderr
    assert "keeps its vectors as float32" in done.stderr


def test_words_are_of_the_language_named(tmp_path: Path, corpus: Path) -> None:
    store = tmp_path / "german.dpr"
    assert run("index", corpus, "--store", store, "--language", "german").exit_code == 0
    assert json.loads(run("info", store, "--json").stdout)["language"] == "german"
    done = run("index", corpus, "--store", store, "--language", "dutch")
    assert f"keeps the language german; change it with: dpr-rag optimize {store} --language dutch" in done.stderr
    assert run("optimize", store, "--language", "dutch").exit_code == 0
    assert json.loads(run("info", store, "--json").stdout)["language"] == "dutch"
    assert "language is 'klingon'" in run("optimize", store, "--language", "klingon").stderr


def test_convert_hands_everything_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []

    def convert(source: str, target: Path, **options: object) -> TinyEncoder:
        given.extend([source, target, options])
        return TinyEncoder()

    monkeypatch.setattr("dpr_rag.encoders.checkpoints.convert", convert)
    target = tmp_path / "dpr-nq"
    done = run("convert", "dpr.cp", target, "--base", "bert", "--context-model", "ctx", "--profile", "dpr")
    assert done.stdout == f"wrote {target} (fingerprint tiny-64)\n"
    assert given == ["dpr.cp", target, {"context": "ctx", "base": "bert", "profile": "dpr"}]


def test_two_models_are_named_apart(tmp_path: Path) -> None:
    path = tmp_path / "two.dpr"
    with PassageStore.open(path, encoder=TinyEncoder("my question + org/ctx")) as opened:
        opened.add([Passage(id="1", text="one")])
    refused = run("search", path, "x")
    assert "--model 'my question' --context-model org/ctx, and the --profile" in refused.stderr


def test_an_empty_store_can_be_asked(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "empty.dpr"):
        pass
    done = run("search", tmp_path / "empty.dpr", "x")
    assert done.exit_code == 0
    assert "no passage matches" in done.stdout


def test_vectors_without_an_encoder_need_a_binding(tmp_path: Path) -> None:
    path = tmp_path / "bare.dpr"
    with PassageStore.open(path) as opened:
        opened.add([Passage(id="1", text="Faust")], vectors=TinyEncoder().encode_questions(["Faust"]))
    refused = run("search", path, "Faust")
    assert refused.exit_code == 1
    assert "--model MODEL --bind" in refused.stderr
    assert ids(run("search", path, "Faust", "--model", "mine", "--bind", "--json")) == [["1"]]
    assert ids(run("search", path, "Faust", "--model", "mine", "--json")) == [["1"]]


def test_the_version_is_the_packages() -> None:
    assert run("--version").stdout == f"dpr-rag {__version__}\n"


def test_memory_that_is_used_up_is_one_line(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def retrieve(*args: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr("dpr_rag.Retriever.retrieve_batch", retrieve)
    done = run("search", store, "cats")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "dpr-rag: error: the memory is used up; give the process more, or less to do at once, by --batch-size or --k\n"
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.usefixtures("interruptible")
def test_the_exit_code_names_the_signal_though_a_library_replaces_the_interruption(
    store: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    """SQLite tells its caller only that something interrupted it."""

    def interrupted(*_given: object, **_options: object) -> None:
        with suppress(KeyboardInterrupt):
            signal.raise_signal(number)
        raise KeyboardInterrupt

    monkeypatch.setattr(PassageStore, "optimize", interrupted)
    done = run("optimize", store)
    assert (done.exit_code, done.stdout) == (code, "")


class Dying:
    """What is interrupted as its memory is cleared away, from where Python lets no exception out."""

    def __init__(self, number: signal.Signals) -> None:
        self._number = number

    def __del__(self) -> None:
        signal.raise_signal(self._number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.usefixtures("interruptible")
def test_a_signal_that_python_drops_in_a_callback_of_its_memory_ends_the_command(
    store: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    def interrupted(*_given: object, **_options: object) -> None:
        Dying(number)
        Event().wait(600)

    monkeypatch.setattr(PassageStore, "optimize", interrupted)
    done = run("optimize", store)
    assert (done.exit_code, done.stdout) == (code, "")
    assert done.stderr == "\ndpr-rag: interrupted; nothing was applied by half\n"
