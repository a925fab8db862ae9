"""Brain MRIs that are taken apart: they have the textures of a brain MRI, but show no head.

They teach the refusal what nothing drawn does: that grey, noisy anatomy on black is not enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy.ndimage import map_coordinates

if TYPE_CHECKING:
    from numpy.random import Generator

    from model.arrays import Greys

TILES = (2, 3, 4)  # along a side
TURNED = 0.5  # share of the tiles
ENLARGED = (0.2, 0.4)  # side of the part that is enlarged, in sides of the image
CENTRAL = 0.15  # the part lies this far from the edges at least, likewise


def scramble(grey: Greys, rng: Generator) -> Greys:
    """Shuffle the tiles of a preprocessed image, (size, size), unroll it, or enlarge a part of it."""
    return (_shuffled, _unrolled, _enlarged)[rng.integers(3)](grey, rng)


def _shuffled(grey: Greys, rng: Generator) -> Greys:
    count = int(rng.choice(TILES))
    side = len(grey) // count * count
    bands = np.split(grey[:side, :side], count)
    tiles = [tile for band in bands for tile in np.split(band, count, axis=1)]
    turned = [np.rot90(tile, int(rng.integers(4)) * (rng.random() < TURNED)) for tile in tiles]
    moved = [turned[place] for place in rng.permutation(count**2)]
    shuffled = np.zeros_like(grey)  # what the tiles do not cover stays black
    shuffled[:side, :side] = np.block([moved[row * count : (row + 1) * count] for row in range(count)])
    return shuffled


def _unrolled(grey: Greys, rng: Generator) -> Greys:
    """Show the angle about the centre along one axis, and the distance from it along the other."""
    row, column = np.indices(grey.shape) / len(grey)
    angle = 2 * np.pi * (column * rng.choice([-1, 1]) + rng.random())
    places = len(grey) / 2 * (1 + row * np.stack([np.sin(angle), np.cos(angle)]))
    unrolled: Greys = map_coordinates(grey, places, order=1)
    return unrolled


def _enlarged(grey: Greys, rng: Generator) -> Greys:
    size = len(grey)
    side = rng.uniform(*ENLARGED) * size
    left, top = rng.uniform(CENTRAL * size, (1 - CENTRAL) * size - side, 2)
    image = Image.fromarray(grey)
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize(image.size, Image.Resampling.BILINEAR, box=box))
