"""Compare encoders on questions like those of training and on shifted ones: what training gained, and what it lost.

    python benchmarks/shifts.py DATA CACHE NAME=MODEL … [--questions N] [--passages N] [--part kept|taught|all] [--sets …]

DATA holds ``squad/``, ``fairytaleqa/``, ``real-questions/`` and ``wiki-background/`` as JSONL, and ``pubmedqa/`` or ``medquad/``
(``medquad.py``) where their figures are wanted; CACHE keeps the vectors. MODEL is a folder, or ``default``. The first encoder
named is the baseline. Prints one line per set and encoder: top-1, 5 and 20 in percent, and the difference of top-5 to the
baseline with the 95 % interval of the paired bootstrap.

For real questions passages with an answer are relevant, for all others the labelled passage. Of the real questions a tenth, by
the hash of their ids, is kept apart from training (``--part kept``). The invented shifts ask in ways that SQuAD does not:
keywords without a question mark, descriptions that leave the name out, templates about illnesses, and passages without titles.
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
_STOP_WORDS = frozenset(
    "a an the of in on at to for from by with and or as that this it its is was were be been who which what".split()
)
BLOCK = 1024
Matrix = NDArray[np.float32]


def share_of(name: str) -> float:
    """A number in [0, 1) that is fixed by the hash of a name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big") / 2**48


def kept_apart(question: Question) -> bool:
    """Whether a real question is held out of training: one in ten."""
    return share_of(question.id) < 0.1


def drawn(questions: Sequence[Question], limit: int) -> list[Question]:
    """A sample of the questions, the same in every run."""
    return sorted(questions, key=lambda question: share_of(f"drawn {question.id}"))[:limit]


@dataclass(frozen=True, slots=True)
class Task:
    """Questions, and the names of the pools of passages that they are asked of."""

    name: str
    questions: list[Question]
    pools: tuple[str, ...]
    by_answer: bool = False


