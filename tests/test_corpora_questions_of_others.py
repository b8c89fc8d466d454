"""Questions and training data as other projects write them: read where they say enough, else called what they are."""

from __future__ import annotations

import json
import os
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dpr_rag.corpora import (
    Judgement,
    LeftOut,
    Question,
    SkipReport,
    TrainingPassage,
    TrainingSample,
    open_corpus,
    read_qrels,
    read_questions,
    read_texts,
    read_training,
)
from dpr_rag.errors import CorpusError

HAMLET = ("William Shakespeare", "Shakespeare")


def file(path: Path, data: str | dict[str, Any]) -> Path:
    path.write_text(data if isinstance(data, str) else json.dumps(data), "utf-8")
    return path


@pytest.mark.parametrize(
    "cell",
    [
        "['William Shakespeare', 'Shakespeare']",
        "['William Shakespeare' 'Shakespeare']",
        "['William Shakespeare'\n 'Shakespeare']",
        '["William Shakespeare", "Shakespeare"]',
        "('William Shakespeare', 'Shakespeare')",
        "array(['William Shakespeare', 'Shakespeare'], dtype=object)",
        "William Shakespeare|Shakespeare",
        " [ 'William Shakespeare' , \"Shakespeare\", ] ",
    ],
)
def test_a_list_in_a_cell_is_a_list(tmp_path: Path, cell: str) -> None:
    quoted = cell.replace('"', '""')
    data = f'question,answers\nwho wrote Hamlet,"{quoted}"\n'
    assert [one.answers for one in read_questions(file(tmp_path / "q.csv", data))] == [HAMLET]
    item = {"question": "who wrote Hamlet", "answers": cell}
    if "|" not in cell:
        assert [one.answers for one in read_questions(file(tmp_path / "q.jsonl", item))] == [HAMLET]


@pytest.mark.parametrize(
    ("cell", "answers"),
    [
        ("[]", ()),
        ("[1601]", ("1601",)),
        ("['it''s']", None),
        (r"['it\'s']", ("it's",)),
        ('["it\'s"]', ("it's",)),
        ("[sic] a word", ("[sic] a word",)),
        ("['a' 'b' ... 'z']", None),
        ("['a', ['b']]", None),
        ("(born) 1564", ("(born) 1564",)),
        ("[a-z]+", ("[a-z]+",)),
    ],
)
def test_other_cells_with_brackets(tmp_path: Path, cell: str, answers: tuple[str, ...] | None) -> None:
    quoted = cell.replace('"', '""')
    path = file(tmp_path / "q.csv", f'question,answers\nfirst,a\nwho,"{quoted}"\n')
    if answers is None:
        with pytest.raises(CorpusError, match=r"q\.csv:3: .*begins like a list"):
            list(read_questions(path))
    else:
        assert [one.answers for one in read_questions(path)] == [("a",), answers]


