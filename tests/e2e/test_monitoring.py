"""Drift of what is really served: gateway, container, capture and log, and then `scripts/monitor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from model.data import phantom
from tests.container.samples import png
from tests.e2e.watched import SOURCES, watching

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.conftest import Demo
    from tests.e2e.watched import Watched

IMAGES, FEW = 500, 20
CHANGES: dict[str, tuple[Callable[[Image.Image], Image.Image], dict[str, str]]] = {
    "dimmed": (lambda image: image.point(lambda level: 0.8 * level), {"grey_spread": "lower"}),
    "blurred": (lambda image: image.filter(ImageFilter.GaussianBlur(1)), {"sharpness": "lower"}),
    # Another drawing style, which most often is still taken for a brain: the bright tissues are drawn dark.
    "solarized": (
        lambda image: ImageOps.solarize(image, 100),
        {"grey_spread": "lower", "sharpness": "higher"},
    ),
}


@pytest.fixture
def watched(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    with watching(demo, monkeypatch) as found:
        yield found


@pytest.fixture(scope="module")
def phantoms() -> list[Image.Image]:
    """Phantoms that the training has not seen, of its sizes."""
    sizes = np.random.default_rng(1).integers(180, 300, size=IMAGES)
    return [
        phantom.draw(seed=70_000 + number, lesion=number % 2 == 0, size=int(size))
        for number, size in enumerate(sizes)
    ]


def test_phantoms_like_the_training_ones_are_no_drift_and_twenty_are_too_few(
    watched: Watched, phantoms: list[Image.Image]
) -> None:
    images, answered = [png(image, compress_level=1) for image in phantoms], 0
    watched.forget()
    refused = watched.monitor("capture")[1]["refused"]
    for sent, status, verdict in ((images[:FEW], 4, "too few"), (images[FEW:], 0, "no drift")):
        answers = watched.predict(sent)
        answered += sum("label" in each for each in answers)
        refused += sum("label" not in each for each in answers)
        reports = [watched.monitor(by) for by in SOURCES]
        for found, report in reports:
            assert (found, report["verdict"], report["unusable"]) == (status, verdict, []), report
            assert (report["answers"], report["refused"]) == (answered, refused)
        assert reports[0][1]["models"] == reports[1][1]["models"]
    assert answered > 0.9 * IMAGES
    alarms = [bool(found) for found in watched.resampled(IMAGES, times=200)]
    assert sum(alarms) <= 10  # 5 %


@pytest.mark.parametrize(
    "change", [pytest.param(name, marks=[pytest.mark.slow] * (name != "dimmed")) for name in CHANGES]
)
def test_changed_phantoms_are_drift_that_names_what_moved(
    change: str, watched: Watched, phantoms: list[Image.Image]
) -> None:
    changed, expected = CHANGES[change]
    watched.forget()
    watched.predict([png(changed(image), compress_level=1) for image in phantoms])
    for by in SOURCES:
        status, report = watched.monitor(by)
        assert (status, report["verdict"]) == (3, "drift"), report
        [model] = report["models"]
        moved = {
            each["statistic"]: each["direction"] for each in model["statistics"] if each["verdict"] == "drift"
        }
        assert expected.items() <= moved.items()
        assert moved.keys().isdisjoint({"side", "content", "format"})
    found = [expected.keys() <= drifted for drifted in watched.resampled(IMAGES, times=100)]
    assert sum(found) >= 95
