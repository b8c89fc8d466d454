"""Measure what the chatbot quotes without a language model: does its first sentence hold an answer?

    python benchmarks/quoting.py STORE QUESTIONS [--count 350] [--skip 0] [--reader default] [--weights 0,0.5,1,2]

QUESTIONS have ``answers``; STORE holds the passages that answer them. Each question is asked as the first one of a talk. With
``--reader`` it is answered once for every weight that a reader's answers may have among what speaks for a sentence.
"""

from __future__ import annotations

import argparse
import re
import sys
from unittest.mock import patch

import numpy as np

from dpr_rag import DualEncoder, PassageStore
from dpr_rag.cli.reranking import load_reader
from dpr_rag.corpora import Question, read_questions
from dpr_rag.evaluation import has_answer
from dpr_rag.pages import extracting
from dpr_rag.pages.answering import Answerer, Settings


def first_sentence(answerer: Answerer, question: Question) -> str:
    """What is quoted first, with what it leans on."""
    *_, turn = answerer.reply(question.question, [], Settings())
    return re.split(r" \[\d+\]", turn.reply, maxsplit=1)[0]


def main() -> None:
    """Ask."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("questions")
    parser.add_argument("--count", type=int, default=350, help="questions, drawn at random")
    parser.add_argument("--skip", type=int, default=0, help="of those drawn, to ask others than a weight was chosen by")
    parser.add_argument("--reader", help="folder of a reader, or default for the built-in one")
    parser.add_argument("--weights", default="0,0.25,0.5,1,2,4")
    args = parser.parse_args()
    asked = list(read_questions(args.questions))
    order = np.random.default_rng(0).permutation(len(asked))[args.skip : args.skip + args.count]
    reader = load_reader(args.reader) if args.reader else None
    with PassageStore.open(args.store, encoder=DualEncoder.default(), create=False, read_only=True) as store:
        answerer = Answerer(store, None, reader)
        for weight in map(float, args.weights.split(",")) if reader else (0.0,):
            with patch.object(extracting, "_BY_READER", weight):
                right = [has_answer(asked[at].answers, first_sentence(answerer, asked[at])) for at in order]
            sys.stdout.write(f"weight {weight:g}: {100 * float(np.mean(right)):.1f} % of {len(right)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
