from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from model import data, network
from model.augment import Augment
from model.fit import Examples, Fitter
from model.recipe import ARCHITECTURES, Recipe, TrainingError
from model.split import Cases

if TYPE_CHECKING:
    from model.backend import keras
    from model.data import Dataset

SIZE = 64
SHORT = Recipe(size=SIZE, epochs=2, folds=2)


@pytest.fixture(scope="module")
def examples(phantoms: Dataset) -> Examples:
    labels = phantoms.labels
    alone = np.arange(len(labels))
    return Examples(phantoms.pixels(SIZE), Cases(labels, alone, alone % 2, np.ones(len(labels))))


@pytest.fixture(scope="module", params=ARCHITECTURES)
def built(request: pytest.FixtureRequest) -> keras.Model:
    return network.build(request.param, size=SIZE)


def test_the_logit_is_the_mean_of_the_evidence(built: keras.Model, examples: Examples) -> None:
    logit, evidence = built(examples.pixels[:5])
    assert logit.shape == (5, 1)
    assert evidence.shape[3] == 1
    np.testing.assert_allclose(np.mean(evidence, axis=(1, 2)), logit, atol=1e-5)


def test_brightness_and_contrast_say_nothing(built: keras.Model, examples: Examples) -> None:
    image = examples.pixels[:5]
    np.testing.assert_allclose(built(image * 0.5 + 0.2)[0], built(image)[0], atol=0.005)


def test_the_network_that_is_exported_augments_nothing(built: keras.Model) -> None:
    assert not any(isinstance(layer, Augment) for layer in built.layers)


def test_serving_passes_augmentation_by(examples: Examples) -> None:
    unchanged = Augment(seed=0)(examples.pixels[:3], training=False)
    assert np.array_equal(unchanged, examples.pixels[:3])


def test_augmentation_changes_every_image_in_its_own_way(examples: Examples) -> None:
    # Given one image sixteen times
    batch = np.repeat(examples.pixels[:1], 16, axis=0)
    changed = np.asarray(Augment(seed=0)(batch, training=True))
    # Then no two come out the same, and all are still images
    assert changed.shape == batch.shape
    assert changed.min() >= 0
    assert changed.max() <= 1
    for place in range(1, 16):
        assert np.abs(changed[place] - changed[0]).mean() > 0.01


def test_augmentation_keeps_the_head_in_the_picture(examples: Examples) -> None:
    batch = examples.pixels[:32]
    changed = np.asarray(Augment(seed=0)(batch, training=True))
    kept = changed.sum(axis=(1, 2, 3)) / batch.sum(axis=(1, 2, 3))
    assert kept.min() > 0.4


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_same_seed_gives_the_same_network(architecture: str, examples: Examples) -> None:
    # Given a fitter that has fitted something else before, and a fresh one
    used, fresh = Fitter(architecture, SHORT), Fitter(architecture, SHORT)
    used.fit(examples[examples.cases.folds == 1], validation=None, report=lambda _: None)
    for fitter in (used, fresh):
        fitter.fit(examples[examples.cases.folds == 0], validation=None, report=lambda _: None)
    # Then both say the same
    np.testing.assert_allclose(used.logits(examples.pixels), fresh.logits(examples.pixels), atol=1e-5)


def test_fitting_learns(examples: Examples) -> None:
    losses: list[dict[str, float]] = []
    fitter = Fitter("residual_cnn", Recipe(size=SIZE, epochs=10, folds=2))
    fitter.fit(examples, validation=examples, report=losses.append)
    assert losses[-1]["loss"] < 0.9 * losses[0]["loss"]
    assert "val_loss" in losses[-1]


def test_validation_images_are_only_watched(examples: Examples) -> None:
    # Given one fit with other validation images than the other
    fitter = Fitter("residual_cnn", SHORT)
    said = []
    for validation in (examples[examples.cases.folds == 1], None):
        fitter.fit(examples[examples.cases.folds == 0], validation=validation, report=lambda _: None)
        said.append(fitter.logits(examples.pixels))
    np.testing.assert_allclose(said[0], said[1], atol=1e-5)


def test_a_loss_that_is_no_number_ends_the_training_with_advice(examples: Examples) -> None:
    broken = Examples(np.full_like(examples.pixels, np.nan), examples.cases)
    with pytest.raises(TrainingError, match=r"the loss became nan in epoch 1.*Lower the learning rate"):
        Fitter("residual_cnn", SHORT).fit(broken, validation=None, report=lambda _: None)


@pytest.mark.parametrize("epochs", [1, 2, 20, 80])
def test_the_learning_rate_rises_to_its_peak_and_falls(epochs: int) -> None:
    recipe = Recipe(size=SIZE, epochs=epochs, folds=2)
    rates = [recipe.rate(epoch) for epoch in range(epochs)]
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(recipe.learning_rate)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert min(rates) > 0
    assert peak <= epochs * 0.2


def test_class_names_have_their_numbers() -> None:
    assert data.CLASSES.index("yes") == 1
