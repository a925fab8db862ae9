"""No network is tested on a training group, and no rule is fitted to the images that it classifies."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from model.data.perturbations import UNCHANGED
from model.data.split import assign_folds
from model.evaluation.crossval import Fit, OutOfFold, cross_validate
from model.evaluation.metrics import roc_auc

if TYPE_CHECKING:
    from model.arrays import Floats
    from model.data.cases import Cases
    from model.evaluation.crossval import Logits

N, FOLDS = 90, 5
MIRRORED = "mirrored"


@pytest.fixture(scope="module")
def cases() -> Cases:
    """Groups of one to three images."""
    groups = np.sort(np.random.default_rng(0).integers(0, 60, size=N))
    return assign_folds(groups % 2, groups, folds=FOLDS, seed=0)


class Recorder:
    """A fake network: the logits of each fit are its number, and all fits are recorded."""

    def __init__(self) -> None:
        self.fits: list[Fit] = []

    def __call__(self, fit: Fit) -> Logits:
        number = float(len(self.fits))
        self.fits.append(fit)
        logits = {UNCHANGED: number + np.arange(N) / 1000}
        if fit.outer:
            logits[MIRRORED] = np.where(fit.training, np.nan, 100 + logits[UNCHANGED])
        return logits

    def fits_of(self, logits: Floats) -> list[Fit]:
        return [self.fits[int(logit)] for logit in logits]


def test_no_fit_is_tested_on_its_training_groups(cases: Cases) -> None:
    recorder = Recorder()
    logits = cross_validate(cases, recorder)
    for group, fit in zip(cases.groups, recorder.fits_of(logits.outer[UNCHANGED]), strict=True):
        assert fit.outer
        assert group not in cases.groups[fit.training]
    assert np.array_equal(logits.outer[MIRRORED], 100 + logits.outer[UNCHANGED])
    # And inner logits come from fits without the fold and the image
    for fold, row in enumerate(logits.inner):
        own = cases.folds == fold
        assert np.isnan(row[own]).all()
        for group, fit in zip(cases.groups[~own], recorder.fits_of(row[~own]), strict=True):
            learnt = cases.groups[fit.training]
            assert group not in learnt
            assert not set(cases.groups[own]) & set(learnt)
            assert not fit.outer


def test_the_training_auc_is_of_the_training_images(cases: Cases) -> None:
    # Given networks that memorise their training images and misclassify the rest
    truth = 2.0 * cases.labels - 1
    known = cross_validate(cases, lambda fit: {UNCHANGED: np.where(fit.training, truth, -truth)})
    assert known.training_auc == 1
    assert roc_auc(known.outer[UNCHANGED], cases.labels, cases.weights[None])[0] == 0


def test_the_predictions_of_a_fold_do_not_depend_on_its_labels(cases: Cases) -> None:
    # Given noisy logits
    rng, truth = np.random.default_rng(1), 2.0 * cases.labels - 1
    outer, inner = truth + rng.normal(size=N), 0.6 * truth + rng.normal(size=(FOLDS, N))
    inner[cases.folds == np.arange(FOLDS)[:, None]] = np.nan
    found = OutOfFold(cases, {UNCHANGED: outer}, inner, 1.0)
    before = found.predictions()
    for fold in range(FOLDS):
        # When the labels of a fold are all inverted
        own = cases.folds == fold
        inverted = replace(cases, labels=np.where(own, 1 - cases.labels, cases.labels))
        after = replace(found, cases=inverted).predictions()
        # Then its predictions are unchanged
        assert np.array_equal(after.probabilities[own], before.probabilities[own])
        assert np.array_equal(after.predicted[own], before.predicted[own])
        # And those of the other folds are not
        assert not np.isclose(after.probabilities[~own], before.probabilities[~own]).any()
