"""What the drawings share: a grey plane with coordinates, soft shapes, and how a plane becomes a picture."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from scipy import ndimage

from ..phantom import smooth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator

Plane = NDArray[np.floating]
"""Shape (height, width): grey levels, or a mask that is 1 inside and 0 outside."""

Points = NDArray[np.float64]
"""Shape (number, 2): x and y of each point, in a canvas's coordinates."""

WORK = 192  # pixels of a canvas's longer side: finer than the network sees, small enough for milliseconds
SHORTEST, LONGEST = 130, 700  # pixels of a finished picture's longer side
_FINE = 2  # outlines are drawn this much larger, for their edges
_ROUNDED = 8  # fine pixels from which a line's bends and ends are worth rounding, which costs time
SIDES = (-1, 1)  # left and right of what has two sides
_LETTERS = ("L", "R", "AP", "PA", "12", "A", "W 350", "5 cm", "SE 3", "2019-04", "FOV 24", "kV 80")


class Canvas:
    """A grey plane in [0, 1] that shapes are laid on.

    `y` runs from -1 at the top to 1, `x` from minus to plus the aspect: a unit is the same both ways.
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
        """Cover what is there with `level` where `mask` is 1."""
        self.plane = (self.plane + mask * (level - self.plane)).astype(np.float32, copy=False)

    def add(self, mask: Plane, amount: float) -> None:
        """Brighten where `mask` is 1, as one shadow over another on an X-ray film."""
        self.plane = (self.plane + mask * amount).astype(np.float32, copy=False)

    def texture(self, cells: int) -> Plane:
        """Smooth random field of about unit variance, its bumps 1/`cells` of the picture."""
        return smooth(self.rng, (self.height, self.width), cells=cells)

    def distance(
        self, x: float, y: float, width: float, height: float | None = None, *, tilt: float = 0.0
    ) -> Plane:
        """Distance from a tilted ellipse's middle in its own radii: 1 on its edge."""
        height = width if height is None else height
        dx, dy = self.x - x, self.y - y
        cos, sin = math.cos(tilt), math.sin(tilt)
        result: Plane = np.hypot((dx * cos + dy * sin) / width, (dy * cos - dx * sin) / height)
        return result

    def ellipse(
        self,
        x: float,
        y: float,
        width: float,
        height: float | None = None,
        *,
        tilt: float = 0.0,
        soft: float = 1.5,
    ) -> Plane:
        """Mask of an ellipse of these radii, its edge `soft` pixels wide."""
        reach = min(width, width if height is None else height)
        edge = (1 - self.distance(x, y, width, height, tilt=tilt)) * (reach / (soft * self.pixel))
        mask: Plane = np.clip(edge + 0.5, 0, 1)
        return mask

    def area(self, *outlines: Points, soft: float = 0.0) -> Plane:
        """Mask of what lies inside any of the closed outlines, its edge `soft` pixels to either side."""
        image, drawing = self._sheet()
        for outline in outlines:
            drawing.polygon(self._pixels(outline), fill=255)
        return self._mask(image, soft)

    def strokes(self, lines: Sequence[Points], width: float, *, soft: float = 0.0) -> Plane:
        """Mask of lines as wide as `width`, the edge `soft` pixels to either side."""
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
        """Return x, y, x, y and so on, as Pillow takes them and fastest."""
        scaled = np.add(points, (self.aspect, 1)) * (_FINE / self.pixel)
        flat: list[float] = scaled.ravel().tolist()
        return flat

    def _mask(self, image: Image.Image, soft: float) -> Plane:
        small = image.reduce(_FINE)
        if soft:
            small = small.filter(ImageFilter.BoxBlur(soft))
        return np.asarray(small, dtype=np.float32) / np.float32(255)


def curve(points: Sequence[tuple[float, float]] | Points, *, closed: bool = True, steps: int = 8) -> Points:
    """Return a smooth line (Catmull-Rom) through the points, closed to an outline or open."""
    knots = np.asarray(points, dtype=np.float64)
    if not closed:
        knots = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    before, here, after, beyond = (np.roll(knots, -shift, axis=0) for shift in (-1, 0, 1, 2))
    t = np.linspace(0, 1, steps, endpoint=False)[:, np.newaxis, np.newaxis]
    line = 0.5 * (
        2 * here
        + (after - before) * t
        + (2 * before - 5 * here + 4 * after - beyond) * t**2
        + (3 * here - before - 3 * after + beyond) * t**3
    )
    pieces = line.transpose(1, 0, 2)
    if closed:
        return pieces.reshape(-1, 2)
    return np.concatenate([pieces[1:-2].reshape(-1, 2), knots[-2:-1]])


def mirrored(points: Sequence[tuple[float, float]] | Points, side: float) -> Points:
    """Return the points with x times `side`: -1 for the left of a pair, 1 for the right."""
    return np.asarray(points, dtype=np.float64) * (side, 1)


def near(rng: Generator, x: float, y: float, *, spread: float) -> tuple[float, float]:
    """Return a point at random about another."""
    return rng.normal(x, spread), rng.normal(y, spread)


