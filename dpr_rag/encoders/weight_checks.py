"""Checks weights against the model: all present, with the right shapes, and none left over."""

from __future__ import annotations

from collections.abc import Mapping

from dpr_rag.encoders.profiles import Profile
from dpr_rag.encoders.towers import Tower
from dpr_rag.encoders.weights import State
from dpr_rag.errors import ModelError, UnsupportedModelError

Shapes = Mapping[str, tuple[int, ...]]


def has_head(tower: Tower, profile: Profile) -> bool:
    """Whether layers follow the pooling: ANCE's and a Dense always, DPR's projection where the configuration has one."""
    if profile.head == "projection":
        size = tower.config.get("projection_dim") or 0
        if type(size) is not int or size < 0:
            raise ModelError(
                f"{tower.tokenizer.name}: projection_dim in config.json is {size!r:.60}, expected a size, or 0"
            )
        return size > 0
    return profile.head != "none"


def check_positions(tower: Tower) -> None:
    """Refuse positions that are not looked up in a table.

    Raises:
        ModelError: The configuration asks for others.
    """
    if tower.config.get("is_decoder"):
        raise ModelError(
            f"{tower.tokenizer.name}: config.json says is_decoder, whose tokens see only those before them; dpr-rag runs "
            "encoders, whose tokens see all"
        )
    kind = tower.config.get("position_embedding_type", "absolute")
    if kind != "absolute":
        raise UnsupportedModelError(f"{tower.tokenizer.name}: position_embedding_type is {kind!r}, expected 'absolute'")


def check_fit(name: str, state: State, shapes: Shapes) -> None:
    """Compare the weights of a tower, or of its head, with the shapes that are needed.

    Args:
        name: What to call the model in a message.
        state: Weights by canonical name.
        shapes: Every weight that the model needs.

    Raises:
        ModelError: Weights are missing, left over, or of another shape.
    """
    misshapen = [
        f"{weight} {list(state[weight].shape)} instead of {list(shape)}"
        for weight, shape in shapes.items()
        if weight in state and tuple(state[weight].shape) != tuple(shape)
    ]
    for problem, names, remedy in (
        (
            "weights are missing",
            [weight for weight in shapes if weight not in state],
            "the model would answer at random; fetch or save all of its weights",
        ),
        (
            "weights have no place",
            [weight for weight in state if weight not in shapes],
            "the profile or the architecture in config.json does not fit this model",
        ),
        ("weights have the wrong shape", misshapen, "config.json belongs to another model; fetch the matching one"),
    ):
        if names:
            shown = ", ".join(sorted(names)[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            raise ModelError(f"{name}: {problem}: {shown}; {remedy}")
