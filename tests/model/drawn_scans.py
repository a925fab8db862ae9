"""Phantoms that are drawn on demand, with the outline of their lesion, and folders of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from model.data import phantom
from model.data.scan import CLASSES

if TYPE_CHECKING:
    from pathlib import Path

BOTH, OUTLINED, HEALTHY = ("bright", "outlined", "plain"), "outlined", "healthy"
EACH = 16


@dataclass(frozen=True)
class DrawnScan:
    """What an `ImageCache` takes of a scan."""

    seed: int
    label: int
    mask: bool = False
    boxes: tuple[()] = ()

    def image(self) -> Image.Image:
        return phantom.draw(seed=self.seed, lesion=self.label == 1, size=128)

    def outline(self) -> Image.Image | None:
        """Where the image without a lesion differs."""
        if not (self.mask and self.label):
            return None
        mine, healthy = (np.asarray(DrawnScan(self.seed, label).image(), dtype=int) for label in (1, 0))
        differs = (np.abs(mine - healthy) > 12).astype(np.uint8)
        return Image.fromarray(differs * 255).filter(ImageFilter.MedianFilter(5))


def write_sources(folder: Path) -> None:
    """Write sources of `EACH` images: three `BOTH` classes, each of another window, and a `HEALTHY` one."""
    for number, name in enumerate((*BOTH, HEALTHY)):
        for seed in range(10_000 * number, 10_000 * number + EACH):
            scan = DrawnScan(seed, label=0 if name == HEALTHY else seed % 2, mask=name == OUTLINED)
            path = folder / name / CLASSES[scan.label] / f"{seed}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            gain = 1.4 - 0.3 * number
            scan.image().point([min(255, round(gain * level)) for level in range(256)]).save(path)
            if outline := scan.outline():
                (folder / name / "masks").mkdir(exist_ok=True)
                outline.save(folder / name / "masks" / path.name)
        (folder / name / phantom.MARKER).touch()