def lumpy(rng: Generator, x: float, y: float, width: float, height: float, *, lumps: float = 0.1) -> Points:
    """Return the closed outline of an ellipse with random lumps of about this share of its radii."""
    angle = np.linspace(0, 2 * math.pi, 48, endpoint=False)
    radius = np.ones_like(angle)
    for waves in (2, 3, 4, 6):
        radius += rng.normal(0, lumps / waves**0.5) * np.cos(waves * angle + rng.uniform(0, 2 * math.pi))
    return np.stack([x + width * radius * np.cos(angle), y + height * radius * np.sin(angle)], axis=1)


def branches(
    rng: Generator, x: float, y: float, *, angle: float, length: float, depth: int, spread: float = 0.6
) -> list[tuple[int, Points]]:
    """Return the lines of a tree that grows from a point, each with its depth: the trunk's is the highest."""
    turn = rng.normal(0, 0.25)
    middle = (x + 0.5 * length * math.cos(angle), y + 0.5 * length * math.sin(angle))
    end = (
        middle[0] + 0.5 * length * math.cos(angle + turn),
        middle[1] + 0.5 * length * math.sin(angle + turn),
    )
    lines = [(depth, np.asarray([(x, y), middle, end]))]
    if depth > 0:
        for side in (-1, 1):
            lines += branches(
                rng,
                *end,
                angle=angle + turn + side * rng.uniform(0.2, 1.0) * spread,
                length=length * rng.uniform(0.6, 0.9),
                depth=depth - 1,
                spread=spread,
            )
    return lines


def chance(rng: Generator, likelihood: float) -> bool:
    """Return True as likely as said."""
    return bool(rng.random() < likelihood)


def develop(
    plane: Plane,
    rng: Generator,
    *,
    turn: float = 0.08,
    bend: float = 0.02,
    noise: float = 0.04,
    invert: float = 0.08,
    marks: float = 0.0,
    outside: float | None = 0.0,
) -> Image.Image:
    """Turn a drawn plane into a picture of its own size, position, brightness, contrast, noise and border.

    Parameters
    ----------
    plane
        Grey levels of any range from 0; the brightest are set near white.
    turn
        Standard deviation of the angle in radians.
    bend
        How far shapes are bent out of their geometry, as a share of the picture.
    noise
        The strongest noise, as a share of white.
    invert
        How likely black and white change places.
    marks
        How likely letters are set in a corner.
    outside
        The level beyond the plane's edges; None mirrors the plane there.

    Returns
    -------
    PIL.Image.Image
        Mode L, or RGB now and then.
    """
    plane = _moved(plane, rng, turn=turn, bend=bend, outside=outside)
    plane = plane * (1 + rng.uniform(0, 0.15) * smooth(rng, _shape(plane), cells=3))
    bright = float(np.percentile(plane[::3, ::3], 99.5))
    plane = np.clip(plane / max(bright, 0.05), 0, None) ** rng.uniform(0.8, 1.3) * rng.uniform(0.55, 1.1)
    plane = plane + rng.uniform(0, 0.1) * chance(rng, 0.3)  # black is not always black
    sigma = rng.uniform(0, noise)
    real, imaginary = rng.standard_normal((2, *plane.shape), dtype=np.float32) * np.float32(sigma)
    plane = np.hypot(plane + real, imaginary)
    if chance(rng, invert):
        plane = 1 - np.clip(plane, 0, 1)
    return finish(picture(plane), rng, marks=marks)


def picture(plane: Plane) -> Image.Image:
    """Return a plane of levels in [0, 1] as an image of mode L, what lies beyond cut off."""
    return Image.fromarray(np.clip(plane * 255, 0, 255).astype(np.uint8))


def finish(image: Image.Image, rng: Generator, *, marks: float = 0.0, border: float = 0.25) -> Image.Image:
    """Give a picture its border (as likely as `border` says), its letters, its size and its mode."""
    if chance(rng, border):
        image = _bordered(image, rng)
    longer = math.exp(rng.uniform(math.log(SHORTEST), math.log(LONGEST)))
    scale = longer / max(image.size)
    width, height = (max(48, round(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    if chance(rng, marks):
        _mark(image, rng)
    return image.convert("RGB") if image.mode == "L" and chance(rng, 0.15) else image


@lru_cache(maxsize=64)
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's own font in this many pixels."""
    return ImageFont.load_default(size=size)


def _shape(plane: Plane) -> tuple[int, int]:
    height, width = plane.shape
    return height, width


def _moved(plane: Plane, rng: Generator, *, turn: float, bend: float, outside: float | None) -> Plane:
    """Turn, scale, stretch, shift and bend in one resampling."""
    height, width = shape = _shape(plane)
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
    """Set the picture on a larger ground, on all or some sides."""
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


def _mark(image: Image.Image, rng: Generator) -> None:
    """Set letters in one to three corners, as on films and screens."""
    drawing = ImageDraw.Draw(image)
    size = max(9, round(image.height * rng.uniform(0.04, 0.09)))
    level = int(rng.choice([255, 220, 0]))
    for corner in rng.permutation(4)[: rng.integers(1, 4)]:
        word = str(rng.choice(_LETTERS))
        length = drawing.textlength(word, font=font(size))
        x = 4 if corner % 2 else image.width - length - 4
        y = image.height - size - 5 if corner // 2 else 3
        drawing.text((x, y), word, fill=level if image.mode == "L" else (level,) * 3, font=font(size))
