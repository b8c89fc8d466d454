"""The command line as a process: Ctrl-C, pipes, and what it loads."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE

import pytest

from dpr_rag import PassageStore
from dpr_rag.errors import StoreError

# The one seam: a deterministic encoder in place of a downloaded model, which stays where it is after so many batches.
START = """
import sys, time
sys.path.insert(0, {tests!r})
from tiny import TinyEncoder
from dpr_rag.cli import main, models
class Halting(TinyEncoder):
    batches = 0
    def encode_passages(self, passages):
        self.batches += 1
        if self.batches == {halt}:
            time.sleep(600)
        return super().encode_passages(passages)
models.ModelChoice.load = lambda choice: Halting()
main()
"""
BATCH = 20
TOTAL = 2_000


def command(*args: object, halt: int = 0) -> list[str]:
    code = START.format(tests=str(Path(__file__).parent), halt=halt)
    return [sys.executable, "-c", code, *map(str, args)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "many.jsonl"
    lines = (json.dumps({"id": str(n), "title": f"t{n}", "text": f"passage number {n}"}) for n in range(TOTAL))
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_keeps_the_store_and_says_how_to_go_on(corpus: Path, tmp_path: Path) -> None:
    store = tmp_path / "many.dpr"
    args = ("index", corpus, "--store", store, "--batch-size", BATCH)
    with subprocess.Popen(command(*args, halt=10), stdout=PIPE, stderr=PIPE, text=True) as process:
        try:
            _wait_for_passages(store, process)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=200)
        finally:
            process.kill()
    assert process.returncode == 130
    assert f"dpr-rag index {corpus} --store {store} --batch-size {BATCH}" in errors
    assert "Traceback" not in errors
    with PassageStore.open(store, create=False, read_only=True) as opened:
        kept = opened.count()
        assert opened.check().passages == kept
        assert 0 < kept < TOTAL
        assert kept % BATCH == 0
    done = subprocess.run(command(*args), capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"added {TOTAL - kept:,}, replaced 0, unchanged {kept:,} in ")


def _wait_for_passages(
    store: Path, process: subprocess.Popen[str], meanwhile: Callable[[], object] = lambda: None
) -> None:
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        if _count(store) >= 2 * BATCH:
            return
        meanwhile()
        time.sleep(0.05)
    raise AssertionError(f"no passage was committed: {process.poll()}")


def _count(store: Path) -> int:
    try:
        with PassageStore.open(store, create=False, read_only=True) as opened:
            return opened.count()
    except StoreError:  # not there yet, or just being made
        return 0


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    store = tmp_path_factory.mktemp("store") / "small.dpr"
    subprocess.run(command("index", corpus, "--store", store), capture_output=True, check=True)
    return store


def test_a_terminal_that_is_closed_ends_a_command_in_order(corpus: Path, tmp_path: Path) -> None:
    store = tmp_path / "many.dpr"
    args = ("index", corpus, "--store", store, "--batch-size", BATCH)
    ours, theirs = os.openpty()

    os.set_blocking(ours, False)

    def drained() -> None:  # a terminal that nobody reads is full before long
        with suppress(BlockingIOError, OSError):
            os.read(ours, 1 << 16)

    def hold_terminal() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    with subprocess.Popen(
        command(*args, halt=10),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=hold_terminal,
    ) as process:
        try:
            os.close(theirs)
            _wait_for_passages(store, process, drained)
            os.close(ours)
            assert process.wait(200) == 128 + signal.SIGHUP
        finally:
            process.kill()
    assert 0 < _count(store) < TOTAL
    assert _count(store) % BATCH == 0


HALTING_COPY = """
import time
from dpr_rag import PassageStore
from dpr_rag.cli import main
real = PassageStore.add
batches = 0
def halting(*given, **how):
    global batches
    batches += 1
    if batches == 10:
        time.sleep(600)
    return real(*given, **how)
PassageStore.add = halting
main()
"""


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_copy_that_is_ended_says_how_to_go_on_and_counts_what_is_there(
    small: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    args = ("copy", str(small), str(tmp_path / "copy.dpr"), "--batch-size", str(BATCH))
    with subprocess.Popen([sys.executable, "-c", HALTING_COPY, *args], stdout=PIPE, stderr=PIPE, text=True) as process:
        try:
            _wait_for_passages(tmp_path / "copy.dpr", process)
            process.send_signal(number)
            told, errors = process.communicate(timeout=200)
        finally:
            process.kill()
    assert (process.returncode, told) == (code, "")
    assert f"To go on, run the same command again:\n  dpr-rag {' '.join(args)}" in errors
    kept = _count(tmp_path / "copy.dpr")
    assert 0 < kept < TOTAL
    done = subprocess.run(command(*args), capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"copied {TOTAL - kept:,}; {kept:,} were already there; {TOTAL:,} in all, in ")


SLOW_BACKUP = """
import time
from dpr_rag.cli import main
from dpr_rag.store import copying
def slow(*given):
    try:
        print("copying", flush=True)
        while True:
            time.sleep(0.01)
    finally:
        print("interrupted", flush=True)
        time.sleep(0.5)  # in which another signal may come
