"""Slices of other parts of the body, as CT and MRI show them, and other pictures that clinics make."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from .body import Slice, scaled
from .canvas import SIDES, Canvas, branches, chance, curve, develop, lumpy, mirrored, near

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from PIL import Image


def abdomen(rng: Generator) -> Image.Image:
    """A belly from below: liver, spleen, stomach, kidneys, bowel, spine."""
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
    """A chest from below: two dark lungs with their vessels, heart, great vessels, ribs, spine."""
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
        outline = curve(mirrored(lung, side)) * (wide, np.ptp(cage[:, 1]) / 1.25)
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


def hips(rng: Generator) -> Image.Image:
    """A pelvis from below: bladder, rectum, the heads of both thigh bones, the muscles of the seat."""
    canvas = Slice(rng, aspect=rng.uniform(1.2, 1.6))
    levels, wide = canvas.levels, canvas.aspect / 1.4
    inner = canvas.body(
        lumpy(rng, 0, 0, canvas.aspect * 0.95, rng.uniform(0.7, 0.88), lumps=0.03), fat=rng.uniform(0.1, 0.25)
    )
    gaps = np.abs(canvas.texture(6)) < rng.uniform(0.05, 0.2)
    canvas.lay(0.8 * gaps * canvas.area(inner), levels.fat)
    canvas.put(levels.fat, lumpy(rng, 0, 0, 0.42 * wide, 0.6), grain=0.02)
    for side in SIDES:
        canvas.bone(lumpy(rng, side * 0.66 * wide, -0.05, 0.19, 0.18, lumps=0.02), wall=0.88)
        cup = [(0.42, -0.35), (0.52, -0.3), (0.46, 0.0), (0.58, 0.25), (0.46, 0.28), (0.38, 0.0)]
        canvas.bone(curve(mirrored(cup, side)) * (wide, 1), wall=0.6)
        canvas.lay(canvas.ellipse(side * 0.42 * wide, -0.45, 0.05), levels.blood)
    bladder = lumpy(rng, 0, -0.25, 0.28 * wide, rng.uniform(0.12, 0.25))
    canvas.put(levels.muscle, scaled(bladder, 1.12))
    canvas.put(levels.fluid, bladder)
    canvas.put(levels.organ, lumpy(rng, 0, 0.08, 0.18, 0.11))
    rectum = lumpy(rng, 0, 0.33, 0.13, 0.1)
    canvas.put(levels.muscle, rectum)
    canvas.put(float(rng.choice([levels.air, levels.organ])), scaled(rectum, 0.6))
    canvas.bone(lumpy(rng, 0, 0.55, 0.12, 0.06, lumps=0.05))
    return canvas.scan()


def limb(rng: Generator) -> Image.Image:
    """Across an arm or a leg, or both legs: round, a rim of fat, muscles, one bone or two."""
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
        # Unlike in size and place: two alike, side by side, are what a brain's ventricles look like.
        places = ((-0.15, -0.1, 0.24), (0.4, 0.15, 0.12))[:bones]
        for across, down, size in places:
            middle = near(rng, x + across * reach, down * reach, spread=0.05)
            bone = lumpy(rng, *middle, size * reach, size * reach, lumps=0.06)
            canvas.bone(bone, wall=rng.uniform(0.5, 0.75))
        for _ in range(int(rng.integers(2, 6))):
            vessel = canvas.ellipse(x + rng.normal(0, 0.3), rng.normal(0.1, 0.3), 0.035)
            canvas.lay(vessel * canvas.area(inner), levels.blood)
    return canvas.scan()


def knee(rng: Generator) -> Image.Image:
    """A knee from the side: thigh bone, shin bone, knee cap, cartilage, ligaments, fat."""
    canvas = Slice(rng, aspect=rng.uniform(0.7, 1.05))
    levels, side = canvas.levels, float(rng.choice(SIDES))
    leg = curve(
        [
            (-0.62, -1.4),
            (0.55, -1.4),
            (0.68, -0.3),
            (0.55, 0.3),
            (0.6, 1.4),
            (-0.45, 1.4),
            (-0.6, 0.2),
            (-0.75, -0.2),
        ]
    )
    canvas.put(levels.fat, mirrored(leg, side), grain=0.02)
    calf = curve(
        [
            (0.3, -1.4),
            (0.52, -1.4),
            (0.6, -0.4),
            (0.4, 0.0),
            (0.55, 0.5),
            (0.55, 1.4),
            (0.2, 1.4),
            (0.28, 0.4),
        ]
    )
    canvas.put(levels.muscle, mirrored(calf, side))
    front = curve([(-0.56, -1.4), (-0.35, -1.4), (-0.42, -0.6), (-0.62, -0.45)])
    canvas.put(levels.muscle, mirrored(front, side))
    thigh = curve(
        [
            (-0.3, -1.4),
            (0.15, -1.4),
            (0.2, -0.75),
            (0.42, -0.4),
            (0.36, -0.05),
            (0.05, 0.08),
            (-0.3, -0.05),
            (-0.4, -0.45),
        ]
    )
    shin = curve(
        [
            (-0.38, 0.22),
            (0.0, 0.16),
            (0.38, 0.2),
            (0.36, 0.4),
            (0.15, 0.75),
            (0.1, 1.4),
            (-0.3, 1.4),
            (-0.32, 0.6),
        ]
    )
    cap = curve([(-0.62, -0.45), (-0.5, -0.42), (-0.5, -0.05), (-0.62, -0.05)])
    turned = [mirrored(shape, side) for shape in (thigh, shin, cap)]
    canvas.put(levels.fluid * 0.8, *(scaled(shape, 1.08) for shape in turned))  # cartilage
    canvas.bone(*turned, wall=0.94)
    tendons = [
        [(-0.6, -1.0), (-0.64, -0.45)],
        [(-0.62, -0.05), (-0.4, 0.5)],
        [(0.1, -0.1), (-0.15, 0.25)],
        [(0.1, 0.0), (0.3, 0.3)],
    ]
    canvas.lay(canvas.strokes([mirrored(line, side) for line in tendons], 0.05), levels.wall)
    for x in (-0.3, 0.28):
        wedge = np.asarray([(x - 0.12, 0.1), (x + 0.12, 0.08), (x, 0.17)])
        canvas.put(0.05, mirrored(wedge, side))
    return canvas.scan(outside=None)


def heart(rng: Generator) -> Image.Image:
    """A heart across its long axis: a ring with a bright pool, the other chamber's crescent, lung, liver."""
    canvas = Slice(rng, aspect=rng.uniform(0.85, 1.2))
    zoom = rng.uniform(0.7, 1.3)
    blood, muscle = ((0.9, 0.3), (0.75, 0.3), (0.15, 0.55))[rng.integers(3)]
    canvas.lay(np.ones_like(canvas.plane), 0.06 + 0.02 * canvas.texture(20))
    wall = curve([(-1.3, -1.3), (1.3, -1.3), (1.3, -0.9), (0.4, -0.72), (-0.6, -0.8), (-1.3, -0.4)])
    canvas.put(0.75, wall, soft=1.5)
    canvas.put(0.35, scaled(wall, 0.85), soft=1.5)
    canvas.put(0.42, curve([(-1.3, 0.55), (-0.3, 0.6), (0.3, 0.72), (1.3, 1.3), (-1.3, 1.4)]), soft=1.5)
    x, y = rng.normal(0, 0.08, size=2)
    right = curve([(-0.15, -0.48), (-0.5, -0.35), (-0.72, 0.1), (-0.62, 0.42), (-0.2, 0.4), (-0.3, 0.0)])
    canvas.put(0.7, lumpy(rng, x - 0.12 * zoom, y, 0.72 * zoom, 0.6 * zoom), soft=2)
    canvas.put(muscle, scaled(right * zoom + (x, y), 1.12))
    canvas.put(blood, right * zoom + (x, y), soft=1)
    outer, inner = rng.uniform(0.42, 0.5) * zoom, rng.uniform(0.2, 0.34) * zoom
    canvas.put(muscle, lumpy(rng, x + 0.1, y, outer, outer, lumps=0.02), soft=1)
    canvas.put(blood, lumpy(rng, x + 0.1, y, inner, inner, lumps=0.04), soft=1)
    for angle in rng.uniform(0, 2 * math.pi, size=2):
        canvas.lay(
            canvas.ellipse(
                x + 0.1 + 0.65 * inner * math.cos(angle), y + 0.65 * inner * math.sin(angle), 0.05 * zoom
            ),
            muscle,
        )
    canvas.vertebra(-0.2, 0.95, 0.15)
    return canvas.scan(bend=0.025, outside=None)


