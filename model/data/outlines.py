"""Finds the outlines of tumours: masks and boxes, in a source or in a folder of their own.

An image's outline is the `mask` of its row in `manifest.csv`, else `masks/<file name>.png`, else
`masks/<stem>.png` where one image alone has that stem, else its rows in `boxes.csv`.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections import defaultdict
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from model.data.scan import DataError, check, decode_file, read_file, readable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from model.data.scan import Box, Scan

    Row = Mapping[str, str]
    Wrong = dict[str, list[str]]

MANIFEST, BOXES, MASKS = "manifest.csv", "boxes.csv", "masks"
_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_MOST = 0.5  # share of an image that no tumour fills: a mask with more is inverted
_EDGE = 1.0  # pixels by which a box may leave its image, for rounding
_NO_IMAGE = "Without their image (a mask is FILE NAME.png, or STEM.png where one image alone has that stem)"


def read_table(path: Path) -> list[Row]:
    """Read a CSV file, if it exists, whose first column begins with ``path``; other columns in lower case."""
    if not os.path.lexists(path):
        return []
    try:
        with readable(path):
            text = read_file(path).decode("utf-8-sig")
        columns, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
        columns = [name.strip().lower() for name in columns]
        columns[0] = "path" if columns[0].startswith("path") else columns[0]
        filled = [dict(zip(columns, map(str.strip, row), strict=True)) for row in rows if row]
        return [row | {"path": _normal(row["path"])} for row in filled]
    except (KeyError, ValueError, csv.Error) as error:
        raise DataError(
            f"{path} must be a CSV file in UTF-8, with commas, a first column path and in each row as many "
            f"values as columns: {error}."
        ) from error


def files(folder: Path, *, loose: bool) -> list[Path]:
    """List the masks and tables in a folder of outlines; `loose` as of `attach`."""
    tables = [folder / name for name in (MANIFEST, BOXES) if (folder / name).exists()]
    named = [_inside(folder, row["mask"]) for row in read_table(folder / MANIFEST) if row.get("mask")]
    return [*tables, *dict.fromkeys([*named, *_mask_files(folder, loose=loose)])]


def attach(
    scans: Sequence[Scan], folder: Path, *, loose: bool, unreadable: Collection[str] = ()
) -> list[Scan]:
    """Return the scans with the outlines that a folder holds for them.

    With `loose`, masks may lie in the folder itself if it has no folder `masks/`. Of `unreadable` image
    files, which are not among the scans, outlines are no mistake.
    """
    wrong: Wrong = defaultdict(list)
    by_path, by_name, by_stem = (defaultdict[str, set[int]](set) for _ in range(3))
    for place, scan in enumerate(scans):
        for key in (scan.relative, f"{scan.source}/{scan.relative}"):
            by_path[key].add(place)
        by_name[scan.path.name].add(place)
        by_stem[scan.path.stem].add(place)
    names = [PurePosixPath(name) for name in unreadable]
    ignored = {*unreadable, *(path.name for path in names), *(path.stem for path in names)}

    def only(places: Collection[int], shown: str, *, key: str) -> int:
        """Return the one place, or -1."""
        if len(places) != 1 and key not in ignored:
            kind = "Of several sources, write SOURCE/PATH" if len(places) > 1 and key == shown else _NO_IMAGE
            wrong[kind].append(shown)
        return next(iter(places)) if len(places) == 1 else -1

    masks: dict[int, Path] = {}
    for row in read_table(folder / MANIFEST):
        if row.get("mask"):
            masks[only(by_path[row["path"]], row["path"], key=row["path"])] = _inside(folder, row["mask"])
    stated = set(masks.values())
    for file in _mask_files(folder, loose=loose):
        name = file.stem if file.suffix.lower() == ".png" else file.name + "/"
        named = by_name[name]
        if len(named) > 1:  # the same name in yes/ and no/
            named = {place for place in named if scans[place].label}
        if file not in stated:
            masks.setdefault(only(named or by_stem[name], f"{file.parent.name}/{file.name}", key=name), file)
    boxes: dict[int, list[Row]] = defaultdict(list)
    for row in read_table(folder / BOXES):
        place = only(by_path[row["path"]], row["path"], key=row["path"])
        if place not in masks:
            boxes[place].append(row)
    found = {place: _masked(scans[place], mask, wrong) for place, mask in masks.items() if place >= 0}
    found |= {place: _boxed(scans[place], own, wrong) for place, own in boxes.items() if place >= 0}
    check(wrong, f"the outlines in {folder} cannot be used")
    return [found.get(place, scan) for place, scan in enumerate(scans)]


def _masked(scan: Scan, mask: Path, wrong: Wrong) -> Scan:
    try:
        image, sha256 = decode_file(mask)
    except OSError as error:
        wrong["Masks that cannot be read"].append(f"{mask.name} ({error.strerror})")
        return scan
    outlined = replace(scan, mask=mask, boxes=(), mask_sha256=sha256)
    size = scan.image().size
    share = sum(image.histogram()[128:]) / (image.width * image.height)
    if image.size != size:
        sizes = "{}x{}, the image {}x{}".format(*image.size, *size)
        wrong["Masks of another size than their image"].append(f"{mask.name} ({sizes})")
    elif scan.label and share == 0:
        wrong["Masks of yes images that are all black (the tumour is white, 255)"].append(mask.name)
    elif scan.label and share > _MOST:
        wrong["Masks that are mostly white, perhaps inverted (the tumour is white)"].append(mask.name)
    elif not scan.label and share:
        wrong["Masks of no images that are not black"].append(mask.name)
    return outlined


def _boxed(scan: Scan, rows: Sequence[Row], wrong: Wrong) -> Scan:
    width, height = scan.image().size
    boxes: list[Box] = []
    for row in rows:
        corners = [row.get(name, "") for name in ("x0", "y0", "x1", "y1")]
        try:
            left, top, right, bottom = map(float, corners)
        except ValueError:
            left = top = right = bottom = math.nan  # inside of nothing
        if not (-_EDGE <= left < right <= width + _EDGE and -_EDGE <= top < bottom <= height + _EDGE):
            kind = "Boxes whose x0, y0, x1, y1 are not left, top, right, bottom in pixels of their image"
            wrong[kind].append(f"{scan.name} ({', '.join(corners)} in {width}x{height})")
        boxes.append((left, top, right, bottom))
    if not scan.label:
        wrong["Boxes on no images"].append(scan.name)
    return replace(scan, mask=None, boxes=tuple(boxes), mask_sha256="")


def _mask_files(folder: Path, *, loose: bool) -> list[Path]:
    inside = folder / MASKS
    if loose and not inside.is_dir():
        inside = folder
    if not inside.is_dir():
        return []
    with readable(inside):
        found = sorted(inside.iterdir())
    return [path for path in found if path.suffix.lower() in _IMAGES and path.name[0] != "."]


def _inside(folder: Path, mask: str) -> Path:
    path = folder / _normal(mask)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{folder / MANIFEST}: the mask {mask} lies outside of {folder}.")
    return path


def _normal(path: str) -> str:
    return os.path.normpath(path.strip().replace("\\", "/"))
