"""Training sees each image in other guises; serving does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from model import phantom
from model.augment import Augment
from model.pictures import preprocessed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.float32]


@pytest.fixture(scope="module")
def scans() -> Pixels:
    return preprocessed([phantom.draw(seed=seed, lesion=True) for seed in range(24)], size=64)


def augmented(scans: Pixels, *, seed: int = 0) -> Pixels:
    return np.asarray(Augment(seed=seed)(scans, training=True))


def test_serving_passes_by(scans: Pixels) -> None:
    assert np.array_equal(Augment(seed=0)(scans, training=False), scans)


def test_every_image_is_changed_in_its_own_way(scans: Pixels) -> None:
    # Given one image sixteen times
    batch = np.repeat(scans[:1], 16, axis=0)
    changed = augmented(batch)
    # Then no two come out the same, and all are still images
    assert changed.shape == batch.shape
    assert changed.min() >= 0
    assert changed.max() <= 1
    for place in range(1, 16):
        assert np.abs(changed[place] - changed[0]).mean() > 0.01


def test_the_seed_decides(scans: Pixels) -> None:
    assert np.array_equal(augmented(scans), augmented(scans))
    assert not np.array_equal(augmented(scans), augmented(scans, seed=1))


def test_the_head_stays_in_the_picture(scans: Pixels) -> None:
    kept = augmented(scans).sum(axis=(1, 2, 3)) / scans.sum(axis=(1, 2, 3))
    assert kept.min() > 0.4


def test_a_mark_on_one_side_comes_to_every_side() -> None:
    # Given images that are bright on their left only
    scans = np.zeros((64, 32, 32, 1), np.float32)
    scans[:, 12:20, 2:10] = 1
    changed = augmented(scans)[..., 0]
    # Then it is found left, right, above and below about as often
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    mass = changed.sum(axis=(1, 2))
    across, down = ((changed * axis).sum(axis=(1, 2)) / mass for axis in (x, y))
    sideways = np.abs(across) > np.abs(down)
    for share in (sideways.mean(), (across[sideways] > 0).mean(), (down[~sideways] > 0).mean()):
        assert 0.25 < share < 0.75
