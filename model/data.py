"""From a folder with `yes/` and `no/` to labelled scans; where there is no folder, phantoms."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from tqdm import tqdm

from container import imaging
from container.problem import Problem

from . import phantom

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PHANTOM_FOLDER = ROOT / ".local" / "phantoms"
PHANTOM_COUNT, PHANTOM_SEED = 160, 1_000_000
"""The built-in set; the seed lies far from the small seeds that tests and golden answers draw with."""
MODEL_NAME = "tumor-detector"
KAGGLE_SET = "navoneel/brain-mri-images-for-brain-tumor-detection"
Kind = Literal["images", "phantom"]
CLASSES = ("no", "yes")
"""Names of the class folders; a class's number is its place here."""


class DataError(Exception):
    """The images cannot be trained on; the text says which and what to do."""


@dataclass(frozen=True)
class Scan:
    """One labelled image file."""

    path: Path
    label: int
    sha256: str

    @property
    def name(self) -> str:
        """Class folder and file, such as ``yes/Y1.jpg``: how people find the file again."""
        return f"{self.path.parent.name}/{self.path.name}"

    def image(self) -> Image.Image:
        """Decode the file exactly as serving does."""
        return imaging.decode(self.path.read_bytes())


@dataclass(frozen=True)
class Dataset:
    """The distinct readable scans of one folder, in the order of their names.

    Attributes
    ----------
    name
        The folder's own name, ``phantom`` for drawn images.
    scans
        Distinct files: an exact copy of a file would count the same evidence twice.
    copies
        For each file left out as an exact copy: its name and the name of the scan that it repeats.
    skipped
        For each file that could not be read: its name and why.
    """

    folder: Path
    name: str
    kind: Kind
    scans: tuple[Scan, ...]
    copies: tuple[tuple[str, str], ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()

    @property
    def labels(self) -> NDArray[np.int64]:
        """1 for yes, 0 for no, shape (n,)."""
        return np.array([scan.label for scan in self.scans], dtype=np.int64)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the sorted labels and file hashes: names, folders and copies do not matter."""
        lines = sorted(f"{scan.label} {scan.sha256}\n" for scan in self.scans)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def summary(self) -> str:
        """One line for people: what was found, and what of it is not used."""
        yes = int(self.labels.sum())
        what = "drawn phantoms" if self.kind == "phantom" else "distinct images"
        line = f"{len(self.scans)} {what} ({yes} yes, {len(self.scans) - yes} no) in {self.folder}"
        if self.copies:
            line += f"; {len(self.copies)} exact copies set aside"
        if self.skipped:
            reasons = "; ".join(f"{name} ({reason})" for name, reason in self.skipped)
            line += f"; {len(self.skipped)} unreadable files skipped: {reasons}"
        return line


def model_name(dataset: Dataset) -> str:
    """Name of the registered model, and of the experiment, that this data trains."""
    return f"{MODEL_NAME}-phantom" if dataset.kind == "phantom" else MODEL_NAME


def resolve(folder: Path | None = None) -> Dataset:
    """Load the folder that was named, else ``$TUMOR_DATA``, else ``data/``, else the built-in phantoms.

    Raises
    ------
    DataError
        As `load` does. A folder that was named and is not there is an error, never a reason to go on.
    """
    named = folder or (Path(os.environ["TUMOR_DATA"]) if os.environ.get("TUMOR_DATA") else None)
    if named:
        return load(named)
    if (ROOT / "data").is_dir():
        return load(ROOT / "data")
    if not (PHANTOM_FOLDER / phantom.MARKER).is_file():
        phantom.write_folder(PHANTOM_FOLDER, count=PHANTOM_COUNT, seed=PHANTOM_SEED)
    return load(PHANTOM_FOLDER)


def fetch_kaggle() -> Dataset:
    """Download the Kaggle set, or find it in kagglehub's cache, and load it.

    Raises
    ------
    DataError
        When Kaggle cannot be reached or refuses, or as `load` does.
    """
    # The cache's own folder is named after a version, which says nothing.
    return replace(load(download(KAGGLE_SET)), name=KAGGLE_SET.rpartition("/")[2])


def download(handle: str) -> Path:
    """Download a Kaggle set such as ``owner/name``, or find it in kagglehub's cache; its folder.

    Raises
    ------
    DataError
        When Kaggle cannot be reached or refuses.
    """
    import kagglehub  # noqa: PLC0415 - slow to import, rarely needed

    try:
        return Path(kagglehub.dataset_download(handle))
    except Exception as error:
        raise DataError(
            f"the Kaggle set {handle} could not be fetched: {error}. Check the network (and, where "
            "Kaggle asks for it, KAGGLE_USERNAME and KAGGLE_KEY), or download it and pass --data FOLDER."
        ) from error


def load(folder: Path) -> Dataset:
    """Read a folder whose `yes/` and `no/` hold JPEG or PNG files of any size, mode and name.

    An unreadable file is set aside with its reason, an exact copy with the name of what it repeats.

    Raises
    ------
    DataError
        Without both class folders, with a class that has no readable image, or with the same bytes in both.
    """
    folder = folder.expanduser()
    found: list[Scan] = []
    skipped: list[tuple[str, str]] = []
    for path in tqdm(_files(folder), desc=f"reading {folder}", unit="file", leave=False):
        try:
            data = path.read_bytes()
            imaging.decode(data)
        except (OSError, Problem) as fault:
            reason = fault.detail if isinstance(fault, Problem) else str(fault.strerror)
            skipped.append((f"{path.parent.name}/{path.name}", reason))
        else:
            label = CLASSES.index(path.parent.name.lower())
            found.append(Scan(path=path, label=label, sha256=hashlib.sha256(data).hexdigest()))
    _check_classes(folder, found, skipped)
    scans, copies = _set_copies_aside(found)
    drawn = (folder / phantom.MARKER).is_file()
    return Dataset(
        folder=folder.resolve(),
        name="phantom" if drawn else folder.resolve().name,
        kind="phantom" if drawn else "images",
        scans=scans,
        copies=copies,
        skipped=tuple(skipped),
    )


def _files(folder: Path) -> list[Path]:
    """List the visible files of both class folders, whose case does not matter, by class and name."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder. Name one that holds the folders yes/ and no/.")
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and path.name.lower() in CLASSES)
    missing = sorted(set(CLASSES) - {path.name.lower() for path in folders})
    if missing:
        raise DataError(
            f"{folder} has no folder {'/ and no folder '.join(missing)}/. Needed: yes/ with the tumour "
            "images and no/ with the others, JPEG or PNG files directly in them."
        )
    return [
        path
        for parent in folders
        for path in sorted(parent.iterdir())
        if not path.is_dir() and not path.name.startswith(".")
    ]


