"""X-ray-like pictures: shadows that add up, bone bright on tissue on black."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .canvas import SIDES, Canvas, Plane, Points, branches, chance, curve, develop, lumpy, mirrored, near

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from PIL import Image


def _film(canvas: Canvas, *, bend: float = 0.012) -> Image.Image:
    return develop(
        canvas.plane, canvas.rng, turn=0.1, bend=bend, noise=0.05, invert=0.12, marks=0.45, outside=None
    )


def _bone(p: Points | tuple[float, float], q: Points | tuple[float, float], width: float) -> Points:
    """Outline of a long bone from `p` to `q`: a shaft with two knobs."""
    start, end = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    along = end - start
    normal = np.asarray([-along[1], along[0]]) / max(math.hypot(*along), 1e-6)
    places = np.asarray([0, 0.04, 0.14, 0.5, 0.86, 0.96, 1.0])
    halves = width / 2 * np.asarray([0.5, 1.0, 0.85, 0.55, 0.8, 0.95, 0.5])
    middle = start + places[:, np.newaxis] * along
    right, left = middle + halves[:, np.newaxis] * normal, middle - halves[:, np.newaxis] * normal
    return curve(np.concatenate([right, left[::-1]]), steps=5)


def _lay_bones(canvas: Canvas, bones: list[Points], *, strength: float = 0.4, wall: float = 2.0) -> None:
    """Add bones with bright walls: an even shadow, and more of it near the outline."""
    mask = canvas.area(*bones)
    marrow = canvas.area(*bones, soft=wall * 1.6)
    canvas.add(mask * (1.9 - 0.9 * marrow + 0.1 * canvas.texture(60)), strength)


def chest(rng: Generator) -> Image.Image:
    """A chest from the front: lungs, ribs, heart, spine, collar bones, diaphragm."""
    canvas = Canvas(rng, aspect=rng.uniform(0.8, 1.15), level=0.03)
    wide = rng.uniform(0.85, 1.05)
    half = [(-0.01, -1.3), (0.16, -1.1), (0.2, -0.9), (0.62, -0.75), (1.0, -0.5), (1.1, 0.2), (1.1, 1.5)]
    body = [curve(mirrored([*half, (-0.01, 1.5)], side * wide)) for side in SIDES]
    canvas.lay(canvas.area(*body, soft=4), rng.uniform(0.42, 0.55))
    air, tall = rng.uniform(0.06, 0.2), rng.uniform(0.95, 1.15)
    lungs = np.zeros_like(canvas.plane)
    for side in SIDES:
        dome = rng.uniform(0.36, 0.5) - 0.05 * side
        lung = [(0.3, -0.78), (0.6, -0.56), (0.79, 0), (0.85, dome + 0.2), (0.5, dome), (0.15, dome + 0.07)]
        outline = curve(mirrored([*lung, (0.13, -0.1), (0.11, -0.55)], side * wide) * (1, tall))
        lungs = np.maximum(lungs, canvas.area(outline, soft=2))
    canvas.lay(lungs, air + 0.03 * canvas.texture(12))
    trees = [
        branches(rng, 0.1 * s, -0.05, angle=math.pi * (s < 0), length=0.26, depth=3, spread=0.9)
        for s in SIDES
    ]
    for depth in range(4):
        lines = [line for tree in trees for level, line in tree if level == depth]
        canvas.add(canvas.strokes(lines, 0.015 + 0.012 * depth, soft=1) * lungs, 0.1)
    _add_ribs(canvas, wide=wide, lungs=lungs)
    heart = [(-0.16, -0.1), (0.08, -0.32), (0.3, 0.05), (0.46, 0.42), (0.1, 0.6), (-0.22, 0.42)]
    middle = [(-0.1, -1.2), (0.1, -1.2), (0.12, -0.3), (0.16, 1.3), (-0.16, 1.3), (-0.12, -0.3)]
    heart_side = -1 if chance(rng, 0.1) else 1
    outline = curve(
        mirrored(heart, heart_side * rng.uniform(0.8, 1.25)) * tall + (0, rng.uniform(-0.08, 0.05))
    )
    canvas.lay(0.9 * canvas.area(outline, soft=2), 0.62)
    canvas.lay(0.8 * canvas.area(curve(middle), soft=3), 0.66)
    canvas.add(canvas.strokes([np.asarray([(0, -1.2), (0.01, -0.3)])], 0.07, soft=2), -0.12)  # the windpipe
    vertebrae = [np.asarray([(-0.08, y), (0.08, y)]) for y in np.arange(-1, 1, 0.16)]
    canvas.add(canvas.strokes(vertebrae, 0.025, soft=1), rng.uniform(0.0, 0.07))
    collar = [(0.07, -0.56), (0.35, -0.62), (0.85, -0.78)]
    canvas.add(canvas.strokes([curve(mirrored(collar, s * wide), closed=False) for s in SIDES], 0.06), 0.14)
    if chance(rng, 0.5):
        canvas.lay(0.8 * canvas.ellipse(0.4, 0.75, 0.16, 0.08, soft=4), 0.3)  # air in the stomach
    return _film(canvas)


def _add_ribs(canvas: Canvas, *, wide: float, lungs: Plane) -> None:
    rng = canvas.rng
    behind, before = [], []
    step = rng.uniform(0.125, 0.16)
    for rib in range(10):
        y, reach = -0.82 + step * rib, wide * min(0.88, 0.46 + 0.09 * rib)
        back = [(0.06, y), (0.6 * reach, y - 0.03), (0.97 * reach, y + 0.12), (reach, y + 0.26)]
        front = [(reach, y + 0.26), (0.85 * reach, y + 0.42), (0.4 * reach, y + 0.5)]
        for side in SIDES:
            behind.append(curve(mirrored(back, side), closed=False, steps=5))
            before.append(curve(mirrored(front, side), closed=False, steps=5))
    strength = rng.uniform(0.08, 0.18)
    for lines, share in ((behind, 1.0), (before, 0.6)):
        outer, inner = canvas.strokes(lines, 0.062), canvas.strokes(lines, 0.036, soft=1)
        canvas.add((outer - 0.45 * inner) * (0.3 + 0.7 * lungs), strength * share)


def hand(rng: Generator) -> Image.Image:
    """The bones of a hand within its flesh."""
    canvas = Canvas(rng, aspect=rng.uniform(0.62, 0.85))
    side = rng.choice(SIDES)
    flesh, bones = [], []
    spread = rng.uniform(0.7, 1.3)
    for finger, (angle, length, base) in enumerate(
        [(-0.75, 0.62, -0.2), (-0.2, 0.95, -0.13), (0.0, 1.02, -0.03), (0.16, 0.96, 0.06), (0.34, 0.8, 0.14)]
    ):
        direction = angle * spread + rng.normal(0, 0.03)
        place = np.asarray([base, 0.36])
        flesh.append(np.asarray([place, place + 1.16 * length * _toward(direction)]))
        shares = (0.42, 0.36, 0.24) if finger == 0 else (0.48, 0.29, 0.18, 0.13)
        for joint, share in enumerate(shares):
            direction += rng.normal(0, 0.03)
            end = place + share * length * _toward(direction)
            bones.append(_bone(place, end, 0.105 - 0.017 * joint))
            place = end + 0.02 * _toward(direction)
    for x, y in (
        (-0.15, 0.44),
        (-0.05, 0.42),
        (0.06, 0.42),
        (0.14, 0.45),
        (-0.12, 0.54),
        (-0.01, 0.53),
        (0.1, 0.55),
    ):
        bones.append(lumpy(rng, x, y, 0.062, 0.062))
    bones += [_bone((-0.09, 0.62), (-0.09, 1.3), 0.2), _bone((0.1, 0.64), (0.09, 1.3), 0.13)]
    turned = [bone * (side, 1) for bone in bones]
    palm = curve(mirrored([(-0.25, 0.1), (0.2, 0), (0.26, 0.5), (0.2, 1.3), (-0.2, 1.3), (-0.24, 0.6)], side))
    canvas.lay(canvas.strokes([line * (side, 1) for line in flesh], 0.17, soft=2), 0.24)
    canvas.lay(canvas.area(palm, soft=3), 0.28)
    canvas.plane = np.minimum(canvas.plane, 0.28)
    _lay_bones(canvas, turned, strength=rng.uniform(0.25, 0.45))
    return _film(canvas, bend=0.015)


def _toward(angle: float) -> Points:
    """Step of length 1 upward, turned by an angle."""
    return np.asarray([math.sin(angle), -math.cos(angle)])


def pelvis(rng: Generator) -> Image.Image:
    """A pelvis from the front: wings, sacrum, hip joints, thigh bones, seat bones with their holes."""
    canvas = Canvas(rng, aspect=rng.uniform(1.0, 1.35))
    body = curve([(-1.0, -1.3), (1.0, -1.3), (1.12, -0.2), (1.05, 1.4), (-1.05, 1.4), (-1.12, -0.2)])
    canvas.lay(canvas.area(body, soft=5), rng.uniform(0.25, 0.4))
    canvas.lay(canvas.area(curve([(-0.1, 0.75), (0.1, 0.75), (0.2, 1.6), (-0.2, 1.6)]), soft=4), 0.1)
    canvas.add(canvas.texture(5) * canvas.area(body, soft=5), 0.03)
    wings, seats, holes = [], [], []
    for side in SIDES:
        wing = [
            (0.16, -0.3),
            (0.3, -0.62),
            (0.66, -0.72),
            (0.84, -0.5),
            (0.7, -0.12),
            (0.62, 0.12),
            (0.38, 0.1),
        ]
        seat = [(0.03, 0.28), (0.4, 0.05), (0.55, 0.25), (0.42, 0.68), (0.28, 0.72), (0.05, 0.45)]
        thigh = [
            (0.53, 0.14),
            (0.6, 0.02),
            (0.72, 0.12),
            (0.9, 0.22),
            (0.88, 0.6),
            (0.86, 1.5),
            (0.7, 1.5),
            (0.7, 0.5),
        ]
        wings += [curve(mirrored(shape, side)) for shape in (wing, [*thigh, (0.56, 0.26)])]
        seats.append(curve(mirrored(seat, side)))
        seats.append(lumpy(rng, 0.56 * side, 0.14, 0.13, 0.13, lumps=0.02))
        holes.append(lumpy(rng, 0.26 * side, 0.42, 0.1, 0.12))
    seats.append(
        curve([(-0.2, -0.42), (0.2, -0.42), (0.16, -0.1), (0.04, 0.12), (-0.04, 0.12), (-0.16, -0.1)])
    )
    seats += [lumpy(rng, 0, y, 0.14, 0.1, lumps=0.04) for y in (-0.95, -0.7, -0.48)]
    for bones in (wings, seats):
        _lay_bones(canvas, bones, strength=rng.uniform(0.14, 0.25))
    canvas.lay(0.8 * canvas.area(*holes, soft=1), 0.36)
    for _ in range(int(rng.integers(0, 5))):  # gas
        canvas.add(canvas.area(lumpy(rng, *near(rng, 0, -0.5, spread=0.25), 0.1, 0.07), soft=4), -0.12)
    return _film(canvas)


def teeth(rng: Generator) -> Image.Image:
    """The teeth of both jaws, all round or a few from near."""
    near = chance(rng, 0.4)
    canvas = Canvas(rng, aspect=rng.uniform(1.0, 1.4) if near else rng.uniform(1.5, 2.0), level=0.05)
    jaw = canvas.ellipse(0, 0, canvas.aspect * 1.05, 1.1, soft=30)
    canvas.lay(jaw, 0.32 + 0.04 * canvas.texture(10) + 0.03 * canvas.texture(60))
    count, smile = (4, 0.02) if near else (15, rng.uniform(0.1, 0.3))
    pitch = 1.8 * canvas.aspect / count
    crowns, roots, pulps, fillings = [], [], [], []
    for jaw_side in SIDES:
        for tooth in range(count):
            x = (tooth - (count - 1) / 2) * pitch + rng.normal(0, 0.01)
            middle = smile * (1 - 2 * (x / canvas.aspect) ** 2) + jaw_side * 0.03
            high, half = rng.uniform(0.5, 0.62) * (1.2 if near else 0.85), pitch * rng.uniform(0.38, 0.47)
            outline = np.asarray(
                [
                    (-0.85, 0),
                    (0.85, 0),
                    (1, 0.25),
                    (0.7, 0.5),
                    (0.5, 0.9),
                    (0.1, 1.02),
                    (-0.1, 1.02),
                    (-0.5, 0.9),
                    (-0.7, 0.5),
                    (-1, 0.25),
                ]
            )
            scale, place = (half, jaw_side * high), (x, middle)
            roots.append(curve(outline * scale + place))
            crowns.append(curve(outline[[0, 1, 2, 3, 8, 9]] * (0.98, 0.75) * scale + place))
            pulps.append(
                np.asarray([(x, middle + 0.25 * jaw_side * high), (x, middle + 0.9 * jaw_side * high)])
            )
            if chance(rng, 0.12):
                fillings.append(lumpy(rng, x, middle + 0.1 * jaw_side * high, 0.5 * half, 0.1 * high))
    canvas.add(canvas.area(*roots, soft=1), 0.25)
    canvas.add(canvas.area(*crowns, soft=0.8), 0.2)
    canvas.add(canvas.strokes(pulps, 0.25 * pitch, soft=1.5), -0.13)
    if fillings:
        canvas.lay(canvas.area(*fillings), 0.98)
    if not near:
        canvas.lay(
            0.7 * canvas.area(curve([(-0.35, -0.75), (0.35, -0.75), (0.25, -1.2), (-0.25, -1.2)]), soft=4),
            0.12,
        )
        spine = canvas.ellipse(canvas.aspect, 0, 0.25, 2, soft=30) + canvas.ellipse(
            -canvas.aspect, 0, 0.25, 2, soft=30
        )
        canvas.add(spine, 0.25)
    return _film(canvas)


def spine(rng: Generator) -> Image.Image:
    """The lower spine from the front: vertebrae with their two rings and spines, ribs, gas beside them."""
    canvas = Canvas(rng, aspect=rng.uniform(0.45, 0.85), level=rng.uniform(0.12, 0.3))
    canvas.add(canvas.ellipse(0, 0.1, 0.55, 2.0, soft=50), 0.2)
    canvas.add(canvas.texture(6), 0.03)
    sway, step, chest_end = rng.normal(0, 0.06), rng.uniform(0.3, 0.42), -0.3
    bodies, rings, spines, ribs = [], [], [], []
    for place in np.arange(-1.2, 1.0, step):
        x, wide = sway * math.sin(2 * place), 0.2 + 0.03 * place
        box = [(-1, -0.4), (1, -0.4), (0.85, 0), (1, 0.4), (-1, 0.4), (-0.85, 0)]
        bodies.append(curve(np.asarray(box) * (wide, step) + (x, place)))
        for side in SIDES:
            rings.append(lumpy(rng, x + side * 0.6 * wide, place - 0.1 * step, 0.05, 0.07))
            ribs.append(
                curve(
                    [(x + side * wide, place), (x + side * (wide + 0.16), place + 0.02 * rng.normal())],
                    closed=False,
                )
            )
            if place < chest_end:
                ribs.append(
                    curve(
                        mirrored([(wide, place), (0.5, place + 0.08), (0.8, place + 0.3)], side), closed=False
                    )
                )
        spines.append(lumpy(rng, x, place + 0.25 * step, 0.035, 0.09))
    _lay_bones(canvas, bodies, strength=0.2)
    _lay_bones(canvas, rings, strength=0.07, wall=0.8)
    canvas.add(canvas.area(*spines, soft=1), 0.12)
    canvas.add(canvas.strokes(ribs, 0.055, soft=1), 0.1)
    for _ in range(int(rng.integers(2, 9))):
        x = float(rng.choice(SIDES)) * rng.uniform(0.35, 0.8)
        canvas.add(canvas.area(lumpy(rng, x, rng.uniform(-0.8, 0.9), 0.13, 0.1), soft=3), -0.13)
    return _film(canvas)


def limb(rng: Generator) -> Image.Image:
    """A long joint: two bones that meet, one beside them, now and then a break, a plate or screws."""
    canvas = Canvas(rng, aspect=rng.uniform(0.4, 0.9))
    level = rng.uniform(0.18, 0.32)
    canvas.lay(
        canvas.strokes([np.asarray([(0, -1.3), (rng.normal(0, 0.05), 1.3)])], rng.uniform(0.6, 0.8), soft=3),
        level,
    )
    gap, wide = rng.uniform(-0.3, 0.3), rng.uniform(0.2, 0.26)
    upper = [
        (-0.5, -1.5),
        (0.5, -1.5),
        (0.55, gap - 0.45),
        (1, gap - 0.2),
        (0.85, gap - 0.02),
        (0.1, gap - 0.06),
    ]
    upper += [(-0.1, gap - 0.06), (-0.85, gap - 0.02), (-1, gap - 0.2), (-0.55, gap - 0.45)]
    lower = [
        (-1, gap + 0.05),
        (0, gap + 0.02),
        (1, gap + 0.05),
        (0.9, gap + 0.2),
        (0.5, gap + 0.5),
        (0.42, 1.5),
        (-0.5, 1.5),
        (-0.5, gap + 0.5),
        (-0.9, gap + 0.2),
    ]
    bones = [curve(np.asarray(shape) * (wide, 1)) for shape in (upper, lower)]
    side = float(rng.choice(SIDES))
    bones.append(_bone((side * wide * 0.95, gap + 0.16), (side * wide * 1.05, 1.4), 0.1))
    _lay_bones(canvas, bones[:2], strength=rng.uniform(0.22, 0.36), wall=2.4)
    _lay_bones(canvas, bones[2:], strength=rng.uniform(0.15, 0.3), wall=1.5)
    if chance(rng, 0.5):
        canvas.add(canvas.ellipse(0, gap - 0.12, 0.12, 0.14, soft=4), 0.1)  # the knee cap
    if chance(rng, 0.3):
        y = rng.uniform(0.3, 0.8)
        canvas.lay(
            0.7 * canvas.strokes([np.asarray([(-0.2, y), (0, y + 0.06), (0.15, y - 0.02)])], 0.02), level
        )
    if chance(rng, 0.3):
        plate = np.asarray([(side * 0.12, gap + 0.2), (side * 0.11, 0.9)])
        screws = [np.asarray([(side * 0.14, y), (-side * 0.1, y)]) for y in np.arange(gap + 0.25, 0.9, 0.13)]
        canvas.lay(canvas.strokes([plate], 0.05), 1.0)
        canvas.lay(canvas.strokes(screws, 0.03), 1.0)
    return _film(canvas)


def breast(rng: Generator) -> Image.Image:
    """A breast pressed flat: half a disc at the film's edge, strands and knots of tissue in fat."""
    canvas = Canvas(rng, aspect=rng.uniform(0.6, 0.9))
    side, deep, high = float(rng.choice(SIDES)), rng.uniform(0.7, 1.3) * canvas.aspect, rng.uniform(0.6, 0.95)
    breast_mask = canvas.ellipse(-side * canvas.aspect, 0.05, deep, high, soft=3)
    canvas.lay(breast_mask, 0.3)
    dense = canvas.ellipse(-side * (canvas.aspect - 0.3 * deep), 0.05, 0.65 * deep, 0.7 * high, soft=60)
    fibres = np.clip(0.5 + 0.5 * canvas.texture(9) + 0.35 * canvas.texture(30), 0, 2)
    canvas.add(breast_mask * dense * fibres, rng.uniform(0.15, 0.5))
    nipple = (-side * canvas.aspect + side * deep, 0.05)
    tree = branches(rng, *nipple, angle=math.pi * (side > 0), length=0.3, depth=5, spread=0.5)
    canvas.add(canvas.strokes([line for _, line in tree], 0.016, soft=0.8) * breast_mask, 0.09)
    muscle = np.asarray([(-1.1, -1.2), (-0.45, -1.2), (-1.1, 0.3)]) * (canvas.aspect * side, 1)
    if chance(rng, 0.6):
        canvas.lay(0.8 * canvas.area(muscle, soft=2), 0.65)
    return _film(canvas)


DRAWINGS: tuple[Callable[[Generator], Image.Image], ...] = (chest, hand, pelvis, teeth, spine, limb, breast)
