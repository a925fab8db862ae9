"""Charts and tables as reports show them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from .canvas import chance, finish
from .pages import Page, words

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from numpy.random import Generator

_DPI = 100
_STYLE = {  # whatever a user's own settings of matplotlib say
    "font.family": "DejaVu Sans",
    "axes.linewidth": 0.8,
    "path.simplify": True,
    "text.usetex": False,
}


class _Chart:
    """One pair of axes on a ground, most often grey, and its size in inches."""

    def __init__(self, rng: Generator, *, axes: str | None = None) -> None:
        self.rng = rng
        self.grey = chance(rng, 0.7)
        self.dark = chance(rng, 0.3)
        self.ground, self.ink = ("black", "white") if self.dark else ("white", "black")
        self.figure = Figure(
            figsize=(rng.uniform(2.4, 5), rng.uniform(2.4, 4)), dpi=_DPI, facecolor=self.ground
        )
        self.axes: Axes = self.figure.add_subplot(projection=axes)
        self.axes.set_facecolor(self.ground)
        self.axes.tick_params(colors=self.ink, labelsize=7)
        if axes is None:
            self.axes.locator_params(nbins=int(rng.integers(3, 7)))  # each tick costs half a millisecond
        for spine in self.axes.spines.values():
            spine.set_color(self.ink)

    def colours(self, count: int) -> list[str]:
        """Return this many colours or greys that stand out from the ground."""
        if not self.grey:
            return [f"C{number % 10}" for number in self.rng.permutation(10)[:count]] + ["C0"] * (count - 10)
        low, high = (0.3, 1.0) if self.dark else (0.0, 0.75)
        return [f"{level:.2f}" for level in self.rng.permutation(np.linspace(low, high, count))]

    def map(self) -> str:
        """Return the name of a colour map."""
        return str(self.rng.choice(["gray", "binary", "bone"] if self.grey else ["viridis", "hot", "Blues"]))

    def done(self, *, legend: bool = True) -> Image.Image:
        """Set titles now and then, and draw."""
        rng, axes = self.rng, self.axes
        if chance(rng, 0.6):
            # A place that is given is none to be worked out, which takes as long as all the rest.
            axes.set_title(words(rng, letters=14), fontsize=9, color=self.ink, y=1.02)
        if chance(rng, 0.5):
            axes.set_xlabel(words(rng, letters=8), fontsize=8, color=self.ink)
        if chance(rng, 0.4):
            axes.grid(visible=True, linewidth=0.4, color="0.5")
        if legend and chance(rng, 0.3):
            axes.legend([words(rng, letters=5) for _ in range(2)], fontsize=6)
        canvas = FigureCanvasAgg(self.figure)
        canvas.draw()
        image = Image.fromarray(np.array(canvas.buffer_rgba())).convert("RGB")
        return finish(image.convert("L") if self.grey else image, rng)


def lines(rng: Generator) -> Image.Image:
    """Curves: walks, waves, learning curves, a heart's beat."""
    chart = _Chart(rng)
    x = np.linspace(0, 10, 80)
    count = int(rng.integers(1, 6))
    for colour in chart.colours(count):
        walk = np.cumsum(rng.normal(0, 1, x.size))
        wave = rng.uniform(1, 9) * np.sin(x * rng.uniform(0.5, 6) + rng.uniform(0, 6))
        fall = 9 * np.exp(-x * rng.uniform(0.1, 1)) + rng.normal(0, 0.3, x.size)
        beat = 8 * np.maximum(0, np.cos(x * 4)) ** 30 + rng.normal(0, 0.2, x.size)
        chart.axes.plot(x, (walk, wave, fall, beat)[rng.integers(4)], color=colour, lw=rng.uniform(0.7, 3))
    return chart.done()


def bars(rng: Generator) -> Image.Image:
    """Bars, upright or lying, or a histogram."""
    chart = _Chart(rng)
    count = int(rng.integers(3, 25))
    values = rng.uniform(0, 1, count) if chance(rng, 0.6) else np.exp(-(np.linspace(-2, 2, count) ** 2))
    colour = chart.colours(3)[0] if chance(rng, 0.6) else chart.colours(count)
    draw = chart.axes.barh if chance(rng, 0.3) else chart.axes.bar
    draw(np.arange(count), values, rng.uniform(0.5, 1), color=colour)
    return chart.done(legend=False)


