from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from model import evaluate
from model.evaluate import Calibration, Judgement
from model.split import Cases

N = 120


@pytest.fixture
def cases() -> Cases:
    """Groups of one to three images, four folds."""
    rng = np.random.default_rng(0)
    groups = np.sort(rng.integers(0, 70, size=N))
    _, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return Cases(labels=groups % 2, groups=groups, folds=groups % 8 // 2, weights=1 / sizes[inverse])


@pytest.fixture
def logits(cases: Cases) -> evaluate.Floats:
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
    found = evaluate.calibrate(logits, Cases(labels, alone, alone, np.ones(len(logits))))
    # Then it is found again
    assert found.slope == pytest.approx(0.5, abs=0.03)
    assert found.intercept == pytest.approx(-1.0, abs=0.06)


def test_calibration_of_separable_logits_is_finite() -> None:
    labels = np.repeat([0, 1], 10)
    found = evaluate.calibrate(20.0 * labels - 10, Cases(labels, np.arange(20), labels, np.ones(20)))
    assert 0 < found.slope < 10


def test_probabilities_of_extreme_logits_stay_numbers() -> None:
    assert Calibration(2.0, 0.0).probabilities(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]


def test_the_threshold_is_the_best_there_is(cases: Cases, logits: evaluate.Floats) -> None:
    probabilities = Calibration(0.3, 0.0).probabilities(logits)

    def balanced(threshold: float) -> float:
        said, yes = probabilities >= threshold, cases.labels == 1
        found = np.average(said[yes], weights=cases.weights[yes])
        spared = np.average(~said[~yes], weights=cases.weights[~yes])
        return float(found + spared)

    best = max(balanced(threshold) for threshold in np.linspace(0, 1, 5001))
    chosen = evaluate.choose_threshold(probabilities, cases)
    assert balanced(chosen) == pytest.approx(best, abs=1e-3)
    assert chosen not in probabilities


def test_a_network_that_says_one_thing_gets_a_threshold_all_the_same(cases: Cases) -> None:
    assert evaluate.choose_threshold(np.full(N, 0.6), cases) == 0.6


@pytest.mark.parametrize("fold", range(4))
def test_a_folds_own_labels_do_not_touch_its_judgement(
    cases: Cases, logits: evaluate.Floats, fold: int
) -> None:
    # Given a fold whose labels are all turned round
    own = cases.folds == fold
    turned = replace(cases, labels=np.where(own, 1 - cases.labels, cases.labels))
    # Then its calibration and threshold were not fitted on them
    before, after = evaluate.cross_fit(logits, cases), evaluate.cross_fit(logits, turned)
    assert np.array_equal(before.probabilities[own], after.probabilities[own])
    assert np.array_equal(before.decisions[own], after.decisions[own])
    # And the other folds' were
    assert not np.array_equal(before.probabilities[~own], after.probabilities[~own])


def test_the_served_threshold_is_fitted_on_all_folds(cases: Cases, logits: evaluate.Floats) -> None:
    found = evaluate.evaluate(logits, cases)
    assert found.calibration == evaluate.calibrate(logits, cases)
    assert found.threshold == evaluate.choose_threshold(found.calibration.probabilities(logits), cases)


def test_the_area_under_the_curve_is_scikit_learns(cases: Cases, logits: evaluate.Floats) -> None:
    scores = np.round(logits)  # ties
    ours = evaluate.roc_auc(scores, cases.labels, np.stack([cases.weights, np.ones(N)]))
    assert ours[0] == pytest.approx(roc_auc_score(cases.labels, scores, sample_weight=cases.weights))
    assert ours[1] == pytest.approx(roc_auc_score(cases.labels, scores))


def test_the_area_of_one_class_is_no_number() -> None:
    assert np.isnan(evaluate.roc_auc(np.arange(3.0), np.ones(3, dtype=np.int64), np.ones((1, 3)))[0])


def test_every_figure_lies_in_its_interval(cases: Cases, logits: evaluate.Floats) -> None:
    for name, figure in evaluate.evaluate(logits, cases).figures.items():
        assert figure.low <= figure.value <= figure.high, name
        assert figure.high - figure.low > 0.02, name


def test_figures_of_a_known_judgement() -> None:
    # Given 4 YES of which 3 are found, and 2 NO of which 1 is left alone
    labels, said = np.array([1, 1, 1, 1, 0, 0]), np.array([1, 1, 1, 0, 0, 1])
    alone = Cases(labels, np.arange(6), np.zeros(6, dtype=np.int64), np.ones(6))
    found = evaluate.figures(Judgement(alone, said * 0.8 + 0.1, said))
    assert found["sensitivity"].value == pytest.approx(3 / 4)
    assert found["specificity"].value == pytest.approx(1 / 2)
    assert found["balanced_accuracy"].value == pytest.approx(5 / 8)
    assert found["accuracy"].value == pytest.approx(4 / 6)
    assert found["brier_score"].value == pytest.approx((4 * 0.1**2 + 2 * 0.9**2) / 6)


def test_copies_change_no_figure_and_no_interval(cases: Cases, logits: evaluate.Floats) -> None:
    # Given every image three times, in its group
    every = np.repeat(np.arange(N), 3)
    tripled = Cases(cases.labels[every], cases.groups[every], cases.folds[every], cases.weights[every] / 3)
    # Then it is no more evidence than before
    once = evaluate.evaluate(logits, cases).figures
    thrice = evaluate.evaluate(logits[every], tripled).figures
    for name in once:
        assert thrice[name].value == pytest.approx(once[name].value, abs=1e-6)
        assert thrice[name].low == pytest.approx(once[name].low, abs=1e-6)
        assert thrice[name].high == pytest.approx(once[name].high, abs=1e-6)


def test_the_commoner_class_is_weighed_by_groups() -> None:
    # Given five copies of one NO and two YES
    labels, groups = np.array([0, 0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 0, 0, 1, 2])
    cases = Cases(labels, groups, groups, np.array([0.2] * 5 + [1.0, 1.0]))
    assert evaluate.majority_accuracy(cases) == pytest.approx(2 / 3)


def test_flat_figures_keep_their_intervals() -> None:
    figure = evaluate.Figure(0.8, 0.7, 0.9)
    assert evaluate.flat({"accuracy": figure}) == {
        "accuracy": 0.8,
        "accuracy_low": 0.7,
        "accuracy_high": 0.9,
    }
