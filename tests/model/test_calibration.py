"""Rules are fitted without their fold, thresholds are optimal, and metrics and intervals are correct."""

from __future__ import annotations

from dataclasses import astuple
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from model.data.cases import Cases
from model.evaluation import calibration, metrics
from model.evaluation.calibration import Calibration, Rule
from model.evaluation.predictions import Predictions

if TYPE_CHECKING:
    from model.arrays import Floats

N, FOLDS = 120, 4


@pytest.fixture
def cases() -> Cases:
    """Groups of one to three images, four folds."""
    rng = np.random.default_rng(0)
    groups = np.sort(rng.integers(0, 70, size=N))
    _, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return Cases(labels=groups % 2, groups=groups, folds=groups % 8 // 2, weights=1 / sizes[inverse])


@pytest.fixture
def logits(cases: Cases) -> Floats:
    """Informative and far from calibrated."""
    return 5 * (cases.labels - 0.2) + np.random.default_rng(1).normal(scale=4, size=N)


def test_calibration_undoes_scale_and_shift() -> None:
    # Given labels drawn with probability sigmoid(0.5 * logit - 1)
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=3, size=20_000)
    truth = Calibration(slope=0.5, intercept=-1.0)
    labels = (rng.random(len(logits)) < truth.probabilities(logits)).astype(np.int64)
    alone = np.arange(len(logits))
    # When it is fitted
    found = calibration.calibrate(logits, Cases(labels, alone, alone, np.ones(len(logits))))
    # Then slope and intercept are recovered
    assert found.slope == pytest.approx(0.5, abs=0.03)
    assert found.intercept == pytest.approx(-1.0, abs=0.06)


def test_calibration_of_separable_logits_is_finite() -> None:
    labels = np.repeat([0, 1], 10)
    found = calibration.calibrate(20.0 * labels - 10, Cases(labels, np.arange(20), labels, np.ones(20)))
    assert 0 < found.slope < 10


def test_probabilities_of_extreme_logits_are_finite() -> None:
    assert Calibration(2.0, 0.0).probabilities(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]


def rates(probabilities: Floats, cases: Cases, threshold: float) -> tuple[float, float]:
    """Sensitivity and specificity, counted by hand."""
    predicted, yes = probabilities >= threshold, cases.labels == 1
    sensitivity = np.average(predicted[yes], weights=cases.weights[yes])
    specificity = np.average(~predicted[~yes], weights=cases.weights[~yes])
    return float(sensitivity), float(specificity)


@pytest.mark.parametrize("at_least", [0.5, 0.8, 0.95, 1.0])
def test_the_sensitive_threshold_is_the_highest_with_the_target_sensitivity(
    cases: Cases, logits: Floats, at_least: float
) -> None:
    rule = calibration.fit_rule(logits, cases, sensitivity=at_least)
    probabilities, chosen = rule.calibration.probabilities(logits), rule.threshold
    assert rates(probabilities, cases, chosen)[0] >= at_least - 1e-9
    # And the next higher threshold has a lower sensitivity
    next_level = probabilities[probabilities > chosen].min()
    assert rates(probabilities, cases, np.nextafter(next_level, 1))[0] < at_least
    assert chosen not in probabilities
    # And the default target is 0.95
    if at_least == 0.95:
        assert calibration.fit_rule(logits, cases) == rule


def test_copies_do_not_move_a_threshold(cases: Cases, logits: Floats) -> None:
    every = np.repeat(np.arange(N), np.where(cases.groups % 3 == 0, 4, 1))
    weights = cases.weights[every] / np.bincount(every)[every]
    copied = Cases(cases.labels[every], cases.groups[every], cases.folds[every], weights)
    before, after = calibration.fit_rule(logits, cases), calibration.fit_rule(logits[every], copied)
    assert after.threshold == pytest.approx(before.threshold, abs=1e-4)


def test_each_fold_is_classified_by_its_own_rule(cases: Cases, logits: Floats) -> None:
    # Given a different rule for each fold
    rules = [Rule(Calibration(1.0, float(fold)), 0.2 * (fold + 1)) for fold in range(FOLDS)]
    classified = calibration.classify(logits, cases, rules)
    for place, fold in enumerate(cases.folds):
        probability = 1 / (1 + np.exp(-logits[place] - fold))
        assert classified.probabilities[place] == pytest.approx(probability)
        assert classified.predicted[place] == (probability >= 0.2 * (fold + 1))


@pytest.fixture
def networks(cases: Cases, logits: Floats) -> list[Predictions]:
    """Predictions of two networks, the second a little worse."""
    worse = logits + np.random.default_rng(2).normal(scale=3, size=N)
    return [
        calibration.classify(each, cases, [calibration.fit_rule(each, cases)] * 4) for each in (logits, worse)
    ]


def test_the_area_equals_that_of_scikit_learn(cases: Cases, logits: Floats) -> None:
    scores = np.round(logits)  # ties
    weighted, plain = metrics.roc_auc(scores, cases.labels, np.stack([cases.weights, np.ones(N)]))
    assert weighted == pytest.approx(roc_auc_score(cases.labels, scores, sample_weight=cases.weights))
    assert plain == pytest.approx(roc_auc_score(cases.labels, scores))


