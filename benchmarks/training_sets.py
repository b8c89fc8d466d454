"""Make the training sets that the shipped encoder and reader learn from, with the package's own mining.

    python benchmarks/training_sets.py DATA OUTPUT [squad] [real] [taught] [health] [--limit N]

DATA holds ``squad/``, ``real-questions/`` and ``wiki-background/`` as JSONL (see ``shifts.py``); OUTPUT gets one training JSON
for each set that is named:

``squad``: SQuAD's training questions with their paragraphs, and hard negatives of BM25 among the training paragraphs alone
(those of the dev set would occur as negatives only, and be learnt as such).

``real``: Real questions, which have answers and no passages, by distant supervision as in section 4.1 of the paper: the first
of BM25's three best passages that holds an answer, and hard negatives that hold none. Left out are questions whose answers are
all numbers or part of the question, for those are found everywhere, and the tenth that ``shifts.py`` measures with.

``taught``: All real questions, with a positive or not, and a third as many made of titles of articles by templates, each with the
eight best passages of BM25, a third of them without titles: to be scored by a teacher, against forgetting
(``default_encoder.py --taught``).

``health``: The same from titles of passages about illnesses, by templates in the words of patients.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
from shifts import TEMPLATES, kept_apart, plain_title, share_of

from dpr_rag import Passage, PassageStore, Retriever
from dpr_rag.corpora import Question, TrainingPassage, TrainingSample, open_corpus, read_questions, write_training
from dpr_rag.training import Mining, mine

_BLOCK, _MIN_WORDS, _TOP = 50_000, 12, 8
_ILLNESS = re.compile(
    r"\b(disease|syndrome|disorder|symptoms?|cancers?|infections?|tumou?rs?|illness|inflammation|medication|antibiotics?|therapy"
    r"|diagnos\w+|patients|vaccines?|surgical|anemia|hereditary)\b"
)
_PATIENTS = (
    "what is {}",
    "what are the symptoms of {}",
    "what causes {}",
    "what are the treatments for {}",
    "how to diagnose {}",
    "who is at risk for {}",
    "is {} inherited",
    "how many people are affected by {}",
    "how to prevent {}",
    "what is the outlook for {}",
)


@contextmanager
def keeping_card(folder: Path) -> Iterator[None]:
    """Write a shipped model inside the block; keeps the folder's model card, and makes its weights readable to all."""
    card = folder / "MODEL_CARD.md"
    text = card.read_bytes() if card.is_file() else b""
    yield
    card.write_bytes(text)
    for path in folder.rglob("*.safetensors"):
        path.chmod(0o644)


def words_of(passages: Sequence[Passage]) -> PassageStore:
    """A temporary store for BM25 alone; its vectors are placeholders."""
    store = PassageStore.temporary()
    for start in range(0, len(passages), _BLOCK):
        block = passages[start : start + _BLOCK]
        store.add(block, vectors=np.ones((len(block), 2), np.float32))
    return store


def training_paragraphs(data: Path) -> list[Passage]:
    """SQuAD's training paragraphs."""
    return [passage for passage in open_corpus(data / "squad" / "passages.jsonl.gz") if passage.id.startswith("st")]


def introductions(data: Path) -> list[Passage]:
    """Beginnings of articles of at least a dozen words."""
    passages = open_corpus(data / "wiki-background" / "passages.jsonl.gz")
    return [passage for passage in passages if len(passage.text.split()) >= _MIN_WORDS]


@cache
def wikipedia(data: Path) -> tuple[Passage, ...]:
    """Introductions and training paragraphs, each text once."""
    return tuple({passage.text: passage for passage in (*introductions(data), *training_paragraphs(data))}.values())


@cache
def words_of_wikipedia(data: Path) -> PassageStore:
    """The BM25 store of introductions and training paragraphs, which three of the sets share."""
    return words_of(wikipedia(data))


def real_questions(data: Path) -> list[Question]:
    """Real questions except those that ``shifts.py`` measures with."""
    paths = (data / "real-questions" / f"questions.{name}.dev.jsonl.gz" for name in ("natural-questions", "triviaqa"))
    return [question for path in paths for question in read_questions(path) if not kept_apart(question)]


