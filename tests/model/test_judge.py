"""A fold is judged by what was fitted without it, and the thresholds are the best there are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model import judge
from model.judge import Calibration, Rule
from model.split import Cases

N, FOLDS = 120, 4


@pytest.fixture
def cases() -> Cases:
    """Groups of one to three images, four folds."""
    rng = np.random.default_rng(0)
    groups = np.sort(rng.integers(0, 70, size=N))
    _, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return Cases(labels=groups % 2, groups=groups, folds=groups % 8 // 2, weights=1 / sizes[inverse])


@pytest.fixture
def logits(cases: Cases) -> judge.Floats:
    """Informative and far from calibrated."""
    return 5 * (cases.labels - 0.2) + np.random.default_rng(1).normal(scale=4, size=N)


@pytest.fixture
def inner(cases: Cases, logits: judge.Floats) -> judge.Floats:
    """Each fold's own logits of the others, not a number inside it, as a cross-validation gives them."""
    rows = logits + np.random.default_rng(2).normal(scale=1, size=(FOLDS, N))
    rows[cases.folds == np.arange(FOLDS)[:, None]] = np.nan
    return rows


def test_calibration_undoes_scale_and_shift() -> None:
    # Given labels drawn with probability sigmoid(0.5 * logit - 1)
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=3, size=20_000)
    truth = Calibration(slope=0.5, intercept=-1.0)
    labels = (rng.random(len(logits)) < truth.probabilities(logits)).astype(np.int64)
    alone = np.arange(len(logits))
    # When it is fitted
    found = judge.calibrate(logits, Cases(labels, alone, alone, np.ones(len(logits))))
    # Then it is found again
    assert found.slope == pytest.approx(0.5, abs=0.03)
    assert found.intercept == pytest.approx(-1.0, abs=0.06)


def test_calibration_of_separable_logits_is_finite() -> None:
    labels = np.repeat([0, 1], 10)
    found = judge.calibrate(20.0 * labels - 10, Cases(labels, np.arange(20), labels, np.ones(20)))
    assert 0 < found.slope < 10


def test_probabilities_of_extreme_logits_stay_numbers() -> None:
    assert Calibration(2.0, 0.0).probabilities(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]


def rates(probabilities: judge.Floats, cases: Cases, threshold: float) -> tuple[float, float]:
    """Sensitivity and specificity, counted by hand."""
    said, yes = probabilities >= threshold, cases.labels == 1
    found = np.average(said[yes], weights=cases.weights[yes])
    spared = np.average(~said[~yes], weights=cases.weights[~yes])
    return float(found), float(spared)


def test_no_threshold_has_a_better_balance_than_youdens(cases: Cases, logits: judge.Floats) -> None:
    probabilities = Calibration(0.3, 0.0).probabilities(logits)
    best = max(sum(rates(probabilities, cases, threshold)) for threshold in np.linspace(0, 1, 5001))
    chosen = judge.youden_threshold(probabilities, cases)
    assert sum(rates(probabilities, cases, chosen)) == pytest.approx(best, abs=1e-3)
    assert chosen not in probabilities


@pytest.mark.parametrize("at_least", [0.5, 0.8, 0.95, 1.0])
def test_the_sensitive_threshold_is_the_highest_that_finds_enough(
    cases: Cases, logits: judge.Floats, at_least: float
) -> None:
    probabilities = Calibration(0.3, 0.0).probabilities(logits)
    chosen = judge.sensitive_threshold(probabilities, cases, at_least=at_least)
    assert rates(probabilities, cases, chosen)[0] >= at_least - 1e-9
    # And one that is higher by a single image's probability finds too few
    next_level = probabilities[probabilities > chosen].min()
    assert rates(probabilities, cases, np.nextafter(next_level, 1))[0] < at_least
    assert chosen not in probabilities


