"""A network's logit is its pooled evidence, in Keras and in the exported file."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from container.network import Network
from model.data import phantom
from model.data.image_cache import preprocessed
from model.networks import architectures as network
from model.networks.architectures import Encoder, Head, PooledEvidence
from model.networks.backend import keras
from model.networks.familiarity import Familiarity
from model.training.config import ARCHITECTURES

if TYPE_CHECKING:
    from pathlib import Path

    from model.arrays import Floats, Floats32, Greys

SIZE, HEADS = 64, 5


def test_settings_of_keras_for_other_projects_do_not_apply(tmp_path: Path) -> None:
    # Given those of variables and of a file
    environment = dict(os.environ, KERAS_HOME=str(tmp_path), KERAS_BACKEND="torch", TF_USE_LEGACY_KERAS="1")
    (tmp_path / "keras.json").write_text(
        '{"backend": "torch", "image_data_format": "channels_first", "floatx": "float16"}'
    )
    program = (
        "from model.networks.backend import keras, tensorflow; from model.networks import architectures; "
        "scan = keras.Input((64, 64, 1)); "
        "print(keras.config.backend(), scan.shape[-1], scan.dtype, tensorflow.keras.version())"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout.split()[:3], done.stderr) == (["tensorflow", "1", "float32"], "")
    assert done.stdout.split()[3].startswith("3.")


@pytest.fixture(scope="module")
def greys() -> Greys:
    return preprocessed([phantom.draw(seed=seed, lesion=seed % 2 == 0) for seed in range(HEADS)], size=SIZE)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(SIZE)


def pooled(evidence: Floats32) -> Floats:
    """Log-mean-exp above a share of the mean: (n, rows, columns, ...) -> (n,)."""
    flat = evidence.reshape(len(evidence), -1).astype(np.float64)
    return np.asarray(np.log(np.exp(flat).mean(axis=1)) - network.CENTRE * flat.mean(axis=1))


def test_pooling_is_a_soft_maximum_above_a_share_of_the_mean() -> None:
    maps = np.log([[[1, 3], [1, 3]], [[2, 2], [2, 2]]]).astype(np.float32)[..., np.newaxis]
    known = np.log(2) - network.CENTRE * np.array([np.log(3) / 2, np.log(2)])
    for given in (np.asarray(PooledEvidence()(maps))[:, 0], pooled(maps)):
        np.testing.assert_allclose(given, known, atol=1e-6)
    # And large evidence does not overflow
    assert np.isfinite(np.asarray(PooledEvidence()(1000 * maps))).all()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_tail_maps_what_the_encoder_computes_to_evidence(name: str, encoder: Encoder, greys: Greys) -> None:
    tail = network.build_tail(name, encoder.model)
    maps = encoder.maps(greys, network.TAILS[name])
    evidence = np.asarray(tail(maps.astype(np.float32)))
    assert evidence.shape == (HEADS, SIZE // 16, SIZE // 16, 1)
    # And before training it has no opinion
    assert not evidence.any()
    assert tail.name == name
    assert not {id(weight) for weight in tail.weights} & {id(weight) for weight in encoder.model.weights}


def test_the_fine_tuned_tail_starts_as_the_encoder(encoder: Encoder, greys: Greys) -> None:
    tail = network.build_tail("efficientnet_lite0", encoder.model)
    first = keras.Model(tail.input, tail.layers[-2].input)
    fine, coarse = (encoder.maps(greys, level).astype(np.float32) for level in ("fine", "coarse"))
    np.testing.assert_allclose(np.asarray(first(fine)), coarse, rtol=0.01, atol=0.01)
    assert coarse.std() > 0.1
    # And its normalisation is not trained
    for layer in tail.layers:
        assert layer.trainable != isinstance(layer, keras.layers.BatchNormalization)


def test_maps_and_features_are_the_encoders(encoder: Encoder, greys: Greys) -> None:
    many = np.tile(greys, (8, 1, 1, 1))  # more than a batch
    outputs = {name: np.asarray(maps) for name, maps in encoder.model(many / np.float32(255)).items()}
    fine, middle, coarse = (outputs[name] for name in ("fine", "middle", "coarse"))
    widths = [(*maps.shape[1:],) for maps in (fine, middle, coarse)]
    assert widths == [(SIZE // 8, SIZE // 8, 40), (SIZE // 16, SIZE // 16, 80), (SIZE // 16, SIZE // 16, 672)]
    np.testing.assert_allclose(encoder.maps(many, "fine"), fine, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(encoder.maps(many, "coarse"), coarse, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(encoder.maps(greys, "scan"), (greys / 255).astype(np.float16))
    means = np.concatenate([maps.mean(axis=(1, 2)) for maps in (coarse, fine, middle)], axis=1)
    np.testing.assert_allclose(encoder.features(many), means, atol=1e-4)
    assert not encoder.model.trainable_weights


def test_an_export_has_the_outputs_of_keras(encoder: Encoder, greys: Greys, tmp_path: Path) -> None:
    # Given a tail with an opinion, a refusal and a familiarity
    tail = network.build_tail("efficientnet_lite0", encoder.model)
    features, rng = encoder.features(greys), np.random.default_rng(1)
    last, width = tail.get_layer("evidence"), features.shape[1]
    last.set_weights([rng.normal(scale=0.05, size=weights.shape) for weights in last.get_weights()])
    brain = Head(np.asarray(rng.normal(scale=0.05, size=width)), bias=0.7)
    whitening = rng.normal(scale=0.1, size=(width, 4))
    familiarity = Familiarity(whitening, rng.normal(size=4), rng.normal(size=(3, 4)))
    served = network.assemble(encoder.model, tail, brain=brain, familiarity=familiarity)
    scans = greys / np.float32(255)
    logits, evidence = map(np.asarray, served(scans))
    # Then its outputs are the pooled evidence, and what these say of the features
    known = [pooled(evidence), brain.logits(features), familiarity.of(features)]
    np.testing.assert_allclose(logits, np.transpose(known), rtol=1e-3, atol=1e-3)
    assert np.ptp(logits, axis=0).min() > 1e-3
    # And when the network is saved, or converted and read by the serving code
    served.save(tmp_path / "network.keras")
    served.export(tmp_path / "model.tflite", format="litert", verbose=False)
    again = keras.models.load_model(tmp_path / "network.keras")(scans)
    reader = Network(tmp_path / "model.tflite", size=SIZE)
    # Then they are the same
    np.testing.assert_allclose(again[0], logits, atol=1e-5)
    for place, scan in enumerate(scans):
        reading = reader.run(scan)
        found = [reading.logit, reading.brain_logit, reading.familiarity]
        assert found == pytest.approx(logits[place].tolist(), rel=1e-4, abs=1e-4)
        np.testing.assert_allclose(reading.evidence, evidence[place, :, :, 0], atol=1e-4)
        assert reading.logit == pytest.approx(pooled(reading.evidence[np.newaxis])[0], abs=1e-4)
