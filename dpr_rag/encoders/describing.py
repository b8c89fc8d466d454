"""The description of an encoder, for people and for the record of a store."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from dpr_rag.encoders.profiles import Profile


@dataclass(frozen=True, slots=True)
class Description:
    """How an encoder turns its input into vectors.

    Attributes:
        profile: Name of the profile.
        pooling: How the tokens' vectors become one.
        similarity: What an inner product is: ``cosine`` or ``dot``.
        title: What becomes of titles, see ``Profile.title``.
        question_prompt: Stands before every question.
        passage_prompt: Stands before every passage.
        question_length: Most tokens of a question, or None for any number.
        passage_length: The same of a passage.
        truncate_dim: How many components are kept, or None for all.
    """

    profile: str
    pooling: str
    similarity: str
    title: str
    question_prompt: str
    passage_prompt: str
    question_length: int | None
    passage_length: int | None
    truncate_dim: int | None

    def as_dict(self) -> dict[str, Any]:
        """The same as a JSON object."""
        return asdict(self)


def describe(profile: Profile, *, question_length: int, passage_length: int) -> Description:
    """Describe a profile, with its lengths cut to the positions that the model has."""
    return Description(
        profile=profile.name,
        pooling=profile.pooling,
        similarity="cosine" if profile.normalise else "dot",
        title=profile.title,
        question_prompt=profile.question_prefix,
        passage_prompt=profile.passage_prefix,
        question_length=question_length,
        passage_length=passage_length,
        truncate_dim=profile.kept or None,
    )
