"""Convert MedQuAD's files to the folder ``medquad/`` that ``shifts.py`` and ``fusion.py`` read.

    python benchmarks/medquad.py CHECKOUT FOLDER [--passages 4000]

CHECKOUT is a clone of abachaa/MedQuAD (Ben Abacha and Demner-Fushman 2019, CC BY 4.0): questions of patients about illnesses and
medicines, such as "What are the symptoms of …", each with the answer of a health agency. A passage is an answer of at least a
dozen words, cut to 200, with its subject as the title; collections without answers are left out. A sample is drawn by hashed ids.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from shifts import share_of

from dpr_rag import Passage
from dpr_rag.corpora import Question, write_jsonl, write_questions

_MIN_WORDS, _MAX_WORDS = 12, 200


def pairs(checkout: Path) -> Iterator[tuple[str, str, str, str]]:
    """Yield id, subject, question and answer of every answered question."""
    for path in sorted(checkout.glob("*/*.xml")):
        document = ElementTree.parse(path).getroot()  # noqa: S314  # a file that the user fetched, in a benchmark
        subject = " ".join((document.findtext("Focus") or "").split())
        for pair in document.iter("QAPair"):
            question, answer = ((pair.findtext(name) or "").split() for name in ("Question", "Answer"))
            if question and len(answer) >= _MIN_WORDS:
                name = f"{path.stem}-{pair.get('pid', '')}"
                yield name, subject, " ".join(question), " ".join(answer[:_MAX_WORDS])


def as_typed(question: str) -> str:
    """A question in lower case, without question mark and alternatives in brackets."""
    return re.sub(r"\s+", " ", re.sub(r"\(.*?\)|\?", "", question.lower())).strip()


def main() -> None:
    """Convert and write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--passages", type=int, default=4000, help="at most")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    by_answer = {answer: (name, subject, question) for name, subject, question, answer in pairs(args.checkout)}
    sample = sorted(by_answer.items(), key=lambda item: share_of(item[1][0]))[: args.passages]
    write_jsonl(args.folder / "passages.jsonl.gz", (Passage(name, text, title) for text, (name, title, _) in sample))
    questions = [Question(name, as_typed(question), positive_ids=(name,)) for _, (name, _, question) in sample]
    write_questions(args.folder / "questions.test.jsonl.gz", questions)
    sys.stdout.write(f"{len(sample):,} passages and questions\n")


if __name__ == "__main__":
    main()
