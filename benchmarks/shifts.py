"""Measure encoders side by side where they were trained and far from it: what did training gain, and what did it forget?

    python benchmarks/shifts.py DATA CACHE NAME=MODEL … [--questions N] [--passages N] [--part kept|taught|all] [--sets …]

DATA holds ``squad/``, ``fairytaleqa/``, ``real-questions/`` and ``wiki-background/`` as JSONL, and ``pubmedqa/`` or ``medquad/``
(``medquad.py``) where their figures are wanted; CACHE keeps the vectors. MODEL is a folder, or ``default``. The first encoder
named is the one that the others are compared with. One line per set and encoder: top-1, 5 and 20 in percent, and the difference
of top-5 to the first encoder with the 95 % interval of the paired bootstrap.

Real questions are right by answers, all others by their passage. Of the real questions a tenth, by the hash of their ids,
is kept apart from training (``--part kept``). The invented shifts ask in ways that SQuAD does not: keywords without a question
mark, descriptions that leave the name out, templates about illnesses, and passages without titles.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dpr_rag import DualEncoder, Passage
from dpr_rag.corpora import Question, open_corpus, read_questions
from dpr_rag.evaluation import has_answer
from dpr_rag.evaluation.statistics import Bootstrap

KS = (1, 5, 20)
TEMPLATES = ("what is {}", "what are the symptoms of {}", "who was {}", "{} meaning", "how does {} work", "when was {}")
_SMALL = frozenset(
    "a an the of in on at to for from by with and or as that this it its is was were be been who which what".split()
)
BLOCK = 1024
Matrix = NDArray[np.float32]


def share_of(name: str) -> float:
    """A number from 0 to 1 that a name always has."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big") / 2**48


def kept_apart(question: Question) -> bool:
    """Whether a real question is never trained on: one in ten."""
    return share_of(question.id) < 0.1


def drawn(things: Sequence[Question], most: int) -> list[Question]:
    """Some of the questions, the same ones in every run."""
    return sorted(things, key=lambda one: share_of(f"drawn {one.id}"))[:most]


@dataclass(frozen=True, slots=True)
class Task:
    """Questions, and the names of the pools of passages that they are asked of."""

    name: str
    questions: list[Question]
    pools: tuple[str, ...]
    by_answer: bool = False


