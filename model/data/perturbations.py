"""Benign perturbations of an image: none of them should change the answer."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

from model.data.augmentation import as_jpeg
from model.data.split import head_box

Perturbation = Callable[[Image.Image], Image.Image]
"""Takes a mode L image, which it leaves unchanged, and returns another."""
UNCHANGED = "unchanged"
"""The identity; the other perturbations are compared with it."""
MARGIN = 1.2  # side of the padded square, relative to the image's longer side
WHITE = 255


def _pad(image: Image.Image) -> Image.Image:
    side = round(MARGIN * max(image.size))
    square = Image.new("L", (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def _crop(image: Image.Image) -> Image.Image:
    left, top, right, bottom = head_box(image)
    return image.crop((math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)))


def _annotate(image: Image.Image) -> Image.Image:
    """Write small text into the upper left corner and draw an arrow below it."""
    annotated = image.copy()
    pen = ImageDraw.Draw(annotated)
    unit = max(6, min(image.size) // 20)
    corner = np.asarray(image.crop((0, 0, 4 * unit, 4 * unit)))
    ink = 0 if corner.mean() > WHITE / 2 else WHITE
    pen.text((unit / 2, unit / 2), "R 24", fill=ink, font=ImageFont.load_default(unit))
    pen.line((unit / 2, 2 * unit, 2 * unit, 3 * unit), fill=ink, width=max(1, unit // 5))
    pen.polygon([(3 * unit, 3.6 * unit), (2.3 * unit, 2.5 * unit), (1.7 * unit, 3.4 * unit)], fill=ink)
    return annotated


PERTURBATIONS: dict[str, Perturbation] = {
    UNCHANGED: lambda image: image.copy(),
    "resized to 256 x 256": lambda image: image.resize((256, 256), Image.Resampling.BICUBIC),
    "JPEG quality 40": partial(as_jpeg, quality=40),
    "padded to a square": _pad,
    "cropped to the head": _crop,
    "brightness up 30 %": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    "brightness down 30 %": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "contrast up 30 %": lambda image: ImageEnhance.Contrast(image).enhance(1.3),
    "contrast down 30 %": lambda image: ImageEnhance.Contrast(image).enhance(0.7),
    "rotated by 90°": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "annotated": _annotate,
}
"""Display name of each perturbation. Contrast is scaled about the image's mean grey; resizing may distort."""
