"""Test stores where something goes wrong: killed, damaged, written twice, deleted from, given NaN, read while written.

    python benchmarks/trials.py [--rivals PYTHON] [--rounds N] [--seed N] [--stacks a,b]

The same trials on dpr-rag and on stores that people use today, each with the same 16-component vectors: LangChain's ``FAISS``
(langchain-community), Chroma's persistent client, and LlamaIndex's default, ``SimpleVectorStore`` in a ``StorageContext``. Stores
that live in memory are saved after each addition and deletion, which counts as acknowledged from then on. PYTHON is an
environment with faiss-cpu, langchain-community, chromadb and llama-index-core; stacks that it lacks are left out. Outcomes:

right: all acknowledged passages are there, and each hit has the text and the rank that its vector gives it;
refuses: an error is raised; loses: an acknowledged passage is gone; wrong: a wrong hit, without an error; ends: the process died.
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
    """The vector of a passage: fixed, of length 1, nearest to itself."""
    components = np.random.default_rng(number).standard_normal(DIM)
    return [float(component) for component in (components / np.linalg.norm(components)).astype(np.float32)]


def text(number: int) -> str:
    """The text of a passage."""
    return f"text of {number}"


class Store(Protocol):
    """The operations of a store that the trials use."""

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

        rows = vectors or [vector(n) for n in numbers]
        self.store.add([Passage(str(n), text(n)) for n in numbers], vectors=rows)

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
        pairs = list(zip(map(text, numbers), vectors or [vector(n) for n in numbers], strict=True))
        if self.store is None:
            self.store = self.faiss.from_embeddings(pairs, self.embedding, ids=[str(n) for n in numbers])
        else:
            self.store.add_embeddings(pairs, ids=[str(n) for n in numbers])
        self.store.save_local(self.folder)

    def delete(self, numbers: list[int]) -> None:
        self.store.delete([str(n) for n in numbers])
        self.store.save_local(self.folder)

    def search(self, question: list[float], k: int) -> Hits:
        documents = self.store.similarity_search_by_vector(question, k)
        return [(str(document.id), document.page_content) for document in documents]


class Chroma:
    package = "chromadb"
    modules = ("chromadb", "chromadb.api.client", "chromadb.api.rust")

    def __init__(self, folder: Path) -> None:
        import chromadb

        settings = chromadb.Settings(anonymized_telemetry=False)
        self.client = chromadb.PersistentClient(str(folder), settings)
        self.store = self.client.get_or_create_collection("all", embedding_function=None)

    def add(self, numbers: list[int], vectors: list[list[float]] | None = None) -> None:
        rows: Any = vectors or [vector(n) for n in numbers]
        self.store.add([str(n) for n in numbers], embeddings=rows, documents=[text(n) for n in numbers])

    def delete(self, numbers: list[int]) -> None:
        self.store.delete([str(n) for n in numbers])

    def search(self, question: list[float], k: int) -> Hits:
        queries: Any = [question]
        result = self.store.query(queries, n_results=k)
        return list(zip(result["ids"][0], (result["documents"] or [[]])[0], strict=True))


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

        rows = vectors or [vector(n) for n in numbers]
        self.index.insert_nodes(
            [TextNode(id_=str(n), text=text(n), embedding=row) for n, row in zip(numbers, rows, strict=True)]
        )
        self.index.storage_context.persist(self.folder)

    def delete(self, numbers: list[int]) -> None:
        self.index.delete_nodes([str(n) for n in numbers], delete_from_docstore=True)
        self.index.storage_context.persist(self.folder)

    def search(self, question: list[float], k: int) -> Hits:
        from llama_index.core.vector_stores.types import VectorStoreQuery

        result = self.index.vector_store.query(VectorStoreQuery(query_embedding=question, similarity_top_k=k))
        nodes = self.index.docstore.get_nodes(result.ids) if result.ids else []
        return [(node.node_id, node.get_content()) for node in nodes]


STACKS: dict[str, Callable[[Path], Store]] = {
    "dpr-rag": DprRag,
    "LangChain FAISS": LangChainFaiss,
    "Chroma": Chroma,
    "LlamaIndex SimpleVectorStore": LlamaIndexSimple,
}


class WrongError(Exception):
    """A wrong hit, without an error."""


class LostError(Exception):
    """An acknowledged passage is gone."""


def look(store: Store, expected: set[int], possible: set[int] = frozenset()) -> None:  # type: ignore[assignment]
    """Raise WrongError or LostError unless each expected passage is first by its vector, and no hit is another's."""
    for number in sorted(expected):
        hits = store.search(vector(number), 3)
        for hit_id, hit_text in hits:
            if not hit_id.isdecimal() or hit_text != text(int(hit_id)):
                raise WrongError(f"{hit_id} has the text {hit_text!r}")
        unexpected = [hit_id for hit_id, _ in hits if int(hit_id) not in expected | possible]
        if unexpected:
            raise WrongError(f"{unexpected} were deleted, or never there")
        if not hits or hits[0][0] != str(number):
            raise LostError(f"{number} is not found")