class Data:
    """Pools of passages and questions, read where they are wanted.

    Args:
        folder: Where the sets are.
        most: Passages of a pool, about; those that questions ask for come first, the others by the hash of their ids.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self._folder, self._most = folder, most
        self._pools: dict[str, list[Passage]] = {}

    def pool(self, name: str) -> list[Passage]:
        """The passages of a pool."""
        if name not in self._pools:
            self._pools[name] = self._made(name)
        return self._pools[name]

    def _made(self, name: str) -> list[Passage]:
        if name == "bare":
            return [replace(one, title="") for one in self.pool("squad") if one.id.startswith("sd")]
        if name == "bare introductions":
            return [replace(one, title="") for one in self.pool("wiki-background")[:2000]]
        if name == "bare medquad":
            return [replace(one, title="") for one in self.pool("medquad")]
        found = {
            one.text: one for one in open_corpus(str(self._folder / name / "passages.jsonl.gz"))
        }  # some come twice
        if name in ("squad", "wiki-background"):
            ordered = sorted(found.values(), key=lambda one: (not one.id.startswith("sd"), share_of(one.id)))
            return ordered[: self._most]
        return list(found.values())

    def asked(self, folder: str, name: str) -> list[Question]:
        """The questions of a file."""
        return list(read_questions(self._folder / folder / f"questions.{name}.jsonl.gz"))


def keywords(text: str, most: int) -> str:
    """What of a text would be typed into a search box."""
    words = re.findall(r"[\w'-]+", text.lower())
    return " ".join([one for one in words if one not in _SMALL][:most])


def descriptions(passages: Sequence[Passage], make: Callable[[Passage], str]) -> list[Question]:
    """Questions made of passages that they ask for."""
    made = ((one, make(one)) for one in passages)
    return [Question(one.id, text, positive_ids=(one.id,)) for one, text in made if len(text.split()) > 1]


def nameless(passage: Passage) -> str:
    """What the first sentence says about its subject, without the words of the title."""
    sentence = re.split(r"(?<=\w\w)\. ", passage.text, maxsplit=1)[0]
    name = set(re.findall(r"\w+", passage.title.lower()))
    return " ".join(word for word in re.findall(r"[\w'-]+", sentence.lower()) if word not in name)


def plain_title(passage: Passage) -> str:
    """A title as it is typed: in lower case, without what stands in brackets behind it."""
    return re.sub(r" \(.*", "", passage.title).lower()


def template(passage: Passage) -> str:
    """A title asked for by a question that fits it or not, as people type them."""
    chosen = TEMPLATES[int(share_of(f"template {passage.id}") * len(TEMPLATES))]
    return chosen.format(plain_title(passage))


def tasks(data: Data, folder: Path, most: int, part: str) -> Iterator[tuple[str, Callable[[], Task]]]:
    """All sets by name, made where they are wanted."""
    wiki = ("squad", "wiki-background")
    dev = drawn(data.asked("squad", "dev"), most)
    introductions = data.pool("wiki-background")
    yield "squad", lambda: Task("squad", dev, ("squad",))
    yield "fairytaleqa", lambda: Task("fairytaleqa", drawn(data.asked("fairytaleqa", "test"), most), ("fairytaleqa",))
    for name in ("natural-questions", "triviaqa"):

        def real(name: str = name) -> Task:
            found = data.asked("real-questions", f"{name}.dev")
            wanted = [one for one in found if part == "all" or kept_apart(one) == (part == "kept")]
            return Task(name, drawn(wanted, most), wiki, by_answer=True)

        yield name, real
    if (folder / "pubmedqa").is_dir():
        yield "pubmedqa", lambda: Task("pubmedqa", data.asked("pubmedqa", "test"), ("pubmedqa",))
    if (folder / "medquad").is_dir():
        patients = drawn(data.asked("medquad", "test"), most)
        yield "medquad", lambda: Task("medquad", patients, ("medquad",))
        yield "medquad without titles", lambda: Task("medquad without titles", patients, ("bare medquad",))
    short = [replace(one, question=keywords(one.question, 6)) for one in dev]
    yield "squad as keywords", lambda: Task("squad as keywords", short, ("squad",))
    yield "squad without titles", lambda: Task("squad without titles", dev, ("bare",))
    some = sorted(introductions, key=lambda one: share_of(f"some {one.id}"))[:most]
    yield "nameless", lambda: Task("nameless", descriptions(some, nameless), wiki)
    middle = descriptions(some, lambda one: keywords(one.text[len(one.text) // 2 :], 5))
    yield "keywords", lambda: Task("keywords", middle, wiki)
    titled = introductions[: min(most, 2000)]
    yield "templates", lambda: Task("templates", descriptions(titled, template), ("bare introductions",))


class Vectors:
    """The vectors of one encoder by passage, kept on disk in blocks as they are made."""

    def __init__(self, encoder: DualEncoder, cache: Path) -> None:
        self._encoder, self._folder = encoder, cache / encoder.fingerprint[:12]
        self._folder.mkdir(parents=True, exist_ok=True)
        self._known: dict[str, Matrix] = {}
        for path in sorted(self._folder.glob("*.npz")):
            with np.load(path) as block:
                self._known.update(zip(block["keys"].tolist(), block["vectors"], strict=True))

    def of(self, passages: Sequence[Passage]) -> Matrix:
        """One row per passage, float32."""
        keys = [hashlib.sha256(f"{one.title}\0{one.text}".encode()).hexdigest()[:16] for one in passages]
        new = list({key: one for key, one in zip(keys, passages, strict=True) if key not in self._known}.items())
        for start in range(0, len(new), BLOCK):
            block, began = new[start : start + BLOCK], time.monotonic()
            vectors = self._encoder.encode_passages([one for _, one in block]).astype(np.float16)
            half = self._folder / "half"
            with half.open("wb") as file:
                np.savez(file, keys=np.array([key for key, _ in block]), vectors=vectors)
            half.replace(self._folder / f"{block[0][0]}.npz")
            self._known.update(zip((key for key, _ in block), vectors, strict=True))
            sys.stderr.write(f"{self._encoder.source}: {len(block) / (time.monotonic() - began):.0f} passages/s\n")
        return np.stack([self._known[key] for key in keys]).astype(np.float32)


def first_right(task: Task, passages: Sequence[Passage], vectors: Matrix, asked: Matrix) -> NDArray[np.float64]:
    """The rank of each question's first right passage among the best, infinite where there is none."""
    ranks = np.full(len(asked), np.inf)
    for start in range(0, len(asked), 512):
        scores = asked[start : start + 512] @ vectors.T
        best = np.argpartition(-scores, max(KS), axis=1)[:, : max(KS)]
        for row, (columns, own) in enumerate(zip(best, scores, strict=True)):
            question = task.questions[start + row]
            ordered = columns[np.argsort(-own[columns], kind="stable")]
            ids = set(question.positive_ids)
            for rank, at in enumerate(ordered, 1):
                one = passages[at]
                if has_answer(question.answers, one.text) if task.by_answer else one.id in ids:
                    ranks[start + row] = rank
                    break
    return ranks