def test_a_numpy_list_in_the_form_of_dpr_is_not_joined_to_one_word(tmp_path: Path) -> None:
    path = file(tmp_path / "q.qa.csv", "who wrote Hamlet\t['William Shakespeare' 'Shakespeare']\n")
    assert [one.answers for one in read_questions(path)] == [HAMLET]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"question": "q", "answer": ["a", "b"]}, Question("1", "q", ("a", "b"))),
        ({"question": "q", "answer": "a"}, Question("1", "q", ("a",))),
        ({"query_id": 7, "query": "q", "answers": ["a"]}, Question("7", "q", ("a",))),
        (
            {"qid": "x", "question": "q", "answers": {"text": ["a", "a"], "answer_start": [3, 9]}},
            Question("x", "q", ("a", "a")),
        ),
        (
            {"question_id": "t", "question": "q", "answer": {"value": "A", "aliases": ["A", "B"], "type": "Entity"}},
            Question("t", "q", ("A", "B")),
        ),
        (
            {
                "id": "k",
                "input": "q",
                "output": [{"answer": "a", "provenance": [{"wikipedia_id": "1"}]}, {"provenance": []}],
            },
            Question("k", "q", ("a",)),
        ),
        (
            {"query_id": "3", "query": "q", "positive_passages": [{"docid": "p", "title": "", "text": "x"}]},
            Question("3", "q", (), ("p",)),
        ),
        ({"_id": "b", "text": "q"}, Question("b", "q")),
        ({"Question": "q", "Answers": ["a"]}, Question("1", "q", ("a",))),
    ],
)
def test_questions_of_nq_open_squad_trivia_qa_kilt_tevatron_and_beir(
    tmp_path: Path, item: dict[str, Any], expected: Question
) -> None:
    assert list(read_questions(file(tmp_path / "q.jsonl", item))) == [expected]


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (
            {"prompt": "q", "gold": ["a"]},
            "no key of prompt, gold is known for the question (question, query, input, text",
        ),
        ({"query": "q", "pos": ["x"], "neg": ["y"]}, "is a training sample of FlagEmbedding (query, pos, neg)"),
        ({"anchor": "q", "positive": "x", "negative": "y"}, "is a triplet (anchor, positive, negative)"),
        ({"question": "q", "answers": [1.5]}, "answers is [1.5]"),
        ({"question": "q", "answer": {"gold": "a"}}, "answer is {'gold': 'a'}"),
    ],
)
def test_what_is_no_question_is_called_what_it_is(tmp_path: Path, item: dict[str, Any], said: str) -> None:
    path = file(tmp_path / "q.jsonl", item)
    with pytest.raises(CorpusError, match=r"q\.jsonl:1: ") as caught:
        list(read_questions(path))
    assert said in str(caught.value)


def test_columns_of_spreadsheets_have_other_usual_names(tmp_path: Path) -> None:
    path = file(tmp_path / "q.csv", "qid;Query;Answer\nx;who wrote Hamlet;Shakespeare\n")
    assert list(read_questions(path)) == [Question("x", "who wrote Hamlet", ("Shakespeare",))]


@pytest.mark.parametrize("header", ["frage,antwort", "question,gold", "frage;antwort", "question"])
def test_a_spreadsheet_with_other_columns_is_told_in_its_own_terms(tmp_path: Path, header: str) -> None:
    row = header.replace("frage", "wer").replace("question", "wer").replace("antwort", "x").replace("gold", "x")
    path = file(tmp_path / "q.csv", f"{header}\n{row}\n")
    with pytest.raises(CorpusError, match=r"q\.csv:1: ") as caught:
        list(read_questions(path))
    assert "columns question and answers, or positive_ids" in str(caught.value)
    assert header.split(",")[0].split(";")[0] in str(caught.value)


def test_queries_of_ms_marco(tmp_path: Path) -> None:
    path = file(tmp_path / "queries.dev.tsv", '121352\tdefine "extreme"\n634306\twhat does chattel mean [law]\n')
    assert list(read_questions(path)) == [
        Question("121352", 'define "extreme"'),
        Question("634306", "what does chattel mean [law]"),
    ]


def test_a_header_is_no_query(tmp_path: Path) -> None:
    path = file(tmp_path / "q.tsv", "qid\tquery\n7\twho\n")
    assert list(read_questions(path)) == [Question("7", "who")]
    with pytest.raises(CorpusError, match=r"q\.tsv:1: .*'gold'"):
        list(read_questions(file(tmp_path / "q.tsv", "frage\tgold\n7\twho\n")))