copying._copy_segments = slow
main()
"""


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ([signal.SIGTERM], 143),
        ([signal.SIGINT], 130),
        ([signal.SIGHUP, signal.SIGHUP], 129),
        ([signal.SIGTERM, signal.SIGHUP], 143),
    ],
)
def test_a_backup_that_is_ended_leaves_nothing(
    small: Path, tmp_path: Path, numbers: list[signal.Signals], code: int
) -> None:
    args = ("backup", str(small), str(tmp_path / "copy.dpr"))
    with subprocess.Popen([sys.executable, "-c", SLOW_BACKUP, *args], stdout=PIPE, stderr=PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "copying\n"
            process.send_signal(numbers[0])
            for number in numbers[1:]:
                assert process.stdout.readline() == "interrupted\n"
                process.send_signal(number)
            _, errors = process.communicate(timeout=200)
        finally:
            process.kill()
    assert (process.returncode, errors) == (code, "\ndpr-rag: interrupted; nothing was applied by half\n")
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_goes_away_is_no_error(small: Path) -> None:
    asked = "\n".join(f"number {n}" for n in range(3_000))
    read, write = os.pipe()
    args = command("search", small, "-", "--json")
    with subprocess.Popen(args, stdin=PIPE, stdout=write, stderr=PIPE, text=True) as process:
        os.close(write)
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(asked)
        process.stdin.close()
        first = os.read(read, 10)
        os.close(read)
        errors = process.stderr.read()
    assert first == b'{"question'
    assert errors == ""
    assert process.returncode == 0


def on_a_terminal(*args: object) -> str:
    """What a command writes on standard error while that is a terminal."""
    reader, writer = os.openpty()
    shown = b""
    with subprocess.Popen(command(*args), stdout=PIPE, stderr=writer, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(writer)
        with suppress(OSError):  # Linux ends a terminal whose last writer is gone with an error
            while part := os.read(reader, 4096):
                shown += part
        os.close(reader)
    assert process.returncode == 0, shown
    return shown.decode()


def test_quiet_switches_the_bar_off(corpus: Path, tmp_path: Path) -> None:
    store = tmp_path / "many.dpr"
    for args, label in (
        (("index", corpus, "--store", store), "indexing"),
        (("reencode", store, "--model", "newer"), "reencoding"),
    ):
        assert label in on_a_terminal(*args)
        assert on_a_terminal(*args, "--quiet") == ""


def test_piped_output_has_no_escape_codes(small: Path) -> None:
    done = subprocess.run(command("search", small, "number 7"), capture_output=True, check=True)
    assert b"t7" in done.stdout
    assert b"\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["search", "--help"], ["info", "{store}"]])
def test_light_commands_load_no_heavy_library(small: Path, args: list[str]) -> None:
    code = (
        "import sys, atexit; from dpr_rag.cli import main; "
        "atexit.register(lambda: sys.stderr.write(repr({'torch', 'faiss', 'transformers'} & set(sys.modules)))); main()"
    )
    words = [arg.format(store=small) for arg in args]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert done.stderr == "set()"


@pytest.mark.parametrize(
    "args", [["search", "{store}", "number 7"], ["search", "{store}", "number 7", "--json"], ["--version"]]
)
def test_a_closed_standard_output_is_no_error(small: Path, args: list[str]) -> None:
    line = command(*(small if one == "{store}" else one for one in args))
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *map(str, line)], stderr=PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_standard_error_does_not_hide_that_a_command_failed(small: Path) -> None:
    line = map(str, command("info", small / "nowhere"))
    done = subprocess.run(["sh", "-c", 'exec "$@" 2>&-', "sh", *line], stdout=PIPE, text=True)
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device here")
@pytest.mark.parametrize("args", [["--help"], ["--version"], ["search", "--help"], ["info", "{store}"]])
def test_a_full_disk_is_one_line(small: Path, args: list[str]) -> None:
    line = command(*(small if one == "{store}" else one for one in args))
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(list(map(str, line)), stdout=full, stderr=PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "dpr-rag: error: [Errno 28] No space left on device\n")


@pytest.mark.parametrize("columns", ["0", "1"])
def test_a_width_in_which_nothing_can_be_shown_is_passed_over(small: Path, columns: str) -> None:
    done = subprocess.run(
        command("info", small), capture_output=True, text=True, env={**os.environ, "COLUMNS": columns}
    )
    assert f"passages               {TOTAL:,}" in done.stdout


def test_a_question_in_bytes_of_another_encoding_is_read_or_refused(small: Path) -> None:
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    line = [*map(os.fsencode, command("search", small, "--json")), "numéro 7".encode()]
    done = subprocess.run(line, capture_output=True, env=plain)
    assert json.loads(done.stdout)["question"] == "numéro 7", done.stderr
    done = subprocess.run([*line[:-1], "numéro 7".encode("latin-1")], capture_output=True)
    assert done.returncode == 2
    assert b"is not UTF-8" in done.stderr
