"""What the deployed endpoint answers is what the trained network says."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydicom.uid import JPEGBaseline8Bit
from scipy.special import expit

from container import imaging, metadata
from container.network import Network, NetworkOutput
from container.predictor import Predictor
from container.problem import Problem
from model.data import negatives, phantom
from model.networks.backend import keras
from tests.dicom_files import FORMS, dicom
from tests.unavailable import unavailable

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from container.predictor import Identity
    from tests.e2e.conftest import Demo

pytestmark = pytest.mark.slow

COUNT = 500
TOLERANCE = 1e-3
SLICES = 50


class KerasNetwork(Network):
    """Takes the place of the exported network in a `Predictor`."""

    def __init__(self, path: Path) -> None:
        import model.networks.architectures  # noqa: F401, PLC0415 - registers its layers

        self._model = keras.models.load_model(path)

    def run(self, image: NDArray[np.float32]) -> NetworkOutput:
        logits, evidence = self._model(image[np.newaxis], training=False)
        tumour, brain, familiarity = map(float, logits[0])
        return NetworkOutput(tumour, brain, familiarity, np.asarray(evidence)[0, ..., 0])


def of_demo(demo: Demo, name: str) -> Path:
    """Return a file of the demo's own training; those of a retraining are newer."""
    return min((demo.root / "mlruns").rglob(name), key=lambda path: path.stat().st_mtime)


def test_endpoint_and_keras_agree(demo: Demo, tmp_path: Path) -> None:
    # Given drawn brain MRIs and images that are none
    for number in range(COUNT):
        drawn = phantom.draw(seed=10_000 + number, lesion=number % 4 == 0)
        if number % 2:
            drawn = negatives.draw(negatives.KINDS[number % len(negatives.KINDS)], seed=number)
        drawn.save(tmp_path / f"{number:03}.png")
    # When the endpoint and the trained network are asked
    answers = json.loads(demo.run("scripts/predict", str(tmp_path), "--format", "json", "--heatmap").stdout)
    trained, about = of_demo(demo, "model.keras"), of_demo(demo, "serving/metadata.json")
    identity: Identity = {"name": "", "version": None, "sha256": None}
    predictor = Predictor(KerasNetwork(trained), metadata.load(about), identity)
    # Then they agree on each image
    assert len(answers) == COUNT
    for answer in answers:
        try:
            expected = predictor.predict((tmp_path / answer["file"]).read_bytes(), heatmap=True)
        except Problem as problem:
            score = problem.extensions.get("score", 0)
            same = abs((answer["problem"].get("score") or 0) - score) <= TOLERANCE
            assert same, answer
            continue
        given, heatmap = answer["prediction"], expected["heatmap"]
        assert heatmap is not None
        assert given["label"] == expected["label"]
        assert given["probability"] == pytest.approx(expected["probability"], abs=TOLERANCE)
        assert given.get("reliability") == expected.get("reliability")
        assert np.abs(np.subtract(given["heatmap"]["values"], heatmap["values"])).max() <= TOLERANCE
    assert 0.2 < np.mean([answer["answer"] == "refused" for answer in answers]) < 0.8


def slices() -> list[Image.Image]:
    """Return slices of the real sources beside `TUMOR_DATA`, spread over all of them."""
    folder = os.environ.get("TUMOR_DATA")
    if not folder:
        unavailable("TUMOR_DATA names no folder of real images")
    paths = sorted(Path(folder).parent.glob("sources/*/[yn]*/**/*.[pj]*g"))
    assert len(paths) > SLICES
    return [imaging.decode(path.read_bytes()) for path in paths[:: len(paths) // SLICES][:SLICES]]


def test_a_real_picture_has_one_probability_in_every_form(demo: Demo) -> None:
    served = of_demo(demo, "model.tflite")
    about = metadata.load(served.with_name("metadata.json"))
    network = Network(served, size=about.size)

    def probability(image: Image.Image) -> float:
        logit = network.run(imaging.preprocess(image, size=about.size)).logit
        return float(expit(about.slope * logit + about.intercept))

    for whole in slices():
        picture = whole.crop((0, 0, whole.width // 2 * 2, whole.height))  # GDCM writes no odd number of bytes
        expected = probability(picture)
        for syntax, photometric, bits, signed in FORMS:
            if syntax == JPEGBaseline8Bit:
                continue  # it changes the picture
            data = dicom(picture, syntax=syntax, photometric=photometric, bits=bits, signed=signed)
            given = probability(imaging.decode(data))
            assert given == pytest.approx(expected, abs=0.01), (syntax, photometric, bits, signed)
            assert (given >= about.threshold) == (expected >= about.threshold)
