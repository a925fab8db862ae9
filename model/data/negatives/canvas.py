"""Drawing tools: a grey plane with coordinates, soft shapes, and the conversion of a plane to an image."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage

from model.data.phantom import smooth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator

Plane = NDArray[np.floating]
"""Shape (height, width): grey levels, or a mask that is 1 inside and 0 outside."""

Points = NDArray[np.float64]
"""Shape (number, 2): x and y of each point, in a canvas's coordinates."""

WORK = 192  # longer side of a canvas in pixels, finer than the network's input
SHORTEST, LONGEST = 130, 700  # range of an image's longer side in pixels
_FINE = 2  # oversampling of outlines, for smooth edges
_ROUNDED = 8  # width in fine pixels from which lines get round joints and ends, which take time
SIDES = (-1, 1)  # left and right


class Canvas:
    """A grey plane in [0, 1] on which shapes are painted.

    `y` runs from -1 at the top to 1, and `x` from minus to plus the aspect ratio.
    """

    def __init__(self, rng: Generator, *, aspect: float = 1.0, level: float = 0.0) -> None:
        self.rng = rng
        self.width, self.height = round(WORK * min(1.0, aspect)), round(WORK / max(1.0, aspect))
        self.aspect = self.width / self.height
        rows, columns = np.mgrid[0 : self.height, 0 : self.width].astype(np.float32)
        self.pixel = 2 / self.height
        self.x = (columns + 0.5) * self.pixel - self.aspect
        self.y = (rows + 0.5) * self.pixel - 1
        self.ground = level
        self.plane: Plane = np.full(self.x.shape, level, dtype=np.float32)

    def lay(self, mask: Plane, level: Plane | float) -> None:
        """Blend `level` over the plane by `mask`."""
        self.plane = (self.plane + mask * (level - self.plane)).astype(np.float32, copy=False)

    def texture(self, cells: int) -> Plane:
        """Smooth random field of about unit variance, with bumps of 1/`cells` of the plane."""
        return smooth(self.rng, (self.height, self.width), cells=cells)

    def distance(self, x: float, y: float, width: float, height: float | None = None) -> Plane:
        """Distance from the centre of an ellipse in its radii: 1 on its edge."""
        result: Plane = np.hypot((self.x - x) / width, (self.y - y) / (height or width))
        return result

    def ellipse(self, x: float, y: float, width: float, height: float | None = None) -> Plane:
        """Mask of an ellipse, with an edge of one and a half pixels."""
        sharpness = min(width, height or width) / (1.5 * self.pixel)
        mask: Plane = np.clip((1 - self.distance(x, y, width, height)) * sharpness + 0.5, 0, 1)
        return mask

    def area(self, *outlines: Points, soft: float = 0.0) -> Plane:
        """Mask of the closed outlines, blurred by `soft` pixels."""
        image, drawing = self._sheet()
        for outline in outlines:
            drawing.polygon(self._pixels(outline), fill=255)
        return self._mask(image, soft)

    def strokes(self, lines: Sequence[Points], width: float, *, soft: float = 0.0) -> Plane:
        """Mask of lines of this width, blurred by `soft` pixels."""
        image, drawing = self._sheet()
        thick = max(1, round(width / self.pixel * _FINE))
        joint = "curve" if thick > _ROUNDED else None
        for line in lines:
            pixels = self._pixels(line)
            drawing.line(pixels, fill=255, width=thick, joint=joint)
            for x, y in (pixels[:2], pixels[-2:]) if joint else ():
                drawing.ellipse([x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2], fill=255)
        return self._mask(image, soft)

    def _sheet(self) -> tuple[Image.Image, ImageDraw.ImageDraw]:
        image = Image.new("L", (self.width * _FINE, self.height * _FINE))
        return image, ImageDraw.Draw(image)

    def _pixels(self, points: Points) -> list[float]:
        """Flat list of x and y, the fastest form for Pillow."""
        scaled = np.add(points, (self.aspect, 1)) * (_FINE / self.pixel)
        return scaled.ravel().tolist()

    def _mask(self, image: Image.Image, soft: float) -> Plane:
        small = image.reduce(_FINE)
        if soft:
            small = small.filter(ImageFilter.BoxBlur(soft))
        return np.asarray(small, dtype=np.float32) / np.float32(255)


def curve(points: Sequence[tuple[float, float]] | Points) -> Points:
    """Smooth closed line (Catmull-Rom) through the points."""
    knots = np.asarray(points, dtype=np.float64)
    before, here, after, beyond = (np.roll(knots, -shift, axis=0) for shift in (-1, 0, 1, 2))
    t = np.linspace(0, 1, 8, endpoint=False)[:, np.newaxis, np.newaxis]
    line = 0.5 * (
        2 * here
        + (after - before) * t
        + (2 * before - 5 * here + 4 * after - beyond) * t**2
        + (3 * here - before - 3 * after + beyond) * t**3
    )
    return line.transpose(1, 0, 2).reshape(-1, 2)


def near(rng: Generator, x: float, y: float, *, spread: float) -> tuple[float, float]:
    """Random point near another."""
    return rng.normal(x, spread), rng.normal(y, spread)


