from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from model import data, phantom
from model.slices import SYMMETRIC, slices, symmetry

if TYPE_CHECKING:
    from pathlib import Path

    from model.data import Dataset


def loaded(folder: Path, files: dict[str, Image.Image]) -> Dataset:
    """A data set of these images, each in class yes, and one more in class no."""
    for label in data.CLASSES:
        (folder / label).mkdir()
    Image.new("L", (100, 100), 7).save(folder / "no" / "0.png")
    for name, image in files.items():
        image.save(folder / "yes" / name)
    return data.load(folder)


def members(dataset: Dataset, dimension: str) -> dict[str, list[str]]:
    found = slices(dataset.scans)[dimension]
    return {
        name: [dataset.scans[place].path.name for place in np.flatnonzero(mask)]
        for name, mask in found.items()
    }


def profile(seed: int) -> Image.Image:
    """A head seen from the side: a face and a neck hang on it."""
    head = phantom.draw(seed=seed, lesion=False, size=150)
    image = Image.new("L", (240, 240))
    pen = ImageDraw.Draw(image)
    pen.polygon([(30, 90), (10, 160), (35, 225), (90, 225), (110, 140)], fill=110)  # face
    pen.polygon([(110, 120), (100, 239), (160, 239), (165, 120)], fill=90)  # neck
    image.paste(
        head.resize((190, 150)), (30, 10), head.resize((190, 150)).point(lambda level: 255 * (level > 15))
    )
    return image


def test_every_scan_is_in_one_slice_of_each_kind_and_no_slice_is_empty(phantoms: Dataset) -> None:
    found = slices(phantoms.scans)
    assert list(found) == ["image size", "mode and format", "brightness", "shape", "orientation"]
    for masks in found.values():
        assert np.array_equal(np.sum(list(masks.values()), axis=0), np.ones(len(phantoms.scans)))
        assert all(mask.any() for mask in masks.values())


def test_size_and_brightness_come_in_thirds_named_by_their_range(phantoms: Dataset) -> None:
    found = slices(phantoms.scans)
    for dimension in ("image size", "brightness"):
        sizes = [mask.sum() for mask in found[dimension].values()]
        assert len(sizes) == 3
        assert min(sizes) > len(phantoms.scans) / 5
    images = [scan.image() for scan in phantoms.scans]
    smallest = min(round((image.width * image.height) ** 0.5) for image in images)
    darkest = min(round(float(np.asarray(image).mean())) for image in images)
    assert next(iter(found["image size"])).startswith(f"{smallest} to ")
    assert next(iter(found["brightness"])).startswith(f"mean grey {darkest} to ")


def test_equal_sizes_are_one_slice(tmp_path: Path) -> None:
    images = {f"{level}.png": Image.new("L", (100, 100), level) for level in range(10, 60, 10)}
    assert list(slices(loaded(tmp_path, images).scans)["image size"]) == ["100 pixels"]


def test_mode_and_format_are_those_of_the_bytes(tmp_path: Path) -> None:
    found = members(
        loaded(
            tmp_path,
            {
                "grey.png": Image.new("L", (100, 100), 1),
                "colour.jpg": Image.new("RGB", (100, 100), (9, 9, 9)),
                "clear.png": Image.new("RGBA", (100, 100), (5, 5, 5, 99)),
            },
        ),
        "mode and format",
    )
    assert found == {"L PNG": ["0.png", "grey.png"], "RGB JPEG": ["colour.jpg"], "RGBA PNG": ["clear.png"]}


def test_the_shape_is_that_of_the_upright_image(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6  # stored on its side
    dataset = loaded(
        tmp_path, {"wide.png": Image.new("L", (150, 100)), "even.png": Image.new("L", (108, 100))}
    )
    Image.new("L", (160, 100)).save(tmp_path / "yes" / "camera.jpg", exif=turned)
    found = members(data.load(dataset.folder), "shape")
    assert found == {
        "landscape": ["wide.png"],
        "nearly square": ["0.png", "even.png"],
        "portrait": ["camera.jpg"],
    }


def test_darker_and_brighter_images_are_apart(tmp_path: Path) -> None:
    levels = {f"{level:03}.png": Image.new("L", (100, 100), level) for level in (20, 30, 90, 100, 200)}
    assert members(loaded(tmp_path, levels), "brightness") == {
        "mean grey 7 to 20": ["0.png", "020.png"],
        "mean grey 30 to 90": ["030.png", "090.png"],
        "mean grey 100 to 200": ["100.png", "200.png"],
    }


@pytest.mark.parametrize("angle", [-15, 0, 15])
@pytest.mark.parametrize("seed", range(4))
def test_a_head_from_above_is_symmetric_upright_or_tilted(seed: int, angle: int) -> None:
    head = ImageOps.expand(phantom.draw(seed=seed, lesion=False), border=40)
    assert symmetry(head.rotate(angle, Image.Resampling.BICUBIC)) > SYMMETRIC


@pytest.mark.parametrize("seed", range(4))
def test_a_head_from_the_side_is_not_symmetric(seed: int) -> None:
    assert symmetry(profile(seed)) < SYMMETRIC


@pytest.mark.parametrize("seed", range(10))
def test_a_lesion_does_not_change_the_slice(seed: int) -> None:
    # Given the same head without and with a lesion on one side
    healthy, ill = (symmetry(phantom.draw(seed=seed, lesion=lesion)) for lesion in (False, True))
    assert (healthy >= SYMMETRIC) == (ill >= SYMMETRIC)


def test_a_blank_image_has_an_orientation_too() -> None:
    assert -1 <= symmetry(Image.new("L", (50, 50))) <= 1


def test_nearly_all_of_the_real_set_is_axial_or_coronal(real: Dataset) -> None:
    assert slices(real.scans)["orientation"]["symmetric (axial or coronal)"].mean() > 0.85