def _check_classes(folder: Path, found: list[Scan], skipped: list[tuple[str, str]]) -> None:
    problems = []
    for label, name in enumerate(CLASSES):
        if all(scan.label != label for scan in found):
            unread = [f"{file} ({reason})" for file, reason in skipped if file.lower().startswith(f"{name}/")]
            reasons = f", unreadable: {'; '.join(unread)}" if unread else ", it is empty"
            problems.append(f"{folder / name}/ holds no readable JPEG or PNG file{reasons}")
    of_both: dict[str, dict[int, str]] = defaultdict(dict)
    for scan in found:
        of_both[scan.sha256].setdefault(scan.label, scan.name)
    problems += [
        f"{names[0]} and {names[1]} are the same file: delete it from the wrong class"
        for names in of_both.values()
        if len(names) > 1
    ]
    if problems:
        raise DataError(f"{folder} cannot be trained on: " + ". ".join(problems) + ".")


def _set_copies_aside(found: list[Scan]) -> tuple[tuple[Scan, ...], tuple[tuple[str, str], ...]]:
    first: dict[str, Scan] = {}
    copies = []
    for scan in found:
        original = first.setdefault(scan.sha256, scan)
        if original is not scan:
            copies.append((scan.name, original.name))
    return tuple(first.values()), tuple(copies)
