from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from model.data import dataset
from model.evaluation.slices import slices

if TYPE_CHECKING:
    from model.data.dataset import Dataset


def test_every_scan_is_in_one_slice_of_each_kind_and_no_slice_is_empty(phantoms: Dataset) -> None:
    found = slices(phantoms.scans)
    assert list(found) == ["image size", "mode and format", "brightness"]
    for masks in found.values():
        assert np.array_equal(np.sum(list(masks.values()), axis=0), np.ones(len(phantoms.scans)))
        assert all(mask.any() for mask in masks.values())


FILES = {"no/7.png": "L", "yes/20.png": "L", "yes/30.jpg": "RGB", "yes/90.png": "L", "yes/100.png": "RGBA"}
"""Images of one grey level each, by its number, in a mode."""


def test_slices_are_of_the_bytes_mode_and_format_and_thirds_of_brightness(tmp_path: Path) -> None:
    for name, mode in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        image = Image.new("L", (100, 100), int(Path(name).stem))
        image.convert(mode).save(tmp_path / name)
    scans = dataset.load(tmp_path).scans
    levels = np.array([scan.path.stem for scan in scans])
    forms, brightness = (
        {name: {*levels[mask]} for name, mask in slices(scans)[part].items()}
        for part in ("mode and format", "brightness")
    )
    assert forms == {"L PNG": {"7", "20", "90"}, "RGB JPEG": {"30"}, "RGBA PNG": {"100"}}
    assert brightness == {
        "mean grey 7 to 20": {"7", "20"},
        "mean grey 30": {"30"},
        "mean grey 90 to 100": {"90", "100"},
    }
