"""Things that are round, grey and textured on black, and no part of a body."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .canvas import Canvas, Plane, Points, chance, curve, develop, lumpy, near

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from PIL import Image


def _angle(canvas: Canvas, x: float, y: float) -> Plane:
    angle: Plane = np.arctan2(canvas.y - y, canvas.x - x)
    return angle


def _ground(rng: Generator) -> float:
    """Return a level to lie on: black more often than not."""
    return rng.uniform(0.1, 0.8) if chance(rng, 0.3) else rng.uniform(0, 0.06)


def _lit(canvas: Canvas, x: float, y: float, radius: float) -> Plane:
    """Light on a ball from a random side, 1 where brightest."""
    direction = canvas.rng.uniform(0, 2 * math.pi)
    height = np.sqrt(np.clip(1 - canvas.distance(x, y, radius) ** 2, 0, 1))
    slope = ((canvas.x - x) * math.cos(direction) + (canvas.y - y) * math.sin(direction)) / radius
    light: Plane = np.clip(canvas.rng.uniform(0.3, 0.9) * height + 0.7 * slope, 0, 1)
    return light


def coins(rng: Generator) -> Image.Image:
    """One coin from near or several: a rim, a head or a number in relief."""
    canvas = Canvas(rng, aspect=rng.uniform(0.8, 1.4), level=_ground(rng))
    count = int(rng.choice([1, 1, 4, 9]))
    across = math.ceil(math.sqrt(count))
    radius = rng.uniform(0.75, 0.95) * min(1, canvas.aspect) / across
    grain = canvas.texture(30)
    for number in range(count):
        x = ((number % across + 0.5) * 2 / across - 1) * canvas.aspect + rng.normal(0, 0.02)
        y = (number // across + 0.5) * 2 / across - 1 + rng.normal(0, 0.02)
        metal, size = rng.uniform(0.35, 0.8), radius * rng.uniform(0.75, 1)
        canvas.lay(canvas.ellipse(x, y, size), metal + 0.05 * grain)
        reliefs = [lumpy(rng, x, y, 0.45 * size, 0.55 * size, lumps=0.12)]
        reliefs += [
            lumpy(rng, *near(rng, x, y, spread=0.25 * size), 0.12 * size, 0.2 * size) for _ in range(5)
        ]
        edge = np.linspace(0, 2 * math.pi, int(rng.integers(12, 40)))
        reliefs += [
            lumpy(
                rng,
                x + 0.78 * size * math.cos(turn),
                y + 0.78 * size * math.sin(turn),
                0.05 * size,
                0.05 * size,
            )
            for turn in edge
        ]
        relief = canvas.area(*reliefs, soft=1)
        canvas.add(relief - np.roll(relief, (2, 2), axis=(0, 1)), rng.uniform(0.2, 0.5))  # lit from one side
        canvas.add(canvas.ellipse(x, y, size) - canvas.ellipse(x, y, 0.93 * size), rng.uniform(-0.3, 0.3))
    return develop(canvas.plane, rng, bend=0.002, outside=canvas.ground)


def cells(rng: Generator) -> Image.Image:
    """Cells under a microscope: rims, kernels, grains; bright or dark field, in a round view or none."""
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
    """A moon or a planet: craters or bands on a ball lit from the front or the side, perhaps stars."""
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


def citrus(rng: Generator) -> Image.Image:
    """A fruit cut across: peel, pith, segments round a middle, pips; or a row of seeds round a core."""
    canvas = Canvas(rng, aspect=rng.uniform(0.9, 1.2), level=_ground(rng))
    radius, count = rng.uniform(0.7, 0.95) * min(1, canvas.aspect), int(rng.integers(5, 15))
    peel, pith, flesh = rng.permutation([rng.uniform(0.2, 0.45), rng.uniform(0.45, 0.7), rng.uniform(0.7, 1)])
    rim = lumpy(rng, 0, 0, radius, radius * rng.uniform(0.85, 1), lumps=0.015)
    canvas.lay(canvas.area(rim), peel)
    canvas.lay(canvas.area(rim * rng.uniform(0.88, 0.96), soft=0.6), pith)
    inner = rim * rng.uniform(0.78, 0.87)
    if chance(rng, 0.6):
        turn = rng.uniform(0, 6)
        segments = []
        for number in range(count):
            start, end = ((number + edge) * 2 * math.pi / count + turn for edge in (0.05, 0.95))
            arc = np.linspace(start, end, 8)
            edge = np.stack([np.cos(arc), np.sin(arc)], axis=1) * float(np.abs(inner[:, 0]).mean()) * 1.5
            middle = np.asarray([[math.cos((start + end) / 2), math.sin((start + end) / 2)]]) * 0.08
            segments.append(np.concatenate([edge, middle]))
        strands = np.sin(_angle(canvas, 0, 0) * rng.integers(30, 70) + 2 * canvas.texture(12))
        canvas.lay(canvas.area(*segments, soft=0.6) * canvas.area(inner), flesh + 0.06 * strands)
    else:
        canvas.lay(canvas.area(inner, soft=2), flesh + 0.05 * canvas.texture(25))
        rays = np.sin(_angle(canvas, 0, 0) * count * 3)
        far = canvas.distance(0, 0, radius)
        canvas.add(np.exp(-(((far - 0.4) / 0.2) ** 2)) * rays, 0.1)
        canvas.lay(canvas.area(lumpy(rng, 0, 0, 0.2 * radius, 0.22 * radius), soft=2), pith)
    seeds = []
    for turn in rng.uniform(0, 2 * math.pi, size=rng.integers(0, 25)):
        x, y = rng.uniform(0.25, 0.4) * radius * np.asarray([math.cos(turn), math.sin(turn)])
        seeds.append(lumpy(rng, x, y, 0.03, 0.03))
    if seeds:
        canvas.lay(canvas.area(*seeds), rng.choice([0.05, 0.95]))
    return develop(canvas.plane, rng, bend=0.02, outside=canvas.ground)


def log(rng: Generator) -> Image.Image:
    """A log across: rings round a pith, bark, cracks, a knot; or an onion's layers."""
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
    """A dish or a plate with round heaps on it."""
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
    canvas.add(mask - np.roll(mask, (2, 2), axis=(0, 1)), 0.3)
    return develop(canvas.plane, rng, bend=0.005, outside=canvas.ground)


