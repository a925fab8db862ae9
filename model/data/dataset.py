"""Loads labelled scans from one or more sources, or the built-in phantoms."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from model import ROOT
from model.data import outlines, phantom
from model.data import source as reading
from model.data.scan import CLASSES, REFUSED, DataError, Scan, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from model.arrays import Indices
    from model.data.source import Source

__all__ = ["CLASSES", "DataError", "Dataset", "Scan", "load", "model_name", "resolve"]

PHANTOM_FOLDER = ROOT / ".local" / "phantoms"
PHANTOM_COUNT, PHANTOM_SEED = 160, 1_000_000
"""The built-in set. Tests and golden answers use small seeds, far from this one."""
MODEL_NAME = "tumor-detector"
Kind = Literal["images", "phantom"]
_COPY = 0.5  # share of a source's files that another source has too, above which it is a copy
_LONGEST_NAME = 100


@dataclass(frozen=True)
class Dataset:
    """The distinct readable scans of one or more sources, sorted by name within each.

    An exact copy would count the same evidence twice.
    """

    folders: tuple[Path, ...]  # as given: each is a source or holds sources
    name: str  # of the folders; "phantom" for drawn images
    kind: Kind
    scans: tuple[Scan, ...]
    copies: tuple[tuple[str, str], ...] = ()  # names of each excluded copy and of the scan that it equals
    skipped: tuple[tuple[str, str], ...] = ()  # name of each unreadable file, and the reason
    refuse: Mapping[str, tuple[Scan, ...]] = field(default_factory=dict, hash=False)  # by kind
    masks: tuple[Path, ...] = ()  # folders of outlines kept elsewhere
    notes: tuple[str, ...] = ()  # what a user should know of how the folders were read

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources, in their order; those with images to refuse alone come last."""
        return tuple(dict.fromkeys(scan.source for scan in (*self.scans, *self._negatives)))

    @property
    def _negatives(self) -> list[Scan]:
        return [image for images in self.refuse.values() for image in images]

    @property
    def labels(self) -> Indices:
        """1 for yes, 0 for no, shape (n,)."""
        return np.array([scan.label for scan in self.scans], dtype=np.int64)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the sorted labels and file hashes; independent of names and copies.

        Of several sources also over what their manifests say, and always over outlines and images to refuse.
        """
        several = len(self.sources) > 1
        lines = []
        for scan in (*self.scans, *self._negatives):
            line = f"{scan.label} {scan.sha256}"
            if several:
                facts = (scan.group, scan.plane, scan.contrast, sorted(scan.details.items()))
                line += f" {scan.name.split('/')[:-1]} {facts}"
            if scan.mask or scan.boxes:
                line += f" {scan.mask_sha256} {scan.boxes}"
            lines.append(f"{line}\n")
        return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()

    def summary(self) -> str:
        """Describe in one line what was found and what of it is not used; each note is a further line."""
        yes = int(self.labels.sum())
        what = "drawn phantoms" if self.kind == "phantom" else "distinct images"
        line = f"{len(self.scans)} {what} ({yes} yes, {len(self.scans) - yes} no)"
        if len(self.sources) > 1:
            line += f" of {len(self.sources)} sources"
        line += f" in {', '.join(map(str, self.folders))}"
        if outlined := sum(bool(scan.mask or scan.boxes) for scan in self.scans):
            line += f"; {outlined} with an outline"
        if self.refuse:
            line += f"; {len(self._negatives)} images to refuse"
        if self.copies:
            line += f"; {len(self.copies)} exact copies excluded"
        if self.skipped:
            reasons = listed([f"{name} ({reason})" for name, reason in self.skipped])
            line += f"; {len(self.skipped):,} unreadable files skipped: {reasons}"
        return "\n  ".join([line, *self.notes])


def model_name(dataset: Dataset) -> str:
    """Name of the registered model and the experiment for this data."""
    return f"{MODEL_NAME}-phantom" if dataset.kind == "phantom" else MODEL_NAME


def resolve(folders: Path | Sequence[Path] | None = None, masks: Path | Sequence[Path] = ()) -> Dataset:
    """Load the given folders, else ``$TUMOR_DATA``, else ``data/``, else the built-in phantoms.

    A given folder that does not exist is an error; nothing replaces it.
    """
    if not folders:
        usual = ROOT / "data" if (ROOT / "data").is_dir() else PHANTOM_FOLDER
        folders = Path(os.environ.get("TUMOR_DATA") or usual)
    if folders == PHANTOM_FOLDER and not (PHANTOM_FOLDER / phantom.MARKER).is_file():
        phantom.write_folder(PHANTOM_FOLDER, count=PHANTOM_COUNT, seed=PHANTOM_SEED)
    return load(folders, masks)


def load(
    folders: Path | Sequence[Path],
    masks: Path | Sequence[Path] = (),
    *,
    names: Mapping[Path, str] | None = None,
) -> Dataset:
    """Read folders that are sources, or hold sources, of JPEG, PNG or DICOM files of any size, mode and name.

    Unreadable files and exact copies are excluded and listed. Outlines in `masks` replace those of the
    sources; `names` are for folders that are called otherwise, such as after a version.

    Raises `DataError` without both classes in all sources together, for the same bytes in both, for a source
    that is a copy of another, and for outlines and manifests that do not fit the images.
    """
    given = [path.expanduser() for path in ([folders] if isinstance(folders, Path) else folders)]
    sources = _read(given, names or {})
    scans = [scan for each in sources for scan in each.scans]
    unreadable = [name for each in sources for name, _ in each.skipped]
    outlined = [path.expanduser() for path in ([masks] if isinstance(masks, Path) else masks)]
    for folder in outlined:
        if not outlines.files(folder, loose=True):
            raise DataError(f"--masks {folder} holds no outlines: no manifest.csv, boxes.csv or PNG files.")
        scans = outlines.attach(scans, folder, loose=True, unreadable=unreadable)
    _check_classes(scans, sources)
    _check_files(scans)
    refuse: dict[str, list[Scan]] = {}
    for image in scans:
        if image.label == REFUSED:
            refuse.setdefault(image.kind, []).append(image)
    kept, copies = _distinct(scan for scan in scans if scan.label != REFUSED)
    drawn = any(each.is_drawn for each in sources)
    name = " + ".join((names or {}).get(path, path.resolve().name) for path in given)
    return Dataset(
        folders=tuple(path.resolve() for path in given),
        name="phantom" if drawn else name if len(name) < _LONGEST_NAME else f"{len(sources)} sources",
        kind="phantom" if drawn else "images",
        scans=kept,
        copies=copies,
        skipped=tuple(each for found in sources for each in found.skipped),
        refuse={kind: tuple(refuse[kind]) for kind in sorted(refuse)},
        masks=tuple(path.resolve() for path in outlined),
        notes=_notes(sources),
    )


def _read(given: Sequence[Path], names: Mapping[Path, str]) -> list[Source]:
    """Read the sources in the given folders; two of the same name are an error."""
    found = {path: names.get(path, path.resolve().name) for folder in given for path in reading.find(folder)}
    for name, count in Counter(found.values()).items():
        if count > 1:
            same = " and ".join(str(path) for path in found if found[path] == name)
            raise DataError(f"{count} sources are called {name}: {same}. Rename a folder, or leave one out.")
    return [reading.read(path, name=name, qualified=len(found) > 1) for path, name in found.items()]


def _distinct(scans: Iterable[Scan]) -> tuple[tuple[Scan, ...], tuple[tuple[str, str], ...]]:
    """Keep the first of each set of exact copies, with the outline of any; return the names of the others."""
    first: dict[str, Scan] = {}
    copies = []
    for scan in scans:
        original = first.setdefault(scan.sha256, scan)
        if original is not scan:
            copies.append((scan.name, original.name))
            if not (original.mask or original.boxes):
                first[scan.sha256] = replace(
                    original, mask=scan.mask, boxes=scan.boxes, mask_sha256=scan.mask_sha256
                )
    return tuple(first.values()), tuple(copies)


def _check_classes(scans: Sequence[Scan], sources: Sequence[Source]) -> None:
    """Check that all sources together have both classes."""
    missing = [name for label, name in enumerate(CLASSES) if all(scan.label != label for scan in scans)]
    if missing:
        where = ", ".join(str(each.folder) for each in sources)
        unread = [f"{name} ({reason})" for each in sources for name, reason in each.skipped]
        raise DataError(
            f"{where} cannot be trained on: {'/ and '.join(missing)}/ holds no readable JPEG, PNG or DICOM "
            + (f"file, unreadable: {listed(unread)}" if unread else "file, it is empty or missing")
            + ". Needed: yes/ with the tumour images and no/ with the others."
        )


def _check_files(images: Sequence[Scan]) -> None:
    """Check that no file has two labels, and that no source is a copy of another."""
    first: dict[str, Scan] = {}
    hashes: dict[str, set[str]] = {}
    for image in images:
        other = first.setdefault(image.sha256, image)
        if other.label != image.label:
            raise DataError(
                f"{other.name} and {image.name} are the same file: delete it from the wrong class."
            )
        hashes.setdefault(image.source, set()).add(image.sha256)
    for (one, own), (another, others) in combinations(hashes.items(), 2):
        same, least = len(own & others), min(len(own), len(others))
        if same > _COPY * least:
            raise DataError(
                f"the source {another} is a copy of {one}: {same} of {least} distinct images are the same "
                "files. Leave one of them out."
            )


def _notes(sources: Sequence[Source]) -> tuple[str, ...]:
    notes = [f"{found.name}: {found.mapped}" for found in sources if found.mapped]
    for label, name in enumerate(CLASSES):
        alone = [each.name for each in sources if {scan.label for scan in each.scans} - {REFUSED} == {label}]
        if alone:
            notes.append(f"only {name} images: {', '.join(alone)}")
    if unused := sorted({column for found in sources for column in found.unused}):
        notes.append(f"columns of the manifests that are not used: {', '.join(unused)}")
    return tuple(notes)