def spine(rng: Generator) -> Image.Image:
    """A lower spine from the side: a row of bodies and discs, the cord in its canal, thorns, fat behind."""
    canvas = Slice(rng, aspect=rng.uniform(0.45, 0.85))
    levels, side, sway = canvas.levels, float(rng.choice(SIDES)), rng.uniform(0.05, 0.14)
    canvas.lay(np.ones_like(canvas.plane), levels.muscle * 0.7 + 0.05 * canvas.texture(14))
    back = np.asarray([(0.42, -1.4), (1.2, -1.4), (1.2, 1.4), (0.42, 1.4)])
    canvas.put(levels.fat, mirrored(back, side), soft=3)
    canvas.put(levels.muscle, mirrored(back - (0.12, 0), side) * (0.85, 1), soft=2)
    canvas.put(
        0.02,
        mirrored(curve([(-1.3, -1.4), (-0.7, -1.4), (-0.62, 0), (-0.75, 1.4), (-1.3, 1.4)]), side),
        soft=4,
    )
    down = np.linspace(-1.2, 1.2, 40)
    line = sway * np.sin(2.2 * down + rng.uniform(-0.5, 0.5))
    canal = [mirrored(np.stack([line + 0.23, down], axis=1), side)]
    canvas.lay(canvas.strokes(canal, 0.16), levels.fluid)
    canvas.lay(canvas.strokes([canal[0][: int(rng.integers(15, 40))]], 0.065, soft=0.6), levels.organ)
    step = rng.uniform(0.24, 0.34)
    for y in np.arange(-1.15, 1.2, step):
        x, tilt = float(np.interp(y, down, line)), 0.8 * sway * math.cos(2.2 * y)
        box = np.asarray(
            [(-0.17, -0.38), (0.13, -0.38), (0.12, 0), (0.13, 0.38), (-0.17, 0.38), (-0.15, 0)]
        ) * (1, step)
        turned = box @ np.asarray([(math.cos(tilt), -math.sin(tilt)), (math.sin(tilt), math.cos(tilt))])
        canvas.bone(curve(mirrored(np.add(turned, (x, y)), side), steps=4), wall=0.9)
        disc = lumpy(rng, side * (x - 0.02), y + step / 2, 0.145, 0.12 * step)
        canvas.put(float(rng.choice([levels.fluid, levels.muscle, 0.1])), disc, soft=0.8)
        thorn = np.asarray([(x + 0.35, y + 0.05), (x + 0.55, y + 0.14)])
        canvas.lay(0.8 * canvas.strokes([mirrored(thorn, side)], 0.1, soft=1), levels.marrow)
    return canvas.scan(bend=0.015, outside=None)


