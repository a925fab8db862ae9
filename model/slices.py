"""Parts of a set of scans by what their files and pixels tell: a good mean can hide a part that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage
from tqdm import tqdm

from .baselines import header
from .split import head_box

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .data import Scan

    Mask = NDArray[np.bool_]

SQUARE = 1.1
"""Up to this ratio of the longer to the shorter side an image is called nearly square."""
SYMMETRIC = 0.955
"""Symmetry of the outline from which a head is taken for axial or coronal. Chosen by looking at 240 images of
other sources: 65 % of the 105 sagittal ones lie below it, and 4 % of the 135 others."""
REACH = 0.7  # from the middle of the head's box, in its longer side: the box may leave out a dark skull
_THUMBNAIL, _BORDER = 48, 6
_TURNS, _SHIFTS = range(-20, 21, 4), range(-3, 4)  # degrees, and pixels of the thumbnail


def slices(scans: Sequence[Scan]) -> dict[str, dict[str, Mask]]:
    """Sort scans by image size, file, brightness, shape and orientation.

    Returns
    -------
    For each of these the slices that have a scan, by name, as masks of shape (n,); every scan is in one
    slice of each. How few groups are too few for a verdict is left to who asks.
    """
    sides, greys, shapes, orientations = [], [], [], []
    for scan in tqdm(scans, desc="sorting images into slices", unit="image", leave=False):
        image = scan.image()
        sides.append(round((image.width * image.height) ** 0.5))
        greys.append(round(float(np.asarray(image).mean())))
        shapes.append(_shape(image))
        orientations.append(_orientation(image))
    headers = [header(scan) for scan in scans]
    return {
        "image size": _terciles(sides, "{} pixels"),
        "mode and format": _named([f"{each.mode} {each.format}" for each in headers]),
        "brightness": _terciles(greys, "mean grey {}"),
        "shape": _named(shapes),
        "orientation": _named(orientations),
    }


def symmetry(image: Image.Image) -> float:
    """Tell how well the head's outline matches its mirror image, turned and shifted a little: at most 1.

    The outline and not what lies in it: a tumour on one side would make the slice a copy of the label.
    """
    outline = Image.fromarray(np.where(_outline(image), np.uint8(255), np.uint8(0)))
    best = -1.0
    for turn in _TURNS:
        turned = np.asarray(outline.rotate(turn, Image.Resampling.BILINEAR), dtype=np.float32)
        for shift in _SHIFTS:
            plane = np.roll(turned, shift, axis=1)
            best = max(best, _correlation(plane, plane[:, ::-1]))
    return best


def _outline(image: Image.Image) -> Mask:
    """Mark the head, its cavities filled and thin things around it dropped, in a square around its box."""
    left, top, right, bottom = head_box(image)
    x, y, reach = (left + right) / 2, (top + bottom) / 2, REACH * max(right - left, bottom - top)
    square = image.crop((round(x - reach), round(y - reach), round(x + reach), round(y + reach)))
    small = np.asarray(square.resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX))
    # An eighth of the brightest tissue: a dark brain lies above it, a scanner's noise below.
    bright = np.pad(small > np.percentile(small, 95) / 8, _BORDER)
    filled = ndimage.binary_fill_holes(ndimage.binary_closing(bright, iterations=2))
    outline: Mask = ndimage.binary_opening(filled, iterations=2)
    return outline


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    one, other = one - one.mean(), other - other.mean()
    return float((one * other).sum() / max(np.linalg.norm(one) * np.linalg.norm(other), 1.0))


def _shape(image: Image.Image) -> str:
    if max(image.size) <= SQUARE * min(image.size):
        return "nearly square"
    return "landscape" if image.width > image.height else "portrait"


def _orientation(image: Image.Image) -> str:
    if symmetry(image) >= SYMMETRIC:
        return "symmetric (axial or coronal)"
    return "not symmetric (sagittal or oblique)"


def _terciles(values: Sequence[int], name: str) -> dict[str, Mask]:
    """Cut into about equal thirds, named by the range of each; equal values stay together."""
    found = np.asarray(values)
    third = np.digitize(found, np.quantile(found, [1 / 3, 2 / 3]), right=True)
    masks = [third == number for number in np.unique(third)]
    return {name.format(_range(found[mask])): mask for mask in masks}


def _range(values: NDArray[np.int64]) -> str:
    low, high = values.min(), values.max()
    return f"{low}" if low == high else f"{low} to {high}"


def _named(names: Sequence[str]) -> dict[str, Mask]:
    found = np.asarray(names)
    return {str(name): found == name for name in np.unique(found)}
