"""Questions and passages as the inputs of a reader: ``[CLS] question [SEP] title [SEP] text [SEP]``, in windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dpr_rag.encoders.profiles import Profile
from dpr_rag.encoders.tokens import PlacedTokens, Tokens, TokenSequence, longest_first
from dpr_rag.encoders.towers import Tower
from dpr_rag.reading.profiles import ReaderProfile

BODY = Profile("reader", "cls", "none")
"""How the body of a reader is run, and its texts read: as those of an encoder without titles."""
_SPECIALS = 3


@dataclass(frozen=True, slots=True)
class Window:
    """One input of a reader.

    Attributes:
        sequence: All token ids; its ``second`` says where the text begins.
        first: Which of the text's tokens is the first in this window.
        count: How many of the text's tokens are in it.
    """

    sequence: TokenSequence
    first: int
    count: int


class PairTokens:
    """Turns questions and passages into a reader's inputs.

    Args:
        tower: The model whose tokenizer files and lengths apply.
        profile: Lengths, and whether a separator ends the input.

    Raises:
        ModelError: The tokenizer cannot be built, lacks a special token, or knows more tokens than the model.
    """

    def __init__(self, tower: Tower, profile: ReaderProfile) -> None:
        self._tokens = Tokens(tower, BODY)
        self._profile = profile
        self.pad = self._tokens.pad
        (empty,) = self._tokens.questions([""])
        self._cls, self._sep = empty.ids
        self.length = min(profile.length, self._tokens.passage_length)

    def bodies(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of texts without special tokens, uncut: of questions, titles and answers."""
        return self._tokens.bodies(texts)

    def texts(self, texts: Sequence[str]) -> list[PlacedTokens]:
        """Texts of passages as tokens with their places."""
        return self._tokens.placed(texts)

    def room(self, question: Sequence[int], title: Sequence[int]) -> int:
        """Tokens of a text that one input holds beside a question and a title."""
        first, second = self._heads(question, title)
        return self.length - _SPECIALS - self._profile.closing - first - second

    def starts(self, count: int, room: int) -> list[int]:
        """Where the windows of a text of so many tokens begin; the last one ends with the text."""
        if count <= room:
            return [0]
        step = max(1, room - self._profile.overlap)
        return [*range(0, count - room, step), count - room]

    def window(self, question: Sequence[int], title: Sequence[int], text: Sequence[int], first: int) -> Window:
        """One input, with as much of the text from one of its tokens on as there is room for."""
        question_length, title_length = self._heads(question, title)
        start = [self._cls, *question[:question_length], self._sep, *title[:title_length], self._sep]
        room = self.length - len(start) - self._profile.closing
        part = text[first : first + room]
        ids = [*start, *part, self._sep] if self._profile.closing else [*start, *part]
        return Window(TokenSequence(ids, len(start), len(part) < len(text)), first, len(part))

    def windows(self, question: Sequence[int], title: Sequence[int], text: Sequence[int]) -> list[Window]:
        """All inputs that a question and a passage need."""
        starts = self.starts(len(text), self.room(question, title))
        return [self.window(question, title, text, first) for first in starts]

    def _heads(self, question: Sequence[int], title: Sequence[int]) -> tuple[int, int]:
        """How many tokens of question and title are kept: half of the input is for the text."""
        return longest_first(len(question), len(title), self.length // 2 - _SPECIALS)
