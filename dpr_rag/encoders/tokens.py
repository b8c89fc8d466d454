"""Tokenisation: from questions and passages to token ids, exactly as the published models were trained."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dpr_rag.encoders.architectures import first_position
from dpr_rag.encoders.native import NATIVE
from dpr_rag.encoders.plain_letters import PlainLetters
from dpr_rag.encoders.profiles import Profile
from dpr_rag.encoders.tokenizer_bounds import refuse_hostile
from dpr_rag.encoders.towers import Tower
from dpr_rag.encoders.unknown_scripts import ScriptMonitor
from dpr_rag.errors import ModelError
from dpr_rag.forking import cached
from dpr_rag.passages import Passage

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """One tokenised input.

    Attributes:
        ids: Token ids with the special tokens; the last one is always the separator.
        second: Where the second segment begins (the text of a title pair); ``len(ids)`` where there is one segment.
        truncated: Whether tokens were cut off.
    """

    ids: list[int]
    second: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class PlacedTokens:
    """The tokens of a whole text, each with its place.

    Attributes:
        ids: Token ids, without special tokens.
        places: Start and end of each token in ``read``.
        words: Which word each token is of; None where it is of none.
        read: The text as the tokenizer saw it.
    """

    ids: list[int]
    places: list[tuple[int, int]]
    words: list[int | None]
    read: str


class Tokens:
    """Turns questions and passages into token ids for one tower.

    Text is stripped, letters in shapes that the model does not know become plain ones (:class:`PlainLetters`), a title is
    placed by the profile's policy, and the longest of the two is cut first down to the smaller of the profile's and the
    model's length. Needs ``tokenizers`` only; one object serves all threads.

    Args:
        tower: The model whose tokenizer files and lengths apply.
        profile: Prefixes, title policy and lengths.

    Raises:
        ModelError: The tokenizer cannot be built, lacks a special token, or knows more tokens than the model.
    """

    def __init__(self, tower: Tower, profile: Profile) -> None:
        self._tower = tower
        self._profile = profile
        specials = tower.tokenizer.specials()
        self._cls = self._special(specials["cls"])
        self._sep = self._special(specials["sep"])
        self._between = [self._sep, self._sep] if tower.counts_from_padding else [self._sep]
        pad = self._setting("pad_token_id")
        self.pad = self._special(specials["pad"]) if pad is None else pad
        self._longest = self._most_positions()
        self._plain = PlainLetters(self.tokenizer, specials["unk"])
        self._scripts = ScriptMonitor(self.tokenizer, specials["unk"])
        self._check_vocabulary()

    @property
    def question_length(self) -> int:
        """Most tokens of a question: the profile's length, or the model's positions where they are fewer."""
        return min(self._profile.question_length, self._longest)

    @property
    def passage_length(self) -> int:
        """Most tokens of a passage: the profile's length, or the model's positions where they are fewer."""
        return min(self._profile.passage_length, self._longest)

    @cached
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the ``tokenizers`` library, without special tokens, truncation or padding."""
        with NATIVE.held():
            from tokenizers import Tokenizer

        specification = self._tower.tokenizer.specification()
        refuse_hostile(self._tower.tokenizer.name, specification)
        try:
            return Tokenizer.from_str(json.dumps(specification))
        except BaseException as error:
            if not _is_from_library(error):
                raise
            raise ModelError(
                f"{self._tower.tokenizer.name}: its tokenizer files describe no tokenizer ({error}); fetch them again"
            ) from error

    def questions(self, questions: Iterable[str]) -> list[TokenSequence]:
        """Tokenise questions, the profile's prefix before each."""
        profile = self._profile
        texts = [_with_plain_apostrophes(text) if profile.straighten else text for text in questions]
        bodies = self._ids((text.strip() for text in texts), prefix=profile.question_prefix)
        return [self._single(ids, profile.question_length) for ids in bodies]

    def passages(self, passages: Sequence[Passage]) -> list[TokenSequence]:
        """Tokenise passages, each with its title as the profile places it."""
        titles = [passage.title.strip() if self._profile.title != "none" else "" for passage in passages]
        texts = [passage.text.strip() for passage in passages]
        if self._profile.title == "pair":
            return self._pairs(titles, texts)
        joined = [f"{title} {text}" if title else text for title, text in zip(titles, texts, strict=True)]
        bodies = self._ids(joined, prefix=self._profile.passage_prefix)
        return [self._single(ids, self._profile.passage_length) for ids in bodies]

    def bodies(self, texts: Iterable[str]) -> list[list[int]]:
        """Token ids of whole texts, without special tokens or prefix."""
        return self._ids(text.strip() for text in texts)

    def around(self, ids: Sequence[int]) -> list[int]:
        """The special tokens before and behind a text's own."""
        return [self._cls, *ids, self._sep]

    def placed(self, texts: Iterable[str]) -> list[PlacedTokens]:
        """The same, with the place of each token in the text as it was read."""
        with self._naming_the_tokenizer():
            cleaned = [self._plain.read(text.strip()) for text in texts]
            encodings = self.tokenizer.encode_batch(cleaned, add_special_tokens=False)
        self._scripts.check(cleaned, [encoding.ids for encoding in encodings])
        return [
            PlacedTokens(encoding.ids, encoding.offsets, encoding.word_ids, read)
            for encoding, read in zip(encodings, cleaned, strict=True)
        ]

    def _pairs(self, titles: list[str], texts: list[str]) -> list[TokenSequence]:
        prefix = self._profile.passage_prefix
        unique = sorted(set(titles))  # passages of one page share its title
        heads = dict(zip(unique, self._ids(prefix + title for title in unique), strict=True))
        starts = ["" if title else prefix for title in titles]
        bodies = self._ids(start + text for start, text in zip(starts, texts, strict=True))
        return [
            self._pair(heads[title], body) if title else self._single(body, self._profile.passage_length)
            for title, body in zip(titles, bodies, strict=True)
        ]

    def _pair(self, title: list[int], text: list[int]) -> TokenSequence:
        room = self.passage_length - 2 - len(self._between)
        first, second = longest_first(len(title), len(text), room)
        start = [self._cls, *title[:first], *self._between]
        cut = first + second < len(title) + len(text)
        return TokenSequence([*start, *text[:second], self._sep], len(start), cut)

    def _single(self, ids: list[int], length: int) -> TokenSequence:
        room = min(length, self._longest) - 2
        whole = self.around(ids[:room])
        return TokenSequence(whole, len(whole), len(ids) > room)

    def _ids(self, texts: Iterable[str], *, prefix: str = "") -> list[list[int]]:
        with self._naming_the_tokenizer():
            cleaned = list(map(self._plain.read, texts))
        ids = self._encoded([prefix + text for text in cleaned] if prefix else cleaned)
        if prefix:  # its tokens are not the texts'
            self._scripts.check_lazily(cleaned, lambda chosen: self._encoded([cleaned[at] for at in chosen]))
        else:
            self._scripts.check(cleaned, ids)
        return ids

    def _encoded(self, texts: list[str]) -> list[list[int]]:
        tokenizer = self.tokenizer
        with self._naming_the_tokenizer():
            return [encoding.ids for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    @contextmanager
    def _naming_the_tokenizer(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            if not _is_from_library(error):
                raise
            raise ModelError(
                f"{self._tower.tokenizer.name}: its tokenizer gives up on a text ({error!s:.200}); a regular expression in "
                "tokenizer.json takes too long, or an unknown token is missing there: compare it with the model's original"
            ) from error

    def _special(self, token: str) -> int:
        number = self.tokenizer.token_to_id(token)
        if number is None:
            raise ModelError(
                f"{self._tower.tokenizer.name}: the special token {token!r} is not in the vocabulary; name the right one "
                "in tokenizer_config.json"
            )
        return number

    def _setting(self, name: str) -> int | None:
        value = self._tower.config.get(name)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        raise ModelError(
            f"{self._tower.tokenizer.name}: config.json has the {name} {value!r:.60}, expected an integer; compare it with "
            "the model's original"
        )

    def _most_positions(self) -> int:
        most = self._setting("max_position_embeddings") or 512
        return most - first_position(self._tower)

    def _check_vocabulary(self) -> None:
        size = max(self.tokenizer.get_vocab(with_added_tokens=True).values()) + 1
        rows = self._tower.state["embeddings.word_embeddings.weight"].shape[0]
        if size > rows:
            raise ModelError(
                f"{self._tower.tokenizer.name}: the tokenizer has {size} tokens, the model's embeddings {rows} rows; "
                "they belong to different models, copy the right tokenizer files"
            )


def _is_from_library(error: BaseException) -> bool:
    """Whether the ``tokenizers`` library raised it, which has no class of its own; a panic of Rust is not even an Exception."""
    return type(error) in (Exception, ValueError, TypeError) or type(error).__name__ == "PanicException"


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Lengths of two segments after cutting the longer one first, as the ``tokenizers`` library does.

    Args:
        first: Tokens of the first segment.
        second: Tokens of the second segment.
        room: Most tokens of both together.
    """
    if first + second <= room:
        return first, second
    short, half = min(first, second), room // 2
    short = short if short <= half else half
    return (short, room - short) if first <= second else (room - short, short)


def normalize_passage(text: str) -> str:
    """Clean a passage of DPR's training files as its authors' code does.

    Newlines become spaces, typographic apostrophes plain ones, and one leading and one trailing ``"`` are dropped.
    """
    flat = _with_plain_apostrophes(text.replace("\n", " "))
    return flat.removeprefix('"').removesuffix('"')


def _with_plain_apostrophes(text: str) -> str:
    return text.replace("’", "'")
