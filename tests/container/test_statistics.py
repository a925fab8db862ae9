"""Each statistic follows the change that it is meant to show, and an answer has them only where asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageFilter, ImageOps

from container import imaging
from container.predictor import Predictor
from container.statistics import Statistics, measure
from scripts.benchmark.dicom_files import dicom
from tests.container import samples

if TYPE_CHECKING:
    from pathlib import Path

SCAN = samples.scan(240, 180)


def measured(image: Image.Image) -> Statistics:
    box = imaging.content_box(image)
    return measure(image, imaging.preprocess(image, size=32, box=box), box)


@pytest.mark.parametrize(
    ("change", "name", "factor"),
    [
        (lambda image: image.resize((480, 360)), "side", 2),
        (lambda image: image.point(lambda level: 0.8 * level), "grey_spread", 0.8),
        (lambda image: image.resize((24, 18)).resize(image.size, Image.Resampling.NEAREST), "side", 1),
        (lambda image: ImageOps.expand(image, 60), "content", 0.4),
    ],
)
def test_a_change_shows(change: object, name: str, factor: float) -> None:
    before, after = (measured(each)[name] for each in (SCAN, change(SCAN)))  # type: ignore[literal-required, operator]
    assert after / before == pytest.approx(factor, rel=0.03)


def test_blur_and_symmetry_show() -> None:
    assert measured(SCAN.filter(ImageFilter.GaussianBlur(4)))["sharpness"] < 0.9 * measured(SCAN)["sharpness"]
    symmetric = Image.blend(SCAN, ImageOps.mirror(SCAN), 0.5)
    assert measured(symmetric)["symmetry"] > 0.95 > measured(SCAN)["symmetry"]


def test_a_single_grey_has_statistics() -> None:
    assert measured(Image.new("L", (50, 40), 90)) == {
        "side": 44.7, "grey_spread": 0.0, "sharpness": 0.0, "symmetry": 0.0, "content": 1.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("data", "form"),
    [(samples.png(SCAN), "png"), (samples.jpeg(SCAN), "jpeg"), (dicom(SCAN), "dicom")],
)
def test_an_answer_has_statistics_where_they_are_asked_for(model_dir: Path, data: bytes, form: str) -> None:
    predictor = Predictor.load(model_dir)
    image = predictor.preprocess(data)
    assert "statistics" not in predictor.classify(image)
    statistics = predictor.classify(image, statistics=True)["statistics"]
    assert statistics.pop("format") == form  # type: ignore[misc]
    assert 0 <= statistics.pop("score") <= 1  # type: ignore[misc]
    assert statistics == measure(image.grey, image.pixels, image.box)
