"""A network's judgement is its evidence's mean, in Keras and in the file that serves."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from container.network import Network
from model import network, phantom
from model.augment import Augment
from model.backend import keras, tensorflow
from model.network import Head, Reader
from model.pictures import preprocessed

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Maps = NDArray[np.float32]

SIZE = 64
PLAIN, RESIDUAL, LITE0, SERVED = "plain_cnn", "residual_cnn", "efficientnet_lite0", "lite0 as it serves"


@pytest.fixture(scope="module")
def scans() -> Maps:
    """Five heads as networks see them."""
    return preprocessed([phantom.draw(seed=seed, lesion=seed % 2 == 0) for seed in range(5)], size=SIZE)


@pytest.fixture(scope="module")
def trunks() -> dict[str, keras.Model]:
    keras.utils.set_random_seed(0)
    made = {name: network.build_trunk(name, size=SIZE) for name in (PLAIN, RESIDUAL, LITE0)}
    return made | {SERVED: network.with_asymmetry(network.look_twice(made[LITE0]))}


every_trunk = pytest.mark.parametrize("name", [PLAIN, RESIDUAL, LITE0, SERVED])


def head_for(trunk: keras.Model, *, seed: int = 0) -> Head:
    """A head that weighs every feature, so that each would be missed."""
    width = sum(maps.shape[-1] for maps in trunk.outputs)
    rng = np.random.default_rng(seed)
    return Head(weights=rng.normal(scale=1 / width**0.5, size=width), bias=float(rng.normal()))


def maps_from(trunk: keras.Model, scans: Maps) -> list[Maps]:
    return [np.asarray(maps) for maps in network.maps_of(trunk, scans)]


@every_trunk
def test_each_map_is_a_multiple_of_the_coarser_one_behind_it(
    trunks: dict[str, keras.Model], name: str
) -> None:
    shapes = [tuple(maps.shape[1:3]) for maps in trunks[name].outputs]
    assert all(rows == columns for rows, columns in shapes)
    assert all(fine[0] % coarse[0] == 0 for fine, coarse in pairwise(shapes))


@every_trunk
def test_the_judgement_is_the_mean_of_the_evidence(
    trunks: dict[str, keras.Model], scans: Maps, name: str
) -> None:
    trunk = trunks[name]
    served = network.assemble(trunk, tumour=head_for(trunk), brain=head_for(trunk, seed=1))
    judgement, evidence = map(np.asarray, served(scans))
    assert judgement.shape == (5, 2)
    assert evidence.shape == (5, *trunk.outputs[0].shape[1:3], 1)
    np.testing.assert_allclose(evidence.mean(axis=(1, 2, 3)), judgement[:, 0], atol=1e-5)
    assert np.ptp(judgement[:, 0]) > 1e-3


@every_trunk
def test_the_judgement_is_what_the_heads_say_of_the_features(
    trunks: dict[str, keras.Model], scans: Maps, name: str
) -> None:
    trunk = trunks[name]
    tumour, brain = head_for(trunk), head_for(trunk, seed=1)
    features = Reader(trunk)(scans)
    judgement, _ = network.assemble(trunk, tumour=tumour, brain=brain)(scans)
    said = np.stack([tumour.logits(features), brain.logits(features)], axis=1)
    np.testing.assert_allclose(judgement, said, atol=1e-5)


@every_trunk
def test_the_evidence_is_the_gradient_times_the_activation(
    trunks: dict[str, keras.Model], scans: Maps, name: str
) -> None:
    # Given the judgement as a function of the maps
    trunk = trunks[name]
    tumour = head_for(trunk)
    served = network.assemble(trunk, tumour=tumour, brain=None)
    inputs = [keras.Input(maps.shape[1:]) for maps in trunk.outputs]
    judge = keras.Model(inputs, served.get_layer("judgement")(network.pooled(inputs)))
    maps = network.maps_of(trunk, scans)
    # When Keras computes its gradient
    with tensorflow.GradientTape() as tape:
        tape.watch(maps)
        logits = judge(maps)[:, 0]
    gradients = tape.gradient(logits, maps)
    # Then gradient times activation, summed over the features, is the evidence without its bias
    finest = maps[0].shape[1]
    expected = np.full((5, finest, finest), tumour.bias)
    for gradient, activation in zip(map(np.asarray, gradients), map(np.asarray, maps), strict=True):
        places = activation.shape[1] * activation.shape[2]
        part = (gradient * activation).sum(axis=-1) * places
        factor = finest // activation.shape[1]
        expected += part.repeat(factor, axis=1).repeat(factor, axis=2)
    evidence = np.asarray(served(scans)[1])[..., 0]
    np.testing.assert_allclose(evidence, expected, atol=1e-4)
    assert np.ptp(evidence, axis=(1, 2)).min() > 1e-3


def test_what_is_usual_at_a_place_is_taken_from_its_evidence_alone(
    trunks: dict[str, keras.Model], scans: Maps
) -> None:
    trunk = trunks[RESIDUAL]
    head = head_for(trunk)
    judgement, evidence = map(np.asarray, network.assemble(trunk, tumour=head, brain=None)(scans))
    usual = evidence[:3].mean(axis=0)[..., 0]
    above = network.assemble(trunk, tumour=head, brain=None, usual=usual)
    same, shifted = map(np.asarray, above(scans))
    np.testing.assert_allclose(same, judgement, atol=1e-6)
    np.testing.assert_allclose(shifted[..., 0], evidence[..., 0] - usual + usual.mean(), atol=1e-5)
    np.testing.assert_allclose(shifted.mean(axis=(1, 2, 3)), judgement[:, 0], atol=1e-5)


def test_a_head_reads_features_linearly() -> None:
    head = Head(weights=np.array([1.0, -2.0]), bias=0.5)
    assert head.logits(np.array([[0, 0], [3, 1], [1, 1]], dtype=np.float32)).tolist() == [0.5, 1.5, -0.5]


def test_features_are_the_means_of_the_maps_in_their_order(
    trunks: dict[str, keras.Model], scans: Maps
) -> None:
    maps = maps_from(trunks[LITE0], scans)
    expected = np.concatenate([each.mean(axis=(1, 2)) for each in maps], axis=1)
    np.testing.assert_allclose(Reader(trunks[LITE0])(scans), expected, atol=1e-4)


def test_a_reader_follows_the_trunks_weights(scans: Maps) -> None:
    trunk = network.build_trunk(PLAIN, size=SIZE)
    read = Reader(trunk)
    before = read(scans)
    trunk.set_weights([2 * weight for weight in trunk.get_weights()])
    assert np.abs(read(scans) - before).max() > 1e-3


@pytest.mark.parametrize("name", [PLAIN, RESIDUAL])
def test_brightness_and_contrast_say_nothing_to_what_learns_from_scratch(
    trunks: dict[str, keras.Model], scans: Maps, name: str
) -> None:
    read = Reader(trunks[name])
    np.testing.assert_allclose(read(scans * 0.5 + 0.2), read(scans), atol=0.01)


def test_two_looks_see_a_scan_and_its_diagonal_mirror_image_alike(
    trunks: dict[str, keras.Model], scans: Maps
) -> None:
    # Given a network that looks once, which tells a scan from its mirror image
    once, twice = trunks[LITE0], network.look_twice(trunks[LITE0])
    mirrored = scans.transpose(0, 2, 1, 3)
    read_once = Reader(once)
    assert np.abs(read_once(scans) - read_once(mirrored)).max() > 0.01
    # Then one that looks twice gives maps that are the other's, mirrored likewise
    for plain, other in zip(maps_from(twice, scans), maps_from(twice, mirrored), strict=True):
        np.testing.assert_allclose(plain, other.transpose(0, 2, 1, 3), atol=1e-3)
    # And its features are the mean over both looks
    mean = (read_once(scans) + read_once(mirrored)) / 2
    np.testing.assert_allclose(Reader(twice)(scans), mean, atol=1e-4)


def as_it_is(side: int) -> keras.Model:
    """A trunk whose only map is the scan."""
    scan = keras.Input((side, side, 1))
    return keras.Model(scan, [keras.layers.Rescaling(1.0)(scan)])


def asymmetry(scan: Maps) -> Maps:
    trunk = network.with_asymmetry(as_it_is(len(scan)))
    plain, asymmetric = maps_from(trunk, scan[None, :, :, None])
    assert np.array_equal(plain[0, :, :, 0], scan)
    return asymmetric[0, :, :, 0]


@pytest.fixture
def lopsided() -> Maps:
    """Symmetric about the vertical axis but for one bright place; not at all about the other."""
    rows = np.linspace(0, 1, 8, dtype=np.float32)[:, None] * np.ones((1, 8), np.float32)
    rows[2, 1] += 0.9
    return rows


def test_what_is_symmetric_about_either_axis_has_no_asymmetry() -> None:
    rows = np.linspace(0, 1, 8, dtype=np.float32)[:, None] * np.ones((1, 8), np.float32)
    for scan in (rows, rows.T):
        assert asymmetry(scan).max() < 1e-3


def test_what_differs_from_its_mirror_image_shows_on_both_sides(lopsided: Maps) -> None:
    found = asymmetry(lopsided).copy()
    assert found[2, [1, 6]] == pytest.approx([0.9, 0.9], abs=0.02)
    found[2, [1, 6]] = 0
    assert found.max() < 0.02


def test_a_turned_scan_has_the_turned_asymmetry(lopsided: Maps) -> None:
    np.testing.assert_allclose(asymmetry(np.rot90(lopsided)), np.rot90(asymmetry(lopsided)), atol=1e-6)
    np.testing.assert_allclose(asymmetry(lopsided[:, ::-1]), asymmetry(lopsided), atol=1e-6)


def test_near_a_tie_rounding_does_not_move_the_asymmetry() -> None:
    # Given a scan that is equally asymmetric about both axes, and a hair's breadth on either side of it
    scan = np.random.default_rng(0).random((8, 8), dtype=np.float32)
    scan = (scan + scan.T) / np.float32(2)
    tilt = np.linspace(-1e-6, 1e-6, 8, dtype=np.float32)[:, None]
    assert np.abs(asymmetry(scan + tilt) - asymmetry(scan + tilt.T)).max() < 1e-4


def test_each_feature_has_its_asymmetry_right_behind_its_map(
    trunks: dict[str, keras.Model],
) -> None:
    plain = [maps.shape for maps in trunks[LITE0].outputs]
    both = [maps.shape for maps in trunks[SERVED].outputs]
    assert both == [shape for shape in plain for _ in range(2)]


@every_trunk
def test_what_serves_augments_nothing(trunks: dict[str, keras.Model], name: str) -> None:
    trunk = trunks[name]
    served = network.assemble(trunk, tumour=head_for(trunk), brain=None)
    layers = [layer for part in (served, trunk) for layer in part.layers]
    assert not any(isinstance(layer, Augment) for layer in layers)


def test_a_network_that_was_kept_says_the_same(
    trunks: dict[str, keras.Model], scans: Maps, tmp_path: Path
) -> None:
    trunk = trunks[SERVED]
    usual = np.random.default_rng(0).random(trunk.outputs[0].shape[1:3], dtype=np.float32)
    served = network.assemble(trunk, tumour=head_for(trunk), brain=head_for(trunk, seed=1), usual=usual)
    served.save(tmp_path / "network.keras")
    again = keras.models.load_model(tmp_path / "network.keras")
    for before, after in zip(served(scans), again(scans), strict=True):
        np.testing.assert_allclose(before, after, atol=1e-6)


@pytest.mark.parametrize("name", [RESIDUAL, SERVED])
def test_the_file_that_serves_says_what_keras_says(
    trunks: dict[str, keras.Model], scans: Maps, tmp_path: Path, name: str
) -> None:
    # Given a network as a training makes it
    trunk = trunks[name]
    usual = np.random.default_rng(0).random(trunk.outputs[0].shape[1:3], dtype=np.float32)
    served = network.assemble(trunk, tumour=head_for(trunk), brain=head_for(trunk, seed=1), usual=usual)
    judgement, evidence = map(np.asarray, served(scans))
    # When it is converted and the serving code reads it
    served.export(tmp_path / "model.tflite", format="litert", verbose=False)
    reader = Network(tmp_path / "model.tflite", size=SIZE, threads=1)
    # Then all three outputs are Keras's
    for place, scan in enumerate(scans):
        reading = reader.run(scan)
        assert reading.logit == pytest.approx(judgement[place, 0], abs=1e-4)
        assert reading.brain == pytest.approx(judgement[place, 1], abs=1e-4)
        assert reading.evidence is not None
        np.testing.assert_allclose(reading.evidence, evidence[place, :, :, 0], atol=1e-4)
    assert np.ptp(judgement, axis=0).min() > 1e-3
