"""The curves of a training as one SVG image: the loss, and the measures of validation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, floor, isfinite, log10
from pathlib import Path
from typing import Any

from dpr_rag.evaluation.report.markup import Html, element
from dpr_rag.training.folder import write_text

Points = list[tuple[float, float]]
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 220, 64, 20, 30, 34
_COLOURS = ("#0b6cb3", "#c84f0c", "#0a8a64", "#a0488f")
_STYLE = (
    "text { font: 12px system-ui, sans-serif; fill: #60666d; } .title { font-weight: 600; fill: #1c2024; } "
    ".grid { stroke: #e1e4e8; } .line { fill: none; stroke-width: 2; stroke-linejoin: round; }"
)


def write_plot(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Draw a log: one panel for the losses, one for each scale of the other measures.

    Args:
        path: The SVG file to write or replace.
        lines: The log's lines.
    """
    panels = _panels(lines)
    drawn = [_panel(title, curves, at * _HEIGHT) for at, (title, curves) in enumerate(panels.items())]
    height = _HEIGHT * max(1, len(panels))
    picture = element(
        "svg",
        element("style", Html(_STYLE)),
        element("rect", width=_WIDTH, height=height, fill="#fff"),
        *drawn,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_WIDTH} {height}",
        width=_WIDTH,
        height=height,
        role="img",
    )
    write_text(path, picture + "\n")


def _panels(lines: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Points]]:
    panels: dict[str, dict[str, Points]] = {}
    for line in lines:
        if "loss" in line:
            panels.setdefault("loss", {}).setdefault("training", []).append((line["step"], line["loss"]))
        for name, value in line.get("validation", {}).items():
            title = {"nll": "loss", "average_rank": "average rank of the positive"}.get(name, "accuracy")
            curve = "validation" if name == "nll" else name.replace("_", " ")
            panels.setdefault(title, {}).setdefault(curve, []).append((line["step"], value))
    return panels


def _panel(title: str, curves: Mapping[str, Points], top: int) -> Html:
    points = [point for curve in curves.values() for point in curve if isfinite(point[1])]
    last = max((step for step, _ in points), default=1)
    low, high, step = _scale([value for _, value in points])
    bottom = top + _HEIGHT - _BOTTOM

    def x(at: float) -> float:
        return _LEFT + at / max(1, last) * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return bottom - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [element("text", title, x=_LEFT, y=top + 18, class_="title")]
    for number in range(round((high - low) / step) + 1):
        value = low + number * step
        parts.append(element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=_px(y(value)), y2=_px(y(value)), class_="grid"))
        parts.append(element("text", f"{value:.6g}", x=_LEFT - 8, y=_px(y(value) + 4), text_anchor="end"))
    parts.append(element("text", f"{last:,} steps", x=_WIDTH - _RIGHT, y=bottom + 18, text_anchor="end"))
    for at, (name, curve) in enumerate(curves.items()):
        colour = _COLOURS[at % len(_COLOURS)]
        placed = " ".join(f"{_px(x(step))},{_px(y(value))}" for step, value in curve if isfinite(value))
        parts.append(element("polyline", points=placed, stroke=colour, class_="line"))
        parts.extend(_key(name, colour, at, top))
    return element("g", *parts)


def _key(name: str, colour: str, at: int, top: int) -> Iterator[Html]:
    x = _WIDTH - _RIGHT - 150 * (at + 1)
    yield element("line", x1=x, x2=x + 22, y1=top + 14, y2=top + 14, stroke=colour, class_="line")
    yield element("text", name, x=x + 28, y=top + 18)


def _scale(values: Sequence[float]) -> tuple[float, float, float]:
    """Lowest and highest grid line and the distance between two, in round numbers."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    span = (high - low) or max(abs(high), 1.0)
    raw = span / 4
    power: float = 10.0 ** floor(log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if raw <= factor * power * (1 + 1e-9))
    bottom = floor(low / step) * step
    return bottom, max(ceil(high / step) * step, bottom + step), step


def _px(value: float) -> str:
    return f"{value:.1f}"
