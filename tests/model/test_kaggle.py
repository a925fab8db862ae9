"""Public sets by their names on Kaggle, drawn small."""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest
from PIL import Image

from model.data import dataset, kaggle, phantom
from model.data.scan import DataError
from scripts.commands import train

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LESION = (20, 20, 30, 30)


@pytest.fixture(autouse=True)
def converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kaggle, "CONVERTED", tmp_path / "converted")
    return tmp_path / "converted"


def fake_kagglehub(monkeypatch: pytest.MonkeyPatch, download: Callable[[str], str]) -> None:
    fake = types.ModuleType("kagglehub")
    fake.dataset_download = download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kagglehub", fake)


def brain(seed: int) -> Image.Image:
    return phantom.draw(seed=seed, lesion=False, size=64).resize((64, 64))


def draw_gliomas(folder: Path) -> None:
    """Two patients with a slice of tumour, one without and a blank one; the second has no T1."""
    for patient in (1, 2):
        place = folder / "kaggle_3m" / f"TCGA_CS_{patient}"
        place.mkdir(parents=True)
        for number in range(3):
            flair = brain(10 * patient + number) if number else Image.new("L", (64, 64))
            t1 = flair if patient == 2 else flair.point(lambda level: level // 2 + 20)
            bands = (t1, flair, flair.point(lambda level: 200 - level // 2))
            Image.merge("RGB", bands).save(place / f"{place.name}_{number}.tif")
            mask = Image.new("L", (64, 64))
            if number == 1:
                mask.paste(255, LESION)
            mask.save(place / f"{place.name}_{number}_mask.tif")


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The three sets, each in a folder with the name of a version."""
    folders = {handle: tmp_path / handle / "versions" / "1" for handle in kaggle.KNOWN}
    names = {kaggle.DEFAULT: ("yes", "no"), kaggle.FOUR_CLASSES: ("Training/glioma", "Testing/notumor")}
    for first, (handle, classes) in enumerate(names.items()):
        for second, name in enumerate(classes):
            (folders[handle] / name).mkdir(parents=True)
            brain(100 + 2 * first + second).save(folders[handle] / name / "1.png")
    draw_gliomas(folders[kaggle.GLIOMAS])
    fake_kagglehub(monkeypatch, lambda handle: str(folders[handle]))


@pytest.mark.usefixtures("sets")
def test_the_public_sets_are_three_sources() -> None:
    options = train.parse(["--kaggle", "--kaggle", kaggle.FOUR_CLASSES, "--kaggle", "lgg-mri-segmentation"])
    loaded = train.read_data(options)
    assert loaded.sources == tuple(handle.rpartition("/")[2] for handle in kaggle.KNOWN)
    assert {scan.source for scan in loaded.scans if scan.label} == set(loaded.sources)
    assert {scan.source for scan in loaded.scans if not scan.label} == set(loaded.sources)
    assert "glioma read as yes, notumor as no" in loaded.summary()


@pytest.mark.usefixtures("sets")
def test_slices_become_images_by_contrast_with_outlines_and_patients(converted: Path) -> None:
    fetched = kaggle.fetch([kaggle.GLIOMAS])
    loaded = dataset.load([*fetched], names=fetched)
    assert sorted((scan.group, scan.contrast, scan.label) for scan in loaded.scans) == [
        ("TCGA_CS_1", contrast, label) for contrast in ("flair", "t1", "t1c") for label in (0, 1)
    ] + [("TCGA_CS_2", contrast, label) for contrast in ("flair", "t1c") for label in (0, 1)]
    for scan in loaded.scans:
        outline = scan.outline()
        assert (outline.getbbox() if outline else None) == (LESION if scan.label else None)
    # And a second time nothing is converted
    (folder,) = fetched
    before = (folder / "manifest.csv").stat().st_mtime_ns
    assert [*kaggle.fetch([kaggle.GLIOMAS])] == [folder]
    assert (folder / "manifest.csv").stat().st_mtime_ns == before
    assert [path.name for path in folder.parent.iterdir()] == ["1"]


@pytest.mark.usefixtures("sets")
def test_one_set_is_named_after_itself() -> None:
    loaded = train.read_data(train.parse(["--kaggle"]))
    assert (loaded.name, [scan.name for scan in loaded.scans]) == (
        "brain-mri-images-for-brain-tumor-detection",
        ["no/1.png", "yes/1.png"],
    )


@pytest.mark.parametrize(
    ("prepare", "named"),
    [
        (lambda _: None, r"holds no kaggle_3m/PATIENT/\*_mask\.tif"),
        (lambda folder: next(folder.rglob("*_1.tif")).write_bytes(b"II*\0"), r"_1\.tif or its mask cannot"),
        (lambda folder: next(folder.rglob("*_2.tif")).unlink(), r"_2\.tif or its mask cannot be read"),
    ],
)
def test_a_damaged_set_is_named_and_leaves_nothing(
    tmp_path: Path, converted: Path, prepare: Callable[[Path], object], named: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if named.startswith("_"):
        draw_gliomas(tmp_path / "set")
    prepare(tmp_path / "set")
    fake_kagglehub(monkeypatch, lambda _: str(tmp_path / "set"))
    with pytest.raises(DataError, match=named):
        kaggle.fetch([kaggle.GLIOMAS])
    assert [path for path in converted.rglob("*") if path.is_file()] == []


def test_a_failed_download_names_the_alternative(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_kagglehub(monkeypatch, Mock(side_effect=ConnectionError("no route to host")))
    with pytest.raises(DataError, match=r"(?s)no route to host.*--data FOLDER"):
        kaggle.fetch([kaggle.DEFAULT])
    with pytest.raises(DataError, match="--kaggle brains: write OWNER/NAME, or one of navoneel"):
        kaggle.fetch(["brains"])
