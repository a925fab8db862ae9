"""Perturbations keep the content."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageOps

from model.data import phantom
from model.data.perturbations import PERTURBATIONS, UNCHANGED

if TYPE_CHECKING:
    from model.arrays import Floats


def grey(image: Image.Image) -> Floats:
    return np.asarray(image, dtype=np.float64)


@pytest.fixture
def head() -> Image.Image:
    """A head, taller than wide, with a margin around it."""
    return ImageOps.expand(phantom.draw(seed=1, lesion=True, size=200), border=40)


def test_the_first_perturbation_is_the_identity(head: Image.Image) -> None:
    assert next(iter(PERTURBATIONS)) == UNCHANGED
    assert np.array_equal(grey(PERTURBATIONS[UNCHANGED](head)), grey(head))


@pytest.mark.parametrize("name", list(PERTURBATIONS)[1:])
def test_every_other_perturbation_returns_a_changed_copy(head: Image.Image, name: str) -> None:
    before = grey(head)
    changed = PERTURBATIONS[name](head)
    assert changed.mode == "L"
    assert changed.size != head.size or not np.array_equal(grey(changed), before)
    assert np.array_equal(grey(head), before)


@pytest.mark.parametrize("name", PERTURBATIONS)
@pytest.mark.parametrize("size", [(1, 1), (300, 20), (16, 200)])
def test_odd_sizes_and_blank_images_are_accepted(name: str, size: tuple[int, int]) -> None:
    assert min(PERTURBATIONS[name](Image.new("L", size, 80)).size) >= 1


def test_padding_centres_the_image_in_a_larger_black_square(head: Image.Image) -> None:
    padded = PERTURBATIONS["padded to a square"](head)
    side = round(1.2 * head.height)
    assert padded.size == (side, side)
    left, top = (side - head.width) // 2, (side - head.height) // 2
    inside = padded.crop((left, top, left + head.width, top + head.height))
    assert np.array_equal(grey(inside), grey(head))
    assert grey(padded).sum() == grey(head).sum()


def test_cropping_removes_margins_and_keeps_the_brain(head: Image.Image) -> None:
    cropped = PERTURBATIONS["cropped to the head"](head)
    assert cropped.width < head.width - 60
    assert cropped.height < head.height - 60
    assert grey(cropped).sum() > 0.8 * grey(head).sum()


def test_turns_and_flips_are_exact(head: Image.Image) -> None:
    plane = grey(head)
    assert np.array_equal(grey(PERTURBATIONS["rotated by 90°"](head)), np.rot90(plane))
    assert np.array_equal(grey(PERTURBATIONS["mirrored"](head)), plane[:, ::-1])
    assert np.array_equal(grey(PERTURBATIONS["upside down"](head)), plane[::-1])


@pytest.mark.parametrize("background", [0, 90, 255])
def test_an_annotation_is_small_and_visible_in_a_corner(background: int) -> None:
    blank = Image.new("L", (220, 200), background)
    differs = np.abs(grey(PERTURBATIONS["annotated"](blank)) - background) > 100
    assert 0.002 < differs.mean() < 0.02
    assert not differs[50:].any()
    assert not differs[:, 50:].any()