def lumpy(rng: Generator, x: float, y: float, width: float, height: float, *, lumps: float = 0.1) -> Points:
    """Closed outline of an ellipse with random lumps of about this share of its radii."""
    angle = np.linspace(0, 2 * math.pi, 48, endpoint=False)
    radius = np.ones_like(angle)
    for waves in (2, 3, 4, 6):
        radius += rng.normal(0, lumps / waves**0.5) * np.cos(waves * angle + rng.uniform(0, 2 * math.pi))
    return np.stack([x + width * radius * np.cos(angle), y + height * radius * np.sin(angle)], axis=1)


def branches(rng: Generator, x: float, y: float, *, angle: float, length: float, depth: int) -> list[Points]:
    """Lines of a tree that grows from a point and forks `depth` times."""
    bent, half = angle + rng.normal(0, 0.25), length / 2
    middle = (x + half * math.cos(angle), y + half * math.sin(angle))
    end = (middle[0] + half * math.cos(bent), middle[1] + half * math.sin(bent))
    lines = [np.asarray([(x, y), middle, end])]
    for side in SIDES if depth else ():
        turned, shorter = bent + side * rng.uniform(0.2, 1.0) * 0.9, length * rng.uniform(0.6, 0.9)
        lines += branches(rng, *end, angle=turned, length=shorter, depth=depth - 1)
    return lines


def chance(rng: Generator, likelihood: float) -> bool:
    """True with this likelihood."""
    return bool(rng.random() < likelihood)


def develop(
    plane: Plane,
    rng: Generator,
    *,
    turn: float = 0.08,  # standard deviation of the rotation in radians
    bend: float = 0.02,  # size of the distortion, relative to the image
    noise: float = 0.04,  # largest noise, relative to white
    invert: float = 0.08,  # likelihood of an inverted image
    outside: float | None = 0.0,  # level beyond the edges; None mirrors the plane
) -> Image.Image:
    """Turn a plane into an image of random size, position, brightness, contrast, noise and border.

    Its grey levels count from 0; the brightest become nearly white.
    """
    plane = _moved(plane, rng, turn=turn, bend=bend, outside=outside)
    plane = plane * (1 + rng.uniform(0, 0.15) * smooth(rng, (len(plane), len(plane[0])), cells=3))
    bright = float(np.percentile(plane[::3, ::3], 99.5))
    plane = np.clip(plane / max(bright, 0.05), 0, None) ** rng.uniform(0.8, 1.3) * rng.uniform(0.55, 1.1)
    plane = plane + rng.uniform(0, 0.1) * chance(rng, 0.3)  # a lifted black level
    sigma = rng.uniform(0, noise)
    real, imaginary = rng.standard_normal((2, *plane.shape), dtype=np.float32) * np.float32(sigma)
    plane = np.hypot(plane + real, imaginary)
    if chance(rng, invert):
        plane = 1 - np.clip(plane, 0, 1)
    return randomise_format(Image.fromarray(np.clip(plane * 255, 0, 255).astype(np.uint8)), rng)


def randomise_format(image: Image.Image, rng: Generator, *, border: float = 0.25) -> Image.Image:
    """Apply a random border (with likelihood `border`), size and mode."""
    if chance(rng, border):
        image = _bordered(image, rng)
    longer = math.exp(rng.uniform(math.log(SHORTEST), math.log(LONGEST)))
    scale = longer / max(image.size)
    width, height = (max(48, round(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    return image.convert("RGB") if image.mode == "L" and chance(rng, 0.15) else image


def _moved(plane: Plane, rng: Generator, *, turn: float, bend: float, outside: float | None) -> Plane:
    """Rotate, scale, stretch, shift and distort in one resampling."""
    height, width = shape = len(plane), len(plane[0])
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    angle, scale, stretch = rng.normal(0, turn), rng.uniform(0.9, 1.15), rng.uniform(0.94, 1.06)
    y = (rows - height * (0.5 + rng.normal(0, 0.02))) * (scale * stretch)
    x = (columns - width * (0.5 + rng.normal(0, 0.02))) * (scale / stretch)
    reach = bend * max(shape)
    from_rows = y * math.cos(angle) - x * math.sin(angle) + height / 2 + reach * smooth(rng, shape, cells=5)
    from_columns = x * math.cos(angle) + y * math.sin(angle) + width / 2 + reach * smooth(rng, shape, cells=5)
    moved: Plane = ndimage.map_coordinates(
        plane,
        np.stack([from_rows, from_columns]),
        order=1,
        mode="mirror" if outside is None else "constant",
        cval=0.0 if outside is None else outside,
    )
    return moved


def _bordered(image: Image.Image, rng: Generator) -> Image.Image:
    """Add margins on some or all sides."""
    left, top, right, bottom = (
        round(side * rng.uniform(0, 0.18)) * chance(rng, 0.8) for side in (*image.size, *image.size)
    )
    level = int(rng.choice([0, 0, 0, 255, int(rng.integers(256))]))
    ground = Image.new(
        image.mode,
        (image.width + left + right, image.height + top + bottom),
        level if image.mode == "L" else (level,) * 3,
    )
    ground.paste(image, (left, top))
    return ground
