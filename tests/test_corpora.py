"""Passages and questions: what is written is read back, and a bad line is named by file and number."""

from __future__ import annotations

import ast
import csv
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpr_rag.arguments import is_blank
from dpr_rag.corpora import (
    FORMATS,
    Columns,
    Judgement,
    Question,
    Result,
    SkipReport,
    TrainingPassage,
    TrainingSample,
    arrays,
    open_corpus,
    read_beir,
    read_beir_questions,
    read_csv,
    read_jsonl,
    read_qrels,
    read_questions,
    read_results,
    read_training,
    read_tsv,
    write_beir,
    write_jsonl,
    write_questions,
    write_results,
    write_training,
    write_tsv,
)
from dpr_rag.errors import CorpusError
from dpr_rag.passages import RESERVED_KEYS, Hit, Passage

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
HARD = st.one_of(TEXT, st.text('"\t\r\n\0\ufeff\u2028\x85 a', min_size=1, max_size=8))
FILLED = HARD.filter(lambda text: not is_blank(text))
VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
FEW = st.lists(TEXT, max_size=2)
QUESTION = FILLED
CHECKED = settings(max_examples=120)
BARE = st.lists(st.builds(Passage, HARD, FILLED, st.just("") | HARD), max_size=5)
# Hypothesis tries the constants of the sources, too; what users do not see goes into no file.
KEY = TEXT.filter(lambda key: key not in RESERVED_KEYS)
FULL = st.lists(
    st.builds(Passage, HARD, FILLED, st.just("") | HARD, st.dictionaries(KEY, VALUE, max_size=2)), max_size=5
)


