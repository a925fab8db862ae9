"""The tissues of a body's slice and how they are laid on a canvas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .canvas import Canvas, Points, branches, develop, lumpy

if TYPE_CHECKING:
    from numpy.random import Generator
    from PIL import Image


@dataclass(frozen=True)
class Levels:
    """Grey levels of the tissues, in [0, 1]."""

    fat: float
    muscle: float
    organ: float
    blood: float
    fluid: float
    wall: float  # of a bone
    marrow: float
    air: float = 0.02


_LEVELS = (
    Levels(fat=0.28, muscle=0.52, organ=0.6, blood=0.58, fluid=0.42, wall=1.0, marrow=0.75, air=0.0),  # CT
    Levels(
        fat=0.22, muscle=0.45, organ=0.6, blood=0.9, fluid=0.38, wall=1.0, marrow=0.7, air=0.0
    ),  # CT, contrast
    Levels(fat=0.9, muscle=0.4, organ=0.48, blood=0.15, fluid=0.12, wall=0.06, marrow=0.72),  # T1
    Levels(fat=0.7, muscle=0.25, organ=0.4, blood=0.2, fluid=0.95, wall=0.05, marrow=0.5),  # T2
    Levels(fat=0.15, muscle=0.35, organ=0.45, blood=0.6, fluid=0.95, wall=0.05, marrow=0.2),  # fat suppressed
)


class Slice(Canvas):
    """A canvas with a body's tissues."""

    def __init__(self, rng: Generator, *, aspect: float) -> None:
        super().__init__(rng, aspect=aspect)
        self.levels = _LEVELS[rng.integers(len(_LEVELS))]
        self._grain = self.texture(45)

    def put(self, level: float, *outlines: Points, soft: float = 0.5, grain: float = 0.04) -> None:
        """Lay outlines of one tissue."""
        self.lay(self.area(*outlines, soft=soft), level + grain * self._grain)

    def bone(self, *outlines: Points, wall: float = 0.78) -> None:
        """Lay bones: a wall, and marrow inside it."""
        self.put(self.levels.wall, *outlines)
        self.put(self.levels.marrow, *(scaled(outline, wall) for outline in outlines), soft=1)

    def body(self, outline: Points, *, fat: float) -> Points:
        """Lay skin, fat as thick as a share `fat` of the radius, and muscle; return the muscle's outline."""
        self.put(self.levels.muscle, outline)
        self.put(self.levels.fat, scaled(outline, 0.975), grain=0.02)
        inner = scaled(outline, 1 - fat)
        self.put(self.levels.muscle, inner)
        return inner

    def vertebra(self, x: float, y: float, size: float) -> None:
        """Lay a vertebra seen from above: its body, arch, wings and the canal between."""
        wings = [np.asarray([(x - 1.6 * size, y + 1.3 * size), (x + 1.6 * size, y + 1.3 * size)])]
        thorn = [np.asarray([(x, y + size), (x, y + 2.5 * size)])]
        self.lay(self.strokes([*wings, *thorn], 0.5 * size), self.levels.wall)
        self.bone(lumpy(self.rng, x, y, 1.15 * size, size, lumps=0.03), wall=0.82)
        self.lay(self.ellipse(x, y + 1.3 * size, 0.55 * size, 0.42 * size), self.levels.fluid)
        self.lay(self.ellipse(x, y + 1.3 * size, 0.3 * size, 0.25 * size), self.levels.muscle)

    def vessels(self, x: float, y: float, angle: float, *, within: Points, level: float) -> None:
        """Lay a tree of vessels inside an outline."""
        tree = branches(self.rng, x, y, angle=angle, length=0.22, depth=3, spread=0.9)
        lines = [line for _, line in tree]
        self.lay(self.strokes(lines, 0.022, soft=0.5) * self.area(within), level)

    def scan(self, *, bend: float = 0.02, outside: float | None = 0.0) -> Image.Image:
        """Develop with a scanner's noise and letters."""
        return develop(self.plane, self.rng, bend=bend, noise=0.06, invert=0.03, marks=0.2, outside=outside)


def scaled(outline: Points, factor: float) -> Points:
    """Return an outline of this many times the size about its own middle."""
    middle = outline.mean(axis=0)
    result: Points = middle + (outline - middle) * factor
    return result
