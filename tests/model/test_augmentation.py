"""Augmentation moves an outline with its image, and the cache holds what serving would see of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw

from container import imaging
from model.data import phantom
from model.data.augmentation import SIDES, augment
from model.data.image_cache import STRIDE, ImageCache
from model.data.perturbations import PERTURBATIONS

if TYPE_CHECKING:
    from model.arrays import Floats

SEEDS, SIZE, VIEWS = range(24), 96, 5
CELLS = SIZE // STRIDE


@dataclass(frozen=True)
class Spot:
    """A dark disc with a bright one to its right, and the outline of the bright one."""

    label: int = 1
    mask: bool = True
    boxes: tuple[tuple[int, ...], ...] = ()

    def image(self) -> Image.Image:
        image = Image.new("L", (180, 220))
        ImageDraw.Draw(image).ellipse((10, 10, 170, 210), fill=70)
        ImageDraw.Draw(image).ellipse((100, 60, 150, 110), fill=250)
        return image

    def outline(self) -> Image.Image | None:
        return self.image().point(lambda level: 255 * (level > 200)) if self.mask else None


def augmented(seed: int) -> tuple[Floats, Floats]:
    """A spot and its outline."""
    image, outline = augment(Spot().image(), Spot().outline(), np.random.default_rng(seed))
    assert outline is not None
    assert (image.mode, image.size) == ("L", outline.size)
    return np.asarray(image, dtype=float), np.asarray(outline, dtype=float)


def test_the_generator_determines_the_change() -> None:
    images = [augmented(seed)[0].tobytes() for seed in SEEDS]
    assert len(set(images)) == len(SEEDS)
    assert [augmented(seed)[0].tobytes() for seed in SEEDS] == images
    # And an outline does not alter it
    alone, nothing = augment(Spot().image(), None, np.random.default_rng(0))
    assert (np.asarray(alone, dtype=float).tobytes(), nothing) == (images[0], None)


def test_size_position_and_grey_levels_change() -> None:
    images, outlines = zip(*map(augmented, SEEDS), strict=True)
    sides = [len(image) for image in images]
    assert SIDES[0] <= min(sides) < SIDES[0] * 1.5
    assert SIDES[1] >= max(sides) > SIDES[1] / 1.5
    across = [np.argwhere(outline > 127)[:, 1].mean() / len(outline) - 0.5 for outline in outlines]
    assert min(across) < -0.1 < 0.1 < max(across)  # mirrored or not
    assert np.ptp([np.median(image[image > 30]) for image in images]) > 20


@pytest.mark.parametrize("seed", SEEDS)
def test_the_outline_moves_with_the_image(seed: int) -> None:
    image, outline = augmented(seed)
    usual = np.median(image[(outline == 0) & (image > 30)])
    assert 0.01 < np.mean(outline > 127) < 0.15
    assert np.mean(image[outline > 250] > usual + 30) > 0.9


@pytest.fixture(scope="module")
def images() -> ImageCache:
    return cache(seed=0)


def cache(*, seed: int) -> ImageCache:
    scans = [Spot(), Spot(mask=False), Spot(mask=False, label=0), Spot(mask=False, boxes=((1, 1, 9, 9),))]
    return ImageCache(scans, size=SIZE, views=VIEWS, seed=seed)  # type: ignore[arg-type]


def test_the_first_view_is_what_serving_sees(images: ImageCache) -> None:
    greys, shares = images.views
    assert greys.shape == (1 + VIEWS, 4, SIZE, SIZE, 1)
    assert shares.shape == (1 + VIEWS, 4, CELLS, CELLS)
    assert np.array_equal(greys[0, 0] / np.float32(255), imaging.preprocess(Spot().image(), size=SIZE))
    # And the others differ, as the seed determines
    assert len({view.tobytes() for view in greys[:, 0]}) == 1 + VIEWS
    assert np.array_equal(cache(seed=0).views.greys, greys)
    assert not np.array_equal(cache(seed=1).views.greys[1:], greys[1:])


def test_a_share_is_how_much_of_a_cell_is_inside_the_outline(images: ImageCache) -> None:
    greys, shares = images.views
    for grey, own in zip(greys[:, 0, ..., 0], shares[:, 0].astype(float), strict=True):
        cells = grey.reshape(CELLS, STRIDE, CELLS, STRIDE).mean(axis=(1, 3))
        assert 0.02 < own.mean() < 0.2
        assert np.corrcoef(cells.ravel(), own.ravel())[0, 1] > 0.6
    assert shares[0, 0].astype(float).mean() == pytest.approx(50 * 50 / (160 * 200), rel=0.2)
    assert not shares[:, 1:].any()
    # And where there is no tumour it is known of every cell, else where there is an outline
    assert images.outlined.tolist() == [True, False, True, True]
    np.testing.assert_allclose(images.areas, [0.05, np.nan, np.nan, np.nan], atol=0.005)


@pytest.mark.parametrize("change", PERTURBATIONS)
def test_a_perturbation_comes_before_preprocessing(change: str) -> None:
    heads = [phantom.draw(seed=seed, lesion=True, size=150) for seed in range(3)]
    known = ImageCache([], size=SIZE, views=0, seed=0)
    vars(known)["decoded"] = heads
    for grey, place in zip(known.perturbed(change, np.array([2, 0])), (2, 0), strict=True):
        served = imaging.preprocess(PERTURBATIONS[change](heads[place]), size=SIZE)
        assert np.array_equal(grey / np.float32(255), served)