def squad(data: Path, limit: int | None) -> list[TrainingSample]:
    """The set ``squad`` of this file's docstring."""
    questions = list(read_questions(data / "squad" / "questions.train.jsonl.gz"))[:limit]
    with words_of(training_paragraphs(data)) as store:
        return mine(questions, store, mining=Mining("bm25", negatives=8, last=30))[0]


def real(data: Path, limit: int | None) -> list[TrainingSample]:
    """The set ``real`` of this file's docstring."""
    mining = Mining("bm25", negatives=12, last=50, positive_last=3)
    samples = mine(real_questions(data)[:limit], words_of_wikipedia(data), mining=mining)[0]
    return [sample for sample in samples if _is_informative(sample)]


def _is_informative(sample: TrainingSample) -> bool:
    """Whether the positive holds an answer that is neither a number nor a part of the question."""
    question = _plain(sample.question)
    answers = [answer for answer in sample.answers if not answer.strip().isdigit() and _plain(answer) not in question]
    return any(_plain(answer) in _plain(sample.positives[0].text) for answer in answers)


def _plain(text: str) -> str:
    return " " + " ".join(re.findall(r"\w+", text.lower())) + " "


def taught(data: Path, limit: int | None) -> list[TrainingSample]:
    """The set ``taught`` of this file's docstring."""
    questions = [question.question for question in real_questions(data)][:limit]
    articles = [passage for passage in wikipedia(data) if not passage.id.startswith("st")]
    return _ranked([*questions, *_from_titles(articles, len(questions) // 3)], words_of_wikipedia(data))


def health(data: Path, limit: int | None) -> list[TrainingSample]:
    """The set ``health`` of this file's docstring."""
    titles = {
        plain_title(passage) for passage in wikipedia(data) if len(set(_ILLNESS.findall(passage.text.lower()))) > 1
    }
    return _ranked(
        [pattern.format(title) for title in sorted(titles)[:limit] for pattern in _PATIENTS], words_of_wikipedia(data)
    )


def _ranked(questions: Sequence[str], store: PassageStore) -> list[TrainingSample]:
    """Questions with the best passages of BM25, a third of them without titles."""
    retriever = Retriever(store, mode="bm25", k=_TOP)
    samples = []
    for start in range(0, len(questions), 256):
        block = questions[start : start + 256]
        for question, hits in zip(block, retriever.retrieve_batch(block), strict=True):
            untitled = share_of(f"bare {question}") < 1 / 3
            passages = [hit.passage for hit in hits]
            candidates = [
                TrainingPassage(passage.text, "" if untitled else passage.title, passage.id) for passage in passages
            ]
            if len(candidates) == _TOP:
                samples.append(TrainingSample(question, (), tuple(candidates[:1]), (), tuple(candidates[1:])))
    return samples


def _from_titles(passages: Sequence[Passage], count: int) -> Iterator[str]:
    """Questions made of titles by templates, a form that the shipped encoder's initial model knows well."""
    sample = sorted(passages, key=lambda passage: share_of(f"taught {passage.id}"))[:count]
    for number, passage in enumerate(sample):
        yield TEMPLATES[number % len(TEMPLATES)].format(plain_title(passage))


SETS: dict[str, Callable[[Path, int | None], list[TrainingSample]]] = {
    "squad": squad,
    "real": real,
    "taught": taught,
    "health": health,
}


def main() -> None:
    """Make the sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"of {', '.join(SETS)}; all")
    parser.add_argument("--limit", type=int, help="questions of a set that are tried, at most")
    args = parser.parse_args()
    if unknown := sorted(set(args.sets) - set(SETS)):
        parser.error(f"there is no set {unknown[0]!r}, only {', '.join(SETS)}")
    args.output.mkdir(parents=True, exist_ok=True)
    for name in args.sets or SETS:
        start = time.monotonic()
        samples = SETS[name](args.data, args.limit)
        write_training(args.output / f"{name}.json", samples)
        sys.stdout.write(f"{name}: {len(samples):,} questions, {time.monotonic() - start:.0f} s\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