def tell(task: Task, ranks: dict[str, NDArray[np.float64]], passages: int) -> None:
    """One line per encoder."""
    print(f"\n{task.name}: {len(task.questions)} questions, {passages} passages")
    columns = {(name, k): (one <= k).astype(np.float64) for name, one in ranks.items() for k in KS}
    drawn_again = Bootstrap(columns)
    first = next(iter(ranks))
    for name in ranks:
        found = [drawn_again.estimate((name, k)) for k in KS]
        figures = "  ".join(f"{100 * one.value:5.1f} [{100 * one.low:.1f}, {100 * one.high:.1f}]" for one in found)
        gain = drawn_again.difference((name, 5), (first, 5))
        told = (
            "" if name == first else f"  top-5 {100 * gain.value:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
        )
        print(f"  {name:24} {figures}{told}", flush=True)


def main() -> None:
    """Encode and measure, set by set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("models", nargs="+", metavar="NAME=MODEL")
    parser.add_argument("--questions", type=int, default=1500, help="of a set, at most")
    parser.add_argument("--passages", type=int, default=5000, help="of SQuAD, and of the introductions")
    parser.add_argument("--part", choices=("kept", "taught", "all"), default="kept", help="of the real questions")
    parser.add_argument("--sets", default="", help="names of sets with commas (default: all)")
    parser.add_argument("--dtype", help="precision (default: the runtime's own)")
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    encoders: dict[str, DualEncoder] = {}
    for name, _, model in (one.partition("=") for one in args.models):
        encoders[name] = (
            DualEncoder.default(dtype=args.dtype)
            if model == "default"
            else DualEncoder.from_pretrained(model, dtype=args.dtype)
        )
    vectors = {name: Vectors(encoder, args.cache) for name, encoder in encoders.items()}
    data = Data(args.data, args.passages)
    for name, make in tasks(data, args.data, args.questions, args.part):
        if args.sets and name not in args.sets.split(","):
            continue
        task = make()
        passages = [one for pool in task.pools for one in data.pool(pool)]
        asked = [one.question for one in task.questions]
        ranks = {
            called: first_right(task, passages, known.of(passages), encoders[called].encode_questions(asked))
            for called, known in vectors.items()
        }
        tell(task, ranks, len(passages))


if __name__ == "__main__":
    main()
