"""Groups of near-duplicates, and splits that never separate a group.

Copies, crops, flips and rescalings of one picture on both sides of a split let a network pass by memory. Two
pictures belong together when their 48 x 48 thumbnails correlate above `DUPLICATE`, of the whole picture or of
the head cut out of it, in any of the eight flips and quarter turns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage, sparse
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold
from tqdm import tqdm

from container import imaging

from .data import CLASSES, DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    Plane = NDArray[np.float32]
    Indices = NDArray[np.int64]

DUPLICATE = 0.87
"""Correlation from which two thumbnails show the same picture. On the Kaggle set pairs known to differ reach
0.865 and the weakest link inside a known group is 0.880."""
THUMBNAIL = 48
HELD_OUT = 3
"""Groups of each class that the served network does not learn from: they show it at work, and judge nothing.
"""
_BLOCK = 1024  # rows of the correlation matrix at a time: all of it would not fit for many images


def group(images: Iterable[Image.Image], *, total: int | None = None) -> Indices:
    """Number the groups of near-duplicates.

    Parameters
    ----------
    images
        Mode L, any size; each is looked at once and not kept.
    total
        How many there are, for the progress bar, where they come one by one.

    Returns
    -------
    Shape (n,): equal numbers are near-duplicates, directly or through others.
    """
    seen = Thumbnails.of(images, total=total)
    links = _links(seen.whole, seen.whole) + _links(seen.heads, seen.heads)
    return np.asarray(connected_components(links, directed=False)[1], dtype=np.int64)


@dataclass(frozen=True)
class Thumbnails:
    """Small copies of images and of the heads cut out of them, each (n, `THUMBNAIL`, `THUMBNAIL`)."""

    whole: Plane
    heads: Plane

    @classmethod
    def of(cls, images: Iterable[Image.Image], *, total: int | None = None) -> Thumbnails:
        """Look at each image once."""
        whole, heads = [], []
        for image in tqdm(images, desc="looking for near-duplicates", unit="image", total=total, leave=False):
            whole.append(_thumbnail(image, box=(0, 0, *image.size)))
            heads.append(_thumbnail(image, box=head_box(image)))
        return cls(np.stack(whole), np.stack(heads))


@dataclass(frozen=True)
class Cases:
    """What is known of each image besides its pixels; every array has shape (n,).

    Attributes
    ----------
    labels
        1 for yes, 0 for no.
    groups
        Number of the image's group of near-duplicates.
    folds
        Number of the fold that judges the image.
    weights
        1 / size of the group, so that every group counts the same.
    """

    labels: Indices
    groups: Indices
    folds: Indices
    weights: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, chosen: NDArray[np.bool_]) -> Cases:
        return Cases(self.labels[chosen], self.groups[chosen], self.folds[chosen], self.weights[chosen])


def plan(labels: Indices, groups: Indices, *, folds: int, seed: int) -> Cases:
    """Split the images into stratified folds that no group straddles.

    Raises
    ------
    DataError
        When a class has too few groups for that.
    """
    for label, name in enumerate(CLASSES):
        independent = len(np.unique(groups[labels == label]))
        if independent < folds:
            raise DataError(
                f"{name}/ has {independent} independent images, fewer than the {folds} folds: add images or "
                "use fewer folds. Copies, crops and turns of one count as one."
            )
    numbers = np.empty(len(labels), dtype=np.int64)
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    for number, (_, judged) in enumerate(splitter.split(labels, labels, groups)):
        numbers[judged] = number
    _, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return Cases(labels=labels, groups=groups, folds=numbers, weights=1 / sizes[inverse])


def hold_out(labels: Indices, groups: Indices, *, seed: int) -> NDArray[np.bool_]:
    """Choose `HELD_OUT` groups of each class, fewer where there are few; marks their images, shape (n,).

    Raises
    ------
    DataError
        When every image of a class has a near-duplicate in the other.
    """
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    for label, name in enumerate(CLASSES):
        # A group of both classes counts for neither: it could not stand for one class alone.
        pure = np.setdiff1d(groups[labels == label], groups[labels != label])
        if len(pure) == 0:
            raise DataError(
                f"every image in {name}/ has a near-duplicate in the other class: sort them first."
            )
        chosen.extend(rng.choice(pure, size=min(HELD_OUT, max(1, len(pure) // 10)), replace=False))
    return np.isin(groups, chosen)


def resembling(images: Iterable[Image.Image], others: Iterable[Image.Image]) -> NDArray[np.bool_]:
    """Mark the images that are near-duplicates of any of the others, by `group`'s rule, shape (images,)."""
    mine, theirs = Thumbnails.of(images), Thumbnails.of(others)
    links = _links(mine.whole, theirs.whole) + _links(mine.heads, theirs.heads)
    return np.asarray(links.sum(axis=1) > 0, dtype=bool)


def head_box(image: Image.Image) -> tuple[float, float, float, float]:
    """Find the box around the largest bright region: the head without margins, text and rulers.

    Parameters
    ----------
    image
        Mode L, any size.

    Returns
    -------
    Left, top, right and bottom in the image's pixels; the whole image where nothing in it is bright.
    """
    side = 2 * THUMBNAIL
    small = image.resize((side, side), Image.Resampling.BOX)
    regions, count = ndimage.label(np.asarray(small) > imaging.otsu(small) / 2)
    if count == 0:
        return (0, 0, *image.size)
    largest = int(np.argmax(np.bincount(regions.ravel())[1:]))
    rows, columns = ndimage.find_objects(regions)[largest]
    across, down = image.width / side, image.height / side
    return columns.start * across, rows.start * down, columns.stop * across, rows.stop * down


def _thumbnail(image: Image.Image, *, box: tuple[float, float, float, float]) -> Plane:
    small = image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX, box=box)
    return np.asarray(small, dtype=np.float32)


def _links(thumbnails: Plane, others: Plane) -> sparse.csr_array:
    """Sparse matrix of the pairs that correlate above `DUPLICATE` in one of the eight orientations."""
    plain = _unit(thumbnails)
    turned = [_unit(orientation) for orientation in _orientations(others)]
    rows = []
    for start in range(0, len(plain), _BLOCK):
        block = plain[start : start + _BLOCK]
        best = np.max([block @ other.T for other in turned], axis=0)
        rows.append(sparse.csr_array(best >= DUPLICATE))
    return sparse.vstack(rows, format="csr")


def _orientations(thumbnails: Plane) -> Iterator[Plane]:
    for quarter in range(4):
        turned = np.rot90(thumbnails, quarter, axes=(1, 2))
        yield turned
        yield turned[:, :, ::-1]


def _unit(thumbnails: Plane) -> Plane:
    """Centre and scale, so that the product of two is their correlation; a flat picture matches nothing."""
    flat = thumbnails.reshape(len(thumbnails), -1)
    centred = flat - flat.mean(axis=1, keepdims=True)
    unit: Plane = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1)
    return unit
