"""What the served network says is what the exported one said, read the way its metadata tells."""

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
from container.predictor import Predictor
from container.problem import Problem
from tests.tiny_model import BRAIN_GAIN, BRIGHTNESS_GAIN, CELL, make_model_dir

from . import pictures

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SIZE = 32


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


@pytest.fixture(scope="module")
def predictor(model_dir: Path) -> Predictor:
    return Predictor.load(model_dir)


@pytest.fixture
def with_metadata(model_dir: Path, tmp_path: Path) -> WithMetadata:
    return WithMetadata(model_dir, tmp_path / "model")


@pytest.fixture
def picky_with_metadata(picky_model_dir: Path, tmp_path: Path) -> WithMetadata:
    return WithMetadata(picky_model_dir, tmp_path / "picky")


class WithMetadata:
    """Loads a tiny model with some of its metadata replaced."""

    def __init__(self, source: Path, folder: Path) -> None:
        self._folder = shutil.copytree(source, folder)

    def __call__(self, **replaced: object) -> Predictor:
        path = self._folder / "metadata.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | replaced))
        return Predictor.load(self._folder)


def test_the_probability_is_the_networks_for_the_preprocessed_pixels(predictor: Predictor) -> None:
    data = pictures.png(pictures.scan())
    square = imaging.preprocess(imaging.decode(data), size=SIZE)
    expected = sigmoid(2.0 + BRIGHTNESS_GAIN * float(square.mean()))
    assert predictor.predict(data)["probability"] == pytest.approx(expected, abs=1e-6)


def test_the_probability_is_calibrated(with_metadata: WithMetadata) -> None:
    data = pictures.png(pictures.scan())
    logit = 2.0 + BRIGHTNESS_GAIN * float(imaging.preprocess(imaging.decode(data), size=SIZE).mean())
    predictor = with_metadata(calibration={"method": "platt", "slope": 0.5, "intercept": -1.5})
    assert predictor.predict(data)["probability"] == pytest.approx(sigmoid(0.5 * logit - 1.5), abs=1e-6)


def test_the_class_changes_exactly_at_the_threshold(with_metadata: WithMetadata) -> None:
    data = pictures.png(pictures.scan())
    probability = with_metadata().predict(data)["probability"]
    at = with_metadata(threshold=probability).predict(data)
    above = with_metadata(threshold=math.nextafter(probability, 1)).predict(data)
    assert (at["class"], at["label"]) == (1, "YES")
    assert (above["class"], above["label"]) == (0, "NO")


def test_a_very_sure_network_gives_a_probability_not_an_overflow(with_metadata: WithMetadata) -> None:
    data = pictures.png(pictures.scan())
    for slope, certain in ((1e6, 1.0), (-1e6, 0.0)):
        predictor = with_metadata(calibration={"method": "platt", "slope": slope, "intercept": 0})
        assert predictor.predict(data)["probability"] == certain


def test_the_served_file_agrees_with_keras(model_dir: Path, tmp_path: Path) -> None:
    # Given a network whose every weight matters, so that a swapped axis or channel would show
    import keras  # noqa: PLC0415 - only this test waits for TensorFlow

    keras.utils.set_random_seed(3)
    scan = keras.Input((SIZE, SIZE, 1))
    features = keras.layers.Conv2D(8, 5, strides=2, activation="relu")(scan)
    features = keras.layers.Conv2D(8, 3, activation="relu")(features)
    network = keras.Model(scan, keras.layers.Dense(1)(keras.layers.Flatten()(features)))
    batch = np.random.default_rng(3).random((5, SIZE, SIZE, 1), dtype=np.float32)
    ramp = np.linspace(0, 1, SIZE * SIZE).reshape(1, SIZE, SIZE, 1)
    expected = network.predict(batch, verbose=0)[:, 0]
    known = float(network.predict(ramp, verbose=0).item())
    # When it is exported and served
    folder = shutil.copytree(model_dir, tmp_path / "model")
    network.export(folder / "model.tflite", format="litert", verbose=False)
    metadata = json.loads((folder / "metadata.json").read_text())
    metadata |= {"heatmap": None, "known_answer": {"input": "ramp", "logit": known}}
    (folder / "metadata.json").write_text(json.dumps(metadata))
    # Then it says what Keras says
    assert np.abs(Predictor.load(folder).logits(batch) - expected).max() < 1e-4
    assert np.ptp(expected) > 0.01


