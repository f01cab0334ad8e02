"""Line charts as SVG, in the page's text colour: axes, ticks, grid, lines, bars, legend.

They are written by hand, because matplotlib and what it needs are 80 MB.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

import numpy as np

COLOURS: Final = ("#0a7ea4", "#d1495b", "#66a182", "#edae49", "#8d6cab", "#8c6d46")
INK: Final = "currentColor"
Points = Iterable[tuple[float, float]]

_WIDTH, _HEIGHT = 400.0, 250.0  # of everything but the legend
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 14.0, 8.0, 40.0  # margins
_RIGHT_AXIS = 46.0  # the margin with an axis in it
_ROW, _COLUMN = 15.0, 176.0  # of the legend, which has two columns
_TEXT = 28  # characters of a legend's entry
_TICKS = 6


@dataclass(frozen=True)
class Scale:
    """An axis: its label and its range."""

    label: str
    low: float
    high: float
    log: bool = False
    whole: bool = False
    """Only whole numbers have ticks."""

    def position(self, value: float) -> float:
        """Return where a value is: 0 at the low end, 1 at the high end, never outside."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = np.log10([low, high, max(value, low)])
        return float(min(max((value - low) / ((high - low) or 1), 0), 1))

    def ticks(self) -> list[float]:
        """Return round values within the range."""
        if self.high <= self.low:
            return [self.low]
        if self.log:
            first, last = np.ceil(np.log10(self.low)), np.floor(np.log10(self.high))
            return [float(10**power) for power in np.arange(first, last + 1)]
        least = (self.high - self.low) / (_TICKS - 0.5)
        power = 10 ** np.floor(np.log10(max(least, 1e-9)))
        step = next(power * one for one in (1, 2, 5, 10) if power * one >= least)
        step = max(step, 1) if self.whole else step
        return [float(n * step) for n in range(int(np.ceil(self.low / step - 1e-9)),
                                               int(self.high / step + 1e-9) + 1)]  # fmt: skip


@dataclass
class Chart:
    """A chart to which lines and bars are added, and its SVG."""

    name: str
    """What screen readers say."""

    x: Scale
    y: Scale
    right: Scale | None = None
    """A second vertical axis."""

    _parts: list[str] = field(default_factory=list)
    _legend: list[tuple[str, str]] = field(default_factory=list)

    def line(
        self,
        points: Points,
        label: str,
        colour: str,
        width: float = 1.5,
        dotted: bool = False,
        on: Scale | None = None,
    ) -> None:
        """Draw a line through points; those that are not finite are left out. `on`: `right`."""
        places = [self._place(x, y, on) for x, y in points if np.isfinite(x) and np.isfinite(y)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        style = f'stroke="{colour}" stroke-width="{width}"'
        style += ' stroke-dasharray="1.5 3"' if dotted else ""
        self._parts.append(
            f'<polyline fill="none" stroke-linejoin="round" {style} points="{path}"/>'
        )
        self._legend.append((label, style))

    def dots(self, points: Points, colour: str, label: str = "") -> None:
        """Draw a dot at each point, with a text beside it."""
        for x, y in (self._place(x, y) for x, y in points):
            self._parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
            if label:
                self._parts.append(_text(x + 6, y - 6, label, "start"))

    def intervals(self, intervals: Iterable[tuple[float, float, float]], colour: str) -> None:
        """Draw vertical lines (x, low, high)."""
        for at, low, high in intervals:
            (x, bottom), (_, top) = self._place(at, low), self._place(at, high)
            path = f"M{x:.1f} {bottom:.1f}V{top:.1f}M{x - 2:.1f} {bottom:.1f}h4"
            path += f"M{x - 2:.1f} {top:.1f}h4"
            self._parts.append(f'<path d="{path}" stroke="{colour}"/>')

    def bars(self, edges: Sequence[float], heights: Sequence[float], on: Scale) -> None:
        """Draw faint bars between `edges` on the axis `on`."""
        for left, after, height in zip(edges[:-1], edges[1:], heights, strict=True):
            if height >= on.low:
                (x, y), (end, _) = self._place(left, height, on), self._place(after, height, on)
                self._parts.append(
                    f'<rect x="{x:.1f}" y="{y:.1f}" width="{end - x:.1f}" '
                    f'height="{_HEIGHT - _BOTTOM - y:.1f}" fill="{INK}" opacity="0.12"/>'
                )

    def svg(self) -> str:
        """Return the chart, as wide as the page makes it."""
        height = _HEIGHT + _ROW * ((len(self._legend) + 1) // 2)
        opening = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:.0f} {height:.0f}" '
            f'role="img" aria-label="{escape(self.name)}" font-family="sans-serif" font-size="10">'
        )
        legend = [
            part
            for number, entry in enumerate(self._legend)
            for part in _entry(_LEFT + number % 2 * _COLUMN, _HEIGHT + number // 2 * _ROW, *entry)
        ]
        return "\n".join([opening, *self._axes(), *self._parts, *legend, "</svg>"])

    @property
    def _end(self) -> float:
        return _WIDTH - (_RIGHT if self.right is None else _RIGHT_AXIS)

    def _place(self, x: float, y: float, on: Scale | None = None) -> tuple[float, float]:
        across, up = self.x.position(x), (on or self.y).position(y)
        bottom = _HEIGHT - _BOTTOM
        return _LEFT + across * (self._end - _LEFT), bottom - up * (bottom - _TOP)

    def _axes(self) -> Iterator[str]:
        bottom, middle = _HEIGHT - _BOTTOM, (_HEIGHT - _BOTTOM + _TOP) / 2
        frame = f"M{_LEFT} {_TOP}V{bottom}H{self._end}" + (f"V{_TOP}" if self.right else "")
        for tick in self.x.ticks():
            x, _ = self._place(tick, self.y.low)
            yield _grid(f"M{x:.1f} {_TOP}V{bottom}")
            yield _text(x, bottom + 13, _number(tick), "middle")
        for tick in self.y.ticks():
            _, y = self._place(self.x.low, tick)
            yield _grid(f"M{_LEFT} {y:.1f}H{self._end}")
            yield _text(_LEFT - 5, y + 3.5, _number(tick), "end")
        yield _text((_LEFT + self._end) / 2, bottom + 30, self.x.label, "middle")
        yield _text(12, middle, self.y.label, "middle", turned=True)
        if self.right is not None:
            for tick in self.right.ticks():
                _, y = self._place(self.x.low, tick, self.right)
                yield _text(self._end + 5, y + 3.5, _number(tick), "start")
            yield _text(_WIDTH - 6, middle, self.right.label, "middle", turned=True)
        yield f'<path d="{frame}" fill="none" stroke="{INK}"/>'


def _grid(path: str) -> str:
    return f'<path d="{path}" stroke="{INK}" stroke-width="0.8" opacity="0.15"/>'


def _text(x: float, y: float, text: str, anchor: str, turned: bool = False) -> str:
    turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{INK}"{turn}>'
        f"{escape(text)}</text>"
    )


def _entry(x: float, y: float, label: str, style: str) -> Iterator[str]:
    """Yield the sample of a line and its label; a long one is cut."""
    yield f'<path d="M{x} {y + 6}h20" {style}/>'
    short = label if len(label) <= _TEXT else label[: _TEXT - 1] + "…"
    yield _text(x + 26, y + 9.5, short, "start")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