class Data:
    """Pools of passages and questions, read on demand.

    Args:
        folder: Where the sets are.
        limit: Maximum number of passages of a large pool; SQuAD's dev paragraphs come first, the others by the hash of their ids.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._pools: dict[str, list[Passage]] = {}

    def pool(self, name: str) -> list[Passage]:
        """The passages of a pool."""
        if name not in self._pools:
            self._pools[name] = self._load(name)
        return self._pools[name]

    def _load(self, name: str) -> list[Passage]:
        if name == "bare":
            return [replace(passage, title="") for passage in self.pool("squad") if passage.id.startswith("sd")]
        if name == "bare introductions":
            return [replace(passage, title="") for passage in self.pool("wiki-background")[:2000]]
        if name == "bare medquad":
            return [replace(passage, title="") for passage in self.pool("medquad")]
        by_text = {
            passage.text: passage for passage in open_corpus(str(self._folder / name / "passages.jsonl.gz"))
        }  # some texts come twice
        if name in ("squad", "wiki-background"):
            ordered = sorted(by_text.values(), key=lambda row: (not row.id.startswith("sd"), share_of(row.id)))
            return ordered[: self._limit]
        return list(by_text.values())

    def asked(self, folder: str, name: str) -> list[Question]:
        """The questions of a file."""
        return list(read_questions(self._folder / folder / f"questions.{name}.jsonl.gz"))


def keywords(text: str, limit: int) -> str:
    """The first words of a text that are no stop words, as typed into a search box."""
    words = re.findall(r"[\w'-]+", text.lower())
    return " ".join([word for word in words if word not in _STOP_WORDS][:limit])


def descriptions(passages: Sequence[Passage], make: Callable[[Passage], str]) -> list[Question]:
    """Questions that ``make`` derives from passages, each labelled with its passage; single words are left out."""
    pairs = ((passage, make(passage)) for passage in passages)
    return [Question(passage.id, text, positive_ids=(passage.id,)) for passage, text in pairs if len(text.split()) > 1]


def nameless(passage: Passage) -> str:
    """The first sentence about a subject, without the words of the title."""
    sentence = re.split(r"(?<=\w\w)\. ", passage.text, maxsplit=1)[0]
    name = set(re.findall(r"\w+", passage.title.lower()))
    return " ".join(word for word in re.findall(r"[\w'-]+", sentence.lower()) if word not in name)


def plain_title(passage: Passage) -> str:
    """A title as it is typed: in lower case, without what follows in brackets."""
    return re.sub(r" \(.*", "", passage.title).lower()


def template(passage: Passage) -> str:
    """A question about a title by a template that fits it or not, as people type them."""
    pattern = TEMPLATES[int(share_of(f"template {passage.id}") * len(TEMPLATES))]
    return pattern.format(plain_title(passage))


def tasks(data: Data, folder: Path, limit: int, part: str) -> Iterator[tuple[str, Callable[[], Task]]]:
    """Yield the name of each set, and a function that makes it."""
    wiki = ("squad", "wiki-background")
    dev = drawn(data.asked("squad", "dev"), limit)
    introductions = data.pool("wiki-background")
    yield "squad", lambda: Task("squad", dev, ("squad",))
    yield "fairytaleqa", lambda: Task("fairytaleqa", drawn(data.asked("fairytaleqa", "test"), limit), ("fairytaleqa",))
    for name in ("natural-questions", "triviaqa"):

        def real_questions(name: str = name) -> Task:
            questions = data.asked("real-questions", f"{name}.dev")
            selected = [question for question in questions if part == "all" or kept_apart(question) == (part == "kept")]
            return Task(name, drawn(selected, limit), wiki, by_answer=True)

        yield name, real_questions
    if (folder / "pubmedqa").is_dir():
        yield "pubmedqa", lambda: Task("pubmedqa", data.asked("pubmedqa", "test"), ("pubmedqa",))
    if (folder / "medquad").is_dir():
        patients = drawn(data.asked("medquad", "test"), limit)
        yield "medquad", lambda: Task("medquad", patients, ("medquad",))
        yield "medquad without titles", lambda: Task("medquad without titles", patients, ("bare medquad",))
    keyword_questions = [replace(question, question=keywords(question.question, 6)) for question in dev]
    yield "squad as keywords", lambda: Task("squad as keywords", keyword_questions, ("squad",))
    yield "squad without titles", lambda: Task("squad without titles", dev, ("bare",))
    sample = sorted(introductions, key=lambda passage: share_of(f"some {passage.id}"))[:limit]
    yield "nameless", lambda: Task("nameless", descriptions(sample, nameless), wiki)
    middle_words = descriptions(sample, lambda passage: keywords(passage.text[len(passage.text) // 2 :], 5))
    yield "keywords", lambda: Task("keywords", middle_words, wiki)
    articles = introductions[: min(limit, 2000)]
    yield "templates", lambda: Task("templates", descriptions(articles, template), ("bare introductions",))


class Vectors:
    """The vectors of one encoder by passage, kept on disk in blocks as they are encoded."""

    def __init__(self, encoder: DualEncoder, cache: Path) -> None:
        self._encoder, self._folder = encoder, cache / encoder.fingerprint[:12]
        self._folder.mkdir(parents=True, exist_ok=True)
        self._rows: dict[str, Matrix] = {}
        for path in sorted(self._folder.glob("*.npz")):
            with np.load(path) as block:
                self._rows.update(zip(block["keys"].tolist(), block["vectors"], strict=True))

    def of(self, passages: Sequence[Passage]) -> Matrix:
        """Vectors of passages, float32 [n, dim]; encodes those that are not on disk."""
        keys = [hashlib.sha256(f"{passage.title}\0{passage.text}".encode()).hexdigest()[:16] for passage in passages]
        missing = list(
            {key: passage for key, passage in zip(keys, passages, strict=True) if key not in self._rows}.items()
        )
        for start in range(0, len(missing), BLOCK):
            block, since = missing[start : start + BLOCK], time.monotonic()
            vectors = self._encoder.encode_passages([passage for _, passage in block]).astype(np.float16)
            partial = self._folder / "half"
            with partial.open("wb") as file:
                np.savez(file, keys=np.array([key for key, _ in block]), vectors=vectors)
            partial.replace(self._folder / f"{block[0][0]}.npz")
            self._rows.update(zip((key for key, _ in block), vectors, strict=True))
            sys.stderr.write(f"{self._encoder.source}: {len(block) / (time.monotonic() - since):.0f} passages/s\n")
        return np.stack([self._rows[key] for key in keys]).astype(np.float32)


def first_right(task: Task, passages: Sequence[Passage], vectors: Matrix, questions: Matrix) -> NDArray[np.float64]:
    """The rank of each question's first relevant passage among the top 20, infinite where there is none."""
    ranks = np.full(len(questions), np.inf)
    for start in range(0, len(questions), 512):
        scores = questions[start : start + 512] @ vectors.T
        candidates = np.argpartition(-scores, max(KS), axis=1)[:, : max(KS)]
        for row, (columns, row_scores) in enumerate(zip(candidates, scores, strict=True)):
            question = task.questions[start + row]
            ordered = columns[np.argsort(-row_scores[columns], kind="stable")]
            ids = set(question.positive_ids)
            for rank, column in enumerate(ordered, 1):
                passage = passages[column]
                if has_answer(question.answers, passage.text) if task.by_answer else passage.id in ids:
                    ranks[start + row] = rank
                    break
    return ranks


def tell(task: Task, ranks: dict[str, NDArray[np.float64]], passages: int) -> None:
    """Print one line per encoder."""
    print(f"\n{task.name}: {len(task.questions)} questions, {passages} passages")
    columns = {(name, k): (values <= k).astype(np.float64) for name, values in ranks.items() for k in KS}
    bootstrap = Bootstrap(columns)
    first = next(iter(ranks))
    for name in ranks:
        tops = [bootstrap.estimate((name, k)) for k in KS]
        figures = "  ".join(f"{100 * top.value:5.1f} [{100 * top.low:.1f}, {100 * top.high:.1f}]" for top in tops)
        gain = bootstrap.difference((name, 5), (first, 5))
        comparison = (
            "" if name == first else f"  top-5 {100 * gain.value:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
        )
        print(f"  {name:24} {figures}{comparison}", flush=True)


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
    for name, _, model in (argument.partition("=") for argument in args.models):
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
        passages = [passage for pool in task.pools for passage in data.pool(pool)]
        questions = [question.question for question in task.questions]
        ranks = {
            label: first_right(task, passages, cache.of(passages), encoders[label].encode_questions(questions))
            for label, cache in vectors.items()
        }
        tell(task, ranks, len(passages))


if __name__ == "__main__":
    main()
