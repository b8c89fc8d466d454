"""What every message of an error keeps to: one line, a class of dpr-rag, and advice that works where it is read."""

from __future__ import annotations

import ast
import pickle
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import dpr_rag
from dpr_rag import Filter, Passage, PassageStore, Ranking, errors
from dpr_rag.encoders.profiles import named_profile
from dpr_rag.errors import (
    DprRagError,
    FilterError,
    ModelError,
    RepeatedIdError,
    StoreNotFoundError,
    install,
)
from dpr_rag.lexical import Analyzer

ROOT = Path(dpr_rag.__file__).parents[1]
SOURCES = sorted(
    path
    for folder in ("dpr_rag", "integrations", "examples", "benchmarks")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".md") and path.is_file()
)
CLASSES = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, DprRagError)]


def test_no_text_names_a_package_that_no_index_has() -> None:
    assert len(SOURCES) > 200
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md"]
    texts = {path: path.read_text("utf-8") for path in [*SOURCES, *pages]}
    assert [path for path, text in texts.items() if re.search(r"pip install [^\n#]*\bdpr-rag\b", text)] == []


def test_every_extra_that_a_message_names_is_one() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    named = {
        node.args[0].value
        for path in SOURCES
        if path.suffix == ".py"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "install"
        if isinstance(node.args[0], ast.Constant)
    }
    assert {"torch", "langchain", "llama-index"} < named <= set(extras)


def test_the_install_line_is_that_of_the_page() -> None:
    line = install("torch").partition("run: ")[2]
    assert line == "pip install -c constraints.txt '.[torch]'"
    assert line in (ROOT / "docs" / "start" / "install.md").read_text("utf-8")
    assert (ROOT / "constraints.txt").is_file()


@pytest.mark.parametrize("kind", CLASSES, ids=lambda one: one.__name__)
def test_a_message_is_one_line_whatever_it_quotes(kind: Any) -> None:
    given = "cannot be loaded (a library's words:\n\n  on several lines\r\n and more); fetch  it again\n"
    made = kind(given, "an id") if kind is RepeatedIdError else kind(given)
    assert str(made) == "cannot be loaded (a library's words: on several lines and more); fetch  it again"
    assert str(pickle.loads(pickle.dumps(made))) == str(made)


def test_what_is_no_part_of_a_message_keeps_its_lines() -> None:
    assert RepeatedIdError("twice", "a\nb").passage_id == "a\nb"
    assert StoreNotFoundError("there is none").args == ("there is none",)


def test_a_model_that_there_is_not_is_said_in_one_line_with_the_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")

    def refuse(*_: Any, **__: Any) -> str:
        raise hub.errors.LocalEntryNotFoundError(
            "An error happened while trying to locate the files on the Hub.\nPlease check your connection and try again."
        )

    monkeypatch.setattr(hub, "snapshot_download", refuse)
    with pytest.raises(ModelError) as raised:
        dpr_rag.load_encoder("my-modle")
    assert str(raised.value) == (
        "'my-modle' is no folder here, and the hub cannot be reached; check the name, or download the model where there is a "
        "network and pass its folder (LocalEntryNotFoundError)"
    )
    assert isinstance(raised.value.__cause__, hub.errors.LocalEntryNotFoundError)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (
            {"year": {"$foo": 1}},
            "field 'year': '$foo' is no operator; there are $not (with operators in a dict), $eq, $ne",
        ),
        ({"tags": {"$contain": "a"}}, "objects cannot be compared; did you mean '$contains'?"),
        ({"tags": {"contains": "a"}}, "field 'tags': 'contains' is no operator"),
        ({"tags": {"contains": "a"}}, "; did you mean '$contains'?"),
        ({"a": {"$regex": "x"}}, "; here it is '$like'"),
        ({"a": {"$not_in": ["x"]}}, "; here it is '$nin'"),
        ({"a": {"$Starts_With": "x"}}, "; here it is '$startswith'"),
        ({"a": {">=": 1}}, "; here it is '$gte'"),
        ({"$nor": [{"a": 1}]}, "; here it is '$not'"),
        ({"$adn": [{"a": 1}]}, "; did you mean '$and'?"),
    ],
)
def test_an_unknown_operator_is_told_what_is_meant(where: dict[str, Any], said: str) -> None:
    with pytest.raises(FilterError) as raised:
        Filter.from_dict(where)
    assert said in str(raised.value)
    assert " str '" not in str(raised.value)


def test_what_resembles_nothing_is_told_nothing() -> None:
    with pytest.raises(FilterError, match=r"objects cannot be compared$"):
        Filter.from_dict({"a": {"$zzz": 1}})
    with pytest.raises(FilterError, match=r"field 'a': int 3 is no operator; .* compared$"):
        Filter.from_dict({"a": {3: 1}})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Ranking("sparse"), "mode is 'sparse', expected one of dense, bm25, hybrid; here it is 'bm25'"),
        (lambda: Ranking("BM25"), "mode is 'BM25', expected one of dense, bm25, hybrid; did you mean 'bm25'?"),
        (lambda: Ranking("vector"), "; here it is 'dense'"),
        (lambda: Ranking("hybird"), "; did you mean 'hybrid'?"),
        (lambda: Ranking(["dense"]), "mode is ['dense'], expected one of dense, bm25, hybrid"),
        (lambda: Ranking("hybrid", fusion="reciprocal_rerank"), "; here it is 'rrf'"),
        (lambda: PassageStore.temporary(index="hnws"), "unknown index 'hnws'; .*; did you mean 'hnsw'?"),
        (
            lambda: PassageStore.temporary(dtype="fp16"),
            "dtype is 'fp16', expected one of float32, float16; here it is 'float16'",
        ),
        (lambda: Analyzer("de"), "; here it is 'german'"),
        (lambda: Analyzer("englisch"), "; did you mean 'english'?"),
        (
            lambda: Passage.made("1", "a", on_bad_text="ignore"),
            "on_bad_text is 'ignore', expected one of error, replace, skip",
        ),
        (lambda: named_profile("contreiver"), "; did you mean 'contriever'?"),
        (lambda: named_profile([]), "no profile is called []"),
    ],
)
def test_a_name_of_others_or_with_a_slip_is_told_the_right_one(make: Any, said: str) -> None:
    with pytest.raises(DprRagError) as raised:
        make()
    start, _, end = said.partition(".*")
    assert start in str(raised.value)
    assert str(raised.value).endswith(end)
