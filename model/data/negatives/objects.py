"""Round, grey, textured objects on black."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from model.data.negatives.canvas import Canvas, Plane, chance, develop, lumpy, near

if TYPE_CHECKING:
    from numpy.random import Generator
    from PIL import Image


def _ground(rng: Generator) -> float:
    """Background level, mostly black."""
    return rng.uniform(0.1, 0.8) if chance(rng, 0.3) else rng.uniform(0, 0.06)


def _lit(canvas: Canvas, x: float, y: float, radius: float) -> Plane:
    """Shading of a ball from a random side, at most 1."""
    direction = canvas.rng.uniform(0, 2 * math.pi)
    height = np.sqrt(np.clip(1 - canvas.distance(x, y, radius) ** 2, 0, 1))
    slope = ((canvas.x - x) * math.cos(direction) + (canvas.y - y) * math.sin(direction)) / radius
    light: Plane = np.clip(canvas.rng.uniform(0.3, 0.9) * height + 0.7 * slope, 0, 1)
    return light


def cells(rng: Generator) -> Image.Image:
    """Cells under a microscope, in bright or dark field."""
    canvas = Canvas(rng, aspect=rng.uniform(0.9, 1.4), level=_ground(rng))
    size, bright = rng.uniform(0.08, 0.45), chance(rng, 0.5)
    body, kernel = (0.45, 0.9) if bright else (0.7, 0.25)
    outlines, kernels = [], []
    for _ in range(int(min(40, rng.uniform(0.5, 1.3) / size**2))):
        x, y = rng.uniform(-1, 1, size=2) * (canvas.aspect, 1)
        outlines.append(lumpy(rng, x, y, size * rng.uniform(0.6, 1), size * rng.uniform(0.6, 1), lumps=0.06))
        kernels.append(lumpy(rng, *near(rng, x, y, spread=0.1 * size), 0.35 * size, 0.35 * size))
    canvas.lay(0.85 * canvas.area(*outlines, soft=1), body + 0.06 * canvas.texture(40))
    rims = canvas.strokes([np.concatenate([line, line[:1]]) for line in outlines], 0.02, soft=0.6)
    canvas.lay(0.7 * rims, rng.choice([0.95, 0.1]))
    canvas.lay(0.9 * canvas.area(*kernels, soft=1), kernel + 0.08 * canvas.texture(50))
    if chance(rng, 0.4):
        canvas.plane = canvas.plane * canvas.ellipse(0, 0, rng.uniform(0.85, 1.0) * min(1, canvas.aspect))
    return develop(canvas.plane, rng, outside=None)


def moon(rng: Generator) -> Image.Image:
    """A moon with craters or a planet with bands."""
    canvas = Canvas(rng, aspect=rng.uniform(0.9, 1.4))
    radius = rng.uniform(0.6, 0.95) * min(1, canvas.aspect)
    if chance(rng, 0.5):
        surface = 0.65 - 0.25 * (canvas.texture(6) > rng.uniform(0, 0.8)) + 0.05 * canvas.texture(50)
        craters = canvas.area(
            *(
                lumpy(rng, *rng.uniform(-radius, radius, size=2), *[rng.uniform(0.01, 0.1)] * 2)
                for _ in range(30)
            )
        )
        surface = surface + 0.35 * (craters - np.roll(craters, (1, 2), axis=(0, 1)))
    else:
        waves = canvas.y * rng.uniform(6, 20) + rng.uniform(0.2, 1.5) * canvas.texture(7)
        surface = 0.6 + 0.2 * np.sin(waves) + 0.05 * canvas.texture(30)
    light = _lit(canvas, 0, 0, radius) if chance(rng, 0.6) else np.ones_like(canvas.plane)
    if chance(rng, 0.4):
        stars = rng.uniform(-1, 1, size=(60, 2)) * (canvas.aspect, 1)
        canvas.lay(canvas.strokes([np.stack([star, star + 0.01]) for star in stars], 0.01), 0.9)
    canvas.lay(canvas.ellipse(0, 0, radius), surface * light)
    return develop(canvas.plane, rng, turn=1.0, bend=0.0)


def log(rng: Generator) -> Image.Image:
    """Cross-section of a log: rings, bark, cracks, knots."""
    canvas = Canvas(rng, aspect=rng.uniform(0.85, 1.2), level=_ground(rng) * 0.3)
    reach = rng.uniform(0.75, 0.95) * min(1, canvas.aspect)
    x, y = rng.normal(0, 0.12, size=2)
    far = canvas.distance(x, y, 1, rng.uniform(0.85, 1.1)) + rng.uniform(0, 0.06) * canvas.texture(4)
    for _ in range(int(rng.integers(0, 3))):
        knot = canvas.distance(*near(rng, 0, 0, spread=0.45), rng.uniform(0.08, 0.2))
        far = far + 0.15 * np.exp(-(knot**2))
    rings = np.sin(far * rng.uniform(25, 90) + rng.uniform(0, 6))
    wood = rng.uniform(0.35, 0.7) + rng.uniform(0.08, 0.25) * rings + 0.04 * canvas.texture(50)
    trunk = lumpy(rng, 0, 0, reach, reach, lumps=0.03)
    canvas.lay(canvas.area(trunk), rng.choice([0.15, 0.9]) + 0.1 * canvas.texture(40))
    canvas.lay(canvas.area(trunk * rng.uniform(0.86, 0.97)), wood * (1 + rng.uniform(-0.3, 0.3) * far))
    for turn in rng.uniform(0, 2 * math.pi, size=rng.integers(0, 5)):
        toward = np.asarray([math.cos(turn), math.sin(turn)])
        wedge = np.stack(
            [0.2 * toward, reach * toward + 0.03 * toward[::-1], reach * toward - 0.03 * toward[::-1]]
        )
        canvas.lay(canvas.area(wedge), 0.05)
    return develop(canvas.plane, rng, turn=1.0, outside=canvas.ground)


def dish(rng: Generator) -> Image.Image:
    """A dish with round heaps."""
    canvas = Canvas(rng, aspect=rng.uniform(0.9, 1.4), level=_ground(rng))
    radius, plate = rng.uniform(0.8, 0.97) * min(1, canvas.aspect), rng.uniform(0.15, 0.8)
    canvas.lay(canvas.ellipse(0, 0, radius), plate)
    canvas.lay(
        canvas.ellipse(0, 0, 0.97 * radius) - canvas.ellipse(0, 0, 0.93 * radius), rng.choice([0.95, 0.05])
    )
    size = rng.uniform(0.03, 0.25)
    heaps = []
    for _ in range(int(min(60, rng.uniform(0.1, 0.4) / size**2)) + 1):
        turn, far = rng.uniform(0, 2 * math.pi), 0.85 * radius * math.sqrt(rng.random())
        place = far * math.cos(turn), far * math.sin(turn)
        heaps.append(
            lumpy(rng, *place, *(size * rng.uniform(0.6, 1.1, size=2)), lumps=rng.choice([0.02, 0.12]))
        )
    mask = canvas.area(*heaps, soft=1)
    canvas.lay(mask, (plate + 0.5) % 1 + 0.1 * canvas.texture(40))
    relief = 0.3 * (mask - np.roll(mask, (2, 2), axis=(0, 1)))
    return develop(canvas.plane + relief, rng, bend=0.005, outside=canvas.ground)


def fingerprint(rng: Generator) -> Image.Image:
    """A fingerprint: whorl, loop or arch."""
    canvas = Canvas(rng, aspect=rng.uniform(0.7, 1.0))
    far = canvas.distance(0, rng.uniform(-0.1, 0.3), 1, rng.uniform(1, 1.6))
    flow = (
        far
        + rng.uniform(0, 0.3) * canvas.x * rng.choice([-1, 1])
        + rng.uniform(0.03, 0.12) * canvas.texture(4)
    )
    ridges = np.clip(0.5 + np.sin(flow * rng.uniform(45, 80)) * 1.2 + 0.4 * canvas.texture(40), 0, 1)
    print_mask = canvas.area(lumpy(rng, 0, 0, 0.85 * canvas.aspect, 0.9, lumps=0.04), soft=4)
    canvas.plane = print_mask * ridges * np.clip(0.8 + 0.3 * canvas.texture(6), 0, 1.2)
    return develop(canvas.plane, rng, turn=0.3, invert=0.4)


def stones(rng: Generator) -> Image.Image:
    """Stones or dried mud: a Voronoi diagram with gaps."""
    canvas = Canvas(rng, aspect=rng.uniform(0.8, 1.4))
    points = rng.uniform(-1, 1, size=(int(rng.integers(10, 45)), 2)) * (canvas.aspect, 1)
    nearest, second = np.full((2, *canvas.plane.shape), 9, np.float32)
    owner = np.zeros(canvas.plane.shape, np.int64)
    for number, (x, y) in enumerate(points):
        far = np.hypot(canvas.x - x, canvas.y - y)
        second = np.minimum(second, np.maximum(nearest, far))
        owner = np.where(far < nearest, number, owner)
        nearest = np.minimum(nearest, far)
    gap = np.clip((second - nearest) / rng.uniform(0.02, 0.12), 0, 1)
    levels = rng.uniform(0.3, 0.95, size=len(points)).astype(np.float32)
    canvas.plane = gap * (levels[owner] + 0.07 * canvas.texture(40)) * (1 - rng.uniform(0, 0.8) * nearest)
    if chance(rng, 0.5):
        canvas.plane = canvas.plane * canvas.ellipse(
            0, 0, 0.92 * min(1, canvas.aspect), rng.uniform(0.7, 0.95)
        )
    return develop(canvas.plane, rng, bend=0.03, invert=0.2, outside=None)
