"""The served network predicts as the exported one does, interpreted by its metadata."""

from __future__ import annotations

import json
import math
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageOps

from container import imaging
from container.metadata import ModelError
from container.predictor import UNFAMILIAR, Predictor
from container.problem import Problem
from tests.container import samples
from tests.tiny_model import BRAIN_GAIN, BRIGHTNESS_GAIN, CELL, make_model_dir

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

SIZE = 32
SCAN = samples.png(samples.scan())


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def preprocess(data: bytes) -> NDArray[np.float32]:
    return imaging.preprocess(imaging.decode(data), size=SIZE)


def copy_with_metadata(source: Path, folder: Path, **replaced: object) -> Path:
    """Copy a model, with some of its metadata replaced."""
    shutil.copytree(source, folder, dirs_exist_ok=True)
    path = folder / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | replaced))
    return folder


@pytest.fixture(scope="module")
def predictor(model_dir: Path) -> Predictor:
    return Predictor.load(model_dir)


@pytest.fixture
def load_with(model_dir: Path, tmp_path: Path) -> Callable[..., Predictor]:
    """Load the model with some of its metadata replaced."""
    return lambda **replaced: Predictor.load(copy_with_metadata(model_dir, tmp_path / "model", **replaced))


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.5, -1.5)])
def test_the_probability_is_the_calibrated_logit_of_the_preprocessed_pixels(
    load_with: Callable[..., Predictor], slope: float, intercept: float
) -> None:
    logit = 2.0 + BRIGHTNESS_GAIN * float(preprocess(SCAN).mean())
    predictor = load_with(calibration={"method": "platt", "slope": slope, "intercept": intercept})
    expected = sigmoid(slope * logit + intercept)
    assert predictor.predict(SCAN)["probability"] == pytest.approx(expected, abs=1e-6)


def test_the_class_changes_exactly_at_the_threshold(load_with: Callable[..., Predictor]) -> None:
    probability = load_with().predict(SCAN)["probability"]
    at = load_with(threshold=probability).predict(SCAN)
    above = load_with(threshold=math.nextafter(probability, 1)).predict(SCAN)
    assert (at["class"], at["label"]) == (1, "YES")
    assert (above["class"], above["label"]) == (0, "NO")


@pytest.mark.parametrize(("slope", "expected"), [(1e6, 1.0), (-1e6, 0.0)])
def test_an_extreme_logit_does_not_overflow(
    load_with: Callable[..., Predictor], slope: float, expected: float
) -> None:
    predictor = load_with(calibration={"method": "platt", "slope": slope, "intercept": 0})
    assert predictor.predict(SCAN)["probability"] == expected