def test_the_threshold_that_serves_finds_nineteen_of_twenty() -> None:
    # Given 20 tumours of which the lowest is below all but one of the healthy
    labels = np.repeat([1, 0], 20)
    probabilities = np.r_[0.02, np.linspace(0.6, 0.9, 19), 0.01, np.linspace(0.1, 0.5, 19)]
    cases = Cases(labels, np.arange(40), np.zeros(40, dtype=np.int64), np.ones(40))
    assert 0.5 < judge.sensitive_threshold(probabilities, cases) < 0.6
    assert judge.sensitive_threshold(probabilities, cases, at_least=1) == pytest.approx(0.015)


def test_copies_do_not_move_a_threshold(cases: Cases, logits: judge.Floats) -> None:
    every = np.repeat(np.arange(N), np.where(cases.groups % 3 == 0, 4, 1))
    weights = cases.weights[every] / np.bincount(every)[every]
    copied = Cases(cases.labels[every], cases.groups[every], cases.folds[every], weights)
    before, after = judge.fit_rule(logits, cases), judge.fit_rule(logits[every], copied)
    assert (after.threshold, after.youden) == pytest.approx((before.threshold, before.youden), abs=1e-4)


def test_a_network_that_says_one_thing_gets_thresholds_all_the_same(cases: Cases) -> None:
    assert judge.youden_threshold(np.full(N, 0.6), cases) == 0.6
    assert judge.sensitive_threshold(np.full(N, 0.6), cases) == 0.6


@pytest.mark.parametrize("fold", range(FOLDS))
def test_a_folds_own_labels_and_logits_do_not_touch_its_rule(
    cases: Cases, inner: judge.Floats, fold: int
) -> None:
    # Given a fold whose labels are all turned round
    own = cases.folds == fold
    turned = replace(cases, labels=np.where(own, 1 - cases.labels, cases.labels))
    before, after = judge.nested_rules(inner, cases), judge.nested_rules(inner, turned)
    # Then its rule was not fitted on them, and the other folds' were
    assert before[fold] == after[fold]
    assert all(before[other] != after[other] for other in range(FOLDS) if other != fold)
    # And of all rows its own alone counts
    foreign = np.where(np.arange(FOLDS)[:, None] == fold, inner, -inner)
    assert judge.nested_rules(foreign, cases)[fold] == before[fold]


def test_each_fold_is_judged_by_its_own_rule(cases: Cases, logits: judge.Floats) -> None:
    # Given a rule of each fold that no other has
    rules = [Rule(Calibration(1.0, float(fold)), 0.2 * (fold + 1), 0.9) for fold in range(FOLDS)]
    judged = judge.judge(logits, cases, rules)
    for place, fold in enumerate(cases.folds):
        probability = 1 / (1 + np.exp(-logits[place] - fold))
        assert judged.probabilities[place] == pytest.approx(probability)
        assert judged.decisions[place] == (probability >= 0.2 * (fold + 1))
        assert judged.even[place] == (probability >= 0.9)


def test_the_served_rule_is_fitted_on_all_logits(cases: Cases, logits: judge.Floats) -> None:
    rule = judge.fit_rule(logits, cases)
    probabilities = rule.calibration.probabilities(logits)
    assert rule.calibration == judge.calibrate(logits, cases)
    assert rule.threshold == judge.sensitive_threshold(probabilities, cases)
    assert rule.youden == judge.youden_threshold(probabilities, cases)
    assert rates(probabilities, cases, rule.threshold)[0] >= judge.MIN_SENSITIVITY


def test_wrong_are_those_decided_against_their_label(cases: Cases, logits: judge.Floats) -> None:
    judged = judge.judge(logits, cases, [judge.fit_rule(logits, cases)] * FOLDS)
    right = judged.decisions == cases.labels
    assert sorted([*judged.wrong, *np.flatnonzero(right)]) == list(range(N))
    assert 0 < len(judged.wrong) < N
    # And a part has its own
    part = judged[~right]
    assert len(part.wrong) == len(part.cases) == (~right).sum()