def file(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@CHECKED
@given(BARE, st.sampled_from(["p.tsv", "p.tsv.gz"]))
def test_tsv_round_trip(tmp_path: Path, passages: list[Passage], name: str) -> None:
    assert write_tsv(tmp_path / name, passages) == len(passages)
    kept = [item for item in passages if (item.id, item.text, item.title) != ("id", "text", "title")]
    assert list(read_tsv(tmp_path / name)) == kept
    assert ((tmp_path / name).read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")


@CHECKED
@given(st.lists(st.tuples(HARD, FILLED, HARD), min_size=1, max_size=4))
def test_tsv_is_read_as_csv_reads_it(tmp_path: Path, rows: list[tuple[str, str, str]]) -> None:
    with (tmp_path / "p.tsv").open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, delimiter="\t", lineterminator="\r\n", quoting=csv.QUOTE_ALL)
        writer.writerows([("id", "text", "title"), *rows])
    with (tmp_path / "p.tsv").open(encoding="utf-8", newline="") as back:
        expected = list(csv.reader(back, delimiter="\t"))[1:]
    assert [[item.id, item.text, item.title] for item in read_tsv(tmp_path / "p.tsv")] == expected


def test_tsv_as_dpr_distributes_it(tmp_path: Path) -> None:
    data = 'id\ttext\ttitle\n1\t"He said ""no"" twice."\tHamlet\n2\tPlain, text\t"A ""B"""\n'
    assert list(read_tsv(file(tmp_path / "psgs_w100.tsv", data))) == [
        Passage("1", 'He said "no" twice.', "Hamlet"),
        Passage("2", "Plain, text", 'A "B"'),
    ]


def test_tsv_with_mark_line_ends_blank_lines_other_columns_and_a_repeated_header(tmp_path: Path) -> None:
    data = (
        "\ufefftitle\tid\ttext\tyear\r\n\r\nHamlet\t1\ta\tb\u2028c\r\ntitle\tid\ttext\tyear\r\nMacbeth\t2\tx\t1606\r\n"
    )
    assert list(read_tsv(file(tmp_path / "p.tsv", data))) == [
        Passage("1", "a", "Hamlet", {"year": "b\u2028c"}),
        Passage("2", "x", "Macbeth", {"year": "1606"}),
    ]


def test_tsv_without_header(tmp_path: Path) -> None:
    assert list(read_tsv(file(tmp_path / "p.tsv", "1\ta\tT\n"))) == [Passage("1", "a", "T")]


def test_tsv_field_beyond_the_limit_of_csv(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    passage = Passage("1", 'say "so" ' * 30_000)
    write_tsv(tmp_path / "p.tsv", [passage])
    assert list(read_tsv(tmp_path / "p.tsv")) == [passage]
    assert csv.field_size_limit() == before


def test_bad_rows_are_named_by_the_line_where_they_start(tmp_path: Path) -> None:
    rows = [
        b"id\ttext\ttitle",
        b'1\t"two\nlines"\tT',
        b"2\tshort",
        b"3\tmore\tthan\tthree",
        b"4\tbad \xff byte\tT",
        b"\tno id\tT",
    ]
    path = file(tmp_path / "p.tsv", b"\n".join([*rows, b"5\tfine\tT"]) + b"\n")
    report = SkipReport(keep=3)
    assert [item.id for item in read_tsv(path, on_bad=report)] == ["1", "5"]
    assert report.count == 4
    assert [example.split(": ")[0] for example in report.examples] == [f"{path}:{line}" for line in (4, 5, 6)]
    assert "2 columns, expected 3: id, text, title" in report.examples[0]
    assert "byte 7 (0xff) is not UTF-8" in report.examples[2]
    with pytest.raises(CorpusError, match=r"p\.tsv:4: 2 columns"):
        list(read_tsv(path))


def test_quote_that_is_never_closed_is_text(tmp_path: Path) -> None:
    path = file(tmp_path / "p.tsv", 'id\ttext\ttitle\n1\t"open\tT\n' + "".join(f"{n}\tx\tT\n" for n in range(2, 2000)))
    first, *others = read_tsv(path)
    assert first == Passage("1", '"open', "T")
    assert [item.id for item in others] == [str(n) for n in range(2, 2000)]


def test_header_that_names_a_column_twice(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"p\.tsv:1: the header"):
        list(read_tsv(file(tmp_path / "p.tsv", "id\ttext\ttext\n1\ta\tb\n")))


@pytest.mark.parametrize(
    ("data", "metadata"),
    [
        (",id,text\n0,1,a\n,id,text\n", {"column 1": "0"}),  # as pandas writes its index
        ("id,text,, \n1,a,x,y\n", {"column 3": "x", "column 4": "y"}),
        ("lang,text,id,\nen,a,1,\n", {"lang": "en", "column 4": ""}),
    ],
)
def test_columns_without_a_name_are_called_by_their_numbers(
    tmp_path: Path, data: str, metadata: dict[str, str]
) -> None:
    assert list(read_csv(file(tmp_path / "p.csv", data))) == [Passage("1", "a", metadata=metadata)]
    assert list(read_tsv(file(tmp_path / "p.tsv", data.replace(",", "\t")))) == [Passage("1", "a", metadata=metadata)]


@pytest.mark.parametrize("columns", [Columns(id="column 1"), Columns(id="1", text="2"), Columns(id="1")])
def test_an_unnamed_column_can_be_chosen_by_its_name_or_number(tmp_path: Path, columns: Columns) -> None:
    data = ",text,lang\n7,a,en\n"
    tables = (read_csv, file(tmp_path / "p.csv", data)), (read_tsv, file(tmp_path / "p.tsv", data.replace(",", "\t")))
    for read, path in tables:
        with pytest.raises(CorpusError, match=r":1: no column of column 1, text, lang is known for the id \("):
            list(read(path))
        with pytest.raises(CorpusError, match=r":1: there is no column 'index', only column 1, text, lang; name one"):
            list(read(path, columns=Columns(id="index")))
        assert list(read(path, columns=columns)) == [Passage("7", "a", metadata={"lang": "en"})]


def test_numbers_of_columns_under_a_header_leave_the_others_their_usual_names(tmp_path: Path) -> None:
    named = file(tmp_path / "q.csv", ",id,text\n7,1,a\n")
    assert list(read_csv(named, columns=Columns(id="1", text="3"))) == [Passage("7", "a", metadata={"id": "1"})]
    assert list(read_csv(named, columns=Columns(title="1"))) == [Passage("1", "a", "7")]


def test_a_name_that_is_also_an_unnamed_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"p\.csv:1: the header .* names the column 'column 3' twice; rename one"):
        list(read_csv(file(tmp_path / "p.csv", "id,text,,column 3\n1,a,x,y\n")))


def test_tsv_refuses_metadata_and_leaves_the_old_file(tmp_path: Path) -> None:
    write_tsv(tmp_path / "p.tsv", [Passage("1", "old")])
    with pytest.raises(CorpusError, match="'2' has metadata"):
        write_tsv(tmp_path / "p.tsv", [Passage("1", "new"), Passage("2", "x", metadata={"a": 1})])
    assert list(read_tsv(tmp_path / "p.tsv")) == [Passage("1", "old")]
    assert [item.name for item in tmp_path.iterdir()] == ["p.tsv"]


@CHECKED
@given(FULL, st.sampled_from(["p.jsonl", "p.jsonl.gz"]))
def test_jsonl_round_trip(tmp_path: Path, passages: list[Passage], name: str) -> None:
    assert write_jsonl(tmp_path / name, passages) == len(passages)
    assert list(read_jsonl(tmp_path / name)) == passages


def test_jsonl_of_others(tmp_path: Path) -> None:
    last = '{"id": "x", "_id": 2, "text": "b", "title": null, "metadata": {"k": [1]}}'
    data = '\ufeff{"_id": 7, "text": "a", "url": "u"}\r\n\r\n' + last
    assert list(read_jsonl(file(tmp_path / "p.jsonl", data))) == [
        Passage("7", "a", "", {"url": "u"}),
        Passage("x", "b", "", {"_id": 2, "k": [1]}),
    ]


BAD_JSON = {
    "[1]": "expected a JSON object",
    '{"id": "1"': "is not JSON",
    '{"id": "1", "text": NaN}': "NaN is no JSON number",
    '{"id": true, "text": "a"}': "the id is True",
    '{"id": 1.5, "text": "a"}': "the id is 1.5",
    '{"id": "", "text": "a"}': "the id is ''",
    '{"text": "a"}': "no key of text is known for the id",
    '{"id": "1", "title": "a"}': "no key of id, title is known for the text",
    '{"id": "1", "text": 5}': "text is int 5",
    '{"id": "1", "text": "\\ud800"}': "lone surrogate",
    '{"id": "1", "text": "a", "title": 1}': "title is int 1",
    '{"id": "1", "text": "a", "metadata": []}': "metadata is []",
    "[" * 100_000: "",
}


@pytest.mark.parametrize("line", BAD_JSON, ids=range(len(BAD_JSON)))
def test_bad_json_line(tmp_path: Path, line: str) -> None:
    good = '{"id": "good", "text": "a"}\n'
    path = file(tmp_path / "p.jsonl", f"{good}{line}\n{good}")
    with pytest.raises(CorpusError) as caught:
        list(read_jsonl(path))
    assert str(caught.value).startswith(f"{path}:2: ")
    assert BAD_JSON[line] in str(caught.value)
    report = SkipReport()
    assert [item.id for item in read_jsonl(path, on_bad=report)] == ["good", "good"]
    assert report.count == 1


def test_damaged_gzip_and_missing_file(tmp_path: Path) -> None:
    data = gzip.compress(b'{"id": "1", "text": "a"}\n' * 5000)
    for name, content in {"short": data[:-20], "flipped": data[:40] + b"\xff\xff" + data[42:]}.items():
        with pytest.raises(CorpusError, match=f"{name}.jsonl.gz"):
            list(read_jsonl(file(tmp_path / f"{name}.jsonl.gz", content), on_bad=SkipReport()))
    with pytest.raises(CorpusError, match="nowhere"):
        list(read_jsonl(tmp_path / "nowhere"))


def test_writing_into_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="cannot be written"):
        write_jsonl(tmp_path / "no" / "p.jsonl", [])


