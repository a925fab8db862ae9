"""What is plainly no brain MRI is refused, and no brain MRI is."""

from __future__ import annotations

import colorsys
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from container import imaging
from container.refusal import reason_to_refuse
from model import phantom

from . import pictures

SCAN = pictures.scan()


def reason(data: bytes) -> str | None:
    image = imaging.read(data)
    return reason_to_refuse(image, imaging.grey(image))


def photograph() -> Image.Image:
    """A rainbow over a meadow: all hues, nowhere black."""
    hues = [colorsys.hsv_to_rgb(x / 200, 0.7, 0.9) for x in range(200)]
    sky = np.tile(np.array(hues) * 255, (100, 1, 1))
    meadow = np.full((60, 200, 3), (60, 160, 50))
    return Image.fromarray(np.concatenate([sky, meadow]).astype(np.uint8))


NO_SCANS = {
    "a side of 31 pixels": (SCAN.resize((31, 40)), "too small"),
    "a strip": (SCAN.resize((400, 100)), "strip"),
    "black": (Image.new("L", (200, 200)), "blank"),
    "white with a speck": (pictures.scan(200, 200).point(lambda level: 255 - level // 12), "blank"),
    "just too little contrast": (pictures.scan().point(lambda level: 100 + 29 * (level > 60)), "blank"),
    "a photograph": (photograph(), "colourful"),
    "a photograph with a palette": (photograph().convert("P"), "colourful"),
    "a photograph in CMYK": (photograph().convert("CMYK"), "colourful"),
}


@pytest.mark.parametrize("name", NO_SCANS)
def test_what_is_no_scan_is_refused_with_the_reason(name: str) -> None:
    image, word = NO_SCANS[name]
    data = pictures.jpeg(image) if image.mode == "CMYK" else pictures.png(image)
    assert word in (reason(data) or "accepted")


def marked(image: Image.Image) -> Image.Image:
    """The slice with a red arrow and a yellow ring drawn on it, as in many teaching files."""
    coloured = image.convert("RGB")
    drawing = ImageDraw.Draw(coloured)
    drawing.line([(10, 10), (40, 40)], fill=(255, 0, 0), width=3)
    drawing.ellipse([60, 20, 95, 55], outline=(255, 255, 0), width=2)
    return coloured


SCANS = {
    "a grey slice": SCAN,
    "a slice in RGB": SCAN.convert("RGB"),
    "a slice with coloured marks": marked(SCAN),
    "a slice on white": SCAN.point(lambda level: level or 255),
    "a pale slice": SCAN.point(lambda level: 100 + level // 4),
    "a small slice": SCAN.resize((40, 32)),
}


@pytest.mark.parametrize("name", SCANS)
def test_a_slice_is_never_refused(name: str) -> None:
    assert reason(pictures.png(SCANS[name])) is None


def test_no_phantom_is_refused() -> None:
    for seed in range(30):
        assert reason(phantom.png(seed=seed, lesion=seed % 2 == 0)) is None, seed


def test_no_real_image_is_refused() -> None:
    folder = os.environ.get("TUMOR_DATA")
    if not folder:
        pytest.skip("TUMOR_DATA names no folder of real images")
    files = sorted(path for path in Path(folder).glob("*/*") if path.parent.name in {"yes", "no"})
    assert files
    refused = {path.name: why for path in files if (why := reason(path.read_bytes()))}
    assert refused == {}
