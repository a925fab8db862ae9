"""Drift of real images: phantoms as they are drawn, and after changes that a scanner or a sender makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageFilter

from container import imaging
from container.statistics import measure
from model.data import phantom
from scripts.monitoring.drift import Reference
from scripts.monitoring.records import NUMBERS
from tests.monitoring.served import chosen, drawn, reference, verdicts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.monitoring.served import Values

RNG = np.random.default_rng(1)
_FIRST, _REST = slice(300), slice(300, None)
CHANGES: dict[str, tuple[Callable[[Image.Image], Image.Image], set[str]]] = {
    "dimmed": (lambda image: image.point(lambda level: 0.6 * level), {"grey_spread"}),
    "blurred": (lambda image: image.filter(ImageFilter.GaussianBlur(2)), {"sharpness"}),
    "only outlines": (lambda image: image.filter(ImageFilter.FIND_EDGES), {"grey_spread", "sharpness"}),
}


def draw(seeds: range) -> list[Image.Image]:
    return [phantom.draw(seed=seed, lesion=bool(seed % 2)) for seed in seeds]


def measured(images: Sequence[Image.Image]) -> Values:
    """Measure images as the container does; what a network would add is drawn."""
    rows = []
    for image in images:
        box = imaging.content_box(image)
        rows.append(measure(image, imaging.preprocess(image, size=160, box=box), box))
    found = {name: np.array([row[name] for row in rows]) for name in NUMBERS if name in rows[0]}  # type: ignore[literal-required]
    return {**drawn(len(rows), RNG), **found}


@pytest.fixture(scope="module")
def trained() -> Values:
    return measured(draw(range(300)))


@pytest.fixture(scope="module")
def known(trained: Values) -> Reference:
    return Reference.parse(reference(trained))


@pytest.fixture(scope="module")
def live() -> list[Image.Image]:
    return draw(range(10_000, 10_500))


def test_phantoms_like_the_training_ones_raise_no_alarm(
    known: Reference, trained: Values, live: list[Image.Image]
) -> None:
    values = measured(live)
    assert set(verdicts(values, known).values()) == {"no drift"}
    few = {name: each[:20] for name, each in values.items()}
    assert set(verdicts(few, known).values()) == {"too few"}
    everything = {name: np.concatenate([trained[name], each]) for name, each in values.items()}
    false = 0
    for _ in range(200):  # each time others of all these images are those of the training
        mixed = chosen(everything, RNG.permutation(800))
        first, rest = ({name: each[part] for name, each in mixed.items()} for part in (_FIRST, _REST))
        false += "drift" in verdicts(rest, Reference.parse(reference(first))).values()
    assert false <= 10


@pytest.mark.parametrize("change", CHANGES)
def test_changed_phantoms_are_drift_that_names_what_moved(
    change: str, known: Reference, live: list[Image.Image]
) -> None:
    changed, moved = CHANGES[change]
    found = verdicts(measured([changed(image) for image in live[:250]]), known)
    assert moved <= {name for name, verdict in found.items() if verdict == "drift"}


def test_a_fifth_less_contrast_is_found(known: Reference, live: list[Image.Image]) -> None:
    less = measured([image.point(lambda level: 0.8 * level) for image in live])
    found = [verdicts(chosen(less, RNG.integers(0, 500, 500)), known)["grey_spread"] for _ in range(100)]
    assert found.count("drift") >= 95
