"""Builds what would be released, and tries it as a user would: installed, in an environment and a folder of its own.

    python tools/release.py [OUT]

Source distribution and wheel (which is made of the former), their descriptions as an index would show them, their extras,
both adapters without PyTorch, and the same from the distributions that ``split.py`` makes. Takes packages from where pip
takes them, in the versions of ``constraints.txt``. What was built stays in OUT, if it is given.
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


def install(python: Path, *wanted: str) -> None:
    """Install into an environment, in versions that are known to work together."""
    options = ["--quiet", "--no-compile", "--disable-pip-version-check", "-c", str(ROOT / "constraints.txt")]
    subprocess.run([python, "-m", "pip", "install", *options, *wanted], check=True)


def check_metadata(wheel: Path) -> None:
    """The wheel has the version and the extras of the checkout."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        found = message_from_bytes(archive.read(name))
    assert found["Version"] == version(), found["Version"]
    assert set(found.get_all("Provides-Extra")) == set(project()["optional-dependencies"])


def check_installed(python: Path) -> None:
    """Nothing heavy came along with the adapters, and what is installed fits together."""
    subprocess.run([python, "-m", "pip", "check"], check=True)
    code = "from importlib.metadata import distributions; print(*{one.name.lower() for one in distributions()})"
    names = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert [name for name in UNWANTED if name in names] == []


def smoke(python: Path, cache: Path) -> None:
    """Run ``smoke.py`` in a folder that holds nothing else, without the checkout on the path."""
    with tempfile.TemporaryDirectory() as folder:
        script = shutil.copy(ROOT / "tools" / "smoke.py", folder)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        subprocess.run([python, "-P", script], check=True, cwd=folder, env={**kept, "XDG_CACHE_HOME": str(cache)})


def main(out: str | None = None) -> None:
    """Do all of it; the first thing that is not as it should be ends it."""
    started = time.monotonic()

    def done(what: str) -> None:
        sys.stdout.write(f"-- {what} after {time.monotonic() - started:.0f} s\n")
        sys.stdout.flush()

    with tempfile.TemporaryDirectory() as folder:
        dist, parts = Path(out or folder, "dist"), Path(out or folder, "split")
        tools = environment(Path(folder, "tools"))
        install(tools, *TOOLS)
        subprocess.run([tools, "-m", "build", "--no-isolation", "--outdir", dist, ROOT], check=True)
        (wheel,) = dist.glob(f"*-{version()}-*.whl")
        check_metadata(wheel)
        done("built")
        subprocess.run([tools, ROOT / "tools" / "split.py", wheel, parts], check=True)
        built = sorted(path for folder in (dist, parts) for path in folder.glob(f"*-{version()}*"))
        subprocess.run([tools, "-m", "twine", "check", "--strict", *built], check=True)
        done("built in pieces, and checked")
        clean = environment(Path(folder, "clean"))
        install(clean, f"{wheel}[langchain,llama-index]")
        check_installed(clean)
        smoke(clean, Path(folder, "cache"))
        done("installed and tried")
        subprocess.run([clean, "-m", "pip", "uninstall", "--quiet", "--yes", "dpr-rag"], check=True)
        install(clean, "--no-deps", *map(str, parts.glob(f"*-{version()}-*.whl")))
        check_installed(clean)
        smoke(clean, Path(folder, "cache"))
        done("tried in pieces")


if __name__ == "__main__":
    main(*sys.argv[1:])
