"""Web pages, Word documents and PDF files in folders: what a reader sees of them, and nothing that they would like to have."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from written_files import WORD, docx, paragraph, pdf

from dpr_rag.corpora import LeftOut, open_corpus, read_texts
from dpr_rag.corpora import docx as docx_module
from dpr_rag.corpora import text_files as written_module
from dpr_rag.corpora.splitting import split_lines
from dpr_rag.corpora.walking import in_words
from dpr_rag.errors import CorpusError, MissingExtraError, UnreadableError
from dpr_rag.passages import Passage

PAGE = """<!DOCTYPE html><html><head><meta charset="utf-8"><title>The  Title</title><style>p { x }</style></head>
<body><nav><a>Home</a></nav><h1>Head</h1><script>if (a < b) evil()</script>
<p>One <b>bo</b>ld   word &amp; more<br>next</p><ul><li>first<li>second</ul>
<table><tr><td>a</td><td>b<b>c</b></td></tr></table><pre>def f():
    return 1
</pre><noscript>no</noscript><img src="https://example.org/x.png"><iframe src="file:///etc/passwd"></iframe></body></html>"""


def text_of(path: Path) -> str:
    return "\n".join(one.text for one in read_texts(path))


def page(path: Path, html: str | bytes) -> Path:
    path.write_bytes(html.encode() if isinstance(html, str) else html)
    return path


def test_a_page_is_what_a_reader_sees(tmp_path: Path) -> None:
    (found,) = open_corpus(page(tmp_path / "a.html", PAGE))
    expected = "Head\nOne bold word & more\nnext\nfirst\nsecond\na\tbc\ndef f():\n    return 1"
    assert found == Passage("a.html#1", expected, "The Title")


@pytest.mark.parametrize("name", ["a.htm", "a.HTML", "a.xhtml"])
def test_pages_have_several_endings(tmp_path: Path, name: str) -> None:
    page(tmp_path / name, "<h1>Only\n a head</h1>x")
    assert [(one.title, one.text) for one in open_corpus(tmp_path)] == [("Only a head", "Only a head\nx")]


def test_a_page_without_a_title_has_its_name(tmp_path: Path) -> None:
    assert [one.title for one in open_corpus(page(tmp_path / "about.html", "<p>x"))] == ["about"]


def test_a_navigation_that_nobody_closed_ends_with_the_content(tmp_path: Path) -> None:
    assert text_of(page(tmp_path / "a.html", "<body><nav><a>Home<main><p>text</main>")) == "text"


@pytest.mark.parametrize(
    ("head", "charset"),
    [
        ('<meta charset="iso-8859-2">', "iso-8859-2"),
        ("<meta http-equiv=Content-Type content='text/html; charset=Shift_JIS'>", "shift_jis"),
        ('<?xml version="1.0" encoding="koi8-r"?>', "koi8-r"),
        ("", "utf-8"),
        ("", "utf-8-sig"),
        ("", "utf-16"),
    ],
)
def test_the_charset_of_a_page_is_honoured(tmp_path: Path, head: str, charset: str) -> None:
    word = {"iso-8859-2": "żółw", "shift_jis": "日本", "koi8-r": "мир"}.get(charset, "žluťoučký")
    assert text_of(page(tmp_path / "a.html", f"{head}<p>{word}</p>".encode(charset))) == word


@pytest.mark.parametrize("charset", ["iso-8859-1", "zip", "unicode_escape", "rot13", "x" * 99, "idna"])
def test_other_charsets_are_read_as_browsers_do(tmp_path: Path, charset: str) -> None:
    data = f"<meta charset={charset}><p>\\u0041 caf".encode() + b"\xe9 \x93x\x94"
    assert text_of(page(tmp_path / "a.html", data)) == "\\u0041 café “x”"


def test_bytes_that_a_charset_does_not_have_are_replaced(tmp_path: Path) -> None:
    assert text_of(page(tmp_path / "a.html", b"<meta charset=utf-8><p>caf\xe9 x")) == "caf\ufffd x"


@pytest.mark.timeout(240)
def test_a_page_nested_without_end_is_read(tmp_path: Path) -> None:
    assert text_of(page(tmp_path / "a.html", "<div>" * 100_000 + "x" + "<nav>" * 100_000)) == "x"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>a</p><!-- <p>hidden</p> -->b", "a\nb"),
        ("<p>a</p><!-- <p>hidden</p> and never closed", "a"),
        ("a<!-- hidden --!>b", "ab"),
        ("a<!-->b<!--->c", "abc"),
        ("a<!-- hidden -- > hidden -->b", "ab"),
        ("<script>let x = '<!--'</script>a", "a"),
    ],
)
def test_a_comment_ends_where_it_does_for_browsers(tmp_path: Path, html: str, text: str) -> None:
    assert text_of(page(tmp_path / "a.html", html)) == text


@pytest.mark.parametrize(
    "end", ["<!", "<!-", "<!x", "<![CDATA[ x", "<?xml", '<a href="http://x/', "</p", "</3", "<em <b", "<A\nx"]
)
def test_markup_that_the_end_of_a_page_cuts_off_is_no_text(tmp_path: Path, end: str) -> None:
    assert text_of(page(tmp_path / "a.html", f"<p>1 > 0 <i>and</i> 0 < 1{end}")) == "1 > 0 and 0 < 1"


@pytest.mark.parametrize("end", ["<", "</", " < 2", " <- b", " <3"])
def test_a_sign_at_the_end_of_a_page_that_opens_no_markup_is_text(tmp_path: Path, end: str) -> None:
    assert text_of(page(tmp_path / "a.html", f"<p>a</p>1{end}")) == f"a\n1{end}"


def test_a_page_beyond_the_limit_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(written_module, "MOST_BYTES", 1 << 20)
    with pytest.raises(UnreadableError, match=r"a\.html: is larger than 1 MiB"):
        list(open_corpus(page(tmp_path / "a.html", "x" * ((1 << 20) + 1))))


def test_a_document_has_its_paragraphs_and_rows(tmp_path: Path) -> None:
    cell = "<w:tc><w:p><w:r><w:t>{}</w:t></w:r></w:p></w:tc>"
    row = f"<w:tr>{cell.format('a')}{cell.format('b')}</w:tr>"
    runs = "<w:r><w:t>One</w:t><w:tab/><w:t>two </w:t></w:r>"
    runs += "<w:hyperlink><w:r><w:t>three</w:t></w:r></w:hyperlink>"
    tracked = "<w:p><w:ins><w:r><w:t>new</w:t></w:r></w:ins><w:del><w:r><w:delText>old</w:delText></w:r></w:del></w:p>"
    moved = "<w:p><w:moveFrom><w:r><w:t>gone</w:t></w:r></w:moveFrom><w:sdt><w:r><w:t>kept</w:t></w:r></w:sdt></w:p>"
    twice = "<w:p><mc:Choice><w:r><w:t>box</w:t></w:r></mc:Choice><mc:Fallback><w:r><w:t>box</w:t></w:r></mc:Fallback></w:p>"
    body = f"{paragraph('Head', 'Title')}<w:p>{runs}</w:p><w:tbl>{row}</w:tbl>{tracked}{moved}{twice}"
    notes = f'<w:footnotes xmlns:w="{WORD}">{paragraph("A note.")}</w:footnotes>'
    path = docx(tmp_path / "a.docx", body, title="of the properties", extra={"word/footnotes.xml": notes})
    assert list(open_corpus(path)) == [
        Passage("a.docx#1", "Head\nOne\ttwo three\na\tb\nnew\nkept\nbox\nA note.", "Head")
    ]


def docx_table(*rows: list[str], look: str = "") -> str:
    cells = ["".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in row) for row in rows]
    return f"<w:tbl><w:tblPr>{look}</w:tblPr>{''.join(f'<w:tr>{one}</w:tr>' for one in cells)}</w:tbl>"


SYSTEMS = [["System", "Responsible"], ["ERP", "Jana Novak"], ["CRM", "Tom"]]
NAMED = "System: ERP; Responsible: Jana Novak\nSystem: CRM; Responsible: Tom"


@pytest.mark.parametrize(
    ("rows", "look", "expected"),
    [
        (SYSTEMS, '<w:tblLook w:firstRow="1"/>', f"System\tResponsible\n{NAMED}"),
        (SYSTEMS, '<w:tblLook w:val="04A0"/>', f"System\tResponsible\n{NAMED}"),
        (SYSTEMS, '<w:tblLook w:val="0600"/>', "System\tResponsible\nERP\tJana Novak\nCRM\tTom"),
        ([*SYSTEMS, ["HR", "Eva"]], "", f"System\tResponsible\n{NAMED}\nSystem: HR; Responsible: Eva"),
        ([["1", "2"], *SYSTEMS], "", "1\t2\nSystem\tResponsible\nERP\tJana Novak\nCRM\tTom"),
        ([["A", "B"], ["x", ""], ["y"]], '<w:tblLook w:firstRow="1"/>', "A\tB\nA: x\ny"),
    ],
)
def test_rows_of_a_document_stand_under_their_header(
    tmp_path: Path, rows: list[list[str]], look: str, expected: str
) -> None:
    body = f"{docx_table(*rows, look=look)}{paragraph('Behind.')}"
    assert text_of(docx(tmp_path / "a.docx", body)) == f"{expected}\nBehind."


def test_a_header_that_a_document_repeats_on_each_page_names_the_cells_alone(tmp_path: Path) -> None:
    body = docx_table(*SYSTEMS).replace("<w:tr>", "<w:tr><w:trPr><w:tblHeader/></w:trPr>", 1)
    assert text_of(docx(tmp_path / "a.docx", body)) == NAMED


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("<tr><th>System<th>Responsible<tr><td>ERP<td>Jana Novak<tr><td>CRM<td>Tom", NAMED),
        (
            "<thead><tr><th>System</th><th>Responsible</th></tr></thead><tbody><tr><td><p>ERP</p></td><td><p>Jana</p>"
            "<p>Novak</p></td></tr><tr><td><b>C</b>RM</td><td>Tom<br></td></tr></tbody>",
            NAMED,
        ),
        ("<caption>Who</caption><tr><th></th><th>2024</th></tr><tr><th>Tea</th><td>12</td></tr>", "Who\nTea; 2024: 12"),
        ("<tr><th>A</th><th>B</th></tr><tr><td colspan=2>both</td></tr><tr><td></td><td>b</td></tr>", "both\nB: b"),
        ("<tr><th>Only</th><th>names</th></tr>", "Only\tnames"),
        ("<tr><th>Name</th><td>Ada</td></tr><tr><th>Phone</th><td>12</td></tr>", "Name\tAda\nPhone\t12"),
        (
            "<tr><td><h2>Head</h2><table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td>2</td></tr></table></td></tr>",
            "\nHead\nA: 1; B: 2",
        ),
    ],
)
def test_rows_of_a_page_stand_under_their_header(tmp_path: Path, table: str, expected: str) -> None:
    for end in ("</table>", ""):
        assert text_of(page(tmp_path / "a.html", f"<p>Before.</p><table>{table}{end}")) == f"Before.\n{expected}"


def test_a_row_is_not_parted(tmp_path: Path) -> None:
    rows = "".join(f"<tr><td>Number {at}</td><td>It is said. So be it</td></tr>" for at in range(4))
    path = page(tmp_path / "a.html", f"<table><tr><th>Name</th><th>Words</th></tr>{rows}</table>")
    told = [f"Name: Number {at}; Words: It is said. So be it" for at in range(4)]
    assert [one.text for one in read_texts(path, words=23)] == ["\n".join(told[:2]), "\n".join(told[2:])]


def test_titles_of_documents(tmp_path: Path) -> None:
    one = paragraph("A chapter", "Heading1")
    assert [item.title for item in open_corpus(docx(tmp_path / "a.docx", one, title="Of &amp; it"))] == ["Of & it"]
    assert [item.title for item in open_corpus(docx(tmp_path / "b.docx", one))] == ["A chapter"]
    path = docx(tmp_path / "c.docx", paragraph("x"), main="word/document2.xml")
    assert [(item.title, item.text) for item in open_corpus(path)] == [("c", "x")]


def test_a_document_that_unpacks_without_end_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docx_module, "MOST_BYTES", 1 << 20)
    path = docx(tmp_path / "a.docx", paragraph("x" * (2 << 20)))
    assert path.stat().st_size < 1 << 14
    with pytest.raises(UnreadableError, match=r"a\.docx: its part word/document\.xml unpacks to more than 1 MiB"):
        list(open_corpus(path))


@pytest.mark.parametrize("part", ["word/document.xml", "_rels/.rels", "docProps/core.xml", "word/footnotes.xml"])
def test_no_part_of_a_document_declares_entities(tmp_path: Path, part: str) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'
    with pytest.raises(UnreadableError, match=r"a\.docx: it declares a document type"):
        list(open_corpus(docx(tmp_path / "a.docx", paragraph("x"), extra={part: bomb})))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"no zip", "is no Word document that can be read"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is encrypted with a password, or in the format of Word 97"),
        (b"PK\x05\x06" + bytes(18), "is no Word document that can be read"),
    ],
)
def test_other_files_under_the_name_of_a_document_are_named(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "a.docx").write_bytes(data)
    with pytest.raises(UnreadableError, match=rf"a\.docx: {said}"):
        list(open_corpus(tmp_path / "a.docx"))


def test_a_document_that_ends_early_is_named(tmp_path: Path) -> None:
    path = docx(tmp_path / "a.docx", "<w:p>")
    with pytest.raises(UnreadableError, match=r"a\.docx: is no Word document that can be read \(mismatched tag"):
        list(open_corpus(path))


def test_what_cannot_be_read_is_passed_over_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(b"no zip")
    page(tmp_path / "b.html", "<p>x")
    page(tmp_path / "c.html", "<script>x</script>")
    left_out, bad = LeftOut(), []
    assert [one.id for one in open_corpus(tmp_path, left_out=left_out, on_bad=bad.append)] == [
        f"{tmp_path.name}/b.html#1"
    ]
    assert (left_out, len(bad)) == ({"unreadable file": 1, "empty file": 1}, 1)


def test_without_pypdf_files_of_a_folder_are_counted_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        pdf(tmp_path / f"{name}.pdf", ["x"])
    page(tmp_path / "c.html", "<p>x")
    monkeypatch.setattr(written_module, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "pypdf", None)
    left_out = LeftOut()
    assert [(one.id, one.text) for one in open_corpus(tmp_path, left_out=left_out)] == [
        (f"{tmp_path.name}/c.html#1", "x")
    ]
    assert left_out == {"PDF file (in a checkout of dpr-rag, run: pip install -c constraints.txt '.[files]')": 2}
    with pytest.raises(MissingExtraError, match=r"PDF files need pypdf .*pip install -c constraints.txt '\.\[files\]'"):
        list(open_corpus(tmp_path / "a.pdf"))


def test_passages_of_a_pdf_name_their_pages(tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    path = pdf(tmp_path / "a.pdf", ["one two", "three"], [], ["four five six"], ["seven"], title="Numbers")
    assert list(read_texts(path, words=2, sentences=False)) == [
        Passage("a.pdf#1", "one two", "Numbers", {"page": 1}),
        Passage("a.pdf#2", "three\n\nfour", "Numbers", {"page": 1, "last_page": 3}),
        Passage("a.pdf#3", "five six", "Numbers", {"page": 3}),
        Passage("a.pdf#4", "seven", "Numbers", {"page": 4}),
    ]


@pytest.mark.parametrize(
    "title",
    [
        "",
        "Microsoft Word - draft",
        "Microsoft Word - draft v2.docx",
        "draft.docx",
        "untitled",
        "Untitled 3",
        "Untitled document",
        "(anonymous)",
        "(unspecified)",
        "Unbenannt",
        "PowerPoint Presentation",
        "Document1",
    ],
)
def test_a_title_that_a_program_gave_is_none(tmp_path: Path, title: str) -> None:
    pytest.importorskip("pypdf")
    assert [one.title for one in open_corpus(pdf(tmp_path / "own.pdf", ["x"], title=title))] == ["own"]
    body = paragraph("A chapter", "Heading1")
    assert [one.title for one in open_corpus(docx(tmp_path / "a.docx", body, title=title))] == ["A chapter"]
    html = f"<title>{title}</title><h1>A chapter</h1>"
    assert [one.title for one in open_corpus(page(tmp_path / "a.html", html))] == ["A chapter"]


@pytest.mark.parametrize("title", ["Untitled works of Ada", "Document retention", "Anonymous reports", "Page 3 models"])
def test_a_title_that_somebody_gave_stays(tmp_path: Path, title: str) -> None:
    pytest.importorskip("pypdf")
    assert [one.title for one in open_corpus(pdf(tmp_path / "own.pdf", ["x"], title=title))] == [title]


def test_encrypted_files_and_scans_are_named_and_counted(tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    pdf(tmp_path / "a.pdf", ["x"], encrypt=True)
    pdf(tmp_path / "b.pdf", [], [])
    pdf(tmp_path / "c.pdf", ["x"])
    left_out, bad = LeftOut(), []
    found = [one.id for one in open_corpus(tmp_path, left_out=left_out, on_bad=bad.append)]
    assert found == [f"{tmp_path.name}/c.pdf#1"]
    assert left_out == {"encrypted file": 1, "file without text": 1}
    assert [str(one) for one in bad] == [
        f"{tmp_path / 'a.pdf'}: is encrypted with a password; save it without one",
        f"{tmp_path / 'b.pdf'}: has no text on its 2 pages, as scans have none; recognise it first, for example with ocrmypdf",
    ]


@pytest.mark.parametrize(
    ("pages", "scans", "but"),
    [
        ([[], []], [1, 2], ""),
        ([["1"], ["2"], ["3"]], [], " but page numbers or headers"),
        ([["Page 1 of 2"], ["- 2 -"]], [], " but page numbers or headers"),
        ([["ACME: secret", "Seite 1"], ["ACME: secret", "Seite 2"]], [], " but page numbers or headers"),
        ([["Scanned 2024-01-03", "iv"], ["Scanned 2024-01-05", "v"]], [1, 2], " but page numbers or headers"),
    ],
)
def test_a_pdf_of_scans_is_refused_whatever_numbers_are_typed_on_them(
    tmp_path: Path, pages: list[list[str]], scans: list[int], but: str
) -> None:
    pytest.importorskip("pypdf")
    path = pdf(tmp_path / "a.pdf", *pages, scans=scans)
    with pytest.raises(UnreadableError) as raised:
        list(open_corpus(path))
    assert str(raised.value) == (
        f"{path}: has no text{but} on its {len(pages)} pages, as scans have none; recognise it first, for example with ocrmypdf"
    )
    left_out, bad = LeftOut(), list[CorpusError]()
    assert list(open_corpus(tmp_path, left_out=left_out, on_bad=bad.append)) == []
    assert (left_out, [str(one) for one in bad]) == ({"file without text": 1}, [str(raised.value)])


def test_scanned_pages_among_others_are_told_and_their_numbers_not_indexed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("pypdf")
    lines = [["The first page says this.", "1"], ["2"], ["3"], [], ["The last one ends.", "5"]]
    pdf(tmp_path / "file.pdf", *lines, scans=[2, 3])
    left_out = LeftOut()
    (found,) = open_corpus(tmp_path, left_out=left_out)
    assert found.text.split() == "The first page says this. 1 The last one ends. 5".split()
    assert found.metadata == {"page": 1, "last_page": 5}
    told = "without text, as scans have none (recognise it first, for example with ocrmypdf)"
    assert left_out == {f"page of {tmp_path.name}/file.pdf {told}": 2}
    assert in_words(left_out) == f"2 pages of {tmp_path.name}/file.pdf {told}"
    list(open_corpus(tmp_path / "file.pdf"))
    assert f"left out: 2 pages of file.pdf {told}" in caplog.text
    many = LeftOut({f"page of {at}.pdf {told}": 2 for at in range(7)})
    assert in_words(many).endswith(f"2 pages of 4.pdf {told}, 4 pages without text of 2 other files")


@pytest.mark.parametrize(
    "pages",
    [
        [["Step 1"], ["Step 2"], ["Step 3"]],
        [["42 is the answer"]],
        [["x"]],
        [["12.5 13.75 11.25 10.125"]],
        [["Civil"], ["1"]],
    ],
)
def test_short_pages_are_no_scans(tmp_path: Path, pages: list[list[str]]) -> None:
    pytest.importorskip("pypdf")
    left_out = LeftOut()
    found = list(open_corpus(pdf(tmp_path / "a.pdf", *pages), left_out=left_out))
    assert pages[0][0] in found[0].text
    assert left_out == {}


@pytest.mark.parametrize("ending", ["md", "html", "docx"])
def test_a_heading_stands_with_the_text_behind_it(tmp_path: Path, ending: str) -> None:
    said, path = "One two three four five six seven eight.", tmp_path / f"a.{ending}"
    headings = ["Alder", "Costs", "Birch"]
    texts = [said, said, "Nine ten."]
    if ending == "md":
        path.write_text("".join(f"## {one}\n\n{text}\n\n" for one, text in zip(headings, texts, strict=True)))
    elif ending == "html":
        path.write_text("".join(f"<h2>{one}</h2><p>{text}</p>" for one, text in zip(headings, texts, strict=True)))
    else:
        pairs = zip(headings, texts, strict=True)
        docx(path, "".join(paragraph(one, "Heading2") + paragraph(text) for one, text in pairs))
    mark = "## " if ending == "md" else ""
    found = [one.text.replace("\n\n", "\n") for one in read_texts(path, words=12 if mark else 10)]
    assert found == [f"{mark}Alder\n{said}", f"{mark}Costs\n{said}", f"{mark}Birch\nNine ten."]
    (whole,) = read_texts(path, words=100)
    assert [line for line in whole.text.split("\n") if line] == [
        line for one, text in zip(headings, texts, strict=True) for line in (f"{mark}{one}", text)
    ]


def test_headings_behind_one_another_go_together_and_no_text_is_lost() -> None:
    lines = ["One two three four five.", "# A", "", "## B", "", "Six seven eight.", "", "# C"]
    assert list(split_lines(lines, 9, sentences=True)) == [
        "One two three four five.",
        "# A\n\n## B\n\nSix seven eight.\n\n# C",
    ]
    many = [f"# {'word ' * 40}".strip(), "So it is."]
    assert " ".join(split_lines(many, 10, sentences=True)).split() == " ".join(many).split()
    even = ["One two.", "# Three four five", "", "Six seven eight. Nine ten."]
    assert list(split_lines(even, 10, sentences=True)) == ["One two.", "\n".join(even[1:])]


def test_damaged_pdfs_are_named(tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4 and no more")
    with pytest.raises(CorpusError, match=r"a\.pdf: is no PDF that can be read"):
        list(open_corpus(tmp_path / "a.pdf"))


def test_a_bad_page_ends_the_reading_of_its_file_alone_and_not_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pypdf = pytest.importorskip("pypdf")
    read = pypdf.PageObject.extract_text

    def extract_text(one: Any) -> str:
        if "bad" in read(one):
            raise ValueError("no font")
        return str(read(one))

    monkeypatch.setattr(pypdf.PageObject, "extract_text", extract_text)
    pdf(tmp_path / "a.pdf", ["one"], ["bad"], ["three"])
    page(tmp_path / "b.html", "<p>x")
    left_out, bad = LeftOut(), list[CorpusError]()
    assert [one.text.split() for one in open_corpus(tmp_path, left_out=left_out, on_bad=bad.append)] == [
        ["one", "three"],
        ["x"],
    ]
    assert left_out == {"unreadable page": 1}
    assert [(type(one), str(one)) for one in bad] == [
        (UnreadableError, f"{tmp_path / 'a.pdf'}: page 2 cannot be read (no font); save the file anew")
    ]
    with pytest.raises(CorpusError, match=r"page 2 cannot be read"):
        list(open_corpus(tmp_path / "a.pdf"))