TRAINING_PASSAGE = st.builds(
    TrainingPassage, HARD, st.just("") | HARD, st.just("") | TEXT, st.none() | st.floats(-9, 9)
)
TRAINING = st.builds(
    TrainingSample,
    QUESTION,
    st.lists(HARD, max_size=2).map(tuple),
    st.lists(TRAINING_PASSAGE, min_size=1, max_size=2).map(tuple),
    st.lists(TRAINING_PASSAGE, max_size=1).map(tuple),
    st.lists(TRAINING_PASSAGE, min_size=1, max_size=2).map(tuple),
)


@CHECKED
@given(
    st.lists(TRAINING, max_size=4), st.sampled_from(["t.json", "t.jsonl", "t.json.gz"]), st.sampled_from([3, 1 << 20])
)
def test_training_round_trip(tmp_path: Path, samples: list[TrainingSample], name: str, chunk: int) -> None:
    assert write_training(tmp_path / name, samples) == len(samples)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "CHUNK", chunk)
        assert list(read_training(tmp_path / name)) == samples


def test_training_as_dpr_distributes_it(tmp_path: Path, caplog) -> None:
    ctx = {"title": "T", "text": "x", "score": 1000, "title_score": 1, "passage_id": 12}
    data = [
        {"dataset": "nq", "question": "q1", "answers": ["a"], "positive_ctxs": [ctx], "negative_ctxs": [{"text": "n"}]},
        {"question": "q2", "answers": [], "positive_ctxs": [], "hard_negative_ctxs": [ctx]},
        {
            "question": "q3",
            "positive_ctxs": [{**ctx, "psg_id": "7", "passage_id": "", "score": "1.5"}],
            "hard_negative_ctxs": [],
        },
    ]
    path = file(tmp_path / "t.json", json.dumps(data, indent=4))
    positive, negative = TrainingPassage("x", "T", "12", 1000.0), TrainingPassage("n")
    expected = [
        TrainingSample("q1", ("a",), (positive,), (negative,), (negative,)),
        TrainingSample("q3", (), (TrainingPassage("x", "T", "", 1.5),)),
    ]
    assert list(read_training(path)) == expected
    assert "left out 1 questions without positive_ctxs" in caplog.text
    report = SkipReport()
    assert list(read_training(path, on_bad=report)) == expected
    line = json.dumps(data, indent=4).split('"q2"')[0].count("\n")
    assert report.examples == [f"{path}:{line}: the question 'q2' has no positive_ctxs; it is left out"]


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        ({"question": " ", "positive_ctxs": []}, "blank"),
        ({"positive_ctxs": []}, "no key of positive_ctxs is known for the question"),
        ({"question": "q", "answers": "a"}, "answers is 'a'"),
        ({"question": "q", "positive_ctxs": {"text": "a"}}, "positive_ctxs is"),
        ({"question": "q", "positive_ctxs": [{"text": ""}]}, "positive_ctxs holds text ''"),
        ({"question": "q", "positive_ctxs": [{"text": "a", "score": "high"}]}, "the score is 'high'"),
        ([], "expected a JSON object"),
    ],
)
def test_bad_training_sample(tmp_path: Path, sample, said: str) -> None:
    good = {"question": "good", "positive_ctxs": [{"text": "a"}]}
    path = file(tmp_path / "t.jsonl", f"{json.dumps(good)}\n{json.dumps(sample)}\n{json.dumps(good)}\n")
    with pytest.raises(CorpusError, match=r"t\.jsonl:2: ") as caught:
        list(read_training(path))
    assert said in str(caught.value)
    report = SkipReport()
    assert [item.question for item in read_training(path, on_bad=report)] == ["good", "good"]
    assert report.count == 1