def heatmap_of(predictor: Predictor, picture: Image.Image) -> NDArray[np.float64]:
    heatmap = predictor.predict(samples.png(picture), heatmap=True)["heatmap"]
    assert heatmap is not None
    grid = np.array(heatmap["values"])
    assert grid.shape == (heatmap["height"], heatmap["width"]) == (SIZE // CELL, SIZE // CELL)
    return grid


@pytest.mark.parametrize(("left", "top"), [(150, 90), (20, 0), (200, 10)])
def test_the_heatmap_of_a_head_off_the_centre_lies_on_the_head(
    predictor: Predictor, left: int, top: int
) -> None:
    # Given a head somewhere on black
    head = samples.scan()
    picture = Image.new("L", (340, 200))
    picture.paste(head, (left, top))
    # When it is classified
    grid = heatmap_of(predictor, picture)
    # Then exactly the cells with their centre in the content box have a value
    box = imaging.content_box(picture)
    assert box == pytest.approx((left, top, left + head.width, top + head.height), abs=16)
    across, down = (np.arange(SIZE // CELL) + 0.5) * picture.width / 8, (np.arange(8) + 0.5) * 200 / 8
    shown = ((down >= box[1]) & (down < box[3]))[:, None] & ((across >= box[0]) & (across < box[2]))
    assert np.array_equal(grid > 0, shown)
    assert 4 < shown.sum() < 32
    assert np.all(grid[shown] >= 0.5)
    # And the brightest is on the head's own brightest part, right of its centre and above it
    row, column = np.unravel_index(np.argmax(grid), grid.shape)
    assert across[column] > left + head.width / 2
    assert down[row] < top + head.height / 2


@pytest.mark.parametrize(("low", "high"), [(2.0, 2.5), (2.2, 2.3), (1.0, 5.0), (-2.0, 0.0), (3.0, 4.0)])
def test_a_heatmap_cell_is_the_evidence_between_low_and_high(
    load_with: Callable[..., Predictor], low: float, high: float
) -> None:
    # Given a scale, and a calibration, which does not matter
    scale = {"width": SIZE // CELL, "height": SIZE // CELL, "low": low, "high": high}
    predictor = load_with(heatmap=scale, calibration={"method": "platt", "slope": 0.25, "intercept": -0.75})
    # When an image of three bands is classified, none so dark beside its black that it would be a margin
    bands = Image.new("L", (96, 96), 80)
    bands.paste(128, (0, 24, 96, 72))
    bands.paste(0, (0, 40, 4, 44))
    bands.paste(200, (0, 72, 96, 96))
    grid = heatmap_of(predictor, bands)
    # Then a cell is the evidence's place between low and high, 0 below and 1 above
    greys = imaging.preprocess(bands, size=SIZE).reshape(8, CELL, 8, CELL).mean(axis=(1, 3))
    expected = np.clip((2.0 + BRIGHTNESS_GAIN * greys - low) / (high - low), 0, 1)
    assert np.allclose(grid, expected, atol=6e-5)
    assert np.array_equal(grid, np.round(grid, 4))
    assert np.ptp(greys) > 0.9


def two_squares() -> Image.Image:
    """Draw two bright squares in opposite corners of black: the content is the whole image, mostly black."""
    picture = Image.new("L", (96, 96))
    for corner in ((0, 0, 20, 20), (76, 76, 96, 96)):
        picture.paste(255, corner)
    return picture


BRIGHT, DARK = samples.png(ImageOps.invert(two_squares())), samples.png(two_squares())


def test_an_image_unlike_a_brain_is_refused_with_its_score(refusing_model_dir: Path) -> None:
    # Given an image that no rule refuses, and with a low brain score
    score = sigmoid(4.0 + BRAIN_GAIN * float(preprocess(BRIGHT).mean()))
    assert score < 0.5
    # When it is classified
    with pytest.raises(Problem) as caught:
        Predictor.load(refusing_model_dir).predict(BRIGHT)
    # Then the refusal has the score for people and for programs
    assert caught.value.status == 422
    assert "does not look like a brain MRI" in caught.value.detail
    assert f"its score is {score:.2f}, at least 0.50 is needed" in caught.value.detail
    problem = json.loads(caught.value.body())
    assert problem["score"] == pytest.approx(score, abs=6e-5)
    assert problem["score"] == round(problem["score"], 4)
    assert (problem["score_threshold"], problem["status"]) == (0.5, 422)


def test_the_refusal_ends_exactly_at_its_threshold(refusing_model_dir: Path, tmp_path: Path) -> None:
    brain_logits = Predictor.load(refusing_model_dir).outputs(preprocess(DARK)[np.newaxis]).brain_logits
    score = 0.5 * (1 + math.tanh(0.5 * brain_logits[0]))

    def load(threshold: float) -> Predictor:
        refusal = {"threshold": threshold}
        return Predictor.load(copy_with_metadata(refusing_model_dir, tmp_path / "model", refusal=refusal))

    assert load(score).predict(DARK)["class"] == 1
    with pytest.raises(Problem, match="does not look like a brain MRI"):
        load(math.nextafter(score, 1)).predict(DARK)


def test_an_unfamiliar_image_gets_low_reliability(refusing_model_dir: Path, tmp_path: Path) -> None:
    familiarity = Predictor.load(refusing_model_dir).outputs(preprocess(DARK)[np.newaxis]).familiarity
    assert familiarity is not None
    at = float(familiarity[0])
    for threshold, is_low in ((at, False), (math.nextafter(at, math.inf), True)):
        reliability = {"threshold": threshold}
        folder = copy_with_metadata(refusing_model_dir, tmp_path / "model", reliability=reliability)
        answer = Predictor.load(folder).predict(DARK)
        assert answer["label"] == "YES"
        assert answer.get("reliability") == ("low" if is_low else None), threshold
        assert answer.get("reasons") == ([UNFAMILIAR] if is_low else None), threshold


def test_a_brain_score_or_a_familiarity_that_is_not_a_number_is_a_failure(tmp_path: Path) -> None:
    model = make_model_dir(tmp_path / "brain", logit=2.0, brain_logit=math.nan)
    with pytest.raises(ArithmeticError):
        Predictor.load(model).predict(DARK)
    model = make_model_dir(tmp_path / "model", logit=2.0, brain_logit=4.0, familiarity=math.nan)
    with pytest.raises(ArithmeticError, match="familiarity"):
        Predictor.load(model).predict(DARK)
    with pytest.raises(Problem, match="does not look like a brain MRI"):  # the refusal comes first
        Predictor.load(model).predict(BRIGHT)


def test_a_model_of_schema_2_has_no_heatmap_and_no_reliability(old_model_dir: Path) -> None:
    old = Predictor.load(old_model_dir)
    outputs = old.outputs(np.zeros((2, SIZE, SIZE, 1), np.float32))
    assert (outputs.logits.shape, outputs.brain_logits.shape, outputs.familiarity) == ((2,), (2,), None)
    answer = old.predict(SCAN, heatmap=True)
    assert (answer["heatmap"], answer["label"]) == (None, "NO")
    assert "reliability" not in answer


@pytest.mark.parametrize("width", [4, 0], ids=["four logits", "two outputs of logits"])
def test_a_network_with_other_outputs_cannot_be_served(model_dir: Path, tmp_path: Path, width: int) -> None:
    import keras  # noqa: PLC0415 - only this test waits for TensorFlow

    scan = keras.Input((SIZE, SIZE, 1))
    mean = keras.layers.GlobalAveragePooling2D()(scan)
    outputs = keras.layers.Dense(width)(mean) if width else [mean, keras.layers.Dense(1)(mean)]
    folder = shutil.copytree(model_dir, tmp_path / "model")
    keras.Model(scan, outputs).export(folder / "model.tflite", format="litert", verbose=False)
    with pytest.raises(ModelError, match=r"not the logits of shape \(1, 2\) or \(1, 3\)"):
        Predictor.load(folder)


def test_a_changed_network_fails_its_check(predictor: Predictor) -> None:
    predictor.check()
    output = predictor._network.run(np.zeros((SIZE, SIZE, 1), np.float32))
    for wrong in (output.logit, math.nan):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(predictor._network, "run", lambda _, wrong=wrong: output._replace(logit=wrong))
            with pytest.raises(ModelError, match="not the network that was exported"):
                predictor.check()
    predictor.check()
