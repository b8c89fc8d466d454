"""Reader profiles, as data: how question and passage are joined to one input, and what the outputs mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, get_type_hints

from dpr_rag.errors import ModelError


@dataclass(frozen=True, slots=True)
class ReaderProfile:
    """Everything about a reader that is not in its weights or its tokenizer.

    Attributes:
        name: What people call the family; it does not take part in the fingerprint.
        length: Most tokens of one input: ``[CLS] question [SEP] title [SEP] text``.
        overlap: Tokens that two windows share where a text is too long for one input.
        closing: Whether a ``[SEP]`` ends the input; DPR's published readers were trained without.
        null: Whether a span that begins and ends at ``[CLS]`` says that the passage holds no answer.
        answer: Most tokens of an answer.

    Raises:
        ModelError: A field has a value outside its choices.
    """

    name: str
    length: int = 256
    overlap: int = 64
    closing: bool = True
    null: bool = True
    answer: int = 30

    def __post_init__(self) -> None:
        hints = get_type_hints(ReaderProfile)
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not hints[field.name]:
                raise ModelError(
                    f"reader profile {self.name!r:.60}: {field.name} is {value!r:.60}, expected {hints[field.name].__name__}"
                )
        if self.length < 16 or self.answer < 1 or not 0 <= self.overlap <= self.length // 2:
            raise ModelError(
                f"reader profile {self.name!r}: length={self.length}, overlap={self.overlap}, answer={self.answer}; expected at "
                "least 16 tokens, of which windows share no more than half, and answers of at least one"
            )

    def as_dict(self) -> dict[str, Any]:
        """The profile as a JSON object, the inverse of :func:`reader_profile_from`."""
        return asdict(self)


OWN = ReaderProfile("dpr-rag-reader")
DPR = ReaderProfile("dpr-reader", length=350, overlap=64, closing=False, null=False, answer=10)
"""Facebook's readers: at most 350 tokens (``sequence_length``) and answers of 10 (``max_answer_length``) in its code."""
READER_PROFILES: Mapping[str, ReaderProfile] = {profile.name: profile for profile in (OWN, DPR)}


def reader_profile_from(data: object, *, where: str) -> ReaderProfile:
    """Read a profile back from its JSON object.

    Args:
        data: The object that :meth:`ReaderProfile.as_dict` gave.
        where: The file that it comes from, for messages.

    Raises:
        ModelError: It is not such an object.
    """
    known = {field.name for field in fields(ReaderProfile)}
    if not isinstance(data, dict) or data.keys() != known:
        raise ModelError(f"{where}: the profile is {data!r:.120}, expected an object with {', '.join(sorted(known))}")
    return ReaderProfile(**data)
