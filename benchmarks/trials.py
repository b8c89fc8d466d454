"""What stores do where something goes wrong: killed, damaged, written twice, deleted from, given NaN, read while written.

    python benchmarks/trials.py [--rivals PYTHON] [--rounds N] [--seed N] [--stacks a,b]

The same trials on dpr-rag and on stores that people use today, each with the same 16-component vectors: LangChain's ``FAISS``
(langchain-community), Chroma's persistent client, and LlamaIndex's default, ``SimpleVectorStore`` in a ``StorageContext``. Stores
that keep nothing by themselves are saved after each addition and deletion, which is when they count as acknowledged. PYTHON is an
environment with faiss-cpu, langchain-community, chromadb and llama-index-core; stacks that it lacks are left out. Prints a table
of what became of each round:

right: everything acknowledged is there, and each hit has the text and the place that its vector gives it;
refuses: an error says so; loses: something acknowledged is gone; wrong: a hit that is none, in silence; ends: the process died.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

DIM, BATCH, START = 16, 5, 40
SECONDS = 120
Hits = list[tuple[str, str]]


def vector(number: int) -> list[float]:
    """Of a passage: fixed, of length 1, nearest to itself."""
    made = np.random.default_rng(number).standard_normal(DIM)
    return [float(one) for one in (made / np.linalg.norm(made)).astype(np.float32)]


def text(number: int) -> str:
    """Of a passage."""
    return f"text of {number}"


class Store(Protocol):
    """What the trials do with a store."""

    def add(self, numbers: list[int], vectors: list[list[float]] | None = None) -> None: ...
    def delete(self, numbers: list[int]) -> None: ...
    def search(self, question: list[float], k: int) -> Hits: ...


class DprRag:
    package = "dpr-rag"
    modules = ("dpr_rag.store", "faiss", "sqlite3")

    def __init__(self, folder: Path) -> None:
        from dpr_rag import PassageStore

        self.store = PassageStore.open(folder)

    def add(self, numbers: list[int], vectors: list[list[float]] | None = None) -> None:
        from dpr_rag import Passage

        given = vectors or [vector(one) for one in numbers]
        self.store.add([Passage(str(one), text(one)) for one in numbers], vectors=given)

    def delete(self, numbers: list[int]) -> None:
        self.store.delete(map(str, numbers))

    def search(self, question: list[float], k: int) -> Hits:
        return [(hit.passage.id, hit.passage.text) for hit in self.store.search([question], k)[0]]


class LangChainFaiss:
    package = "langchain-community"
    modules = ("langchain_community.vectorstores.faiss", "langchain_core.embeddings", "faiss")

    def __init__(self, folder: Path) -> None:
        from langchain_community.vectorstores import FAISS
        from langchain_core.embeddings import DeterministicFakeEmbedding

        self.folder, self.faiss, self.embedding = str(folder), FAISS, DeterministicFakeEmbedding(size=DIM)
        self.store: Any = None
        if (folder / "index.faiss").exists() or (folder / "index.pkl").exists():
            self.store = FAISS.load_local(self.folder, self.embedding, allow_dangerous_deserialization=True)

    def add(self, numbers: list[int], vectors: list[list[float]] | None = None) -> None:
        pairs = list(zip(map(text, numbers), vectors or [vector(one) for one in numbers], strict=True))
        if self.store is None:
            self.store = self.faiss.from_embeddings(pairs, self.embedding, ids=[str(one) for one in numbers])
        else:
            self.store.add_embeddings(pairs, ids=[str(one) for one in numbers])
        self.store.save_local(self.folder)

    def delete(self, numbers: list[int]) -> None:
        self.store.delete([str(one) for one in numbers])
        self.store.save_local(self.folder)

    def search(self, question: list[float], k: int) -> Hits:
        found = self.store.similarity_search_by_vector(question, k)
        return [(str(one.id), one.page_content) for one in found]


class Chroma:
    package = "chromadb"
    modules = ("chromadb", "chromadb.api.client", "chromadb.api.rust")

    def __init__(self, folder: Path) -> None:
        import chromadb

        settings = chromadb.Settings(anonymized_telemetry=False)
        self.client = chromadb.PersistentClient(str(folder), settings)
        self.store = self.client.get_or_create_collection("all", embedding_function=None)

    def add(self, numbers: list[int], vectors: list[list[float]] | None = None) -> None:
        given: Any = vectors or [vector(one) for one in numbers]
        self.store.add([str(one) for one in numbers], embeddings=given, documents=[text(one) for one in numbers])

    def delete(self, numbers: list[int]) -> None:
        self.store.delete([str(one) for one in numbers])

    def search(self, question: list[float], k: int) -> Hits:
        given: Any = [question]
        found = self.store.query(given, n_results=k)
        return list(zip(found["ids"][0], (found["documents"] or [[]])[0], strict=True))


class LlamaIndexSimple:
    package = "llama-index-core"
    modules = ("llama_index.core", "llama_index.core.vector_stores.simple")

    def __init__(self, folder: Path) -> None:
        from llama_index.core import MockEmbedding, StorageContext, VectorStoreIndex, load_index_from_storage

        self.folder, model = str(folder), MockEmbedding(DIM)
        if (folder / "docstore.json").exists():
            context = StorageContext.from_defaults(persist_dir=self.folder)
            self.index: Any = load_index_from_storage(context, embed_model=model)
        else:
            self.index = VectorStoreIndex([], embed_model=model)

    def add(self, numbers: list[int], vectors: list[list[float]] | None = None) -> None:
        from llama_index.core.schema import TextNode

        given = vectors or [vector(one) for one in numbers]
        self.index.insert_nodes(
            [TextNode(id_=str(one), text=text(one), embedding=its) for one, its in zip(numbers, given, strict=True)]
        )
        self.index.storage_context.persist(self.folder)

    def delete(self, numbers: list[int]) -> None:
        self.index.delete_nodes([str(one) for one in numbers], delete_from_docstore=True)
        self.index.storage_context.persist(self.folder)

    def search(self, question: list[float], k: int) -> Hits:
        from llama_index.core.vector_stores.types import VectorStoreQuery

        found = self.index.vector_store.query(VectorStoreQuery(query_embedding=question, similarity_top_k=k))
        nodes = self.index.docstore.get_nodes(found.ids) if found.ids else []
        return [(one.node_id, one.get_content()) for one in nodes]


STACKS: dict[str, Callable[[Path], Store]] = {
    "dpr-rag": DprRag,
    "LangChain FAISS": LangChainFaiss,
    "Chroma": Chroma,
    "LlamaIndex SimpleVectorStore": LlamaIndexSimple,
}


class WrongError(Exception):
    """A hit that is none, in silence."""


class LostError(Exception):
    """Something acknowledged is gone."""


def look(store: Store, alive: set[int], maybe: set[int] = frozenset()) -> None:  # type: ignore[assignment]
    """Every passage is found first by its own vector, with its own text, and nothing that is none of them."""
    for number in sorted(alive):
        hits = store.search(vector(number), 3)
        for one, told in hits:
            if not one.isdecimal() or told != text(int(one)):
                raise WrongError(f"{one} has the text {told!r}")
        wrong = [one for one, _ in hits if int(one) not in alive | maybe]
        if wrong:
            raise WrongError(f"{wrong} were deleted, or never there")
        if not hits or hits[0][0] != str(number):
            raise LostError(f"{number} is not found")


def in_child(work: Callable[[Callable[[Any], None]], None], act: Callable[[int, Any], None] | None = None) -> str:
    """What became of work in a process of its own; ``act`` hears what it tells, and may kill it."""
    ours, its = os.pipe()
    if not (pid := os.fork()):
        os.close(ours)
        _silence()
        told = "right"
        try:
            work(lambda value: os.write(its, json.dumps(value).encode() + b"\n") and None)
        except WrongError as error:
            told = f"wrong: {error}"
        except LostError as error:
            told = f"loses: {error}"
        except BaseException as error:  # whatever a stack raises, it is a refusal
            told = f"refuses: {type(error).__name__}: {str(error)[:200]}"
        os.write(its, json.dumps({"end": told}).encode() + b"\n")
        os._exit(0)
    os.close(its)
    timer = threading.Timer(SECONDS, os.kill, (pid, signal.SIGKILL))
    timer.start()
    end = ""
    with os.fdopen(ours) as lines:
        for line in lines:
            value = json.loads(line)
            if isinstance(value, dict):
                end = value["end"]
                break
            if act is not None:
                act(pid, value)
    _, status = os.waitpid(pid, 0)
    hung = not timer.is_alive()
    timer.cancel()
    return end or ("hangs" if hung else f"ends: signal {os.WTERMSIG(status)}")


def _silence() -> None:
    with open(os.devnull, "w") as nowhere:
        for descriptor in (1, 2):
            os.dup2(nowhere.fileno(), descriptor)
    warnings.simplefilter("ignore")


def _filled(make: Callable[[Path], Store], folder: Path, count: int = START) -> None:
    told = in_child(lambda _: make(folder).add(list(range(count))))
    if told != "right":
        raise RuntimeError(f"the store cannot be made: {told}")


# --- the trials: each makes a store in an empty folder and returns what became of it


def killed(make: Callable[[Path], Store], folder: Path, choose: random.Random) -> str:
    """Killed at a random moment of one addition after another."""
    _filled(make, folder)
    done: set[int] = set(range(START))
    begun: set[int] = set()
    after, pause = choose.randrange(1, 8), choose.uniform(0, 0.02)

    def work(tell: Callable[[Any], None]) -> None:
        store = make(folder)
        for start in range(START, 10_000, BATCH):
            tell(["begin", start])
            store.add(list(range(start, start + BATCH)))
            tell(["done", start])

    def act(pid: int, told: Any) -> None:
        what, start = told
        (begun if what == "begin" else done).update(range(start, start + BATCH))
        if what == "begin" and start == START + after * BATCH:
            time.sleep(pause)
            os.kill(pid, signal.SIGKILL)

    in_child(work, act)
    return in_child(lambda _: look(make(folder), done, begun))


def damaged(make: Callable[[Path], Store], folder: Path, choose: random.Random) -> str:
    """One file with a flipped bit, a block of zeros, or without its end."""
    _filled(make, folder)
    files = sorted(one for one in folder.rglob("*") if one.is_file() and one.stat().st_size)
    file = choose.choice(files)
    data = bytearray(file.read_bytes())
    at = choose.randrange(len(data))
    how = choose.choice(["bit", "bit", "bit", "zeros", "cut"])
    if how == "bit":
        data[at] ^= 1 << choose.randrange(8)
    elif how == "zeros":
        data[at : at + 512] = bytes(len(data[at : at + 512]))
    else:
        del data[at:]
    file.write_bytes(data)
    return in_child(lambda _: look(make(folder), set(range(START))))


def two_writers(make: Callable[[Path], Store], folder: Path, _choose: random.Random) -> str:
    """Two processes that add at the same time; what both acknowledged has to be there."""
    _filled(make, folder)
    told: list[str] = []
    done: set[int] = set(range(START))

    def work(first: int) -> Callable[[Callable[[Any], None]], None]:
        def run(tell: Callable[[Any], None]) -> None:
            store = make(folder)
            for start in range(first, first + 4 * BATCH, BATCH):
                store.add(list(range(start, start + BATCH)))
                tell(start)

        return run

    def one(first: int) -> None:
        told.append(in_child(work(first), lambda _, start: done.update(range(start, start + BATCH))))

    threads = [threading.Thread(target=one, args=(first,)) for first in (100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    maybe = set(range(100, 100 + 4 * BATCH)) | set(range(200, 200 + 4 * BATCH))
    found = in_child(lambda _: look(make(folder), done, maybe))
    return found if found != "right" else next((one for one in told if one != "right"), "right")


def deleted(make: Callable[[Path], Store], folder: Path, choose: random.Random) -> str:
    """Deletions, then others in their place, in one process and after opening it anew."""
    gone = set(choose.sample(range(START), 8))

    def work(_: Any) -> None:
        store = make(folder)
        store.add(list(range(START)))
        store.delete(sorted(gone))
        look(store, set(range(START)) - gone)
        store.add(list(range(START, START + 8)))
        look(store, set(range(START + 8)) - gone)

    told = in_child(work)
    return told if told != "right" else in_child(lambda _: look(make(folder), set(range(START + 8)) - gone))


def not_a_number(make: Callable[[Path], Store], folder: Path, choose: random.Random) -> str:
    """A vector with NaN among others: refused by name, or else harmless to all others."""
    _filled(make, folder)
    bad = vector(999)
    bad[choose.randrange(DIM)] = float("nan")

    def work(tell: Callable[[Any], None]) -> None:
        store = make(folder)
        try:
            store.add([998, 999], [vector(998), bad])
        except Exception:
            tell("refused")
        look(store, set(range(START)), {998, 999})

    heard: list[Any] = []
    told = in_child(work, lambda _, value: heard.append(value))
    again = in_child(lambda _: look(make(folder), set(range(START)), {998, 999}))
    if "right" in (told, again) and told == again:
        return "refuses, the others are right" if heard else "takes it, the others are right"
    return told if told != "right" else again


def readers(make: Callable[[Path], Store], folder: Path, _choose: random.Random) -> str:
    """Four threads search while a fifth adds and deletes."""
    _filled(make, folder)

    def work(_: Any) -> None:
        store = make(folder)
        wrong: list[BaseException] = []
        ending = threading.Event()

        def read(seed: int) -> None:
            draw = random.Random(seed)
            try:
                while not ending.is_set():
                    look(store, {draw.randrange(START)}, set(range(1000)))
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        try:
            for start in range(100, 100 + 12 * BATCH, BATCH):
                store.add(list(range(start, start + BATCH)))
                store.delete([start])
        finally:
            ending.set()
            for thread in threads:
                thread.join()
        for error in wrong:
            raise error

    return in_child(work)


TRIALS: dict[str, Callable[[Callable[[Path], Store], Path, random.Random], str]] = {
    "killed while adding": killed,
    "damaged file": damaged,
    "two writers": two_writers,
    "deletion, then others": deleted,
    "a vector with NaN": not_a_number,
    "threads read while one writes": readers,
}


def run(stack: str, rounds: int, seed: int) -> dict[str, Any]:
    """All trials on one stack."""
    make: Any = STACKS[stack]
    found: dict[str, Any] = {"stack": stack, "version": version(make.package)}
    for module in make.modules:  # once, before processes are forked
        import_module(module)
    for name, trial in TRIALS.items():
        outcomes: Counter[str] = Counter()
        said: dict[str, str] = {}
        for number in range(rounds):
            folder = Path(tempfile.mkdtemp(prefix="trials-"))
            try:
                told = trial(make, folder / "store", random.Random(f"{name} {seed + number}"))
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            outcomes[told.partition(":")[0]] += 1
            said.setdefault(told.partition(":")[0], told)
        found[name] = {"outcomes": dict(outcomes), "said": said}
        print(f"{stack}, {name}: {dict(outcomes)}", file=sys.stderr, flush=True)
    return found


def table(found: list[dict[str, Any]]) -> str:
    """Trials by stacks, as Markdown."""
    lines = ["| | " + " | ".join(f"{one['stack']} {one['version']}" for one in found) + " |"]
    lines.append("|---" * (len(found) + 1) + "|")
    for name in TRIALS:
        cells = (
            ", ".join(f"{what} {count}" for what, count in sorted(one[name]["outcomes"].items(), key=lambda at: -at[1]))
            for one in found
        )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """One stack as a JSON line, or the table of all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rivals", help="python of the others' environment; default: none of them")
    parser.add_argument("--rounds", type=int, default=20, help="of each trial")
    parser.add_argument("--seed", type=int, default=0, help="of the first round")
    parser.add_argument("--stacks", help=f"of {', '.join(STACKS)}; all")
    parser.add_argument("--json", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.json:
        with suppress(PackageNotFoundError):
            print(json.dumps(run(given.json, given.rounds, given.seed)))
        return
    found = []
    for stack in given.stacks.split(",") if given.stacks else STACKS:
        python = sys.executable if stack == "dpr-rag" else given.rivals
        if python:
            command = [python, __file__, "--json", stack, "--rounds", str(given.rounds), "--seed", str(given.seed)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found += [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for one in found:
        for name in TRIALS:
            for said in one[name]["said"].values():
                print(f"{one['stack']}, {name}: {said}", file=sys.stderr)
    print(table(found))


if __name__ == "__main__":
    main()
