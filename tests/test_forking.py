"""Children that are forked from a process which has used FAISS, PyTorch or OpenVINO: each works, or says that it cannot."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from functools import cache
from pathlib import Path
from subprocess import PIPE
from typing import Any

import forks
import numpy as np
import pytest
import tiny_models

from dpr_rag import DualEncoder

TESTS = Path(__file__).parent
SECONDS = 500
TORCH = [name for name in forks.PARENTS if "torch" in name]
OTHERS = [name for name in forks.PARENTS if name not in TORCH]
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks on this system")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stores, a tiny model, and what searching and encoding give in a process that forks nothing."""
    made = tmp_path_factory.mktemp("forks")
    forks.prepare(made)
    tiny_models.bert(made / "model")
    encoder = DualEncoder.from_pretrained(made / "model", profile="contriever", runtime="torch", device="cpu")
    np.save(made / "vectors.npy", encoder.encode_questions(forks.TEXTS))
    return made


def run(*arguments: str, seconds: int = SECONDS) -> str:
    """Run Python in a process of its own, with several threads for FAISS and PyTorch, and return what it printed."""
    openmp = {"OMP_NUM_THREADS": str(forks.THREADS), "OMP_WAIT_POLICY": "passive"}  # who waits lets others work
    quiet = {"PYTHONWARNINGS": "ignore:This process:DeprecationWarning"}  # Python's own, from 3.12 on
    environment = {**os.environ, **openmp, **quiet, "PYTHONPATH": str(TESTS), "PYTHONFAULTHANDLER": "1"}
    command = [sys.executable, *arguments]
    with subprocess.Popen(
        command, stdout=PIPE, stderr=PIPE, text=True, env=environment, start_new_session=True
    ) as started:
        try:
            told, complaint = started.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGABRT)  # upon which each process says where its threads are
            pytest.fail(f"hangs: {started.communicate(timeout=30)[1]}")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)  # with its children, if they hang
    assert started.returncode == 0, complaint
    assert not re.search(r"fork\(\)|forked", complaint)  # a library's warning
    return told


@cache
def fates(folder: Path, parents: str, children: str) -> dict[str, dict[str, Any]]:
    """What :mod:`forks` prints, made once for all parents; a failure of all is that of each."""
    try:
        told = json.loads(run(str(TESTS / "forks.py"), str(folder), parents, children, seconds=3 * SECONDS))
    except (Exception, pytest.fail.Exception) as error:
        told = {name: {"all": repr(error)} for name in parents.split(",")}
    return told


@pytest.mark.timeout(4 * SECONDS)
@pytest.mark.parametrize("parent", OTHERS)
def test_children_work_whatever_their_parent_has_done(parent: str, folder: Path) -> None:
    children = [name for name in forks.CHILDREN if "torch" not in name]
    found = fates(folder, ",".join(OTHERS), ",".join(children))[parent]
    assert found == dict.fromkeys(children, "ok")


@pytest.mark.timeout(4 * SECONDS)
@pytest.mark.parametrize("parent", TORCH)
def test_children_work_where_their_parent_has_used_pytorch(parent: str, folder: Path) -> None:
    children = ["batch", "encode", "encode with torch", "torch alone"]
    found = fates(folder, ",".join(TORCH), ",".join(children))[parent]
    assert found == dict.fromkeys(children, "ok")


def script(code: str, *arguments: Path) -> str:
    return run("-c", textwrap.dedent(code), *map(str, arguments))


def test_what_crosses_a_fork_works_in_children_and_grandchildren_and_can_be_let_go(folder: Path) -> None:
    script(
        """
        import gc, os, sys
        from forks import *

        encoder, hashes = load("openvino"), HashEncoder()
        store = PassageStore.open(FOLDER / "hnsw", encoder=hashes)
        check(encoder)

        def use() -> None:
            found = store.search(hashes.encode_questions(QUESTIONS), 3)
            assert [[hit.passage.id for hit in hits] for hits in found] == expected()
            check(encoder)

        use()
        processes = [os.getpid()]
        for depth in range(2):
            pid = os.fork()
            if pid:
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                use()
                sys.exit(status)
            use()
        del encoder
        gc.collect()
        sys.exit(0)
        """,
        folder,
    )