def breasts(rng: Generator) -> Image.Image:
    """Both breasts and the chest's wall from below, lying face down or up."""
    canvas = Slice(rng, aspect=rng.uniform(1.3, 1.8))
    levels, wide = canvas.levels, canvas.aspect / 1.5
    canvas.put(levels.muscle, lumpy(rng, 0, 0.95, canvas.aspect, 0.85, lumps=0.01))
    for side in SIDES:
        canvas.put(levels.air, lumpy(rng, side * 0.65 * wide, 0.85, 0.42 * wide, 0.5))
        deep = rng.uniform(0.75, 0.95)
        breast = [(0.1, 0.2), (0.3, -0.4), (0.6, -deep), (0.95, -0.45), (1.25, 0.3), (1.2, 0.45), (0.6, 0.12)]
        outline = curve(mirrored(breast, side)) * (wide, 1)
        canvas.put(levels.fat, outline, grain=0.02)
        gland = canvas.area(scaled(outline, rng.uniform(0.5, 0.8)), soft=3)
        strands = np.clip(canvas.texture(14) + 0.5 * canvas.texture(40) + rng.uniform(-0.5, 0.8), 0, 1)
        canvas.lay(gland * strands, levels.organ)
    canvas.put(levels.organ, lumpy(rng, 0.1, 0.65, 0.35, 0.28))
    canvas.put(levels.blood, lumpy(rng, 0.15, 0.65, 0.15, 0.14))
    canvas.plane = canvas.plane[:: int(rng.choice(SIDES))]
    return canvas.scan()


