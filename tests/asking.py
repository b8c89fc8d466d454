"""Systems with known answers, for tests of the evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dpr_rag import Hit, Passage
from dpr_rag.corpora import Question


class Fixed:
    """Finds for each question the passages that it was told to, with scores that fall from 10."""

    def __init__(self, found: Mapping[str, Sequence[Passage]]) -> None:
        self.found = found
        self.calls: list[object] = []

    def retrieve(self, question: str, k: int) -> list[Hit]:
        self.calls.append(question)
        return self._hits(question, k)

    def retrieve_batch(self, questions: Sequence[str], k: int) -> list[list[Hit]]:
        self.calls.append(list(questions))
        return [self._hits(question, k) for question in questions]

    def _hits(self, question: str, k: int) -> list[Hit]:
        return [Hit(passage, 11.0 - rank, rank) for rank, passage in enumerate(self.found[question][:k], 1)]


def ranked(*ranks: int | None, size: int = 10, name: str = "p") -> tuple[list[Question], Fixed]:
    """Questions with one right passage each, by answer and by id, and a system that finds it at the given ranks."""
    questions, found = [], {}
    for at, rank in enumerate(ranks):
        right = Passage(f"right-{at}", f"Here answer{at} stands.")
        questions.append(Question(f"q{at}", f"question {at}?", (f"Answer{at}",), (right.id,)))
        others = [Passage(f"{name}-{at}-{one}", f"Nothing of it, {one}.") for one in range(size)]
        found[f"question {at}?"] = others if rank is None else [*others[: rank - 1], right, *others[rank:]]
    return questions, Fixed(found)
