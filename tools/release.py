"""Builds the distributions of a release and tests them as a user would: installed, in an environment and a folder of its own.

    python tools/release.py [OUT]

Source distribution and wheel (which is made of the former), their descriptions as an index would show them, their extras,
both adapters without PyTorch, and the same from the distributions that ``split.py`` makes. Packages come from pip's own
index, in the versions of ``constraints.txt``. What was built stays in OUT, if it is given.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from email import message_from_bytes
from pathlib import Path

from split import ROOT, project, version

TOOLS = ("build", "hatchling", "twine")
UNWANTED = ("torch", "transformers", "sentence-transformers", "gradio", "fastapi")


def environment(folder: Path) -> Path:
    """A new virtual environment; returns its Python."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    return folder / "bin" / "python"


def install(python: Path, *requirements: str) -> None:
    """Install into an environment, in versions that are known to work together."""
    options = ["--quiet", "--no-compile", "--disable-pip-version-check", "-c", str(ROOT / "constraints.txt")]
    subprocess.run([python, "-m", "pip", "install", *options, *requirements], check=True)


def check_metadata(wheel: Path) -> None:
    """Check that the wheel has the version and the extras of the checkout."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (entry for entry in archive.namelist() if entry.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(archive.read(name))
    assert metadata["Version"] == version(), metadata["Version"]
    assert set(metadata.get_all("Provides-Extra")) == set(project()["optional-dependencies"])


def check_installed(python: Path) -> None:
    """Check that the adapters brought nothing heavy along, and that what is installed fits together."""
    subprocess.run([python, "-m", "pip", "check"], check=True)
    code = "from importlib.metadata import distributions; print(*{item.name.lower() for item in distributions()})"
    names = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert [name for name in UNWANTED if name in names] == []


def smoke(python: Path, cache: Path) -> None:
    """Run ``smoke.py`` in a folder that holds nothing else, without the checkout on the path."""
    with tempfile.TemporaryDirectory() as folder:
        script = shutil.copy(ROOT / "tools" / "smoke.py", folder)
        variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        subprocess.run([python, "-P", script], check=True, cwd=folder, env={**variables, "XDG_CACHE_HOME": str(cache)})


def main(out: str | None = None) -> None:
    """Build and test everything; the first failure ends the run."""
    start = time.monotonic()

    def report(stage: str) -> None:
        sys.stdout.write(f"-- {stage} after {time.monotonic() - start:.0f} s\n")
        sys.stdout.flush()

    with tempfile.TemporaryDirectory() as folder:
        dist, parts = Path(out or folder, "dist"), Path(out or folder, "split")
        tools = environment(Path(folder, "tools"))
        install(tools, *TOOLS)
        subprocess.run([tools, "-m", "build", "--no-isolation", "--outdir", dist, ROOT], check=True)
        (wheel,) = dist.glob(f"*-{version()}-*.whl")
        check_metadata(wheel)
        report("built")
        subprocess.run([tools, ROOT / "tools" / "split.py", wheel, parts], check=True)
        distributions = sorted(path for folder in (dist, parts) for path in folder.glob(f"*-{version()}*"))
        subprocess.run([tools, "-m", "twine", "check", "--strict", *distributions], check=True)
        report("built in pieces, and checked")
        python = environment(Path(folder, "clean"))
        install(python, f"{wheel}[langchain,llama-index]")
        check_installed(python)
        smoke(python, Path(folder, "cache"))
        report("installed and tried")
        subprocess.run([python, "-m", "pip", "uninstall", "--quiet", "--yes", "dpr-rag"], check=True)
        install(python, "--no-deps", *map(str, parts.glob(f"*-{version()}-*.whl")))
        check_installed(python)
        smoke(python, Path(folder, "cache"))
        report("tried in pieces")


if __name__ == "__main__":
    main(*sys.argv[1:])
