"""The curve of top-k accuracy over k, as figure 1 of the DPR paper has it: k on a logarithmic axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor, log

from dpr_rag.evaluation.report.markup import Html, element
from dpr_rag.evaluation.report.tables import percent
from dpr_rag.evaluation.results import Evaluation, SystemResult

_TOP, _BOTTOM, _LEFT = 14, 44, 52
_INSET = 14
_TICKS = (1, 2, 5, 10, 20, 50)
_SIDEWAYS = 4
_LINE_HEIGHT = 17
_NAME_LENGTH, _LETTER = 12, 9


@dataclass(frozen=True, slots=True)
class _Axes:
    """Where a figure's values lie in its picture, in pixels; on the right is room for the names of the curves."""

    width: int
    height: int
    right: int
    k: int
    low: int
    high: int

    def x(self, k: float) -> float:
        part = log(k) / log(max(self.k, 2))
        return _LEFT + _INSET + part * (self.width - _LEFT - self.right - 2 * _INSET)

    def y(self, share: float) -> float:
        part = (100 * share - self.low) / (self.high - self.low)
        return self.height - _BOTTOM - part * (self.height - _TOP - _BOTTOM)


def curves(evaluation: Evaluation) -> Html:
    """The figure twice, for wide and for narrow pages, of which the style shows one, under a legend."""
    named, short = [_end_names(evaluation, length) for length in (_NAME_LENGTH, 0)]
    pictures = [_picture(evaluation, 860, 430, "wide", named), _picture(evaluation, 360, 330, "narrow", short)]
    told = "Share of the questions with a right passage among the first k; whiskers are 95 % intervals."
    return element(
        "figure", element("figcaption", told, class_="muted"), legend(evaluation), *pictures, class_="curves"
    )


def legend(evaluation: Evaluation) -> Html:
    """The systems with their colours and shapes."""
    items = []
    for at, system in enumerate(evaluation.systems):
        sample = element("line", x1=0, y1=8, x2=30, y2=8, class_=f"line s{at % 4}")
        swatch = element("svg", sample, _marker(15, 8, at), width=30, height=16, aria_hidden="true")
        items.append(element("li", swatch, " ", system.name))
    return element("ul", *items, class_="legend")


def _end_names(evaluation: Evaluation, length: int) -> list[str]:
    """What stands at the end of each curve: its value, after a name of at most a length."""
    names = [
        system.name if len(system.name) <= length else system.name[: length - 1] + "…" for system in evaluation.systems
    ]
    values = [percent(system.accuracy[evaluation.k].value) for system in evaluation.systems]
    return [f"{name} {value}" if length else value for name, value in zip(names, values, strict=True)]


def _picture(evaluation: Evaluation, width: int, height: int, name: str, ends: Sequence[str]) -> Html:
    axes = _Axes(width, height, 4 + _LETTER * max(map(len, ends)), evaluation.k, *_range(evaluation))
    systems = list(enumerate(evaluation.systems))
    lines = [_line(axes, system, at) for at, system in systems]
    # behind all lines, so that none of them crosses out the marker of another
    marks = [mark for at, system in systems for mark in _intervals(axes, system, at, at - (len(systems) - 1) / 2)]
    return element(
        "svg",
        *_grid(axes),
        *lines,
        *marks,
        *_ends(axes, evaluation, ends),
        viewBox=f"0 0 {axes.width} {axes.height}",
        class_=f"curve {name}",
        role="img",
        aria_label=_told(evaluation),
    )


def _told(evaluation: Evaluation) -> str:
    """The figure in words, for those who do not see it."""
    k = evaluation.k
    ends = (
        f"{system.name} from {percent(system.curve(k)[0])} to {percent(system.curve(k)[-1])}"
        for system in evaluation.systems
    )
    return f"Top-k accuracy as k rises from 1 to {k}: {', '.join(ends)}. The table of figures holds the values."


def _range(evaluation: Evaluation) -> tuple[int, int]:
    """The part of 0 to 100 % that the curves and their intervals need, in steps of ten and at least thirty."""
    ends = [(estimate.low, estimate.high) for system in evaluation.systems for estimate in system.accuracy.values()]
    low = max(0, floor(10 * min(low for low, _ in ends)) * 10)
    high = min(100, ceil(10 * max(high for _, high in ends)) * 10)
    return (low, high) if high - low >= 30 else (max(0, min(low, 70)), min(100, max(0, min(low, 70)) + 30))


