"""What the deployed endpoint answers is what the trained network says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from container import metadata
from container.network import Network, NetworkOutput
from container.predictor import Predictor
from container.problem import Problem
from model.data import negatives, phantom
from model.networks.backend import keras

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from container.predictor import Identity
    from tests.e2e.conftest import Demo

COUNT = 500
TOLERANCE = 1e-3


class KerasNetwork(Network):
    """Takes the place of the exported network in a `Predictor`."""

    def __init__(self, path: Path) -> None:
        import model.networks.architectures  # noqa: F401, PLC0415 - registers its layers

        self._model = keras.models.load_model(path)

    def run(self, image: NDArray[np.float32]) -> NetworkOutput:
        logits, evidence = self._model(image[np.newaxis], training=False)
        tumour, brain, familiarity = map(float, logits[0])
        return NetworkOutput(tumour, brain, familiarity, np.asarray(evidence)[0, ..., 0])


def test_endpoint_and_keras_agree(demo: Demo, tmp_path: Path) -> None:
    # Given drawn brain MRIs and images that are none
    for number in range(COUNT):
        drawn = phantom.draw(seed=10_000 + number, lesion=number % 4 == 0)
        if number % 2:
            drawn = negatives.draw(negatives.KINDS[number % len(negatives.KINDS)], seed=number)
        drawn.save(tmp_path / f"{number:03}.png")
    # When the endpoint and the trained network are asked
    answers = json.loads(demo.run("scripts/predict", str(tmp_path), "--format", "json", "--heatmap").stdout)
    [trained] = (demo.root / "mlruns").rglob("model.keras")
    [about] = (demo.root / "mlruns").rglob("serving/metadata.json")
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
