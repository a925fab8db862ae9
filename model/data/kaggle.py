"""Fetches public sets of brain MRI from Kaggle by name, each as one source."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, UnidentifiedImageError

from container.rules import reason_to_refuse
from model import ROOT
from model.data import outlines
from model.data.scan import CLASSES, DataError
from model.progress import progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DEFAULT = "navoneel/brain-mri-images-for-brain-tumor-detection"
FOUR_CLASSES = "masoudnickparvar/brain-tumor-mri-dataset"
GLIOMAS = "mateuszbuda/lgg-mri-segmentation"
KNOWN = (DEFAULT, FOUR_CLASSES, GLIOMAS)
"""Three sources, of which the last has outlines, and tumour-free slices of the same patients."""
CONVERTED = ROOT / ".local" / "kaggle"
CHANNELS = ("t1", "flair", "t1c")
"""Contrasts in the channels of a file of `GLIOMAS`, by its description."""


def fetch(names: Iterable[str]) -> dict[Path, str]:
    """Download sets, or find them in kagglehub's cache; return their folders, and their names as sources.

    A name is ``owner/set``, or ``set`` alone for those in `KNOWN`.
    """
    fetched = {}
    for name in names:
        handle = next((each for each in KNOWN if name in (each, each.rpartition("/")[2])), name)
        if "/" not in handle:
            raise DataError(f"--kaggle {name}: write OWNER/NAME, or one of {', '.join(KNOWN)}.")
        folder = download(handle)
        if handle == GLIOMAS:
            folder = _converted(folder)
        fetched[folder] = handle.rpartition("/")[2]  # kagglehub's folder is named after a version number
    return fetched


def download(handle: str) -> Path:
    """Download a Kaggle set such as ``owner/name``, unless kagglehub has it, and return its folder."""
    import kagglehub  # noqa: PLC0415 - slow to import, rarely needed

    try:
        return Path(kagglehub.dataset_download(handle))
    except Exception as error:
        raise DataError(
            f"the Kaggle set {handle} could not be fetched: {error}. Check the network (and, where "
            "Kaggle asks for it, KAGGLE_USERNAME and KAGGLE_KEY), or download it and pass --data FOLDER."
        ) from error


def _converted(folder: Path) -> Path:
    """Convert the slices of `GLIOMAS`, TIFF files of three contrasts, to a source; once for each version."""
    converted = CONVERTED / GLIOMAS.rpartition("/")[2] / folder.name
    if converted.is_dir():
        return converted
    converted.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=converted.parent) as scratch:
        made = Path(scratch) / "made"
        for name in (*CLASSES, outlines.MASKS):
            (made / name).mkdir(parents=True)
        masks = sorted((folder / "kaggle_3m").glob("*/*_mask.tif"))
        if not masks:
            raise DataError(f"{folder} holds no kaggle_3m/PATIENT/*_mask.tif: it is not {GLIOMAS}.")
        rows = [row for mask in progress(masks, "converting slices") for row in _convert(mask, to=made)]
        with (made / outlines.MANIFEST).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("path", "label", "group", "plane", "contrast"), *rows])
        made.rename(converted)
    return converted


def _convert(mask_path: Path, *, to: Path) -> Iterator[tuple[str, ...]]:
    """Write the contrasts of one slice, and its mask for each, and yield their rows of the manifest."""
    slice_path = mask_path.with_name(mask_path.name.replace("_mask.tif", ".tif"))
    try:
        with Image.open(slice_path) as image, Image.open(mask_path) as outline:
            bands, mask = image.convert("RGB").split(), outline.convert("L")
    except (OSError, UnidentifiedImageError) as error:
        message = f"{slice_path} or its mask cannot be read: {error}. Download the set again."
        raise DataError(message) from error
    label = CLASSES[mask.getbbox() is not None]
    for contrast, band in zip(CHANNELS, bands, strict=True):
        # The set repeats FLAIR in place of a missing contrast; the outermost slices are blank.
        missing = contrast != "flair" and band.tobytes() == bands[CHANNELS.index("flair")].tobytes()
        if missing or reason_to_refuse(band, band):
            continue
        name = f"{slice_path.stem}_{contrast}.png"
        band.save(to / label / name)
        if label == "yes":
            mask.save(to / outlines.MASKS / name)
        yield f"{label}/{name}", label, mask_path.parent.name, "axial", contrast
