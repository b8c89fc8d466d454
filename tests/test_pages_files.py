"""What people bring to the chatbot, as they have it: names that come twice, folders of all kinds, tables, charsets, a crash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import HashEncoder
from written_files import pdf

from dpr_rag import Passage, PassageStore, Ranking
from dpr_rag.corpora.columns import Columns, lacking
from dpr_rag.errors import RESTORE
from dpr_rag.faces import ByFace, message_of
from dpr_rag.pages.charsets import in_utf8
from dpr_rag.pages.files import Files, Progress, own_names, shown_apart
from dpr_rag.pages.memory import Memory
from dpr_rag.pages.places import on_the_page
from dpr_rag.pages.turns import Citation
from dpr_rag.store import shown_source


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder(64)) as store:
        yield Files(store, Memory(tmp_path / "chat"))


_DAMAGED = (
    "x y/s.dpr: passage '1' is damaged; restore a backup with: dpr-rag restore COPY DIR; where there is none, "
    "dpr-rag recover DIR NEW gets out what is whole"
)


def written(path: Path, contents: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    return path


def last_of(progress: Iterator[Progress]) -> Progress:
    *_, last = progress
    return last


def texts(files: Files) -> list[str]:
    return [passage.text for passage in files._store]


def test_files_of_one_name_that_come_together_are_both_kept(files: Files, tmp_path: Path) -> None:
    given = [written(tmp_path / name / "readme.txt", name) for name in ("one", "two", "three")]
    for path, name in own_names([*given, given[0]]):
        assert last_of(files.add_upload(path, name)) == Progress(name, 1, (), done=True)
    assert files.listed() == [(f"upload:readme{which}.txt", 1) for which in (" (2)", " (3)", "")]
    assert sorted(texts(files)) == ["one", "three", "two"]


def test_files_of_one_name_in_two_folders_do_not_take_each_others_passages(files: Files, tmp_path: Path) -> None:
    for top in ("x", "y"):
        written(tmp_path / top / "docs" / "a.txt", f"text of {top}")
    first, second = (last_of(files.add_path(tmp_path / top / "docs")) for top in ("x", "y"))
    assert (first.passages, first.notes) == (1, ())
    assert second.passages == 0
    assert "1 passages of a.txt were left out" in second.notes[0]
    assert texts(files) == ["text of x"]
    again = last_of(files.add_path(tmp_path / "x" / "docs"))
    assert again.notes == ("1 of its files were in the store before, unchanged",)


def test_a_file_that_replaces_an_earlier_one_says_so_and_an_equal_one_that_it_is_there(
    files: Files, tmp_path: Path
) -> None:
    file = written(tmp_path / "a.txt", "word " * 300)
    assert last_of(files.add_upload(file)).notes == ()
    assert last_of(files.add_upload(file)).notes == ("it was in the store before, unchanged",)
    for contents in ("word " * 200, "other"):  # the first is a beginning of the file: passages only go
        told = last_of(files.add_upload(written(file, contents))).notes
        assert told == ("it replaced the earlier a.txt; to keep both, give one another name",)
    assert texts(files) == ["other"]


def test_the_same_contents_under_another_name_are_kept_once_over_a_restart(files: Files, tmp_path: Path) -> None:
    handbook = written(tmp_path / "handbook.txt", "Holidays are 27 days.")
    copy = written(tmp_path / "handbook (copy).txt", "Holidays are 27 days.")
    last_of(files.add_upload(handbook))
    twin = "it has the contents of handbook.txt, which is in the store, and was left out"
    assert last_of(files.add_upload(copy)) == Progress(copy.name, 0, (), done=True, notes=(twin,))
    again = Files(files._store, Memory(tmp_path / "chat"))
    assert last_of(again.add_upload(copy)).notes == (twin,)
    assert last_of(again.add_upload(handbook)).notes == ("it was in the store before, unchanged",)
    assert again.listed() == [("upload:handbook.txt", 1)]
    # new contents are no copy any longer, and neither is what lost its original
    last_of(again.add_upload(written(handbook, "Holidays are 30 days.")))
    assert last_of(again.add_upload(copy)) == Progress(copy.name, 1, (), done=True)
    assert sorted(texts(again)) == ["Holidays are 27 days.", "Holidays are 30 days."]
    again.remove("upload:handbook (copy).txt")
    assert last_of(again.add_upload(copy)).passages == 1


def test_a_folder_leaves_out_files_that_the_store_has_and_says_which(files: Files, tmp_path: Path) -> None:
    last_of(files.add_upload(written(tmp_path / "a.txt", "alpha")))
    for name in ("a", "b", "c"):
        written(tmp_path / "docs" / f"{name}.txt", "alpha" if name == "a" else "beta")
    told = last_of(files.add_path(tmp_path / "docs"))
    assert (told.passages, told.notes) == (
        1,
        (
            "a.txt has the contents of a.txt, which is in the store, and was left out",
            "c.txt has the contents of b.txt, which is in the store, and was left out",
        ),
    )
    assert sorted(texts(files)) == ["alpha", "beta"]


@pytest.mark.parametrize("marks", [True, False])
def test_a_file_that_could_not_be_read_whole_is_read_again_under_any_name(tmp_path: Path, marks: bool) -> None:
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder(64)) as store:
        files = Files(store, Memory(tmp_path / "chat") if marks else None)
        broken = '{"text": "alpha"}\n{"text": 5}\n'
        for name in ("a.jsonl", "b.jsonl"):
            assert len(last_of(files.add_upload(written(tmp_path / name, broken))).problems) == 1
        assert texts(files) == ["alpha", "alpha"]
        last_of(files.add_upload(written(tmp_path / "c.jsonl", '{"text": "beta"}\n')))
        assert last_of(files.add_upload(written(tmp_path / "d.jsonl", '{"text": "beta"}\n'))).passages == 0


def test_a_folder_says_what_it_left_out_and_reads_tables_as_a_drop_does(files: Files, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    for name in ("photo.png", "old.doc", "prices.xlsx", "empty.txt", ".hidden"):
        written(folder / name, "" if name == "empty.txt" else "x")
    written(folder / "a.md", "alpha")
    for name in ("one", "two"):
        written(folder / name / "faq.csv", f"question,answer\nWho?,{name}\n")
    told = last_of(files.add_path(folder))
    assert (told.passages, told.problems) == (3, ())
    assert told.notes == ("left out: 1 empty file, 1 hidden file or folder, 1 .doc file, 1 .png file, 1 .xlsx file",)
    assert {passage.id: passage.text for passage in files._store} == {
        "docs/a.md#1": "alpha",
        "docs/one/faq.csv#1": "question: Who?\nanswer: one",
        "docs/two/faq.csv#1": "question: Who?\nanswer: two",
    }
    assert files.listed()[0] == (str(folder / "a.md"), 1)
    assert last_of(files.add_path(folder)).notes[0] == "3 of its files were in the store before, unchanged"


def test_scans_are_told_by_file_and_never_added_as_their_page_numbers(files: Files, tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    (tmp_path / "docs").mkdir()
    pdf(tmp_path / "docs" / "scan.pdf", ["1"], ["2"], scans=[1, 2])
    pdf(tmp_path / "docs" / "half.pdf", ["The first page says this."], ["2"], ["3"], scans=[2, 3])
    told = "2 pages of half.pdf without text, as scans have none (recognise it first, for example with ocrmypdf)"
    none = (
        "scan.pdf: has no text but page numbers or headers on its 2 pages, as scans have none; recognise its text first"
    )
    assert last_of(files.add_upload(tmp_path / "docs" / "scan.pdf")) == Progress("scan.pdf", 0, (none,), done=True)
    half = last_of(files.add_upload(tmp_path / "docs" / "half.pdf"))
    assert (half.passages, half.problems, half.notes) == (1, (), (f"left out: {told}",))
    files.remove("upload:half.pdf")
    both = last_of(files.add_path(tmp_path / "docs"))
    assert (both.passages, both.problems, both.notes) == (1, (none,), (f"left out: {told}",))
    assert set(texts(files)) == {"The first page says this."}


def test_a_folder_of_tables_alone_is_read(files: Files, tmp_path: Path) -> None:
    written(tmp_path / "t" / "a.csv", "id;text\n7;alpha\n")
    assert last_of(files.add_path(tmp_path / "t")) == Progress("t", 1, (), done=True)
    assert [passage.id for passage in files._store] == ["t/a.csv:7"]


@pytest.mark.parametrize(
    ("table", "passages"),
    [
        (
            "question,answer\nWho?,I\nWhere?,There\n",
            [("a.csv#1", "a", "question: Who?\nanswer: I"), ("a.csv#2", "a", "question: Where?\nanswer: There")],
        ),
        ("text;year\nalpha;1990\n", [("a.csv#1", "a", "alpha")]),
        ("title,text\nT,alpha\n", [("a.csv#1", "T", "alpha")]),
        (",name,price\n0,tea,\n", [("a.csv#1", "a", "name: tea")]),
        ("id,text\nx,alpha\n", [("a.csv:x", "", "alpha")]),
        ("id,name\nHG-410,drill\n", [("a.csv#1", "a", "id: HG-410\nname: drill")]),
        ("id;title;price\nHG-410;Drill;\n", [("a.csv#1", "Drill", "id: HG-410\ntitle: Drill")]),
    ],
)
def test_a_table_without_known_columns_is_a_passage_a_row(
    files: Files, tmp_path: Path, table: str, passages: list[tuple[str, str, str]]
) -> None:
    last_of(files.add_upload(written(tmp_path / "a.csv", table)))
    assert [(one.id.removeprefix("upload:"), one.title, one.text) for one in files._store] == passages


def test_a_row_is_found_and_cited_by_its_id(files: Files, tmp_path: Path) -> None:
    last_of(files.add_upload(written(tmp_path / "products.csv", "id,name,price\nHG-400,saw,9\nHG-410,drill,12\n")))
    (hits,) = files._store.rank(["What is HG-410?"], 1, ranking=Ranking(mode="bm25"))
    citation = Citation.of(1, hits[0], 1.0)
    assert citation.text == "id: HG-410\nname: drill\nprice: 12"
    assert citation.where == "products.csv, row 2 (id: HG-410)"


def test_objects_without_an_id_are_numbered_by_their_lines(files: Files, tmp_path: Path) -> None:
    file = written(tmp_path / "a.jsonl", '{"text": "alpha"}\n\n{"text": "beta", "id": "b"}\n{"text": "gamma"}\n')
    last_of(files.add_upload(file))
    assert [one.id for one in files._store] == ["upload:a.jsonl#1", "upload:a.jsonl:b", "upload:a.jsonl#4"]


def test_objects_without_an_id_on_one_line_do_not_replace_one_another(files: Files, tmp_path: Path) -> None:
    last_of(files.add_upload(written(tmp_path / "a.json", '[{"text": "alpha"}, {"text": "beta"}]\n')))
    assert [(one.id, one.text) for one in files._store] == [
        ("upload:a.json#1", "alpha"),
        ("upload:a.json#2", "beta"),
    ]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("photo.png", "photo.png: images are not read; recognise the text in it first, as a PDF"),
        ("prices.xlsx", "prices.xlsx: spreadsheets are not read; save the sheet as CSV"),
        ("old.doc", "old.doc: old Word documents are not read; save it as .docx"),
        ("x.zip", "x.zip: archives are not read; unpack it, and give what is inside"),
        (
            "x.qqq",
            "x.qqq: this kind of file is not read; give .txt, .md, .html, .docx, .pdf, .csv, .tsv, .jsonl or .json",
        ),
    ],
)
def test_a_file_that_is_not_read_is_told_in_words_for_people(
    files: Files, tmp_path: Path, name: str, problem: str
) -> None:
    assert last_of(
        files.add_upload(written(tmp_path / name, b"PK\x03\x04 x"[0 if name.endswith("xlsx") else 4 :]))
    ).problems == (problem,)


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.csv", "a.tsv"])
@pytest.mark.parametrize(("charset", "called"), [("cp1252", "Windows-1252"), ("utf-16", "UTF-16")])
def test_texts_of_old_editors_are_read_and_that_is_said(
    files: Files, tmp_path: Path, name: str, charset: str, called: str
) -> None:
    between = "\t" if name == "a.tsv" else ","
    table = f"id{between}text\n1{between}Grüße – „schön“, café"
    text = 'id,text\n1,"Grüße – „schön“, café"' if name == "a.csv" else table
    told = last_of(files.add_upload(written(tmp_path / name, text.encode(charset))))
    assert (told.problems, told.notes) == ((), (f"{name} was read as {called}",))
    assert texts(files)[0].endswith("Grüße – „schön“, café")


@pytest.mark.parametrize(
    "contents",
    [
        "Привет, мир. Это простой текст".encode("cp1251"),
        "γειά σου κόσμε".encode("cp1253"),
        b"caf\xe9 \x81 undefined",
        b"caf\xe9 \x00\x01 binary",
    ],
)
def test_what_does_not_look_like_windows_1252_is_not_guessed(files: Files, tmp_path: Path, contents: bytes) -> None:
    file = written(tmp_path / "a.txt", contents)
    assert in_utf8(file, tmp_path / "s") == (file, "")
    told = last_of(files.add_upload(file))
    assert (told.passages, len(told.problems)) == (0, 1)
    assert "a.txt:1: byte" in told.problems[0]
    assert told.problems[0].endswith(" is neither UTF-8 nor Windows-1252; save it as UTF-8")


def test_a_file_that_was_not_read_to_its_end_is_known_after_a_crash_and_completed(tmp_path: Path) -> None:
    file = written(tmp_path / "mid.txt", "word " * 100 * 80)
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder(64)) as store:
        files = Files(store, Memory(tmp_path / "chat"))
        growing = files.add_upload(file)
        next(growing)
        assert files.unfinished() == [], "it is being added"
        again = Files(store, Memory(tmp_path / "chat"))  # as after a crash: nothing was closed
        assert (again.unfinished(), again.listed()) == (["upload:mid.txt"], [("upload:mid.txt", 32)])
        assert last_of(again.add_upload(file)).passages == 80
        assert (again.unfinished(), again.listed()) == ([], [("upload:mid.txt", 80)])
        growing.close()
        next(again.add_upload(file))
        again.remove("upload:mid.txt")
        assert again.unfinished() == []


@pytest.mark.parametrize(
    ("message", "here"),
    [
        (
            message_of(lacking(Columns(), ["a", "b"], "key")),
            "no key of a, b is known for the id (id, _id, pid, docid, doc_id, docno, passage_id, psg_id); call one of them “id”",
        ),
        (
            "the store was filled by another; " + ByFace("pass encoder=", cli="pass --model"),
            "the store was filled by another",
        ),
        (
            "it has no vectors; " + ByFace("open it once with PassageStore.open(…, bind=True)") + "; or ask by words",
            "it has no vectors; or ask by words",
        ),
        ("two\nlines", "two lines"),
        ("/usr/x y/s.dpr: passage '1' is damaged; " + RESTORE, _DAMAGED),
        ("'/usr/lib/a b' and (/usr/notes/b.md:3)", "'a b' and (b.md:3)"),
        ("POST /v1/chat/completions at http://127.0.0.1/usr/x", "POST /v1/chat/completions at http://127.0.0.1/usr/x"),
        (
            "PDF files need pypdf; install it with: pip install pypdf",
            "PDF files need pypdf; install it with: pip install pypdf",
        ),
    ],
)
def test_a_message_on_the_page_gives_no_advice_in_python(message: str, here: str) -> None:
    assert on_the_page(message) == here


def test_sources_are_shown_without_the_places_of_the_machine() -> None:
    assert shown_source("/home/me/docs/a/x.md", "docs/a/x.md#3") == "docs/a/x.md"
    assert shown_source("/home/me/docs/a/x.md", "7") == "x.md"
    assert (shown_source("upload:x.md", "upload:x.md#1"), shown_source("python:gzip")) == ("x.md", "python:gzip")
    assert shown_apart(["/home/me/a/x.md", "/home/me/b/x.md", "/home/me/y.md", "upload:z.md"]) == {
        "/home/me/a/x.md": "a/x.md",
        "/home/me/b/x.md": "b/x.md",
        "/home/me/y.md": "y.md",
        "upload:z.md": "z.md",
    }
    assert shown_apart(["upload:x.md", "/x.md"]) == {"upload:x.md": "x.md", "/x.md": "/x.md"}


def test_files_are_counted_anew_when_another_process_has_exchanged_a_passage(files: Files, tmp_path: Path) -> None:
    last_of(files.add_upload(written(tmp_path / "a.txt", "one"), "a.txt"))
    assert files.listed() == [("upload:a.txt", 1)]
    with PassageStore.open(tmp_path / "s", encoder=HashEncoder(64)) as other:
        other.delete(filter=lambda passage: True)
        other.add([Passage("b", "two", metadata={"source": "b.txt"})])
    assert files.listed() == [("b.txt", 1)]