def ultrasound(rng: Generator) -> Image.Image:
    """A fan of echoes: speckle that fades with depth, dark cysts, bright walls and their shadows."""
    canvas = Canvas(rng, aspect=rng.uniform(0.9, 1.4))
    far = np.hypot(canvas.x, canvas.y + 1.15)
    angle = np.arctan2(canvas.x, canvas.y + 1.15)
    opening, near, end = rng.uniform(0.45, 0.8), rng.uniform(0.1, 0.4), rng.uniform(1.7, 2.1)
    scene = 0.4 + 0.15 * canvas.texture(7)
    for _ in range(int(rng.integers(1, 5))):
        x, y = rng.normal((0, 0.1), (0.35, 0.4))
        outline = lumpy(rng, x, y, *rng.uniform(0.1, 0.45, size=2), lumps=0.06)
        wall = canvas.strokes([np.concatenate([outline, outline[:1]])], rng.uniform(0.02, 0.06), soft=1)
        inside = canvas.area(outline, soft=1)
        scene = scene + inside * (rng.choice([0.03, 0.2, 0.5]) - scene)
        scene = scene + rng.uniform(0.3, 1) * wall * (0.9 - scene)
    for _ in range(int(rng.integers(0, 3))):  # stones and ribs let nothing through
        ray, depth = rng.uniform(-opening, opening), rng.uniform(0.4, 1.5)
        scene = scene * (1 - 0.8 * (np.abs(angle - ray) < rng.uniform(0.02, 0.08)) * (far > depth))
    grain = np.hypot(*rng.standard_normal((2, 110, 70), np.float32))
    place = np.stack([np.clip(far / 2.3, 0, 1) * 109, (np.clip(angle / 1.6, -1, 1) + 1) * 34.5])
    echoes = ndimage.map_coordinates(grain, place, order=1, mode="nearest")
    fade = np.exp(-rng.uniform(0, 0.7) * far)
    fan = (far > near) & (far < end) & (np.abs(angle) < opening)
    canvas.plane = scene * (0.25 + 0.75 * echoes) * fade * fan * rng.uniform(0.9, 1.5)
    return develop(canvas.plane, rng, turn=0.02, bend=0.005, noise=0.03, invert=0.0, marks=0.6)


def retina(rng: Generator) -> Image.Image:
    """The back of an eye: a round field, the nerve's bright disc, vessels out of it, a dark spot."""
    canvas = Canvas(rng, aspect=rng.uniform(1.0, 1.3))
    side = float(rng.choice(SIDES))
    field = canvas.ellipse(0, 0, rng.uniform(0.85, 0.97))
    glow = 0.5 - 0.2 * canvas.distance(0.2 * side, 0, 1.0) ** 2
    canvas.plane = glow + 0.04 * canvas.texture(8) + 0.02 * canvas.texture(40)
    x, y = side * rng.uniform(0.25, 0.5), rng.normal(0, 0.05)
    canvas.lay(0.7 * np.exp(-(canvas.distance(-0.15 * side, 0.03, 0.16) ** 2)), 0.15)
    canvas.lay(canvas.ellipse(x, y, 0.13, 0.14, soft=4), rng.uniform(0.75, 1))
    for direction in (-1.2, -2.0, 1.2, 2.0):
        angle = direction if side > 0 else math.pi - direction
        tree = branches(rng, x, y, angle=angle + rng.normal(0, 0.15), length=0.4, depth=4, spread=0.7)
        for depth in range(5):
            lines = [line for level, line in tree if level == depth]
            canvas.lay(0.75 * canvas.strokes(lines, 0.008 + 0.007 * depth), 0.15)
    for _ in range(int(rng.choice([0, 0, 8]))):
        canvas.lay(
            0.8 * canvas.area(lumpy(rng, *near(rng, 0, 0, spread=0.4), 0.04, 0.04)), rng.choice([0.1, 0.9])
        )
    canvas.plane = canvas.plane * field
    return develop(canvas.plane, rng, bend=0.0, noise=0.03, marks=0.1)


DRAWINGS: tuple[Callable[[Generator], Image.Image], ...] = (
    *(abdomen, thorax, hips, limb, knee, heart, spine, breasts, ultrasound, retina),
)