def test_qrels_of_four_columns_give_the_positives(tmp_path: Path) -> None:
    queries = file(tmp_path / "queries.tsv", "1\tone\n2\ttwo\n3\tthree\n")
    qrels = file(tmp_path / "qrels.tsv", "1\t0\t7\t1\n2 Q0 8   0\n\n4\t0\t9\t1\n1 0 7 1\n")
    left_out = LeftOut()
    assert list(read_questions(queries, qrels=qrels, left_out=left_out)) == [Question("1", "one", (), ("7",))]
    assert left_out == {
        "judged with 0 alone": 1,
        "without a judgement in qrels.tsv": 1,
        "judged in qrels.tsv and not among the questions": 1,
    }
    zeros = list(read_questions(queries, qrels=qrels, zeros=True, left_out=LeftOut()))
    assert [one.id for one in zeros] == ["1", "2"]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("query-id\tcorpus-id\tscore\tscore", "the header .* names the column 'score' twice"),
        ("query-id\tquery-id\tscore", "the header .* names the column 'query-id' twice"),
        (
            "qid\tdocid\trel\tnote",
            "the header names the columns qid, docid, rel, note, expected query-id, corpus-id, score;",
        ),
        ("query-id corpus-id score note", "the header names the columns query-id, corpus-id, score, note, expected"),
        (
            "topic\tdoc\trel",
            "the score is 'rel', expected an integer; a header begins with query-id, query_id, qid or query",
        ),
        (
            "topic_id\tdoc_id\tjudgment_score",
            "the score is 'judgment_score', expected an integer; a header begins with query-id, query_id, qid or query",
        ),
        (
            "query-id\tscore\tcorpus-id",
            "the header names the columns query-id, score, corpus-id, expected query-id, corpus-id, score; put them in this "
            "order, without others",
        ),
        ("qid\tRelevance\tdocid", "the header names the columns qid, Relevance, docid, expected"),
        ("qid\tdoc\trel\tx", "the header names the columns qid, doc, rel, x, expected"),
        ("qid passage judgment note", "the header names the columns qid, passage, judgment, note, expected"),
        ("qid docid iter rel", "the header names the columns qid, docid, iter, rel, expected"),
    ],
)
def test_a_header_of_qrels_with_other_columns_is_refused(tmp_path: Path, header: str, said: str) -> None:
    row = "\t".join(["q1", "d1", "1", "0"][: len(header.split())])
    (tmp_path / "qrels.tsv").write_text(f"{header}\n{row}\n", "utf-8")
    with pytest.raises(CorpusError, match=rf"qrels\.tsv(:1)?: {said}"):
        list(read_qrels(tmp_path / "qrels.tsv"))


def test_a_word_for_a_score_further_down_is_no_header(tmp_path: Path) -> None:
    path = file(tmp_path / "qrels.tsv", "q\td\t1\nq\te\thigh\n")
    with pytest.raises(CorpusError, match=r"qrels\.tsv:2: the score is 'high', expected an integer$"):
        list(read_qrels(path))


@pytest.mark.parametrize("header", ["qid iter docid rel", "query-id\t0\tcorpus-id\tscore", "query\tpassage\trelevance"])
def test_a_header_of_qrels_whose_columns_are_those_that_are_read_is_passed_over(tmp_path: Path, header: str) -> None:
    row = "q1\t0\td1\t1" if len(header.split()) == 4 else "q1\td1\t1"
    (tmp_path / "qrels").write_text(f"{header}\n{row}\n", "utf-8")
    assert list(read_qrels(tmp_path / "qrels")) == [Judgement("q1", "d1", 1)]


def test_a_short_line_of_trec_qrels_is_named(tmp_path: Path) -> None:
    path = file(tmp_path / "qrels", "1 0 7 1\n1 0 8\n")
    with pytest.raises(CorpusError, match=r"qrels:2: 3 columns, expected 4"):
        list(read_qrels(path))


def test_topics_of_trec(tmp_path: Path) -> None:
    data = (
        "<top>\n\n<num> Number: 301 \n<title> International Organized Crime \n\n<desc> Description: \nIdentify.\n</top>\n"
        "<top>\n<num> Number: 302</num>\n<title>\nPoliomyelitis and\nPost-Polio\n<desc>\nx\n</top>\n"
    )
    assert list(read_questions(file(tmp_path / "topics.301-450.txt", data))) == [
        Question("301", "International Organized Crime"),
        Question("302", "Poliomyelitis and Post-Polio"),
    ]
    path = file(tmp_path / "topics.txt", "<top>\n<title> x\n</top>\n")
    with pytest.raises(CorpusError, match=r"topics\.txt:1: .*no <num>"):
        list(read_questions(path))