def scatter(rng: Generator) -> Image.Image:
    """Clouds of points."""
    chart = _Chart(rng)
    for colour in chart.colours(int(rng.integers(1, 4))):
        shape, middle = rng.normal(0, 1, (2, 2)), rng.normal(0, 3, 2)
        x, y = shape @ rng.standard_normal((2, int(rng.integers(20, 400)))) + middle[:, np.newaxis]
        chart.axes.scatter(
            x, y, s=rng.uniform(2, 40), color=colour, marker=str(rng.choice(["o", "s", "^", "x"]))
        )
    return chart.done()


def pie(rng: Generator) -> Image.Image:
    """A pie or a ring of shares: round, as a head is."""
    chart = _Chart(rng)
    count = int(rng.integers(2, 9))
    width = 1.0 if chance(rng, 0.6) else rng.uniform(0.2, 0.6)
    chart.axes.pie(
        rng.uniform(0.1, 1, count),
        colors=chart.colours(count),
        labels=[words(rng, letters=4)[:6] for _ in range(count)] if chance(rng, 0.5) else None,
        textprops={"color": chart.ink, "fontsize": 7},
        wedgeprops={"width": width, "edgecolor": chart.ground},
        startangle=rng.uniform(0, 360),
    )
    return chart.done(legend=False)


def heat(rng: Generator) -> Image.Image:
    """A map of levels: a matrix, a smooth field or its contours."""
    chart = _Chart(rng)
    side = int(rng.integers(3, 24))
    field = rng.random((side, side))
    if chance(rng, 0.5):
        y, x = np.mgrid[-2:2:40j, -2:2:40j]
        field = np.sin(x * rng.uniform(0.5, 3) + y) + np.exp(-(x**2) - y**2) * rng.uniform(-2, 2)
    if chance(rng, 0.3):
        chart.axes.contourf(field, levels=int(rng.integers(4, 12)), cmap=chart.map())
    else:
        chart.axes.imshow(field, cmap=chart.map(), interpolation=str(rng.choice(["nearest", "bilinear"])))
    if chance(rng, 0.2):
        chart.axes.set_axis_off()
    return chart.done(legend=False)


def polar(rng: Generator) -> Image.Image:
    """A chart round a middle: a radar, a rose, a spiral."""
    chart = _Chart(rng, axes="polar")
    count = int(rng.integers(4, 12))
    angles = np.linspace(0, 2 * math.pi, count, endpoint=False)
    chart.axes.set_yticks([0.5, 1.0])
    for colour in chart.colours(2):
        values = rng.uniform(0.2, 1, count)
        if chance(rng, 0.5):
            chart.axes.bar(angles, values, width=6 / count, color=colour, alpha=0.6)
        else:
            chart.axes.fill(angles, values, color=colour, alpha=rng.uniform(0.2, 1))
    return chart.done(legend=False)


def table(rng: Generator) -> Image.Image:
    """Rows and columns of numbers and words."""
    page = Page(rng, aspect=rng.uniform(0.8, 1.7), dark=0.3)
    rows, columns = int(rng.integers(4, 18)), int(rng.integers(2, 7))
    left, top = (rng.uniform(0.02, 0.12) * side for side in (page.width, page.height))
    wide, high = (page.width - 2 * left) / columns, (page.height - 2 * top) / rows
    size = int(min(0.6 * high, 0.17 * wide, 26))
    ruled, striped = chance(rng, 0.5), chance(rng, 0.5)
    for row in range(rows):
        y = top + row * high
        if row == 0 or (striped and row % 2 == 0):
            page.drawing.rectangle([left, y, page.width - left, y + high], fill=page.between(0.2))
        page.drawing.line([left, y, page.width - left, y], fill=page.between(0.7))
        for column in range(columns):
            numeric = column > 0 and row > 0
            text = f"{rng.uniform(0, 1000):.2f}" if numeric else words(rng, letters=5)[:8]
            page.write(left + column * wide + 4, y + 0.2 * high, text, size=max(6, size))
            if ruled:
                page.drawing.line(
                    [left + column * wide, top, left + column * wide, top + rows * high], fill=page.ink
                )
    return page.done()


def _styled(drawing: Callable[[Generator], Image.Image]) -> Callable[[Generator], Image.Image]:
    def draw(rng: Generator) -> Image.Image:
        with mpl.rc_context({**mpl.rcParamsDefault, **_STYLE}):
            return drawing(rng)

    draw.__name__ = drawing.__name__
    return draw


DRAWINGS: tuple[Callable[[Generator], Image.Image], ...] = (
    *map(_styled, (lines, bars, scatter, pie, heat, polar)),
    table,
)