def gauge(rng: Generator) -> Image.Image:
    """What scanners are checked with: an even disc with holes, wedges, a grid, rods of several levels."""
    canvas = Canvas(rng, aspect=rng.uniform(0.95, 1.1))
    radius, level = rng.uniform(0.7, 0.92), rng.uniform(0.4, 0.8)
    if chance(rng, 0.4):
        canvas.lay(canvas.ellipse(0, 0, radius * 1.06), 0.25)
    disc = canvas.ellipse(0, 0, radius)
    canvas.lay(disc, level)
    count, far = int(rng.integers(3, 13)), rng.uniform(0.4, 0.75) * radius
    for number in range(count):
        turn = number * 2 * math.pi / count
        rod = canvas.ellipse(far * math.cos(turn), far * math.sin(turn), rng.uniform(0.03, 0.12))
        canvas.lay(rod, rng.uniform(0, 1))
    style = rng.choice(["grid", "dots", "wedges", "none"])
    if style == "grid":
        steps = np.linspace(-0.35, 0.35, int(rng.integers(5, 10)))
        grid = [np.asarray([(-0.35, s), (0.35, s)]) for s in steps] + [
            np.asarray([(s, -0.35), (s, 0.35)]) for s in steps
        ]
        canvas.lay(canvas.strokes(grid, 0.025), 0.05)
    elif style == "dots":
        for row, hole in enumerate((0.01, 0.015, 0.02, 0.03)):
            dots = [
                lumpy(rng, -0.25 + 0.09 * step, -0.2 + 0.13 * row, hole, hole, lumps=0) for step in range(6)
            ]
            canvas.lay(canvas.area(*dots), 0.02)
    elif style == "wedges":
        canvas.lay(canvas.area(np.asarray([(-0.4, 0.1), (0.4, 0.1), (0.4, 0.2), (-0.4, 0.14)])), 0.05)
        canvas.lay(canvas.area(np.asarray([(-0.5, -0.15), (0.5, -0.15), (0.5, -0.05), (-0.5, -0.05)])), 0.1)
    if chance(rng, 0.3):  # ringing near the edge
        canvas.add(disc * np.sin(canvas.distance(0, 0, radius) * 60), 0.04)
    return develop(canvas.plane, rng, bend=0.0, noise=0.08, marks=0.3)


