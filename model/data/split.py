"""Groups of near-duplicates, and splits that never separate a group.

A network could memorise images that have copies, crops, flips or rescalings on the other side of a split. Two
images belong to one group when their 48 x 48 thumbnails, of the whole image or of the cropped head, correlate
above `DUPLICATE` in any of the eight flips and quarter turns, and so do two images of one patient or case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage, sparse
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from container import imaging
from model.data.cases import Cases
from model.data.scan import CLASSES, DataError
from model.progress import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from model.arrays import Floats32, Indices, Mask

    Least = Callable[[slice, slice], Floats32]

DUPLICATE = 0.87
"""Smallest correlation of near-duplicates. On the Kaggle set, pairs known to differ reach 0.865 and the
weakest link inside a known group is 0.880."""
BETWEEN_SOURCES = 0.95
"""The same between two sources, whose images may be alike for being of the same plane and contrast."""
BETWEEN_PATIENTS = 0.97
"""The same between two images of one source that its manifest assigns to different groups."""
THUMBNAIL = 48
HELD_OUT = 3
"""Groups of each class that the served network is not trained on: examples for people, not a test set."""
_BLOCK = 1024  # rows of the correlation matrix computed at a time, which bounds memory


def group(images: Iterable[Image.Image], subjects: Sequence[tuple[str, str | None]] | None = None) -> Indices:
    """Number the groups of near-duplicates, which are their connected components, shape (n,).

    The images, of mode L and any size, are each read once and not kept. `subjects` names the source of each
    and its patient or case there, if known; all images of one are in the same group.
    """
    whole, heads = _thumbnails(images)
    count = len(whole)
    subjects = subjects or [("", None)] * count
    sources = np.unique([source for source, _ in subjects], return_inverse=True)[1]
    known = np.array([name is not None for _, name in subjects])
    first: dict[tuple[str, str | None], int] = {}
    patients = np.array([first.setdefault(each, place) for place, each in enumerate(subjects)])

    def least(rows: slice, columns: slice) -> Floats32:
        """Return the smallest correlation of near-duplicates for each pair."""
        both_known = known[rows, None] & known[columns] & (patients[rows, None] != patients[columns])
        inside = np.where(both_known, BETWEEN_PATIENTS, DUPLICATE)
        apart = sources[rows, None] != sources[columns]
        return np.where(apart, BETWEEN_SOURCES, inside).astype(np.float32)

    links = _correlated(whole, least) + _correlated(heads, least)
    own = np.flatnonzero(known)
    links += sparse.csr_array((np.ones(len(own), dtype=bool), (own, patients[own])), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1], dtype=np.int64)


def assign_folds(labels: Indices, groups: Indices, *, folds: int, seed: int) -> Cases:
    """Split the images into stratified folds without separating a group; each class needs as many groups."""
    for label, name in enumerate(CLASSES):
        independent = len(np.unique(groups[labels == label]))
        if independent < folds:
            raise DataError(
                f"{name}/ has {independent} independent images, fewer than the {folds} folds: add images or "
                "use fewer folds. Copies, crops, flips and turns of an image count as one."
            )
    numbers = np.empty(len(labels), dtype=np.int64)
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    for number, (_, tested) in enumerate(splitter.split(labels, labels, groups)):
        numbers[tested] = number
        if missing := [name for label, name in enumerate(CLASSES) if label not in labels[tested]]:
            raise DataError(
                f"a fold would have no {missing[0]} images, because few large groups hold most of them: add "
                "images of other patients, or use fewer folds."
            )
    _, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return Cases(labels=labels, groups=groups, folds=numbers, weights=1 / sizes[inverse])


def hold_out(labels: Indices, groups: Indices, *, seed: int) -> Mask:
    """Choose `HELD_OUT` groups of each class, fewer in small sets; return a mask of their images.

    Groups of one class alone are preferred: where every patient has images of both, whole patients are held
    out as examples of both.
    """
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    for label in range(len(CLASSES)):
        own = np.unique(groups[labels == label])
        pure = np.setdiff1d(own, groups[labels != label])
        most = min(HELD_OUT, max(1, len(own) // 10))
        candidates = pure if len(pure) else np.setdiff1d(own, chosen)
        chosen.extend(rng.choice(candidates, size=min(most, len(candidates)), replace=False))
    held_out = np.isin(groups, chosen)
    for label, name in enumerate(CLASSES):
        of_class = labels == label
        if not (of_class & held_out).any() or not (of_class & ~held_out).any():
            raise DataError(
                f"the {name} images are of {len(np.unique(groups[of_class]))} independent patients or "
                "images: too few to hold one out and train on the others. Add images."
            )
    return held_out


def head_box(image: Image.Image) -> tuple[float, float, float, float]:
    """Find the bounding box of the largest bright region: the head without margins, text and rulers.

    It is left, top, right and bottom in pixels; the whole image if nothing in it is bright.
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


def _thumbnails(images: Iterable[Image.Image]) -> tuple[Floats32, Floats32]:
    """Thumbnails of the whole images and of the heads in them, each (n, `THUMBNAIL`, `THUMBNAIL`)."""
    whole: list[Floats32] = []
    heads: list[Floats32] = []
    for image in progress(images, "finding near-duplicates"):
        for thumbnails, box in ((whole, None), (heads, head_box(image))):
            small = image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX, box=box)
            thumbnails.append(np.asarray(small, dtype=np.float32))
    return np.stack(whole), np.stack(heads)


def _correlated(thumbnails: Floats32, least: Least) -> sparse.csr_array:
    """Sparse matrix of the pairs that correlate by `least` in any of the eight orientations."""
    plain = _unit(thumbnails)
    turned = [_unit(orientation) for orientation in _orientations(thumbnails)]
    rows = []
    for start in range(0, len(plain), _BLOCK):
        # The half above the diagonal suffices: the orientations have inverses.
        block, columns = slice(start, start + _BLOCK), slice(start, len(plain))
        best = np.max([plain[block] @ other[columns].T for other in turned], axis=0)
        near = sparse.coo_array(best >= least(block, columns))
        coordinates = (near.row, near.col + start)
        rows.append(sparse.csr_array((near.data, coordinates), shape=(len(best), len(plain))))
    return sparse.vstack(rows, format="csr")


def _orientations(thumbnails: Floats32) -> Iterator[Floats32]:
    for quarter in range(4):
        turned = np.rot90(thumbnails, quarter, axes=(1, 2))
        yield turned
        yield turned[:, :, ::-1]


def _unit(thumbnails: Floats32) -> Floats32:
    """Centre and normalise, so that a dot product is a correlation; 0 for a constant image."""
    flat = thumbnails.reshape(len(thumbnails), -1)
    centred = flat - flat.mean(axis=1, keepdims=True)
    unit: Floats32 = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1)
    return unit
