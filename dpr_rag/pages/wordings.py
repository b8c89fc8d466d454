"""The searches for a question in a conversation, with or without earlier context, and which of their hits fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dpr_rag.conversation import Dependence, content_words, dependence, narrowing_words, with_context
from dpr_rag.lexical import Analyzer
from dpr_rag.pages.turns import Turn
from dpr_rag.passages import Hit


@dataclass(frozen=True, slots=True)
class Wordings:
    """What may be looked up for a question.

    Attributes:
        texts: The wordings, in the order in which they count.
        words: The words of its own that passages should hold.
        alone: The first wording is the question alone, and counts before the other one; what the other one finds has to hold
            every word of the question, for the subject before it would bring passages about that subject only.
    """

    texts: tuple[str, ...]
    words: tuple[str, ...] = ()
    alone: bool = False

    def fitting(self, lists: Sequence[Sequence[Hit]], analyzer: Analyzer) -> list[list[Hit]]:
        """The hits of each wording that speak of the question's own words; all of them where none does, unless ``alone``.

        Args:
            lists: Hits of each wording.
            analyzer: Tells words apart.
        """
        wanted = _terms(self.words, analyzer)

        def share(hit: Hit) -> int:
            return len(wanted & _terms((hit.passage.title, hit.passage.text), analyzer))

        if not wanted:
            return [list(hits) for hits in lists]
        if self.alone:
            return [list(lists[0]), *([hit for hit in hits if share(hit) == len(wanted)] for hits in lists[1:])]
        kept = [[hit for hit in hits if share(hit)] for hits in lists]
        return kept if any(kept) else [list(hits) for hits in lists]


def holding_all(question: str, hits: Sequence[Hit], analyzer: Analyzer) -> list[bool]:
    """Which passages have every word that a question without a pronoun asks about."""
    wanted = _terms(narrowing_words(question), analyzer)
    return [bool(wanted) and wanted <= _terms((hit.passage.title, hit.passage.text), analyzer) for hit in hits]


def _terms(texts: Iterable[str], analyzer: Analyzer) -> frozenset[int]:
    return frozenset(analyzer.sequence(" ".join(texts)))


def wordings_of(question: str, before: Sequence[Turn]) -> Wordings:
    """The wordings of a question without a language model: unchanged, behind the subject that it depends on, or both.

    Args:
        question: Without courtesies.
        before: The turns before it, oldest first.
    """
    need = dependence(question)
    if not before or need is Dependence.NONE:
        return Wordings((question,))
    in_context = with_context(question, [turn.question for turn in before if not _was_more_of_another(turn)])
    if need is Dependence.SHORT:
        return Wordings((question, in_context), tuple(content_words(question)), alone=True)
    return Wordings(
        (in_context,) if need is Dependence.FULL else (in_context, question), tuple(narrowing_words(question))
    )


def _was_more_of_another(turn: Turn) -> bool:
    """Whether a few words were answered as more about the subject before them, so that they are no subject themselves."""
    return dependence(turn.question) is Dependence.SHORT and turn.searched not in ("", turn.question)
