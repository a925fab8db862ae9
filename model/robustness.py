"""Harmless changes of an image: the same brain in another guise, whose answer should stay the same."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

from container import imaging

from .split import head_box

Change = Callable[[Image.Image], Image.Image]
"""From a mode L image, which it leaves alone, to another."""
AS_IT_IS = "as it is"
"""The change that changes nothing; its answer is what the others are compared with."""
MARGIN = 1.2  # side of the padded square, in longer sides of the image
WHITE = 255


def _reencoded(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=40)
    return imaging.decode(buffer.getvalue())


def _padded(image: Image.Image) -> Image.Image:
    side = round(MARGIN * max(image.size))
    square = Image.new("L", (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def _cropped(image: Image.Image) -> Image.Image:
    left, top, right, bottom = head_box(image)
    return image.crop((math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)))


def _marked(image: Image.Image) -> Image.Image:
    """Write small text into the upper left corner, and draw under it an arrow that points inwards."""
    marked = image.copy()
    pen = ImageDraw.Draw(marked)
    unit = max(6, min(image.size) // 20)
    corner = np.asarray(image.crop((0, 0, 4 * unit, 4 * unit)))
    ink = 0 if corner.mean() > WHITE / 2 else WHITE
    pen.text((unit / 2, unit / 2), "R 24", fill=ink, font=ImageFont.load_default(unit))
    pen.line((unit / 2, 2 * unit, 2 * unit, 3 * unit), fill=ink, width=max(1, unit // 5))
    pen.polygon([(3 * unit, 3.6 * unit), (2.3 * unit, 2.5 * unit), (1.7 * unit, 3.4 * unit)], fill=ink)
    return marked


CHANGES: dict[str, Change] = {
    AS_IT_IS: lambda image: image.copy(),
    "resized to 256 x 256": lambda image: image.resize((256, 256), Image.Resampling.BICUBIC),
    "JPEG quality 40": _reencoded,
    "padded to a square": _padded,
    "cropped to the head": _cropped,
    "brightness up 30 %": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    "brightness down 30 %": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "contrast up 30 %": lambda image: ImageEnhance.Contrast(image).enhance(1.3),
    "contrast down 30 %": lambda image: ImageEnhance.Contrast(image).enhance(0.7),
    "turned by 90°": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "marked": _marked,
}
"""From a name for people to the change; the first changes nothing, the others are compared with it.

Contrast turns about the image's mean grey. Resizing keeps no shape, only what is in the image.
"""
