"""Make the training sets that the shipped encoder and reader learn from, with the package's own mining.

    python benchmarks/training_sets.py DATA OUTPUT [squad] [real] [taught] [health] [--limit N]

DATA holds ``squad/``, ``real-questions/`` and ``wiki-background/`` as JSONL (see ``shifts.py``); OUTPUT gets one training JSON
for each set that is named:

``squad``: SQuAD's training questions with their paragraphs, and hard negatives of BM25 among the training paragraphs alone
(those of the dev set would be seen as negatives only, and be known as such).

``real``: Real questions, which have answers and no passages, by distant supervision as in section 4.1 of the paper: the first
of BM25's three best passages that holds an answer, and hard negatives that hold none. Questions are left out whose answers are
all numbers or stand in the question, for those are found everywhere, and the tenth that ``shifts.py`` measures with.

``taught``: The same real questions, found or not, and a third as many made of titles of articles by templates, each with the
eight best passages of BM25, a third of them without titles: what a teacher is asked about, against forgetting
(``default_encoder.py --taught``).

``health``: The same of the titles of passages that speak of illnesses, in the words of patients.
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
from dpr_rag.corpora import (
    Question,
    TrainingPassage,
    TrainingSample,
    open_corpus,
    read_questions,
    write_training,
)
from dpr_rag.training import Mining, mine

_BLOCK, _SHORTEST, _BEST = 50_000, 12, 8
_ILL = re.compile(
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
    """Write a model that the package ships into a folder whose model card stays."""
    card = folder / "MODEL_CARD.md"
    text = card.read_bytes() if card.is_file() else b""
    yield
    card.write_bytes(text)
    for path in folder.rglob("*.safetensors"):
        path.chmod(0o644)


def words_of(passages: Sequence[Passage]) -> PassageStore:
    """A store that is asked by words alone: its vectors are never used."""
    store = PassageStore.temporary()
    for start in range(0, len(passages), _BLOCK):
        block = passages[start : start + _BLOCK]
        store.add(block, vectors=np.ones((len(block), 2), np.float32))
    return store


def training_paragraphs(data: Path) -> list[Passage]:
    """SQuAD's training paragraphs."""
    return [one for one in open_corpus(data / "squad" / "passages.jsonl.gz") if one.id.startswith("st")]


def introductions(data: Path) -> list[Passage]:
    """Beginnings of articles of at least a dozen words."""
    found = open_corpus(data / "wiki-background" / "passages.jsonl.gz")
    return [one for one in found if len(one.text.split()) >= _SHORTEST]


@cache
def wikipedia(data: Path) -> tuple[Passage, ...]:
    """Both, each text once."""
    return tuple({one.text: one for one in (*introductions(data), *training_paragraphs(data))}.values())


@cache
def words_of_wikipedia(data: Path) -> PassageStore:
    """The store of both, which three of the sets ask."""
    return words_of(wikipedia(data))


def real_questions(data: Path) -> list[Question]:
    """Those that nothing is measured with."""
    places = (data / "real-questions" / f"questions.{name}.dev.jsonl.gz" for name in ("natural-questions", "triviaqa"))
    return [one for place in places for one in read_questions(place) if not kept_apart(one)]


def squad(data: Path, limit: int | None) -> list[TrainingSample]:
    """See above."""
    asked = list(read_questions(data / "squad" / "questions.train.jsonl.gz"))[:limit]
    with words_of(training_paragraphs(data)) as store:
        return mine(asked, store, mining=Mining("bm25", negatives=8, last=30))[0]


def real(data: Path, limit: int | None) -> list[TrainingSample]:
    """See above."""
    mining = Mining("bm25", negatives=12, last=50, positive_last=3)
    found = mine(real_questions(data)[:limit], words_of_wikipedia(data), mining=mining)[0]
    return [one for one in found if _tells(one)]


def _tells(sample: TrainingSample) -> bool:
    """Whether the positive holds an answer that is neither a number nor a part of the question."""
    question = _plain(sample.question)
    answers = [one for one in sample.answers if not one.strip().isdigit() and _plain(one) not in question]
    return any(_plain(one) in _plain(sample.positives[0].text) for one in answers)


def _plain(text: str) -> str:
    return " " + " ".join(re.findall(r"\w+", text.lower())) + " "


def taught(data: Path, limit: int | None) -> list[TrainingSample]:
    """See above."""
    real = [one.question for one in real_questions(data)][:limit]
    articles = [one for one in wikipedia(data) if not one.id.startswith("st")]
    return _ranked([*real, *_made(articles, len(real) // 3)], words_of_wikipedia(data))


def health(data: Path, limit: int | None) -> list[TrainingSample]:
    """See above."""
    titles = {plain_title(one) for one in wikipedia(data) if len(set(_ILL.findall(one.text.lower()))) > 1}
    return _ranked(
        [one.format(title) for title in sorted(titles)[:limit] for one in _PATIENTS], words_of_wikipedia(data)
    )


def _ranked(questions: Sequence[str], store: PassageStore) -> list[TrainingSample]:
    """Questions with the best passages of BM25, a third of them without titles."""
    retriever = Retriever(store, mode="bm25", k=_BEST)
    found = []
    for start in range(0, len(questions), 256):
        block = questions[start : start + 256]
        for question, hits in zip(block, retriever.retrieve_batch(block), strict=True):
            bare = share_of(f"bare {question}") < 1 / 3
            passages = [hit.passage for hit in hits]
            best = [TrainingPassage(one.text, "" if bare else one.title, one.id) for one in passages]
            if len(best) == _BEST:
                found.append(TrainingSample(question, (), tuple(best[:1]), (), tuple(best[1:])))
    return found


def _made(passages: Sequence[Passage], count: int) -> Iterator[str]:
    """Questions made of titles, as the shipped encoder's start knows them well; keywords it does not."""
    chosen = sorted(passages, key=lambda one: share_of(f"taught {one.id}"))[:count]
    for at, passage in enumerate(chosen):
        yield TEMPLATES[at % len(TEMPLATES)].format(plain_title(passage))


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
    parser.add_argument("sets", nargs="*", choices=SETS, default=list(SETS))
    parser.add_argument("--limit", type=int, help="questions of a set that are tried, at most")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    for name in args.sets:
        start = time.monotonic()
        found = SETS[name](args.data, args.limit)
        write_training(args.output / f"{name}.json", found)
        sys.stdout.write(f"{name}: {len(found):,} questions, {time.monotonic() - start:.0f} s\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