@pytest.mark.parametrize(
    ("data", "line", "said"),
    [
        (b'[\n{"a": 1},\n{"a": \n2', 3, "cut off or no JSON"),
        (b'[\n{"a": 1},\n{"a": oops}\n]', 3, "cut off or no JSON"),
        (b'[\n{"a": 1}\n{"a": 2}]', 3, "expected ']'"),
        (b'[\n{"a": 1},\n5]', 3, "expected the object"),
        (b'[\n{"a": 1},\n]', 3, "expected the object"),
        (b'[\n{"a": 1}]\n[]', 3, "follows the end"),
        (b'[\n{"a": 1},\n{"a": NaN}]', 3, "NaN"),
        (b'[\n{"a": 1},\n{"a": "\xff"}]', 3, "0xff is not UTF-8"),
        (b'[\n{"a": 1}', 2, "the end of the file"),
    ],
)
def test_broken_array_ends_the_reading(tmp_path: Path, data: bytes, line: int, said: str) -> None:
    path = file(tmp_path / "t.json", data)
    with pytest.raises(CorpusError, match=f"t.json:{line}: ") as caught:
        list(arrays.read_array(path))
    assert said in str(caught.value)


def test_array_is_streamed(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(arrays, "CHUNK", 8)
    path = file(tmp_path / "t.json", '[ {"n": 1} ,\n{"n": 2}, {"n": ' + "9" * 500 + "oops")
    items = arrays.read_array(path)
    assert [next(items), next(items)] == [(1, {"n": 1}, None), (2, {"n": 2}, None)]


@CHECKED
@given(st.lists(st.builds(Question, TEXT, QUESTION, FEW.map(tuple), FEW.map(tuple))))
def test_questions_round_trip(tmp_path: Path, questions: list[Question]) -> None:
    assert write_questions(tmp_path / "q.jsonl", questions) == len(questions)
    assert list(read_questions(tmp_path / "q.jsonl")) == questions


@CHECKED
@given(
    st.lists(st.tuples(QUESTION.filter(lambda text: not set(text) & set("\t\r\n")), st.lists(HARD, max_size=2))),
    st.sampled_from(["nq-test.qa.csv", "q.tsv.gz"]),
)
def test_tabular_questions_round_trip(tmp_path: Path, asked: list[tuple[str, list[str]]], name: str) -> None:
    questions = [Question(str(line), text, tuple(answers)) for line, (text, answers) in enumerate(asked, 1)]
    assert write_questions(tmp_path / name, questions) == len(questions)
    assert list(read_questions(tmp_path / name)) == questions
    data = (tmp_path / name).read_bytes()
    rows = (gzip.decompress(data) if name.endswith(".gz") else data).decode().split("\n")[:-1]
    assert [ast.literal_eval(row.split("\t")[1]) for row in rows] == [answers for _, answers in asked]


def test_tabular_questions_keep_a_leading_byte_order_mark(tmp_path: Path) -> None:
    write_questions(tmp_path / "q.tsv", [Question("1", "\ufeffwho?")])
    assert list(read_questions(tmp_path / "q.tsv")) == [Question("1", "\ufeffwho?")]


def test_tabular_questions_look_like_dprs(tmp_path: Path) -> None:
    path = tmp_path / "nq-dev.qa.csv"
    write_questions(path, [Question("a", "who wrote hamlet", ("d'Artagnan", 'the "Bard"')), Question("b", 'say "x"')])
    assert path.read_text() == 'who wrote hamlet\t["d\'Artagnan", "the \\"Bard\\""]\n"say ""x"""\t[]\n'


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (Question("q7", "two\tfields"), "question 'q7' has a tab or a line break"),
        (Question("q7", "two\nlines"), "question 'q7' has a tab or a line break"),
        (Question("q7", "two\rlines"), "question 'q7' has a tab or a line break"),
        (Question("q7", "who", (), ("p1",)), "question 'q7' has positive ids"),
        (Question("q7", " "), "question 'q7': the question ' ' is blank"),
    ],
)
def test_what_the_tabular_form_cannot_hold_is_refused(tmp_path: Path, question: Question, said: str) -> None:
    path = file(tmp_path / "q.csv", "before")
    with pytest.raises(CorpusError, match=said) as caught:
        write_questions(path, [Question("1", "good"), question])
    assert str(path) in str(caught.value)
    assert path.read_text() == "before"
    assert write_questions(tmp_path / "q.jsonl", [question]) == 1


