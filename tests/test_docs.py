"""The documentation: every page's code runs, what it says of the code is so, and the site's check sees what it is for."""

from __future__ import annotations

import importlib.util
import re
import signal
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import typer
from browser import CHROMIUM, chromium
from documents import PAGES, ROOT, blocks, run, words_of
from house import FLOORS, SPEAKERS, VOCABULARY
from readers import save_plain_reader

import dpr_rag
from dpr_rag import errors
from dpr_rag.cli.app import app
from dpr_rag.corpora import FORMATS
from dpr_rag.filters import OPERATORS
from dpr_rag.index.kinds import AUTO_FLAT_LIMIT, KINDS, PARAMETERS

DOCS = ROOT / "docs"
NAMES = {str(path.relative_to(DOCS)): path for path in PAGES}


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
def test_page_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = NAMES[name].read_text("utf-8")
    monkeypatch.chdir(tmp_path)
    if '"my-reader"' in text:
        save_plain_reader(tmp_path / "bert", tmp_path / "my-reader")
    run(text, name)
    for body in blocks("python", text, skipped=True):
        compile(body, name, "exec")


def rows_of(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading."""
    table = re.search(r"(?:^\|.*\n)+", text.split(f"## {heading}\n", 1)[1], re.MULTILINE)
    assert table is not None
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table[0].splitlines()[2:]]


def named(cells: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cells))


def test_every_page_is_in_the_navigation_and_short() -> None:
    listed = set(re.findall(r"(\S+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE))
    assert {name for name in listed if "/made/" not in name} == set(NAMES)
    assert {Path(name).name for name in listed if "/made/" in name} == {"commands.md", *tool("generate").COPIES}
    long = {name: count for name, path in NAMES.items() if (count := path.read_text("utf-8").count("\n")) > 200}
    assert long == {}


def test_floors_are_those_of_the_house() -> None:
    rows = rows_of(NAMES["architecture.md"].read_text("utf-8"), "Floors and rooms")
    assert [(int(floor), named(room)) for floor, room, _ in rows] == [
        (floor, {room}) for room, floor in sorted(FLOORS.items(), key=lambda one: one[1])
    ]
    text = NAMES["architecture.md"].read_text("utf-8")
    assert [f"`{one}`" in text.split("are vocabulary")[0] for one in VOCABULARY] == [True, True]


def test_libraries_are_those_of_the_house() -> None:
    rows = rows_of(NAMES["architecture.md"].read_text("utf-8"), "Who may name which library")
    said = {library.strip("`"): set(FLOORS) if rooms == "all" else named(rooms) for library, rooms in rows}
    assert said == SPEAKERS


def test_files_to_touch_exist() -> None:
    guides = NAMES["extending.md"].read_text("utf-8").split("\n## ")[1:]
    assert len(guides) == 10
    for guide in guides:
        places = {one for one in named(guide) if "/" in one or one.endswith((".md", ".toml", ".yml"))}
        assert len(places) >= 3, guide
        assert {one for one in places if not (ROOT / one).exists()} == set()


def test_errors_kinds_formats_and_operators_are_those_there_are() -> None:
    page = NAMES["reference/errors.md"].read_text("utf-8")
    there = {
        name for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, errors.DprRagError)
    }
    said = {
        cells[0].strip("`"): cells[1] for cells in re.findall(r"^\| (`\w+Error`|`Store\w+`) \| ([^|]*)\|", page, re.M)
    }
    assert set(said) == there - {"DprRagError"}
    own = (
        ValueError,
        TypeError,
        ImportError,
        FileNotFoundError,
        ConnectionError,
        TimeoutError,
        PermissionError,
        RuntimeError,
    )
    for name, bases in said.items():
        expected = {one.__name__ for one in own if issubclass(getattr(errors, name), one)}
        assert set(re.findall(r"\w+", bases)) == expected, name
    kinds = rows_of("#" + NAMES["reference/index-kinds.md"].read_text("utf-8"), "Index kinds")
    assert set().union(*(named(row[0]) for row in kinds)) == {"auto", *KINDS}
    assert f"{AUTO_FLAT_LIMIT:,} passages" in NAMES["reference/index-kinds.md"].read_text("utf-8")
    parameters = rows_of(
        NAMES["reference/index-kinds.md"].read_text("utf-8").replace("Parameters follow", "## Parameters\n"),
        "Parameters",
    )
    assert set().union(*(named(row[0]) for row in parameters)) == set(PARAMETERS)
    forms = rows_of(NAMES["reference/files.md"].read_text("utf-8"), "Passages")
    assert set().union(*(named(row[0]) for row in forms)) == set(FORMATS)
    operators = rows_of("#" + NAMES["how-to/filters.md"].read_text("utf-8"), "Filter, and serve many tenants")
    assert set().union(*(named(row[1]) for row in operators)) == {f"${one}" for one in (*OPERATORS, "and", "or", "not")}


def test_both_pages_on_commands_name_every_exit_code() -> None:
    codes = {0, 1, 2, *(128 + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM))}
    rows = rows_of(NAMES["reference/command-line.md"].read_text("utf-8"), "Exit codes")
    assert {int(code) for code, _ in rows} == codes
    (told,) = re.findall(r"Exit codes: ([^.]*)\.", tool("generate").commands_page())
    assert {int(code) for code in re.findall(r"\d+", told)} == codes


def test_reference_names_everything_public() -> None:
    told = {name: set(re.findall(r"^::: (\S+)$", path.read_text("utf-8"), re.M)) for name, path in NAMES.items()}
    found = set().union(*told.values())
    public = {f"dpr_rag.{dpr_rag._HOMES[name]}.{name}" for name in dpr_rag._HOMES if name != "DprRagError"}
    assert {one.rpartition(".")[2] for one in public} <= {one.rpartition(".")[2] for one in found}
    for one in found:
        module, _, name = one.rpartition(".")
        assert getattr(importlib.import_module(module), name) is not None


def test_extras_and_verbs_that_pages_name_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    makefile = (ROOT / "Makefile").read_text("utf-8")
    texts = [path.read_text("utf-8") for path in [*PAGES, ROOT / "CONTRIBUTING.md"]]
    listed = named("".join(row[0] for row in rows_of("#" + NAMES["start/install.md"].read_text("utf-8"), "Install")))
    assert listed == set(project["optional-dependencies"]) - {"dev", "examples", "teachers"}
    for text in texts:
        extras = ",".join(re.findall(r"'\.\[([\w,-]+)\]'", text)).split(",") + re.findall(r"extra `([\w-]+)`", text)
        assert set(extras) - {""} <= set(project["optional-dependencies"])
        assert [
            verb
            for verb in re.findall(r"make ([a-z]+)(?= |$|`|\n)", "\n".join(blocks("sh", text)))
            if f"\n{verb}:" not in makefile
        ] == []


def test_commands_page_names_every_command_and_option(tmp_path: Path) -> None:
    tool("generate").generate(tmp_path)
    page = (tmp_path / "commands.md").read_text("utf-8")
    parts = dict(zip(re.findall(r"^## (\w+)$", page, re.M), re.split(r"^## \w+$", page, flags=re.M)[1:], strict=True))
    group = typer.main.get_group(app)
    assert list(parts) == list(group.commands)
    for name, command in group.commands.items():
        options = [
            option
            for one in command.params
            for option in one.opts
            if option.startswith("--") and not getattr(one, "hidden", False)
        ]
        assert [option for option in options if option not in parts[name]] == []


def test_links_of_copied_pages_lead_from_their_new_place(tmp_path: Path) -> None:
    generate = tool("generate")
    generate.generate(tmp_path)
    assert "(../../figures/reliability.md)" in (tmp_path / "security.md").read_text("utf-8")
    text = "[a](docs/reference/files.md#passages) [b](https://a.example/x) [c](#here) [d](mailto:a@b.example)"
    moved = "[a](../files.md#passages) [b](https://a.example/x) [c](#here) [d](mailto:a@b.example)"
    assert generate.relinked(text, ROOT / "README.md") == moved
    for gone in ("docs/gone.md", "CONTRIBUTING.md", "docs"):
        with pytest.raises(ValueError, match=f"README.md links to {gone}, which is no page"):
            generate.relinked(f"[a]({gone})", ROOT / "README.md")


def test_links_between_pages_lead_to_pages() -> None:
    made = DOCS / "reference" / "made"
    there = {*PAGES, *(made / name for name in ("commands.md", *tool("generate").COPIES))}
    gone = [
        f"{name}: {link}"
        for name, path in NAMES.items()
        for link in re.findall(r"\]\(([^)\s#:]+\.md)(?:#[^)]*)?\)", path.read_text("utf-8"))
        if (path.parent / link).resolve() not in there
    ]
    assert gone == []


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        ('<script src="https://cdn.example/x.js"></script>', "loads https://cdn.example/x.js from elsewhere"),
        ('<link rel="preconnect" href="//fonts.example">', "loads //fonts.example from elsewhere"),
        ('<img src="http://a.example/x.png">', "loads http://a.example/x.png from elsewhere"),
        ("<style>@import 'https://a.example/x.css'</style>", "loads https://a.example/x.css from elsewhere"),
        ('<p style="background: url(//a.example/x.png)">', "loads //a.example/x.png from elsewhere"),
        ('<img src="gone.svg">', "gone.svg leads nowhere"),
        ('<a href="other.html">', "other.html leads nowhere"),
        ('<a href="#gone">', "#gone leads nowhere"),
    ],
)
def test_the_check_of_the_site_sees(page: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(page, "utf-8")
    (found,) = tool("check_site").faults_of(tmp_path)
    assert found == f"index.html {fault}" or found == f"index.html: {fault}"


def test_the_check_of_the_site_lets_links_out_and_files_inside_pass(tmp_path: Path) -> None:
    text = '<h1 id="top"><a href="https://a.example">out</a><a href="#top">up</a><img src="x.svg"><script>1</script>'
    (tmp_path / "index.html").write_text(text, "utf-8")
    (tmp_path / "x.svg").write_text("<svg/>", "utf-8")
    assert tool("check_site").faults_of(tmp_path) == []
    (tmp_path / "x.css").write_text("@import url(https://fonts.example/x)", "utf-8")
    assert tool("check_site").faults_of(tmp_path) == ["x.css loads https://fonts.example/x from elsewhere"]


def test_diagrams_are_for_a_phone_and_for_both_schemes() -> None:
    pictures = sorted((DOCS / "assets").glob("*.svg"))
    assert len(pictures) >= 6
    for picture in pictures:
        text = picture.read_text("utf-8")
        assert 'viewBox="0 0 400 ' in text
        assert "prefers-color-scheme: dark" in text
        assert min(float(size) for size in re.findall(r"([\d.]+)px", text)) >= 13
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
        assert any(picture.name in path.read_text("utf-8") for path in PAGES)


def test_citation_has_the_version() -> None:
    assert f"\nversion: {dpr_rag.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


def test_commands_inside_of_lines_are_understood() -> None:
    group = typer.main.get_group(app)
    found = [
        line
        for path in PAGES
        for line in re.findall(r"`(dpr-rag [a-z]+ [^`]+)`", path.read_text("utf-8"))
        if "…" not in line
    ]
    assert len(found) > 10
    for line in found:
        words = words_of(line)
        with group.commands[words[0]].make_context(words[0], words[1:]) as context:
            assert context.params, line


def test_roles_of_docstrings_become_code() -> None:
    plain = tool("roles").plain
    assert plain("see :meth:`open` and :class:`~dpr_rag.PassageStore`") == "see ``open`` and ``PassageStore``"
    assert plain("a :note: `x`") == "a :note: `x`"


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_the_search_has_a_worker_where_pages_are_files(tmp_path: Path) -> None:
    (tmp_path / "shim.js").write_text((DOCS / "assets" / "iframe-worker.js").read_text("utf-8"), "utf-8")
    (tmp_path / "more.js").write_text("self.twice = n => 2 * n;", "utf-8")
    worker = "self.onmessage = async told => { await importScripts('more.js'); self.postMessage(twice(told.data)); };"
    (tmp_path / "worker.js").write_text(worker, "utf-8")
    # an answer inside of an answer would recurse: messages arrive later, as from a thread
    page = (
        "<script src='shim.js'></script><body><script>heard = []; const worker = new Worker('worker.js');"
        "worker.onmessage = told => { heard.push(told.data); if (heard.length < 3) worker.postMessage(told.data); };"
        "worker.postMessage(21); heard.push('asked');</script>"
    )
    (tmp_path / "index.html").write_text(page, "utf-8")
    (tmp_path / "browser").mkdir()
    with chromium(tmp_path / "browser") as tab:
        tab.show(tmp_path / "index.html")
        assert tab.wait("return heard.length === 3 && heard") == ["asked", 42, 84]