SAMPLE = TrainingSample(
    "q",
    (),
    (TrainingPassage("x"),),
    (TrainingPassage("y"), TrainingPassage("z")),
    (TrainingPassage("y"), TrainingPassage("z")),
)


@pytest.mark.parametrize(
    "item",
    [
        {"query": "q", "pos": ["x"], "neg": ["y", "z"]},
        {"anchor": "q", "positive": "x", "negative": ["y", "z"]},
        {"query": "q", "positive": "x", "negative_1": "y", "negative_2": "z"},
        {"query": "q", "positive_passages": [{"text": "x"}], "negative_passages": [{"text": "y"}, {"text": "z"}]},
    ],
)
def test_training_data_of_others(tmp_path: Path, item: dict[str, Any]) -> None:
    assert list(read_training(file(tmp_path / "t.jsonl", item))) == [SAMPLE]


def test_training_data_of_tevatron_keep_ids_and_titles(tmp_path: Path) -> None:
    item = {"query_id": 1, "query": "q", "positive_passages": [{"docid": 5, "title": "T", "text": "x"}]}
    assert list(read_training(file(tmp_path / "t.jsonl", item))) == [
        TrainingSample("q", (), (TrainingPassage("x", "T", "5"),))
    ]


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"query": "q", "gold": ["x"]}, "no key of query, gold is known for the positives (positive_ctxs"),
        ({"query": "q", "pos": {"x": 1}}, "pos is {'x': 1}, expected a list of texts"),
        ({"query": "q", "pos": [""]}, "pos holds text ''"),
        ({"prompt": "q", "pos": ["x"]}, "no key of prompt, pos is known for the question (question, query"),
    ],
)
def test_bad_training_data_of_others(tmp_path: Path, item: dict[str, Any], said: str) -> None:
    report = SkipReport()
    assert list(read_training(file(tmp_path / "t.jsonl", item), on_bad=report)) == []
    assert said in report.examples[0]


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        (
            '<?xml version="1.0"?>\n<!DOCTYPE x [ <!ELEMENT topic (query)> ]>\n<x>\n<topic number="7" type="faceted">\n'
            "  <query>obama &amp; family</query>\n <subtopic number='1'>x</subtopic>\n</topic>\n</x>\n",
            [("7", "obama & family")],
        ),
        (
            '<topics task="COVID" batch="1">\n  <topic number="1">\n    <query>origin</query>\n    <question>what is\n the origin'
            "</question>\n  </topic>\n</topics>\n",
            [("1", "what is the origin")],
        ),
        (
            "<topics>\n\n<top lang='en'>\n<num>176</num>\n<title>YSR death</title>\n<desc>x</desc>\n</top>\n</topics>\n",
            [("176", "YSR death")],
        ),
        (
            "<queries>\n\t<query>\n\t\t<qid>0001</qid>\n\t\t<content>ascii code</content>\n\t</query>\n\t<query>\n\t\t<qid>2"
            "</qid>"
            "\n\t\t<content>CAD</content>\n\t</query>\n</queries>\n",
            [("0001", "ascii code"), ("2", "CAD")],
        ),
        (
            "<top>\n<num> Number: MB051 </num>\n<query> budget cuts </query>\n<querytime> Tue </querytime>\n</top>\n",
            [("MB051", "budget cuts")],
        ),
        ('{"id": "464", "title": "a thorough understanding"}\n', [("464", "a thorough understanding")]),
        ('{"qid": "2:25", "query_txt": "can it", "query_modality": "text"}\n', [("2:25", "can it")]),
    ],
)
def test_topics_of_other_tracks(tmp_path: Path, text: str, asked: list[tuple[str, str]]) -> None:
    path = tmp_path / ("t.jsonl" if text.startswith("{") else "topics.txt")
    path.write_text(text, "utf-8")
    assert [(one.id, one.question) for one in read_questions(path)] == asked