def test_dpr_question_file(tmp_path: Path) -> None:
    rows = [
        "who wrote hamlet\t['William Shakespeare', \"Shakespeare\"]\r",
        '"say ""x"""\t"[""d\'Artagnan""]"',
        "regex\t['Long\\s?Island']",
    ]
    data = "\n".join(rows)
    assert list(read_questions(file(tmp_path / "nq-test.qa.csv", data))) == [
        Question("1", "who wrote hamlet", ("William Shakespeare", "Shakespeare")),
        Question("2", 'say "x"', ("d'Artagnan",)),
        Question("3", "regex", (r"Long\s?Island",)),
    ]


@pytest.mark.parametrize(
    "row", ["only", "q\t__import__('os')", "q\t[1]", "q\t['a'", "q\t['a']\tmore", " \t['a']", "q\t" + "[" * 500]
)
def test_bad_question_row(tmp_path: Path, row: str) -> None:
    path = file(tmp_path / "q.csv", f"good\t['a']\n{row}\ngood\t['a']\n")
    with pytest.raises(CorpusError, match=r"q\.csv:2: "):
        list(read_questions(path))
    report = SkipReport()
    assert [(item.id, item.question) for item in read_questions(path, on_bad=report)] == [("1", "good"), ("3", "good")]
    assert report.count == 1


