"""The rules refuse images that plainly are not brain MRIs, and no brain MRI."""

from __future__ import annotations

import colorsys
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from container import imaging
from container.rules import reason_to_refuse
from tests.container import samples

SCAN = samples.scan()


def reason(data: bytes) -> str | None:
    image = imaging.read(data)
    return reason_to_refuse(image, imaging.grey(image))


def photograph() -> Image.Image:
    """Draw a rainbow over a meadow: all hues, nowhere black."""
    hues = [colorsys.hsv_to_rgb(x / 200, 0.7, 0.9) for x in range(200)]
    sky = np.tile(np.array(hues) * 255, (100, 1, 1))
    meadow = np.full((60, 200, 3), (60, 160, 50))
    return Image.fromarray(np.concatenate([sky, meadow]).astype(np.uint8))


def marked(image: Image.Image) -> Image.Image:
    """Draw a red line and a yellow ring on a slice, as in many teaching files."""
    coloured = image.convert("RGB")
    drawing = ImageDraw.Draw(coloured)
    drawing.line([(10, 10), (40, 40)], fill=(255, 0, 0), width=3)
    drawing.ellipse([60, 20, 95, 55], outline=(255, 255, 0), width=2)
    return coloured


# Each image with a word of the reason to refuse it, None for one that may be a scan.
IMAGES = {
    "a side of 31 pixels": (SCAN.resize((31, 40)), "too small"),
    "a strip": (SCAN.resize((400, 100)), "strip"),
    "black": (Image.new("L", (200, 200)), "blank"),
    "white with a speck": (samples.scan(200, 200).point(lambda level: 255 - level // 12), "blank"),
    "just too little contrast": (SCAN.point(lambda level: 100 + 29 * (level > 60)), "blank"),
    "a photograph": (photograph(), "colourful"),
    "a photograph with a palette": (photograph().convert("P"), "colourful"),
    "a photograph in CMYK": (photograph().convert("CMYK"), "colourful"),
    "a grey slice": (SCAN, None),
    "a slice in RGB": (SCAN.convert("RGB"), None),
    "a slice with coloured marks": (marked(SCAN), None),
    "a slice on white": (SCAN.point(lambda level: level or 255), None),
    "a pale slice": (SCAN.point(lambda level: 100 + level // 4), None),
    "a small slice": (SCAN.resize((40, 32)), None),
}


@pytest.mark.parametrize("name", IMAGES)
def test_only_an_image_that_cannot_be_a_scan_is_refused(name: str) -> None:
    image, word = IMAGES[name]
    found = reason(samples.jpeg(image) if image.mode == "CMYK" else samples.png(image))
    assert found is None if word is None else word in (found or "accepted")


def test_real_images_are_decoded_in_their_size_and_none_is_refused() -> None:
    folder = os.environ.get("TUMOR_DATA")
    if not folder:
        pytest.skip("TUMOR_DATA names no folder of real images")
    files = sorted(path for path in Path(folder).glob("*/*") if path.parent.name in {"yes", "no"})
    assert files
    for path in files:
        data = path.read_bytes()
        assert reason(data) is None, path.name
        grey = imaging.decode(data)
        assert sorted(grey.size) == sorted(Image.open(path).size), path.name
        square = imaging.preprocess(grey, size=128)
        assert 0 <= square.min() < 0.4 < square.max() <= 1, path.name
