"""Slices of NIfTI volumes as PNG, upright as a radiologist sees them: the patient's right is on the left."""

from __future__ import annotations

import logging
import math
import threading
from functools import lru_cache, partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

import nibabel as typed_nibabel
import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

nibabel: Any = typed_nibabel  # in part only
MAX_VOXELS = 2**26  # 512 x 512 x 256: 1.2 GB while they are read, where the file scales them
_one_at_a_time = threading.Lock()  # so that no second volume is in memory
logging.getLogger("nibabel.global").disabled = True  # it quotes headers


class VolumeError(Exception):
    """A file without slices to show; the text says what is wrong."""


def slices(path: Path, *, axis: int, volume: int | None) -> list[Callable[[], bytes]]:
    """Return a function for each slice that draws it; `volume`, from 1, is needed for a file of several.

    The axis is 0 for sagittal slices from the left, 1 for coronal ones from behind, 2 for axial ones from
    below. Raises `VolumeError` from here if the header is wrong, from a function if the voxels are.
    """
    image, index = _opened(path, volume)
    (along,) = np.flatnonzero(nibabel.io_orientation(image.affine)[:, 0] == axis)
    return [partial(_slice, path, index, axis, number) for number in range((*image.shape, 1)[along])]


def _opened(path: Path, volume: int | None) -> tuple[Any, tuple[int, ...]]:
    """Return a file with a good header, and the index of the volume in the dimensions after the third."""
    try:
        image = nibabel.load(path)
        shape, values = image.shape, image.get_data_dtype()
        if np.isnan(nibabel.io_orientation(image.affine)).any():
            raise ValueError("an axis without direction")
    except Exception:
        raise VolumeError("The NIfTI file is truncated or broken: its header is unreadable.") from None
    if values.kind not in "iuf":
        raise VolumeError("The NIfTI file holds colours or complex numbers: save it with grey values.")
    if min(shape) < 1 or len(shape) == 1:
        raise VolumeError("The NIfTI file has no slices.")
    if math.prod(shape[:3]) > MAX_VOXELS:
        raise VolumeError(f"The volume has more than {MAX_VOXELS:,} voxels: crop or resample it.")
    count = math.prod(shape[3:])
    if (volume is None and count > 1) or not 1 <= (volume or 1) <= count:
        raise VolumeError(f"The file has {count} volumes: choose one with --frame N, from 1 to {count}.")
    return image, tuple(map(int, np.unravel_index((volume or 1) - 1, shape[3:], order="F")))


def _slice(path: Path, index: tuple[int, ...], axis: int, number: int) -> bytes:
    with _one_at_a_time:
        drawn = _drawn(path, index, axis)
    if not drawn:
        raise VolumeError("The NIfTI file is truncated or broken: its voxels are unreadable.")
    return drawn[number]


@lru_cache(maxsize=2)  # slices are asked in their order: two volumes are in use where one ends
def _drawn(path: Path, index: tuple[int, ...], axis: int) -> list[bytes]:
    """Return all slices; none of a broken file, which is not read once more for each."""
    try:
        image = nibabel.load(path)
        voxels = np.asanyarray(image.dataobj[(..., *index)]).reshape((*image.shape, 1)[:3])
        axes = nibabel.io_orientation(image.affine)
        upright = nibabel.apply_orientation(voxels, axes)  # to right, anterior and superior
        return [_png(plane.T[::-1, ::-1]) for plane in np.moveaxis(upright, axis, 0)]
    except Exception:  # nibabel, gzip and numpy raise almost any
        return []


def _png(plane: NDArray[Any]) -> bytes:
    """Spread what is wider than 8 bits over 16, which the API narrows as it does DICOM."""
    if plane.dtype != np.uint8:
        values = np.nan_to_num(plane.astype(np.float64), posinf=0, neginf=0)
        values -= values.min()
        plane = (values * (65535 / (values.max() or 1))).round().astype(np.uint16)
    file = BytesIO()
    Image.fromarray(np.ascontiguousarray(plane)).save(file, "PNG", compress_level=1)
    return file.getvalue()
