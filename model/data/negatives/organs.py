"""Slices of other parts of the body, as in CT and MRI."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from model.data.negatives.canvas import SIDES, Canvas, Points, branches, chance, curve, develop, lumpy, near

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
    # CT with contrast agent
    Levels(fat=0.22, muscle=0.45, organ=0.6, blood=0.9, fluid=0.38, wall=1.0, marrow=0.7, air=0.0),
    Levels(fat=0.9, muscle=0.4, organ=0.48, blood=0.15, fluid=0.12, wall=0.06, marrow=0.72),  # T1
    Levels(fat=0.7, muscle=0.25, organ=0.4, blood=0.2, fluid=0.95, wall=0.05, marrow=0.5),  # T2
    Levels(fat=0.15, muscle=0.35, organ=0.45, blood=0.6, fluid=0.95, wall=0.05, marrow=0.2),  # fat suppressed
)


class Slice(Canvas):
    """A canvas with the grey levels of one modality."""

    def __init__(self, rng: Generator, *, aspect: float) -> None:
        super().__init__(rng, aspect=aspect)
        self.levels = _LEVELS[rng.integers(len(_LEVELS))]
        self._grain = self.texture(45)

    def put(self, level: float, *outlines: Points, soft: float = 0.5, grain: float = 0.04) -> None:
        """Paint outlines with one tissue."""
        self.lay(self.area(*outlines, soft=soft), level + grain * self._grain)

    def bone(self, *outlines: Points, wall: float = 0.78) -> None:
        """Paint bones: a wall with marrow inside."""
        self.put(self.levels.wall, *outlines)
        self.put(self.levels.marrow, *(scaled(outline, wall) for outline in outlines), soft=1)

    def body(self, outline: Points, *, fat: float) -> Points:
        """Paint skin, fat (relative to the radius) and muscle; return the muscle's outline."""
        self.put(self.levels.muscle, outline)
        self.put(self.levels.fat, scaled(outline, 0.975), grain=0.02)
        inner = scaled(outline, 1 - fat)
        self.put(self.levels.muscle, inner)
        return inner

    def vertebra(self, x: float, y: float, size: float) -> None:
        """Paint a vertebra: body, arch, processes and canal."""
        wings = np.asarray([(x - 1.6 * size, y + 1.3 * size), (x + 1.6 * size, y + 1.3 * size)])
        thorn = np.asarray([(x, y + size), (x, y + 2.5 * size)])
        self.lay(self.strokes([wings, thorn], 0.5 * size), self.levels.wall)
        self.bone(lumpy(self.rng, x, y, 1.15 * size, size, lumps=0.03), wall=0.82)
        self.lay(self.ellipse(x, y + 1.3 * size, 0.55 * size, 0.42 * size), self.levels.fluid)
        self.lay(self.ellipse(x, y + 1.3 * size, 0.3 * size, 0.25 * size), self.levels.muscle)

    def vessels(self, x: float, y: float, angle: float, *, within: Points, level: float) -> None:
        """Paint a tree of vessels inside an outline."""
        lines = branches(self.rng, x, y, angle=angle, length=0.22, depth=3)
        self.lay(self.strokes(lines, 0.022, soft=0.5) * self.area(within), level)

    def scan(self) -> Image.Image:
        """Develop with a scanner's noise."""
        return develop(self.plane, self.rng, noise=0.06, invert=0.03)


def scaled(outline: Points, factor: float) -> Points:
    """The outline scaled about its centre."""
    middle = outline.mean(axis=0)
    result: Points = middle + (outline - middle) * factor
    return result


def abdomen(rng: Generator) -> Image.Image:
    """Abdomen: liver, spleen, stomach, kidneys, bowel, spine."""
    canvas = Slice(rng, aspect=rng.uniform(1.15, 1.5))
    levels, wide = canvas.levels, canvas.aspect / 1.3
    skin = lumpy(rng, 0, 0, canvas.aspect * 0.93, rng.uniform(0.78, 0.93), lumps=0.02)
    inner = canvas.body(skin, fat=rng.uniform(0.06, 0.25))
    scale = np.ptp(inner[:, 0]) / 2.3, np.ptp(inner[:, 1]) / 1.75
    canvas.put(levels.fat, scaled(inner, 0.9), grain=0.02)
    back = 0.5
    ribs = scaled(inner, 0.94)[:: int(rng.integers(5, 8))]
    canvas.bone(*(lumpy(rng, x, y, 0.06, 0.035) for x, y in ribs if y < back))
    for _ in range(int(rng.integers(5, 14))):
        x, y = rng.normal((0.1, -0.25), (0.4, 0.25)) * scale
        loop = lumpy(rng, x, y, 0.12, 0.1, lumps=0.12)
        canvas.put(levels.organ, loop)
        canvas.put(float(rng.choice([levels.air, levels.fluid, levels.organ])), scaled(loop, 0.75))
    liver = curve(
        [(-0.95, -0.2), (-0.6, -0.6), (0.0, -0.66), (0.25, -0.5), (-0.1, -0.2), (-0.35, 0.15), (-0.65, 0.5)]
    ) * (scale[0] * wide, scale[1] * rng.uniform(0.8, 1.1))
    if chance(rng, 0.8):
        canvas.put(levels.organ, liver)
        canvas.vessels(-0.15, -0.1, math.pi * 0.95, within=liver, level=levels.blood)
        canvas.vessels(-0.15, -0.2, math.pi * 1.25, within=liver, level=levels.blood)
        stomach = lumpy(rng, 0.42 * wide, -0.38 * scale[1], 0.28, 0.17, lumps=0.08)
        canvas.put(levels.organ, stomach)
        canvas.put(float(rng.choice([levels.air, levels.fluid])), scaled(stomach, 0.85))
        spleen = [(0.9, -0.1), (0.95, 0.25), (0.7, 0.5), (0.68, 0.2)]
        canvas.put(levels.organ * 1.05, curve(spleen) * scale)
    for side in SIDES:
        kidney = lumpy(rng, side * 0.47 * scale[0], 0.3 * scale[1], 0.15, 0.19, lumps=0.05)
        canvas.put(0.5 * (levels.organ + levels.blood), kidney)
        canvas.put(levels.organ * 0.9, scaled(kidney, 0.7), soft=2)
        canvas.put(levels.fat, lumpy(rng, side * 0.38 * scale[0], 0.3 * scale[1], 0.07, 0.05), soft=1)
        canvas.put(levels.muscle, lumpy(rng, side * 0.22 * scale[0], 0.6 * scale[1], 0.19, 0.16))
        canvas.put(levels.muscle, lumpy(rng, side * 0.2 * scale[0], 0.36 * scale[1], 0.09, 0.11))
    canvas.vertebra(0, 0.36 * scale[1], 0.13)
    canvas.lay(canvas.ellipse(0.07, 0.13 * scale[1], 0.075), levels.blood)
    canvas.lay(canvas.ellipse(-0.13, 0.15 * scale[1], 0.08, 0.065), levels.blood)
    return canvas.scan()


