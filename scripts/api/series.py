"""From files to the images that are asked: DICOM slices by series and position, volumes slice by slice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from pydicom import dcmread
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from scripts import client
from scripts.api import nifti

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from pydicom import Dataset

VOLUMES = (".nii", ".nii.gz")
MAX_FRAMES = 4096  # a file that claims more is asked once, for the gateway to refuse
_ORDER = ["ImagePositionPatient", "ImageOrientationPatient", "SliceLocation", "InstanceNumber"]


@dataclass(frozen=True)
class Image:
    """One image that is asked: a file, or a slice of one."""

    path: Path
    series: int | None = None  # its number in this run; None for a picture
    slice: int | None = None  # its place in the series, from 1
    frame: int | None = None  # of a DICOM file of several
    draw: Callable[[], bytes] | None = None  # for a slice of a volume
    error: str = ""  # why it cannot be asked


Placed = tuple[tuple[float | None, ...], Image]
"""A slice's position, location and number, as far as they are known, and the slice."""


def images_of(paths: Iterable[Path], *, frame: int | None, axis: int) -> list[Image]:
    """Return the images to ask: pictures, then series by series the slices in their order.

    `frame` is the only frame of DICOM files, and the volume of NIfTI files, to ask; `axis` as in
    `nifti.slices`.
    """
    series: dict[str, list[Placed]] = {}  # by UID, which stays in here; "" for pictures
    for path in paths:
        if path.name.lower().endswith(VOLUMES):
            uid, images = _of_volume(path, frame, axis)
        else:
            uid, images = _of_dicom(path, frame)
        series.setdefault(uid, []).extend(images)
    pictures = [image for _, image in series.pop("", [])]
    return pictures + [
        replace(image, series=number, slice=place)
        for number, images in enumerate(series.values(), start=1)
        for place, image in enumerate(_in_order(images), start=1)
    ]


def is_dicom(path: Path) -> bool:
    """Whether a file can be read and begins as DICOM does."""
    try:
        with path.open("rb") as file:
            return client.is_dicom(file.read(132))
    except OSError:
        return False


def _of_volume(path: Path, volume: int | None, axis: int) -> tuple[str, list[Placed]]:
    try:
        slices = nifti.slices(path, axis=axis, volume=volume)
    except nifti.VolumeError as error:
        return "", [((), Image(path, error=str(error)))]
    return str(path), [((), Image(path, draw=draw)) for draw in slices]


def _of_dicom(path: Path, frame: int | None) -> tuple[str, list[Placed]]:
    if not is_dicom(path):
        return "", [((), Image(path))]
    try:
        with client.quiet_pydicom():
            if read_file_meta_info(path).TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
                raise ValueError("it would be inflated")
            tags = ["SeriesInstanceUID", "NumberOfFrames", *_ORDER]
            header = dcmread(path, stop_before_pixels=True, specific_tags=tags)
            count, places = int(header.get("NumberOfFrames") or 1), _places(header)
            series = str(header.get("SeriesInstanceUID") or path)
    except Exception:  # pydicom raises almost any; the client will say what is wrong
        return "", [((), Image(path, frame=frame))]
    frames = range(1, count + 1) if frame is None and 1 < count <= MAX_FRAMES else (frame,)
    return series, [(places, Image(path, frame=each)) for each in frames]


def _places(header: Dataset) -> tuple[float | None, ...]:
    position, axes, *others = (header.get(name) for name in _ORDER)
    along = None
    if position and axes:
        row, column, origin = np.array([*axes, *position], dtype=float).reshape(3, 3)
        along = float(np.cross(row, column) @ origin)
    return (along, *(None if each is None else float(each) for each in others))


def _in_order(images: list[Placed]) -> list[Image]:
    """Sort a series by the first kind of place that all its slices have, and equal ones by the next."""
    known = [values for values in zip(*(places for places, _ in images), strict=True) if None not in values]
    order = np.lexsort(known[::-1]) if known else range(len(images))  # stable: frames keep their order
    return [images[at][1] for at in order]
