"""Drift of real images: phantoms as they are drawn, and after changes that a scanner or a sender makes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from container.predictor import Predictor
from model.data import phantom
from scripts.monitoring.drift import Reference
from tests.monitoring.served import chosen, reference, verdicts
from tests.tiny_model import make_model_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Measure = Callable[[Sequence[Image.Image]], dict[str, Any]]

RNG = np.random.default_rng(1)
_FIRST, _REST = slice(300), slice(300, None)
CHANGES: dict[str, tuple[Callable[[Image.Image], Image.Image], set[str]]] = {
    "dimmed": (lambda image: image.point(lambda level: 0.6 * level), {"grey_spread"}),
    "blurred": (lambda image: image.filter(ImageFilter.GaussianBlur(2)), {"sharpness"}),
    "only outlines": (lambda image: image.filter(ImageFilter.FIND_EDGES), {"grey_spread", "sharpness"}),
}


def draw(seeds: range) -> list[Image.Image]:
    return [phantom.draw(seed=seed, lesion=bool(seed % 2)) for seed in seeds]


@pytest.fixture(scope="module")
def measure(tmp_path_factory: pytest.TempPathFactory) -> Measure:
    folder = make_model_dir(tmp_path_factory.mktemp("model"), logit=0.0)
    predictor = Predictor.load(folder, name="any", version="1", sha256="0" * 64)

    def measured(images: Sequence[Image.Image]) -> dict[str, Any]:
        rows = []
        for image in images:
            file = io.BytesIO()
            image.save(file, format="PNG", compress_level=1)
            answer = predictor.classify(predictor.preprocess(file.getvalue()), statistics=True)
            rows.append({**answer["statistics"], "probability": answer["probability"]})
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}

    return measured


@pytest.fixture(scope="module")
def trained(measure: Measure) -> dict[str, Any]:
    return measure(draw(range(300)))


@pytest.fixture(scope="module")
def known(trained: dict[str, Any]) -> Reference:
    return Reference.parse(reference(trained))


@pytest.fixture(scope="module")
def live() -> list[Image.Image]:
    return draw(range(10_000, 10_500))


def test_phantoms_like_the_training_ones_raise_no_alarm(
    known: Reference, trained: dict[str, Any], live: list[Image.Image], measure: Measure
) -> None:
    values = measure(live)
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
    change: str, known: Reference, live: list[Image.Image], measure: Measure
) -> None:
    changed, moved = CHANGES[change]
    found = verdicts(measure([changed(image) for image in live[:250]]), known)
    assert moved <= {name for name, verdict in found.items() if verdict == "drift"}


def test_a_fifth_less_contrast_is_found(known: Reference, live: list[Image.Image], measure: Measure) -> None:
    less = measure([image.point(lambda level: 0.8 * level) for image in live])
    found = [verdicts(chosen(less, RNG.integers(0, 500, 500)), known)["grey_spread"] for _ in range(100)]
    assert found.count("drift") >= 95