def thorax(rng: Generator) -> Image.Image:
    """Thorax: lungs with vessels, heart, great vessels, ribs, spine."""
    canvas = Slice(rng, aspect=rng.uniform(1.2, 1.6))
    levels, wide = canvas.levels, canvas.aspect / 1.4
    skin = lumpy(rng, 0, 0, canvas.aspect * 0.95, rng.uniform(0.75, 0.9), lumps=0.02)
    inner = canvas.body(skin, fat=rng.uniform(0.05, 0.15))
    cage = scaled(inner, 0.86)
    canvas.put(levels.fat, cage, grain=0.02)
    step = len(cage) // int(rng.integers(7, 11))
    ribs = [scaled(inner, 0.9)[start : start + step // 2 + 1] for start in range(0, len(inner) - step, step)]
    canvas.lay(canvas.strokes(ribs, 0.055), levels.wall)
    air = levels.air + 0.06
    for side in SIDES:
        lung = [
            (0.16, -0.5),
            (0.5, -0.6),
            (0.9, -0.2),
            (0.95, 0.2),
            (0.6, 0.55),
            (0.25, 0.5),
            (0.14, 0.1),
            (0.3, -0.1),
        ]
        outline = curve(lung) * (side * wide, np.ptp(cage[:, 1]) / 1.25)
        canvas.put(air, outline, grain=0.015)
        for angle in (-0.8, 0, 0.8):
            turned = angle if side > 0 else math.pi - angle
            canvas.vessels(side * 0.2, 0.05, turned, within=outline, level=0.7 * levels.organ)
    heart = lumpy(rng, 0.12 * wide, -0.15, 0.4 * wide, 0.33, lumps=0.06)
    canvas.put(levels.muscle, heart)
    for _ in range(int(rng.integers(1, 5))):
        chamber = lumpy(rng, *near(rng, 0.12 * wide, -0.15, spread=0.13), 0.13, 0.12)
        canvas.put(levels.blood, chamber, soft=1.5)
    canvas.vertebra(0, 0.4, 0.12)
    canvas.lay(canvas.ellipse(0.18, 0.28, 0.085), levels.blood)
    canvas.lay(canvas.ellipse(0, 0.15, 0.06, 0.05), levels.air)
    return canvas.scan()


def limb(rng: Generator) -> Image.Image:
    """Cross-section of an arm or a leg, or of both legs: fat, muscles, one or two bones."""
    both = chance(rng, 0.3)
    canvas = Slice(rng, aspect=rng.uniform(1.6, 2.0) if both else rng.uniform(0.85, 1.2))
    levels = canvas.levels
    thick, bones = rng.uniform(0.05, 0.3), int(rng.integers(1, 3))
    gaps = np.clip(1 - np.abs(canvas.texture(5)) / rng.uniform(0.08, 0.3), 0, 1)
    reach = min(1, canvas.aspect) * rng.uniform(0.7, 0.92)
    for side in SIDES if both else (0,):
        x = side * canvas.aspect / 2
        inner = canvas.body(lumpy(rng, x, 0, reach * (0.85 if both else 1), reach, lumps=0.04), fat=thick)
        canvas.lay(gaps * canvas.area(inner), levels.fat)
        # Different in size and place: two equal ones side by side would look like ventricles.
        places = ((-0.15, -0.1, 0.24), (0.4, 0.15, 0.12))[:bones]
        for across, down, size in places:
            middle = near(rng, x + across * reach, down * reach, spread=0.05)
            bone = lumpy(rng, *middle, size * reach, size * reach, lumps=0.06)
            canvas.bone(bone, wall=rng.uniform(0.5, 0.75))
        for _ in range(int(rng.integers(2, 6))):
            vessel = canvas.ellipse(x + rng.normal(0, 0.3), rng.normal(0.1, 0.3), 0.035)
            canvas.lay(vessel * canvas.area(inner), levels.blood)
    return canvas.scan()