def in_child(work: Callable[[Callable[[Any], None]], None], act: Callable[[int, Any], None] | None = None) -> str:
    """Run ``work`` in a process of its own and return its outcome; ``act`` gets its messages, and may kill it."""
    read_end, write_end = os.pipe()
    if not (pid := os.fork()):
        os.close(read_end)
        _silence()
        outcome = "right"
        try:
            work(lambda value: os.write(write_end, json.dumps(value).encode() + b"\n") and None)
        except WrongError as error:
            outcome = f"wrong: {error}"
        except LostError as error:
            outcome = f"loses: {error}"
        except BaseException as error:  # whatever a stack raises, it is a refusal
            outcome = f"refuses: {type(error).__name__}: {str(error)[:200]}"
        os.write(write_end, json.dumps({"end": outcome}).encode() + b"\n")
        os._exit(0)
    os.close(write_end)
    timer = threading.Timer(SECONDS, os.kill, (pid, signal.SIGKILL))
    timer.start()
    reported = ""
    with os.fdopen(read_end) as messages:
        for message in messages:
            value = json.loads(message)
            if isinstance(value, dict):
                reported = value["end"]
                break
            if act is not None:
                act(pid, value)
    _, status = os.waitpid(pid, 0)
    hung = not timer.is_alive()
    timer.cancel()
    return reported or ("hangs" if hung else f"ends: signal {os.WTERMSIG(status)}")


def _silence() -> None:
    with open(os.devnull, "w") as devnull:
        for descriptor in (1, 2):
            os.dup2(devnull.fileno(), descriptor)
    warnings.simplefilter("ignore")


def _fill(make: Callable[[Path], Store], folder: Path, count: int = START) -> None:
    outcome = in_child(lambda _: make(folder).add(list(range(count))))
    if outcome != "right":
        raise RuntimeError(f"the store cannot be made: {outcome}")


# --- the trials: each makes a store in an empty folder and returns the outcome


def killed(make: Callable[[Path], Store], folder: Path, draw: random.Random) -> str:
    """Kill the process at a random moment of one addition after another."""
    _fill(make, folder)
    acknowledged: set[int] = set(range(START))
    started: set[int] = set()
    calls_before, pause = draw.randrange(1, 8), draw.uniform(0, 0.02)

    def work(tell: Callable[[Any], None]) -> None:
        store = make(folder)
        for start in range(START, 10_000, BATCH):
            tell(["begin", start])
            store.add(list(range(start, start + BATCH)))
            tell(["done", start])

    def act(pid: int, message: Any) -> None:
        event, start = message
        (started if event == "begin" else acknowledged).update(range(start, start + BATCH))
        if event == "begin" and start == START + calls_before * BATCH:
            time.sleep(pause)
            os.kill(pid, signal.SIGKILL)

    in_child(work, act)
    return in_child(lambda _: look(make(folder), acknowledged, started))