def test_a_child_that_ends_as_scripts_do_ends_well(folder: Path) -> None:
    """Libraries destroy what they have at the end of a process, and would join threads that stayed in the parent."""
    script(
        """
        import os, sys
        from forks import *

        encode_and_keep("openvino")
        batch()
        for _ in range(3):
            pid = os.fork()
            if not pid:
                sys.exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        """,
        folder,
    )


def test_pools_of_processes_search_and_encode(folder: Path) -> None:
    script(
        """
        from concurrent.futures import ProcessPoolExecutor
        from forks import *

        def both(_: int) -> str:
            batch()
            encode_and_close("openvino")
            return "ok"

        batch()
        encode_and_keep("openvino")
        with ProcessPoolExecutor(2, mp_context=FORK) as pool:
            assert list(pool.map(both, range(4), timeout=SECONDS)) == ["ok"] * 4
        with FORK.Pool(2) as pool:
            assert pool.map_async(both, range(4)).get(SECONDS) == ["ok"] * 4
        """,
        folder,
    )


def test_children_forked_while_threads_encode_and_search_can_do_both(folder: Path) -> None:
    script(
        """
        import threading
        from forks import *

        encode_and_keep("openvino")
        batch()  # what is imported at the moment of a fork is half imported in the child
        stop = threading.Event()

        def repeat(action) -> None:
            while not stop.is_set():
                action()

        def use() -> None:
            check(KEPT[0])
            encode_and_close("openvino")
            batch()

        actions = [lambda: check(KEPT[0]), lambda: encode_and_close("openvino"), batch]
        threads = [threading.Thread(target=repeat, args=[action]) for action in actions]
        for thread in threads:
            thread.start()
        try:
            told = [forked(use) for _ in range(6)]
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert told == [None] * 6, told
        """,
        folder,
    )


def test_a_fork_takes_no_threads_from_the_parent_nor_from_those_that_the_child_starts(folder: Path) -> None:
    script(
        """
        import threading
        from forks import *
        import faiss, torch

        def threads_of_a_thread() -> list[int]:
            found = []

            def look() -> None:
                batch()
                found.append(faiss.omp_get_max_threads())

            thread = threading.Thread(target=look)
            thread.start()
            thread.join()
            return found

        batch()
        torch_alone()
        assert forked(lambda: [faiss.omp_get_max_threads(), torch.get_num_threads()]) == [1, 1]
        assert forked(threads_of_a_thread) == [THREADS]
        assert [faiss.omp_get_max_threads(), torch.get_num_threads()] == [THREADS, THREADS]
        batch()
        """,
        folder,
    )


def test_a_child_of_a_process_that_has_only_imported_dpr_rag_keeps_all_threads(folder: Path) -> None:
    script(
        """
        import sys
        import dpr_rag
        from forks import *

        def threads() -> int:
            batch()
            return sys.modules["faiss"].omp_get_max_threads()

        assert "faiss" not in sys.modules
        assert forked(threads) == THREADS
        """,
        folder,
    )


def test_a_child_forked_while_a_library_was_at_work_says_so_at_once_and_names_spawn(folder: Path) -> None:
    script(
        """
        import threading
        from forks import *
        from dpr_rag import forking
        from dpr_rag.encoders.native import NATIVE
        from dpr_rag.errors import ForkedProcessError

        encode_and_keep("openvino")
        forking._PATIENCE = 0.1
        inside, leave = threading.Event(), threading.Event()

        def stay() -> None:
            with NATIVE.held():
                inside.set()
                leave.wait()

        def refused() -> list[str]:
            found = []
            for action in (lambda: check(KEPT[0]), lambda: encode_and_close("openvino"), lambda: encode_and_close("torch")):
                try:
                    action()
                except ForkedProcessError as error:
                    found.append(str(error))
            batch()
            return found

        thread = threading.Thread(target=stay)
        thread.start()
        inside.wait()
        told = forked(refused)
        leave.set()
        thread.join()
        assert len(told) == 3 and all('get_context("spawn")' in one for one in told), told
        forking._PATIENCE = 60  # a thread that has been joined may not have ended yet
        assert forked(lambda: check(KEPT[0])) is None
        """,
        folder,
    )


