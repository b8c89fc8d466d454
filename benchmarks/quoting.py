"""Measure how often the first sentence that the chatbot quotes without a language model holds an answer.

    python benchmarks/quoting.py STORE QUESTIONS [--count 350] [--skip 0] [--reader default] [--weights 0,0.5,1,2]

QUESTIONS have ``answers``; STORE holds the passages that answer them. Each question is the first of a conversation. With
``--reader`` it is answered once for every weight of the reader's answers in the score of a sentence.
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
    """The reply up to its first citation."""
    *_, turn = answerer.reply(question.question, [], Settings())
    return re.split(r" \[\d+\]", turn.reply, maxsplit=1)[0]


def main() -> None:
    """Ask the questions and print the share of right sentences for each weight."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("questions")
    parser.add_argument("--count", type=int, default=350, help="questions, drawn at random")
    parser.add_argument("--skip", type=int, default=0, help="of those drawn, to ask others than a weight was chosen by")
    parser.add_argument("--reader", help="folder of a reader, or default for the built-in one")
    parser.add_argument("--weights", default="0,0.25,0.5,1,2,4")
    args = parser.parse_args()
    questions = list(read_questions(args.questions))
    order = np.random.default_rng(0).permutation(len(questions))[args.skip : args.skip + args.count]
    reader = load_reader(args.reader) if args.reader else None
    with PassageStore.open(args.store, encoder=DualEncoder.default(), create=False, read_only=True) as store:
        answerer = Answerer(store, None, reader)
        for weight in map(float, args.weights.split(",")) if reader else (0.0,):
            with patch.object(extracting, "_BY_READER", weight):
                correct = [has_answer(questions[at].answers, first_sentence(answerer, questions[at])) for at in order]
            sys.stdout.write(f"weight {weight:g}: {100 * float(np.mean(correct)):.1f} % of {len(correct)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