def test_questions_without_ids_and_as_an_array(tmp_path: Path) -> None:
    path = file(tmp_path / "q.json", '[{"question": "a"},\n{"_id": 5, "question": "b", "positive_ids": [1, "x"]}]')
    assert list(read_questions(path)) == [Question("1", "a"), Question("5", "b", (), ("1", "x"))]


@CHECKED
@given(st.lists(st.tuples(QUESTION, FULL), max_size=3), st.none() | st.booleans())
def test_results_round_trip(tmp_path: Path, asked: list[tuple[str, list[Passage]]], found: bool | None) -> None:
    results = [
        Result(
            question,
            ("a",),
            tuple(Hit(item, 1 / rank, rank) for rank, item in enumerate(items, 1)),
            (found,) * len(items),
        )
        for question, items in asked
    ]
    assert write_results(tmp_path / "r.json", results) == len(results)
    assert list(read_results(tmp_path / "r.json")) == results


def test_result_file_as_dpr_writes_it(tmp_path: Path) -> None:
    ctx = {"id": "wiki:1", "title": "T", "text": "x", "score": "81.5", "has_answer": True}
    write_results(tmp_path / "r.json", [Result("q", ("a",), (Hit(Passage("wiki:1", "x", "T"), 81.5, 1),), (True,))])
    assert json.loads((tmp_path / "r.json").read_text()) == [{"question": "q", "answers": ["a"], "ctxs": [ctx]}]
    for bad in ({"score": "nan"}, {"score": None}, {"has_answer": "yes"}, {"text": ""}):
        file(tmp_path / "bad.json", json.dumps([{"question": "q", "ctxs": [{**ctx, **bad}]}]))
        with pytest.raises(CorpusError, match=r"bad\.json:1: "):
            list(read_results(tmp_path / "bad.json"))


@CHECKED
@given(
    FULL, st.lists(st.builds(Question, TEXT, QUESTION, st.lists(TEXT, max_size=2).map(tuple)), unique_by=lambda q: q.id)
)
def test_beir_round_trip(tmp_path: Path, passages: list[Passage], questions: list[Question]) -> None:
    write_beir(tmp_path, passages, questions=questions)
    assert list(read_beir(tmp_path)) == passages
    assert list(read_beir_questions(tmp_path)) == questions