@pytest.mark.parametrize("ends", ["os._exit(0)", "sys.exit(0)", "raise RuntimeError"])
def test_a_fork_inside_a_write_transaction_is_quick_and_leaves_it_to_the_parent(ends: str, tmp_path: Path) -> None:
    told = script(
        f"""
        import os, sys, time
        from forks import *
        from dpr_rag import Passage, forking

        forking._PATIENCE = 100  # what a fork that waited would take
        many = [Passage(f"x{{at}}", "word " * 2000) for at in range(1000)]  # more than SQLite keeps in memory
        with PassageStore.open(FOLDER / "store", encoder=HashEncoder(256)) as store:
            store.add(make_passages(20))
            with store._engine.writing() as writer:
                writer.insert(many[:700], np.ones((700, 256), np.float32))
                started = time.monotonic()
                pid = os.fork()
                if not pid:
                    {ends}
                took = time.monotonic() - started
                os.waitpid(pid, 0)
                writer.insert(many[700:], np.ones((300, 256), np.float32))
                writer.commit_state()
            sys.stdout.write(f"{{took < 50}} {{store.check().passages}}")
        """,
        tmp_path,
    )
    assert told == "True 1020"


def test_a_child_of_a_long_transaction_opens_that_store_in_vain_and_others(tmp_path: Path) -> None:
    """SQLite would take the locks of its parent for the child's own."""
    script(
        """
        import threading
        from forks import *
        from dpr_rag import forking
        from dpr_rag.errors import StoreClosedError

        store = PassageStore.open(FOLDER / "busy", encoder=HashEncoder())
        store.add(make_passages(1))
        PassageStore.open(FOLDER / "idle", encoder=HashEncoder()).close()
        forking._PATIENCE = 0.1
        inside, leave = threading.Event(), threading.Event()

        def write() -> None:
            with store._engine.writing() as writer:
                writer.insert(make_passages(5, 1), np.ones((5, 16), np.float32))
                inside.set()
                leave.wait()
                writer.commit_state()

        def refused() -> int:
            told = 0
            for action in (lambda: len(store), lambda: PassageStore.open(FOLDER / "busy")):
                try:
                    action()
                except StoreClosedError as error:
                    told += 'get_context("spawn")' in str(error)
            store.close()
            with PassageStore.open(FOLDER / "idle", encoder=HashEncoder()) as other:
                other.add(make_passages(3))
            return told

        thread = threading.Thread(target=write)
        thread.start()
        inside.wait()
        told = forked(refused)
        leave.set()
        thread.join()
        assert told == 2, told
        assert store.check().passages == 6
        """,
        tmp_path,
    )


def test_threads_fork_and_open_stores_at_once(tmp_path: Path) -> None:
    script(
        """
        import os, threading
        from forks import *

        with PassageStore.open(FOLDER / "store", encoder=HashEncoder()) as store:
            store.add(make_passages(50))
        stop = threading.Event()
        codes = []

        def use() -> None:
            with PassageStore.open(FOLDER / "store", encoder=HashEncoder()) as store:
                store.delete(["no such id"])
                assert len(store.search(np.ones((1, 16)), 3)[0]) == 3

        def open_and_close() -> None:
            while not stop.is_set():
                use()

        def fork() -> None:
            for _ in range(6):
                pid = os.fork()
                if not pid:
                    code = 1
                    try:
                        use()
                        code = 0
                    finally:
                        os._exit(code)
                codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

        opening = [threading.Thread(target=open_and_close) for _ in range(3)]
        forking = [threading.Thread(target=fork) for _ in range(3)]
        for thread in opening + forking:
            thread.start()
        for thread in forking:
            thread.join()
        stop.set()
        for thread in opening:
            thread.join()
        assert codes == [0] * 18, codes
        """,
        tmp_path,
    )


