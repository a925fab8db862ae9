"""Reads one source: a folder of images of one origin, with its `manifest.csv` and its outlines.

A source has the folders `yes/`, `no/` and `refuse/<kind>/`, of which some may be missing, or the four class
folders of public sets, themselves or in `Training/` and `Testing/`.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from model.data import outlines, phantom
from model.data.scan import CLASSES, REFUSE, REFUSED, DataError, Scan, check, decode_file, listed, readable
from model.progress import progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from model.data.outlines import Row

LABELS = {"no": 0, "yes": 1, REFUSE: REFUSED}
TYPES = {"glioma": 1, "meningioma": 1, "pituitary": 1, "notumor": 0, "notumour": 0}
"""Class folders of the public sets of four classes, as `_key` writes them."""
PARTS = ("training", "testing")
KNOWN = ("path", "label", "group", "plane", "contrast", "mask")
DETAILS = ("level_matched",)
"""Further columns of the manifest that a scan keeps."""


@dataclass(frozen=True)
class Source:
    """The readable images of one source, exact copies and images to refuse included, sorted by name."""

    name: str
    folder: Path
    scans: tuple[Scan, ...]
    skipped: tuple[tuple[str, str], ...]  # name of each unreadable file, and the reason
    files: tuple[Path, ...]  # all that was read: images, masks and tables
    unused: frozenset[str]  # columns of the manifest
    mapped: str  # which class folders of other names were read as yes and no

    @property
    def is_drawn(self) -> bool:
        """Whether the project drew the images."""
        return any((place / phantom.MARKER).is_file() for place in (self.folder, self.folder.parent))


def find(folder: Path) -> list[Path]:
    """Return the folder if it is a source, else the sources directly in it."""
    with readable(folder):
        if not folder.is_dir():
            raise DataError(f"{folder} is not a folder. Name one that holds the folders yes/ and no/.")
    if _class_folders(folder):
        return [folder]
    found = [path for path in _folders(folder) if _class_folders(path)]
    if not found:
        raise DataError(
            f"{folder} has no folder no/ and no folder yes/, nor folders that have them. Needed: yes/ with "
            "the tumour images and no/ with the others, JPEG, PNG or DICOM files."
        )
    return found


def read(folder: Path, *, name: str, qualified: bool) -> Source:
    """Read a source; unreadable files are listed, and names begin with the source's if `qualified`.

    Raises `DataError` for folders that cannot be read, file names that cannot be logged, and a manifest or
    outlines that do not fit the images.
    """
    classes = _class_folders(folder)
    files = [(path, label) for parent, label in classes.items() for path in _files(parent)]
    _check_names([path for path, _ in files])
    found, skipped = [], {}
    for path, label in progress(files, f"reading {name}", unit="file"):
        relative = path.relative_to(folder).as_posix()
        try:
            _, sha256 = decode_file(path)
        except OSError as error:
            skipped[relative] = str(error.strerror)
        else:
            found.append(Scan(path, label, sha256, name, relative=relative, qualified=qualified))
    rows = outlines.read_table(folder / outlines.MANIFEST)
    found = _described(found, rows, folder=folder, unreadable=skipped)
    scans = [scan for scan in found if scan.label != REFUSED]
    refused = [scan for scan in found if scan.label == REFUSED]
    before = f"{name}/" if qualified else ""
    return Source(
        name,
        folder,
        (*outlines.attach(scans, folder, loose=False, unreadable=skipped), *refused),
        tuple((before + relative, reason) for relative, reason in skipped.items()),
        (*(path for path, _ in files), *outlines.files(folder, loose=False)),
        frozenset(rows[0] if rows else ()) - {*KNOWN, *DETAILS},
        _mapped(classes),
    )


def _described(
    scans: Sequence[Scan], rows: Sequence[Row], *, folder: Path, unreadable: Mapping[str, str]
) -> list[Scan]:
    """Add what the manifest says; what contradicts the folders is an error."""
    wrong: dict[str, list[str]] = defaultdict(list)
    places = {scan.relative: place for place, scan in enumerate(scans)}
    found = list(scans)
    for row in rows:
        path, label, place = row["path"], row.get("label", ""), places.get(row["path"])
        if place is None:
            if path not in unreadable:
                wrong["Paths that name no image of this source"].append(path)
            continue
        scan = scans[place]
        stated = LABELS | TYPES | {"0": 0, "1": 1, f"{REFUSE}:{scan.kind}": REFUSED}
        if label and stated.get(label.lower()) != scan.label:
            wrong["Labels that contradict the folder"].append(f"{path} ({label})")
        found[place] = replace(
            scan,
            group=row.get("group") or None,
            plane=row.get("plane") or None,
            contrast=row.get("contrast") or None,
            details={name: row[name] for name in DETAILS if row.get(name)},
        )
    check(wrong, f"{folder / outlines.MANIFEST} does not fit its images")
    return found


def _class_folders(folder: Path) -> dict[Path, int]:
    """Return the folders of images, and their label."""
    inside = _folders(folder)
    own = {path: LABELS[path.name.lower()] for path in inside if path.name.lower() in LABELS}
    if 1 in own.values():
        return own
    parents = [folder, *(path for path in inside if path.name.lower() in PARTS)]
    types = [path for parent in parents for path in _folders(parent) if _key(path.name) in TYPES]
    return own | {path: TYPES[_key(path.name)] for path in types}


def _mapped(classes: Mapping[Path, int]) -> str:
    types = {path.name: label for path, label in classes.items() if _key(path.name) in TYPES}
    as_no, as_yes = (
        ", ".join(name for name in types if types[name] == label) for label in range(len(CLASSES))
    )
    return f"{as_yes or 'nothing'} read as yes, {as_no or 'nothing'} as no" if types else ""


def _key(name: str) -> str:
    """Write ``no_tumor`` as "notumor", and ``Glioma_tumor`` as "glioma"."""
    letters = "".join(filter(str.isalnum, name.lower()))
    return letters if letters in TYPES else letters.removesuffix("tumor")


def _folders(folder: Path) -> list[Path]:
    with readable(folder):
        return sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")


def _files(folder: Path) -> list[Path]:
    """List the visible files below a folder, sorted."""
    found, seen = [], {folder.resolve()}  # a link may lead back
    errors: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=errors.append, followlinks=True):
        below = {name: Path(parent, name).resolve() for name in folders if name[0] != "."}
        folders[:] = [name for name, real in below.items() if real not in seen]
        seen |= set(below.values())
        found += [Path(parent, name) for name in names if name[0] != "."]
    for error in errors:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}.")
    return sorted(found)


def _check_names(paths: Sequence[Path]) -> None:
    """Refuse names that neither MLflow nor JSON could take at the end of a training."""
    wrong = [path for path in paths if str(path).encode("utf-8", "ignore").decode() != str(path)]
    if wrong:
        shown = [os.fsencode(path).decode("utf-8", "backslashreplace") for path in wrong]
        raise DataError(f"{len(wrong):,} file names are not UTF-8: {listed(shown)}. Rename them.")