def heatmap_of(predictor: Predictor, picture: Image.Image) -> NDArray[np.float64]:
    heatmap = predictor.predict(pictures.png(picture), heatmap=True)["heatmap"]
    assert heatmap is not None
    grid = np.array(heatmap["values"])
    assert grid.shape == (heatmap["height"], heatmap["width"]) == (SIZE // CELL, SIZE // CELL)
    return grid


def test_the_heatmap_shows_the_evidence_where_it_is(predictor: Predictor) -> None:
    # Given a picture that is grey, which counts as its black, and bright in its lower left quarter only
    picture = Image.new("L", (96, 96), 110)
    picture.paste(255, (0, 48, 48, 96))
    # When it is judged
    grid = heatmap_of(predictor, picture)
    # Then the grid's first rows are the picture's top, and its brightest cells the bright quarter's
    assert np.allclose(grid[5:, :3], sigmoid(2.0 + BRIGHTNESS_GAIN), atol=1e-3)
    assert np.allclose(grid[:3], sigmoid(2.0), atol=1e-3)
    assert np.allclose(grid[:, 5:], sigmoid(2.0), atol=1e-3)


@pytest.mark.parametrize(("width", "height"), [(200, 100), (100, 200)], ids=["wide", "high"])
def test_the_heatmap_covers_the_image_whatever_its_shape(
    predictor: Predictor, width: int, height: int
) -> None:
    # Given a bright picture with a dark spot
    picture = Image.new("L", (width, height), 255)
    picture.paste(0, (width // 4, height // 4, width // 2, height // 2))
    # When it is judged
    grid = heatmap_of(predictor, picture)
    # Then the edges are bright and the spot is where it is in the picture
    bright, dark = sigmoid(2.0 + BRIGHTNESS_GAIN), sigmoid(2.0)
    middle = (bright + dark) / 2
    assert np.all(grid[[0, -1]] > middle)
    assert np.all(grid[:, [0, -1]] > middle)
    assert np.all(grid[2:4, 2:4] < middle)


@pytest.mark.parametrize(("left", "top"), [(150, 90), (20, 0), (200, 10)])
def test_the_heatmap_of_a_head_off_the_middle_lies_on_the_head(
    predictor: Predictor, left: int, top: int
) -> None:
    # Given a head somewhere on black
    head = pictures.scan()
    picture = Image.new("L", (340, 200))
    picture.paste(head, (left, top))
    # When it is judged
    grid = heatmap_of(predictor, picture)
    # Then exactly the cells whose middle lies in what the image shows have a value
    box = imaging.content_box(picture)
    assert box == pytest.approx((left, top, left + head.width, top + head.height), abs=16)
    across, down = (np.arange(SIZE // CELL) + 0.5) * picture.width / 8, (np.arange(8) + 0.5) * 200 / 8
    shown = ((down >= box[1]) & (down < box[3]))[:, None] & ((across >= box[0]) & (across < box[2]))
    assert np.array_equal(grid > 0, shown)
    assert 4 < shown.sum() < 32
    assert np.all(grid[shown] >= round(sigmoid(2.0), 4))
    # And the brightest of them is the head's own brightest part, right above its middle
    row, column = np.unravel_index(np.argmax(grid), grid.shape)
    assert across[column] > left + head.width / 2
    assert down[row] < top + head.height / 2


def test_a_mirrored_picture_has_a_mirrored_heatmap(predictor: Predictor) -> None:
    picture = Image.new("L", (320, 192))
    picture.paste(pictures.scan(160, 120), (120, 24))
    plain, mirrored = (heatmap_of(predictor, each) for each in (picture, ImageOps.mirror(picture)))
    assert np.allclose(plain, mirrored[:, ::-1], atol=0.01)
    assert not np.allclose(plain, plain[:, ::-1], atol=0.01)


def test_a_heatmap_cell_is_the_probability_if_the_whole_image_looked_like_it(
    with_metadata: WithMetadata,
) -> None:
    # Given a network that is far too sure of itself, as its calibration knows
    predictor = with_metadata(calibration={"method": "platt", "slope": 0.25, "intercept": -0.75})
    # When it judges a picture of three bands, none so dark that it would be a margin
    bands = Image.new("L", (96, 96), 80)
    bands.paste(128, (0, 24, 96, 72))
    bands.paste(200, (0, 72, 96, 96))
    grid = heatmap_of(predictor, bands)
    # Then a cell is what the calibration makes of a whole image of that cell's grey
    greys = imaging.preprocess(bands, size=SIZE).reshape(8, CELL, 8, CELL).mean(axis=(1, 3))
    expected = [[sigmoid(0.25 * (2.0 + BRIGHTNESS_GAIN * grey) - 0.75) for grey in row] for row in greys]
    assert np.allclose(grid, expected, atol=6e-5)
    assert np.array_equal(grid, np.round(grid, 4))
    assert np.ptp(greys) > 0.9


def test_a_network_without_evidence_gives_no_heatmap(blind_model_dir: Path) -> None:
    answer = Predictor.load(blind_model_dir).predict(pictures.png(pictures.scan()), heatmap=True)
    assert answer["heatmap"] is None
    assert answer["label"] == "NO"


def test_what_is_no_scan_is_refused_before_it_is_judged(predictor: Predictor) -> None:
    with pytest.raises(Problem) as caught:
        predictor.predict(pictures.png(Image.new("L", (100, 100))))
    assert caught.value.status == 422


def two_squares() -> Image.Image:
    """Black but for two opposite corners: what it shows is all of it, and mostly black."""
    picture = Image.new("L", (96, 96))
    for corner in ((0, 0, 20, 20), (76, 76, 96, 96)):
        picture.paste(255, corner)
    return picture


BRIGHT, DARK = pictures.png(ImageOps.invert(two_squares())), pictures.png(two_squares())


def test_what_is_unlike_a_brain_is_refused_with_its_score(picky_model_dir: Path) -> None:
    # Given an image that no rule refuses, but the network takes for no brain
    predictor = Predictor.load(picky_model_dir)
    mean = float(imaging.preprocess(imaging.decode(BRIGHT), size=SIZE).mean())
    score = sigmoid(4.0 + BRAIN_GAIN * mean)
    assert score < 0.5
    # When it is judged
    with pytest.raises(Problem) as caught:
        predictor.predict(BRIGHT)
    # Then the refusal says so to people and to programs
    assert caught.value.status == 422
    assert "does not look like a brain MRI" in caught.value.detail
    assert f"its score is {score:.2f}, at least 0.50 is needed" in caught.value.detail
    problem = json.loads(caught.value.body())
    assert problem["score"] == pytest.approx(score, abs=6e-5)
    assert problem["score"] == round(problem["score"], 4)
    assert problem["score_threshold"] == 0.5
    assert problem["status"] == 422


def test_what_is_like_a_brain_is_judged_and_told_nothing_more(picky_model_dir: Path) -> None:
    answer = Predictor.load(picky_model_dir).predict(DARK, heatmap=True)
    assert answer.keys() == {"label", "class", "probability", "threshold", "model", "heatmap"}
    assert answer["label"] == "YES"


def test_the_refusal_ends_exactly_at_its_threshold(picky_with_metadata: WithMetadata) -> None:
    predictor = picky_with_metadata()
    square = imaging.preprocess(imaging.decode(DARK), size=SIZE)
    brain_logits = predictor.readings(square[np.newaxis]).brain_logits
    assert brain_logits is not None
    score = 0.5 * (1 + math.tanh(0.5 * brain_logits[0]))
    assert picky_with_metadata(refusal={"threshold": score}).predict(DARK)["class"] == 1
    with pytest.raises(Problem, match="does not look like a brain MRI"):
        picky_with_metadata(refusal={"threshold": math.nextafter(score, 1)}).predict(DARK)


def test_a_near_miss_is_told_with_enough_digits_to_be_seen(picky_with_metadata: WithMetadata) -> None:
    with pytest.raises(Problem) as caught:
        picky_with_metadata(refusal={"threshold": 0.999}).predict(DARK)
    score = caught.value.extensions["score"]
    with pytest.raises(Problem) as caught:
        picky_with_metadata(refusal={"threshold": score + 0.0003}).predict(DARK)
    assert f"its score is {score:.4f}, at least {score + 0.0003:.4f} is needed" in caught.value.detail


def test_a_rules_refusal_has_a_reason_and_no_score(picky_model_dir: Path) -> None:
    with pytest.raises(Problem) as caught:
        Predictor.load(picky_model_dir).predict(pictures.png(Image.new("L", (100, 100), 200)))
    assert "blank" in caught.value.detail
    assert json.loads(caught.value.body()).keys() == {"type", "title", "status", "detail"}


def test_without_a_threshold_a_brain_score_refuses_nothing(picky_with_metadata: WithMetadata) -> None:
    assert picky_with_metadata(refusal=None).predict(BRIGHT)["class"] == 1


def test_a_brain_score_that_is_no_number_is_a_failure_and_no_judgement(tmp_path: Path) -> None:
    predictor = Predictor.load(make_model_dir(tmp_path / "model", says=2.0, brain=math.nan))
    with pytest.raises(ArithmeticError):
        predictor.predict(DARK)


def test_all_outputs_of_a_network_can_be_compared(picky_model_dir: Path) -> None:
    batch = np.random.default_rng(4).random((3, SIZE, SIZE, 1), dtype=np.float32)
    predictor = Predictor.load(picky_model_dir)
    readings = predictor.readings(batch)
    assert readings.brain_logits is not None
    assert readings.evidence is not None
    mean = batch.mean(axis=(1, 2, 3))
    assert np.allclose(readings.logits, 2.0 + BRIGHTNESS_GAIN * mean, atol=1e-5)
    assert np.allclose(readings.brain_logits, 4.0 + BRAIN_GAIN * mean, atol=1e-5)
    assert readings.evidence.shape == (3, SIZE // CELL, SIZE // CELL)
    assert np.allclose(readings.evidence.mean(axis=(1, 2)), readings.logits, atol=1e-5)
    assert np.array_equal(predictor.logits(batch), readings.logits)


def test_what_a_network_does_not_give_is_none(blind_model_dir: Path) -> None:
    readings = Predictor.load(blind_model_dir).readings(np.zeros((2, SIZE, SIZE, 1), np.float32))
    assert readings.logits.shape == (2,)
    assert readings.brain_logits is None
    assert readings.evidence is None


@pytest.mark.parametrize("width", [3, 0], ids=["three logits", "two outputs of logits"])
def test_a_network_with_other_outputs_cannot_be_served(model_dir: Path, tmp_path: Path, width: int) -> None:
    import keras  # noqa: PLC0415 - only this test waits for TensorFlow

    scan = keras.Input((SIZE, SIZE, 1))
    mean = keras.layers.GlobalAveragePooling2D()(scan)
    outputs = keras.layers.Dense(width)(mean) if width else [mean, keras.layers.Dense(1)(mean)]
    folder = shutil.copytree(model_dir, tmp_path / "model")
    keras.Model(scan, outputs).export(folder / "model.tflite", format="litert", verbose=False)
    with pytest.raises(ModelError, match=r"not the logits of shape \(1, 1\) or \(1, 2\)"):
        Predictor.load(folder)


def test_a_model_without_a_release_says_its_own_name_only(predictor: Predictor) -> None:
    assert predictor.identity == {"name": "tumor-detector", "version": None, "sha256": None}


@pytest.mark.parametrize("heatmap", [False, True])
def test_to_predict_is_to_see_and_then_to_judge(predictor: Predictor, *, heatmap: bool) -> None:
    data = pictures.jpeg(pictures.scan())
    seen = predictor.see(data)
    assert np.array_equal(seen.pixels, imaging.preprocess(imaging.decode(data), size=SIZE))
    assert seen.grey.mode == "L"
    assert predictor.judge(seen, heatmap=heatmap) == predictor.predict(data, heatmap=heatmap)


def test_what_the_rules_refuse_is_never_seen(predictor: Predictor) -> None:
    with pytest.raises(Problem) as caught:
        predictor.see(pictures.png(Image.new("L", (100, 100))))
    assert caught.value.status == 422


def test_a_network_that_has_come_to_answer_otherwise_does_not_pass_its_check(predictor: Predictor) -> None:
    predictor.check()
    reading = predictor._network.run(np.zeros((SIZE, SIZE, 1), np.float32))
    for wrong in (reading.logit, math.nan):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(predictor._network, "run", lambda _, wrong=wrong: reading._replace(logit=wrong))
            with pytest.raises(ModelError, match="not the network that was exported"):
                predictor.check()
    predictor.check()
