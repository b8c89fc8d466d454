"""Builds the package as the distributions that it could be split into, and checks that no import path would change.

    python tools/split.py WHEEL_OF_THE_WHOLE OUT

A dry run: today one distribution, ``dpr-rag``, ships everything. The pieces are the core and, as each framework names its
integrations, ``langchain-dpr-rag`` and one ``llama-index-KIND-dpr-rag`` for each kind. Needs ``build`` and ``hatchling``.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LANGCHAIN = ROOT / "integrations" / "langchain"
LLAMA_INDEX = ROOT / "integrations" / "llama-index"


class Piece(NamedTuple):
    """One distribution.

    Attributes:
        name: Its name on an index.
        package: The folder that it ships, as it is imported.
        source: Where that folder lies.
        dependencies: What it needs.
        extras: Its optional dependencies.
        scripts: Its commands.
        readme: Its front page.
    """

    name: str
    package: str
    source: Path
    dependencies: list[str]
    extras: dict[str, list[str]]
    scripts: dict[str, str]
    readme: Path


def project() -> dict[str, Any]:
    """The table ``[project]`` of the whole."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]  # type: ignore[no-any-return]


def version() -> str:
    """The version, which all pieces share."""
    match = re.search(r'"(.+)"\n', (ROOT / "dpr_rag" / "_version.py").read_text("utf-8").split("__version__")[1])
    assert match is not None
    return match[1]


def pieces() -> Iterator[Piece]:
    """Yield all pieces in the order of their dependencies, the core first."""
    table, number = project(), version()
    extras = table["optional-dependencies"]
    kinds = sorted(path.parent.name for path in (LLAMA_INDEX / "llama_index").glob("*/dpr_rag"))
    names = {kind: f"llama-index-{kind.replace('_', '-')}-dpr-rag" for kind in kinds}
    # the core goes with any adapter of its minor version; the pieces of one adapter know each other's inside
    adapters = {
        "langchain": [f"langchain-dpr-rag~={number}"],
        "llama-index": [f"{name}~={number}" for name in names.values()],
    }
    yield Piece(
        "dpr-rag",
        "dpr_rag",
        ROOT / "dpr_rag",
        table["dependencies"],
        {**extras, **adapters},
        table["scripts"],
        ROOT / "README.md",
    )
    core = f"dpr-rag~={number}"
    package = "langchain_dpr_rag"
    needs = [core, *extras["langchain"]]
    yield Piece("langchain-dpr-rag", package, LANGCHAIN / package, needs, {}, {}, LANGCHAIN / "README.md")
    for kind in kinds:
        source = LLAMA_INDEX / "llama_index" / kind / "dpr_rag"
        siblings = [f"{names[sibling]}=={number}" for sibling in siblings_of(source, kind)]
        needs = [core, *extras["llama-index"], *siblings]
        package = f"llama_index/{kind}/dpr_rag"
        yield Piece(names[kind], package, source, needs, {}, {}, LLAMA_INDEX / "README.md")


def siblings_of(source: Path, kind: str) -> list[str]:
    """The other kinds that the modules of one import."""
    text = "".join(path.read_text("utf-8") for path in source.rglob("*.py"))
    kinds = set(re.findall(r"^from llama_index\.(\w+)\.dpr_rag", text, re.MULTILINE))
    return sorted(kinds - {kind})


def pyproject_of(piece: Piece) -> str:
    """A piece's ``pyproject.toml``; a JSON string or list is one of TOML as well."""
    table = project()
    lines = [
        "[build-system]",
        'requires = ["hatchling>=1.27"]',
        'build-backend = "hatchling.build"',
        "[project]",
        f"name = {json.dumps(piece.name)}",
        f"version = {json.dumps(version())}",
        'readme = "README.md"',
        'license-files = ["LICENSE"]',
        *(f"{key} = {json.dumps(table[key])}" for key in ("description", "license", "requires-python", "classifiers")),
        f"dependencies = {json.dumps(piece.dependencies)}",
        "[project.optional-dependencies]",
        *(f"{name} = {json.dumps(needs)}" for name, needs in piece.extras.items()),
        "[project.scripts]",
        *(f"{name} = {json.dumps(target)}" for name, target in piece.scripts.items()),
        "[tool.hatch.build.targets.wheel]",
        # a namespace's own folders hold nothing, so they belong to no distribution
        f"packages = [{json.dumps(piece.package.split('/')[0])}]",
    ]
    return "\n".join(lines) + "\n"


def build(piece: Piece, out: Path) -> None:
    """Write a piece's source distribution, and the wheel made of that, into a folder."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(piece.source, Path(folder, piece.package), ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copyfile(piece.readme, Path(folder, "README.md"))
        shutil.copyfile(ROOT / "LICENSE", Path(folder, "LICENSE"))
        Path(folder, "pyproject.toml").write_text(pyproject_of(piece), "utf-8")
        command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def contents(wheel: Path) -> dict[str, int]:
    """Checksums of the files that a wheel puts into site-packages, without its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        return {entry.filename: entry.CRC for entry in archive.infolist() if ".dist-info/" not in entry.filename}


def problems(whole: Path, parts: list[Path]) -> list[str]:
    """One line per difference between the wheel of the whole and the wheels of its pieces."""
    expected, actual = contents(whole), [contents(part) for part in parts]
    names = [name for files in actual for name in files]
    faults = [f"{name} is in two wheels" for name in sorted({path for path in names if names.count(path) > 1})]
    joined = {name: crc for files in actual for name, crc in files.items()}
    faults += [f"{name} is in no wheel, or in another form" for name in expected if joined.get(name) != expected[name]]
    return faults + [f"{name} is in the pieces alone" for name in joined.keys() - expected.keys()]


def main(whole: str, out: str) -> None:
    """Build all pieces and compare them with the whole; exits with 1 if they differ."""
    for piece in pieces():
        build(piece, Path(out))
    parts = sorted(Path(out).glob(f"*-{version()}-*.whl"))
    faults = problems(Path(whole), parts)
    sys.stdout.write("".join(f"{line}\n" for line in faults or [f"{part.name} holds its part" for part in parts]))
    raise SystemExit(1 if faults else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
