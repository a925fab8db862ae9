"""Negatives are reproducible, varied, and mostly pass the rules of the container."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.random import default_rng
from PIL import Image

from container import imaging
from container.rules import reason_to_refuse
from model.data import negatives
from model.data.negatives import KINDS, photographs
from model.data.negatives.scrambled import scramble

if TYPE_CHECKING:
    Drawn = dict[str, list[Image.Image]]

MANY = 33  # of a kind, so that every photograph occurs


def content(image: Image.Image) -> tuple[str, tuple[int, int], bytes]:
    return image.mode, image.size, image.tobytes()


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    images: Drawn = {kind: [] for kind in KINDS}
    for kind, image in negatives.negatives(per_kind=MANY, seed=5):
        images[kind].append(image)
    return images


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_always_draws_the_same_image(kind: str) -> None:
    first = [content(negatives.draw(kind, seed=seed)) for seed in range(11)]
    again = [content(negatives.draw(kind, seed=seed)) for seed in reversed(range(11))]
    assert first == again[::-1]


def test_all_images_differ_within_and_between_seeds(drawn: Drawn) -> None:
    images = [content(image) for images in drawn.values() for image in images]
    other = [content(image) for _, image in negatives.negatives(per_kind=MANY, seed=6)]
    assert len(set(images + other)) == 2 * MANY * len(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_varies_and_mostly_passes_the_rules(kind: str, drawn: Drawn) -> None:
    images = drawn[kind]
    for image in images:
        assert image.mode in {"L", "RGB"}
        assert min(image.size) >= 48
        assert 120 <= max(image.size) <= 700
    levels = [np.asarray(image.convert("L"), dtype=np.float32) for image in images]
    assert len({image.size for image in images}) > 0.9 * MANY
    assert np.ptp([max(image.size) for image in images]) > 300
    assert np.std([image.width / image.height for image in images]) > 0.05
    assert np.ptp([plane.mean() for plane in levels]) > 60
    assert np.ptp([plane.std() for plane in levels]) > 25
    # And the rules leave most of them to the network
    passed = [image for image in images if reason_to_refuse(image, imaging.grey(image)) is None]
    assert len(passed) >= (0.6 if kind == "photograph" else 1) * MANY


@pytest.mark.parametrize("seed", range(9))
def test_a_scrambled_image_holds_the_image_but_not_its_shape(seed: int) -> None:
    rows, columns = np.mgrid[:70, :70]
    grey = (np.hypot(rows - 35, columns - 35) < 30).astype(np.uint8) * (columns + 100).astype(np.uint8)
    changed = scramble(grey, default_rng(seed))
    assert changed.shape == grey.shape
    assert changed.dtype == grey.dtype
    assert np.array_equal(changed, scramble(grey, default_rng(seed)))
    assert changed.max() > 100  # it shows some of the disc
    correlations = [np.corrcoef(np.rot90(grey, turns).ravel(), changed.ravel())[0, 1] for turns in range(4)]
    assert max(correlations) < 0.8


@pytest.mark.parametrize("seed", range(5))
def test_a_crop_is_a_rectangle_of_its_photograph(seed: int) -> None:
    # Given an image whose pixels hold their coordinates
    rows, columns = np.mgrid[0:200, 0:250]
    source = Image.fromarray(np.stack([columns, rows, rows * 0], axis=-1).astype(np.uint8))
    cropped = photographs.crop(source, default_rng(seed))
    left, top, _ = np.asarray(cropped)[0, 0].tolist()
    assert content(cropped) == content(source.crop((left, top, left + cropped.width, top + cropped.height)))
    assert cropped.width * cropped.height > 0.15 * source.width * source.height


def test_too_few_photographs_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"no_such_package": ("a.png",), "matplotlib": ("mpl-data/no-such.jpg",)}
    monkeypatch.setattr(photographs, "_SOURCES", names)
    monkeypatch.setattr(photographs, "sources", photographs.sources.__wrapped__)  # uncached
    with pytest.raises(RuntimeError, match=r"Only 0 of 2 photographs .* no_such_package"):
        negatives.draw("photograph", seed=0)