def _grid(axes: _Axes) -> Iterator[Html]:
    step = 10 if axes.high - axes.low > 30 else 5
    for share in range(axes.low, axes.high + 1, step):
        y = axes.y(share / 100)
        yield element("line", x1=_LEFT, y1=_px(y), x2=axes.width - axes.right, y2=_px(y), class_="grid")
        yield _label(f"{share} %", _LEFT - 8, y + 4, "end")
    floor_y = axes.height - _BOTTOM
    for k in (*(tick for tick in _TICKS if tick < axes.k * 0.8), axes.k):
        x = axes.x(k)
        yield element("line", x1=_px(x), y1=_px(floor_y), x2=_px(x), y2=_px(floor_y + 5), class_="tick")
        yield _label(str(k), x, floor_y + 20, "middle")
    yield element("line", x1=_LEFT, y1=floor_y, x2=axes.width - axes.right, y2=floor_y, class_="axis")
    yield _label("k: passages retrieved (log scale)", (axes.width + _LEFT - axes.right) / 2, floor_y + 38, "middle")


def _label(text: str, x: float, y: float, anchor: str, class_: str | None = None) -> Html:
    return element("text", text, x=_px(x), y=_px(y), text_anchor=anchor, class_=class_)


def _line(axes: _Axes, system: SystemResult, at: int) -> Html:
    points = " ".join(f"{_px(axes.x(k))},{_px(axes.y(share))}" for k, share in enumerate(system.curve(axes.k), 1))
    return element("polyline", points=points, class_=f"line s{at % 4}", data_system=system.name)


def _intervals(axes: _Axes, system: SystemResult, at: int, place: float) -> Iterator[Html]:
    """Markers on the curve at the k of the table; whiskers of several systems stand side by side."""
    for k, estimate in system.accuracy.items():
        x, low, high = axes.x(k), axes.y(estimate.low), axes.y(estimate.high)
        told = (
            f"{system.name}, top-{k}: {percent(estimate.value)} ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"
        )
        beside = _px(x + _SIDEWAYS * place)
        whisker = element("line", x1=beside, y1=_px(low), x2=beside, y2=_px(high), class_=f"whisker s{at % 4}")
        yield element("g", element("title", told), whisker, _marker(x, axes.y(estimate.value), at))


def _ends(axes: _Axes, evaluation: Evaluation, names: Sequence[str]) -> Iterator[Html]:
    """The names at the ends of the curves, moved apart where curves end close to one another."""
    ends = [axes.y(system.accuracy[axes.k].value) for system in evaluation.systems]
    for at, (name, y) in enumerate(zip(names, apart(ends, _LINE_HEIGHT, axes.height - _BOTTOM), strict=True)):
        yield _label(name, axes.width - axes.right + 4, y + 4, "start", f"end s{at % 4}")


def apart(heights: Sequence[float], least: float, floor_y: float) -> list[float]:
    """Heights of labels, as near to those given as a least distance and the floor allow; their order stays."""
    groups: list[tuple[float, list[int]]] = []
    for at in sorted(range(len(heights)), key=lambda at: heights[at]):
        group = _group(heights, [at], least, floor_y)
        while groups and group[0] - groups[-1][0] < least * (len(group[1]) + len(groups[-1][1])) / 2:
            group = _group(heights, [*groups.pop()[1], *group[1]], least, floor_y)
        groups.append(group)
    placed = {}
    for middle, members in groups:
        for place, at in enumerate(members):
            placed[at] = middle + least * (place - (len(members) - 1) / 2)
    return [placed[at] for at in range(len(heights))]


def _group(heights: Sequence[float], members: list[int], least: float, floor_y: float) -> tuple[float, list[int]]:
    """Labels that touch, with the middle around which they stand."""
    middle = sum(heights[at] for at in members) / len(members)
    return min(middle, floor_y - least * (len(members) - 1) / 2), members


def _marker(x: float, y: float, at: int) -> Html:
    """A shape of its own for each system, so that colour is not all that tells them apart."""
    shapes = (
        ((-4.5, -4.5), (4.5, -4.5), (4.5, 4.5), (-4.5, 4.5)),
        ((0, -6), (5.5, 4), (-5.5, 4)),
        ((0, -6), (6, 0), (0, 6), (-6, 0)),
    )
    if at % 4 == 0:
        return element("circle", cx=_px(x), cy=_px(y), r=5, class_="marker s0")
    points = " ".join(f"{_px(x + right)},{_px(y + down)}" for right, down in shapes[at % 4 - 1])
    return element("polygon", points=points, class_=f"marker s{at % 4}")


def _px(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
