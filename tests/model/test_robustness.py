from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageOps

from model import phantom, split
from model.robustness import AS_IT_IS, CHANGES

if TYPE_CHECKING:
    from numpy.typing import NDArray


def grey(image: Image.Image) -> NDArray[np.float64]:
    return np.asarray(image, dtype=np.float64)


@pytest.fixture
def head() -> Image.Image:
    """A head, taller than wide, with a margin around it."""
    return ImageOps.expand(phantom.draw(seed=1, lesion=True, size=200), border=40)


def test_the_first_changes_nothing(head: Image.Image) -> None:
    assert next(iter(CHANGES)) == AS_IT_IS
    assert np.array_equal(grey(CHANGES[AS_IT_IS](head)), grey(head))


@pytest.mark.parametrize("name", list(CHANGES)[1:])
def test_each_other_changes_the_pixels_and_leaves_the_original_alone(head: Image.Image, name: str) -> None:
    before = grey(head)
    changed = CHANGES[name](head)
    assert changed.mode == "L"
    assert changed.size != head.size or not np.array_equal(grey(changed), before)
    assert np.array_equal(grey(head), before)


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_image_still_shows_the_same(head: Image.Image, name: str) -> None:
    other = phantom.draw(seed=2, lesion=True, size=200)
    assert split.group([head, other, CHANGES[name](head)]).tolist() == [0, 1, 0]


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("size", [(1, 1), (300, 20), (16, 200)])
def test_odd_sizes_and_blank_images_are_no_obstacle(name: str, size: tuple[int, int]) -> None:
    assert min(CHANGES[name](Image.new("L", size, 80)).size) >= 1


def test_resizing_keeps_no_shape(head: Image.Image) -> None:
    assert CHANGES["resized to 256 x 256"](head).size == (256, 256)


def test_jpeg_loses_a_little_everywhere(head: Image.Image) -> None:
    changed = CHANGES["JPEG quality 40"](head)
    assert changed.size == head.size
    assert 0.5 < np.abs(grey(changed) - grey(head)).mean() < 10


def test_padding_puts_the_whole_image_into_the_middle_of_a_larger_black_square(head: Image.Image) -> None:
    padded = CHANGES["padded to a square"](head)
    side = round(1.2 * head.height)
    assert padded.size == (side, side)
    left, top = (side - head.width) // 2, (side - head.height) // 2
    inside = padded.crop((left, top, left + head.width, top + head.height))
    assert np.array_equal(grey(inside), grey(head))
    assert grey(padded).sum() == grey(head).sum()


def test_cropping_takes_the_margins_away_and_not_the_brain(head: Image.Image) -> None:
    cropped = CHANGES["cropped to the head"](head)
    assert cropped.width < head.width - 60
    assert cropped.height < head.height - 60
    assert grey(cropped).sum() > 0.8 * grey(head).sum()


@pytest.mark.parametrize(("name", "factor"), [("brightness up 30 %", 1.3), ("brightness down 30 %", 0.7)])
def test_brightness_multiplies(head: Image.Image, name: str, factor: float) -> None:
    expected = np.clip(grey(head) * factor, 0, 255)
    assert grey(CHANGES[name](head)) == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(("name", "factor"), [("contrast up 30 %", 1.3), ("contrast down 30 %", 0.7)])
def test_contrast_moves_away_from_the_mean_or_towards_it(head: Image.Image, name: str, factor: float) -> None:
    mean = grey(head).mean()
    expected = np.clip(mean + (grey(head) - mean) * factor, 0, 255)
    assert grey(CHANGES[name](head)) == pytest.approx(expected, abs=1.5)


def test_turns_and_flips_are_exact(head: Image.Image) -> None:
    plane = grey(head)
    assert np.array_equal(grey(CHANGES["turned by 90°"](head)), np.rot90(plane))
    assert np.array_equal(grey(CHANGES["mirrored"](head)), plane[:, ::-1])
    assert np.array_equal(grey(CHANGES["upside down"](head)), plane[::-1])


@pytest.mark.parametrize("background", [0, 90, 255])
def test_a_mark_is_small_lies_in_a_corner_and_is_seen(background: int) -> None:
    blank = Image.new("L", (220, 200), background)
    differs = np.abs(grey(CHANGES["marked"](blank)) - background) > 100
    assert 0.002 < differs.mean() < 0.02
    assert not differs[50:].any()
    assert not differs[:, 50:].any()