def test_markup_without_topics_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.xml").write_text('<?xml version="1.0"?>\n<page>x</page>\n', "utf-8")
    with pytest.raises(CorpusError, match=r"t\.xml: holds no topics, neither <top> nor <topic>"):
        list(read_questions(tmp_path / "t.xml"))


ASKED = {"expected": ("Who wrote Hamlet?", ("Shakespeare",))}
SETS: dict[str, Any] = {
    "ragas": [
        {"user_input": ASKED["expected"][0], "reference": "Shakespeare", "response": "x", "reference_contexts": ["a"]}
    ],
    "ragas before": [
        {"question": ASKED["expected"][0], "ground_truth": "Shakespeare", "answer": "Kyd", "contexts": ["a"]}
    ],
    "ragas at first": [{"question": ASKED["expected"][0], "answer": "Kyd", "ground_truths": ["Shakespeare"]}],
    "deepeval": [
        {"input": ASKED["expected"][0], "expected_output": "Shakespeare", "actual_output": "Kyd", "context": ["a"]}
    ],
    "deepeval goldens": {"goldens": [{"input": ASKED["expected"][0], "expected_output": "Shakespeare"}]},
    "llama-index": {
        "examples": [
            {
                "query": ASKED["expected"][0],
                "query_by": None,
                "reference_answer": "Shakespeare",
                "reference_contexts": ["a"],
            }
        ]
    },
    "langsmith": [{"id": "7", "inputs": {"question": ASKED["expected"][0]}, "outputs": {"answer": "Shakespeare"}}],
    "langsmith output": [{"inputs": {"input": ASKED["expected"][0]}, "outputs": {"output": "Shakespeare"}}],
}


@pytest.mark.parametrize("indent", [None, 4])
@pytest.mark.parametrize("name", SETS)
def test_sets_of_other_evaluations_give_the_question_and_the_right_answer(
    name: str, indent: int | None, tmp_path: Path
) -> None:
    path = file(tmp_path / "set.json", json.dumps(SETS[name], indent=indent))
    (found,) = read_questions(path)
    assert (found.question, found.answers) == ASKED["expected"]
    assert found.id == ("7" if name == "langsmith" else found.id)


@pytest.mark.parametrize(
    "text",
    [
        "user_input,reference,reference_contexts\nWho wrote Hamlet?,Shakespeare,\"['a']\"\n",
        "question,answer,ground_truth\nWho wrote Hamlet?,Kyd,Shakespeare\n",
        "input,expected_output,actual_output\nWho wrote Hamlet?,Shakespeare,Kyd\n",
    ],
)
def test_tables_of_other_evaluations_do_too(text: str, tmp_path: Path) -> None:
    (found,) = read_questions(file(tmp_path / "set.csv", text))
    assert (found.question, found.answers) == ASKED["expected"]


