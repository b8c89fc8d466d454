"""Exit codes: 2 where the command line is wrong, 1 where the work failed; and what is said of a filter that keeps nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny import TinyEncoder
from typer.testing import CliRunner, Result

from dpr_rag import Passage, PassageStore
from dpr_rag.cli.app import app


def run(*args: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], input=stdin, prog_name="dpr-rag", env={"COLUMNS": "400"})


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "plays.dpr"
    metadata = {"year": 1601, "specs": {"acts": 5}}
    with PassageStore.open(path, encoder=TinyEncoder()) as opened:
        opened.add(
            [Passage("1", "Hamlet is a tragedy.", "Hamlet", metadata), Passage("2", "Faust is a play.", "Faust")]
        )
    return path


def in_words(done: Result) -> str:
    return " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["search", "STORE", "x", "--mode", "sparse"], "expected one of dense, bm25, hybrid; here it is 'bm25'"),
        (["search", "STORE", "x", "--mode", "bm25", "--weight", "-1"], "weight is -1.0, expected a number of at least 0"),
        (["search", "STORE", "x", "--weight", "1"], "pass --mode hybrid beside them"),
        (["search", "STORE", "x", "--mode", "hybrid", "--fusion", "ranks"], "here it is 'rrf'"),
        (["search", "STORE", "x", "--mode", "bm25", "--filter", '{"year": {"$contain": 1}}'], "did you mean '$contains'?"),
        (["search", "STORE", "x", "--mode", "bm25", "--filter", "[" * 100_000], "nested too deep"),
        (["search", "STORE", " ", "--mode", "bm25"], "a question is blank; ask with at least one word"),
        (["search", "STORE", "x", "--model", "m", "--profile", "contreiver"], "did you mean 'contriever'?"),
        (["index", "CORPUS", "--store", "NEW", "--index", "hnws"], "unknown index 'hnws'"),
        (["index", "CORPUS", "--store", "NEW", "--language", "de"], "here it is 'german'"),
        (["index", "CORPUS", "--store", "NEW", "--format", "jsnol"], "did you mean 'jsonl'?"),
        (["index", " ", "--store", "NEW"], "its path is empty; write . for the current folder"),
        (["info", ":memory:"], "Invalid value for 'STORE': the path ':memory:' names no folder; give one"),
        (["encode", "CORPUS", "-o", ":memory:"], "'-o': the path ':memory:' names no folder; give one"),
        (["index", "CORPUS", "--store", " "], "Invalid value for '--store': the path is empty; write ."),
        (["optimize", "file:///x"], "Invalid value for 'DIR': the path 'file:///x' is a URI, expected a path"),
        (["optimize", "milvus+lite:a b.db"], "make one with: dpr-rag copy 'milvus+lite:a b.db' DIR"),
        (["optimize", "STORE", "--index", "magic"], "unknown index 'magic'"),
        (["search", "STORE", "x", "--filter", '{"$not":' * 5_000], "nested too deep"),
        (["optimize", "STORE", "--index", "hnws"], "did you mean 'hnsw'"),
        (["optimize", "STORE", "--language", "xx"], "language is 'xx'"),
        (["evaluate", "STORE", "CORPUS", "--mode", "sparse"], "here it is 'bm25'"),
        (["train", "CORPUS", "-o", "NEW", "--lr", "0"], "learning_rate is 0.0, expected a number above 0"),
        (["mine", "CORPUS", "--store", "STORE", "-o", "NEW", "--first", "5", "--last", "2"], "ranks 5 to 2"),
        (["convert", "x.cp", "NEW", "--profile", "nothing"], "no profile is called 'nothing'"),
        (["chat", "NEW", "--reader", "default", "--llm", "openai:x"], "with --llm the model answers"),
        (["mcp", "STORE", "--token", "secret"], "Invalid value for --token: it goes with --transport http; leave it out"),
        (["mcp", "STORE", "--host", "127.0.0.1"], "Invalid value for --host: it goes with --transport http"),
        (["mcp", "STORE", "--transport", "stdio", "--port", "1"], "Invalid value for --port: it goes with --transport"),
        (["serve", "STORE", "--uds", "NEW", "--port", "8000"], "--port: --uds listens on a socket instead of a port"),
        (["serve", "STORE", "--uds", "NEW", "--host", "localhost"], "--host: --uds listens on a socket"),
        (["delete", "STORE", "--filter", "{}"], "this filter asks about no field"),
        (["delete", "STORE", "--filter", "{}", "--dry-run"], "this filter asks about no field"),
        (["delete", "STORE", "--filter", '{"year": {"$foo": 1}}', "--dry-run"], "'$foo' is no operator"),
    ],
)  # fmt: skip
def test_what_the_command_line_says_wrongly_is_wrong_usage(
    args: list[str], said: str, store: Path, tmp_path: Path
) -> None:
    corpus = tmp_path / "books.jsonl"
    corpus.write_text(json.dumps({"id": "1", "text": "a"}) + "\n", "utf-8")
    places = {"STORE": store, "CORPUS": corpus, "NEW": tmp_path / "new"}
    done = run(*[places.get(arg, arg) for arg in args])
    assert done.exit_code == 2, done.output
    assert said in in_words(done)
    assert not (tmp_path / "new").exists()
    with PassageStore.open(store, read_only=True) as opened:
        assert len(opened) == 2


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["search", "MISSING", "x", "--mode", "bm25"], "there is no store at"),
        (["info", "MISSING"], "there is no store at"),
        (["index", "MISSING", "--store", "NEW"], "MISSING"),
        (["delete", "STORE", "--file", "nothing.md"], "no passage of"),
        (["evaluate", "STORE", "MISSING", "--mode", "bm25"], "MISSING"),
    ],
)
def test_work_that_fails_ends_with_1(args: list[str], said: str, store: Path, tmp_path: Path) -> None:
    missing = tmp_path / "MISSING"
    done = run(*[{"STORE": store, "MISSING": missing, "NEW": tmp_path / "new"}.get(arg, arg) for arg in args])
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1), done.output
    assert said in done.stderr


def test_a_field_that_no_passage_has_is_named_with_names_near_it(store: Path) -> None:
    done = run("search", store, "tragedy", "--mode", "bm25", "--filter", '{"yaer": 1601}')
    assert (done.exit_code, done.stdout.count("no passage matches")) == (0, 1)
    assert in_words(done) == (
        "dpr-rag: no passage has a field 'yaer'; did you mean 'year'? (fields: id, specs, specs.acts, title, year)"
    )
    deeper = run("search", store, "tragedy", "--mode", "bm25", "--json", "--filter", '{"specs.act": 5}')
    assert "no passage has a field 'specs.act'; did you mean 'specs.acts'" in in_words(deeper)
    assert json.loads(deeper.stdout)["hits"] == []
    deleted = run("delete", store, "--filter", '{"yaer": 1601}')
    assert deleted.stdout == "deleted 0; 2 left\n"
    assert "did you mean 'year'?" in in_words(deleted)


@pytest.mark.parametrize("where", ['{"year": 1700}', '{"title": "Emma"}', '{"id": "9"}', '{"specs.acts": 3}'])
def test_a_field_that_is_there_is_not_called_missing(where: str, store: Path) -> None:
    done = run("search", store, "tragedy", "--mode", "bm25", "--filter", where)
    assert (done.exit_code, done.stderr) == (0, "")
    assert run("search", store, "nothing of that", "--mode", "bm25").stderr == ""


def test_what_has_neither_text_nor_title_but_white_space_is_left_out_and_counted(tmp_path: Path) -> None:
    corpus, store = tmp_path / "blank.jsonl", tmp_path / "blank.dpr"
    records = [
        {"id": "1", "text": " \n\t"},
        {"id": "2", "text": "\u3000", "title": " "},
        {"id": "3", "text": " ", "title": "Emma"},
        {"id": "4", "text": "a novel"},
    ]
    corpus.write_text("".join(json.dumps(one) + "\n" for one in records), "utf-8")
    from dpr_rag.corpora import LeftOut, open_corpus

    left_out = LeftOut()
    passages = list(open_corpus(corpus, left_out=left_out))
    assert [(one.id, one.text, one.title) for one in passages] == [("3", "Emma", ""), ("4", "a novel", "")]
    assert dict(left_out) == {"passage without text and title": 2}
    with PassageStore.open(store, encoder=TinyEncoder()) as opened:
        for blank in (Passage("b", " \n"), Passage("b", "\u3000", "\t")):
            for given in ([passages[0], blank], iter([passages[0], blank])):
                with pytest.raises(
                    ValueError, match="passage 'b': text and title are blank, expected a word; leave it out"
                ):
                    opened.add(given)
                assert len(opened) == 0
        opened.add([*passages, Passage("t", " ", "a title")])
        assert [one.id for one in opened] == ["3", "4", "t"]
