"""Model profiles: how each family of encoders turns its input into a vector, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args, get_type_hints

from dpr_rag.errors import ModelError, nearest
from dpr_rag.faces import ByFace

PASS_PROFILE = ByFace("pass profile=", cli="pass --profile")
"""Advice for a model whose files do not say what a profile says."""
OR_OWN = ByFace(", or a Profile of your own", cli="", page="")
"""What else a profile may be."""

Pooling = Literal["cls", "mean", "max", "last"]
TitlePolicy = Literal["pair", "prefix", "none"]
Segments = Literal["zero", "pair"]
Head = Literal["none", "projection", "ance", "dense"]
Activation = Literal["", "tanh"]


_LATER_FIELDS = ("activation", "kept")


@dataclass(frozen=True, slots=True)
class Profile:
    """Everything about an encoder that is not in its weights or its tokenizer.

    Attributes:
        name: What people call the family; it does not take part in the fingerprint.
        pooling: The first token of the last layer, the last one, or the mean or the maximum over its tokens.
        title: A title becomes the first segment of a pair, a prefix (``"title text"``), or is left out.
        normalise: Whether vectors are scaled to length 1.
        question_prefix: Put before every question.
        passage_prefix: Put before every passage (before its title where there is one).
        question_length: Most tokens of a question, special tokens included.
        passage_length: Most tokens of a passage, special tokens included.
        head: What follows the pooling: nothing; a linear projection where the model has one (DPR's
            ``encode_proj``); ANCE's linear layer and layer norm, which must be there; or sentence-transformers' ``Dense``,
            which must be there, too.
        activation: What follows a ``Dense``: nothing, or ``"tanh"``.
        kept: How many components are kept, from the first on, of models that were trained for it; 0 keeps all.
        segments: Token types of a title pair: all zero as DPR was trained, or 0 for title and 1 for text.
        straighten: Whether a typographic apostrophe in a question becomes a plain one, as in DPR's code.

    Raises:
        ModelError: A field has a value outside its choices.
    """

    name: str
    pooling: Pooling
    title: TitlePolicy
    normalise: bool = False
    question_prefix: str = ""
    passage_prefix: str = ""
    question_length: int = 512
    passage_length: int = 512
    head: Head = "none"
    segments: Segments = "zero"
    straighten: bool = False
    activation: Activation = ""
    kept: int = 0

    def __post_init__(self) -> None:
        hints = get_type_hints(Profile)
        for field in fields(self):
            _check_field(self.name, field.name, getattr(self, field.name), hints[field.name])
        for name in ("question_length", "passage_length"):
            if getattr(self, name) < 3:
                raise ModelError(f"profile {self.name!r}: {name} is {getattr(self, name)}, expected at least 3 tokens")
        if self.kept < 0:
            raise ModelError(
                f"profile {self.name!r}: kept is {self.kept}, expected a number of components, or 0 for all"
            )

    def as_dict(self) -> dict[str, Any]:
        """The profile as a JSON object, the inverse of :func:`profile_from`.

        Fields that came later are left out at their defaults: the fingerprints of models that do without them stay.
        """
        return {name: value for name, value in asdict(self).items() if name not in _LATER_FIELDS or value}


def named_profile(profile: str | Profile) -> Profile:
    """Return a profile given by name or as itself.

    Args:
        profile: A profile; or a name, perhaps with other fields behind it: ``tevatron:pooling=mean,normalise=true``.

    Raises:
        ModelError: No profile has this name, it has no such field, or a value is none of the field's.
    """
    if isinstance(profile, Profile):
        return profile
    name, _, changes = profile.partition(":") if isinstance(profile, str) else (profile, "", "")
    if not isinstance(name, str) or name not in PROFILES:
        raise ModelError(
            f"no profile is called {name!r:.80}; pass one of {', '.join(PROFILES)}" + OR_OWN + nearest(name, PROFILES)
        )
    if not changes:
        return PROFILES[name]
    pairs = (change.partition("=") for change in changes.split(","))
    values: dict[str, Any] = {key.strip(): _value_of(key.strip(), text) for key, _, text in pairs}
    return replace(PROFILES[name], **values)


def _value_of(name: str, text: str) -> str | int | bool:
    """Parse a field's value."""
    hints = get_type_hints(Profile)
    if name == "name" or name not in hints:
        raise ModelError(
            f"a profile has no field {name!r:.60}; write NAME:FIELD=VALUE,… with {', '.join(list(hints)[1:])}"
        )
    kind = hints[name]
    try:
        return {"true": True, "false": False}[text.lower()] if kind is bool else int(text) if kind is int else text
    except (KeyError, ValueError):
        expected = "true or false" if kind is bool else "a number"
        raise ModelError(f"the profile's {name} is {text!r:.60}, expected {expected}") from None


def profile_from(data: object, *, where: str) -> Profile:
    """Read a profile back from its JSON object.

    Args:
        data: The object that :meth:`Profile.as_dict` gave.
        where: The file it comes from, for messages.

    Raises:
        ModelError: It is no object, or has unknown, missing or wrong fields.
    """
    if not isinstance(data, dict):
        raise ModelError(
            f"{where}: the profile is {type(data).__name__}, expected a JSON object; save the encoder again"
        )
    unknown = sorted(set(data) - {field.name for field in fields(Profile)})
    if unknown:
        raise ModelError(f"{where}: the profile has unknown fields {unknown}; a newer dpr-rag wrote it, upgrade")
    try:
        return Profile(**data)
    except TypeError as error:
        raise ModelError(f"{where}: the profile is incomplete ({error}); save the encoder again") from error


def _check_field(profile: object, name: str, value: object, hint: Any) -> None:
    choices = get_args(hint)
    good = value in choices if choices else type(value) is hint
    if not good:
        expected = " or ".join(map(repr, choices)) if choices else hint.__name__
        raise ModelError(f"profile {profile!r}: {name} is {value!r}, expected {expected}")


PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("dpr", "cls", "pair", question_length=256, passage_length=256, head="projection", straighten=True),
        Profile("ance", "cls", "prefix", question_length=64, head="ance"),
        Profile("tas-b", "cls", "none"),
        Profile("contriever", "mean", "prefix"),
        Profile("minilm", "mean", "pair", normalise=True, question_length=256, passage_length=256, segments="pair"),
        Profile("e5", "mean", "prefix", normalise=True, question_prefix="query: ", passage_prefix="passage: "),
        Profile(
            "e5-instruct",
            "mean",
            "prefix",
            normalise=True,
            question_prefix=(
                "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "
            ),
        ),
        Profile(
            "bge",
            "cls",
            "prefix",
            normalise=True,
            question_prefix="Represent this sentence for searching relevant passages: ",
        ),
        Profile("bge-zh", "cls", "prefix", normalise=True, question_prefix="为这个句子生成表示以用于检索相关文章："),
        Profile("tevatron", "cls", "prefix", question_length=32, passage_length=128),
        Profile("bge-m3", "cls", "prefix", normalise=True, question_length=8192, passage_length=8192),
    )
}
