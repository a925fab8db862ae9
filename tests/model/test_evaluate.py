from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from model import evaluate
from model.judge import Judgement, fit_rule, judge
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


@pytest.fixture
def judged(cases: Cases, logits: evaluate.Floats) -> list[Judgement]:
    """Two repeats, the second a little worse."""
    worse = logits + np.random.default_rng(2).normal(scale=3, size=N)
    return [judge(said, cases, [fit_rule(said, cases)] * 4) for said in (logits, worse)]


def test_the_area_under_the_curve_is_scikit_learns(cases: Cases, logits: evaluate.Floats) -> None:
    scores = np.round(logits)  # ties
    ours = evaluate.roc_auc(scores, cases.labels, np.stack([cases.weights, np.ones(N)]))
    assert ours[0] == pytest.approx(roc_auc_score(cases.labels, scores, sample_weight=cases.weights))
    assert ours[1] == pytest.approx(roc_auc_score(cases.labels, scores))


def test_the_area_of_one_class_is_no_number() -> None:
    assert np.isnan(evaluate.roc_auc(np.arange(3.0), np.ones(3, dtype=np.int64), np.ones((1, 3)))[0])


def test_the_average_precision_is_scikit_learns(cases: Cases, logits: evaluate.Floats) -> None:
    scores = np.round(logits)  # ties
    ours = evaluate.average_precision(scores, cases.labels, np.stack([cases.weights, np.ones(N)]))
    assert ours[0] == pytest.approx(
        average_precision_score(cases.labels, scores, sample_weight=cases.weights)
    )
    assert ours[1] == pytest.approx(average_precision_score(cases.labels, scores))


def test_a_calibrated_network_has_little_calibration_error() -> None:
    # Given labels drawn by their probabilities
    rng = np.random.default_rng(0)
    probabilities = rng.random(20_000)
    labels = (rng.random(len(probabilities)) < probabilities).astype(np.int64)
    equal = np.ones((1, len(labels)))
    assert evaluate.calibration_error(probabilities, labels, equal)[0] < 0.02
    # Then one that is always surer by a fifth has that error
    assert evaluate.calibration_error(probabilities + 0.2, labels, equal)[0] == pytest.approx(0.2, abs=0.02)


def test_the_calibration_error_of_one_certainty_is_its_distance_from_the_share(cases: Cases) -> None:
    share = float(np.average(cases.labels, weights=cases.weights))
    error = evaluate.calibration_error(np.full(N, 0.9), cases.labels, cases.weights[None])[0]
    assert error == pytest.approx(0.9 - share)


def test_every_figure_lies_in_its_interval(judged: list[Judgement]) -> None:
    for name, figure in evaluate.figures(judged).items():
        if name != "calibration_error":  # fewer distinct groups are drawn, so every draw's is larger
            assert figure.low <= figure.value <= figure.high, name
        assert figure.high - figure.low > 0.02, name


def test_figures_are_averages_over_the_repeats_not_of_averaged_answers(judged: list[Judgement]) -> None:
    both, *alone = (evaluate.figures(repeats) for repeats in (judged, judged[:1], judged[1:]))
    for name, figure in both.items():
        mean = (alone[0][name].value + alone[1][name].value) / 2
        assert figure.value == pytest.approx(mean), name
    assert alone[0]["roc_auc"].value > alone[1]["roc_auc"].value


def test_the_seed_decides_the_intervals(judged: list[Judgement]) -> None:
    first, again, other = (evaluate.figures(judged, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first["roc_auc"].value == other["roc_auc"].value
    assert first["roc_auc"].low != other["roc_auc"].low


def test_a_network_is_no_better_than_itself(judged: list[Judgement]) -> None:
    same = evaluate.compare(judged, judged, "roc_auc")
    assert (same.value, same.low, same.high, same.better) == (0, 0, 0, 0)


def test_a_difference_is_paired_and_has_a_sign(judged: list[Judgement]) -> None:
    good, bad = judged[:1], judged[1:]
    figures = [evaluate.figures(each)["roc_auc"] for each in (good, bad)]
    ahead, behind = evaluate.compare(good, bad, "roc_auc"), evaluate.compare(bad, good, "roc_auc")
    assert ahead.value == pytest.approx(figures[0].value - figures[1].value) == -behind.value
    assert (ahead.low, ahead.high) == pytest.approx((-behind.high, -behind.low))
    assert ahead.better > 0.5 > behind.better
    # And over the same draws its interval is narrower than that of either figure's would let one think
    assert ahead.high - ahead.low < sum(figure.high - figure.low for figure in figures)


def test_figures_of_a_known_judgement() -> None:
    # Given 4 YES of which 3 are found, and 2 NO of which 1 is left alone
    labels, said = np.array([1, 1, 1, 1, 0, 0]), np.array([1, 1, 1, 0, 0, 1])
    alone = Cases(labels, np.arange(6), np.zeros(6, dtype=np.int64), np.ones(6))
    even = np.array([1, 1, 0, 0, 0, 0])
    found = evaluate.figures([Judgement(alone, said * 0.8 + 0.1, said, even)])
    assert found["sensitivity"].value == pytest.approx(3 / 4)
    assert found["specificity"].value == pytest.approx(1 / 2)
    assert found["balanced_accuracy"].value == pytest.approx(5 / 8)
    assert found["accuracy"].value == pytest.approx(4 / 6)
    assert found["youden_sensitivity"].value == pytest.approx(2 / 4)
    assert found["youden_specificity"].value == 1
    assert found["youden_balanced_accuracy"].value == pytest.approx(3 / 4)
    assert found["brier_score"].value == pytest.approx((4 * 0.1**2 + 2 * 0.9**2) / 6)


def test_copies_change_no_figure_and_no_interval(cases: Cases, judged: list[Judgement]) -> None:
    # Given every image three times, in its group
    every = np.repeat(np.arange(N), 3)
    tripled = Cases(cases.labels[every], cases.groups[every], cases.folds[every], cases.weights[every] / 3)
    # Then it is no more evidence than before
    copied = [Judgement(tripled, e.probabilities[every], e.decisions[every], e.even[every]) for e in judged]
    once, thrice = evaluate.figures(judged), evaluate.figures(copied)
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
