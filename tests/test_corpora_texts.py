"""Text folders, docstrings of Python modules, and vectors that were encoded elsewhere."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpr_rag.corpora import LeftOut, SkipReport, read_docstrings, read_texts, read_vectors, write_vectors
from dpr_rag.errors import CorpusError, MissingExtraError, UnreadableError, VectorError
from dpr_rag.passages import Passage


def put(folder: Path, **files: str | bytes) -> Path:
    for name, data in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return folder


def test_folder_is_read_in_order_with_titles(tmp_path: Path) -> None:
    put(
        tmp_path,
        b_txt="two  words\n\nthree",
        a_md="```\n# code\n```\n\n## The Title ##\nbody",
        sub__c_MD="x",
        d_py="no",
        _txt="hidden",
    )
    put(tmp_path, e_txt="")
    top = tmp_path.name  # two folders in one store must not overwrite each other's README.md
    assert list(read_texts(tmp_path)) == [
        Passage(f"{top}/a.md#1", "```\n# code\n```\n\n## The Title ##\nbody", "The Title"),
        Passage(f"{top}/b.txt#1", "two  words\n\nthree", "b"),
        Passage(f"{top}/sub/c.MD#1", "x", "c"),
    ]


@pytest.mark.parametrize("sentences", [False, True])
def test_code_keeps_its_lines_and_indentation(tmp_path: Path, sentences: bool) -> None:
    code = "def area(w, h):\n    if w < 0:\n        raise ValueError\n\n    return w * h"
    put(tmp_path, a_md=f"\nSee:\n\n```python\r\n{code}\n```\n \n")
    assert [item.text for item in read_texts(tmp_path / "a.md", sentences=sentences)] == [
        f"See:\n\n```python\n{code}\n```"
    ]


def test_cut_code_keeps_the_indentation_of_a_whole_first_line_only(tmp_path: Path) -> None:
    put(tmp_path, a_md="if a:\n\tb = 1\n\treturn  b\n", b_md="  one two\n  three four")
    assert [item.text for item in read_texts(tmp_path / "a.md", words=2)] == ["if a:", "\tb =", "1\n\treturn", "b"]
    assert [item.text for item in read_texts(tmp_path / "b.md", words=3)] == ["  one two\n  three", "four"]


def test_a_cut_docstring_keeps_the_indentation_of_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, indented_py='"""Use it so::\n\n    for a in b:\n        c(a)\n\nEnd."""\n')
    monkeypatch.syspath_prepend(tmp_path)
    read = [item.text for item in read_docstrings(["indented"], words=3)]
    assert read == ["Use it so::", "    for a in", "b:\n        c(a)\n\nEnd."]


def test_blocks_of_100_words(tmp_path: Path) -> None:
    words = [f"w{n}" for n in range(250)]
    put(tmp_path, a_txt="\n".join(words))
    read = list(read_texts(tmp_path / "a.txt"))
    assert [item.id for item in read] == ["a.txt#1", "a.txt#2", "a.txt#3"]
    assert [item.text.split() for item in read] == [words[:100], words[100:200], words[200:]]


def test_sentences_stay_whole(tmp_path: Path) -> None:
    first = 'Mr. A. Smith met Dr. Lee. "Is it so?" It is.\nYes! '
    put(tmp_path, a_txt=first + "one two three four five six seven eight nine ten.\n\nNo end\n\nThe end.")
    read = [item.text for item in read_texts(tmp_path, words=6, sentences=True)]
    assert read == [
        "Mr. A. Smith met Dr. Lee.",
        '"Is it so?" It is.\nYes!',
        "one two three four five six",
        "seven eight nine ten.\n\nNo end",
        "The end.",
    ]


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from(["a", "b.", "c!", "\n", "\n\n", "# h\n", "Mr."]), max_size=40),
    st.integers(1, 7),
    st.booleans(),
)
def test_no_word_is_lost(tmp_path_factory, parts: list[str], words: int, sentences: bool) -> None:
    path = tmp_path_factory.mktemp("t") / "a.txt"
    path.write_text(" ".join(parts))
    read = [item.text for item in read_texts(path, words=words, sentences=sentences)]
    assert " ".join(read).split() == " ".join(parts).split()
    assert all(len(text.split()) <= words for text in read)


@pytest.mark.parametrize("sentences", [False, True])
def test_text_without_spaces_is_cut_into_passages_as_long_as_others(tmp_path: Path, sentences: bool) -> None:
    sentence = "绿茶的产地主要在山区，也有一些在海边。"
    put(tmp_path, a_txt=sentence * 500)
    read = [item.text for item in read_texts(tmp_path, sentences=sentences)]
    assert "".join(read) == sentence * 500
    assert {text[-1] for text in read} <= ({"。"} if sentences else {"，", "。"})  # not within a phrase
    counts = [sum(map(str.isalpha, text)) for text in read]
    assert max(counts) <= 150  # three characters count as two words
    assert min(counts[:-1]) > 130


@pytest.mark.parametrize(
    ("text", "words", "blocks"),
    [
        ("茶" * 9, 2, ["茶茶茶"] * 3),
        ("春茶。「夏茶」は秋", 2, ["春茶。", "「夏茶」", "は秋"]),
        ("用Python写，\n  再 运行。", 2, ["用Python", "写，\n  再", "运行。"]),
        ("안녕 하세요 여러분", 2, ["안녕 하세요", "여러분"]),  # spaces part the words
        ("เด็กเดินเล่น ในสวน", 3, ["เด็กเดิน", "เล่น", "ในสวน"]),
        ("one two茶", 1, ["one", "two", "茶"]),
    ],
)
def test_characters_without_spaces_count_as_parts_of_words(
    tmp_path: Path, text: str, words: int, blocks: list[str]
) -> None:
    put(tmp_path, a_txt=text)
    assert [item.text for item in read_texts(tmp_path / "a.txt", words=words, sentences=False)] == blocks


@pytest.mark.parametrize(
    ("text", "words", "blocks"),
    [
        ("春が来た。「夏だ！」秋は？冬", 3, ["春が来た。", "「夏だ！」", "秋は？冬"]),
        ("राम घर गया। वह सोया।", 4, ["राम घर गया।", "वह सोया।"]),
        ("هل هذا كتاب؟ نعم هذا كتاب", 5, ["هل هذا كتاب؟", "نعم هذا كتاب"]),
        ("ទឹកត្រជាក់។ ភ្លៀងធ្លាក់។", 5, ["ទឹកត្រជាក់។", "ភ្លៀងធ្លាក់។"]),
        ("ရေအေး။ မိုးရွာသည်။", 3, ["ရေအေး။", "မိုးရွာသည်။"]),
    ],
)
def test_sentences_end_by_the_marks_of_their_script(tmp_path: Path, text: str, words: int, blocks: list[str]) -> None:
    put(tmp_path, a_txt=text)
    assert [item.text for item in read_texts(tmp_path / "a.txt", words=words, sentences=True)] == blocks


HANDBOOK = (
    "Trains are booked in second class. Flights need the approval of Mr. Brandt. Hotels cost up to 142 euros a night. "
    "What costs more is asked for beforehand."
)


@pytest.mark.parametrize(
    ("words", "sentences", "blocks"),
    [
        # a rest of two words would be near to many questions
        (
            26,
            False,
            [
                "Trains are booked in second class. Flights need the approval of Mr. Brandt.",
                "Hotels cost up to 142 euros a night. What costs more is asked for beforehand.",
            ],
        ),
        (
            22,
            True,
            [
                "Trains are booked in second class. Flights need the approval of Mr. Brandt.",
                "Hotels cost up to 142 euros a night. What costs more is asked for beforehand.",
            ],
        ),
        (28, True, [HANDBOOK]),
    ],
)
def test_a_small_rest_shares_with_the_passage_before_it(
    tmp_path: Path, words: int, sentences: bool, blocks: list[str]
) -> None:
    put(tmp_path, a_txt=HANDBOOK)
    assert [one.text for one in read_texts(tmp_path / "a.txt", words=words, sentences=sentences)] == blocks


def test_no_passage_of_a_long_text_is_a_few_words(tmp_path: Path) -> None:
    for count in range(100, 420, 7):
        put(tmp_path, a_txt=" ".join(f"w{n}{'.' if n % 11 == 10 else ''}" for n in range(count)))
        for sentences in (False, True):
            made = [one.text.split() for one in read_texts(tmp_path / "a.txt", sentences=sentences)]
            assert [word for one in made for word in one] == (tmp_path / "a.txt").read_text().split()
            assert 33 <= min(map(len, made)) <= max(map(len, made)) <= 100


@settings(max_examples=150)
@given(st.text("茶は。「」（，ท้ไกา한a.1-“”_ \n\u0301\u3000𠀋", max_size=60), st.integers(1, 5), st.booleans())
def test_nothing_of_a_text_without_spaces_is_lost(tmp_path_factory, text: str, words: int, sentences: bool) -> None:
    path = tmp_path_factory.mktemp("t") / "a.txt"
    path.write_text(text)
    read = [item.text for item in read_texts(path, words=words, sentences=sentences)]
    assert "".join("".join(read).split()) == "".join(text.split())
    rest = text
    for block in read:  # each stands in the text as it is, with its line breaks
        at = rest.index(block)
        assert not rest[:at].strip()
        rest = rest[at + len(block) :]
    assert not rest.strip()


def test_bad_bytes_are_named(tmp_path: Path) -> None:
    put(tmp_path, a_txt=b"fine\ncaf\xe9\nfine too\n")
    with pytest.raises(CorpusError, match=r"a\.txt:2: byte 4 \(0xe9\) is not UTF-8"):
        list(read_texts(tmp_path))
    report = SkipReport()
    assert [item.text for item in read_texts(tmp_path / "a.txt", on_bad=report)] == ["fine\nfine too"]
    assert report.count == 1


LATE = b"word\n" * 300 + b"caf\xe9\n"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (LATE, r"bad\.txt:301: byte 4 \(0xe9\) is not UTF-8; convert the file"),
        ("word".encode("utf-16"), r"bad\.txt: is UTF-16 text; convert it to UTF-8"),
        (gzip.compress(b"word " * 9000)[:-20], r"bad\.txt:1: the gzip data are damaged"),
    ],
    ids=["Latin-1", "UTF-16", "damaged"],
)
def test_a_text_of_a_folder_that_is_not_utf_8_is_left_out_whole_and_the_rest_read(
    tmp_path: Path, data: bytes, said: str
) -> None:
    put(tmp_path, bad_txt=data, good_txt="good")
    with pytest.raises(UnreadableError, match=said):
        list(read_texts(tmp_path))
    left_out, bad = LeftOut(), list[CorpusError]()
    assert [one.text for one in read_texts(tmp_path, on_bad=bad.append, left_out=left_out)] == ["good"]
    assert (left_out, len(bad)) == ({"unreadable file": 1}, 1)
    assert re.search(said, str(bad[0]))
    with pytest.raises(CorpusError, match=said):
        list(read_texts(tmp_path / "bad.txt"))


def test_texts_refuse_a_missing_folder_and_blocks_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="nowhere"):
        list(read_texts(tmp_path / "nowhere"))
    with pytest.raises(CorpusError, match="words is 0"):
        list(read_texts(tmp_path, words=0))


@pytest.fixture(scope="module")
def library() -> dict[str, Passage]:
    return {item.id: item for item in read_docstrings()}


def test_standard_library_is_covered(library: dict[str, Passage]) -> None:
    names = "gzip.compress json.loads pathlib.Path.glob collections.Counter zlib.compress math.sqrt itertools.chain os.listdir"
    names += " heapq.merge gzip.GzipFile.read1 builtins.len json json.decoder.JSONDecoder.decode gzip.GzipFile"
    assert [name for name in names.split() if name not in library] == []
    assert len(library) > 5000
    forbidden = ("idlelib", "test.", "lib2to3", "turtledemo", "_", "unittest.test.", "distutils")
    assert [name for name in library if name.startswith(forbidden)] == []
    assert len({item.title for item in library.values()}) > 5000


def test_docstring_passage_by_value(library: dict[str, Passage]) -> None:
    compress = library["gzip.compress"]
    first, rest = compress.text.split("\n", 1)
    assert first.startswith("gzip.compress(data, compresslevel=")
    assert rest.startswith("Compress data in one shot")
    assert (compress.title, compress.metadata) == ("gzip.compress", {"module": "gzip", "kind": "function"})
    kinds = {
        name: library[name].metadata["kind"] for name in ("json", "gzip.GzipFile", "pathlib.Path.glob", "math.sqrt")
    }
    assert kinds == {"json": "module", "gzip.GzipFile": "class", "pathlib.Path.glob": "method", "math.sqrt": "function"}
    assert library["math.sqrt"].text.startswith("math.sqrt(x, /)\nReturn the square root")


def test_long_docstrings_are_cut(library: dict[str, Passage]) -> None:
    parts = [library["argparse"], library["argparse#2"]]
    assert len(parts[0].text.split()) == 100
    assert {part.title for part in parts} == {"argparse"}
    assert all(len(item.text.split()) <= 100 for item in library.values())
    assert " ".join(part.text for part in parts).split() == argparse.__doc__.split()[:200]


def test_reading_the_library_repeats_itself(library: dict[str, Passage]) -> None:
    assert list(read_docstrings()) == list(library.values())


def test_reading_the_library_imports_nothing_of_others() -> None:
    code = (
        "import sys; from dpr_rag.corpora import read_docstrings; before = set(sys.modules); list(read_docstrings());"
        "new = {name.split('.')[0] for name in set(sys.modules) - before if not name.startswith('_sysconfigdata')};"
        "sys.stdout.write(' '.join(sorted(new - sys.stdlib_module_names) + sorted(new & {'turtle', 'antigravity', 'readline'})))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_named_modules_are_parsed_not_run(tmp_path: Path, monkeypatch) -> None:
    source = '''"""Module doc."""
raise SystemExit("was imported")
def f(a, *, b: int = 1) -> str:
    """Does f."""
if True:
    async def g():
        """Does g."""
class C(dict):
    """Is C."""
    def m(self):
        r"""Does \\d m."""
    def _private(self):
        """Hidden."""
    class Inner:
        """Is inner."""
def f():
    """The second of that name."""
def undocumented(): ...
'''
    put(tmp_path, mypkg____init__="")
    (tmp_path / "mymod.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    read = list(read_docstrings(["mymod"]))
    assert [(item.id, item.text, item.metadata["kind"]) for item in read] == [
        ("mymod", "Module doc.", "module"),
        ("mymod.f", "mymod.f(a, *, b: int=1) -> str\nDoes f.", "function"),
        ("mymod.g", "async mymod.g()\nDoes g.", "function"),
        ("mymod.C", "class mymod.C(dict)\nIs C.", "class"),
        ("mymod.C.m", "mymod.C.m(self)\nDoes \\d m.", "method"),
        ("mymod.C.Inner", "class mymod.C.Inner\nIs inner.", "class"),
    ]
    assert "mymod" not in sys.modules


def test_unknown_and_broken_modules(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "broken.py").write_text('"""Broken."""\n\ndef')
    (tmp_path / "latin.py").write_bytes(b"\xff")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("no_such_module_here", "no_such_package.sub", ""):
        with pytest.raises(CorpusError, match=name or "module"):
            list(read_docstrings([name]))
    with pytest.raises(CorpusError, match=r"broken\.py:3: is no source for this Python \(invalid syntax\)"):
        list(read_docstrings(["broken"]))
    with pytest.raises(CorpusError, match=r"latin\.py:1: is no source"):
        list(read_docstrings(["latin"]))
    report = SkipReport()
    assert next(read_docstrings(["broken", "zlib"], on_bad=report)).id == "zlib"
    assert report.count == 1


def test_standard_library_is_not_shadowed(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "math.py").write_text('"""Evil."""')
    (tmp_path / "gzip.py").write_text('"""Evil."""')
    monkeypatch.syspath_prepend(str(tmp_path))
    texts = [item.text for item in read_docstrings(["math", "gzip"])]
    assert "Evil." not in texts
    assert any("square root" in text for text in texts)


IDS = st.lists(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(lambda it: "\ufeff" not in it),
    min_size=1,
    max_size=9,
)
ROWS = np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32)


@settings(max_examples=60)
@given(IDS, st.sampled_from(["v.npy", "v.parquet"]), st.integers(1, 4))
def test_vectors_round_trip(tmp_path_factory, ids: list[str], name: str, block: int) -> None:
    path = tmp_path_factory.mktemp("v") / name
    rows = ROWS[: len(ids)]
    given_blocks = [(ids[at : at + 2], rows[at : at + 2]) for at in range(0, len(ids), 2)]
    assert write_vectors(path, given_blocks) == len(ids)
    read = list(read_vectors(path, block=block))
    assert all(len(names) <= block for names, _ in read)
    assert [name for names, _ in read for name in names] == ids
    np.testing.assert_array_equal(np.concatenate([vectors for _, vectors in read]), rows, strict=True)


def test_npy_is_what_numpy_reads(tmp_path: Path) -> None:
    write_vectors(tmp_path / "v.npy", [(["a", 5], ROWS[:2].astype(np.float64))])
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy"), ROWS[:2], strict=True)
    assert (tmp_path / "v.ids.txt").read_text() == "a\n5\n"
    (tmp_path / "v.ids.txt").rename(tmp_path / "elsewhere")
    with pytest.raises(CorpusError, match=r"v\.ids\.txt"):
        list(read_vectors(tmp_path / "v.npy"))
    assert [names for names, _ in read_vectors(tmp_path / "v.npy", tmp_path / "elsewhere")] == [["a", "5"]]
    (tmp_path / "v.ids.json").write_text(json.dumps(["x", 2]))
    assert [names for names, _ in read_vectors(tmp_path / "v.npy")] == [["x", "2"]]
    (tmp_path / "v.ids.json").write_text(json.dumps(["x"]))
    with pytest.raises(CorpusError, match="1 ids for the 2 rows"):
        list(read_vectors(tmp_path / "v.npy"))


def test_shards_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        (tmp_path / f"wiki_{number}").write_bytes(pickle.dumps([(f"wiki:{number}", ROWS[0]), (number, ROWS[1])]))
    read = list(read_vectors(tmp_path / "wiki_*"))
    assert [names for names, _ in read] == [["wiki:1", "1"], ["wiki:9", "9"], ["wiki:10", "10"]]
    np.testing.assert_array_equal(read[2][1], ROWS[:2])
    (tmp_path / "wiki_11").write_bytes(pickle.dumps([("z", ROWS[0][:2])]))
    with pytest.raises(VectorError, match=r"wiki_11: vectors have 2 dimensions, expected 3"):
        list(read_vectors(tmp_path / "wiki_*"))
    with pytest.raises(CorpusError, match="one file"):
        list(read_vectors(tmp_path / "wiki_*", tmp_path / "ids"))


def test_parquet_of_others(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    def save(name: str, **columns) -> Path:
        parquet.write_table(pa.table(columns), tmp_path / name)
        return tmp_path / name

    good = save("a.parquet", vector=pa.array([[1.0, 2.0], [3.0, 4.0]]), id=pa.array([1, 2]), more=["x", "y"])
    ((names, vectors),) = read_vectors(good)
    assert (names, vectors.tolist(), vectors.dtype) == (["1", "2"], [[1.0, 2.0], [3.0, 4.0]], np.float32)
    bad = {
        "b": {"vector": pa.array([[1.0], [1.0, 2.0]]), "id": ["1", "2"]},
        "c": {"vector": pa.array([[1.0], None]), "id": ["1", "2"]},
        "d": {"vector": pa.array([1.0, 2.0]), "id": ["1", "2"]},
        "e": {"vector": pa.array([[1.0], [2.0]]), "id": ["1", None]},
        "f": {"vector": pa.array([[1.0], [2.0]])},
        "g": {"vector": pa.array([["a"], ["b"]]), "id": ["1", "2"]},
    }
    for name, columns in bad.items():
        with pytest.raises(CorpusError, match=f"{name}.parquet"):
            list(read_vectors(save(f"{name}.parquet", **columns)))
    (tmp_path / "h.parquet").write_bytes(good.read_bytes()[:-9])
    with pytest.raises(CorpusError, match=r"h\.parquet"):
        list(read_vectors(tmp_path / "h.parquet"))


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(MissingExtraError, match=r"pip install -c constraints.txt '\.\[parquet\]'"):
        list(read_vectors(tmp_path / "a.parquet"))
    with pytest.raises(MissingExtraError, match="pyarrow"):
        write_vectors(tmp_path / "b.parquet", [(["a"], ROWS[:1])])


def test_bad_vectors(tmp_path: Path) -> None:
    np.save(tmp_path / "object.npy", np.array([[1, "a"]], object))
    np.save(tmp_path / "flat.npy", ROWS[0])
    np.save(tmp_path / "nan.npy", np.array([[1.0, np.nan]]))
    (tmp_path / "nan.ids.txt").write_text("the id\n")
    (tmp_path / "short.npy").write_bytes((tmp_path / "flat.npy").read_bytes()[:-2])
    for name in ("object", "flat", "short", "nowhere"):
        with pytest.raises(CorpusError, match=f"{name}.npy"):
            list(read_vectors(tmp_path / f"{name}.npy"))
    with pytest.raises(VectorError, match=r"nan\.npy: vector 0 \('the id'\)"):
        list(read_vectors(tmp_path / "nan.npy"))
    (tmp_path / "nan.ids.txt").write_bytes(b"\xff\n")
    with pytest.raises(CorpusError, match=r"nan\.ids\.txt:1: "):
        list(read_vectors(tmp_path / "nan.npy"))


def test_vectors_that_cannot_be_written(tmp_path: Path) -> None:
    for name, blocks, error in [
        ("v.txt", [(["a"], ROWS[:1])], CorpusError),
        ("v.npy", [], CorpusError),
        ("v.parquet", [], CorpusError),
        ("v.npy", [(["a\nb"], ROWS[:1])], CorpusError),
        ("v.npy", [(["a"], ROWS[:2])], VectorError),
        ("v.npy", [(["a"], ROWS[:1]), (["b"], ROWS[:1, :2])], VectorError),
    ]:
        with pytest.raises(error):
            write_vectors(tmp_path / name, blocks)
    assert list(tmp_path.iterdir()) == []


def test_new_ids_never_lie_beside_old_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, put_in_place, calls = tmp_path / "v.npy", os.replace, []

    def end_before_the_second(*given: Path) -> None:
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        put_in_place(*given)

    write_vectors(path, [(["a", "b"], ROWS[:2])])
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", end_before_the_second)
        with pytest.raises(KeyboardInterrupt):
            write_vectors(path, [(["c", "d"], ROWS[2:4])])
    assert (path.with_suffix(".ids.txt")).read_text() == "c\nd\n"
    with pytest.raises(CorpusError, match=r"v\.npy: no such file"):
        list(read_vectors(path))
    write_vectors(path, [(["c", "d"], ROWS[2:4])])
    ((ids, vectors),) = read_vectors(path)
    assert ids == ["c", "d"]
    np.testing.assert_array_equal(vectors, ROWS[2:4])


def test_a_file_that_cannot_be_decoded_is_not_called_empty(tmp_path: Path) -> None:
    put(tmp_path, a_txt=b"\xff broken", b_txt="good", c_txt="")
    left_out, bad = LeftOut(), list[CorpusError]()
    found = [passage.text for passage in read_texts(tmp_path, on_bad=bad.append, left_out=left_out)]
    assert found == ["good"]
    assert [str(error).split(":")[0] for error in bad] == [str(tmp_path / "a.txt")]
    assert dict(left_out) == {"empty file": 1, "unreadable file": 1}
