from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from model.data import dataset
from model.evaluation.slices import slices

if TYPE_CHECKING:
    from pathlib import Path

    from model.data.dataset import Dataset


def loaded(folder: Path, files: dict[str, Image.Image]) -> Dataset:
    """A data set of these images, each in class yes, and one more in class no."""
    for label in dataset.CLASSES:
        (folder / label).mkdir()
    Image.new("L", (100, 100), 7).save(folder / "no" / "0.png")
    for name, image in files.items():
        image.save(folder / "yes" / name)
    return dataset.load(folder)


def members(found_in: Dataset, dimension: str) -> dict[str, list[str]]:
    found = slices(found_in.scans)[dimension]
    return {
        name: [found_in.scans[place].path.name for place in np.flatnonzero(mask)]
        for name, mask in found.items()
    }


def test_every_scan_is_in_one_slice_of_each_kind_and_no_slice_is_empty(phantoms: Dataset) -> None:
    found = slices(phantoms.scans)
    assert list(found) == ["image size", "mode and format", "brightness"]
    for masks in found.values():
        assert np.array_equal(np.sum(list(masks.values()), axis=0), np.ones(len(phantoms.scans)))
        assert all(mask.any() for mask in masks.values())


def test_mode_and_format_are_those_of_the_bytes(tmp_path: Path) -> None:
    drawn = {
        "grey.png": Image.new("L", (100, 100), 1),
        "colour.jpg": Image.new("RGB", (100, 100), (9, 9, 9)),
        "clear.png": Image.new("RGBA", (100, 100), (5, 5, 5, 99)),
    }
    found = members(loaded(tmp_path, drawn), "mode and format")
    assert found == {"L PNG": ["0.png", "grey.png"], "RGB JPEG": ["colour.jpg"], "RGBA PNG": ["clear.png"]}


def test_brightness_is_split_into_thirds(tmp_path: Path) -> None:
    levels = {f"{level:03}.png": Image.new("L", (100, 100), level) for level in (20, 30, 90, 100, 200)}
    assert members(loaded(tmp_path, levels), "brightness") == {
        "mean grey 7 to 20": ["0.png", "020.png"],
        "mean grey 30 to 90": ["030.png", "090.png"],
        "mean grey 100 to 200": ["100.png", "200.png"],
    }