def test_pairs_of_llama_index_name_their_passages(tmp_path: Path) -> None:
    pairs = {
        "queries": {"q1": "Who?", "q2": " "},
        "corpus": {"n1": "He"},
        "relevant_docs": {"q1": ["n1"]},
        "mode": "text",
    }
    report = SkipReport()
    found = list(read_questions(file(tmp_path / "pairs.json", json.dumps(pairs, indent=4)), on_bad=report))
    assert found == [Question("q1", "Who?", (), ("n1",))]
    assert report.count == 1
    with pytest.raises(CorpusError, match="'relevant_docs' is missing, expected an object"):
        list(read_questions(file(tmp_path / "pairs.json", {"queries": {"q1": "Who?"}})))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_where_a_file_is_looked_at_before(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tsv")
    for read in (read_questions, read_training, open_corpus, partial(open_corpus, format="tsv")):
        with pytest.raises(CorpusError, match=r"pipe.tsv: is a pipe, which can be read only once, .* to a file"):
            list(read(tmp_path / "pipe.tsv"))
    os.mkfifo(tmp_path / "pipe.md")
    with pytest.raises(CorpusError, match=r"pipe.md: is a pipe, which can be read only once, .* to a file"):
        list(read_texts(tmp_path / "pipe.md"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["pipe.txt", "pipe.html"])
def test_a_text_can_come_out_of_a_pipe(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    writer = threading.Thread(target=(tmp_path / name).write_text, args=("one\n\ntwo", "utf-8"))
    writer.start()
    read = list(read_texts(tmp_path / name))
    writer.join()
    assert [passage.text.split() for passage in read] == [["one", "two"]]


def _squad(*qas: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"title": "Hamlet", "paragraphs": [{"context": "a tragedy by Shakespeare", "qas": list(qas)}]}]


@pytest.mark.parametrize("head", [{}, {"version": "v2.0"}, {"version": 1.1}])
def test_the_file_that_squad_itself_publishes_is_read(tmp_path: Path, head: dict[str, Any]) -> None:
    asked = {"id": "s1", "question": "who wrote Hamlet", "answers": [{"text": "Shakespeare", "answer_start": 13}]}
    impossible = {"id": "s2", "question": "who wrote Faust", "answers": [], "is_impossible": True}
    left_out = LeftOut()
    path = file(tmp_path / "dev.json", {**head, "data": _squad(asked, impossible)})
    assert list(read_questions(path, left_out=left_out)) == [Question("s1", "who wrote Hamlet", ("Shakespeare",))]
    assert dict(left_out) == {"that nothing answers (is_impossible)": 1}


def test_the_file_that_triviaqa_itself_publishes_is_read(tmp_path: Path) -> None:
    answer = {"Aliases": ["W. S."], "NormalizedAliases": ["w s"], "Type": "Entity", "Value": "Shakespeare"}
    asked = {"Answer": answer, "EntityPages": [], "Question": "who wrote Hamlet", "QuestionId": "tc_1"}
    path = file(tmp_path / "wikipedia-dev.json", json.dumps({"Data": [asked], "Domain": "Wikipedia"}, indent=4))
    assert list(read_questions(path)) == [Question("tc_1", "who wrote Hamlet", ("Shakespeare", "W. S."))]


def test_a_bad_question_of_squad_is_named_by_its_place(tmp_path: Path) -> None:
    path = file(tmp_path / "dev.json", {"data": _squad({"id": "s1", "question": "who", "answers": []}, {"id": "s2"})})
    with pytest.raises(CorpusError, match=r"dev\.json: data\[0\]\.paragraphs\[0\]\.qas\[1\]: no key of id is known"):
        list(read_questions(path))


def test_a_topic_that_holds_nothing_but_its_question_is_one(tmp_path: Path) -> None:
    data = '<topics task="2021">\n<topic number="7">\nA 45-year-old\nwith &amp; cough.\n</topic>\n</topics>\n'
    assert list(read_questions(file(tmp_path / "t.xml", data))) == [Question("7", "A 45-year-old with & cough.")]


@pytest.mark.parametrize("header", ["#id\ttext\ttitle", "# ID\ttext\ttitle"])
def test_a_header_that_is_marked_as_a_comment_is_a_header(tmp_path: Path, header: str) -> None:
    path = file(tmp_path / "p.tsv", f"{header}\n1\ta tragedy by Shakespeare\tHamlet\n")
    assert [(one.id, one.title) for one in open_corpus(path)] == [("1", "Hamlet")]


def test_a_commented_header_in_unknown_words_is_no_passage(tmp_path: Path) -> None:
    path = file(tmp_path / "p.tsv", "#key\tanswer\theading\n1\ta tragedy by Shakespeare\tHamlet\n")
    with pytest.raises(CorpusError, match="looks like a header"):
        list(open_corpus(path))