def test_what_a_thread_was_finding_out_or_held_when_it_was_forked_holds_up_no_child(tmp_path: Path) -> None:
    script(
        """
        import threading
        from forks import *
        from dpr_rag import forking

        class Slow:
            @forking.cached
            def value(self) -> int:
                if threading.current_thread() is not threading.main_thread():
                    inside.set()
                    leave.wait()
                return 7

        inside, leave = threading.Event(), threading.Event()
        lock, rlock, own = forking.new_lock(), forking.new_rlock(), forking.new_rlock()

        def hold() -> None:
            with lock, rlock:
                Slow().value

        def take() -> int:
            with lock, rlock, own:
                return Slow().value

        thread = threading.Thread(target=hold)
        thread.start()
        inside.wait()
        with own:
            assert forked(take) == 7
        leave.set()
        thread.join()
        """,
        tmp_path,
    )


ENDING = """
    import ctypes, os, sys, threading, time
    from pathlib import Path
    from forks import *
    from dpr_rag import forking
    from dpr_rag.encoders.native import NATIVE
    from dpr_rag.errors import ForkedProcessError

    libc, key = ctypes.CDLL(None), ctypes.c_uint()
    # what a library does at the end of a thread: here it sleeps for so many microseconds
    assert libc.pthread_key_create(ctypes.byref(key), ctypes.cast(libc.usleep, ctypes.c_void_p)) == 0
    places = []

    def visit(microseconds: int) -> None:
        with NATIVE.held():
            libc.pthread_setspecific(key, ctypes.c_void_p(microseconds))
        places.append(Path(f"/proc/self/task/{threading.get_native_id()}"))

    def go_in() -> str:
        try:
            with NATIVE.held():
                return "may"
        except ForkedProcessError:
            return "may not"

    def end_a_thread(microseconds: int) -> None:
        thread = threading.Thread(target=visit, args=[microseconds])
        thread.start()
        while not places or thread.ident in sys._current_frames():
            time.sleep(0.001)
        assert places[0].exists()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says which threads a process has")
def test_a_fork_waits_for_what_libraries_do_at_the_end_of_a_thread() -> None:
    script(
        ENDING
        + """
    forking._PATIENCE = 60
    end_a_thread(3_000_000)
    assert forked(go_in) == "may"
    assert not places[0].exists()
    """
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says which threads a process has")
def test_a_child_forked_while_a_thread_takes_long_to_end_says_so_at_once() -> None:
    script(
        ENDING
        + """
    forking._PATIENCE = 0.1
    end_a_thread(60_000_000)
    assert forked(go_in) == "may not"
    assert places[0].exists() and go_in() == "may"
    os._exit(0)
    """
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says which threads a process has")
def test_a_thread_of_a_library_that_calls_python_now_and_then_holds_up_no_fork() -> None:
    script(
        ENDING
        + """
    @ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
    def call(_: int) -> None:
        visit(60_000_000)

    assert libc.pthread_create(ctypes.byref(ctypes.c_ulong()), None, call, None) == 0
    while not places or len(sys._current_frames()) > 1:
        time.sleep(0.001)
    assert forked(go_in) == "may"
    assert places[0].exists()
    os._exit(0)
    """
    )


def test_children_encode_where_tokenizers_was_told_to_use_threads(folder: Path) -> None:
    script(
        """
        import os
        os.environ["TOKENIZERS_PARALLELISM"] = "true"
        from forks import *

        encode_and_keep("openvino")
        assert forked(lambda: check(KEPT[0])) is None
        check(KEPT[0])
        assert os.environ["TOKENIZERS_PARALLELISM"] == "true"
        """,
        folder,
    )
