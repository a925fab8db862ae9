"""Both learners fit again and again from the same start, to what is marked and to nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from model import network
from model.learner import balanced, learner
from model.pictures import Pictures
from model.recipe import QUICK, TrainingError, cosine
from model.robustness import AS_IT_IS
from model.split import Cases, plan

if TYPE_CHECKING:
    from model.backend import keras
    from model.data import Dataset
    from model.learner import Learner, Report

SIZE = 32
RECIPE = replace(QUICK, size=SIZE, transfer_size=SIZE, views=1, epochs=2, folds=3)
ARCHITECTURES = ("residual_cnn", "efficientnet_lite0")


@pytest.fixture(scope="module")
def cases(phantoms: Dataset) -> Cases:
    return plan(phantoms.labels, np.arange(len(phantoms.scans)), folds=3, seed=0)


@pytest.fixture(scope="module")
def pictures(phantoms: Dataset) -> Pictures:
    return Pictures(phantoms.scans, seed=0)


def made(architecture: str, pictures: Pictures) -> Learner:
    def start() -> keras.Model:
        return network.build_trunk(architecture, size=SIZE)

    return learner(architecture, pictures, RECIPE, start=start)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def architecture(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def fitted(architecture: str, pictures: Pictures) -> Learner:
    """One for all tests: what it was fitted to before must not matter."""
    return made(architecture, pictures)


def ignore(_: dict[str, float]) -> None:
    pass


def said(
    fitted: Learner, cases: Cases, *, fold: int = 0, seed: int = 0, report: Report = ignore
) -> list[float]:
    """Logits of every image after a fit to all but one fold."""
    head = fitted.fit(cases, cases.folds != fold, seed=seed, report=report)
    everything = np.ones(len(cases), dtype=bool)
    logits: list[float] = head.logits(fitted.features(AS_IT_IS, everything)).tolist()
    return logits


def test_what_was_fitted_before_leaves_no_trace(
    fitted: Learner, architecture: str, pictures: Pictures, cases: Cases
) -> None:
    said(fitted, cases, fold=1, seed=5)
    again = said(fitted, cases)
    fresh = said(made(architecture, pictures), cases)
    np.testing.assert_allclose(again, fresh, atol=1e-5)


def test_labels_of_what_is_left_out_do_not_matter(fitted: Learner, cases: Cases) -> None:
    plain = said(fitted, cases)
    for fold, alike in ((0, True), (1, False)):
        own = cases.folds == fold
        turned = replace(cases, labels=np.where(own, 1 - cases.labels, cases.labels))
        assert np.allclose(said(fitted, turned), plain, atol=1e-5) == alike


def test_what_is_learnt_from_is_told_apart(fitted: Learner, architecture: str, cases: Cases) -> None:
    losses: list[dict[str, float]] = []
    logits = np.array(said(fitted, cases, report=losses.append))
    learnt = cases.folds != 0
    yes, no = (logits[learnt & (cases.labels == label)] for label in (1, 0))
    assert yes.mean() > no.mean()
    # And what has epochs tells of each
    assert len(losses) == (RECIPE.epochs if architecture == "residual_cnn" else 0)
    assert all(set(epoch) == {"loss"} for epoch in losses)


def test_the_features_are_those_of_the_chosen_images(
    fitted: Learner, pictures: Pictures, cases: Cases
) -> None:
    chosen = cases.folds == 1
    mirrored = fitted.features("mirrored", chosen)
    expected = fitted.read(pictures.pixels(SIZE, "mirrored")[chosen])
    np.testing.assert_allclose(mirrored, expected, atol=1e-3)
    assert not np.allclose(mirrored, fitted.features(AS_IT_IS, chosen), atol=1e-3)


def test_a_loss_that_is_no_number_ends_the_training_with_advice(phantoms: Dataset, cases: Cases) -> None:
    broken = Pictures(phantoms.scans, seed=0)
    for pixels in (broken.pixels(SIZE), broken.view(SIZE, 0)):
        pixels[:] = np.nan
    with pytest.raises(TrainingError, match=r"the loss became nan in epoch 1.*Lower the learning rate"):
        said(made("residual_cnn", broken), cases)


def test_both_classes_weigh_the_same_and_groups_stay_equal() -> None:
    # Given three NO of one group, one NO alone, and one YES
    labels, groups = np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 1, 2])
    cases = Cases(labels, groups, groups, np.array([1 / 3, 1 / 3, 1 / 3, 1.0, 1.0]))
    assert balanced(cases) == pytest.approx(np.array([1.25 / 3, 1.25 / 3, 1.25 / 3, 1.25, 2.5]))
    assert cases.weights[0] == 1 / 3


@pytest.mark.parametrize("epochs", [1, 2, 20, 80])
def test_the_learning_rate_rises_to_its_peak_and_falls(epochs: int) -> None:
    rates = [cosine(epoch, epochs=epochs, peak=0.01) for epoch in range(epochs)]
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(0.01)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert min(rates) > 0
    assert peak <= epochs * 0.2