def damaged(make: Callable[[Path], Store], folder: Path, draw: random.Random) -> str:
    """Flip a bit of one file, zero a block of it, or cut off its end."""
    _fill(make, folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    file = draw.choice(files)
    data = bytearray(file.read_bytes())
    offset = draw.randrange(len(data))
    damage = draw.choice(["bit", "bit", "bit", "zeros", "cut"])
    if damage == "bit":
        data[offset] ^= 1 << draw.randrange(8)
    elif damage == "zeros":
        data[offset : offset + 512] = bytes(len(data[offset : offset + 512]))
    else:
        del data[offset:]
    file.write_bytes(data)
    return in_child(lambda _: look(make(folder), set(range(START))))


def two_writers(make: Callable[[Path], Store], folder: Path, _draw: random.Random) -> str:
    """Two processes add at the same time; what both acknowledged has to be there."""
    _fill(make, folder)
    outcomes: list[str] = []
    acknowledged: set[int] = set(range(START))

    def work(first: int) -> Callable[[Callable[[Any], None]], None]:
        def run(tell: Callable[[Any], None]) -> None:
            store = make(folder)
            for start in range(first, first + 4 * BATCH, BATCH):
                store.add(list(range(start, start + BATCH)))
                tell(start)

        return run

    def write(first: int) -> None:
        outcomes.append(in_child(work(first), lambda _, start: acknowledged.update(range(start, start + BATCH))))

    threads = [threading.Thread(target=write, args=(first,)) for first in (100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    possible = set(range(100, 100 + 4 * BATCH)) | set(range(200, 200 + 4 * BATCH))
    outcome = in_child(lambda _: look(make(folder), acknowledged, possible))
    return outcome if outcome != "right" else next((failure for failure in outcomes if failure != "right"), "right")


def deleted(make: Callable[[Path], Store], folder: Path, draw: random.Random) -> str:
    """Delete passages, then add others in their place, in one process and after opening the store anew."""
    removed = set(draw.sample(range(START), 8))

    def work(_: Any) -> None:
        store = make(folder)
        store.add(list(range(START)))
        store.delete(sorted(removed))
        look(store, set(range(START)) - removed)
        store.add(list(range(START, START + 8)))
        look(store, set(range(START + 8)) - removed)

    outcome = in_child(work)
    return outcome if outcome != "right" else in_child(lambda _: look(make(folder), set(range(START + 8)) - removed))


def not_a_number(make: Callable[[Path], Store], folder: Path, draw: random.Random) -> str:
    """Add a vector with NaN among others: it is refused by name, or else harmless to all others."""
    _fill(make, folder)
    invalid = vector(999)
    invalid[draw.randrange(DIM)] = float("nan")

    def work(tell: Callable[[Any], None]) -> None:
        store = make(folder)
        try:
            store.add([998, 999], [vector(998), invalid])
        except Exception:
            tell("refused")
        look(store, set(range(START)), {998, 999})

    messages: list[Any] = []
    outcome = in_child(work, lambda _, value: messages.append(value))
    reopened = in_child(lambda _: look(make(folder), set(range(START)), {998, 999}))
    if "right" in (outcome, reopened) and outcome == reopened:
        return "refuses, the others are right" if messages else "takes it, the others are right"
    return outcome if outcome != "right" else reopened


def readers(make: Callable[[Path], Store], folder: Path, _draw: random.Random) -> str:
    """Four threads search while a fifth adds and deletes."""
    _fill(make, folder)

    def work(_: Any) -> None:
        store = make(folder)
        errors: list[BaseException] = []
        stop = threading.Event()

        def read(seed: int) -> None:
            draw = random.Random(seed)
            try:
                while not stop.is_set():
                    look(store, {draw.randrange(START)}, set(range(1000)))
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        try:
            for start in range(100, 100 + 12 * BATCH, BATCH):
                store.add(list(range(start, start + BATCH)))
                store.delete([start])
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        for error in errors:
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
    """Run all trials on one stack; returns the outcomes and one message of each."""
    make: Any = STACKS[stack]
    results: dict[str, Any] = {"stack": stack, "version": version(make.package)}
    for module in make.modules:  # once, before processes are forked
        import_module(module)
    for name, trial in TRIALS.items():
        outcomes: Counter[str] = Counter()
        examples: dict[str, str] = {}
        for number in range(rounds):
            folder = Path(tempfile.mkdtemp(prefix="trials-"))
            try:
                outcome = trial(make, folder / "store", random.Random(f"{name} {seed + number}"))
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            outcomes[outcome.partition(":")[0]] += 1
            examples.setdefault(outcome.partition(":")[0], outcome)
        results[name] = {"outcomes": dict(outcomes), "said": examples}
        print(f"{stack}, {name}: {dict(outcomes)}", file=sys.stderr, flush=True)
    return results


def table(results: list[dict[str, Any]]) -> str:
    """Format a Markdown table of trials by stacks."""
    lines = ["| | " + " | ".join(f"{result['stack']} {result['version']}" for result in results) + " |"]
    lines.append("|---" * (len(results) + 1) + "|")
    for name in TRIALS:
        cells = (
            ", ".join(f"{kind} {count}" for kind, count in sorted(run[name]["outcomes"].items(), key=lambda kv: -kv[1]))
            for run in results
        )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print one stack as a JSON line, or the table of all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rivals", help="python of the others' environment; default: none of them")
    parser.add_argument("--rounds", type=int, default=20, help="of each trial")
    parser.add_argument("--seed", type=int, default=0, help="of the first round")
    parser.add_argument("--stacks", help=f"of {', '.join(STACKS)}; all")
    parser.add_argument("--json", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.json:
        with suppress(PackageNotFoundError):
            print(json.dumps(run(args.json, args.rounds, args.seed)))
        return
    results = []
    for stack in args.stacks.split(",") if args.stacks else STACKS:
        python = sys.executable if stack == "dpr-rag" else args.rivals
        if python:
            command = [python, __file__, "--json", stack, "--rounds", str(args.rounds), "--seed", str(args.seed)]
            process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            results += [json.loads(line) for line in process.stdout.splitlines() if line.startswith("{")]
    for result in results:
        for name in TRIALS:
            for example in result[name]["said"].values():
                print(f"{result['stack']}, {name}: {example}", file=sys.stderr)
    print(table(results))


if __name__ == "__main__":
    main()
