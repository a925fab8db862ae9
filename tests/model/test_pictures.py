"""Each image is decoded once and prepared once for each size and version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from container import imaging
from model import phantom
from model.pictures import Pictures, preprocessed
from model.robustness import AS_IT_IS, CHANGES

if TYPE_CHECKING:
    from PIL import Image

COUNT, SIZE = 4, 48


@dataclass
class Drawn:
    """A head that counts how often it was decoded."""

    seed: int
    decoded: int = 0

    def image(self) -> Image.Image:
        self.decoded += 1
        return phantom.draw(seed=self.seed, lesion=False, size=150)


@pytest.fixture
def scans() -> list[Drawn]:
    return [Drawn(seed) for seed in range(COUNT)]


@pytest.fixture
def pictures(scans: list[Drawn]) -> Pictures:
    return Pictures(scans, seed=0)


def test_the_pixels_are_those_that_serving_would_see(pictures: Pictures) -> None:
    pixels = pictures.pixels(SIZE)
    assert pixels.shape == (COUNT, SIZE, SIZE, 1)
    assert pixels.dtype == np.float32
    for place in range(COUNT):
        image = phantom.draw(seed=place, lesion=False, size=150)
        assert np.array_equal(pixels[place], imaging.preprocess(image, size=SIZE))
    assert len(pictures) == COUNT


def test_an_image_is_decoded_once_whatever_is_asked_of_it(scans: list[Drawn], pictures: Pictures) -> None:
    pictures.pixels(SIZE)
    pictures.pixels(32, "mirrored")
    pictures.view(SIZE, 0)
    assert [scan.decoded for scan in scans] == [1] * COUNT


def test_what_was_prepared_is_kept(pictures: Pictures) -> None:
    assert pictures.pixels(SIZE) is pictures.pixels(SIZE, AS_IT_IS)
    assert pictures.pixels(SIZE, "mirrored") is pictures.pixels(SIZE, "mirrored")
    assert pictures.view(SIZE, 1) is pictures.view(SIZE, 1)
    # And not taken for something else
    assert not np.array_equal(pictures.pixels(SIZE), pictures.pixels(SIZE, "mirrored"))
    assert pictures.pixels(32).shape == (COUNT, 32, 32, 1)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_made_before_what_serving_does(pictures: Pictures, change: str) -> None:
    pixels = pictures.pixels(SIZE, change)
    for place in range(COUNT):
        image = CHANGES[change](phantom.draw(seed=place, lesion=False, size=150))
        assert np.array_equal(pixels[place], imaging.preprocess(image, size=SIZE))


def test_every_view_of_every_image_is_another(pictures: Pictures) -> None:
    views = [pictures.pixels(SIZE), *(pictures.view(SIZE, number) for number in range(3))]
    for place in range(COUNT):
        assert len({view[place].tobytes() for view in views}) == 4
    assert all(view.min() >= 0 and view.max() <= 1 for view in views)


def test_the_seed_and_the_number_decide_a_view(scans: list[Drawn], pictures: Pictures) -> None:
    again, other = Pictures(scans, seed=0), Pictures(scans, seed=1)
    pictures.view(SIZE, 0)
    assert np.array_equal(again.view(SIZE, 1), pictures.view(SIZE, 1))
    assert not np.array_equal(other.view(SIZE, 1), pictures.view(SIZE, 1))


def test_preprocessed_takes_images_one_by_one() -> None:
    images = (phantom.draw(seed=seed, lesion=True, size=100) for seed in range(3))
    assert preprocessed(images, size=32).shape == (3, 32, 32, 1)
