from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageOps

from model.data import phantom, split
from model.data.dataset import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from model.arrays import Indices
    from model.data.dataset import Dataset


def head(seed: int) -> Image.Image:
    return phantom.draw(seed=seed, lesion=False, size=240)


def reencoded(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=40)
    return Image.open(buffer).convert("L")


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "smaller": lambda image: image.resize((image.width // 2, image.height // 2)),
    "another aspect": lambda image: image.resize((300, 200)),
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "quarter turn": lambda image: image.rotate(90, expand=True),
    "turned and mirrored": lambda image: ImageOps.mirror(image.rotate(270, expand=True)),
    "JPEG quality 40": reencoded,
    "brighter": lambda image: image.point(lambda level: min(255, level * 1.3)),
    "wide margins": lambda image: ImageOps.expand(image, border=60),
    "margins cut off": lambda image: image.crop(image.point(lambda level: 255 * (level > 60)).getbbox()),
}


@pytest.mark.parametrize("change", COPIES)
def test_a_changed_copy_resembles_its_original(change: str) -> None:
    original, other = head(1), head(2)
    assert split.group([original, other, COPIES[change](original)]).tolist() == [0, 1, 0]


def test_the_limit_depends_on_sources_and_patients(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given two images that correlate at 0.92 and two at 0.96
    def shifted(image: Image.Image, correlation: float) -> Image.Image:
        pixels = np.asarray(image.resize((split.THUMBNAIL,) * 2), dtype=np.float64)
        noise = np.random.default_rng(0).normal(size=pixels.shape)
        mixed = pixels / pixels.std() + noise * np.sqrt(correlation**-2 - 1)
        return Image.fromarray(np.clip(mixed * 25 + 100, 0, 255).astype(np.uint8))

    monkeypatch.setattr(split, "head_box", lambda _: None)
    alike, more_alike = (
        [shifted(head(1), 1.0), shifted(head(1), correlation)] for correlation in (0.92, 0.96)
    )
    same, apart = [("a", None)] * 2, [("a", None), ("b", None)]
    patients, one_unknown = [("a", "1"), ("a", "2")], [("a", "1"), ("a", None)]
    for images, subjects, together in (
        (alike, same, True), (alike, one_unknown, True), (alike, apart, False), (alike, patients, False),
        (more_alike, apart, True), (more_alike, patients, False),
        ([head(1), head(2)], [("a", "1")] * 2, True), ([head(1), head(2)], [("a", "1"), ("b", "1")], False),
    ):  # fmt: skip
        assert (len(set(split.group(images, subjects))) == 1) == together, (subjects, together)


def test_copies_of_copies_are_one_group() -> None:
    first = head(1)
    second = ImageOps.mirror(first)
    third = reencoded(second.resize((150, 150)))
    assert set(split.group([first, second, third])) == {0}


def test_blank_images_are_no_copies() -> None:
    assert len(set(split.group([Image.new("L", (50, 50), level) for level in (0, 0, 200)]))) == 3


def test_the_block_size_does_not_change_the_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [head(seed) for seed in (1, 2, 3)] + [ImageOps.mirror(head(2)), head(3).rotate(180)]
    whole = split.group(images)
    monkeypatch.setattr(split, "_BLOCK", 2)
    assert split.group(images).tolist() == whole.tolist() == [0, 1, 2, 1, 2]


@pytest.fixture
def labels_and_groups() -> tuple[Indices, Indices]:
    """60 images in groups of one to three, of one class each."""
    groups = np.sort(np.random.default_rng(0).integers(0, 35, size=60))
    return (groups % 2).astype(np.int64), groups


@pytest.mark.parametrize("seed", range(5))
def test_folds_keep_groups_whole_and_have_both_classes(
    labels_and_groups: tuple[Indices, Indices], seed: int
) -> None:
    cases = split.assign_folds(*labels_and_groups, folds=4, seed=seed)
    for group in np.unique(cases.groups):
        own = cases.groups == group
        assert len(set(cases.folds[own])) == 1
        assert cases.weights[own].sum() == pytest.approx(1)
    assert set(cases.folds) == {0, 1, 2, 3}
    for fold in range(4):
        assert set(cases.labels[cases.folds == fold]) == {0, 1}


def test_a_class_with_too_few_groups_is_named() -> None:
    # Given ten images of class no that are all copies of two
    labels, groups = np.repeat([0, 1], 10), np.r_[np.arange(10) % 2, np.arange(10) + 2]
    with pytest.raises(DataError, match="no/ has 2 independent images, fewer than the 3 folds"):
        split.assign_folds(labels, groups, folds=3, seed=0)


@pytest.mark.parametrize("seed", range(5))
def test_whole_groups_of_both_classes_are_held_out(
    labels_and_groups: tuple[Indices, Indices], seed: int
) -> None:
    labels, groups = labels_and_groups
    held_out = split.hold_out(labels, groups, seed=seed)
    # Then held-out and training images share no group
    assert not set(groups[held_out]) & set(groups[~held_out])
    # And a tenth of the groups of each class, at most HELD_OUT, are held out
    for label in (0, 1):
        of_class = len(set(groups[held_out & (labels == label)]))
        assert of_class == min(split.HELD_OUT, len(set(groups[labels == label])) // 10) == 1


def test_a_group_of_both_classes_is_not_held_out() -> None:
    # Given one group for each class, and eight that hold images of both
    labels, groups = np.r_[0, 1, np.tile([0, 1], 8)], np.r_[0, 1, np.repeat(np.arange(2, 10), 2)]
    for seed in range(5):
        assert np.flatnonzero(split.hold_out(labels, groups, seed=seed)).tolist() == [0, 1]


def test_patients_with_images_of_both_classes_are_held_out_whole() -> None:
    # Given five patients with an image of each class
    labels, patients = np.repeat([0, 1], 5), np.tile(np.arange(5), 2)
    held_out = split.hold_out(labels, patients, seed=0)
    assert set(labels[held_out]) == set(labels[~held_out]) == {0, 1}
    assert not set(patients[held_out]) & set(patients[~held_out])


def test_a_class_of_one_patient_cannot_be_held_out() -> None:
    with pytest.raises(DataError, match="the no images are of 1 independent patients"):
        split.hold_out(np.r_[0, 0, 1, 1, 1], np.r_[0, 0, 1, 2, 3], seed=0)


def test_the_groups_of_the_real_set_are_those_of_its_manifest(real: Dataset) -> None:
    assert (len(real.scans), len(real.copies)) == (228, 25)
    assert sum(scan.label for scan in real.scans) == 141
    found = split.group(scan.image() for scan in real.scans).tolist()
    with (real.folders[0] / "manifest.csv").open() as rows:
        groups = {row["path"]: int(row["group"]) for row in csv.DictReader(rows)}
    known = [groups[scan.name] for scan in real.scans]
    # Then the groups correspond one to one
    assert len(set(zip(found, known, strict=True))) == len(set(found)) == len(set(known)) == 197
