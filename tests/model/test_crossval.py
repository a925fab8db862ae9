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
    from numpy.typing import NDArray

    from model.data.cases import Cases
    from model.evaluation.crossval import Logits

N, FOLDS, REPEATS = 90, 5, 2
MIRRORED = "mirrored"


@pytest.fixture(scope="module")
def splits() -> list[Cases]:
    """Groups of one to three images, folds drawn twice."""
    groups = np.sort(np.random.default_rng(0).integers(0, 60, size=N))
    return [assign_folds(groups % 2, groups, folds=FOLDS, seed=seed) for seed in range(REPEATS)]


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

    def fits_of(self, logits: NDArray[np.float64]) -> list[Fit]:
        return [self.fits[int(logit)] for logit in logits]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def logits(splits: list[Cases], recorder: Recorder) -> OutOfFold:
    return cross_validate(splits, recorder, seed=7)


def test_no_fit_is_tested_on_its_training_groups(
    splits: list[Cases], recorder: Recorder, logits: OutOfFold
) -> None:
    for repeat, cases in enumerate(splits):
        for place, fit in enumerate(recorder.fits_of(logits.outer[UNCHANGED][repeat])):
            assert fit.outer
            assert fit.cases is cases
            assert cases.groups[place] not in cases.groups[fit.training]


def test_inner_logits_come_from_fits_without_the_fold_and_the_image(
    splits: list[Cases], recorder: Recorder, logits: OutOfFold
) -> None:
    for repeat, cases in enumerate(splits):
        for fold in range(FOLDS):
            row = logits.inner[repeat, fold]
            own = cases.folds == fold
            assert np.isnan(row[own]).all()
            for place, fit in zip(np.flatnonzero(~own), recorder.fits_of(row[~own]), strict=True):
                learnt = cases.groups[fit.training]
                assert cases.groups[place] not in learnt
                assert not set(cases.groups[own]) & set(learnt)
                assert not fit.outer


def test_the_training_auc_is_of_the_training_images(splits: list[Cases]) -> None:
    # Given networks that memorise their training images and misclassify the rest
    def memorised(fit: Fit) -> Logits:
        truth = 2.0 * fit.cases.labels - 1
        return {UNCHANGED: np.where(fit.training, truth, -truth)}

    known = cross_validate(splits, memorised, seed=0)
    assert known.training_auc == 1
    assert roc_auc(known.outer[UNCHANGED][0], splits[0].labels, splits[0].weights[None])[0] == 0


def out_of_fold(
    splits: list[Cases], *, inner: float | NDArray[np.float64], outer: float | NDArray[np.float64], seed: int
) -> OutOfFold:
    """Noisy logits with the given signal in the inner and the outer fits."""
    rng = np.random.default_rng(seed)
    truth = 2.0 * splits[0].labels - 1
    measured = outer * truth + rng.normal(size=(REPEATS, N))
    rows = inner * truth + rng.normal(size=(REPEATS, FOLDS, N))
    for repeat, cases in enumerate(splits):
        rows[repeat, cases.folds == np.arange(FOLDS)[:, None]] = np.nan
    return OutOfFold(splits, {UNCHANGED: measured, MIRRORED: measured - 1}, rows, 1.0)


def test_the_predictions_of_a_fold_do_not_depend_on_its_labels(splits: list[Cases]) -> None:
    found = out_of_fold(splits, inner=0.6, outer=1.0, seed=1)
    before = found.predictions()
    for fold in range(FOLDS):
        # Given a fold of the first repeat whose labels are all inverted
        own = splits[0].folds == fold
        inverted = [
            replace(splits[0], labels=np.where(own, 1 - splits[0].labels, splits[0].labels)),
            splits[1],
        ]
        after = replace(found, splits=inverted).predictions()
        # Then its predictions are unchanged
        assert np.array_equal(after[0].probabilities[own], before[0].probabilities[own])
        assert np.array_equal(after[0].predicted[own], before[0].predicted[own])