def test_a_calibrated_network_has_little_calibration_error() -> None:
    # Given labels drawn by their probabilities
    rng = np.random.default_rng(0)
    probabilities = rng.random(20_000)
    labels = (rng.random(len(probabilities)) < probabilities).astype(np.int64)
    equal = np.ones((1, len(labels)))
    assert metrics.calibration_error(probabilities, labels, equal)[0] < 0.02
    # And a network overconfident by 0.2 has that error
    assert metrics.calibration_error(probabilities + 0.2, labels, equal)[0] == pytest.approx(0.2, abs=0.02)


def test_a_difference_is_paired_and_has_a_sign(networks: list[Predictions]) -> None:
    good, bad = networks
    areas = [metrics.estimates(each)["roc_auc"] for each in (good, bad)]
    ahead, behind = (metrics.differences(*pair)["roc_auc"] for pair in ((good, bad), (bad, good)))
    assert ahead.value == pytest.approx(areas[0].value - areas[1].value) == -behind.value
    assert (ahead.low, ahead.high) == pytest.approx((-behind.high, -behind.low))
    assert ahead.better > 0.5 > behind.better
    # And its interval is narrower than the two unpaired intervals together
    assert ahead.high - ahead.low < sum(area.high - area.low for area in areas)


def test_metrics_of_known_predictions() -> None:
    # Given 3 true positives of 4, and 1 true negative of 2
    labels, predicted = np.array([1, 1, 1, 1, 0, 0]), np.array([1, 1, 1, 0, 0, 1])
    alone = Cases(labels, np.arange(6), np.zeros(6, dtype=np.int64), np.ones(6))
    found = metrics.estimates(Predictions(alone, predicted * 0.8 + 0.1, predicted))
    assert found["sensitivity"].value == pytest.approx(3 / 4)
    assert found["specificity"].value == pytest.approx(1 / 2)
    assert found["balanced_accuracy"].value == pytest.approx(5 / 8)
    assert found["accuracy"].value == pytest.approx(4 / 6)
    assert found["brier_score"].value == pytest.approx((4 * 0.1**2 + 2 * 0.9**2) / 6)


def test_copies_change_no_metric_and_no_interval(cases: Cases, networks: list[Predictions]) -> None:
    # Given every image three times, in its group
    every = np.repeat(np.arange(N), 3)
    tripled = Cases(cases.labels[every], cases.groups[every], cases.folds[every], cases.weights[every] / 3)
    # Then the copies add no evidence
    one, _ = networks
    copied = Predictions(tripled, one.probabilities[every], one.predicted[every])
    once, thrice = metrics.estimates(one), metrics.estimates(copied)
    for name, expected in once.items():
        assert astuple(thrice[name]) == pytest.approx(astuple(expected), abs=1e-6)


def test_the_majority_accuracy_weights_groups() -> None:
    # Given five copies of one NO and two YES
    labels, groups = np.array([0, 0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 0, 0, 1, 2])
    cases = Cases(labels, groups, groups, np.array([0.2] * 5 + [1.0, 1.0]))
    assert metrics.majority_accuracy(cases) == pytest.approx(2 / 3)


def test_groups_that_mix_classes_are_drawn_as_a_whole() -> None:
    # Given people of whom most have slices of both classes, and a network that is right on half of the people
    people = np.repeat(np.arange(20), 10)
    labels = np.where(people < 16, np.tile([0, 1], 100), people % 2)
    cases = Cases(labels, people, people, np.full(200, 0.1))
    right = np.where(people % 4 < 2, labels, 1 - labels)
    # When groups are drawn
    draws = metrics._draws(cases, seed=0)
    # Then all slices of a person are drawn alike, and each kind of person as often as there are
    assert (draws.reshape(-1, 20, 10) == draws[:, ::10, None]).all()
    for kind in (people < 16, (people >= 16) & (labels == 0), (people >= 16) & (labels == 1)):
        assert (draws[:, kind].sum(axis=1) == kind.sum()).all()
    # And the interval is as wide as twenty people make it
    found = metrics.estimates(Predictions(cases, right / 1.0, right))["accuracy"]
    assert found.value == pytest.approx(0.5)
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(20), rel=0.25)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("label", "absent"), [(0, "sensitivity"), (1, "specificity")])
def test_images_of_one_class_have_no_metric_that_needs_the_other(label: int, absent: str) -> None:
    labels, alone, drawn = np.full(40, label), np.arange(40), np.random.default_rng(0).random(40)
    predicted = (drawn > 0.5).astype(np.int64)
    cases = Cases(labels, alone, alone, np.ones(40))
    found = metrics.estimates(Predictions(cases, drawn, predicted))
    assert not {absent, "roc_auc", "balanced_accuracy"} & found.keys()
    share = found["specificity" if label == 0 else "sensitivity"]
    assert share.low < share.value == np.mean(predicted == label) < share.high


def test_a_mean_over_sets_is_narrower_than_the_sets(networks: list[Predictions]) -> None:
    mean = metrics.mean_estimates(networks)
    first, second = (metrics.estimates(each) for each in networks)
    for name, found in mean.items():
        assert found.value == pytest.approx((first[name].value + second[name].value) / 2), name
    assert mean["roc_auc"].high - mean["roc_auc"].low < first["roc_auc"].high - first["roc_auc"].low
