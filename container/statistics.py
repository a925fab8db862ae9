"""Plain statistics of an image, by whose distribution a change of what is sent can be noticed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypedDict

import numpy as np
from PIL import ImageStat

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from .imaging import Box

_PATCH = 256  # pixels; sharpness is measured in the centre of a larger image


class Statistics(TypedDict):
    """What is measured of each image; all but the side are shares or ratios."""

    side: float  # of a square with as many pixels
    grey_spread: float  # standard deviation of the decoded grey levels, of their range
    sharpness: float  # root mean square of second differences along rows, of the standard deviation
    symmetry: float  # correlation of the network's input with its mirror image, left to right
    content: float  # share of the image that is shown to the network


def measure(grey: Image.Image, pixels: NDArray[np.float32], box: Box) -> Statistics:
    """Measure an upright mode L image, and the part of it that the network gets, shape (size, size, 1)."""
    left, top, right, bottom = box
    area = grey.width * grey.height
    return {
        "side": round(math.sqrt(area), 1),
        "grey_spread": round(ImageStat.Stat(grey).stddev[0] / 255, 4),
        "sharpness": round(_sharpness(grey), 4),
        "symmetry": round(_symmetry(pixels[..., 0]), 4),
        "content": round(float((right - left) * (bottom - top) / area), 4),
    }


def _sharpness(grey: Image.Image) -> float:
    left, top = max(0, grey.width - _PATCH) // 2, max(0, grey.height - _PATCH) // 2
    patch = np.asarray(grey.crop((left, top, left + min(_PATCH, grey.width), top + min(_PATCH, grey.height))))
    patch = patch[::2]  # half of the rows, for half of the time
    deviation = float(patch.std(dtype=np.float32))
    differences = np.diff(patch.astype(np.int16), n=2, axis=1)
    return float(differences.std(dtype=np.float32)) / deviation if deviation and differences.size else 0.0


def _symmetry(square: NDArray[np.float32]) -> float:
    centred = square - square.mean()
    power = float((centred**2).sum())
    return float((centred * centred[:, ::-1]).sum()) / power if power else 0.0
