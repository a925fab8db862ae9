"""Crops of the photographs that come with installed packages.

The files are listed, since a later version of a package may add a picture of a brain. scikit-image's
`phantom.png`, a drawing of a head, is excluded, and so are its logos, silhouettes and test patterns.
"""

from __future__ import annotations

import math
from functools import cache
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageOps

from model.data.negatives.canvas import chance, randomise_format

if TYPE_CHECKING:
    from numpy.random import Generator

_SOURCES = {
    "skimage": (
        *("data/astronaut.png", "data/brick.png", "data/camera.png", "data/cell.png", "data/chelsea.png"),
        *("data/clock_motion.png", "data/coffee.png", "data/coins.png", "data/grass.png", "data/gravel.png"),
        *("data/hubble_deep_field.jpg", "data/ihc.png", "data/moon.png", "data/motorcycle_left.png"),
        *("data/page.png", "data/retina.jpg", "data/rocket.jpg", "data/text.png"),
    ),
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
    "matplotlib": ("mpl-data/sample_data/grace_hopper.jpg",),
}
_FEWEST = 12  # photographs that must be found
_CACHED = 512  # longer side in pixels
_SLIMMEST = 2.5  # largest aspect ratio: longer strips are refused by the rules


@cache
def sources() -> tuple[Image.Image, ...]:
    """Read the photographs, at most 512 pixels a side, in mode L or RGB; fewer than a dozen are an error."""
    found = []
    for package, names in _SOURCES.items():
        for name in names:
            try:
                with as_file(files(package) / name) as path, Image.open(path) as image:
                    image.thumbnail((_CACHED, _CACHED), Image.Resampling.BICUBIC)
                    found.append(image.convert("L" if image.mode == "L" else "RGB"))
            except (ImportError, FileNotFoundError):
                continue  # removed in another version; too few are an error below
    if len(found) < _FEWEST:
        raise RuntimeError(
            f"Only {len(found)} of {sum(map(len, _SOURCES.values()))} photographs are found inside "
            f"{', '.join(_SOURCES)}: install the versions of requirements/train.txt."
        )
    return tuple(found)


def part(rng: Generator, *, index: int) -> Image.Image:
    """Crop, turn and relight one of the photographs; mostly grey, sometimes an ellipse on black."""
    photographs = sources()
    image = crop(photographs[index % len(photographs)], rng)
    if chance(rng, 0.5):
        image = ImageOps.mirror(image)
    if chance(rng, 0.4):
        image = image.transpose(Image.Transpose(int(rng.integers(7))))
    if chance(rng, 0.25):
        image = image.rotate(rng.uniform(-30, 30), Image.Resampling.BILINEAR)
    if chance(rng, 0.7):
        image = image.convert("L")
    gain, lift, gamma = rng.uniform(0.5, 1.3), rng.uniform(-25, 25), rng.uniform(0.7, 1.4)
    levels = [round(min(255, max(0, 255 * (level / 255) ** gamma * gain + lift))) for level in range(256)]
    image = image.point(levels * len(image.getbands()))
    if chance(rng, 0.1):
        image = ImageOps.invert(image)
    if chance(rng, 0.2):
        image = _round(image, rng)
    return randomise_format(image, rng, border=0.15)


def crop(image: Image.Image, rng: Generator) -> Image.Image:
    """Crop a fifth of the area to all of it, about as wide as high."""
    area, stretch = rng.uniform(0.2, 1.0), math.exp(rng.normal(0, 0.15))
    width = min(image.width, round(image.width * math.sqrt(area) * stretch))
    height = min(image.height, round(image.height * math.sqrt(area) / stretch))
    width, height = min(width, round(_SLIMMEST * height)), min(height, round(_SLIMMEST * width))
    left = int(rng.integers(image.width - width + 1))
    top = int(rng.integers(image.height - height + 1))
    return image.crop((left, top, left + width, top + height))


def _round(image: Image.Image, rng: Generator) -> Image.Image:
    """Black out all but an ellipse, as an outline like a head's must not suffice."""
    margins = rng.uniform(0, 0.15, size=4) * (image.width, image.height, image.width, image.height)
    mask = Image.new("L", image.size)
    box = [margins[0], margins[1], image.width - margins[2], image.height - margins[3]]
    ImageDraw.Draw(mask).ellipse(box, fill=255)
    return Image.composite(image, Image.new(image.mode, image.size), mask)
