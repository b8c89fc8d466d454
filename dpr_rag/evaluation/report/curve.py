"""The curve of top-k accuracy over k, as figure 1 of the DPR paper has it: k on a logarithmic axis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil, floor, log

from dpr_rag.evaluation.report.markup import Html, element, join
from dpr_rag.evaluation.results import Evaluation, SystemResult

_TOP, _RIGHT, _BOTTOM, _LEFT = 14, 18, 44, 46
_TICKS = (1, 2, 5, 10, 20, 50)
_SIDEWAYS = 5


@dataclass(frozen=True, slots=True)
class _Axes:
    """Where a figure's values lie in its picture, in pixels."""

    width: int
    height: int
    k: int
    low: int
    high: int

    def x(self, k: float) -> float:
        return _LEFT + log(k) / log(max(self.k, 2)) * (self.width - _LEFT - _RIGHT)

    def y(self, share: float) -> float:
        part = (100 * share - self.low) / (self.high - self.low)
        return self.height - _BOTTOM - part * (self.height - _TOP - _BOTTOM)


def curves(evaluation: Evaluation) -> Html:
    """The figure twice, for wide and for narrow pages, of which the style shows one, under a legend."""
    pictures = [_picture(evaluation, 860, 430, "wide"), _picture(evaluation, 360, 320, "narrow")]
    return element("figure", legend(evaluation), *pictures, id="curve")


def legend(evaluation: Evaluation) -> Html:
    """The systems with their colours and shapes."""
    items = []
    for at, system in enumerate(evaluation.systems):
        sample = element("line", x1=0, y1=8, x2=30, y2=8, class_=f"line s{at % 4}")
        swatch = element("svg", sample, _marker(15, 8, at), width=30, height=16, aria_hidden="true")
        items.append(element("li", swatch, " ", system.name))
    return element("ul", *items, class_="legend")


def _picture(evaluation: Evaluation, width: int, height: int, name: str) -> Html:
    low, high = _range(evaluation)
    axes = _Axes(width, height, evaluation.k, low, high)
    drawn = [_system(axes, system, at, len(evaluation.systems)) for at, system in enumerate(evaluation.systems)]
    return element(
        "svg",
        *_grid(axes),
        *drawn,
        viewBox=f"0 0 {width} {height}",
        class_=f"curve {name}",
        role="img",
        aria_label="Top-k accuracy over k; the table above holds its values",
    )


def _range(evaluation: Evaluation) -> tuple[int, int]:
    """The part of 0 to 100 % that the curves and their intervals need, in steps of ten and at least thirty."""
    ends = [(one.low, one.high) for system in evaluation.systems for one in system.accuracy.values()]
    low = max(0, floor(10 * min(low for low, _ in ends)) * 10)
    high = min(100, ceil(10 * max(high for _, high in ends)) * 10)
    return (low, high) if high - low >= 30 else (max(0, min(low, 70)), min(100, max(0, min(low, 70)) + 30))


def _grid(axes: _Axes) -> Iterator[Html]:
    step = 10 if axes.high - axes.low > 30 else 5
    for percent in range(axes.low, axes.high + 1, step):
        y = axes.y(percent / 100)
        yield element("line", x1=_LEFT, y1=_px(y), x2=axes.width - _RIGHT, y2=_px(y), class_="grid")
        yield _label(f"{percent} %", _LEFT - 8, y + 4, "end")
    floor_y = axes.height - _BOTTOM
    for k in (*(tick for tick in _TICKS if tick < axes.k * 0.8), axes.k):
        x = axes.x(k)
        yield element("line", x1=_px(x), y1=_px(floor_y), x2=_px(x), y2=_px(floor_y + 5), class_="tick")
        yield _label(str(k), x, floor_y + 20, "middle")
    yield element("line", x1=_LEFT, y1=floor_y, x2=axes.width - _RIGHT, y2=floor_y, class_="axis")
    yield _label("k: passages retrieved (log scale)", (axes.width + _LEFT - _RIGHT) / 2, floor_y + 38, "middle")


def _label(text: str, x: float, y: float, anchor: str) -> Html:
    return element("text", text, x=_px(x), y=_px(y), text_anchor=anchor)


def _system(axes: _Axes, system: SystemResult, at: int, count: int) -> Html:
    points = " ".join(f"{_px(axes.x(k))},{_px(axes.y(share))}" for k, share in enumerate(system.curve(axes.k), 1))
    line = element("polyline", points=points, class_=f"line s{at % 4}", data_system=system.name)
    return join([line, *_intervals(axes, system, at, _SIDEWAYS * (at - (count - 1) / 2))])


def _intervals(axes: _Axes, system: SystemResult, at: int, sideways: float) -> Iterable[Html]:
    """Markers with whiskers at the k of the table; those of several systems stand side by side."""
    for k, one in system.accuracy.items():
        x, low, high = axes.x(k) + sideways, axes.y(one.low), axes.y(one.high)
        told = f"{system.name}, top-{k}: {100 * one.value:.1f} % ({100 * one.low:.1f} to {100 * one.high:.1f})"
        whisker = element("line", x1=_px(x), y1=_px(low), x2=_px(x), y2=_px(high), class_=f"whisker s{at % 4}")
        yield element("g", element("title", told), whisker, _marker(x, axes.y(one.value), at))


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
