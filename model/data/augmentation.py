"""Augmentation of an image and its outline.

The size, crop, window, shading, noise, compression and annotations of a file are accidents of its source.
Training images are changed in all of these, so that a network cannot rely on them, and turned and mirrored,
since a tumour is one at any angle.
"""

from __future__ import annotations

import io
import math
import string
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from container import imaging

if TYPE_CHECKING:
    from numpy.random import Generator

SIDES = (64, 320)  # range of the longer side in pixels after rescaling
TURN = 12  # standard deviation of the angle in degrees, on top of quarter turns
ZOOM, STRETCH = 0.15, 0.1  # natural logarithms of the factors, either way
SHIFT = 0.08  # of the side, either way; the content beyond the edge is cut off
LINES = (16, 64)  # of an image that was resliced across thick slices
BLUR = 1.2  # largest radius, in 1/160 of the longer side
SHADE = 0.4  # largest logarithm of the bias field's factor
GAMMA = 0.35  # logarithm of the exponent, either way
NOISE = 12  # largest standard deviation in grey levels
BLACK, WHITE = (0, 24), (200, 256)  # ranges of the grey levels that become 0 and 255
QUALITY = (20, 95)  # of JPEG
TURNED, THICK, BLURRED, SHADED, NOISY = 0.25, 0.25, 0.4, 0.5, 0.4  # shares of the images
ANNOTATED, COMPRESSED = 0.35, 0.6  # likewise
AT_SIDES, LETTERED = 0.5, 0.7  # shares of the annotations: at the left or right edge; text, not arrows


def augment(
    image: Image.Image, outline: Image.Image | None, rng: Generator
) -> tuple[Image.Image, Image.Image | None]:
    """Change a mode L image, and move its outline along; both get another size."""
    image, outline = _move(image, outline, rng)
    for change in (_thicken, _blur, _shade, _rewindow, _annotate, _compress):
        image = change(image, rng)
    return image, outline


def _move(
    image: Image.Image, outline: Image.Image | None, rng: Generator
) -> tuple[Image.Image, Image.Image | None]:
    """Rescale, and apply a random affine map about the centre of a square canvas, filling with black."""
    side = round(math.exp(rng.uniform(*np.log(SIDES))))
    angle = math.pi / 2 * (rng.integers(1, 4) if rng.random() < TURNED else 0) + math.radians(
        rng.normal(0, TURN)
    )
    zoom, stretch = np.exp(rng.uniform(-1, 1, 2) * [ZOOM, STRETCH])
    linear = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    linear = np.diag([rng.choice([-1, 1]) * stretch * zoom, zoom / stretch]) @ linear
    shift = side * rng.uniform(-SHIFT, SHIFT, 2)
    scale = side / max(image.size)
    method = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.BOX)[rng.integers(3)]

    def moved(plane: Image.Image, resample: Image.Resampling) -> Image.Image:
        size = max(1, round(plane.width * scale)), max(1, round(plane.height * scale))
        small = plane.resize(size, resample)
        offset = np.array(size) / 2 - linear @ [side / 2, side / 2] + shift
        (a, b), (d, e) = linear
        matrix = (a, b, offset[0], d, e, offset[1])
        return small.transform((side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)

    return moved(image, method), outline and moved(outline, Image.Resampling.BOX)


def _thicken(image: Image.Image, rng: Generator) -> Image.Image:
    """Lower the resolution along one axis, as reslicing in another plane than the scanner's does."""
    if rng.random() > THICK:
        return image
    size, axis = np.array(image.size), rng.integers(2)
    size[axis] = min(size[axis], rng.integers(*LINES))
    back = (Image.Resampling.NEAREST, Image.Resampling.BILINEAR)[rng.integers(2)]
    return image.resize(size, Image.Resampling.BOX).resize(image.size, back)


def _blur(image: Image.Image, rng: Generator) -> Image.Image:
    if rng.random() > BLURRED:
        return image
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, BLUR) * max(image.size) / 160))


def _shade(image: Image.Image, rng: Generator) -> Image.Image:
    """Multiply by a smooth bias field, as coils do, and add noise."""
    levels = np.array(image, dtype=np.float64)
    if rng.random() < SHADED:
        field = Image.fromarray(rng.uniform(-SHADE, SHADE, (3, 3)).astype(np.float32))
        levels *= np.exp(np.asarray(field.resize(image.size, Image.Resampling.BICUBIC)))
    if rng.random() < NOISY:
        levels += rng.normal(0, rng.uniform(0, NOISE), levels.shape)
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def _rewindow(image: Image.Image, rng: Generator) -> Image.Image:
    """Clip the grey levels at both ends, as another window would, bend them, and lift black to grey."""
    black, white = rng.uniform(*BLACK), rng.uniform(*WHITE)
    floor, gamma = rng.uniform(0, 16), math.exp(rng.uniform(-GAMMA, GAMMA))
    shares = np.clip((np.arange(256) - black) / (white - black), 0, 1) ** gamma
    return image.point((floor + shares * (255 - floor)).astype(np.uint8).tolist())


def _annotate(image: Image.Image, rng: Generator) -> Image.Image:
    """Write a few letters near an edge or draw an arrow, as viewers and teaching files do."""
    if rng.random() > ANNOTATED:
        return image
    image = image.copy()
    pen, (width, height) = ImageDraw.Draw(image), image.size
    level = int(rng.integers(150, 256))
    x, y = rng.uniform(0, 0.85) * width, float(rng.choice([0.02, 0.9])) * height
    if rng.random() < AT_SIDES:
        x, y = float(rng.choice([0.02, 0.85])) * width, rng.uniform(0, 0.85) * height
    if rng.random() < LETTERED:
        letters = rng.choice(list(string.ascii_letters + string.digits + " :/."), size=rng.integers(1, 12))
        size = max(7, round(max(image.size) * rng.uniform(0.04, 0.08)))
        pen.text((x, y), "".join(letters), fill=level, font=ImageFont.load_default(size=size))
    else:
        tip = (rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height)
        back = np.array([x, y]) + 0.6 * (np.array(tip) - [x, y])
        pen.line([tuple(back), tip], fill=level, width=max(1, width // 120))
        pen.regular_polygon((*tip, max(2, width // 40)), 3, rotation=float(rng.uniform(0, 360)), fill=level)
    return image


def _compress(image: Image.Image, rng: Generator) -> Image.Image:
    if rng.random() > COMPRESSED:
        return image
    return as_jpeg(image, quality=int(rng.integers(*QUALITY)))


def as_jpeg(image: Image.Image, *, quality: int) -> Image.Image:
    """Encode a mode L image as JPEG, and decode it again."""
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality)
    return imaging.decode(buffer.getvalue())