def fingerprint(rng: Generator) -> Image.Image:
    """The ridges of a finger: whorl, loop or arch, broken here and there."""
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


def wheel(rng: Generator) -> Image.Image:
    """A wheel, a gear or a fan: a rim, a hub, spokes, teeth or holes."""
    canvas = Canvas(rng, aspect=rng.uniform(0.9, 1.3), level=_ground(rng))
    radius, count, metal = (
        rng.uniform(0.65, 0.9) * min(1, canvas.aspect),
        int(rng.integers(3, 24)),
        rng.uniform(0.4, 0.9),
    )
    around = np.linspace(0, 2 * math.pi, 240, endpoint=False)
    teeth = 1 + rng.choice([0, 0.08]) * np.sign(np.sin(count * around))
    outline = radius * teeth[:, np.newaxis] * np.stack([np.cos(around), np.sin(around)], axis=1)
    canvas.lay(canvas.area(outline), metal)
    canvas.lay(canvas.ellipse(0, 0, radius * rng.uniform(0.6, 0.85)), metal * rng.uniform(0.1, 0.7))
    spokes = []
    for turn in np.arange(count) * 2 * math.pi / count:
        end, bend = radius * 0.8, rng.choice([0.0, 0.3])
        spokes.append(
            curve(
                [
                    (0, 0),
                    (0.5 * end * math.cos(turn + bend), 0.5 * end * math.sin(turn + bend)),
                    (end * math.cos(turn), end * math.sin(turn)),
                ],
                closed=False,
            )
        )
    canvas.lay(canvas.strokes(spokes, rng.uniform(0.01, 0.12)), metal * rng.uniform(0.8, 1.2))
    canvas.lay(canvas.ellipse(0, 0, radius * 0.2), metal * 0.8)
    canvas.lay(canvas.ellipse(0, 0, radius * 0.07), 0.05)
    canvas.plane = canvas.plane * (0.8 + 0.2 * _lit(canvas, 0, 0, 1.3))
    return develop(canvas.plane, rng, turn=1.0, bend=0.0, outside=canvas.ground)


def flower(rng: Generator) -> Image.Image:
    """A flower or a leaf rosette: petals in rings round a grainy middle."""
    canvas = Canvas(rng, aspect=rng.uniform(0.9, 1.2), level=_ground(rng))
    rings, count, veined = int(rng.integers(1, 5)), int(rng.integers(5, 16)), chance(rng, 0.4)
    for ring in range(rings):
        length = rng.uniform(0.8, 0.95) * min(1, canvas.aspect) * (1 - ring / (rings + 1))
        for number in range(count):
            turn = (number + 0.5 * (ring % 2)) * 2 * math.pi / count + rng.normal(0, 0.05)
            petal = canvas.area(_petal(length, math.pi / count * length * rng.uniform(0.6, 1), turn))
            canvas.lay(petal, rng.uniform(0.4, 0.85))
            if veined:
                vein = np.asarray([(0, 0), (0.9 * length * math.cos(turn), 0.9 * length * math.sin(turn))])
                canvas.lay(0.5 * canvas.strokes([vein], 0.012), 0.25)
    canvas.lay(canvas.ellipse(0, 0, rng.uniform(0.1, 0.25)), 0.3 + 0.25 * canvas.texture(60))
    canvas.plane = canvas.plane * np.clip(0.6 + 0.6 * canvas.distance(0, 0, 1), 0, 1)
    return develop(canvas.plane, rng, turn=1.0, bend=0.03, outside=canvas.ground)


def _petal(length: float, half: float, turn: float) -> Points:
    shape = curve([(0, 0), (0.5 * length, half), (length, 0), (0.5 * length, -half)], steps=5)
    cos, sin = math.cos(turn), math.sin(turn)
    petal: Points = shape @ np.asarray([(cos, sin), (-sin, cos)])
    return petal


def stones(rng: Generator) -> Image.Image:
    """Stones, scales or dried mud: cells about random points, each with its level, and the gaps between."""
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


DRAWINGS: tuple[Callable[[Generator], Image.Image], ...] = (
    *(coins, cells, moon, citrus, log, dish, gauge, fingerprint, wheel, flower, stones),
)
