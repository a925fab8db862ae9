"""Grey levels from black to white, whatever part of their range a scanner or an export uses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

_ENDS = (0.001, 0.999)  # shares of the pixels: a few bright ones may take most of the range
_MIN_SPAN = 30  # grey levels; a smaller range is not stretched, because it is noise


def levels(image: Image.Image, shares: tuple[float, float]) -> tuple[int, int]:
    """Return the grey levels up to which these shares of a mode L image's pixels lie."""
    counts = np.cumsum(image.histogram())
    low, high = np.searchsorted(counts, [share * counts[-1] for share in shares])
    return int(low), int(high)


def spread(image: Image.Image) -> Image.Image:
    """Stretch a mode L image's levels as those of a wider image are: both give the same prediction."""
    return stretched(image, _ENDS)


def stretched(image: Image.Image, shares: tuple[float, float]) -> Image.Image:
    """Stretch a mode L image so that these shares of the pixels become black, and do not become white."""
    low, high = levels(image, shares)
    if high - low < _MIN_SPAN:
        return image
    return image.point(_curve(np.arange(256), low, high).tolist())


def narrowed(wide: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale grey values of up to 16 bits, integers of shape (rows, columns), to 8 as `spread` does."""
    places = [max(0, math.ceil(share * wide.size) - 1) for share in _ENDS]
    low, high = map(int, np.partition(wide, places, axis=None)[places])
    curve = _curve(np.arange(low, high + 1), low, high)
    narrow: NDArray[np.uint8] = curve[np.subtract(np.clip(wide, low, high), low, dtype=np.int32)]
    return narrow


def _curve(values: NDArray[np.int64], low: int, high: int) -> NDArray[np.uint8]:
    """Map low to 0 and high to 255, or everything to 0 where they are equal."""
    return np.clip((values - low) * 255 / max(1, high - low), 0, 255).round().astype(np.uint8)