def test_beir_splits(tmp_path: Path) -> None:
    questions = [Question("q1", "one", ("a",), ("p1", "p2")), Question("q2", "two"), Question("q3", "three")]
    graded = [Judgement("q2", "p1", 0), Judgement("q3", "p2", 2), Judgement("q3", "p1", 1)]
    write_beir(tmp_path, [Passage("p1", "x")], questions=questions, splits={"dev": graded})
    assert list(read_qrels(tmp_path / "qrels" / "dev.tsv")) == graded
    assert (tmp_path / "qrels" / "dev.tsv").read_text().startswith("query-id\tcorpus-id\tscore\nq2\tp1\t0\n")
    split = list(read_beir_questions(tmp_path, split="dev"))
    assert split == [Question("q2", "two"), Question("q3", "three", (), ("p2", "p1"))]
    write_beir(tmp_path, [], questions=questions)
    assert list(read_beir_questions(tmp_path, split="test")) == [questions[0]]
    file(tmp_path / "qrels" / "bad.tsv", "query-id\tcorpus-id\tscore\nq1\tp1\tgood\nq1\tp1\n")
    report = SkipReport()
    assert list(read_qrels(tmp_path / "qrels" / "bad.tsv", on_bad=report)) == []
    assert report.count == 2
    with pytest.raises(CorpusError, match=r"bad\.tsv:2: the score is 'good'"):
        list(read_qrels(tmp_path / "qrels" / "bad.tsv"))
    with pytest.raises(CorpusError, match="hold a tab"):
        write_beir(tmp_path, [], splits={"x": [Judgement("a\tb", "c", 1)]})


def test_open_corpus_finds_the_format(tmp_path: Path) -> None:
    passages = [Passage("1", "a b", "T"), Passage("2", "c")]
    write_tsv(tmp_path / "p.tsv", passages)
    write_tsv(tmp_path / "p.tsv.gz", passages)
    write_tsv(tmp_path / "table", passages)
    write_jsonl(tmp_path / "p.jsonl.gz", passages)
    write_jsonl(tmp_path / "lines", passages)
    write_beir(tmp_path / "beir", passages)
    for name in ("p.tsv", "p.tsv.gz", "table", "p.jsonl.gz", "lines", "beir"):
        assert list(open_corpus(tmp_path / name)) == passages, name
    (tmp_path / "deep" / "er").mkdir(parents=True)
    file(tmp_path / "deep" / "er" / "a.md", "# Head\nword")
    assert list(open_corpus(tmp_path / "deep")) == [Passage("deep/er/a.md#1", "# Head\nword", "Head")]
    assert list(open_corpus(tmp_path / "p.jsonl.gz", format="jsonl")) == passages
    assert next(open_corpus("python:json")).title == "json"


@pytest.mark.parametrize(("name", "form"), [("nowhere", None), ("blob", None), ("empty", None), ("blob", "xml")])
def test_open_corpus_lists_the_formats(tmp_path: Path, name: str, form: str | None) -> None:
    file(tmp_path / "blob", b"\0\1\2")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError) as caught:
        open_corpus(tmp_path / name, format=form)
    assert all(f"{known} (" in str(caught.value) for known in FORMATS)
    assert name in str(caught.value)


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = file(tmp_path / "p.jsonl", '{"id": 1, "text": "t", "year": 2, "metadata": {"year": 1}}')
    with pytest.raises(CorpusError, match=r"p\.jsonl:1: passage '1': 'year' stands in the metadata and beside them"):
        list(read_jsonl(path))
    file(tmp_path / "p.jsonl", '{"id": 1, "text": "t", "year": 1, "metadata": {"year": 1, "lang": "en"}}')
    assert list(read_jsonl(path)) == [Passage("1", "t", "", {"year": 1, "lang": "en"})]
